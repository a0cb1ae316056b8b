"""Information elements (IANA IPFIX registry; RFC 3954 shares the numbers) as columns of flow records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import address
from cityguard.decoders.events import Ends, count, keyed, moment
from cityguard.decoders.packet import ICMP, ICMP6, TCP, Words

VARIABLE = 65_535
_REVERSE = 29305
_MAPPED = 0xFFFF_0000_0000
_NTP = 2_208_988_800  # seconds from 1900 to 1970

# Column <- elements that may fill it, the best first. "r" marks the reverse direction (RFC 5103).
_COUNTERS = {
    "bytes": (1, 231, 85, 23),
    "packets": (2, 298, 86, 24),
    "back_bytes": (232, "r1", "r85"),
    "back_packets": (299, "r2", "r86"),
    "flags": (6,),
    "proto": (4,),
    "source_port": (7, 182, 180),
    "destination_port": (11, 183, 181),
    "source_mac": (56, 81),
    "destination_mac": (80, 57),
    "vlan": (58, 243),
    "reason": (136,),
    "direction": (61,),
    "input": (10,),
    "output": (14,),
    "tos": (5,),
    "icmp": (32, 139),
    "icmp_type": (176, 178),
    "icmp_code": (177, 179),
    "rate": (34, 50, 305),
}
_REASONS = ("", "idle_timeout", "active_timeout", "end_of_flow", "forced_end", "lack_of_resources")
_STARTS = ((156, "ntp"), (154, "ntp"), (152, "ms"), (150, "s"), (22, "uptime"), (158, "delta"))
_ENDS = ((157, "ntp"), (155, "ntp"), (153, "ms"), (151, "s"), (21, "uptime"), (159, "delta"))
_FLOW = {8, 12, 27, 28, 56, 80, 366}  # 366: a wireless station's address


@dataclass(slots=True)
class Datagram:
    """What the records of a datagram share."""

    number: int
    time: int  # ns, when it was received; 0 = unknown
    peer: str
    version: int
    domain: int
    exported: int  # seconds
    uptime: int  # ms
    sampling: int = -1
    used: bool = False
    raw: bytes = b""
    waiting: int = 0  # how many of its sets wait for their template


@dataclass(frozen=True)
class Template:
    """Fields in order as (enterprise, element, length); equal templates decode alike."""

    fields: tuple[tuple[int, int, int], ...]
    options: bool = False
    variable: bool = False

    @cached_property
    def size(self) -> int:
        """Bytes of a record, fields of variable length left out."""
        return sum(length for _, _, length in self.fields if not (self.variable and length == VARIABLE))

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """The elements known here, by name, at their places."""
        names, formats, offsets, at = list[str](), list[str](), list[int](), 0
        for enterprise, element, length in self.fields:
            if self.variable and length == VARIABLE:
                continue
            name = f"r{element}" if enterprise == _REVERSE else str(element)
            if enterprise in (0, _REVERSE) and length and name not in names:
                names.append(name)
                formats.append(f">u{length}" if length in (1, 2, 4, 8) else f"V{length}")
                offsets.append(at)
            at += length
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": self.size})

    @property
    def is_flow(self) -> bool:
        """Whether its records tell of traffic between two ends."""
        return not self.options and any(enterprise == 0 and one in _FLOW for enterprise, one, _ in self.fields)


_V5_FIELDS = ((8, 4), (12, 4), (15, 4), (10, 2), (14, 2), (2, 4), (1, 4), (22, 4), (21, 4), (7, 2), (11, 2), (210, 1))
_V5_REST = ((6, 1), (4, 1), (5, 1), (16, 2), (17, 2), (9, 1), (13, 1), (210, 2))
V5 = Template(tuple((0, element, length) for element, length in _V5_FIELDS + _V5_REST))
"""The fixed record of NetFlow v5."""


def fixed(template: Template, body: bytes) -> Iterator[bytes]:
    """Records of a template with fields of variable length (RFC 7011, 7), those fields left out."""
    place = 0
    while place < len(body):
        parts = []
        begin = place
        for _, _, length in template.fields:
            size = length
            if length == VARIABLE:
                size, place = (body[place], place + 1) if place < len(body) else (0, place + 1)
                if size == 255:
                    size, place = int.from_bytes(body[place : place + 2], "big"), place + 2
            else:
                parts.append(body[place : place + size])
            place += size
        if place > len(body) or place == begin:
            return
        yield b"".join(parts)


def sampling(template: Template, body: bytes) -> Iterator[tuple[int, int]]:
    """(sampler, 1-of-N) pairs an exporter announces in option records; sampler -1 = all."""
    records = np.frombuffer(body[: len(body) // template.size * template.size], template.dtype)
    rate = _best(records, (50, 305, 34))
    space, sampler = _best(records, (306,)), _best(records, (302, 48))
    full = np.where((space > 0) & (rate > 0), (rate + space) // np.maximum(rate, 1), rate)
    for one, number in zip(full.tolist(), sampler.tolist(), strict=True):
        if 0 < one < 1 << 31:
            yield number, one


def table(groups: list[tuple[Template, list[tuple[bytes, Datagram]]]]) -> pl.DataFrame:
    """Rows of the dataset ``flow`` for the data sets of each template, in order of datagram."""
    parts = [_columns(template, sets) for template, sets in groups if template.is_flow]
    if not parts:
        return pl.DataFrame()
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["number"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    peers = [datagram.peer or None for template, sets in groups if template.is_flow for _, datagram in sets]
    return _rows(columns, pl.Series("observer.ip", peers, pl.String)[_nth(parts)[order]])


def _nth(parts: list[dict[str, Any]]) -> Words:
    """Which set each row came from, counted over all parts."""
    before, out = 0, []
    for part in parts:
        out.append(part["set"].astype(np.int64) + before)
        before += int(part["set"].max()) + 1 if len(part["set"]) else 0
    return np.concatenate(out)


def _columns(template: Template, sets: list[tuple[bytes, Datagram]]) -> dict[str, Any]:
    records = np.frombuffer(b"".join(body for body, _ in sets), template.dtype)
    many = np.array([len(body) // template.size for body, _ in sets])

    def shared(values: list[int]) -> Words:
        return np.repeat(np.array(values, np.int64), many)

    out: dict[str, Any] = {name: _best(records, numbers) for name, numbers in _COUNTERS.items()}
    out["set"] = shared(list(range(len(sets))))
    out["number"] = shared([one.number for _, one in sets])
    exported = shared([one.exported for _, one in sets])
    received = shared([one.time for _, one in sets])
    boot = exported * 1000 - shared([one.uptime for _, one in sets])
    boot = np.where(_best(records, (160,)) > 0, _best(records, (160,)), boot)
    out["start"], out["end"] = (_time(records, forms, exported, boot) for forms in (_STARTS, _ENDS))
    length = _best(records, (161,))
    known = (out["start"] > 0) & (out["end"] <= 0) & (length >= 0)
    out["end"] = np.where(known, out["start"] + length * 1_000_000, out["end"])
    out["exported"] = np.where(exported > 0, exported * 1_000_000_000, received)
    out["rate"] = np.where(out["rate"] > 0, out["rate"], shared([one.sampling for _, one in sets]))
    for end, four, six in (("source", ("8", "366"), "27"), ("destination", ("12",), "28")):
        out[end + "_high"], out[end + "_low"], out[end + "_six"] = _address(records, four, six)
    return out


def _address(
    records: npt.NDArray[np.void], fours: tuple[str, ...], six: str
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    names = records.dtype.names or ()
    n = len(records)
    low = np.full(n, _MAPPED, np.uint64)
    high, is_six = np.zeros(n, np.uint64), np.zeros(n, np.bool_)
    for four in fours:
        if four in names and records.dtype[four].itemsize == 4:
            low |= records[four].astype(np.uint64)
            break
    if six in names and records.dtype[six].itemsize == 16:
        halves = np.ascontiguousarray(records[six]).view(">u8").reshape(n, 2).astype(np.uint64)
        is_six = ((halves[:, 0] | halves[:, 1]) != 0) & (low == _MAPPED)
        high, low = np.where(is_six, halves[:, 0], high), np.where(is_six, halves[:, 1], low)
    return high, low, is_six


def _best(records: npt.NDArray[np.void], numbers: tuple[int | str, ...]) -> Words:
    """The first of some elements that is there and not 0, as int64; -1 where none is there."""
    out = np.full(len(records), -1, np.int64)
    names = records.dtype.names or ()
    for number in numbers:
        if str(number) in names:
            value = _integer(records[str(number)])
            out = np.where(out > 0, out, value)
    return out


def _integer(values: npt.NDArray[np.generic]) -> Words:
    """Unsigned integers of any width; what does not fit 63 bits is unknown (-1)."""
    if values.dtype.kind == "u":
        return np.maximum(values.astype(np.uint64).astype(np.int64), -1)
    width = values.dtype.itemsize
    octets = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), width)[:, -8:]
    out = np.zeros(len(values), np.int64)
    for at in range(octets.shape[1]):
        out = out << 8 | octets[:, at]
    return np.maximum(out, -1)


def _time(records: npt.NDArray[np.void], forms: tuple[tuple[int, str], ...], exported: Words, boot: Words) -> Words:
    """Times in ns from the first form that is there; 0 where unknown or absurd."""
    names = records.dtype.names or ()
    for number, form in forms:
        if str(number) not in names:
            continue
        field = records[str(number)]
        value = _integer(field)
        if form == "ntp":
            raw = field.astype(np.uint64) if field.dtype.kind == "u" else np.zeros(len(field), np.uint64)
            seconds = (raw >> np.uint64(32)).astype(np.int64) - _NTP
            part = ((raw & np.uint64(0xFFFFFFFF)) * np.uint64(1_000_000_000) >> np.uint64(32)).astype(np.int64)
            time = np.where(np.abs(seconds) < 1 << 33, seconds, 0) * 1_000_000_000 + part
        elif form == "uptime":
            # Uptime wraps after 49.7 days: take the reading nearest to the export.
            age = (exported * 1000 - boot - value) & 0xFFFFFFFF
            age = np.where(age > 1 << 31, age - (1 << 32), age)
            time = np.where(exported > 0, (exported * 1000 - age) * 1_000_000, 0)
        elif form == "delta":
            time = (exported * 1_000_000 - value) * 1000
        else:
            unit = 1_000_000 if form == "ms" else 1_000_000_000
            time = np.where(value < 9_000_000_000_000_000_000 // unit, value, 0) * unit
        usable = (time > 0) & ((value >= 0) | (form == "ntp"))
        known: Words = np.zeros(len(records), np.int64)
        known[usable] = time[usable]
        return known
    return np.zeros(len(records), np.int64)


def _rows(columns: dict[str, Any], peers: pl.Series) -> pl.DataFrame:
    def column(name: str) -> Words:
        found: Words = columns[name].astype(np.int64)
        return found

    proto, six = column("proto"), (columns["source_six"] | columns["destination_six"]).astype(np.bool_)
    told = np.where(column("icmp_type") >= 0, column("icmp_type") << 8 | np.maximum(column("icmp_code"), 0), -1)
    is_icmp = (proto == ICMP) | (proto == ICMP6)
    # Many exporters put type and code into the destination port.
    icmp = np.where(is_icmp, np.maximum(np.maximum(told, column("icmp")), column("destination_port")), -1) & 0xFFFF
    icmp = np.where(is_icmp, icmp, -1)
    start, end, exported = column("start"), column("end"), column("exported")
    ends = Ends(
        column("number"),
        np.where(start > 0, start, exported),
        six,
        np.maximum(proto, 0).astype(np.uint8),
        (columns["source_high"].astype(np.uint64), columns["source_low"].astype(np.uint64)),
        (columns["destination_high"].astype(np.uint64), columns["destination_low"].astype(np.uint64)),
        np.where(is_icmp, -1, column("source_port")),
        np.where(is_icmp, -1, column("destination_port")),
        np.where(column("vlan") > 0, column("vlan") & 0xFFF, -1),
        icmp,
    )
    table = keyed(ends)
    size, back = count(column("bytes")), count(column("back_bytes"))
    packets, back_packets = count(column("packets")), count(column("back_packets"))
    both = (start > 0) & (end >= start)
    return table.with_columns(
        _known(table["source.ip"]),
        _known(table["destination.ip"]),
        table["network.transport"].set(pl.Series(proto < 0), None),
        table["network.community_id"].set(pl.Series(proto < 0), None),
        peers,
        size.alias("source.bytes"),
        packets.alias("source.packets"),
        back.alias("destination.bytes"),
        back_packets.alias("destination.packets"),
        _total(size, back).alias("network.bytes"),
        _total(packets, back_packets).alias("network.packets"),
        address.mac(np.where(column("source_mac") > 0, column("source_mac"), -1)).alias("source.mac"),
        address.mac(np.where(column("destination_mac") > 0, column("destination_mac"), -1)).alias("destination.mac"),
        moment(start).alias("event.start"),
        moment(end).alias("event.end"),
        count(np.where(both, end - start, -1)).alias("event.duration"),
        count(np.where(proto == TCP, column("flags"), -1)).cast(pl.Int32).alias("tcp.flags"),
        count(np.where(column("rate") < 1 << 31, column("rate"), -1)).cast(pl.Int32).alias("flow.sampling"),
        _named((*_REASONS[1:],), column("reason") - 1).alias("flow.state"),
        _named(("inbound", "outbound"), column("direction")).alias("network.direction"),
        count(np.where(icmp >= 0, icmp >> 8, -1)).cast(pl.Int32).alias("icmp.type"),
        count(np.where(icmp >= 0, icmp & 255, -1)).cast(pl.Int32).alias("icmp.code"),
        _rest(columns),
    )


def _known(addresses: pl.Series) -> pl.Series:
    """0.0.0.0 and :: stand for "not told" in flow records."""
    return addresses.set(addresses.is_in(["0.0.0.0", "::"]), None)  # noqa: S104 - compared, not bound


def _total(one: pl.Series, other: pl.Series) -> pl.Series:
    both = one.fill_null(0) + other.fill_null(0)
    return both.set(one.is_null() & other.is_null(), None)


def _named(names: tuple[str, ...], index: Words) -> pl.Series:
    inside = (index >= 0) & (index < len(names))
    return pl.Series("", [*names, None], pl.String)[np.where(inside, index, len(names))]


def _rest(columns: dict[str, Any]) -> pl.Series:
    """Interfaces and type of service as ``event.fields``, where told."""
    parts = [
        pl.when(pl.col(name) >= 0).then(pl.format('"{}":{}', pl.lit(name), pl.col(name)))
        for name in ("input", "output", "tos")
    ]
    frame = pl.DataFrame({name: columns[name] for name in ("input", "output", "tos")})
    text = frame.select(pl.concat_str(parts, separator=",", ignore_nulls=True)).to_series()
    return ("{" + text + "}").set(text == "", None).alias("event.fields")
