"""Modbus/TCP (MODBUS Application Protocol V1.1b3, Messaging on TCP/IP V1.0b) to one row per PDU.

Framing has two paths. A connection whose segments each hold exactly one PDU, in order, is framed as arrays; every
other one is put in order byte by byte. What a PDU says is read as arrays for both.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders.events import count, keyed
from cityguard.decoders.flow import Keys
from cityguard.decoders.ot import modbus_pdu
from cityguard.decoders.ot.modbus_columns import Adus, Fields, Requests, Waiting, lives
from cityguard.decoders.packet import Bools, Packets, U64s, Window, Words
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import FULL, Side, distance
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.inorder import ends_of
from cityguard.model import LogSource

PORT = 502
MAX_ADU = 1_024
"""Bytes of one MBAP header and PDU at most. The specification says 260 (1.1b3, 4.1); UMAS devices send more."""
MAX_CONNECTIONS = 50_000
MAX_WAITING = 65_536
"""Requests that wait for their response into the next piece."""
MAX_HOLES = 32
_BEFORE = 1 << 30
"""How far before the first segment seen a late one may lie."""
SOURCES = {"ot": LogSource(("ot_command",), ("modbus",), ())}
_BY_START = (8, 20, 21, 90)
"""Functions whose name, class or address depends on what they begin with."""


@dataclass(slots=True)
class _Way:
    """One direction of a connection framed byte by byte."""

    side: Side = field(default_factory=Side)
    partial: bytearray = field(default_factory=bytearray)
    holes: list[tuple[int, int]] = field(default_factory=list)  # ranges jumped over, still missing

    def take(self, seq: int, data: bytes, missing: int) -> list[bytes]:
        """A segment; returns the PDUs it completes."""
        if self.side.next is None and not self.holes:  # the capture begins in the middle: what is older may come late
            self.holes.append(((seq - _BEFORE) % FULL, seq))
        if missing == 0 and (self._is_ahead(seq, data) or self._fills(seq, data)):
            rest = bytearray(data)
            found = split(rest)
            if self.side.next == (seq + len(data)) % FULL:
                found = self._cut() + found
                self.partial = rest
            return found
        fresh, lost = self.side.push(seq, data)
        found = []
        if lost or (self.partial and fresh and not _goes_on(self.partial, fresh)):
            found = self._cut()
        self.partial += fresh
        found += split(self.partial)
        if missing:
            self.side.skip(missing)
            found += self._cut()
        return found

    def _cut(self) -> list[bytes]:
        """A PDU whose rest will not come, as far as it goes."""
        head, self.partial = bytes(self.partial), bytearray()
        return [head] if len(head) >= 8 else []

    def _is_ahead(self, seq: int, data: bytes) -> bool:
        """Whole PDUs behind a gap are read at once: captures lose segments, and what is lost never comes."""
        begin = self.side.next
        if begin is None or distance(seq, begin) <= 0 or not _is_whole(data):
            return False
        self.holes = [*self.holes[-MAX_HOLES:], (begin, seq)]
        self.side.restart((seq + len(data)) % FULL)
        return True

    def _fills(self, seq: int, data: bytes) -> bool:
        """A late segment that fits a hole; anything else from the past is a repetition."""
        for index, (begin, end) in enumerate(self.holes):
            after = (seq + len(data)) % FULL
            if distance(seq, begin) >= 0 and distance(end, after) >= 0 and _is_whole(data):
                self.holes[index : index + 1] = [one for one in ((begin, seq), (after, end)) if one[0] != one[1]]
                return True
        return False


def _is_whole(data: bytes) -> bool:
    """Whether a segment is whole PDUs, but for what is too short to be one."""
    rest = bytearray(data)
    return bool(split(rest)) and len(rest) < 8 and data[2:4] == b"\0\0"


def _goes_on(partial: bytearray, fresh: bytes) -> bool:
    """Whether what was left over and what follows it can be one PDU."""
    head = bytes(partial[:8]) + fresh[:8]
    return len(head) < 6 or (head[2:4] == b"\0\0" and 8 <= 6 + int.from_bytes(head[4:6], "big") <= MAX_ADU)


class Modbus(Speaker):
    """Framing and what must be remembered from piece to piece."""

    def __init__(self, out: Out, *, fast: bool = True) -> None:
        super().__init__(out)
        self._fast = fast
        self._next: OrderedDict[tuple[int, int], int] = OrderedDict()  # sequence number expected, by key and side
        self._slow: OrderedDict[int, tuple[_Way, _Way]] = OrderedDict()
        self._waiting = Waiting(MAX_WAITING)

    def table(self, buffer: npt.NDArray[np.uint8], packets: Packets, keys: Keys, hashes: U64s) -> pl.DataFrame:
        """Rows of the TCP packets of port 502 of one piece, in order."""
        data = np.flatnonzero(packets.claimed > 0)
        fast = self._in_step(buffer, packets, keys, hashes, data)
        self._remember(packets, keys, hashes, data[fast])
        known = np.fromiter(self._slow, np.uint64, len(self._slow))
        mine = np.isin(hashes, np.concatenate([hashes[data[~fast]], known]))
        opens = packets.flags & 2 > 0
        self._restart(packets, keys, hashes, np.flatnonzero(opens & ~mine & ~np.isin(hashes, hashes[data])))
        slow = np.flatnonzero(mine & ((packets.claimed > 0) | opens))
        row, adus = self._by_byte(buffer, packets, keys, hashes, slow)
        joined = np.frombuffer(b"".join(adus), np.uint8)
        size = np.array([len(adu) for adu in adus], np.int64)
        found = [Adus(buffer, packets.payload[data[fast]], packets.captured[data[fast]], data[fast])]
        if len(row):
            found.append(Adus(joined, np.cumsum(size) - size, size, row))
        return self._rows(packets, hashes, found, np.flatnonzero(packets.flags & 0x12 == 2))

    def _in_step(self, buffer: npt.NDArray[np.uint8], packets: Packets, keys: Keys, hashes: U64s, data: Words) -> Bools:
        """Which segments belong to connections whose every segment is one whole PDU, each following the last."""
        if not self._fast or not len(data):
            return np.zeros(len(data), np.bool_)
        read, at, size = Window(buffer), packets.payload[data], packets.captured[data]
        whole = (size == packets.claimed[data]) & (size >= 8) & (size <= MAX_ADU)
        whole &= (read.u16(at + 2) == 0) & (read.u16(at + 4) == size - 6)
        key, side = hashes[data], (~keys.forward[data]).astype(np.int64)
        order = np.argsort(key * np.uint64(2) + side.astype(np.uint64), kind="stable")  # packets are in order
        seq, step = packets.seq[data][order], packets.claimed[data][order]
        fresh = np.ones(len(data), np.bool_)
        fresh[1:] = (key[order][1:] != key[order][:-1]) | (side[order][1:] != side[order][:-1])
        expected = np.empty_like(seq)
        expected[1:] = (seq[:-1] + step[:-1]) % FULL
        for head in np.flatnonzero(fresh).tolist():
            place = order[head]
            expected[head] = self._next.get((int(key[place]), int(side[place])), int(seq[head]))
        whole[order] &= expected == seq
        out = np.concatenate([key[~whole], np.fromiter(self._slow, np.uint64, len(self._slow))])
        out = np.concatenate([out, self._opened_again(packets, hashes, data)])
        in_step: Bools = ~np.isin(key, out)
        return in_step

    def _opened_again(self, packets: Packets, hashes: U64s, data: Words) -> U64s:
        """Connections opened anew on the same ports: those are told apart byte by byte."""
        opens = np.flatnonzero(packets.flags & 2 > 0)
        if not len(opens):
            return np.zeros(0, np.uint64)
        known = np.fromiter((one for one, _ in self._next), np.uint64, len(self._next))
        spoke, first = np.unique(hashes[data], return_index=True)
        at = np.minimum(np.searchsorted(spoke, hashes[opens]), len(spoke) - 1)
        again = (spoke[at] == hashes[opens]) & (data[first[at]] < opens)
        again |= np.isin(hashes[opens], known)
        anew: U64s = hashes[opens[again]]
        return anew

    def _remember(self, packets: Packets, keys: Keys, hashes: U64s, rows: Words) -> None:
        """Keep where each connection in step stands."""
        backwards = rows[::-1]
        sides = (~keys.forward[backwards]).astype(np.int64)
        _, last = np.unique(hashes[backwards] * np.uint64(2) + sides.astype(np.uint64), return_index=True)
        after = (packets.seq[backwards] + packets.claimed[backwards]) % FULL
        for at in np.sort(last)[::-1].tolist():  # the one heard last is forgotten last
            key = (int(hashes[backwards[at]]), int(sides[at]))
            self._next[key] = int(after[at])
            self._next.move_to_end(key)
        while len(self._next) > 2 * MAX_CONNECTIONS:
            self._next.popitem(last=False)

    def _restart(self, packets: Packets, keys: Keys, hashes: U64s, rows: Words) -> None:
        """A connection opened anew that has said nothing yet: forget where the old one stood."""
        for row in rows.tolist():
            key = (int(hashes[row]), 0 if keys.forward[row] else 1)
            if key in self._next:
                self._next[key] = (int(packets.seq[row]) + 1) % FULL

    def _by_byte(
        self, buffer: npt.NDArray[np.uint8], packets: Packets, keys: Keys, hashes: U64s, rows: Words
    ) -> tuple[Words, list[bytes]]:
        """Frame connections that are out of step. Returns the packet that completed each PDU, and the PDUs."""
        view, done, adus = buffer.data, list[int](), list[bytes]()
        columns = (hashes, keys.forward, packets.seq, packets.payload, packets.captured, packets.claimed, packets.flags)
        for row, key, forward, seq, start, captured, claimed, flags in zip(
            rows.tolist(), *(column[rows].tolist() for column in columns), strict=True
        ):
            one = self._connection(key)[0 if forward else 1]
            if flags & 0x02:
                seq = (seq + 1) % FULL
                one.side.restart(seq)
                one.partial.clear()
                one.holes = [((seq - _BEFORE) % FULL, seq)]  # what lies before its beginning repeats nothing of it
            if claimed:
                found = one.take(seq, bytes(view[start : start + captured]), claimed - captured)
                done += [row] * len(found)
                adus += found
        return np.array(done, np.int64), adus

    def _connection(self, key: int) -> tuple[_Way, _Way]:
        one = self._slow.get(key)
        if one is None:
            one = self._slow[key] = (_Way(), _Way())
            for way in (0, 1):
                one[way].side.next = self._next.pop((key, way), None)
            if len(self._slow) > MAX_CONNECTIONS:
                self._slow.popitem(last=False)
        self._slow.move_to_end(key)
        return one

    def _rows(self, packets: Packets, hashes: U64s, found: list[Adus], openings: Words) -> pl.DataFrame:
        found = [one for one in found if len(one.row)]
        if not found:
            self._waiting.forget(hashes[openings])
            return pl.DataFrame()
        parts = [Fields(one, packets.destination_port[one.row] == PORT) for one in found]
        row = np.concatenate([one.row for one in found])
        order = np.argsort(row, kind="stable") if len(found) > 1 else None
        function, failed, unit, transaction, start, quantity, status = (
            _column(parts, name, order) for name in ("code", "failed", "unit", "id", "start", "many", "status")
        )
        values = pl.concat([one.values() for one in parts])
        if order is not None:
            row, values = row[order], values[order]
        asks = packets.destination_port[row] == PORT
        key = (hashes[row] ^ (transaction << 8 | unit).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        answer = (_column(parts, name, order) for name in ("answer_start", "answer_many"))
        now, born = Requests(hashes[row], key, function, *answer), lives(hashes, row, openings)
        start, quantity = self._waiting.match(now, asks, start, quantity, born, hashes[openings])
        return pl.concat(
            [
                keyed(ends_of(packets, row)),
                pl.DataFrame(
                    [
                        pl.Series("network.protocol", ["modbus"], pl.String).new_from_index(0, len(row)),
                        pl.Series("ot.protocol", ["modbus"], pl.String).new_from_index(0, len(row)),
                        pl.Series("ot.function.code", function, pl.Int32),
                        *_named(function, start, failed),
                        _UNITS[unit.astype(np.int64)].alias("ot.unit_id"),
                        count(quantity).cast(pl.Int32).alias("ot.quantity"),
                        _asked_bits(values, function, asks, quantity).alias("ot.value"),
                        count(status).cast(pl.String).alias("ot.status"),
                        pl.Series("ot.message.type", ["response", "request"], pl.String)[asks.astype(np.int64)],
                        pl.Series("ot.transaction_id", transaction, pl.Int64),
                        pl.Series("ot.is_request", asks),
                        _texts(parts, order).alias("event.fields"),
                        _flags(_column(parts, "cut", order)),
                    ]
                ),
            ],
            how="horizontal",
        )


_UNITS = pl.Series("", [str(unit) for unit in range(256)], pl.String)
_NAMES = pl.Series("", [modbus_pdu.name(code, None) for code in range(128)], pl.String)
_CLASSES = pl.Series("", [modbus_pdu.klass(code, None, failed=False) for code in range(128)], pl.String)


def _named(function: Words, start: Words, failed: Bools) -> list[pl.Series]:
    """Name, class and address; those that depend on a subfunction are looked up one by one."""
    names, classes = _NAMES[function], _CLASSES[function]
    places = count(start).cast(pl.String)
    rows = np.flatnonzero(np.isin(function, _BY_START))
    if len(rows):
        pairs = [
            (code, at if at >= 0 else None)
            for code, at in zip(function[rows].tolist(), start[rows].tolist(), strict=True)
        ]
        names = names.scatter(rows, [modbus_pdu.name(*pair) for pair in pairs])
        classes = classes.scatter(rows, [modbus_pdu.klass(*pair, failed=False) for pair in pairs])
        places = places.scatter(rows, [modbus_pdu.place(*pair) for pair in pairs])
    classes = classes.set(pl.Series(failed), "error")
    return [names.alias("ot.function.name"), classes.alias("ot.function.class"), places.alias("ot.address")]


def _flags(cut: Bools) -> pl.Series:
    none = pl.Series("event.flags", [None], pl.List(pl.String)).new_from_index(0, len(cut))
    rows = np.flatnonzero(cut)
    if not len(rows):
        return none
    told = pl.Series("event.flags", [["truncated"], None], pl.List(pl.String))
    return told[np.where(cut, 0, 1)]


def _texts(parts: list[Fields], order: Words | None) -> pl.Series:
    """What the columns have no room for, as JSON text."""
    none = pl.Series("", [None], pl.String).new_from_index(0, sum(len(one.code) for one in parts))
    rows, texts, begin = list[int](), list[str](), 0
    for one in parts:
        rows += [begin + row for row in one.more]
        texts += one.more.values()
        begin += len(one.code)
    told = none.scatter(rows, texts) if rows else none
    return told if order is None else told[order]


def _asked_bits(values: pl.Series, function: Words, asks: Bools, quantity: Words) -> pl.Series:
    """Answers hold whole octets of bits: those that were not asked for are left out where the request is known."""
    cut = (function <= 2) & ~asks & (quantity > 0) & (quantity < modbus_pdu.MAX_VALUES)
    if not cut.any():
        return values
    size = pl.when(pl.col("cut")).then(pl.col("many") * 2 - 1)
    table = pl.DataFrame({"values": values, "many": quantity, "cut": cut})
    return table.select(pl.col("values").str.slice(0, size)).to_series()


def split(partial: bytearray) -> list[bytes]:
    """Take the whole PDUs off the front; bytes that are no header are thrown away until the next segment."""
    found = []
    while len(partial) >= 8:
        size = 6 + int.from_bytes(partial[4:6], "big")
        if partial[2:4] != b"\0\0" or not 8 <= size <= MAX_ADU:
            partial.clear()
            break
        if len(partial) < size:
            break
        found.append(bytes(partial[:size]))
        del partial[:size]
    return found


def _column(parts: list[Fields], name: str, order: Words | None) -> Any:
    """One of the fields of all parts, in order of packets."""
    if order is None:
        return getattr(parts[0], name)
    return np.concatenate([getattr(one, name) for one in parts])[order]


def starts(data: bytes, usual: bool) -> bool:
    """On the usual port an MBAP header, or the beginning of one; a serial frame with its checksum is none."""
    if not usual or not data or data[2:4] != b"\0\0"[: max(len(data) - 2, 0)]:
        return False
    size = 6 + int.from_bytes(data[4:6], "big")
    if len(data) < 6 or size == len(data):
        return len(data) < 6 or size >= 8
    return 8 <= size <= MAX_ADU and crc.modbus(data[:-2]) != int.from_bytes(data[-2:], "little")


PROTOCOLS = (Protocol("modbus", starts, Modbus, SOURCES, tcp=(PORT,), columnar=True),)
