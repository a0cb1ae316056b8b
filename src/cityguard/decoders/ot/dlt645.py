"""DL/T 645 electricity meters (2007 and 1997) behind serial servers and concentrators: one row per frame.

No port is the protocol's; a frame is known by its two 68h, an address in digits, a control code, its length, its 16h
and its sum. Frames are gathered as they come and read together once a piece (``dlt645_rows``).
"""

from __future__ import annotations

import re

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import dlt645_frame
from cityguard.decoders.ot.dlt645_rows import Rows
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import summed
from cityguard.decoders.wire.gathered import Gathered
from cityguard.decoders.wire.sought import Sought, leads, lies, one_by_one

MAX_GATHERED = 100_000
"""Frames read together."""
_FILLER = b"\xfe"


class Meter(Sought):
    """One connection."""

    __slots__ = ("_keep", "_speaker", "_way")

    def __init__(self, speaker: Dlt645, talk: Talk, way: int) -> None:
        self._speaker, self._way, self._keep = speaker, way, speaker.gathered.add
        super().__init__(
            talk,
            b"h",
            dlt645_frame.size,
            speaker.frame,
            dlt645_frame.MOST,
            speaker.malformed,
            filler=_FILLER,
            broken=dlt645_frame.broken,
        )

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        if not self._buffers[side]:
            bare = data.lstrip(_FILLER)
            if dlt645_frame.fills(bare):  # one frame a segment, as nearly always
                self._keep(bare, at, self._way + side)
                if self._passed:
                    self._passed, self._astray[side] = 0, False
                return
        self._through(side)
        super().feed(side, data, at)

    def _through(self, side: int) -> None:
        self._speaker.way = self._way + side

    def gap(self, side: int) -> None:
        self._through(side)
        super().gap(side)

    def close(self) -> None:
        super().close()
        self._speaker.gathered.over(self._way)


class Dlt645(Speaker):
    """Every meter's conversation of a capture."""

    def __init__(self, out: Out, *, fast: bool = True) -> None:
        super().__init__(out)
        self._rows = Rows(fast=fast)
        self.gathered = Gathered()
        self.way = 0
        """The conversation and direction whose frames come next."""

    def stream(self, talk: Talk) -> Meter:
        return Meter(self, talk, self.gathered.begin(talk))

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        taken = False
        for frame in one_by_one(data, dlt645_frame.size, _FILLER, dlt645_frame.broken):
            self.gather(frame, at, self.gathered.between(talk))
            taken = True
        return taken

    def frame(self, frame: bytes, talk: Talk, at: Moment) -> None:
        """A frame found among others, of ``way``."""
        self.gather(frame, at, self.way)

    def gather(self, frame: bytes, at: Moment, way: int) -> None:
        """Keep a whole frame until the piece is over."""
        self.gathered.add(frame, at, way)
        if len(self.gathered.frames) >= MAX_GATHERED:
            self._tell()

    def malformed(self, talk: Talk, at: Moment) -> None:
        """A stream that is no longer of this protocol."""
        self.out.add("ot", at, talk, {"ot.protocol": "dlt645", "ot.status": "malformed"})

    def expire(self, now: int) -> None:
        self._tell()

    def close(self) -> None:
        self._tell()

    def _tell(self) -> None:
        """Read what was gathered."""
        taken = self.gathered.take()
        if taken.frames:
            self.out.rows("ot").tables += self._rows.tables(taken)


def starts(data: bytes, usual: bool) -> bool:
    """A whole frame behind nothing but FEh."""
    return leads(data, dlt645_frame.size, summed.checked, _FILLER, dlt645_frame.broken)


def within(data: bytes) -> bool:
    """A frame among other octets."""
    return lies(data, _BEGINS, dlt645_frame.size, summed.checked, _FILLER * 2, dlt645_frame.broken)


_BEGINS = re.compile(rb"(?=h.{6}h)", re.DOTALL)
_HEAD = Mark(b"h\0\0\0\0\0\0h", 0, b"\xff\0\0\0\0\0\0\xff")
PROTOCOLS = (
    Protocol(
        "dlt645", starts, Dlt645, marks=(_HEAD, Mark(b"\xfeh"), Mark(b"\xfe\xfe")), within=within, needles=(b"h",)
    ),
)
