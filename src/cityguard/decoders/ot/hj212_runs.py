"""Frames of HJ 212 connections in order, of a whole piece together: the ordinary ones as columns, the others alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from cityguard.decoders.ot import hj212_columns, hj212_fast
from cityguard.decoders.ot import hj212_names as names
from cityguard.decoders.ot.hj212_columns import Cut
from cityguard.decoders.ot.hj212_link import Link
from cityguard.decoders.packet import Packets, Words
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.inorder import Joined, Run, ends_of, joined

_ANSWERS = np.array(sorted(names.ANSWERS))


@dataclass(slots=True)
class _Alone:
    """A frame that is read by itself."""

    row: int
    """Packet that completed it."""
    run: int
    place: int
    """Where it ends among the bytes of all runs."""
    data: bytes | None
    """None = its connection is given up."""


def read(
    buffer: np.typing.NDArray[np.uint8], packets: Packets, runs: list[Run[Link]]
) -> tuple[pl.DataFrame, Words, Words]:
    """Read the frames that runs complete; what is not ordinary goes to the links.

    Returns:
        The rows of the ordinary frames and where each ends; and where each frame ends that went to its link.
    """
    joint = joined(buffer, packets, runs)
    starts, stops, alone = _framed(joint, packets, runs)
    one, good = hj212_columns.cut(joint.data, starts, stops)
    row, run = joint.completed(stops), np.searchsorted(joint.begin, starts, side="right") - 1
    view = joint.data.data
    for at in np.flatnonzero(~good).tolist():
        alone.append(_Alone(int(row[at]), int(run[at]), int(stops[at]), bytes(view[int(starts[at]) : int(stops[at])])))
    alone.sort(key=lambda frame: (frame.row, frame.place))
    row, run, place = row[good], run[good], stops[good]
    if spoiled := [frame for frame in alone if frame.data is None]:
        kept = _before(spoiled, runs, row, run)
        one, row, run, place = Cut(one.data, one.rows[kept]), row[kept], run[kept], place[kept]
    classes, addresses = _in_turn(one, packets, runs, row, run, place, alone)
    table = hj212_columns.table(one, ends_of(packets, row), classes, addresses) if len(row) else pl.DataFrame()
    return table, place, np.array([frame.place for frame in alone], np.int64)


def _framed(joint: Joined, packets: Packets, runs: list[Run[Link]]) -> tuple[Words, Words, list[_Alone]]:
    """Where frames lie; where something else does, the link goes on by itself from there."""
    most = len(joint.data) // 12 + 1
    starts, stops = np.empty(most, np.int64), np.empty(most, np.int64)
    left, odd = np.empty(len(runs), np.int64), np.empty(len(runs), np.bool_)
    count = hj212_fast.scan(joint.data, joint.begin, joint.end, starts, stops, left, odd)
    alone: list[_Alone] = []
    view = joint.data.data
    for number, (run, begin, end, is_odd) in enumerate(
        zip(runs, left.tolist(), joint.end.tolist(), odd.tolist(), strict=True)
    ):
        tail, last = run.link.tail(run.side), int(run.rows[-1])
        tail.clear()
        if is_odd:
            alone += _odd(joint, packets, run, number, begin)
        else:
            tail += view[begin:end]
            run.link.heard(run.side, _moment(packets, last))
    return starts[:count], stops[:count], alone


def _odd(joint: Joined, packets: Packets, run: Run[Link], number: int, begin: int) -> list[_Alone]:
    """The rest of a run, packet by packet."""
    found = []
    first = int(np.searchsorted(joint.part_end, begin, side="right"))
    last = int(np.searchsorted(joint.part_end, joint.end[number], side="left"))
    for part in range(first, last + 1):
        row, end = int(joint.part_row[part]), int(joint.part_end[part])
        data = bytes(joint.data.data[begin:end])
        begin = end
        found += [_Alone(row, number, end, frame) for frame in run.link.cut(run.side, data, _moment(packets, row))]
    return found


def _before(spoiled: list[_Alone], runs: list[Run[Link]], row: Words, run: Words) -> np.typing.NDArray[np.bool_]:
    """Frames that came before their connection was given up."""
    kept = np.ones(len(row), np.bool_)
    for frame in spoiled:
        link = runs[frame.run].link
        mine = [number for number, one in enumerate(runs) if one.link is link]
        kept &= ~(np.isin(run, mine) & (row > frame.row))
    return kept


def _in_turn(
    one: Cut, packets: Packets, runs: list[Run[Link]], row: Words, run: Words, place: Words, alone: list[_Alone]
) -> tuple[pl.Series, pl.Series]:
    """Give frames that are read alone to their links, and pair answers with what they answer, all as they came.

    Returns:
        Of the ordinary frames that are answers, class and address of what they answer; else null.
    """
    answers = np.isin(one.column(hj212_fast.CN), _ANSWERS)
    rows = np.flatnonzero((answers | one.wants_answer | one.asks) & (one.column(hj212_fast.NUMBER) >= 0))
    numbers = one.numbers.gather(rows).to_list() if len(rows) else []
    classes, addresses = dict[int, str | None](), dict[int, str | None]()
    turns = list(zip(row[rows].tolist(), place[rows].tolist(), range(len(rows)), strict=True))
    turns += [(frame.row, frame.place, -1 - number) for number, frame in enumerate(alone)]
    at, of, is_answer = rows.tolist(), run[rows].tolist(), answers[rows].tolist()
    klass = hj212_columns.classes(one.column(hj212_fast.CN)[rows])
    own = one.addresses.gather(rows).to_list() if len(rows) else []
    for _, _, turn in sorted(turns, key=lambda item: item[:2]):
        if turn < 0:
            frame = alone[-1 - turn]
            runs[frame.run].link.frame(frame.data, runs[frame.run].side, _moment(packets, frame.row))
        elif not is_answer[turn]:
            runs[of[turn]].link.asked.ask(numbers[turn], (klass[turn], own[turn]))
        elif (request := runs[of[turn]].link.asked.peek(numbers[turn])) is not None:
            classes[at[turn]], addresses[at[turn]] = request
    return _spread(classes, len(row)), _spread(addresses, len(row))


def _spread(told: dict[int, str | None], size: int) -> pl.Series:
    none = pl.Series("", [None], pl.String).new_from_index(0, size)
    return none.scatter(list(told), list(told.values())) if told else none


def _moment(packets: Packets, row: int) -> Moment:
    return Moment(int(packets.number[row]), int(packets.time[row]))
