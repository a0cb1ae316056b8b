"""Modbus PDUs of a piece as arrays: what they say, and requests matched with their responses.

The functions everyone uses are read for all PDUs at once; the others one by one (``modbus_pdu.read``), both alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard import fast
from cityguard.decoders.ot import modbus_fast, modbus_pdu
from cityguard.decoders.ot.modbus_pdu import MAX_VALUES
from cityguard.decoders.packet import Bools, U64s, Window, Words

_BITS, _WORDS, _SINGLE = 1, 3, 5
_KINDS = np.zeros(128, np.int64)
"""Functions that are read alike: 1 and 2, 3 and 4, 5 and 6, 15, 16; 0 = one by one."""
_KINDS[[1, 2, 3, 4, 5, 6, 15, 16]] = (_BITS, _BITS, _WORDS, _WORDS, _SINGLE, _SINGLE, 15, 16)

_LIFE = np.uint64(0xD6E8FEB86659FD93)
"""Tells the requests of a connection from those of an earlier one on the same ports."""
_COMMA = ord(",")
_DIGITS = np.array([f"{number}," for number in range(65_536)], "S6").view(np.uint8).reshape(-1, 6)
"""Every register value with a comma behind it, filled up with zeros."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns of PDUs; ``start`` and ``quantity`` are what their responses are given."""

    connection: U64s
    key: U64s
    function: Words
    start: Words
    quantity: Words

    @staticmethod
    def none() -> Requests:
        empty = np.zeros(0, np.int64)
        none = np.zeros(0, np.uint64)
        return Requests(none, none, empty, empty, empty)

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        return self.connection, self.key, self.function, self.start, self.quantity


@dataclass(frozen=True, slots=True)
class Adus:
    """PDUs with their headers: where they start in a buffer, their bytes, the packet that completed them."""

    buffer: npt.NDArray[np.uint8]
    at: Words
    size: Words
    row: Words


class Fields:
    """What the PDUs say, as arrays; -1 = not there."""

    def __init__(self, adus: Adus, asks: Bools) -> None:
        self._read, self._at, self._asks = Window(adus.buffer), adus.at, asks
        read, at = self._read, adus.at
        self.id, self.unit = read.u16(at), read.u8(at + 6)
        raw = read.u8(at + 7)
        self.code = raw & 0x7F
        self.failed: Bools = ~asks & (raw > 0x7F)
        self._body = adus.size - 8
        self.cut: Bools = read.u16(at + 4) + 6 > adus.size
        self.status = np.where(self.failed & (self._body >= 1), read.u8(at + 8), -1)
        first, second = self._word(0), self._word(2)
        kind = np.where(self.failed, 0, _KINDS[self.code])
        single = kind == _SINGLE
        ranged = (asks & ((kind == _BITS) | (kind == _WORDS))) | (kind > _SINGLE)
        self.start = np.where(ranged | single, first, -1)
        self.many = np.where(ranged, second, np.where(single, 1, -1))
        self.answer_start, self.answer_many = self.start, self.many
        self.more: dict[int, str] = {}
        self._said: dict[int, str] = {}
        rare = np.flatnonzero((kind == 0) & ~self.failed)
        if len(rare):
            self._one_by_one(adus, rare)

    def _one_by_one(self, adus: Adus, rows: Words) -> None:
        view = adus.buffer.data
        if (self.code[rows] == modbus_pdu.BOTH).any():
            self.answer_start, self.answer_many = self.start.copy(), self.many.copy()
        columns = (rows, adus.at[rows] + 7, (adus.at + adus.size)[rows], self._asks[rows])
        for row, begin, end, asks in zip(*(column.tolist() for column in columns), strict=True):
            said = modbus_pdu.read(bytes(view[begin:end]), asks)
            self.failed[row] = said.failed
            numbers = (self.start, said.start), (self.many, said.many), (self.status, said.status)
            answer = (self.answer_start, said.answer_start), (self.answer_many, said.answer_many)
            for column, number in (*numbers, *answer):
                column[row] = -1 if number is None else number
            if said.value is not None:
                self._said[row] = said.value
            if said.more:
                self.more[row] = said.text or ""

    def _word(self, offset: int) -> Words:
        return np.where(self._body >= offset + 2, self._read.u16(self._at + 8 + offset), -1)

    def values(self) -> pl.Series:
        """Values written or read, comma separated, the first ``MAX_VALUES``."""
        found = list[tuple[Words, pl.Series]]()
        good = ~self.failed
        for code in (5, 6):
            rows = np.flatnonzero((self.code == code) & good & (self._body >= 4))
            if len(rows):
                word = self._word(2)[rows]
                found.append((rows, pl.Series((word > 0).astype(np.int64) if code == 5 else word).cast(pl.String)))
        for kind, asks, offset, bits in (
            (_BITS, False, 1, True),
            (_WORDS, False, 1, False),
            (15, True, 5, True),
            (16, True, 5, False),
        ):
            rows = np.flatnonzero((_KINDS[self.code] == kind) & (self._asks == asks) & good)
            found += self._lists(rows, offset, bits)
        if self._said:
            found.append(
                (
                    np.fromiter(self._said, np.int64, len(self._said)),
                    pl.Series(list(self._said.values()), dtype=pl.String),
                )
            )
        return _scattered(found, len(self._at))

    def _lists(self, rows: Words, offset: int, bits: bool) -> Iterator[tuple[Words, pl.Series]]:
        """Values behind a count of octets, by how many there are."""
        if not len(rows):
            return
        told = np.where(self._body[rows] >= offset, self._read.u8(self._at[rows] + 7 + offset), 0)
        room = np.minimum(told, self._body[rows] - offset)
        many = room * 8 if bits else room // 2
        if bits and offset == 5:
            many = np.minimum(many, np.maximum(self.many[rows], 0))
        many = np.clip(many, 0, MAX_VALUES)
        for size in np.flatnonzero(np.bincount(many)).tolist():
            if not size:
                continue
            mine = rows[many == size]
            at = self._at[mine] + 8 + offset
            yield mine, _joined(self._bits(at, size) if bits else self._registers(at, size))

    def _bits(self, at: Words, size: int) -> Words:
        octets = self._read.rows(at, np.dtype([("octets", "u1", ((size + 7) // 8,))]))["octets"]
        return np.unpackbits(octets, axis=1, bitorder="little")[:, :size].astype(np.int64)

    def _registers(self, at: Words, size: int) -> Words:
        return self._read.rows(at, np.dtype([("words", ">u2", (size,))]))["words"].astype(np.int64)


def _joined(numbers: Words) -> pl.Series:
    """Rows of numbers below 65536 as text with commas between: digits side by side, then what is unused left out."""
    ends = np.zeros(len(numbers) + 1, np.int64)
    if fast.ON:
        data = np.empty(numbers.size * 6, np.uint8)
        modbus_fast.joined(numbers, data, ends[1:])
        data = data[: ends[-1]].copy()  # what is kept has no room left over
    else:
        data = _packed(numbers, ends)
    text = pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(data))
    found = pl.from_arrow(text)
    assert isinstance(found, pl.Series)
    return found


def _packed(numbers: Words, ends: Words) -> npt.NDArray[np.uint8]:
    digits = _DIGITS[numbers]
    digits[:, -1] = np.where(digits[:, -1] == _COMMA, 0, digits[:, -1])
    rows = digits.reshape(len(numbers), numbers.shape[1] * digits.shape[-1])
    used = rows != 0
    np.cumsum(used.sum(axis=1), out=ends[1:])
    data: npt.NDArray[np.uint8] = rows[used]
    return data


def _scattered(found: list[tuple[Words, pl.Series]], size: int) -> pl.Series:
    """Texts put where they belong; what is given later stands over what is given earlier."""
    place, begin = np.zeros(size, np.int64), 1
    for rows, _ in found:
        place[rows] = begin + np.arange(len(rows))
        begin += len(rows)
    none = pl.Series("", [None], pl.String)
    return pl.concat([none, *(texts.rename("") for _, texts in found)])[place]


def lives(hashes: U64s, rows: Words, openings: Words) -> Words:
    """How many openings of its connection stand before each row; all are numbers of packets with their hashes."""
    if not len(openings):
        return np.zeros(len(rows), np.int64)
    place = np.concatenate([openings, rows])
    order = np.lexsort((place, hashes[place]))
    opens = order < len(openings)
    seen = np.cumsum(opens)
    key = hashes[place][order]
    heads = np.concatenate([[True], key[1:] != key[:-1]])
    found = np.empty(len(order), np.int64)
    found[order] = seen - np.maximum.accumulate(np.where(heads, seen - opens, 0))
    return found[len(openings) :]


def _times(opened: U64s, connections: U64s) -> Words:
    """How often each connection was opened."""
    known = np.sort(opened)
    return np.searchsorted(known, connections, "right") - np.searchsorted(known, connections)


class Waiting:
    """Requests that wait for their responses, from piece to piece.

    Args:
        limit: how many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting = Requests.none()

    def forget(self, opened: U64s) -> None:
        """Connections opened anew answer nothing that was asked before."""
        if len(opened):
            stay = np.flatnonzero(~np.isin(self._waiting.connection, opened))
            self._waiting = Requests(*(column[stay] for column in self._waiting.columns()))

    def match(
        self, now: Requests, asks: Bools, start: Words, quantity: Words, lives: Words, opened: U64s
    ) -> tuple[Words, Words]:
        """Give responses the address and quantity of the request before them with the same key.

        Args:
            now: the PDUs of a piece, in order.
            asks: which of them are requests.
            start, quantity: what they say themselves; -1 = nothing.
            lives: how many openings of its connection this piece has before each (``lives``).
            opened: the connections opened in this piece, as often as they were.
        """
        old, seen = self._waiting, len(self._waiting.key)
        every = Requests(*(np.concatenate(pair) for pair in zip(old.columns(), now.columns(), strict=True)))
        life = np.concatenate([np.zeros(seen, np.int64), lives])
        ask = np.concatenate([np.ones(seen, np.bool_), asks])
        keys = every.key ^ life.astype(np.uint64) * _LIFE
        order = np.argsort(keys, kind="stable")
        place = np.arange(len(order))
        heads = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
        begin = np.maximum.accumulate(np.where(heads, place, 0))
        latest = np.maximum.accumulate(np.where(ask[order], place, -1))
        match = np.empty(len(order), np.int64)
        match[order] = np.where(latest >= begin, order[np.maximum(latest, 0)], -1)
        mine = match[seen:]
        fits = ~asks & (mine >= 0)
        fits &= every.function[np.maximum(mine, 0)] == now.function
        waits = ask.copy()
        waits[mine[fits]] = False
        if len(opened):
            waits &= life == _times(opened, every.connection)
        keep = np.flatnonzero(waits)[-self._limit :]
        self._waiting = Requests(*(column[keep] for column in every.columns()))
        known = np.maximum(mine, 0)
        return (
            np.where(fits & (start < 0), every.start[known], start),
            np.where(fits & (quantity < 0), every.quantity[known], quantity),
        )
