"""What holds for every protocol spoken over a stream: where its segments are cut does not matter."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from fuzz.conversation import Chunk, unpack
from fuzz.mutate import seeds

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out, Protocol, protocols
from cityguard.decoders.stream import Moment

START = 1_700_000_000 * 10**9
PROTOCOLS = [one for one in protocols() if one.speaker is not None and not one.columnar and one.over(tcp=True)]
PORTS = {one.name: one.tcp[0] if one.tcp else 40_001 for one in PROTOCOLS}
UNTOLD = {"ssh": ("ssh.auth_success", "ssh.auth_attempts", "event.outcome", "event.flags")}
"""What is judged by the sizes of segments: those of an encrypted session are all there is to see."""
WHOLE = ("http",)
"""After a damaged message these go on at a segment: only conversations are cut in which each begins as it should."""
SILENT = ("kerberos", "knxip", "llmnr", "mdns", "modbus", "nbns", "rtp", "websocket")
"""Their seeds have no stream that begins as it should; Modbus over TCP is read in columns, RTP tells what a call of
SIP announced, a WebSocket begins behind HTTP."""
Rows = list[tuple[str, list[dict[str, Any]]]]


def spoken(protocol: Protocol, pieces: Iterable[tuple[int, Chunk]]) -> Rows:
    """The rows of a conversation; every piece comes with the number of its segment."""
    assert protocol.speaker is not None
    out = Out(protocol.name)
    speaker = protocol.speaker(out)
    talk = Talk((0, 0xFFFF_0A00_0001, 40_000), (0, 0xFFFF_0A00_0002, PORTS[protocol.name]), 6, False, -1, opener=0)
    parser = speaker.stream(talk)
    for number, piece in pieces:
        if piece.gap:
            parser.gap(piece.side)
        if not parser.done:
            parser.feed(piece.side, piece.data, Moment(number, START + number * 10**6))
    parser.close()
    speaker.close()
    untold = UNTOLD.get(protocol.name, ())
    return [(dataset, table.drop(*untold, strict=False).to_dicts()) for dataset, table in out.take()]


def cut(chunks: list[Chunk], places: random.Random | None) -> Iterator[tuple[int, Chunk]]:
    """Each chunk in pieces, at random places or byte by byte."""
    for number, chunk in enumerate(chunks, 1):
        size = len(chunk.data)
        borders = range(size) if places is None else sorted({0, *(places.randrange(size) for _ in range(3))})
        for start, end in zip(borders, [*borders[1:], size], strict=True):
            yield number, Chunk(chunk.data[start:end], chunk.side, chunk.gap and not start)


def conversations(protocol: Protocol) -> list[list[Chunk]]:
    """Seeds that begin with the protocol's own first bytes: a reader that must find its way goes by segments."""
    found = [[one for one in unpack(seed) if one.data] for seed in seeds(f"wire-{protocol.name}")]
    return [chunks for chunks in found if chunks and _sound(protocol, chunks)]


def _sound(protocol: Protocol, chunks: list[Chunk]) -> bool:
    if any(one.datagram or one.gap for one in chunks):
        return False
    begins = [protocol.starts(one.data[:512], True) for one in chunks]
    return all(begins) if protocol.name in WHOLE else any(begins[:4])


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=[one.name for one in PROTOCOLS])
def test_where_a_stream_is_cut_does_not_matter(protocol: Protocol) -> None:
    told = 0
    for chunks in conversations(protocol):
        whole = spoken(protocol, enumerate(chunks, 1))
        told += len(whole)
        assert spoken(protocol, cut(chunks, None)) == whole
        for seed in range(3):
            assert spoken(protocol, cut(chunks, random.Random(seed))) == whole
    assert told or protocol.name in SILENT


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=[one.name for one in PROTOCOLS])
def test_a_conversation_gives_the_same_rows_again(protocol: Protocol) -> None:
    for chunks in conversations(protocol)[:4]:
        assert spoken(protocol, enumerate(chunks, 1)) == spoken(protocol, enumerate(chunks, 1))
