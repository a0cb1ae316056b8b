"""Correlations that grow: which of the hits that new ones can change fire now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cityguard.sigma.correlate.held import Held
from cityguard.sigma.correlate.slab import Bools, Ints, Touched, search, spans
from cityguard.sigma.windows import Hits, ends, fires

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Instants:
    """Hits that fire, by group and time, with their windows as places in the slab."""

    group: Ints
    place: Ints
    left: Ints
    right: Ints
    measured: Floats
    ordered: Bools  # False: everything of the alert's bucket is among them, also what was told before

    def __len__(self) -> int:
        return len(self.group)

    def until(self, stop: int) -> Instants:
        """The first of them."""
        return Instants(*(getattr(self, name)[:stop] for name in self.__slots__))


def ask(held: Held, touched: Touched) -> Instants:
    """Ask at every hit whose window the new ones can have changed.

    Where hits come in order these are the new ones. Where they do not, whole buckets are asked again, so that what
    stands behind an alert can be counted afresh.
    """
    touched = held.likely(touched)
    slab, span, own = held.slab, held.asked.span, touched.groups
    if not len(own):
        return _none()
    begin, stop = slab.start[own] + touched.begin, slab.start[own] + slab.size[own]
    mixed = np.flatnonzero(~touched.ordered)
    if len(mixed):
        begin[mixed] = slab.below(own[mixed], touched.first[mixed] // span * span)
        until = ((touched.last[mixed] + span) // span + 1) * span
        stop[mixed] = slab.below(own[mixed], until)
    of, place, right = _rows(held, begin, stop)
    enough = right - held.asked.least >= slab.start[own][of]
    enough &= slab.t[np.maximum(right - held.asked.least, 0)] >= slab.t[place] - span
    if not enough.any():
        return _none()
    if held.asked.kind == "event_count":
        of, place, right = of[enough], place[enough], right[enough]
        left = search(slab.t, slab.start[own][of], right, slab.t[place] - span)
        return Instants(own[of], place, left, right, (right - left).astype(np.float64), touched.ordered[of])
    first = np.flatnonzero(enough & (np.diff(np.cumsum(enough), prepend=0) > 0))
    some, at = np.unique(of[first], return_index=True)
    return _windows(held, touched, some, place[first[at]], stop[some])


def _rows(held: Held, begin: Ints, stop: Ints) -> tuple[Ints, Ints, Ints]:
    """Per row of [begin, stop): which piece, its place, and the place where its instant ends."""
    length = stop - begin
    of, place = np.repeat(np.arange(len(begin)), length), spans(begin, length)
    if not len(place):
        return of, place, place
    time = held.slab.t[place]
    instant = np.cumsum(np.append(False, (time[1:] != time[:-1]) | (of[1:] != of[:-1])))
    return of, place, place + ends(instant) - np.arange(len(place))


def _windows(held: Held, touched: Touched, some: Ints, first: Ints, stop: Ints) -> Instants:
    """Windows of the rows [first, stop) of some of the touched groups, measured over what they reach back to."""
    slab, own = held.slab, touched.groups[some]
    low = slab.below(own, slab.t[first] - held.asked.span)
    length = stop - low
    of, place = np.repeat(np.arange(len(own)), length), spans(low, length)
    fired = fires(held.asked, hits_at(held, of, place))
    at = np.flatnonzero(fired.at & (place >= first[of]))
    shift = place[at] - at  # from an index here to a place in the slab
    return Instants(
        own[of[at]],
        place[at],
        fired.left[at] + shift,
        fired.right[at] + shift,
        fired.measured[at],
        touched.ordered[some][of[at]],
    )


def hits_at(held: Held, group: Ints, place: Ints) -> Hits:
    """Rows of the slab as hits; ``group`` ascending."""
    columns = held.slab.columns
    nothing = np.zeros(0, dtype=np.int64)
    return Hits(
        group=group,
        time=columns["t"][place],
        rule=columns["rule"][place].astype(np.int64),
        value=columns["value"][place].astype(np.int64) if "value" in columns else nothing,
        number=columns["number"][place] if "number" in columns else nothing.astype(np.float64),
    )


def _none() -> Instants:
    none = np.zeros(0, dtype=np.int64)
    return Instants(none, none, none, none, none.astype(np.float64), none.astype(np.bool_))
