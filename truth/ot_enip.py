"""EtherNet/IP and CIP beside tshark and ICSNPP: commands, services, statuses, and the objects they are for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from truth import base, ot
from truth.base import Line

FOLDER = "ot-pcap/enip-cip"
Row = dict[str, Any]


def compare(data: Path) -> Iterator[Line]:
    """Units: (frame, command, status), (frame, service, direction), and those with class and instance."""
    commands = Line("enip", "tshark", "message: frame, command, session status", floor=0.995, most_extra=ot.MORE)
    services = Line("cip", "tshark", "message: frame, service, direction", floor=0.995, most_extra=ot.MORE)
    statuses = Line("cip", "tshark", "response: frame, general status", floor=0.995, most_extra=ot.MORE)
    objects = Line(
        "cip", "tshark", "request: frame, classes and instances in order", floor=0.98, most_extra=ot.MORE_POINTS
    )
    answered = Line(
        "cip", "tshark", "response: frame, classes and instances in order", floor=0.98, most_extra=ot.MORE_POINTS
    )
    logs = Line(
        "enip",
        "zeek-icsnpp",
        "enip.log: direction, command, length, session, status",
        floor=0.995,
        most_extra=ot.MORE_POINTS,
    )
    cips = Line(
        "cip",
        "zeek-icsnpp",
        "cip.log: direction, sequence, service, status, class, instance",
        floor=0.98,
        most_extra=ot.MORE_POINTS,
    )
    cyclic = Line(
        "cip", "zeek-icsnpp", "cip_io.log: connection, sequence, length, data", floor=0.98, most_extra=ot.MORE_POINTS
    )
    who = Line(
        "enip",
        "zeek-icsnpp",
        "cip_identity.log: address, vendor, kind, product, serial, name",
        floor=0.98,
        most_extra=ot.MORE_POINTS,
    )
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
            cips.add(name, map(_cip, records), _ours_cip(found))
        for name, records in base.zeek_logs(capture, "cip_io", (*HEAD[:7], *IO_LOG)):
            cyclic.add(
                name, map(_io, records), [_our_io(row) for row in _of(found, "cip") if row["ot.message.type"] == "io"]
            )
        for name, records in base.zeek_logs(capture, "cip_identity", (*HEAD, *IDENTITY_LOG)):
            who.add(name, map(_identity, records), filter(None, map(_our_identity, _of(found, "enip"))))
    yield from (commands, services, statuses, objects, answered, logs, cips, cyclic, who)


def _of(rows: list[Row], protocol: str) -> list[Row]:
    return [row for row in rows if row["ot.protocol"] == protocol]


def _tshark(case: str, wanted: list[Row], found: list[Row], commands: Line, services: Line, statuses: Line) -> None:
    theirs = [
        (row["frame.number"], command, status)
        for row in wanted
        for command, status in ot.joined(row, "enip.command", "enip.status")
    ]
    ours = [(str(row["log.offset"]), row["ot.function.code"], int(row["ot.status"], 16)) for row in _of(found, "enip")]
    commands.add(case, theirs, ours)
    heard = {row["frame.number"] for row in wanted}
    cip = [row for row in _of(found, "cip") if row["ot.function.code"] is not None]
    services.add(
        case,
        [(row["frame.number"], code, answers) for row in wanted for code, answers in _services(row)],
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


def _services(row: Row) -> Iterator[tuple[int | None, int | None]]:
    """Services and directions; for an Unconnected Send tshark has the direction once more than the service."""
    codes, ways = ot.numbers(row["cip.sc"]), ot.numbers(row["cip.rr"])
    if len(codes) != len(ways) and len(set(ways)) == 1:
        return ((code, ways[0]) for code in codes)
    return (pair for pair in zip_longest(codes, ways))


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
    return (_sender(row), int(row["enip_command_code"], 0), int(row["length"]), int(row["session_handle"], 0))


def _ours_enip(row: Row) -> tuple[Any, ...]:
    extra = json.loads(row["event.fields"])
    return (row["source.ip"], row["ot.function.code"], extra["length"], extra["session"])


IO_LOG = ("connection_id", "sequence_number", "data_length", "io_data")
IDENTITY_LOG = (
    "encapsulation_version",
    "socket_address",
    "socket_port",
    "vendor_id",
    "vendor_name",
    "device_type_id",
    "device_type_name",
    "product_code",
    "revision",
    "device_status",
    "serial_number",
    "product_name",
    "device_state",
)


def _cip(row: Row) -> tuple[Any, ...]:
    status = int(row["cip_status_code"], 0) if row["cip_status_code"] else None
    place = (
        (row["class_id"].upper().replace("X", "x"), str(int(row["instance_id"] or "0", 0))) if row["class_id"] else None
    )
    asks = row["direction"] == "request"
    code = int(row["cip_service_code"], 0)
    return _sender(row), int(row["cip_sequence_count"] or 0), asks, code, status, place if asks else None


def _sender(row: Row) -> str:
    """Logs without the pair of sender and receiver tell it by the direction."""
    return str(row.get("source_h") or row["id.orig_h" if row["is_orig"] == "T" else "id.resp_h"])


def _ours_cip(found: list[Row]) -> list[tuple[Any, ...]]:
    """Messages in an encapsulation without a connection have no sequence count: 0, as the peer says."""
    units, connected = [], True
    for row in found:
        if row["ot.protocol"] == "enip":
            connected = row["ot.function.code"] == 0x70
        elif row["ot.protocol"] == "cip" and row["ot.message.type"] != "io":
            status = int(row["ot.status"].split("/")[0], 16) if row["ot.status"] else None
            asks = bool(row["ot.is_request"])
            place = _place(row["ot.address"] or "")
            told = place if asks and place[0].startswith("0x") else None
            sequence = row["ot.transaction_id"] if connected else 0
            units.append((row["source.ip"], sequence, asks, row["ot.function.code"], status, told))
    return units


def _io(row: Row) -> tuple[Any, ...]:
    told = (int(row["connection_id"], 16), int(row["sequence_number"]), int(row["data_length"]))
    return _sender(row), *told, row["io_data"]


def _our_io(row: Row) -> tuple[Any, ...]:
    told = (int(row["ot.address"], 16), row["ot.transaction_id"], row["ot.quantity"])
    return row["source.ip"], *told, (row["ot.value"] or "0x")[2:]


def _identity(row: Row) -> tuple[Any, ...]:
    numbers = tuple(int(row[name], 0) for name in ("vendor_id", "device_type_id", "product_code", "serial_number"))
    return row["socket_address"], *numbers, row["revision"], row["product_name"]


def _our_identity(row: Row) -> tuple[Any, ...] | None:
    extra = json.loads(row["event.fields"])
    if "identity.vendor" not in extra:
        return None
    numbers = tuple(extra[f"identity.{name}"] for name in ("vendor", "device_type", "product_code", "serial"))
    return extra["identity.ip"], *numbers, extra["identity.revision"], extra["identity.product_name"]
