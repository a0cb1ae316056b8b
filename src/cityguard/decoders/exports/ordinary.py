"""Templates of ordinary flows, whose records become columns in one compiled pass (``onepass``)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard.decoders import address
from cityguard.decoders.address import Words
from cityguard.decoders.events import Ends
from cityguard.decoders.exports import onepass, rows
from cityguard.decoders.exports.template import Template
from cityguard.decoders.exports.walk import Octets

_FIELDS = {
    4: onepass.PROTO,
    8: onepass.SOURCE4,
    12: onepass.DESTINATION4,
    27: onepass.SOURCE6,
    28: onepass.DESTINATION6,
    7: onepass.SOURCE_PORT,
    11: onepass.DESTINATION_PORT,
    1: onepass.BYTES,
    85: onepass.BYTES,
    2: onepass.PACKETS,
    86: onepass.PACKETS,
    6: onepass.FLAGS,
    32: onepass.PING,
    139: onepass.PING,
    58: onepass.VLAN,
    243: onepass.VLAN,
    136: onepass.STATE,
    61: onepass.DIRECTION,
}
_TIMES = {
    22: (onepass.START, onepass.UPTIME, 4),
    150: (onepass.START, onepass.SECONDS, 8),
    152: (onepass.START, onepass.MILLISECONDS, 8),
    21: (onepass.END, onepass.UPTIME, 4),
    151: (onepass.END, onepass.SECONDS, 8),
    153: (onepass.END, onepass.MILLISECONDS, 8),
}
_SIZES = {8: (4,), 12: (4,), 27: (16,), 28: (16,), 4: (1,), 7: (1, 2), 11: (1, 2)}
_NUMBERS = {number: name for name, ((_, number), *_) in rows.LONGS.items() if number in (10, 14, 16, 17)}
_RANK = {name: nth for nth, name in enumerate(rows.LONGS)}
_PADDING = 210
MAX_MORE = 64
"""Numbers with a column of their own in one table of several templates."""
_MOMENT, _LONG, _INT, _TEXT = pa.timestamp("us", "UTC"), pa.int64(), pa.int32(), pa.string_view()
_ADDED = frozenset(
    {34, 48, 50, 302, 305, 306, 176, 177, 178, 179, 180, 181, 182, 183, 158, 159, 160, 161, 162, 227, 228}
)
_ADDED |= {230, 231, 232, 233, 298, 299, 322, 352, 353, 40003, 40004, 40005}
"""Numbers that mean more than themselves, which only ``rows`` knows."""
_LATEST = (1 << 32) * 1_000_000  # ns: an uptime back from here is after 1970


class Layout(NamedTuple):
    """Where a record's fields stand."""

    size: int
    at: tuple[int, ...]
    sizes: tuple[int, ...]
    forms: tuple[int, int]
    more: tuple[tuple[str, int, int, int], ...]  # column, place, size, the least number told


@lru_cache(maxsize=8192)
def layout(template: Template) -> Layout | None:
    """The layout of an ordinary template; None = it tells more than the compiled pass knows."""
    if template.variable or not template.is_flow:
        return None
    at, sizes, forms = [0] * onepass.FIELDS, [0] * onepass.FIELDS, [onepass.NONE] * 2
    more = list[tuple[str, int, int, int]]()
    for (enterprise, number), place in template.places.items():
        if enterprise or place.at < 0:
            return None
        if number == _PADDING:
            continue
        slot, most = _FIELDS.get(number), 8
        if number in _TIMES:
            slot, form, most = _TIMES[number]
            forms[slot - onepass.START] = form
        if slot is None:
            if place.what.kind != "u" or not place.what.known or number in _ADDED or place.size > 8:
                return None
            name = _NUMBERS.get(number, place.what.name)
            more.append((name, place.at, place.size, int(name.endswith("as.number"))))
            continue
        if sizes[slot] or place.size not in _SIZES.get(number, range(1, most + 1)):
            return None  # several elements of one meaning
        at[slot], sizes[slot] = place.at, place.size
    if len(more) > MAX_MORE:
        return None
    more.sort(key=lambda one: _RANK.get(one[0], len(_RANK)))
    return Layout(template.size, tuple(at), tuple(sizes), (forms[0], forms[1]), tuple(more))


def names(template: Template) -> set[str]:
    """Columns of their own that a template's numbers have."""
    one = layout(template)
    return {name for name, *_ in one.more} if one is not None else set()


def fits(template: Template, exported: Words, boot: Words) -> bool:
    """Whether the compiled pass may take records of a template out of datagrams of some times."""
    one = layout(template)
    if one is None:
        return False
    return onepass.UPTIME not in one.forms or bool(((exported > _LATEST) & (boot > 0)).all())


def table(
    templates: Sequence[Template],
    buffer: Octets,
    sets: npt.NDArray[np.int64],
    datagrams: npt.NDArray[np.int64],
    peer: pl.Series,
    rate: pl.Series,
    *,
    community_id: bool,
) -> pl.DataFrame:
    """Rows of the dataset ``flow``; equal to ``rows.table`` of each template, put together.

    Args:
        templates: of which every one fits.
        buffer: uint8, the datagrams.
        sets: int64[4, s]: where each begins, its records, its template and its datagram.
        datagrams: int64[4, d], as ``onepass.rows`` takes them.
        peer: String[n], the exporter of each record.
        rate: Int32[n], 1 of N by header or options.
        community_id: whether ``network.community_id`` is worked out.
    """
    layouts = [one for one in map(layout, templates) if one is not None]
    more_names = list(dict.fromkeys(name for one in layouts for name, *_ in one.more))
    more = np.zeros((2, len(layouts), len(more_names)), np.int64)
    above = np.zeros(len(more_names), np.int64)
    for nth, one in enumerate(layouts):
        for name, place, wide, least in one.more:
            where = more_names.index(name)
            more[0, nth, where], more[1, nth, where], above[where] = place, wide, least
    n = int(sets[1].sum())
    six = any(one.sizes[onepass.SOURCE6] or one.sizes[onepass.DESTINATION6] for one in layouts)
    made = _Made(
        more_names,
        np.empty((onepass.LONGS + len(more_names), n), np.int64),
        np.empty((onepass.INTS, n), np.int32),
        np.empty((onepass.VIEWS, n, 2), np.uint64),
        np.empty((2, n * (5 if six else 2)), np.uint64),
        np.empty((4, n if community_id else 0), np.uint64),
    )
    told = [np.array([getattr(one, name) for one in layouts], np.int64) for name in ("size", "at", "sizes", "forms")]
    size, at, sizes, forms = told
    plain = (buffer, sets, size, at, sizes)
    nulls = onepass.numbers(*plain, forms, more[0], more[1], above, datagrams, made.longs, made.ints).tolist()
    used = [
        onepass.addresses(*plain, side, made.views[side], made.texts[side], made.ends[2 * side :]) for side in (0, 1)
    ]
    nulls += [one[0] for one in used] + onepass.words(*plain, _WORDS, made.views).tolist() + [one[1] for one in used]
    return made.frame(nulls, peer, rate, community_id=community_id)


@dataclass(frozen=True, slots=True)
class _Made:
    """What the pass filled, as Arrow columns without copies."""

    names: list[str]
    longs: Words
    ints: npt.NDArray[np.int32]
    views: npt.NDArray[np.uint64]
    texts: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.uint64]

    def frame(self, nulls: list[int], peer: pl.Series, rate: pl.Series, *, community_id: bool) -> pl.DataFrame:
        """The columns in the order of ``rows.table``."""
        n, count = self.longs.shape[1], len(self.longs)

        def long(row: int, kind: pa.DataType = _LONG) -> pa.Array:
            return _array(kind, self.longs[row], nulls[row], self.longs[row], 1 if kind is _MOMENT else 0)

        def small(row: int) -> pa.Array:
            return _array(_INT, self.ints[row], nulls[count + row], self.ints[row], 0)

        def text(row: int) -> pa.Array:
            more = [_LONG_WORDS] if row == onepass.REASON else []
            if row < 2:
                more = [pa.py_buffer(self.texts[row, : nulls[row - 2]])]
            return _array(_TEXT, self.views[row], nulls[count + onepass.INTS + row], self.views[row, :, 0], 1, more)

        octets, packets = long(onepass.OCTETS), long(onepass.COUNTED)
        out = {
            "@timestamp": long(onepass.TIME, _MOMENT),
            "event.start": long(onepass.BEGAN, _MOMENT),
            "event.end": long(onepass.ENDED, _MOMENT),
            "event.duration": long(onepass.DURATION),
            "log.offset": pa.Array.from_buffers(_LONG, n, [None, pa.py_buffer(self.longs[onepass.PLACE])], 0),
            "source.ip": text(onepass.AT_SOURCE),
            "source.port": small(onepass.FROM),
            "destination.ip": text(onepass.AT_DESTINATION),
            "destination.port": small(onepass.TO),
            "network.transport": text(onepass.TRANSPORT),
            "network.vlan.id": small(onepass.TAGGED),
            "observer.ip": None,
            "source.bytes": octets,
            "destination.bytes": pa.nulls(n, _LONG),
            "network.bytes": octets,
            "source.packets": packets,
            "destination.packets": pa.nulls(n, _LONG),
            "network.packets": packets,
            "source.mac": pa.nulls(n, _TEXT),
            "destination.mac": pa.nulls(n, _TEXT),
            "tcp.flags": small(onepass.TCP_FLAGS),
            "flow.sampling": None,
            "icmp.type": small(onepass.KIND),
            "icmp.code": small(onepass.CODE),
            "flow.state": text(onepass.REASON),
            "network.direction": text(onepass.WAY),
            "network.community_id": None,
            **{name: long(onepass.LONGS + nth) for nth, name in enumerate(self.names)},
        }
        arrow = pl.DataFrame(pl.from_arrow(pa.table({name: one for name, one in out.items() if one is not None})))
        made = {one.name: one for one in arrow.iter_columns()}
        made |= {"observer.ip": peer.alias("observer.ip"), "flow.sampling": rate.alias("flow.sampling")}
        if community_id:
            made["network.community_id"] = self._community()
        return pl.DataFrame([made[name] for name in out if name in made])

    def _community(self) -> pl.Series:
        kind = self.ints[onepass.KIND].astype(np.int64)
        proto = self.ints[onepass.PROTOCOL].astype(np.int64)
        source, destination = (self.ends[0], self.ends[1]), (self.ends[2], self.ends[3])
        ends = Ends(
            self.longs[onepass.PLACE],
            self.longs[onepass.TIME],
            rows.version_six(source, destination),
            np.clip(proto, 0, 255).astype(np.uint8),
            source,
            destination,
            self.ints[onepass.FROM].astype(np.int64),
            self.ints[onepass.TO].astype(np.int64),
            self.ints[onepass.TAGGED].astype(np.int64),
            np.where(kind >= 0, kind << 8 | self.ints[onepass.CODE], -1),
        )
        return rows.community(ends, proto)


def _array(
    kind: pa.DataType, values: Any, nulls: int, told: Any, least: int, more: Sequence[pa.Buffer] = ()
) -> pa.Array:
    """A column over ``values``; null where ``told`` is below ``least``."""
    n = len(values)
    if nulls == n:
        return pa.nulls(n, kind)
    valid = pa.py_buffer(np.packbits(told >= least, bitorder="little")) if nulls else None
    return pa.Array.from_buffers(kind, n, [valid, pa.py_buffer(values), *more], nulls)


def _views(words: Sequence[str | None]) -> tuple[npt.NDArray[np.uint64], bytes]:
    """Words as string views (uint64[257, 2], length 0 = null), and what of them is longer than 12 bytes."""
    out, more = np.zeros((257, 2), np.uint64), b""
    for nth, word in enumerate(words):
        raw = (word or "").encode()
        if len(raw) <= 12:
            whole = struct.pack("<I12s", len(raw), raw)
        else:
            whole, more = struct.pack("<I4sII", len(raw), raw[:4], 0, len(more)), more + raw
        out[nth] = np.frombuffer(whole, np.uint64)
    return out, more


_REASON_VIEWS, _LONGER = _views(rows.REASONS)
_LONG_WORDS = pa.py_buffer(_LONGER)
_WORDS = np.stack([_views(address.transport(np.arange(256)).to_list())[0], _REASON_VIEWS, _views(rows.WAYS)[0]])
