"""Sequence numbers: what was lost on the way, and what came late.

What a number counts differs: v5, v7 and v8 count flow records, v9 datagrams, IPFIX data records (RFC 7011, 3.1),
sFlow datagrams of an agent's sub-agent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cityguard.decoders.address import Words

MAX_STREAMS = 65_536
LATE = 10_000
"""A number further back than this is a new beginning: the exporter was restarted."""
LATE_ROW = 8
"""So are more numbers in a row that lie back."""
_MASK = 0xFFFFFFFF

Stream = tuple[str, int, int]
"""Exporter, version, domain."""


@dataclass(slots=True)
class Loss:
    """What one piece of a stream lacked."""

    lost: int = 0  # units
    gaps: int = 0
    late: int = 0  # datagrams


@dataclass(slots=True)
class _State:
    expected: int | None = None  # the next number; None = not known
    late: int = 0  # datagrams in a row that came late


class Sequences:
    """Every stream heard, the oldest forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[Stream, _State] = OrderedDict()

    def steady(self, stream: Stream, numbers: Words, units: Words) -> bool:
        """As ``follow`` where nothing is amiss, which is told at once; False = nothing was done."""
        state = self._known.get(stream)
        if state is None or state.expected != int(numbers[0]) or (units < 0).any():
            return False
        after = (numbers + units) & _MASK
        if (after[:-1] != numbers[1:]).any():
            return False
        self._known.move_to_end(stream)
        state.late, state.expected = 0, int(after[-1])
        return True

    def follow(self, stream: Stream, numbers: Sequence[int], units: Sequence[int]) -> tuple[Loss, list[int], list[int]]:
        """Datagrams of one stream in the order they came.

        Args:
            stream: whose they are.
            numbers: sequence number of each.
            units: how far each moves the number on; -1 = not known.

        Returns:
            The loss, and which of the datagrams came after a gap and which late.
        """
        state = self._known.pop(stream, None) or _State()
        self._known[stream] = state
        if len(self._known) > MAX_STREAMS:
            self._known.popitem(last=False)
        loss, after, late = Loss(), list[int](), list[int]()
        for nth, (number, unit) in enumerate(zip(numbers, units, strict=True)):
            expected = state.expected
            ahead = 0 if expected is None else (number - expected) & _MASK
            if 0 < ahead < 1 << 31:
                loss.lost, loss.gaps = loss.lost + ahead, loss.gaps + 1
                after.append(nth)
            elif ahead and _MASK + 1 - ahead <= LATE and state.late < LATE_ROW:
                state.late, loss.late = state.late + 1, loss.late + 1
                loss.lost = max(loss.lost - max(unit, 0), 0)  # no longer
                late.append(nth)
                continue  # the numbers go on from where they were
            state.late = 0
            state.expected = None if unit < 0 else (number + unit) & _MASK
        return loss, after, late
