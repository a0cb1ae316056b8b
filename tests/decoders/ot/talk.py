"""Conversations with one protocol's speaker, without packets around them."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out, Protocol
from cityguard.decoders.stream import Moment

START = 1_700_000_000 * 10**9


def ends(port: int, proto: int = 6) -> Talk:
    """A client of 10.0.0.1 and a server of 10.0.0.2."""
    return Talk((0, 0xFFFF_0A00_0001, 40_000), (0, 0xFFFF_0A00_0002, port), proto, False, -1, opener=0)


def said(protocol: Protocol, *chunks: tuple[int, bytes], port: int = 0) -> list[dict[str, Any]]:
    """What a connection comes to: (side, bytes) one after the other."""
    out = Out(protocol.name)
    assert protocol.speaker is not None
    speaker = protocol.speaker(out)
    parser = speaker.stream(ends(port or protocol.tcp[0]))
    for number, (side, data) in enumerate(chunks, 1):
        parser.feed(side, data, Moment(number, START + number))
    parser.close()
    speaker.close()
    return rows(out)


def sent(protocol: Protocol, *datagrams: tuple[int, bytes], port: int = 0) -> list[dict[str, Any]]:
    """What datagrams come to: (side, bytes) one after the other."""
    out = Out(protocol.name)
    assert protocol.speaker is not None
    speaker = protocol.speaker(out)
    talk = ends(port or (protocol.udp or (0,))[0], 17)
    for number, (side, data) in enumerate(datagrams, 1):
        assert speaker.datagram(data, talk.turned() if side else talk, Moment(number, START + number))
    speaker.close()
    return rows(out)


def rows(out: Out) -> list[dict[str, Any]]:
    return [row for _, table in out.take() for row in table.to_dicts()]


def some(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Columns of ``ot`` by their short names; None where the row has none."""
    return tuple(row.get(f"ot.{name}") for name in names)
