"""DNP3 beside tshark, Zeek and Suricata's tests."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from truth import ot
from truth.base import Line

SECONDARY = {"ACK": 0, "NACK": 1, "LINK_STATUS": 11, "LINK_NOT_FUNCTIONING": 14, "NOT_SUPPORTED": 15}
PRIMARY = {"RESET_LINK_STATES": 0, "RESET_USER_PROCESS": 1, "TEST_LINK_STATES": 2, "REQUEST_LINK_STATUS": 9}
USER_DATA = frozenset((3, 4))


def compare(data: Path) -> Iterable[Line]:
    captures = list(ot.folders(data, "dnp3"))
    peers = (
        (
            "PDUs: frame, function, sequence",
            ot.CODES,
            _codes,
            lambda row: [(_at(row), row["ot.function.code"], row["ot.transaction_id"])],
        ),
        ("link frames without data", ot.CODES, _links, None),
        (
            "indications",
            ot.POINTS,
            _indications,
            lambda row: [(_at(row), row["ot.status"][:6])] if row["ot.status"] else [],
        ),
        ("object headers", ot.POINTS, _objects, _our_objects),
        ("addresses of link frames with PDUs", ot.POINTS, _addresses, lambda row: [(_at(row), *_link(row))]),
    )
    for unit, floor, theirs, mine in peers:
        more = None if unit == "object headers" else ot.MORE_POINTS
        line = Line("dnp3", "tshark", unit, floor=floor, most_extra=more)
        yield ot.tshark(line, captures, theirs, _units(mine))
    line = Line("dnp3", "Zeek", "responses: function, indications", floor=ot.CODES, most_extra=ot.MORE)
    yield ot.zeek(line, captures, "dnp3", _zeek, _our_responses)
    line = Line("dnp3", "Zeek", "requests answered: function", floor=ot.CODES)
    yield ot.zeek(
        line, captures, "dnp3", lambda record: [record["fc_request"]] if record["fc_request"] else [], _our_requests
    )
    line = Line("dnp3", "Suricata", "test filters", floor=ot.CODES)
    yield ot.suricata(line, captures, "dnp3", FIELDS, lambda capture: ot.ours(capture, "dnp3"))


def _at(row: ot.Row) -> int:
    return int(row["log.offset"])


def _link(row: ot.Row) -> tuple[int, int]:
    told = json.loads(row["event.fields"])
    return told["source"], told["destination"]


def _applied(capture: Path) -> list[ot.Row]:
    return [row for row in ot.ours(capture, "dnp3") if row["ot.function.code"] is not None]


def _units(mine: Any) -> Any:
    if mine is None:
        return _our_links
    return lambda capture: [unit for row in _applied(capture) for unit in mine(row)]


def _frame(row: dict[str, str]) -> int:
    return int(row["frame.number"])


def _codes(row: dict[str, str]) -> Iterator[Hashable]:
    return ((_frame(row), *pair) for pair in ot.joined(row, "dnp3.al.func", "dnp3.al.seq"))


def _links(row: dict[str, str]) -> Iterator[Hashable]:
    for code in ot.numbers(row["dnp3.ctl.prifunc"]):
        if code not in USER_DATA:
            yield _frame(row), "primary", code
    for code in ot.numbers(row["dnp3.ctl.secfunc"]):
        yield _frame(row), "secondary", code


def _our_links(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "dnp3"):
        if row["ot.function.code"] is None and "USER_DATA" not in row["ot.function.name"]:
            name, asks = row["ot.function.name"], row["ot.is_request"]
            yield _at(row), "primary" if asks else "secondary", (PRIMARY if asks else SECONDARY).get(name)


def _indications(row: dict[str, str]) -> Iterator[Hashable]:
    return ((_frame(row), iin) for iin in row["dnp3.al.iin"].split(",") if iin)


def _objects(row: dict[str, str]) -> Iterator[Hashable]:
    """Of a fragment tshark calls malformed the first header alone: what it reads behind an error is no header."""
    codes = ot.numbers(row["dnp3.al.obj"])
    malformed = "[Malformed Packet]" in row["_ws.col.Info"]
    return ((_frame(row), code >> 8, code & 255) for code in (codes[:1] if malformed else codes) if code)


def _our_objects(row: ot.Row) -> Iterator[Hashable]:
    for one in json.loads(row["event.fields"]).get("objects", ()):
        group, variation = one["object"].split(".")
        yield _at(row), int(group), int(variation)


def _addresses(row: dict[str, str]) -> Iterator[Hashable]:
    if row["dnp3.al.func"] and "," not in row["dnp3.src"]:
        yield _frame(row), int(row["dnp3.src"]), int(row["dnp3.dst"])


def _zeek(record: dict[str, str]) -> Iterator[Hashable]:
    if record["fc_reply"]:
        yield record["fc_reply"], int(record["iin"])


def _our_responses(capture: Path) -> Iterator[Hashable]:
    for row in _applied(capture):
        if row["ot.status"]:
            octets = int(row["ot.status"][:6], 16)
            yield row["ot.function.name"], octets


def _our_requests(capture: Path) -> Iterator[Hashable]:
    for row in _applied(capture):
        if row["ot.message.type"] in ("request", "confirm"):
            yield row["ot.function.name"]


def _object(row: ot.Row, nth: int) -> dict[str, Any]:
    objects = json.loads(row["event.fields"]).get("objects", [])
    return objects[nth] if nth < len(objects) else {}


def _part(nth: int, place: int) -> Any:
    return lambda row: int(_object(row, nth).get("object", "-1.-1").split(".")[place])


def _qualifier(nth: int) -> Any:
    return lambda row: _object(row, nth).get("qualifier")


FIELDS: dict[str, Any] = {
    "dnp3.type": lambda row: {"request": "request", "confirm": "request", "unsolicited": "unsolicited_response"}.get(
        row["ot.message.type"], "response"
    ),
    "dnp3.src": lambda row: _link(row)[0],
    "dnp3.dst": lambda row: _link(row)[1],
    "dnp3.application.function_code": lambda row: row["ot.function.code"],
    "dnp3.application.control.sequence": lambda row: row["ot.transaction_id"],
    **{f"dnp3.application.objects[{nth}].group": _part(nth, 0) for nth in range(4)},
    **{f"dnp3.application.objects[{nth}].variation": _part(nth, 1) for nth in range(4)},
    **{f"dnp3.application.objects[{nth}].qualifier": _qualifier(nth) for nth in range(4)},
    "dnp3.application.objects[0].points[0].filename": lambda row: (_object(row, 0).get("values") or [None])[0],
}
