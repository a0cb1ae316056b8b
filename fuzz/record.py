"""A pytest plugin that keeps what the tests feed to the decoders as seeds: ``pytest -p fuzz.record tests/decoders``.

The tests craft their inputs byte by byte, so the seeds are our own. At most ``MAX_SEEDS`` of each target are kept,
different ones first, none larger than ``MAX_BYTES``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.decoders import netflow, packet
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Protocol, Speaker, protocols
from cityguard.decoders.stream import Moment
from cityguard.model import Decoded, Frames
from cityguard.sources import pcap
from fuzz.conversation import DATAGRAM, Chunk, pack
from fuzz.targets import LINKS, text_decoders, using

SEEDS = Path(__file__).parent / "seeds"
MAX_SEEDS = 16
MAX_BYTES = 8_192
_kept: dict[str, dict[bytes, int]] = {}


def keep(target: str, chunks: list[Chunk], head: bytes = b"") -> None:
    """A seed of a target, unless there are enough."""
    raw = head + pack(chunks)
    seeds = _kept.setdefault(target, {})
    if chunks and len(raw) <= MAX_BYTES and len(seeds) < MAX_SEEDS * 8:
        seeds.setdefault(raw, len(seeds))


def _listen(protocol: Protocol, speaker: type[Speaker]) -> None:
    stream, datagram = speaker.stream, speaker.datagram

    def streamed(self: Speaker, talk: Talk) -> Any:
        parser = stream(self, talk)
        chunks: list[Chunk] = []
        lost = [False, False]
        feed, gap, close = parser.feed, parser.gap, parser.close

        def fed(side: int, data: bytes, at: Moment) -> None:
            chunks.append(Chunk(bytes(data), side, lost[side]))
            lost[side] = False
            feed(side, data, at)

        def gapped(side: int) -> None:
            lost[side] = True
            gap(side)

        def closed() -> None:
            keep(f"wire-{protocol.name}", chunks)
            close()

        return _Recorded(parser, fed, gapped, closed)

    def heard(self: Speaker, data: bytes, talk: Talk, at: Moment) -> bool:
        keep(f"wire-{protocol.name}", [Chunk(bytes(data), datagram=True)])
        return datagram(self, data, talk, at)

    if stream is not Speaker.stream:  # what it does not take it must not seem to take
        speaker.stream = streamed  # type: ignore[method-assign]
    if datagram is not Speaker.datagram:
        speaker.datagram = heard  # type: ignore[method-assign]


class _Recorded:
    """A parser that is listened to."""

    def __init__(
        self, parser: Any, feed: Callable[..., None], gap: Callable[..., None], close: Callable[..., None]
    ) -> None:
        self._parser, self.feed, self.gap, self.close = parser, feed, gap, close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def _listen_to_packets() -> None:
    decode, exports, files = packet.Reader.decode, netflow.Exports.decode_from, pcap.frames

    def decoded(self: packet.Reader, frames: Frames) -> packet.Read:
        read = decode(self, frames)
        link = LINKS.index(int(frames.link[0])) if len(frames) and int(frames.link[0]) in LINKS else 0
        items = [Chunk(frames.item(at)) for at in range(min(len(frames), 20))]
        keep("packets", items, bytes([link]))
        found, view = read.packets, read.frames.buffer.data
        modbus = np.flatnonzero((found.proto == 6) & (found.captured > 0) & (found.destination_port == 502))
        answers = np.flatnonzero((found.proto == 6) & (found.captured > 0) & (found.source_port == 502))
        both = sorted([(row, 0) for row in modbus.tolist()] + [(row, 1) for row in answers.tolist()])
        starts, sizes = found.payload, found.captured
        said = [Chunk(bytes(view[starts[row] : starts[row] + sizes[row]]), side) for row, side in both[:20]]
        keep("wire-modbus", said)
        return read

    def exported(self: netflow.Exports, frames: Frames, peers: Any) -> Decoded:
        keep("exports", [Chunk(frames.item(at)) for at in range(min(len(frames), 20))])
        return exports(self, frames, peers)

    def opened(buffer: npt.NDArray[np.uint8]) -> Any:
        if buffer.nbytes <= MAX_BYTES:
            _kept.setdefault("savefile", {})[buffer.tobytes()] = 0
        return files(buffer)

    packet.Reader.decode = decoded  # type: ignore[method-assign]
    netflow.Exports.decode_from = exported  # type: ignore[method-assign]
    pcap.frames = opened


def pytest_configure() -> None:
    _listen_to_packets()
    for protocol in protocols():
        if protocol.speaker is not None:
            _listen(protocol, protocol.speaker)


def _chosen(seeds: list[bytes]) -> list[bytes]:
    """At most so many seeds, spread evenly over datagrams and streams."""
    kinds = [[one for one in seeds if bool(one[:1] and one[0] & DATAGRAM) == told] for told in (False, True)]
    room = MAX_SEEDS // 2 if all(kinds) else MAX_SEEDS
    return [raw for kind in kinds for raw in kind[:: -(-len(kind) // room) or 1]]


def pytest_unconfigure() -> None:
    for module, collector in [(name, one) for name in text_decoders() for one in using(name)]:
        names = [one.name for one in using(module)]
        for sample in collector.tests:
            for line in sample.lines:
                seeds = _kept.setdefault(f"text-{collector.module}", {})
                seeds[bytes([names.index(collector.name)]) + line.encode("utf-8", "surrogateescape")] = 0
    spoken = {f"wire-{one.name}": one.speaker.__module__ for one in protocols() if one.speaker is not None}
    for target, module in spoken.items():  # what no test speaks begins with what its kin says
        kin = [name for name, other in spoken.items() if other == module and _kept.get(name)]
        if kin and not _kept.get(target):
            _kept[target] = dict(list(_kept[kin[0]].items())[:4])
    for target, seeds in ((name, kept) for name, kept in _kept.items() if kept):
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        for raw in list(seeds) if target.startswith("text-") else _chosen(list(seeds)):
            (folder / hashlib.sha256(raw).hexdigest()[:16]).write_bytes(raw)
