"""EtherNet/IP and CIP beside tshark and ICSNPP: commands, services, statuses, and the objects they are for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truth import base, ot
from truth.base import Line

FOLDER = "ot-pcap/enip-cip"
Row = dict[str, Any]


def compare(data: Path) -> Iterator[Line]:
    """Units: (frame, command, status), (frame, service, direction), and those with class and instance."""
    commands = Line("enip", "tshark", "message: frame, command, session status", floor=0.995)
    services = Line("cip", "tshark", "message: frame, service, direction", floor=0.995)
    statuses = Line("cip", "tshark", "response: frame, general status", floor=0.995)
    objects = Line("cip", "tshark", "request: frame, classes and instances in order", floor=0.98)
    answered = Line("cip", "tshark", "response: frame, classes and instances in order", floor=0.98)
    logs = Line("enip", "zeek-icsnpp", "enip.log: direction, command, length, session, status", floor=0.995)
    cips = Line("cip", "zeek-icsnpp", "cip.log: direction, sequence, service, status, class, instance", floor=0.98)
    for capture in base.captures(data / FOLDER):
        case = capture.parent.name
        wanted = ot.heard(capture)
        found = list(ot.decoded(capture))
        if wanted:
            _tshark(case, wanted, found, commands, services, statuses)
            _objects(case, wanted, found, objects, answered)
        for name, records in base.zeek_logs(capture, "enip", (*HEAD, *ENIP_LOG)):
            logs.add(name, map(_enip, records), [_ours_enip(row) for row in _of(found, "enip")])
        for name, records in base.zeek_logs(capture, "cip", (*HEAD, *CIP_LOG)):
            cips.add(name, map(_cip, records), [_ours_cip(row) for row in _of(found, "cip")])
    yield from (commands, services, statuses, objects, answered, logs, cips)


def _of(rows: list[Row], protocol: str) -> list[Row]:
    return [row for row in rows if row["ot.protocol"] == protocol]


def _tshark(case: str, wanted: list[Row], found: list[Row], commands: Line, services: Line, statuses: Line) -> None:
    theirs = [
        (row["frame.number"], command, status)
        for row in wanted
        for command, status in zip(ot.numbers(row["enip.command"]), ot.numbers(row["enip.status"]), strict=False)
    ]
    ours = [(str(row["log.offset"]), row["ot.function.code"], int(row["ot.status"], 16)) for row in _of(found, "enip")]
    commands.add(case, theirs, ours)
    heard = {row["frame.number"] for row in wanted}
    cip = [row for row in _of(found, "cip") if row["ot.function.code"] is not None]
    services.add(
        case,
        [
            (row["frame.number"], code, answers)
            for row in wanted
            for code, answers in zip(ot.numbers(row["cip.sc"]), ot.numbers(row["cip.rr"]), strict=False)
        ],
        [(str(row["log.offset"]), row["ot.function.code"], int(not row["ot.is_request"])) for row in cip],
    )
    statuses.add(
        case,
        [(row["frame.number"], status) for row in wanted for status in ot.numbers(row["cip.genstat"])],
        [
            (str(row["log.offset"]), int(row["ot.status"].split("/")[0], 16))
            for row in cip
            if row["ot.status"] and str(row["log.offset"]) in heard
        ],
    )


def _objects(case: str, wanted: list[Row], found: list[Row], asked: Line, answered: Line) -> None:
    """Frames of one CIP message or of equally many classes and messages; a frame is one unit."""
    ours: dict[tuple[str, bool], list[tuple[str, str]]] = {}
    for row in _of(found, "cip"):
        if row.get("ot.address") and row["ot.function.code"] is not None:
            key = (str(row["log.offset"]), bool(row["ot.is_request"]))
            ours.setdefault(key, []).append(_place(row["ot.address"]))
    for row in wanted:
        codes, classes = ot.numbers(row["cip.sc"]), ot.numbers(row["cip.class"])
        instances = ot.numbers(row["cip.instance"])
        if not codes or len(codes) != len(classes) or len(instances) != len(codes):
            continue
        asks = not any(ot.numbers(row["cip.rr"]))
        line = asked if asks else answered
        theirs = Counter((f"0x{one:02X}", str(two)) for one, two in zip(classes, instances, strict=True))
        mine = Counter(ours.get((row["frame.number"], asks), []))
        line.compared += 1
        if theirs == mine:
            line.equal += 1
        else:
            line.missing += 1
            line.note(f"{case} frame {row['frame.number']}", Counter(theirs - mine), Counter(mine - theirs))


def _place(address: str) -> tuple[str, str]:
    parts = address.split("/")
    return parts[0], parts[1] if len(parts) > 1 else ""


HEAD = (
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "is_orig"),
    *("source_h", "source_p", "destination_h", "destination_p"),
)
"""Columns every ICSNPP log begins with; its baselines have lost the line that names them."""
ENIP_LOG = ("enip_command_code", "enip_command", "length", "session_handle", "enip_status", "sender_context", "options")
CIP_LOG = (
    "cip_sequence_count",
    "direction",
    "cip_service_code",
    "cip_service",
    "cip_status_code",
    "cip_status",
    "cip_extended_status_code",
    "cip_extended_status",
    "class_id",
    "class_name",
    "instance_id",
    "attribute_id",
)


def _enip(row: Row) -> tuple[Any, ...]:
    return (row["source_h"], int(row["enip_command_code"], 0), int(row["length"]), int(row["session_handle"], 0))


def _ours_enip(row: Row) -> tuple[Any, ...]:
    extra = json.loads(row["event.fields"])
    return (row["source.ip"], row["ot.function.code"], extra["length"], extra["session"])


def _cip(row: Row) -> tuple[Any, ...]:
    status = int(row["cip_status_code"], 0) if row["cip_status_code"] else None
    place = (row["class_id"].upper().replace("X", "x"), str(int(row["instance_id"] or "0", 0)))
    asks = row["direction"] == "request"
    code = int(row["cip_service_code"], 0)
    return row["source_h"], int(row["cip_sequence_count"] or 0), asks, code, status, place if asks else None


def _ours_cip(row: Row) -> tuple[Any, ...]:
    status = int(row["ot.status"].split("/")[0], 16) if row["ot.status"] else None
    asks = bool(row["ot.is_request"])
    place = _place(row["ot.address"] or "") if asks else None
    return row["source.ip"], row["ot.transaction_id"], asks, row["ot.function.code"], status, place
