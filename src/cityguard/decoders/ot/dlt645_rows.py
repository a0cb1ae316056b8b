"""Frames of DL/T 645 to columns: one by one what few say, as arrays what nearly all say (a read and its answer).

Both ways give the same rows; ``Rows(fast=False)`` takes the first for all. An answer without an identifier of its own
(a write confirmed, a request refused) is given that of the request it answers.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl

from cityguard.decoders import events, passwords
from cityguard.decoders.ot import dlt645_data, dlt645_frame
from cityguard.decoders.ot.dlt645_columns import Many
from cityguard.decoders.ot.dlt645_frame import Frame
from cityguard.decoders.packet import Bools, U64s, Words
from cityguard.decoders.wire.gathered import Taken

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


class Rows:
    """Gathered frames of a capture to tables."""

    def __init__(self, *, fast: bool = True) -> None:
        self._fast = fast
        self._keys: U64s = np.zeros(0, np.uint64)
        self._asks: Words = np.zeros(0, np.int64)

    def tables(self, taken: Taken) -> list[pl.DataFrame]:
        """The rows of some frames, in order."""
        frames, times = taken.frames, taken.time.tolist()
        many = Many(frames)
        quick = many.quick() if self._fast else np.zeros(len(frames), np.bool_)
        told = {row: dlt645_frame.read(frames[row]) for row in np.flatnonzero(~quick).tolist()}
        asked = self._asked(many, taken.ways, quick, told)
        found = []
        if quick.any():
            rows = np.flatnonzero(quick)
            found.append(pl.concat([events.keyed(taken.ends(rows)), many.columns(rows)], how="horizontal"))
        if told:
            slow = events.Rows("ot")
            for row, frame in told.items():
                if frame is not None:
                    one = _answered(fields(frame, times[row]), int(asked[row]))
                    slow.add(int(taken.number[row]), times[row], taken.talk(row), one)
            found += slow.take()
        return found

    def _asked(self, many: Many, ways: Words, quick: Bools, told: dict[int, Frame | None]) -> Words:
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
