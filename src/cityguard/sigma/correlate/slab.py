"""Rows of many groups, each group's together and in order of time: a vector of vectors over flat arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
_ORDER = ("t", "rule", "high", "low")  # a hit is known by these: the same four are the same hit
_ROOM = 2  # rows a group begins with
_SLACK = 1 << 16


@dataclass(frozen=True, slots=True)
class Touched:
    """Groups that got rows they did not have, each once, ascending."""

    groups: Ints
    begin: Ints  # rows of each that are earlier than the earliest added
    first: Ints  # earliest time added
    last: Ints  # latest time added
    ordered: Bools  # nothing added lies before what was there

    def chosen(self, wanted: Bools) -> Touched:
        """Some of them."""
        return Touched(*(getattr(self, name)[wanted] for name in self.__slots__))


class Slab:
    """Columns of equal length; group ``g`` owns ``[start[g], start[g] + size[g])``, ascending by time.

    Args:
        types: dtype per column; ``t`` (µs), ``rule``, ``high`` and ``low`` (id halves, both 0 = none) must be there.
        wide: columns that hold several numbers per row.
    """

    def __init__(self, types: dict[str, npt.DTypeLike], wide: dict[str, int] | None = None) -> None:
        self._wide = wide or {}
        self.columns: dict[str, Array] = {
            name: np.zeros((0, self._wide[name]) if name in self._wide else 0, dtype=kind)
            for name, kind in types.items()
        }
        self.start = np.zeros(0, dtype=np.int64)
        self.size = np.zeros(0, dtype=np.int64)
        self._room = np.zeros(0, dtype=np.int64)
        self._top = 0  # rows below it belong to somebody, or did
        self.rows = 0

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    @property
    def t(self) -> Ints:
        """µs since the epoch of every row."""
        return self.columns["t"]

    @property
    def nbytes(self) -> int:
        """Bytes held, used or not."""
        return sum(column.nbytes for column in self.columns.values()) + 3 * self.start.nbytes

    # ------------------------------------------------------------ in

    def add(self, groups: Ints, rows: dict[str, Array]) -> Touched:
        """Add rows (any order); those there already are left out.

        Args:
            groups: int64[n], group of each row, below 2**31.
            rows: every column, n entries each.
        """
        order = sort_order(groups, rows)
        groups, rows = groups[order], {name: column[order] for name, column in rows.items()}
        new = ~_repeats(groups, rows)
        if not new.all():
            groups, rows = groups[new], {name: column[new] for name, column in rows.items()}
        begin = np.flatnonzero(np.diff(groups, prepend=-1))
        own = groups[begin]
        count = np.diff(begin, append=len(groups))
        self._make_room(own, count)
        before, times = self.size[own], rows["t"]
        first, last = times[begin], times[begin + count - 1]
        newest = np.where(before > 0, self.t[self.start[own] + np.maximum(before - 1, 0)], np.iinfo(np.int64).min)
        mixed = np.flatnonzero(first <= newest)
        tail = self.below(own[mixed], first[mixed])
        place = np.repeat(self.start[own] + before - begin, count) + np.arange(len(groups))
        for name, column in rows.items():
            self.columns[name][place] = column
        self.size[own] = before + count
        self.rows += len(groups)
        self._merge(own[mixed], tail)
        changed = self.size[own] > before
        earlier = before.copy()
        earlier[mixed] = tail - self.start[own[mixed]]
        return Touched(own[changed], earlier[changed], first[changed], last[changed], (first >= newest)[changed])

    def _merge(self, own: Ints, tail: Ints) -> None:
        """Bring groups, from the places ``tail`` on, into order; drop what is there twice."""
        if not len(own):
            return
        length = self.start[own] + self.size[own] - tail
        place = spans(tail, length)
        of = np.repeat(np.arange(len(own)), length)
        rows = {name: column[place] for name, column in self.columns.items()}
        order = sort_order(of, rows)
        rows = {name: column[order] for name, column in rows.items()}
        new = ~_repeats(of, rows)
        kept = np.bincount(of[new], minlength=len(own))
        target = spans(tail, kept)
        for name, column in rows.items():
            self.columns[name][target] = column[new]
        self.size[own] = tail + kept - self.start[own]
        self.rows -= int((~new).sum())

    def _make_room(self, own: Ints, count: Ints) -> None:
        if len(own) and int(own[-1]) >= len(self.start):
            more = max(int(own[-1]) + 1, len(self.start) * 3 // 2) - len(self.start)
            self.start = np.concatenate((self.start, np.zeros(more, dtype=np.int64)))
            self.size = np.concatenate((self.size, np.zeros(more, dtype=np.int64)))
            self._room = np.concatenate((self._room, np.zeros(more, dtype=np.int64)))
        short, room = self._short(own, count)
        if not len(short):
            return
        if self._top + int(room.sum()) > len(self.t):
            if self._top > 2 * self.rows + _SLACK:  # more holes than rows
                self.keep(None)
                short, room = self._short(own, count)
            self._lengthen(self._top + int(room.sum()))
        own, begin = own[short], self._top + np.cumsum(room) - room
        source, target = spans(self.start[own], self.size[own]), spans(begin, self.size[own])
        for column in self.columns.values():
            column[target] = column[source]
        self.start[own], self._room[own] = begin, room
        self._top += int(room.sum())

    def _short(self, own: Ints, count: Ints) -> tuple[Ints, Ints]:
        """Which groups need more room than they have, and how much they get."""
        wanted = self.size[own] + count
        short = np.flatnonzero(wanted > self._room[own])
        bits = np.ceil(np.log2(np.maximum(wanted[short], _ROOM))).astype(np.int64)
        return short, np.int64(1) << bits

    def _lengthen(self, needed: int) -> None:
        if needed <= len(self.t):
            return
        more = needed * 3 // 2 - len(self.t)
        for name, column in self.columns.items():
            blank = np.zeros((more, *column.shape[1:]), dtype=column.dtype)
            self.columns[name] = np.concatenate((column, blank))

    # ------------------------------------------------------------ out

    def below(self, own: Ints, time: Ints, *, through: bool = False) -> Ints:
        """Place of the first row of each group at or after ``time`` (``through``: after it)."""
        low = self.start[own].copy()
        return search(self.t, low, low + self.size[own], time, through=through)

    def places(self) -> Ints:
        """Places of all rows, group after group."""
        own = np.flatnonzero(self.size)
        return spans(self.start[own], self.size[own])

    def owners(self) -> Ints:
        """Group of every row, as in ``places``."""
        return np.repeat(np.arange(len(self.size)), self.size)

    def keep(self, wanted: Bools | None) -> None:
        """Keep the rows (in the order of ``places``) that are wanted, or all; what they leave free is given back."""
        place, of = self.places(), self.owners()
        if wanted is not None:
            place, of = place[wanted], of[wanted]
        for name, column in self.columns.items():
            if len(place) * 4 < len(column):
                self.columns[name] = column[place]
            else:
                column[: len(place)] = column[place]
        self.size = np.bincount(of, minlength=len(self.size)).astype(np.int64)
        self.start = np.cumsum(self.size) - self.size
        self._room = self.size.copy()
        self._top = self.rows = len(place)

    def renumber(self, live: Ints) -> None:
        """Group ``live[i]`` becomes group ``i``; all others must be empty."""
        self.start, self.size, self._room = self.start[live], self.size[live], self._room[live]


def search(t: Ints, low: Ints, high: Ints, value: Ints, *, through: bool = False) -> Ints:
    """Binary search in many ascending pieces ``t[low:high]`` at once; ``low`` is changed and returned."""
    high = high.copy()
    while True:
        open_ = np.flatnonzero(low < high)
        if not len(open_):
            return low
        middle = (low[open_] + high[open_]) >> 1
        here, asked = t[middle], value[open_]
        right = here <= asked if through else here < asked
        low[open_[right]] = middle[right] + 1
        high[open_[~right]] = middle[~right]


def spans(begin: Ints, length: Ints) -> Ints:
    """All indices of ``[begin, begin + length)``, one range after the other."""
    total = int(length.sum())
    ends = np.cumsum(length)
    return np.repeat(begin - (ends - length), length) + np.arange(total)


def sort_order(groups: Ints, rows: dict[str, Array]) -> Ints:
    """Order by group, time, then what tells hits of one instant apart."""
    time: Ints = rows["t"]
    if len(time) < 2:
        return np.arange(len(time))
    since = time - time.min()
    bits = int(since.max()).bit_length()
    if int(groups.max()).bit_length() + bits > 62:
        return np.lexsort((rows["low"], rows["high"], rows["rule"], time, groups))
    key = (groups << bits) | since
    order = np.argsort(key)
    key = key[order]
    same = key[1:] == key[:-1]
    if same.any():
        tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        among = order[tied]
        finer = np.lexsort((rows["low"][among], rows["high"][among], rows["rule"][among], key[tied]))
        order[tied] = among[finer]
    return order


def _repeats(groups: Ints, rows: dict[str, Array]) -> Bools:
    """True at rows that say what the row before says; rows without an id repeat nothing."""
    same = np.zeros(len(groups), dtype=np.bool_)
    if len(groups) < 2:
        return same
    same[1:] = groups[1:] == groups[:-1]
    for name in _ORDER:
        same[1:] &= rows[name][1:] == rows[name][:-1]
    same &= (rows["high"] != 0) | (rows["low"] != 0)
    return same
