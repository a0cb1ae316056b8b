"""IEC 60870-5-104 beside tshark, and beside the test vectors of the Zeek analyzer."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import iec104
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from truth import ot
from truth.base import Line

FORMATS = {0: "i", 1: "s", 3: "u"}
UNNUMBERED = {0x01: "STARTDT act", 0x02: "STARTDT con", 0x04: "STOPDT act", 0x08: "STOPDT con"} | {
    0x10: "TESTFR act",
    0x20: "TESTFR con",
}
CAUSES = {
    "percyc": 1,
    "back": 2,
    "spont": 3,
    "init": 4,
    "req": 5,
    "act": 6,
    "actcon": 7,
    "deact": 8,
    "deactcon": 9,
    "actterm": 10,
    "retrem": 11,
    "retloc": 12,
    "file": 13,
    "auth": 14,
    "inrogen": 20,
    "reqcogen": 37,
    "unknown_type": 44,
    "unknown_cause": 45,
    "unknown_asdu_address": 46,
    "unknown_object_address": 47,
}
"""Causes as the analyzer names them, in lower case."""
VALUES = frozenset(
    {
        *("spi", "dpi", "sva", "nva", "r32", "value", "raw_data", "qoi", "qcc", "scs", "dcs", "rcs", "coi", "fbp"),
        *("bsi", "bcr", "counter", "vti", "qrp", "tsc", "qpa"),
    }
)
BITS = ("ov", "bl", "sb", "nt", "iv")


def compare(data: Path) -> Iterable[Line]:
    captures = list(ot.folders(data, "iec104"))
    line = Line("iec104", "tshark", "APDUs: frame, type, cause, common address", floor=ot.CODES, most_extra=ot.MORE)
    yield ot.tshark(line, captures, _apdus, _our_apdus)
    line = Line("iec104", "tshark", "information object addresses", floor=ot.POINTS, most_extra=ot.MORE_POINTS)
    yield ot.tshark(line, captures, _addresses, _our_addresses)
    line = Line("iec104", "zeek-iec104 vectors", "assertions: type, cause, addresses, values, quality, time", floor=1.0)
    for path in sorted((data / "ot-pcap" / "iec104").rglob("*.json")) if (data / "ot-pcap" / "iec104").is_dir() else ():
        vector = json.loads(path.read_text())
        if {"hex", "assertions"} <= vector.keys():
            line.add(path.stem, _asserted(vector["assertions"]), _said(bytes.fromhex(vector["hex"])))
    yield line


def _apdus(row: dict[str, str]) -> Iterator[Hashable]:
    frame = int(row["frame.number"])
    formats = [FORMATS.get(code) for code in ot.numbers(row["iec60870_104.type"])]
    yield from ((frame, "s") for one in formats if one == "s")
    yield from ((frame, "u", UNNUMBERED.get(code)) for code in ot.numbers(row["iec60870_104.utype"]))
    units = ot.joined(row, "iec60870_asdu.typeid", "iec60870_asdu.causetx", "iec60870_asdu.addr")
    yield from ((frame, "i", *unit) for unit in units)


def _our_apdus(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "iec104"):
        frame, kind = row["log.offset"], row["ot.message.type"]
        if kind == "s":
            yield frame, "s"
        elif kind == "u":
            yield frame, "u", row["ot.function.name"]
        else:
            yield frame, "i", row["ot.function.code"], json.loads(row["event.fields"]).get("cause"), row["ot.unit_id"]


def _addresses(row: dict[str, str]) -> Iterator[Hashable]:
    return ((int(row["frame.number"]), address) for address in ot.numbers(row["iec60870_asdu.ioa"]))


def _our_addresses(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "iec104"):
        yield from ((row["log.offset"], address) for address in _places(row))


def _places(row: ot.Row) -> list[int]:
    told = json.loads(row["event.fields"] or "{}")
    return list(told.get("addresses") or ot.numbers(row["ot.address"] or ""))


def _asserted(assertions: list[tuple[int, str]]) -> Iterator[Hashable]:
    """Units of a vector: message members as they are, and per object its address, value, quality and time."""
    number, base, members = 0, 0, dict[str, str]()

    def given() -> Iterator[Hashable]:
        nonlocal number
        if members:
            yield from _object(number, base, members)
            number += 1
            members.clear()

    for _, text in assertions:
        words = dict(re.findall(r"(\w+)=(\S+)", text))
        if "iec104::Ctrl" in text:
            yield from given()
            yield from ((name, int(words[name])) for name in ("ssn", "rsn") if name in words)
        for name in ("type_id", "cot"):
            if name in words:
                value = words[name].rsplit("::", 1)[-1]
                yield name, CAUSES.get(value.lower(), value) if name == "cot" else value
        yield from ((name, int(words[name])) for name in ("nobj", "pn", "test", "originator_address") if name in words)
        if "common_address" in words:
            yield "common_address", int(words["common_address"])
        for name in ("obj_addr", "base_addr"):
            if name in words:
                yield from given()
                number, base = 0, int(words[name])
        if words.keys() & VALUES:
            if members.keys() & VALUES:
                yield from given()
            members |= words
        elif members:
            members |= words
    yield from given()


def _object(nth: int, base: int, members: dict[str, str]) -> Iterator[Hashable]:
    value = next(members[name] for name in members if name in VALUES)
    yield base + nth, "value", _number(value)
    if "nt" in members:
        yield base + nth, "quality", "+".join(bit for bit in BITS if members.get(bit) == "1")
    if "se" in members:
        yield base + nth, "select", members["se"] == "1"
    if "year" in members:
        date = f"20{int(members['year']):02}-{int(members['month']):02}-{int(members['day']):02}"
        seconds = int(members["ms"]) / 1000
        yield base + nth, "time", f"{date}T{int(members['hour']):02}:{int(members['minute']):02}:{seconds:06.3f}"


def _number(text: str) -> float | str:
    """A value to six digits, as the vectors are written."""
    try:
        return float(f"{float(text):.5g}")
    except ValueError:
        return text.rsplit("::", 1)[-1]


def _said(payload: bytes) -> Iterator[Hashable]:
    """The same units of our rows of a stream."""
    out = Out("iec104")
    link = iec104.Iec104(out).stream(Talk((0, 1, 40000), (0, 2, iec104.PORT), 6, False, 0))
    link.feed(0, payload, Moment(1, 1))
    link.close()
    for row in out.rows("ot").fields:
        told = json.loads(row.get("event.fields") or "{}")
        if row["ot.message.type"] != "i":
            yield from ((name, told[key]) for name, key in (("ssn", "send"), ("rsn", "receive")) if key in told)
            continue
        yield from (("ssn", told["send"]), ("rsn", told["receive"]))
        yield from (("type_id", row["ot.function.name"]), ("cot", told["cause"]), ("nobj", row["ot.quantity"]))
        yield from (("pn", int(told.get("negative", False))), ("test", int(told.get("test", False))))
        yield from (("originator_address", told["originator"]), ("common_address", row["ot.unit_id"]))
        yield from _our_objects(row, told)


def _our_objects(row: ot.Row, told: dict[str, Any]) -> Iterator[Hashable]:
    values = told.get("values") or (row["ot.value"] or "").split(",")
    monitored = row["ot.function.name"].startswith("M_")
    for nth, (place, value) in enumerate(zip_longest(_places(row), values)):
        yield place, "value", None if value is None else _number(value)
        quality = told["quality"][nth] if "quality" in told else ""
        if monitored:
            yield place, "quality", quality
        elif "select" in quality or "execute" in quality:
            yield place, "select", "select" in quality
        if "time" in told:
            yield place, "time", told["time"][nth]
