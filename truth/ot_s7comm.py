"""S7comm beside tshark and Zeek with the ICSNPP analyzer; S7comm-plus beside the frames tshark leaves to it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path

from truth import ot
from truth.base import Line

KINDS = {1: "job", 2: "ack", 3: "ack_data", 7: "userdata"}


def compare(data: Path) -> Iterable[Line]:
    captures = list(ot.folders(data, "s7comm"))
    line = Line("s7comm", "tshark", "PDUs: frame, kind, reference, function", floor=ot.CODES, most_extra=ot.MORE)
    yield ot.tshark(line, captures, _codes, _our_codes)
    line = Line("s7comm", "tshark", "error classes and codes", floor=ot.POINTS, most_extra=ot.MORE_POINTS)
    yield ot.tshark(line, captures, _errors, _our_errors)
    line = Line("s7comm", "tshark", "system status lists asked for", floor=ot.POINTS)
    yield ot.tshark(line, captures, _lists, _our_lists)
    line = Line("s7comm", "Zeek ICSNPP", "PDUs: kind, reference, function, subfunction", floor=ot.CODES)
    yield ot.zeek(line, captures, "s7comm", _zeek, _our_zeek)
    line = Line("s7comm", "Zeek ICSNPP", "system status lists", floor=ot.POINTS)
    yield ot.zeek(line, captures, "s7comm_read_szl", _szl, _our_szl)
    line = Line("s7comm", "Zeek ICSNPP", "transfers: function, file, session", floor=ot.POINTS)
    yield ot.zeek(line, captures, "s7comm_upload_download", _transfers, _our_transfers)


def _codes(row: dict[str, str]) -> Iterator[Hashable]:
    """Functions stand in one column, groups and subfunctions of userdata in two others, each in order."""
    columns = {name: iter(ot.numbers(row[f"s7comm.{name}"])) for name in ("param.func", "header.pduref")}
    groups = iter(ot.numbers(row["s7comm.param.userdata.funcgroup"]))
    subfunctions = iter(ot.numbers(row["s7comm.param.userdata.subfunc"]))
    for kind in ot.numbers(row["s7comm.header.rosctr"]):
        if kind == 7:
            group = next(groups, None)
            code = None if group is None else group * 256 + (next(subfunctions, 0) if group else 0)
        else:
            code = next(columns["param.func"], None) if kind != 2 else None
        yield int(row["frame.number"]), KINDS.get(kind), next(columns["header.pduref"], None), code


def _our_codes(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "s7comm"):
        code = row["ot.function.code"]
        mode = row["ot.message.type"] == "userdata" and code is not None and code < 256
        shown = None if row["ot.message.type"] == "ack" else 0 if mode else code  # an ack has no parameters of its own
        yield row["log.offset"], row["ot.message.type"], row["ot.transaction_id"], shown


def _errors(row: dict[str, str]) -> Iterator[Hashable]:
    pairs = ot.joined(row, "s7comm.header.errcls", "s7comm.header.errcod")
    return ((int(row["frame.number"]), *pair) for pair in pairs)


def _our_errors(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "s7comm"):
        if row["ot.message.type"] in ("ack", "ack_data"):
            status = row["ot.status"] if len(row["ot.status"]) == 6 else "0x0000"
            yield row["log.offset"], int(status[2:4], 16), int(status[4:], 16)


def _lists(row: dict[str, str]) -> Iterator[Hashable]:
    return ((int(row["frame.number"]), number) for number in ot.numbers(row["s7comm.data.userdata.szl_id"]))


def _our_lists(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "s7comm"):
        if (row["ot.address"] or "").startswith("SZL "):
            yield row["log.offset"], int(row["ot.address"][4:10], 16)


def _zeek(record: dict[str, str]) -> Iterator[Hashable]:
    """The reference is shown with its octets turned; function of userdata is type and group in one octet."""
    kind = KINDS.get(int(record["rosctr_code"]))
    code = ot.number(record["function_code"])
    if kind == "userdata" and code is not None:
        code = (code & 15) * 256 + (ot.number(record["subfunction_code"]) or 0)
    yield kind, _turned(int(record["pdu_reference"])), code


def _turned(reference: int) -> int:
    return (reference & 255) << 8 | reference >> 8


def _our_zeek(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "s7comm"):
        yield row["ot.message.type"], row["ot.transaction_id"], row["ot.function.code"]


def _szl(record: dict[str, str]) -> Iterator[Hashable]:
    yield record["method"].lower(), int(record["szl_id"], 16), int(record["szl_index"], 16)


def _our_szl(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "s7comm"):
        if (row["ot.address"] or "").startswith("SZL "):
            one, index = row["ot.address"][4:].split("/")
            yield json.loads(row["event.fields"])["kind"], int(one, 16), int(index, 16)


def _transfers(record: dict[str, str]) -> Iterator[Hashable]:
    yield record["function_name"].lower(), record["filename"] or None, _session(record["session_id"])


def _session(text: str) -> int | None:
    return int(text, 0) if text else None


def _our_transfers(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "s7comm"):
        code = row["ot.function.code"]
        if row["ot.message.type"] != "userdata" and code is not None and 0x1A <= code <= 0x1F:
            told = json.loads(row["event.fields"] or "{}")
            yield row["ot.function.name"].lower(), told.get("file"), told.get("session")
