"""Gathered frames of SL 651-2014 to columns: reports, keepalives and confirmations as arrays, the rest singly.

Reports of one length whose guides stand at the same places are read together. Both ways give the same rows;
``Rows(fast=False)`` takes frames one by one.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from cityguard.decoders import events
from cityguard.decoders.ot import sl651_frame, sl651_layout, sl651_rows
from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.ot.sl651_layout import FIRST, Field, Layout
from cityguard.decoders.ot.sl651_octets import SHORT, TENS, checks, seconds
from cityguard.decoders.ot.sl651_values import shown, states
from cityguard.decoders.packet import Bools, U8s, Words
from cityguard.decoders.wire.gathered import Source

FEWEST = 16
"""Frames of one length, or of one layout, that are worth reading as arrays."""
MAX_LAYOUTS = 64
"""Layouts of reports of one length in a piece."""
_REPORTS = frozenset((*range(0x30, 0x36), 0x37, 0x38, 0x3A))
_AHEAD = 600


class Rows:
    """Frames of a capture to tables."""

    def __init__(self, *, fast: bool = True) -> None:
        self._fast = fast

    def tables(self, source: Source) -> list[pl.DataFrame]:
        """The rows of some frames."""
        found, quick = [], np.zeros(len(source.size), np.bool_)
        if self._fast:
            for rows, table in _by_size(source):
                for mine, columns in _read(rows, table, source.time):
                    found.append(pl.concat([events.keyed(source.ends(mine)), columns], how="horizontal"))
                    quick[mine] = True
        slow, view = events.Rows("ot"), source.buffer.data
        for row in np.flatnonzero(~quick).tolist():
            begin, time = int(source.begin[row]), int(source.time[row])
            frame = sl651_frame.read(bytes(view[begin : begin + int(source.size[row])]))
            said = sl651_rows.body(frame, frame.body, len(frame.body))
            slow.add(int(source.number[row]), time, source.talk(row), sl651_rows.fields(frame, said, time))
        return found + slow.take()


def _by_size(source: Source) -> list[tuple[Words, U8s]]:
    """Frames of one length as the rows of a table, with their places; lengths that few have are left out."""
    found, buffer = [], source.buffer
    for one in np.flatnonzero(np.bincount(source.size) >= FEWEST).tolist():
        rows = np.flatnonzero(source.size == one)
        view = np.ndarray((len(buffer) - one + 1, one), np.uint8, buffer=buffer, strides=(1, 1))
        found.append((rows, view[source.begin[rows]]))
    return found


def _read(rows: Words, table: U8s, times: Words) -> list[tuple[Words, pl.DataFrame]]:
    """Places and columns of the frames that are read as arrays."""
    ordinary = checks(table) & _is_ordinary(table)
    sent = seconds(table[:, 16:22])
    ordinary &= sent >= 0
    if table.shape[1] == sl651_frame.HEX_HEAD + SHORT + 3:
        mine = np.flatnonzero(ordinary & ~np.isin(table[:, 10], (0x4A, 0x51)))
        return [_told(rows, table, times, sent, mine, None)] if len(mine) else []
    if table.shape[1] <= FIRST + 5:
        return []
    found = []
    left = np.flatnonzero(ordinary & _is_report(table, sent))
    for _ in range(MAX_LAYOUTS):
        if len(left) < FEWEST:
            break
        layout = sl651_layout.read(bytes(table[left[0]]))
        alike = sl651_layout.alike(table[left], layout) if layout else np.zeros(len(left), np.bool_)
        alike[0] = True
        if layout:
            mine = left[alike]
            mine = mine[sl651_layout.readable(table[mine], layout)]
            if len(mine):
                found.append(_told(rows, table, times, sent, mine, layout))
        left = left[~alike]
    return found


def _is_ordinary(table: U8s) -> Bools:
    """Frames to or from one station, not to all of a region."""
    up = table[:, 11] < 16
    first = np.where(up, table[:, 3], table[:, 2])
    number = np.where(up, table[:, 6] & table[:, 7], table[:, 5] & table[:, 6])
    found: Bools = (first == 0) | (number != 0xFF)
    return found


def _is_report(table: U8s, sent: Words) -> Bools:
    """Reports with address, class and time of observation where they ordinarily stand, and nothing odd in them."""
    good = np.isin(table[:, 10], list(_REPORTS)) & (table[:, 11] < 16)
    good &= (table[:, 22:24] == 0xF1).all(axis=1) & (table[:, 30:32] == 0xF0).all(axis=1)
    good &= (table[:, 24:29] == table[:, 3:8]).all(axis=1)
    observed = seconds(table[:, 32:37])
    found: Bools = good & (observed >= 0) & (observed - sent <= _AHEAD)
    return found


@cache
def _rain() -> pl.Series:
    return pl.Series("", [shown(None if octet == 0xFF else octet / 10) for octet in range(256)], pl.String)


@cache
def _levels() -> pl.Series:
    return pl.Series("", [shown(None if word == 0xFFFF else word / 100) for word in range(65_536)], pl.String)


def _text(table: U8s, one: Field) -> pl.Series:
    """An element's values as text."""
    raw = table[:, one.at : one.at + one.size]
    if one.kind == "status":
        few, which = np.unique(_word(table, one), return_inverse=True)
        return pl.Series("", [f"{word:08X}" for word in few.tolist()], pl.String)[which]
    if one.kind != "number":
        places = raw if one.kind == "rain" else np.ascontiguousarray(raw).view(">u2")
        listed = (_rain() if one.kind == "rain" else _levels())[places.astype(np.int64).ravel()]
        return listed.reshape((len(table), 12)).arr.join(" ")
    if not one.many:
        return _numbers(raw, one.decimals)
    raw = np.ascontiguousarray(table[:, one.at : one.at + one.size * one.many]).reshape(-1, one.size)
    listed = _numbers(raw, one.decimals)
    return listed.reshape((len(table), one.many)).arr.join(" ")


def _numbers(raw: U8s, decimals: int) -> pl.Series:
    """Packed numbers as text, a row each."""
    parts = TENS[raw]
    minus = raw[:, 0] == 0xFF
    value = np.where(minus, 0, parts[:, 0])
    for place in range(1, raw.shape[1]):
        value = value * 100 + parts[:, place]
    value = np.where(minus, -value, value)
    number = value / 10.0**decimals if decimals else value
    return pl.Series("", number).cast(pl.String)


def _word(table: U8s, one: Field) -> Words:
    """The status word."""
    raw = table[:, one.at : one.at + 4].astype(np.int64)
    return raw[:, 0] << 24 | raw[:, 1] << 16 | raw[:, 2] << 8 | raw[:, 3]


def _flags(table: U8s, layout: Layout | None) -> pl.Series:
    """What the status word tells to be so; of several the last."""
    words = [one for one in layout.fields if one.kind == "status"] if layout else []
    if not words:
        return pl.repeat(None, len(table), dtype=pl.List(pl.String), eager=True)
    few, place = np.unique(_word(table, words[-1]), return_inverse=True)
    return pl.Series("", [states(word) or None for word in few.tolist()], pl.List(pl.String))[place]


def _values(table: U8s, layout: Layout) -> pl.Series:
    columns = pl.DataFrame([_text(table, one).alias(str(place)) for place, one in enumerate(layout.fields)])
    return columns.select(pl.concat_str(pl.all(), separator=",")).to_series()


_NAMES = pl.Series("", [names.function(code)[0] for code in range(256)], pl.String)
_KINDS = pl.Series("", [names.function(code)[1] for code in range(256)], pl.String)
_CENTRES = pl.Series("", [str(number) for number in range(256)], pl.String)
_CLASSES = pl.Series("", [sl651_rows.station_class(kind) for kind in range(256)], pl.String)
_ASKS = np.array([end not in (names.ACK, names.NAK, names.EOT, names.ESC) for end in range(256)], np.bool_)


def _told(
    rows: Words, table: U8s, times: Words, sent: Words, mine: Words, layout: Layout | None
) -> tuple[Words, pl.DataFrame]:
    """Places and columns of some frames; without a layout they have no elements."""
    part, clock, places = table[mine], sent[mine], rows[mine]
    up, code, end = part[:, 11] < 16, part[:, 10], part[:, -3]
    count = len(part)
    offset = (clock * 1_000_000_000 - times[places]) // 1_000_000 / 1_000
    constant = {
        "ot.protocol": "sl651",
        "ot.edition": "2014",
        "ot.address": ",".join(one.name for one in layout.fields) if layout else None,
    }
    columns = [pl.repeat(value, count, dtype=pl.String, eager=True).alias(name) for name, value in constant.items()]
    columns += [
        pl.Series("ot.function.code", code.astype(np.int32)),
        _NAMES[code].alias("ot.function.name"),
        _KINDS[code].alias("ot.function.class"),
        pl.repeat(len(layout.fields) if layout else None, count, dtype=pl.Int32, eager=True).alias("ot.quantity"),
        pl.Series("ot.message.type", ["down", "up"], pl.String)[up.astype(np.uint8)].alias("ot.message.type"),
        pl.Series("ot.transaction_id", part[:, 14].astype(np.int64) << 8 | part[:, 15]),
        pl.Series("ot.is_request", ~up & _ASKS[end]),
        _CENTRES[np.where(up, part[:, 2], part[:, 7])].alias("ot.platform_id"),
        pl.Series("ot.status", [None, "nak"], pl.String)[(end == names.NAK).astype(np.uint8)].alias("ot.status"),
        pl.Series("ot.time", clock * 1_000_000).cast(pl.Datetime("us", "UTC")),
        pl.Series("ot.time_offset", offset),
        _flags(part, layout).alias("ot.flags"),
        *_stations(part, up),
        _more(part, end, layout),
    ]
    if layout:
        columns += [_values(part, layout).alias("ot.value"), _CLASSES[part[:, 29]].alias("ot.station_kind")]
    return places, pl.DataFrame(columns)


def _stations(part: U8s, up: Bools) -> list[pl.Series]:
    """The station's address and what its password is worth: looked up once for each that there is."""
    station = np.where(up[:, None], part[:, 3:8], part[:, 2:7]).astype(np.int64)
    key = part[:, 8].astype(np.int64) << 8 | part[:, 9]
    for place in range(5):
        key |= station[:, place] << 8 * (6 - place)
    few, place = np.unique(key, return_inverse=True)
    addresses = [f"{one >> 16:010X}" for one in few.tolist()]
    judged = [sl651_rows.judge(f"{one & 0xFFFF:04X}", name) for one, name in zip(few.tolist(), addresses, strict=True)]
    return [
        pl.Series("ot.unit_id", addresses, pl.String)[place].alias("ot.unit_id"),
        pl.Series("ot.password.verdict", [one.verdict for one in judged], pl.String)[place],
        pl.Series("ot.password.length", [one.length for one in judged], pl.Int32)[place],
        pl.Series("ot.password.hash", [one.hash for one in judged], pl.String)[place],
    ]


def _more(part: U8s, end: U8s, layout: Layout | None) -> pl.Series:
    """What has no column, as ``sl651_rows`` writes it."""
    key = end.astype(np.int64)
    if layout:
        for octet in range(32, 37):
            key = key << 8 | part[:, octet]
    few, place = np.unique(key, return_inverse=True)
    texts = list[str]()
    for one in few.tolist():
        said: dict[str, Any] = {"encoding": "hex", "end": names.ENDS[one >> 40 if layout else one]}
        if layout:
            year, month, day, hour, minute = (f"{one >> shift & 0xFF:02X}" for shift in (32, 24, 16, 8, 0))
            said["observed"] = f"20{year}-{month}-{day}T{hour}:{minute}"
            if layout.step:
                said["step"] = layout.step
        texts.append(json.dumps(said, ensure_ascii=False))
    return pl.Series("event.fields", texts, pl.String)[place].alias("event.fields")
