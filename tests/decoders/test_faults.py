"""What a protocol's decoder trips over costs the conversation it happened in, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.decoders import wire
from tests.decoders.app.test_dns import asks, query
from tests.decoders.app.test_http import GET, OK
from tests.decoders.app.test_tls import hello, record

from cityguard.decoders import faults
from cityguard.decoders.protocol import Protocol, Speaker, protocols
from cityguard.decoders.stream import Moment
from cityguard.model import Decoded

EVIL = GET.replace(b"Host: ", b"Host: evil.")


def speaker(name: str) -> tuple[Protocol, type[Speaker]]:
    found = next(one for one in protocols() if one.name == name)
    assert found.speaker is not None
    return found, found.speaker


class Broken:
    """A parser that raises at one of its words, when it has seen what is evil."""

    def __init__(self, parser: Any, word: str) -> None:
        self._parser, self._word, self._evil = parser, word, False

    def __getattr__(self, name: str) -> Any:
        if name == self._word and self._evil:
            raise IndexError("index out of range")
        return getattr(self._parser, name)

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        self._evil |= b"evil." in data
        if self._word == "feed" and self._evil:
            raise IndexError("index out of range")
        self._parser.feed(side, data, at)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def breaks(word: str) -> None:
        one = speaker("http")[1]
        stream = one.stream
        monkeypatch.setattr(one, "stream", lambda self, talk: Broken(stream(self, talk), word))

    return breaks


def town(pieces: int = 1) -> Decoded:
    """One evil connection among three, and others."""
    talks = [
        wire.Talker(80, 41000).shake().say(0, GET).say(1, OK).packets,
        wire.Talker(80, 41001).shake().say(0, EVIL).say(1, OK).say(0, EVIL).say(1, OK).packets,
        wire.Talker(80, 41002).shake().say(0, GET).say(1, OK).packets,
        wire.Talker(443, 41003).shake().say(0, record(1, hello([0x1301], [(0, b"\x00\x06\x00\x00\x03abc")]))).packets,
        [asks(query())],
    ]
    packets = [talk[at] for at in range(8) for talk in talks if at < len(talk)]
    return wire.decode(packets, pieces=pieces)


@pytest.mark.parametrize("pieces", [1, 4])
@pytest.mark.parametrize("word", ["feed", "close", "held", "done"])
def test_a_parser_that_raises_loses_its_connection_alone(broken: Callable[[str], None], word: str, pieces: int) -> None:
    broken(word)
    found = town(pieces)
    http = wire.table(found, "http")
    assert {41000, 41002} <= set(http["source.port"].to_list())
    assert wire.table(found, "tls").height == 1
    assert wire.table(found, "dns").height == 1
    assert wire.table(found, "flow").height == 5
    (note,) = {note for note in found.notes if "cannot be used" in note}
    assert note == "http: 1 lost, cannot be used: IndexError: index out of range"


def test_a_datagram_that_a_speaker_trips_over_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = speaker("dns")[1]
    datagram = one.datagram

    def trips(self: Speaker, data: bytes, talk: Any, at: Moment) -> bool:
        if b"evil" in data:
            raise ValueError("evil\n name")
        return datagram(self, data, talk, at)

    monkeypatch.setattr(one, "datagram", trips)
    evil = query().replace(b"\x07example", b"\x07evil123")
    found = wire.decode([asks(query()), asks(evil), asks(evil), asks(query())])
    assert found.notes == ("dns: 2 lost, cannot be used: ValueError: evil name",)
    assert wire.table(found, "dns").height


@pytest.mark.parametrize("word", ["expire", "close"])
def test_a_speaker_that_fails_at_the_end_keeps_the_others_rows(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    def trips(*_: Any) -> None:
        raise KeyError("gone")

    monkeypatch.setattr(speaker("dns")[1], word, trips)
    found = town()
    assert wire.table(found, "http").height >= 3
    assert wire.table(found, "tls").height == 1
    assert any("dns: 1 lost" in note for note in found.notes)


def test_rows_that_make_no_table_are_lost_for_their_protocol_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = speaker("dns")[1]

    def odd(self: Speaker, data: bytes, talk: Any, at: Moment) -> bool:
        self.out.add("dns", at, talk, {"no.such.column": 1})
        return True

    monkeypatch.setattr(one, "datagram", odd)
    found = town()
    assert wire.table(found, "http").height >= 3
    assert any(note.startswith("dns: 1 lost") for note in found.notes)


def test_faults_are_counted_by_protocol_and_told_in_few_words() -> None:
    found = faults.Faults([None, "one"])
    for _ in range(3):
        found.add(1, ValueError("x" * 1_000))
    (note,) = found.take()
    assert note.startswith("one: 3 lost, cannot be used: ValueError: xxx")
    assert len(note) < 300
    assert found.take() == ()


@pytest.mark.parametrize("port", [1234, 4000, 5001, 20000, 47808])
def test_datagrams_of_nobody_on_the_port_of_a_field_bus_are_not_called_by_its_name(port: int) -> None:
    ends = (wire.CLIENT, wire.SERVER)
    asked = wire.ether(wire.ip4(*ends, 17, wire.udp(40_000, port, b"\x7fneither this")))
    answered = wire.ether(wire.ip4(*ends[::-1], 17, wire.udp(port, 40_000, b"\x7fnor that")))
    flows = wire.table(wire.decode([asked, answered]), "flow")
    assert flows["network.protocol"].to_list() == [None]
