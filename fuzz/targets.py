"""What is fuzzed: one function per decoder that takes any bytes and must come back without an exception.

The same functions run in the tests over the seeds, over mutations of them and over every input that once failed.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial

import numpy as np

from cityguard.collect.chunks import Chunks
from cityguard.collect.collectors import Collector, Collectors
from cityguard.decoders import capture, flow, netflow, packet, recognise
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out, Protocol, Speaker, protocols
from cityguard.decoders.stream import Moment, Parser
from cityguard.errors import CityguardError, DecodeError
from cityguard.model import Decoded, Frames
from cityguard.sources import documents, lines, pcap
from fuzz import conversation

Target = Callable[[bytes], None]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_START = 1_700_000_000 * 10**9
_TALK = Talk((0, 0xFFFF_0A00_0001, 40_000), (0, 0xFFFF_0A00_0002, 102), 6, False, -1, opener=0)
LINKS = (1, 101, 113, 276, 0, 9, 50, 104, 105, 127, 12, 228, 229, 108, 14, 192, 119, 107, 122, 99)


def wire(protocol: Protocol, data: bytes) -> None:
    """A conversation in one protocol: a stream where it has one, datagrams and frames where it takes them."""
    out = Out(protocol.name)
    if protocol.speaker is None:
        return
    speaker = protocol.speaker(out)
    talk = replace(_TALK, link=bool(protocol.frames), proto=17 if protocol.udp else 6)
    parser = _parser(speaker, talk)
    time = _START
    for number, chunk in enumerate(conversation.unpack(data), 1):
        time += 10**6
        at = Moment(number, time)
        if not chunk.data and not protocol.frames:  # nobody is asked about nothing, nor given it
            if chunk.gap and parser is not None:
                parser.gap(chunk.side)
            continue
        protocol.starts(chunk.data[: recognise.HEAD], True)
        protocol.starts(chunk.data[: recognise.HEAD], False)
        if protocol.within is not None:
            protocol.within(chunk.data)
        if protocol.columnar and parser is None:
            continue
        if chunk.datagram or parser is None:
            with contextlib.suppress(NotImplementedError):
                speaker.datagram(chunk.data, talk.turned() if chunk.side else talk, at)
            continue
        if chunk.gap:
            parser.gap(chunk.side)
        if not parser.done and chunk.data:
            parser.feed(chunk.side, chunk.data, at)
        if parser.held > 4 << 20:
            raise MemoryError(f"{protocol.name} holds {parser.held} bytes of one connection")
    if parser is not None:
        parser.close()
    speaker.expire(time + 3_600 * 10**9)
    speaker.close()
    for _ in out.take():
        pass
    if protocol.columnar and parser is not None and zlib.crc32(data) % 8 == 0:  # tables take long
        _together(protocol.speaker(out), segments(data, 9_000))


def _parser(speaker: Speaker, talk: Talk) -> Parser | None:
    with contextlib.suppress(NotImplementedError):
        return speaker.stream(talk)
    return None


def packets(data: bytes) -> None:
    """Frames of the link type that the first byte picks, through the whole decoder of captures."""
    if not data:
        return
    link = LINKS[data[0] % len(LINKS)]
    _capture(_frames([chunk.data for chunk in conversation.unpack(data[1:])], link))


def modbus(data: bytes) -> None:
    """A Modbus connection as TCP segments, through the whole decoder of captures: its framing works on packets."""
    connection(data, 502)


def connection(data: bytes, port: int) -> None:
    """A connection as TCP segments, through the whole decoder of captures."""
    _capture(_frames(segments(data, port), 101))


def segments(data: bytes, port: int) -> list[bytes]:
    """A connection as IP packets."""
    sequence = [1_000, 2_000]
    found = []
    for chunk in conversation.unpack(data):
        source, side = (("10.0.0.1", 40_000), ("10.0.0.2", port))[:: -1 if chunk.side else 1], chunk.side
        sequence[side] += 7 if chunk.gap else 0
        found.append(_segment(source, sequence[side], chunk.data))
        sequence[side] += len(chunk.data[:1_400])
    return found


def _together(speaker: Speaker, found: list[bytes]) -> None:
    """The packets of a connection to the speaker of a protocol that is read as columns, in two pieces."""
    reader = packet.Reader()
    for part in (found[: len(found) // 2], found[len(found) // 2 :]):
        if part:
            read = reader.decode(_frames(part, 101))
            keys = flow.Keys(read.packets)
            speaker.table(read.frames.buffer, read.packets, keys, flow.digest(keys.columns()))
    speaker.close()


def _segment(ends: tuple[tuple[str, int], ...], sequence: int, data: bytes) -> bytes:
    (source, source_port), (destination, port) = ends
    tcp = source_port.to_bytes(2, "big") + port.to_bytes(2, "big") + sequence.to_bytes(4, "big") + bytes(4)
    tcp += b"\x50\x18\x20\0" + bytes(4) + data[:1_400]
    addresses = b"".join(bytes(map(int, address.split("."))) for address in (source, destination))
    return b"\x45\0" + (20 + len(tcp)).to_bytes(2, "big") + b"\0\1\0\0\x40\6\0\0" + addresses + tcp


def savefile(data: bytes) -> None:
    """A capture file."""
    decoder = capture.decoder({})
    with contextlib.suppress(CityguardError):
        for frames in pcap.frames(np.frombuffer(data, np.uint8)):
            _unbroken(decoder.decode(frames))
    _unbroken(decoder.flush())


def _unbroken(decoded: Decoded) -> None:
    """A capture goes on when one protocol's decoder raises, and tells of it: here that is a failure."""
    for note in decoded.notes:
        assert "cannot be used" not in note, note


def exports(data: bytes) -> None:
    """Exported flow records, a datagram each."""
    decoder = netflow.decoder({})
    frames = _frames([chunk.data for chunk in conversation.unpack(data)], 0)
    for raw in (frames.item(at) for at in range(len(frames))):
        netflow.is_export(raw)
    with contextlib.suppress(DecodeError):
        decoder.decode(frames)
    decoder.flush()


def text(name: str, data: bytes) -> None:
    """Lines (or a document) through every collector that uses a decoder; the first byte picks which."""
    if not data:
        return
    one = using(name)[data[0] % len(using(name))]
    body = data[1:]
    decoder = one.decoder()
    finish = Chunks(one, one.name, "fuzz", "0" * 64, NOW, None)
    pieces = lines.frames([body], line_bytes=65_536)
    if documents.is_document(body):
        pieces = documents.frames(np.frombuffer(body, np.uint8), line_bytes=65_536)
    with contextlib.suppress(DecodeError):
        for frames in pieces:
            finish.chunk(frames, decoder.decode(frames))
        finish.chunk(None, decoder.flush())


def _capture(frames: Frames) -> None:
    decoder = capture.decoder({})
    if len(frames):
        _unbroken(decoder.decode(frames))
    _unbroken(decoder.flush())


def _frames(items: list[bytes], link: int) -> Frames:
    size = np.array([len(item) for item in items], np.int64)
    count = len(items)
    return Frames(
        np.frombuffer(b"".join(items), np.uint8),
        np.cumsum(size) - size,
        size,
        np.arange(1, count + 1, dtype=np.int64),
        _START + np.arange(count, dtype=np.int64) * 10**6,
        size.copy(),
        np.full(count, link, np.int32),
        "10.0.0.9",
    )


@cache
def _lines() -> tuple[Collector, ...]:
    return tuple(sorted((one for one in Collectors.load() if one.kind == "lines"), key=lambda one: one.name))


def text_decoders() -> list[str]:
    """Names of the decoders of lines that a collector uses."""
    return sorted({one.module for one in _lines()})


@cache
def using(decoder: str) -> tuple[Collector, ...]:
    """The collectors of lines that use a decoder, in order of name."""
    return tuple(one for one in _lines() if one.module == decoder)


_FIXED: dict[str, Target] = {"packets": packets, "savefile": savefile, "exports": exports, "wire-modbus": modbus}


@cache
def _wires() -> dict[str, Protocol]:
    names = {f"wire-{one.name}": one for one in protocols() if one.speaker is not None}
    return {name: one for name, one in names.items() if name not in _FIXED}


def target(name: str) -> Target:
    """One target by name: ``wire-NAME`` a protocol, ``text-NAME`` a decoder of lines, or a fixed one."""
    if name in _FIXED:
        return _FIXED[name]
    if name in _wires():
        return partial(wire, _wires()[name])
    decoder = name.removeprefix("text-")
    using(decoder)  # read now, not within the first input
    return partial(text, decoder)


@cache
def targets() -> dict[str, Target]:
    """Every target by name."""
    names = [*_FIXED, *_wires(), *(f"text-{name}" for name in text_decoders())]
    return {name: target(name) for name in sorted(names)}
