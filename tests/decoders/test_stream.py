"""TCP reassembly: what a capture lacks is given up when it can no longer come, and what waited keeps its moments."""

from __future__ import annotations

from cityguard.decoders.stream import Moment, Side, Stream


class Kept:
    """Notes what a parser is told."""

    def __init__(self) -> None:
        self.done, self.held = False, 0
        self.said: list[tuple[int, bytes, int] | tuple[int, str]] = []

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        self.said.append((side, data, at.number))

    def gap(self, side: int) -> None:
        self.said.append((side, "gap"))

    def close(self) -> None:
        self.said.append((-1, "close"))


def stream() -> tuple[Stream, Kept]:
    kept = Kept()
    one = Stream(kept)
    one.open(0, 99)
    one.open(1, 499)
    return one, kept


def test_a_gap_the_other_side_has_acknowledged_is_given_up_at_once() -> None:
    one, kept = stream()
    one.data(0, 100, b"abc", 0, Moment(1, 1))
    one.data(0, 110, b"xyz", 0, Moment(2, 2))
    assert one.acknowledge(0, 103) == 0 and len(kept.said) == 1
    assert one.acknowledge(0, 113) == -3
    assert kept.said == [(0, b"abc", 1), (0, "gap"), (0, b"xyz", 2)]
    one.data(0, 105, b"late!...", 0, Moment(3, 3))
    assert len(kept.said) == 3  # what was given up does not come back


def test_what_waits_is_given_at_the_end_in_the_order_it_came() -> None:
    one, kept = stream()
    one.data(0, 100, b"a", 0, Moment(1, 1))
    one.data(1, 500, b"b", 0, Moment(2, 2))
    one.data(1, 520, b"second", 0, Moment(3, 3))
    one.data(0, 120, b"third", 0, Moment(4, 4))
    one.data(0, 125, b"fourth", 0, Moment(5, 5))
    one.data(1, 600, b"fifth", 0, Moment(6, 6))
    one.close()
    assert kept.said[2:] == [
        (1, "gap"),
        (1, b"second", 3),
        (0, "gap"),
        (0, b"third", 4),
        (0, b"fourth", 5),
        (1, "gap"),
        (1, b"fifth", 6),
        (-1, "close"),
    ]


def test_a_gap_that_is_filled_is_none() -> None:
    one, kept = stream()
    one.data(0, 103, b"def", 0, Moment(1, 1))
    one.data(0, 100, b"abc", 0, Moment(2, 2))
    one.close()
    assert kept.said == [(0, b"abcdef", 2), (-1, "close")]
    assert one.sides[0].moments == {}


def test_what_overlaps_behind_a_gap_is_given_once() -> None:
    side = Side()
    side.push(0, b"a")
    side.push(10, b"0123")
    side.push(12, b"234567")
    assert b"".join(data for data, _ in side.give_up()) == b"01234567"
    assert (side.held, side.next) == (0, 18)


def test_when_too_much_waits_the_gap_is_given_up_and_every_segment_keeps_its_moment() -> None:
    one, kept = stream()
    for nth in range(66):
        one.data(0, 200 + nth, b"x", 0, Moment(nth, nth))
    assert kept.said[:3] == [(0, "gap"), (0, b"x", 0), (0, b"x", 1)]
    assert len(kept.said) == 67 and one.sides[0].held == 0


def test_a_cut_segment_that_waits_moves_nothing_before_its_turn() -> None:
    one, kept = stream()
    one.data(0, 103, b"de", 4, Moment(1, 1))  # ahead of a gap, and cut by the capture
    one.data(0, 100, b"abc", 0, Moment(2, 2))
    assert kept.said == [(0, b"abcde", 2)] or [said[1] for said in kept.said] == [b"abc", b"de"]
    assert one.sides[0].next == 105
