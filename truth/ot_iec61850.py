"""MMS, GOOSE and sampled values beside tshark: messages, services, invoke ids, control blocks and their counters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from truth import base, ot
from truth.base import Line

FOLDER = "ot-pcap/iec61850"
Row = dict[str, Any]
Unit = tuple[Any, ...]
SERVICES = ("initiate-", "conclude-", "cancel-")


def compare(data: Path) -> Iterator[Line]:
    """Units: a confirmed message by service and invoke id; other MMS by kind; a GOOSE by all its counters; an ASDU."""
    confirmed = Line(
        "mms", "tshark", "confirmed message: frame, kind, service, invoke id", floor=0.995, most_extra=ot.MORE
    )
    others = Line("mms", "tshark", "initiate, conclude, cancel, error: frame, kind", floor=0.995)
    named = Line("mms", "tshark", "request: frame, names it speaks of", floor=0.98, most_extra=ot.MORE_POINTS)
    goose = Line(
        "goose",
        "tshark",
        "message: frame, APPID, gocbRef, datSet, stNum, sqNum, entries",
        floor=0.995,
        most_extra=ot.MORE,
    )
    sampled = Line("sv", "tshark", "ASDU: frame, APPID, svID", floor=0.995, most_extra=ot.MORE)
    for capture in base.captures(data / FOLDER):
        wanted = ot.heard(capture)
        if not wanted:
            continue
        ours = ot.decoded(capture)
        _mms(
            capture.parent.name, wanted, [row for row in ours if row["ot.protocol"] == "mms"], confirmed, others, named
        )
        goose.add(
            capture.parent.name,
            [unit for row in wanted if row["goose.gocbRef"] for unit in _goose(row)],
            [_our_goose(row) for row in ours if row["ot.protocol"] == "goose"],
        )
        sampled.add(
            capture.parent.name,
            [
                (row["frame.number"], ot.numbers(row["sv.appid"])[0], name)
                for row in wanted
                for name in row["sv.svID"].split(",")
                if name
            ],
            [
                (str(row["log.offset"]), row["ot.unit_id"], row["ot.address"])
                for row in ours
                if row["ot.protocol"] == "sv"
            ],
        )
    yield from (confirmed, others, named, goose, sampled)


def _mms(case: str, wanted: list[Row], ours: list[Row], confirmed: Line, others: Line, named: Line) -> None:
    """tshark names a message in the column of information: ``initiate-RequestPDU``."""
    mine: list[Unit] = []
    rest: list[Unit] = []
    for row in ours:
        frame, kind = str(row["log.offset"]), row["ot.message.type"]
        if kind in ("confirmed-request", "confirmed-response"):
            mine.append((frame, kind, row["ot.function.code"], row["ot.transaction_id"]))
        elif kind == "confirmed-error" or kind.startswith(SERVICES):
            rest.append((frame, kind))
    theirs: list[Unit] = []
    told: list[Unit] = []
    known = {str(row["log.offset"]): row for row in ours}
    for row in wanted:
        frame = row["frame.number"]
        for kind in ("Request", "Response"):
            if row[f"mms.confirmedService{kind}"]:
                pairs = ot.joined(row, f"mms.confirmedService{kind}", "mms.invokeID")
                theirs += [(frame, f"confirmed-{kind.lower()}", *pair) for pair in pairs]
        words = row["_ws.col.Info"].lower().split()
        if row["_ws.col.Protocol"] == "MMS":
            kinds = [word.removesuffix("pdu") for word in words if word.endswith("pdu")]
            told += [(frame, kind) for kind in kinds if kind == "confirmed-error" or kind.startswith(SERVICES)]
            names = (
                row["_ws.col.Info"].split("confirmed-RequestPDU")[-1].split()
                if "RequestPDU " in row["_ws.col.Info"]
                else []
            )
            if names and row["mms.confirmedServiceRequest"]:
                named.add(case, [(frame, "/".join(names))], [(frame, (known.get(frame) or {}).get("ot.address"))])
    confirmed.add(case, theirs, mine)
    others.add(case, told, rest)


def _goose(row: Row) -> Iterator[Unit]:
    """Several messages of a frame are comma separated."""
    columns = [row[f"goose.{name}"].split(",") for name in ("gocbRef", "datSet", "stNum", "sqNum", "numDatSetEntries")]
    for one in zip_longest(*columns, fillvalue=""):
        yield (row["frame.number"], ot.numbers(row["goose.appid"])[0], *one)


def _our_goose(row: Row) -> Unit:
    extra = json.loads(row["event.fields"])
    counters = (str(extra.get("stNum")), str(extra.get("sqNum")), str(row["ot.quantity"]))
    return str(row["log.offset"]), row["ot.unit_id"], row["ot.address"], extra.get("datSet"), *counters
