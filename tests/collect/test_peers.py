"""What a decoder keeps between pieces is kept for each sender apart, bounded, and given out before it is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cityguard.collect import peers
from cityguard.collect.collect import Collectors, Live
from cityguard.model import Chunk, Frames
from cityguard.sources import lines

NOW = datetime(2026, 4, 1, tzinfo=UTC)
CALL = b'type=SYSCALL msg=audit(1700000000.123:77): syscall=59 success=yes pid=10 ppid=1 uid=0 comm="sh" exe="/bin/sh"'
RUN = b'type=EXECVE msg=audit(1700000000.123:77): argc=2 a0="sh" a1="-c"'
LATER = b"type=USER_LOGIN msg=audit(1700000001.123:78): pid=1 uid=0 res=success"


@pytest.fixture(scope="module")
def known() -> Collectors:
    return Collectors.load()


def sent(peer: str, items: list[bytes], first: int) -> Frames:
    frames = lines.one_each(items, first=first)
    return frames.take(frames.number - first, peer)


def rows(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for batch in chunk.decoded.batches for row in batch.table.to_dicts()]


def commands(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Rows of joined records."""
    return [row for row in rows(chunks) if row.get("CommandLine")]


def test_records_of_two_hosts_are_never_joined_to_one_command(known: Collectors) -> None:
    live = Live(known["auditd"], source="s", key="k")
    live.chunk(sent("10.0.0.1", [CALL], 1), now=NOW)
    second = live.chunk(sent("10.0.0.2", [RUN], 2), now=NOW)
    third = live.chunk(sent("10.0.0.2", [LATER], 3), now=NOW)
    (other,) = commands([second, third])
    assert (other["observer.ip"], other["CommandLine"], other["ProcessId"]) == ("10.0.0.2", "sh -c", None)
    (own,) = commands([live.chunk(sent("10.0.0.1", [RUN, LATER], 4), now=NOW)])
    assert (own["observer.ip"], own["Image"], own["ProcessId"]) == ("10.0.0.1", "/bin/sh", "10")


@pytest.mark.parametrize("collector", ["iis", "zeek-conn"])
def test_a_header_names_the_columns_of_its_own_sender_only(known: Collectors, collector: str) -> None:
    header = {
        "iis": b"#Fields: date time c-ip sc-status",
        "zeek-conn": b"#fields\tid.orig_h\tid.resp_h",
    }[collector]
    line = {"iis": b"2026-01-01 00:00:00 192.0.2.1 200", "zeek-conn": b"192.0.2.1\t192.0.2.2"}[collector]
    live = Live(known[collector], source="s", key="k")
    assert len(rows([live.chunk(sent("10.0.0.1", [header, line], 1), now=NOW)])) == 1
    other = live.chunk(sent("10.0.0.2", [line], 3), now=NOW)
    assert (rows([other]), other.decoded.rejected) == ([], 1)
    assert len(rows([live.chunk(sent("10.0.0.1", [line], 4), now=NOW)])) == 1


def test_a_decoder_without_state_is_shared(known: Collectors) -> None:
    assert not isinstance(peers.decoder(known["syslog"]), peers.PerPeer)
    assert isinstance(peers.decoder(known["auditd"]), peers.PerPeer)


def test_a_command_held_back_is_given_out_when_its_sender_falls_silent_or_the_source_ends(known: Collectors) -> None:
    live = Live(known["auditd"], source="s", key="k")
    first = live.chunk(sent("10.0.0.1", [CALL, RUN], 1), now=NOW)
    assert not commands([first])
    assert not list(live.held(now=NOW, silent=60.0))
    (chunk,) = live.held(now=NOW, silent=0.0)
    (row,) = rows([chunk])
    assert (row["observer.ip"], row["Image"], row["log.offset"]) == ("10.0.0.1", "/bin/sh", 1)
    assert (chunk.received, chunk.decoded.rejected) == (0, 0)
    assert chunk.part != first.part
    assert not list(live.held(now=NOW, silent=0.0))


def test_the_same_when_the_lines_come_among_others(known: Collectors) -> None:
    live = Live(known["syslog"], source="s", key="k", collectors=known)
    live.chunk(sent("10.0.0.1", [CALL, RUN, b"<13>Mar  5 06:12:01 h app: x"], 1), now=NOW)
    (row,) = commands(list(live.held(now=NOW, silent=0.0)))
    assert (row["observer.ip"], row["observer.name"]) == ("10.0.0.1", "auditd")


def test_senders_are_bounded_and_what_the_least_heard_held_is_given_out(known: Collectors) -> None:
    decoder = peers.PerPeer(known["auditd"].decoder, most=2)
    for number, sender in enumerate(("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3")):
        decoder.decode(sent(sender, [CALL, RUN], 2 * number))
    ((gone, decoded),) = decoder.held(60.0)
    assert (gone, sum(len(batch) for batch in decoded.batches)) == ("10.0.0.2", 1)
    assert sorted(str(one) for one, _ in decoder.held(0.0)) == ["10.0.0.1", "10.0.0.3"]


def test_what_one_sender_makes_a_decoder_hold_is_bounded(known: Collectors) -> None:
    from cityguard.decoders import auditd

    decoder = auditd.decoder({})
    long = b"type=PATH msg=audit(1700000000.123:77): name=" + b"a" * 5000
    decoder.decode(lines.one_each([long] * 500))
    assert decoder._held.estimated_size() <= auditd.HELD_BYTES  # type: ignore[attr-defined]


def test_a_decoder_that_outlives_the_process_keeps_what_it_holds(known: Collectors) -> None:
    waiting = bytes.fromhex("0009000100000001650000000000000100000001") + b"\x01\x00\x00\x08abcd"
    live, after = Live(known["netflow"], source="s", key="k"), Live(known["netflow"], source="s", key="k")
    chunk = live.chunk(sent("10.0.0.1", [waiting], 1), now=NOW)
    assert (chunk.received, chunk.decoded.rejected) == (1, 0)
    assert not list(live.held(now=NOW, silent=0.0))
    state = live.snapshot()
    assert state is not None
    after.restore(state)
    assert after.snapshot() == state
