"""Frames of DL/T 645 to columns: one by one what few say, as arrays what nearly all say (a read and its answer).

Both ways give the same rows; ``Rows(fast=False)`` takes the first for all. An answer without an identifier of its own
(a write confirmed, a request refused) is given that of the request it answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from cityguard.decoders import events, passwords
from cityguard.decoders.events import Ends, Talk
from cityguard.decoders.ot import dlt645_data, dlt645_frame
from cityguard.decoders.ot.dlt645_frame import Frame
from cityguard.decoders.packet import Bools, U64s, Words
from cityguard.decoders.stream import Moment

MAX_WAITING = 65_536
"""Requests whose answers may come in the next piece: the latest of each connection, meter and function."""
_OLD = 1 << 40
"""Marks identifiers of the edition of 1997."""


def fields(frame: Frame, captured: int) -> dict[str, Any]:
    """The row of a frame; ``captured`` is when, ns. The password is judged and left behind."""
    found: dict[str, Any] = {
        "ot.protocol": "dlt645",
        "ot.function.code": frame.code,
        "ot.function.name": frame.name,
        "ot.function.class": frame.kind,
        "ot.unit_id": frame.address,
        "ot.address": frame.identifier,
        "ot.value": frame.value,
        "ot.message.type": "refusal" if frame.refused else "response" if frame.from_meter else "request",
        "ot.is_request": not frame.from_meter,
        "ot.edition": frame.edition,
    }
    if not frame.is_sound:
        found["ot.status"] = "crc_error"
    elif frame.refused:
        found["ot.status"] = frame.error.hex().upper() or None
    if frame.password is not None:
        found |= passwords.judge(frame.password.encode(), frame.address).columns()
    if frame.encrypted:
        found["ot.encrypted"] = True
    if frame.time is not None:
        found["ot.time"] = dlt645_data.utc(frame.time)
        found["ot.time_offset"] = round(frame.time.timestamp() - captured / 1e9, 3)
    if marks := _marks(frame):
        found["ot.flags"] = marks
    more = {"operator": frame.operator, "level": frame.level, "until": frame.until, "errors": list(frame.error_bits)}
    if said := {name: one for name, one in more.items() if one not in (None, [])}:
        found["event.fields"] = json.dumps(said)
    return found


def _marks(frame: Frame) -> list[str]:
    told = {
        "broadcast": frame.address == dlt645_frame.BROADCAST,
        "wildcard": "A" in frame.address,
        "more": frame.more,
        "sealed": frame.sealed,
        "length_error": not frame.length_ok,
    }
    return [name for name, is_so in told.items() if is_so]


class Gathered:
    """Frames until they are read; in columns, for so many small records would keep the garbage collection busy."""

    __slots__ = ("frames", "number", "time", "who")

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.number: list[int] = []
        self.time: list[int] = []
        self.who: list[int] = []

    def add(self, frame: bytes, at: Moment, who: int) -> None:
        """A whole frame, the packet that completed it, and a key into the talks: even and odd are two ways of one."""
        self.frames.append(frame)
        self.number.append(at.number)
        self.time.append(at.time)
        self.who.append(who)

    def clear(self) -> None:
        for column in (self.frames, self.number, self.time, self.who):
            column.clear()


class Rows:
    """Gathered frames of a capture to tables."""

    def __init__(self, *, fast: bool = True) -> None:
        self._fast = fast
        self._keys: U64s = np.zeros(0, np.uint64)
        self._asks: Words = np.zeros(0, np.int64)

    def tables(self, gathered: Gathered, talks: dict[int, Talk]) -> list[pl.DataFrame]:
        """The rows of some frames, in order; ``talks`` tells whom each was from and to."""
        frames, number, time, who = gathered.frames, gathered.number, gathered.time, gathered.who
        ways = np.array(who, np.int64)
        many = _Many(frames)
        quick = many.quick() if self._fast else np.zeros(len(frames), np.bool_)
        told = {row: dlt645_frame.read(frames[row]) for row in np.flatnonzero(~quick).tolist()}
        asked = self._asked(many, ways, quick, told)
        found = []
        if quick.any():
            rows = np.flatnonzero(quick)
            when = np.array(number, np.int64)[rows], np.array(time, np.int64)[rows]
            ends = _ends(*when, ways[rows], talks)
            found.append(pl.concat([events.keyed(ends), many.columns(rows)], how="horizontal"))
        if told:
            slow = events.Rows("ot")
            for row, frame in told.items():
                if frame is not None:
                    one = _answered(fields(frame, time[row]), int(asked[row]))
                    slow.add(number[row], time[row], talks[who[row]], one)
            found += slow.take()
        return found

    def _asked(self, many: _Many, ways: Words, quick: Bools, told: dict[int, Frame | None]) -> Words:
        """int64[n]: the identifier of each frame, or of the request it answers; -1 = none."""
        code, asks = many.control & 0x1F, many.control & 0x80 == 0
        di = np.where(quick, many.di, -1)
        for row, frame in told.items():
            if frame is not None and frame.di is not None:
                di[row] = frame.di | (_OLD if frame.edition == "1997" else 0)
        link = (ways >> 1).astype(np.uint64)
        key = (link * np.uint64(0xC2B2AE3D27D4EB4F) ^ many.meter) * np.uint64(0x9E3779B97F4A7C15)
        key ^= code.astype(np.uint64)
        latest = self._latest(key, asks, di)
        return np.where(asks | (di >= 0), di, latest)

    def _latest(self, key: U64s, asks: Bools, di: Words) -> Words:
        """int64[n]: the identifier of the latest request with each one's key, in this piece or before; -1 = none."""
        seen = len(self._keys)
        keys, every = np.concatenate([self._keys, key]), np.concatenate([self._asks, di])
        requests = np.concatenate([np.ones(seen, np.bool_), asks])
        order = np.argsort(keys, kind="stable")
        place, asked = np.arange(len(order)), requests[order]
        heads = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
        begin = np.maximum.accumulate(np.where(heads, place, 0))
        last = np.maximum.accumulate(np.where(asked, place, -1))
        found = np.empty(len(order), np.int64)
        found[order] = np.where(last >= begin, every[order[np.maximum(last, 0)]], -1)
        ends = np.append(np.flatnonzero(heads)[1:], len(order)) - 1
        kept = np.sort(order[last[ends][last[ends] >= begin[ends]]])[-MAX_WAITING:]
        self._keys, self._asks = keys[kept], every[kept]
        return found[seen:]


def _answered(row: dict[str, Any], asked: int) -> dict[str, Any]:
    if row["ot.address"] is None and asked >= 0:
        row["ot.address"] = f"{asked ^ _OLD:04X}" if asked & _OLD else f"{asked:08X}"
    return row


def _ends(number: Words, time: Words, who: Words, talks: dict[int, Talk]) -> Ends:
    """When and between whom, from the few conversations there are."""
    few, place = np.unique(who, return_inverse=True)
    ways = [talks[one] for one in few.tolist()]
    halves = np.array([(*way.source[:2], *way.destination[:2]) for way in ways], np.uint64)[place]
    ports = np.array([(way.source[2], way.destination[2], way.vlan, way.proto) for way in ways], np.int64)[place]
    return Ends(
        number,
        time,
        np.array([way.v6 for way in ways], np.bool_)[place],
        ports[:, 3].astype(np.uint8),
        (halves[:, 0], halves[:, 1]),
        (halves[:, 2], halves[:, 3]),
        ports[:, 0],
        ports[:, 1],
        ports[:, 2],
        np.full(len(number), -1, np.int64),
    )


_HEX = np.array([f"{octet:02X}".encode() for octet in range(256)], "S2").view(np.uint8).reshape(256, 2)


class _Many:
    """Whole frames side by side: the head of each, and what plain reads and their answers say."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._size = np.fromiter(map(len, frames), np.int64, len(frames))
        self._buffer = np.frombuffer(b"".join((*frames, bytes(16))), np.uint8)
        self._at = np.cumsum(self._size) - self._size
        self.control: Words = self._octet(8)
        self.meter: U64s = self._number(1, 6)
        data: Words = self._number(10, 4, shift=0x33).astype(np.int64)
        self.di: Words = np.where(self._octet(9) >= 4, data, -1)
        self._place, self._layouts = self._layout()
        self._many: Words = np.zeros(len(frames), np.int64)

    def _octet(self, offset: int) -> Words:
        found: Words = self._buffer[self._at + offset].astype(np.int64)
        return found

    def _number(self, offset: int, octets: int, shift: int = 0) -> U64s:
        """Some octets of each frame as a number, the lowest first."""
        found = np.zeros(len(self._at), np.uint64)
        for place in range(octets):
            octet = self._buffer[self._at + offset + place] - np.uint8(shift)
            found |= octet.astype(np.uint64) << np.uint64(8 * place)
        return found

    def quick(self) -> Bools:
        """Which frames are sound reads of one number by the edition of 2007, or their answers."""
        length = self._octet(9)
        ends = np.cumsum(self._buffer, dtype=np.int64)
        before = ends[self._at - 1] * (self._at > 0)
        sums = (ends[self._at + self._size - 3] - before) & 0xFF
        sound = sums == self._buffer[self._at + self._size - 2]
        octets, blocks = self._form("octets"), self._form("block")
        many = np.where(octets > 0, (length - 4) // np.maximum(octets, 1), 0)
        asks = (self.control == 0x11) & (length == 4)
        answers = (self.control == 0x91) & (many > 0) & (length == 4 + many * octets)
        answers &= (many == 1) | ((blocks > 0) & (many <= dlt645_data.MAX_VALUES))
        self._many = np.where(answers, many, 0)
        digits = np.ones(len(length), np.bool_)
        for place in range(1, 7):
            octet = self._octet(place)
            digits &= (octet & 15 < 10) & (octet < 0xA0)
        sound &= self._size == dlt645_frame.LEAST + length
        found: Bools = sound & digits & (asks | answers) & (self.meter != 0x999999999999)
        return found

    def _form(self, name: str) -> Words:
        """int64[n]: of the layout of each frame's identifier; 0 where it is not that of a number."""
        return self._layouts[name][self._place]

    def _layout(self) -> tuple[Words, dict[str, Words]]:
        """Which of the few identifiers each frame has, and what is known of those."""
        few, place = np.unique(self.di, return_inverse=True)
        forms = [dlt645_data.layout(one, "2007") if one >= 0 else None for one in few.tolist()]
        known = [form if form and form.kind == "number" else None for form in forms]
        pairs = list(zip(few.tolist(), known, strict=True))
        return place, {
            "octets": np.array([form.octets if form else 0 for _, form in pairs], np.int64),
            "decimals": np.array([form.decimals if form else 0 for _, form in pairs], np.int64),
            "signed": np.array([form.signed if form else 0 for _, form in pairs], np.int64),
            "block": np.array([form is not None and dlt645_data.is_block(di, "2007") for di, form in pairs], np.int64),
        }

    def columns(self, rows: Words) -> pl.DataFrame:
        """The columns of some quick frames."""
        asks = self.control[rows] == 0x11
        n = len(rows)

        def same(name: str, value: str, dtype: pl.DataType | None = None) -> pl.Series:
            return pl.Series(name, [value], dtype or pl.String()).new_from_index(0, n)

        return pl.DataFrame(
            [
                same("network.protocol", "dlt645"),
                same("ot.protocol", "dlt645"),
                pl.Series("ot.function.code", [0x11], pl.Int32).new_from_index(0, n),
                same("ot.function.name", "read_data"),
                same("ot.function.class", "read"),
                self._texts(self.meter[rows], 6).alias("ot.unit_id"),
                self._texts(self.di[rows].astype(np.uint64), 4).alias("ot.address"),
                self._values(rows).alias("ot.value"),
                pl.Series("ot.message.type", ["response", "request"], pl.String)[asks.astype(np.int64)],
                pl.Series("ot.is_request", asks),
                same("ot.edition", "2007"),
            ]
        )

    @staticmethod
    def _texts(numbers: U64s, octets: int) -> pl.Series:
        """Numbers in hexadecimal, the highest octet first; each that occurs is written once."""
        few, place = np.unique(numbers, return_inverse=True)
        wide = few[:, None] >> (np.arange(octets - 1, -1, -1, dtype=np.uint64) * np.uint64(8))
        text = _HEX[(wide & np.uint64(0xFF)).astype(np.int64)].reshape(len(few), 2 * octets)
        return pl.Series("", np.ascontiguousarray(text).view(f"S{2 * octets}").ravel().astype(str), pl.String)[place]

    def _values(self, rows: Words) -> pl.Series:
        """The numbers each answer holds as text, commas between."""
        many = self._many[rows]
        ends = np.cumsum(many)
        row = np.repeat(rows, many)
        turn = np.arange(len(row)) - np.repeat(ends - many, many)
        octets, signed = self._form("octets")[row], self._form("signed")[row] > 0
        at = self._at[row] + 14 + turn * octets
        total, good, negative = np.zeros(len(row), np.int64), np.ones(len(row), np.bool_), np.zeros(len(row), np.bool_)
        scale = 1
        for number in range(4):
            inside = number < octets
            octet = (self._buffer[np.where(inside, at + number, 0)] - np.uint8(0x33)).astype(np.int64)
            top = signed & (number == octets - 1)
            negative |= top & (octet > 0x7F)
            octet = np.where(top, octet & 0x7F, octet)
            good &= ~inside | ((octet & 15 < 10) & (octet < 0xA0))
            total += np.where(inside, (octet >> 4) * 10 + (octet & 15), 0) * scale
            scale *= 100
        told = _decimal(total, self._form("decimals")[row], negative, good)
        lone = np.zeros(len(rows), np.bool_)
        lone[many == 1] = ~good[(ends - many)[many == 1]]
        return _joined(told, turn + 1 < np.repeat(many, many), ends).set(pl.Series(lone | (many == 0)), None)


def _joined(texts: pl.Series, goes_on: Bools, ends: Words) -> pl.Series:
    """Texts that lie side by side as one each: a comma behind those that go on; ``ends`` of each run."""
    each = pl.DataFrame({"text": texts, "on": goes_on}).select(
        pl.col("text").fill_null("") + pl.when("on").then(pl.lit(",")).otherwise(pl.lit(""))
    )
    flat = each.to_series().to_arrow().cast(pa.large_string())
    if not len(flat):
        return pl.Series("", [None], pl.String).new_from_index(0, len(ends))
    _, offsets, data = flat.buffers()
    starts = np.frombuffer(offsets, np.int64, len(flat) + 1, flat.offset * 8)[np.concatenate([[0], ends])]
    found = pl.from_arrow(pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(starts), data))
    assert isinstance(found, pl.Series)
    return found


def _decimal(total: Words, decimals: Words, negative: Bools, good: Bools) -> pl.Series:
    """Numbers with their decimals as text; null where it is no number."""
    split = 10**decimals
    texts = pl.DataFrame(
        {"whole": total // split, "rest": (total % split) + split, "point": decimals > 0, "minus": negative, "ok": good}
    )
    sign = pl.when("minus").then(pl.lit("-")).otherwise(pl.lit(""))
    fraction = pl.when("point").then(pl.lit(".") + pl.col("rest").cast(pl.String).str.slice(1)).otherwise(pl.lit(""))
    told = pl.when("ok").then(sign + pl.col("whole").cast(pl.String) + fraction)
    return texts.select(told.alias("v")).to_series()
