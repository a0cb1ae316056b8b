"""What a wire protocol's decoder is: a module of ``app/`` or ``ot/`` with ``PROTOCOLS``. Being there is being found.

A module gives one or more ``Protocol``; each names a ``Speaker`` class, made once per capture, which makes a parser per
TCP connection and takes UDP datagrams and Ethernet frames one by one. Rows go to ``Out``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import app, ot
from cityguard.decoders.events import Rows, Talk
from cityguard.decoders.flow import Keys
from cityguard.decoders.packet import Packets, U64s
from cityguard.decoders.stream import Moment, Parser
from cityguard.model import LogSource


@dataclass(frozen=True, slots=True)
class Mark:
    """Bytes that begin a payload: ``value`` at ``offset``, compared under ``mask`` (b"" = every bit)."""

    value: bytes
    offset: int = 0
    mask: bytes = b""

    def fits(self, data: bytes) -> bool:
        """Whether a payload begins so."""
        part = data[self.offset : self.offset + len(self.value)]
        if not self.mask:
            return part == self.value
        pairs = zip(part, self.value, self.mask, strict=False)
        return len(part) == len(self.value) and all(have & keep == want & keep for have, want, keep in pairs)


class Out:
    """Where a speaker puts its rows."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._rows: dict[str, Rows] = {}

    def rows(self, dataset: str) -> Rows:
        """The rows of one dataset, for parsers that add to them by themselves."""
        return self._rows.setdefault(dataset, Rows(dataset))

    def add(self, dataset: str, at: Moment, talk: Talk, fields: dict[str, Any]) -> None:
        """One row: when, from whom to whom, and its columns by name (``columns.py``); None = unknown."""
        self.rows(dataset).add(at.number, at.time, talk, fields)

    def clear(self) -> None:
        """The rows so far are given up."""
        self._rows.clear()

    def take(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Dataset and table of the rows so far; the rows start anew."""
        for dataset, rows in self._rows.items():
            for table in rows.take():
                if "network.protocol" in table.columns:
                    yield dataset, table.with_columns(pl.col("network.protocol").fill_null(self._protocol))
                else:
                    yield dataset, table.with_columns(pl.lit(self._protocol).alias("network.protocol"))


class Speaker:
    """One protocol in one capture; keeps what must be remembered from conversation to conversation, bounded."""

    def __init__(self, out: Out) -> None:
        self.out = out

    def meet(self, others: Mapping[str, Speaker]) -> None:
        """The other protocols of the capture by name, before its first packet: for media that a call announces."""

    def stream(self, talk: Talk) -> Parser:
        """The parser of a TCP connection; ``talk`` has its ends in key order and who opened it."""
        raise NotImplementedError

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        """One UDP payload, or one Ethernet payload, from ``talk.source``; False = it is not of this protocol."""
        raise NotImplementedError

    def table(self, buffer: npt.NDArray[np.uint8], packets: Packets, keys: Keys, hashes: U64s) -> pl.DataFrame:
        """All TCP packets of this protocol's connections in a piece at once; only where ``Protocol.columnar``."""
        raise NotImplementedError

    def expire(self, now: int) -> None:
        """Time has come to ``now`` (ns): give out what has waited too long."""

    def close(self) -> None:
        """The capture is over: give out what is left."""


def never(data: bytes, usual: bool) -> bool:
    """For protocols that are known by their port alone."""
    return False


@dataclass(frozen=True, slots=True)
class Protocol:
    """How one protocol is known on the wire and who decodes it.

    ``starts`` is asked with the first bytes of a payload and whether the port is a usual one; on other ports only when
    one of ``marks`` fits. It must be sure: two protocols claiming the same bytes are settled by ``priority``.
    """

    name: str
    """Value of ``network.protocol``, lower case."""
    starts: Callable[[bytes, bool], bool] = never
    speaker: type[Speaker] | None = None
    """None = only a name for the flows."""
    sources: Mapping[str, LogSource] = field(default_factory=dict)
    """Dataset -> what Sigma calls its rows."""
    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    """EtherTypes whose payload is this protocol."""
    marks: tuple[Mark, ...] = ()
    priority: int = 0
    only: tuple[Mark, ...] = ()
    """Of a recognised UDP conversation only datagrams that one of these fits are given to the speaker; () = all."""
    columnar: bool = False
    """The speaker takes TCP packets as arrays (``Speaker.table``)."""
    within: Callable[[bytes], bool] | None = None
    """For frames that serial gateways cut, join and send among noise: whether a sound one, its check right, lies
    anywhere in the first bytes of one side of a TCP connection. Asked where no payload's beginning told, and only when
    one of ``needles`` is in them; must be sure, and cheap on bytes that are not of it."""
    needles: tuple[bytes, ...] = ()

    def over(self, *, tcp: bool) -> bool:
        """Whether it is spoken over TCP, or over UDP; a mere name is over both."""
        if self.speaker is None:
            return True
        if tcp:
            return self.columnar or self.speaker.stream is not Speaker.stream
        return self.speaker.datagram is not Speaker.datagram


@cache
def protocols() -> tuple[Protocol, ...]:
    """Every protocol, in the order they are asked."""
    found = [
        one
        for package in (app, ot)
        for module in pkgutil.iter_modules(package.__path__)
        for one in getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "PROTOCOLS", ())
    ]
    return tuple(sorted(found, key=lambda one: (-one.priority, one.name)))


def spoken(data: bytes, port: int = -1) -> str | None:
    """The protocol of a TCP stream that begins inside another (a proxy's tunnel); None while it is not told.

    Args:
        data: its first bytes, of one side.
        port: where it leads, if that is known.
    """
    for one in protocols():
        if one.speaker is None or one.columnar or not one.over(tcp=True) or not data:
            continue
        usual = port in one.tcp
        if (usual or any(mark.fits(data) for mark in one.marks)) and one.starts(data[:512], usual):
            return one.name
    return None
