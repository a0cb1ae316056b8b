"""Plain reads of DL/T 645-2007 and their answers as arrays: which frames they are, and what they say.

Equal to ``dlt645_frame.read`` and ``dlt645_rows.fields`` for those frames; tests hold both to the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from cityguard.decoders.ot import dlt645_data, dlt645_frame
from cityguard.decoders.packet import Bools, U64s, Words

_HEX = np.array([f"{octet:02X}".encode() for octet in range(256)], "S2").view(np.uint8).reshape(256, 2)


class Many:
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
