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

from cityguard.decoders.events import Ends, count, keyed
from cityguard.decoders.flow import Keys
from cityguard.decoders.packet import Bools, Packets, U64s, Window, Words
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import FULL, Side, distance
from cityguard.model import LogSource

PORT = 502
MAX_ADU = 1_024
"""Bytes of one MBAP header and PDU at most. The specification says 260 (1.1b3, 4.1); UMAS devices send more."""
MAX_VALUES = 16
"""Values of one PDU that are written out."""
MAX_CONNECTIONS = 50_000
MAX_WAITING = 65_536
"""Requests that wait for their response into the next piece."""
MAX_HOLES = 32

_FUNCTIONS = {
    1: ("Read Coils", "read"),
    2: ("Read Discrete Inputs", "read"),
    3: ("Read Holding Registers", "read"),
    4: ("Read Input Registers", "read"),
    5: ("Write Single Coil", "write"),
    6: ("Write Single Register", "write"),
    7: ("Read Exception Status", "diagnostic"),
    8: ("Diagnostics", "diagnostic"),
    11: ("Get Comm Event Counter", "diagnostic"),
    12: ("Get Comm Event Log", "diagnostic"),
    15: ("Write Multiple Coils", "write"),
    16: ("Write Multiple Registers", "write"),
    17: ("Report Server ID", "read"),
    20: ("Read File Record", "read"),
    21: ("Write File Record", "write"),
    22: ("Mask Write Register", "write"),
    23: ("Read/Write Multiple Registers", "write"),
    24: ("Read FIFO Queue", "read"),
    43: ("Encapsulated Interface Transport", "read"),
    90: ("Schneider UMAS", "program"),
    125: ("Schneider Firmware", "program"),
    126: ("Schneider Unity", "program"),
}
_CONTROL = (1, 4, 10)  # Diagnostics that restart, silence or reset a device
_BITS, _REGISTERS = (1, 2), (3, 4, 23)


@dataclass(slots=True)
class _Way:
    """One direction of a connection framed byte by byte."""

    side: Side = field(default_factory=Side)
    partial: bytearray = field(default_factory=bytearray)
    holes: list[tuple[int, int]] = field(default_factory=list)  # ranges jumped over, still missing

    def take(self, seq: int, data: bytes, missing: int) -> list[bytes]:
        """A segment; returns the PDUs it completes."""
        if missing == 0 and (self._is_ahead(seq, data) or self._fills(seq, data)):
            return _split(bytearray(data))
        fresh, lost = self.side.push(seq, data)
        if lost:
            self.partial.clear()
        self.partial += fresh
        found = _split(self.partial)
        if missing:
            self.side.skip(missing)
            self.partial.clear()
        return found

    def _is_ahead(self, seq: int, data: bytes) -> bool:
        """Whole PDUs behind a gap are read at once: captures lose segments, and what is lost never comes."""
        begin = self.side.next
        if begin is None or distance(seq, begin) <= 0 or not _is_whole(data):
            return False
        self.holes = [*self.holes[-MAX_HOLES:], (begin, seq)]
        self.side.restart((seq + len(data)) % FULL)
        self.partial.clear()
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
    """Whether a segment is nothing but whole PDUs."""
    rest = bytearray(data)
    return bool(_split(rest)) and not rest and data[2:4] == b"\0\0"


class Modbus(Speaker):
    """Framing and what must be remembered from piece to piece."""

    def __init__(self, out: Out, *, fast: bool = True) -> None:
        super().__init__(out)
        self._fast = fast
        self._next: OrderedDict[tuple[int, int], int] = OrderedDict()  # sequence number expected, by key and side
        self._slow: OrderedDict[int, tuple[_Way, _Way]] = OrderedDict()
        self._waiting = _Requests.none()

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
        found = [_Adus(buffer, packets.payload[data[fast]], packets.captured[data[fast]], data[fast])]
        if len(row):
            found.append(_Adus(joined, np.cumsum(size) - size, size, row))
        return self._rows(packets, hashes, found)

    def _in_step(self, buffer: npt.NDArray[np.uint8], packets: Packets, keys: Keys, hashes: U64s, data: Words) -> Bools:
        """Which segments belong to connections whose every segment is one whole PDU, each following the last."""
        if not self._fast or not len(data):
            return np.zeros(len(data), np.bool_)
        read, at, size = Window(buffer), packets.payload[data], packets.captured[data]
        whole = (size == packets.claimed[data]) & (size >= 8) & (size <= MAX_ADU)
        whole &= (read.u16(at + 2) == 0) & (read.u16(at + 4) == size - 6)
        key, side = hashes[data], (~keys.forward[data]).astype(np.int64)
        order = np.lexsort((packets.number[data], side, key))
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
        # A connection opened anew on the same ports is told apart on the slow path.
        opens = np.flatnonzero(packets.flags & 2 > 0)
        known = np.fromiter((one for one, _ in self._next), np.uint64, len(self._next))
        spoke, first = np.unique(key, return_index=True)
        at = np.minimum(np.searchsorted(spoke, hashes[opens]), len(spoke) - 1)
        again = (spoke[at] == hashes[opens]) & (data[first[at]] < opens)
        again |= np.isin(hashes[opens], known)
        out = np.concatenate([out, hashes[opens[again]]])
        in_step: Bools = ~np.isin(key, out)
        return in_step

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
                one.holes.clear()
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

    def _rows(self, packets: Packets, hashes: U64s, found: list[_Adus]) -> pl.DataFrame:
        row = np.concatenate([one.row for one in found])
        if not len(row):
            return pl.DataFrame()
        order = np.argsort(row, kind="stable")
        row = row[order]
        asks = packets.destination_port[row] == PORT
        parts = [_Fields(one, packets.destination_port[one.row] == PORT) for one in found]
        function, failed = (np.concatenate([getattr(one, name) for one in parts])[order] for name in ("code", "failed"))
        unit, transaction = (np.concatenate([getattr(one, name) for one in parts])[order] for name in ("unit", "id"))
        start, quantity = (np.concatenate([getattr(one, name) for one in parts])[order] for name in ("start", "many"))
        status = np.concatenate([one.status for one in parts])[order]
        values = pl.concat([one.values() for one in parts])[order]
        key = (hashes[row] ^ (transaction << 8 | unit).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        start, quantity = self._match(_Requests(key, function, start, quantity), asks, start, quantity)
        return pl.concat(
            [
                keyed(_ends(packets.take(row))),
                pl.DataFrame(
                    [
                        pl.Series("network.protocol", ["modbus"], pl.String).new_from_index(0, len(row)),
                        pl.Series("ot.protocol", ["modbus"], pl.String).new_from_index(0, len(row)),
                        pl.Series("ot.function.code", function, pl.Int32),
                        _NAMES[function].alias("ot.function.name"),
                        _class(function, start, failed).alias("ot.function.class"),
                        pl.Series("ot.unit_id", unit, pl.Int32),
                        count(start).cast(pl.String).alias("ot.address"),
                        count(quantity).cast(pl.Int32).alias("ot.quantity"),
                        values.alias("ot.value"),
                        count(status).cast(pl.String).alias("ot.status"),
                        pl.Series("ot.message.type", ["response", "request"], pl.String)[asks.astype(np.int64)],
                        pl.Series("ot.transaction_id", transaction, pl.Int64),
                        pl.Series("ot.is_request", asks),
                    ]
                ),
            ],
            how="horizontal",
        )

    def _match(self, now: _Requests, asks: Bools, start: Words, quantity: Words) -> tuple[Words, Words]:
        """Give responses the address and quantity of the request before them with the same key."""
        old, seen = self._waiting, len(self._waiting.key)
        every = _Requests(*(np.concatenate(pair) for pair in zip(old.columns(), now.columns(), strict=True)))
        ask = np.concatenate([np.ones(seen, np.bool_), asks])
        order = np.argsort(every.key, kind="stable")
        place = np.arange(len(order))
        heads = np.concatenate([[True], every.key[order][1:] != every.key[order][:-1]])
        begin = np.maximum.accumulate(np.where(heads, place, 0))
        latest = np.maximum.accumulate(np.where(ask[order], place, -1))
        match = np.empty(len(order), np.int64)
        match[order] = np.where(latest >= begin, order[np.maximum(latest, 0)], -1)
        mine = match[seen:]
        fits = ~asks & (mine >= 0)
        fits &= every.function[np.maximum(mine, 0)] == now.function
        answered = np.unique(match[seen:][fits])
        keep = np.setdiff1d(np.flatnonzero(ask), answered)[-MAX_WAITING:]
        self._waiting = _Requests(*(column[keep] for column in every.columns()))
        known = np.maximum(mine, 0)
        return (
            np.where(fits & (start < 0), every.start[known], start),
            np.where(fits & (quantity < 0), every.quantity[known], quantity),
        )


@dataclass(frozen=True, slots=True)
class _Requests:
    key: U64s
    function: Words
    start: Words
    quantity: Words

    @staticmethod
    def none() -> _Requests:
        empty = np.zeros(0, np.int64)
        return _Requests(np.zeros(0, np.uint64), empty, empty, empty)

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        return self.key, self.function, self.start, self.quantity


@dataclass(frozen=True, slots=True)
class _Adus:
    """PDUs with their headers: where they start in a buffer, their bytes, the packet that completed them."""

    buffer: npt.NDArray[np.uint8]
    at: Words
    size: Words
    row: Words


class _Fields:
    """What the PDUs say, as arrays; -1 = not there."""

    def __init__(self, adus: _Adus, asks: Bools) -> None:
        self._read, self._at, self._asks = Window(adus.buffer), adus.at, asks
        read, at = self._read, adus.at
        self.id, self.unit = read.u16(at), read.u8(at + 6)
        raw = read.u8(at + 7)
        self.code = raw & 0x7F
        self.failed: Bools = ~asks & (raw > 0x7F)
        self._body = adus.size - 8
        self.status = np.where(self.failed & (self._body >= 1), read.u8(at + 8), -1)
        first, second = self._word(0), self._word(2)
        reads = asks & np.isin(self.code, (1, 2, 3, 4))
        single, many = np.isin(self.code, (5, 6, 22)), np.isin(self.code, (15, 16))
        both = asks & (self.code == 23)
        alone = (self.code == 8) | (asks & (self.code == 24))
        self.start = np.where((reads | single | many | alone) & ~self.failed, first, -1)
        self.start = np.where(both, self._word(4), self.start)
        self.start = np.where(self.code == 43, np.where(self._body >= 1, read.u8(at + 8), -1), self.start)
        self.many = np.where((reads | many) & ~self.failed, second, np.where(single & ~self.failed, 1, -1))
        self.many = np.where(both, self._word(6), self.many)

    def _word(self, offset: int) -> Words:
        return np.where(self._body >= offset + 2, self._read.u16(self._at + 8 + offset), -1)

    def values(self) -> pl.Series:
        """Values written or read, comma separated, the first ``MAX_VALUES``."""
        out = np.full(len(self._at), None, object)
        single = np.flatnonzero(np.isin(self.code, (5, 6)) & ~self.failed & (self._body >= 4))
        word = self._word(2)
        text = pl.Series(np.where(self.code == 5, (word > 0).astype(np.int64), word)).cast(pl.String).to_numpy()
        out[single] = text[single]
        for codes, asks, offset, bits in (
            (_BITS, False, 1, True),
            (_REGISTERS, False, 1, False),
            ((15,), True, 5, True),
            ((16,), True, 5, False),
            ((23,), True, 9, False),
        ):
            rows = np.flatnonzero(np.isin(self.code, codes) & (self._asks == asks) & ~self.failed)
            self._list(out, rows, offset, bits)
        return pl.Series("", out.tolist(), pl.String)

    def _list(self, out: npt.NDArray[np.object_], rows: Words, offset: int, bits: bool) -> None:
        told = np.where(self._body[rows] >= offset, self._read.u8(self._at[rows] + 7 + offset), 0)
        room = np.minimum(told, self._body[rows] - offset)
        many = room * 8 if bits else room // 2
        if bits and offset == 5:
            many = np.minimum(many, np.maximum(self.many[rows], 0))
        many = np.clip(many, 0, MAX_VALUES)
        for size in np.unique(many[many > 0]).tolist():
            mine = rows[many == size]
            at = self._at[mine][:, None] + 8 + offset
            nth = np.arange(size)
            found = (self._read.u8(at + nth // 8) >> (nth % 8)) & 1 if bits else self._read.u16(at + nth * 2)
            table = pl.DataFrame(found.astype(np.int64))
            out[mine] = table.select(pl.concat_str(pl.all().cast(pl.String), separator=",")).to_series().to_numpy()


_NAMES = pl.Series("", [_FUNCTIONS.get(code, (f"Function {code}", ""))[0] for code in range(128)], pl.String)
_CLASSES = pl.Series("", [_FUNCTIONS.get(code, ("", None))[1] for code in range(128)], pl.String)


def _class(function: Words, start: Words, failed: Bools) -> pl.Series:
    control = pl.Series(~failed & (function == 8) & np.isin(start, _CONTROL))
    return _CLASSES[function].set(control, "control").set(pl.Series(failed), "error")


def _split(partial: bytearray) -> list[bytes]:
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


def _ends(packets: Packets) -> Ends:
    return Ends(
        packets.number,
        packets.time,
        packets.v6,
        packets.proto,
        packets.source,
        packets.destination,
        packets.source_port,
        packets.destination_port,
        packets.vlan,
        packets.icmp,
    )


def starts(data: bytes, usual: bool) -> bool:
    """A whole MBAP header on the usual port."""
    return usual


PROTOCOLS = (
    Protocol(
        "modbus",
        starts,
        Modbus,
        {"ot": LogSource(("ot_command",), ("modbus",), ())},
        tcp=(PORT,),
        columnar=True,
    ),
)
