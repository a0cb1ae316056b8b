"""HJ 212, data of pollution sources and environmental stations (2005, 2017, 2025), to one row per frame.

The platform listens, the station's logger connects (HJ 212-2017, 6). Frames are read one by one (``hj212_frame``,
``hj212_row``, ``hj212_link``); the ordinary ones of connections that lose nothing all at once (``hj212_runs``,
``hj212_columns``), to the same rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard import fast as compiled
from cityguard.decoders.events import Talk
from cityguard.decoders.flow import Keys
from cityguard.decoders.ot import hj212_frame, hj212_runs
from cityguard.decoders.ot.hj212_link import Link
from cityguard.decoders.packet import Packets, U64s, Words
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.inorder import InOrder

_AFTER = 1 << 40


class Hj212(Speaker):
    """Every HJ 212 conversation of a capture."""

    def __init__(self, out: Out, *, fast: bool = compiled.ON) -> None:
        """``fast=False``: frame by frame, as it is done where nothing is compiled."""
        super().__init__(out)
        self._said = Out("hj212")
        self._links = InOrder(self.stream, fast=fast)

    def stream(self, talk: Talk) -> Link:
        return Link(self._said, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if not starts(data, False):
            return False
        link = Link(self.out, talk)
        link.feed(0, data, at)
        link.close()
        return True

    def table(self, buffer: npt.NDArray[np.uint8], packets: Packets, keys: Keys, hashes: U64s) -> pl.DataFrame:
        """Rows of the TCP packets of a piece, in order."""
        runs = [run for run in self._links.take(buffer, packets, keys, hashes) if not run.link.dead]
        parts = self._alone(0)
        if runs:
            table, places, lone = hj212_runs.read(buffer, packets, runs)
            for one, _ in self._alone(0):
                parts.append((one, lone[: one.height]))
                lone = lone[one.height :]
            if table.height:
                parts.append((table, places))
        self._links.settle()
        parts += self._alone(_AFTER)
        if not parts:
            return pl.DataFrame()
        every = pl.concat([table for table, _ in parts], how="diagonal_relaxed")
        if len(parts) == 1:
            return every
        return every[np.lexsort((np.concatenate([place for _, place in parts]), every["log.offset"].to_numpy()))]

    def close(self) -> None:
        self._links.close()
        self.out.rows("ot").tables.extend(table for table, _ in self._alone(0))

    def _alone(self, place: int) -> list[tuple[pl.DataFrame, Words]]:
        """What the links have said since, with places after ``place``."""
        return [(table, place + np.arange(table.height)) for _, table in self._said.take()]


def starts(data: bytes, usual: bool) -> bool:
    """A frame's head, which names three of its items at least."""
    return data.startswith(b"##") and hj212_frame.within(data)


PROTOCOLS = (
    Protocol(
        "hj212",
        starts,
        Hj212,
        marks=(Mark(b"##"),),
        columnar=True,
        within=hj212_frame.within,
        needles=(b"##",),
    ),
)
