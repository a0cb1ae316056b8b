"""What a decoder of exports has to tell besides rows: what it rejected, what was lost, what could not be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cityguard.decoders.address import Words
from cityguard.decoders.exports.sequence import Sequences, Stream
from cityguard.model import DeadLetter, Frames

MAX_SAMPLES = 20
MAX_NOTES = 100
_SAMPLE_BYTES = 65_536
_UNITS = {5: "flows", 7: "flows", 8: "flows", 9: "datagrams", 10: "records", 0: "datagrams"}


class Notes:
    """Gathered over one piece of input."""

    def __init__(self) -> None:
        self.rejected = 0
        self.dead: list[DeadLetter] = []
        self._said: Counter[str] = Counter()
        self._lost: Counter[tuple[str, str]] = Counter()
        self._late: Counter[str] = Counter()

    def add(self, text: str, count: int = 1) -> None:
        self._said[text] += count

    def reject(self, frames: Frames, row: int, reason: str) -> None:
        """One datagram that gave nothing."""
        self.refuse(int(frames.number[row]), reason, frames.item(row) if len(self.dead) < MAX_SAMPLES else b"")

    def refuse(self, number: int, reason: str, raw: bytes) -> None:
        self.rejected += 1
        if len(self.dead) < MAX_SAMPLES:
            self.dead.append(DeadLetter("netflow", number, reason, raw[:_SAMPLE_BYTES]))

    def follow(
        self,
        sequences: Sequences,
        stream: Stream,
        rows: Sequence[int],
        numbers: Sequence[int],
        units: Sequence[int],
        flags: Words,
    ) -> None:
        """Compare the sequence numbers of one stream's datagrams; marks ``flags`` at ``rows``."""
        loss, after, late = sequences.follow(stream, numbers, units)
        for nth in after:
            flags[rows[nth]] = 1
        for nth in late:
            flags[rows[nth]] = 2
        peer, version, _ = stream
        if loss.lost:
            self._lost[peer, _UNITS[version]] += loss.lost
        if loss.late:
            self._late[peer] += loss.late

    def take(self) -> tuple[str, ...]:
        """The sentences so far, the most important first; they start anew."""
        out = [f"{count} × {text}" if count > 1 else text for text, count in self._said.items()]
        out += [f"{lost} {unit} lost from exporter {peer or '?'}" for (peer, unit), lost in self._lost.items()]
        out += [f"{late} datagrams out of order from exporter {peer or '?'}" for peer, late in self._late.items()]
        self._said, self._lost, self._late = Counter(), Counter(), Counter()
        more = len(out) - MAX_NOTES
        return (*out[:MAX_NOTES], *((f"{more} more notes",) if more > 0 else ()))
