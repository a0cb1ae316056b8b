"""One decoder per sender, where what a decoder keeps between pieces belongs to whoever sent it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import polars as pl

from cityguard.collect import boundary
from cityguard.collect.collectors import Collector
from cityguard.decoders.base import Decoder
from cityguard.decoders.table import merge
from cityguard.model import Decoded, Frames

MAX_SENDERS: Final = 1024
"""Senders one decoder of a listener remembers; of the one silent for longest, what was held is given out."""
SILENT_S: Final = 2.0
"""A sender that said nothing for so long has ended what it began: records of one event come together."""


def decoder(collector: Collector) -> Decoder:
    """A fresh decoder: one for all senders, or, if the lines of one say how its others are read, one for each."""
    first = collector.decoder()
    return PerPeer(collector.decoder) if getattr(first, "per_sender", False) else first


def pieces(decoder: Decoder, frames: Frames, senders: pl.Series | None) -> Iterator[tuple[Frames, pl.Series | None]]:
    """Items as a live decoder takes them: those of all senders at once, or, where it keeps something, one by one.

    Args:
        decoder: as ``decoder`` gave it.
        frames: items of several senders.
        senders: String, who sent each; None = ``frames.peer`` did.

    Yields:
        Items, and who sent each of them unless one did.
    """
    if senders is None:
        yield frames, None
        return
    if not isinstance(decoder, PerPeer) and senders.n_unique() > 1:
        yield frames, senders
        return
    places = pl.DataFrame({"name": senders, "row": np.arange(len(frames), dtype=np.int64)})
    for name, rows in places.group_by("name").agg("row").sort("name").iter_rows():
        yield frames.take(np.array(rows, np.int64), name), None


def held(decoder: Decoder, silent: float) -> Iterator[tuple[str | None, Decoded]]:
    """What a live decoder held and gives out now, by sender; None = of any.

    Args:
        decoder: as ``decoder`` gave it.
        silent: seconds since a sender was last heard; 0 = the source ends, infinity = only of senders that went.
    """
    if isinstance(decoder, PerPeer):
        yield from decoder.held(silent)
    elif silent <= 0 and not hasattr(decoder, "snapshot"):  # which keeps what it holds
        yield None, boundary.flush(decoder)


class PerPeer:
    """Decoders that keep state, by the sender of a piece; the least lately heard go."""

    def __init__(self, make: Callable[[], Decoder], most: int = MAX_SENDERS) -> None:
        self._make, self._most = make, most
        self._senders: OrderedDict[str, Decoder] = OrderedDict()
        self._heard: dict[str, float] = {}
        self._gone: list[tuple[str | None, Decoded]] = []

    def decode(self, frames: Frames) -> Decoded:
        """Lines of ``frames.peer``."""
        peer = frames.peer or ""
        one = self._senders.get(peer) or self._make()
        self._senders[peer] = one
        self._senders.move_to_end(peer)
        self._heard[peer] = time.monotonic()
        while len(self._senders) > self._most:
            self._release(next(iter(self._senders)), forget=True)
        return one.decode(frames)

    def flush(self) -> Decoded:
        """At the end of a file, which has one sender; of a live source, ``held`` tells them apart."""
        given = [part for _, part in self.held(0.0)]
        return given[0] if len(given) == 1 else merge(given)

    def held(self, silent: float) -> list[tuple[str | None, Decoded]]:
        """What senders that went, or that have been silent for so many seconds, had still open."""
        before = time.monotonic() - silent
        for peer in [peer for peer, at in self._heard.items() if at <= before]:
            self._release(peer, forget=False)
        gone, self._gone = self._gone, []
        return gone

    def _release(self, peer: str, *, forget: bool) -> None:
        """Headers of a silent sender are kept, only what waits to be completed is given out."""
        self._heard.pop(peer, None)
        given = boundary.flush(self._senders.pop(peer) if forget else self._senders[peer])
        if given.batches or given.dead or given.notes or given.rejected:
            self._gone.append((peer or None, given))
