"""When records end, what TCP repeats, and the compiled table beside the one in numpy."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire
from tests.decoders.wire import CLIENT, SERVER, ether, ip4, tcp, udp

from cityguard import fast
from cityguard.decoders import flow, packet
from cityguard.decoders.flow_table import Timeouts

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def flows(
    raw: list[bytes],
    times: list[int] | None = None,
    *,
    compiled: bool = False,
    direct: bool = False,
    step: int = 10_000,
    **timeouts: int,
) -> pl.DataFrame:
    """Flows of some frames, given ``step`` at a time; ``direct`` without columns of packets between."""
    piece = wire.frames(raw, times=times or [START + at * 1000 for at in range(len(raw))])
    reader = packet.Reader(payloads=not direct)
    table = flow.Open(Timeouts(**timeouts), compiled=compiled)
    if direct:
        for at in range(0, len(raw), step):
            assert table.read(reader, piece.take(np.arange(at, min(at + step, len(raw))))) is not None
        raw = []
    reads = [reader.decode(piece.take(np.arange(at, min(at + step, len(raw))))) for at in range(0, len(raw), step)]
    for read in [*reads, reader.flush()]:
        table.add(flow.group(read.frames, read.packets, flow.Keys(read.packets)))
    return flow.rows(table.rest())


def there(flags: int = ACK, seq: int = 0, data: bytes = b"") -> bytes:
    return ether(ip4(CLIENT, SERVER, 6, tcp(1000, 80, data, flags=flags, seq=seq)))


def back(flags: int = ACK, seq: int = 0, data: bytes = b"") -> bytes:
    return ether(ip4(SERVER, CLIENT, 6, tcp(80, 1000, data, flags=flags, seq=seq)))


def ask(at: int = 1) -> bytes:
    return ether(ip4(f"10.2.0.{at}", SERVER, 17, udp(9, 53, b"x")))


def both(raw: list[bytes], times: list[int] | None = None, **timeouts: int) -> pl.DataFrame:
    """The same by both tables, and straight from the frames, whole and in pieces."""
    whole = flows(raw, times, **timeouts)
    for compiled, direct in ((False, False), (True, False), (True, True))[: 3 if fast.ON else 1]:
        for step in (1, 3, 10_000):
            found = flows(raw, times, compiled=compiled, direct=direct, step=step, **timeouts)
            assert_frame_equal(found, whole)
    return whole


def test_a_silence_ends_a_flow_sooner_where_there_is_no_connection() -> None:
    times = [START, START + 70 * SECOND, START + 71 * SECOND]
    assert both([ask()] * 3, times)["network.packets"].to_list() == [1, 2]
    assert both([there()] * 3, times)["network.packets"].to_list() == [3]


def test_a_long_flow_is_told_in_records() -> None:
    times = [START + at * 10 * SECOND for at in range(100)]
    found = both([there()] * 100, times, active=300 * SECOND)
    assert found["network.packets"].to_list() == [30, 30, 30, 10]
    assert found["network.community_id"].n_unique() == 1


@pytest.mark.parametrize("closing", [[there(RST)], [back(RST | ACK)], [there(FIN | ACK), back(FIN | ACK), there()]])
def test_a_port_used_again_after_the_close_is_a_new_flow(closing: list[bytes]) -> None:
    found = both([there(SYN), back(SYN | ACK), there(), *closing, there(SYN, seq=9), back(SYN | ACK)])
    assert found["network.packets"].to_list() == [3 + len(closing), 2]


def test_a_syn_sent_again_is_the_same_flow() -> None:
    found = both([there(SYN, seq=5), there(SYN, seq=5), back(SYN | ACK), there(FIN | ACK, seq=6), there(SYN)])
    assert found["network.packets"].to_list() == [5]
    assert found["tcp.retransmits"].to_list() == [2]


def test_segments_sent_again_and_late_ones_are_told_apart() -> None:
    data = [there(seq=seq, data=b"ten bytes.") for seq in (100, 110, 130, 120, 130, 140, 100)]
    row = both(data).row(0, named=True)
    assert (row["tcp.out_of_order"], row["tcp.retransmits"]) == (1, 2)


def test_sequence_numbers_may_pass_zero() -> None:
    data = [there(seq=seq % 2**32, data=b"ten bytes.") for seq in (2**32 - 15, 2**32 - 5, 2**32 + 5, 2**32 - 5)]
    row = both(data).row(0, named=True)
    assert (row["tcp.out_of_order"], row["tcp.retransmits"]) == (0, 1)


def test_packets_that_are_no_tcp_have_no_such_counts() -> None:
    assert both([ask()]).select("tcp.retransmits", "tcp.flags").row(0) == (None, None)


def part(number: int, word: int, size: int = 16) -> bytes:
    head = bytes([0x45, 0]) + (20 + size).to_bytes(2, "big") + number.to_bytes(2, "big") + word.to_bytes(2, "big")
    return ether(head + bytes([64, 17, 0, 0, 10, 2, 0, 1, 10, 2, 0, 2]) + b"\x00\x09\x00\x35" + bytes(size - 4))


some_packet = st.one_of(
    st.builds(part, st.integers(1, 2), st.sampled_from([0x2000, 0x2002, 4, 2]), st.sampled_from([16, 17])),
    st.builds(lambda inner: ether(ip4(CLIENT, SERVER, 47, b"\x00\x00\x08\x00" + inner[14:])), st.builds(there)),
    st.sampled_from([ether(bytes(40), 0x0806), ether(bytes(40), 0x1234), ether(ip4(CLIENT, SERVER, 6, b""))[:30]]),
    st.builds(lambda raw, cut: raw[:cut], st.builds(back), st.integers(14, 60)),
    st.builds(
        lambda forward, flags, seq, size: (there if forward else back)(flags, seq, b"x" * size),
        st.booleans(),
        st.sampled_from([SYN, SYN | ACK, ACK, FIN | ACK, RST]),
        st.sampled_from([0, 1, 5, 10, 15, 20, 2**31, 2**32 - 5, 77_000]),
        st.integers(0, 12),
    ),
    st.builds(ask, st.integers(1, 2)),
    st.binary(min_size=40, max_size=80).map(lambda raw: ether(ip4(CLIENT, SERVER, 1, raw))),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(some_packet, st.sampled_from([-90, 0, 1, 30, 61, 400])), min_size=1, max_size=60))
def test_both_tables_say_the_same_of_any_packets_however_they_are_cut(packets: list[tuple[bytes, int]]) -> None:
    packets = [(ask(), 0), *packets]
    times = (START + np.cumsum([gap for _, gap in packets]) * SECOND).tolist()
    found = both([raw for raw, _ in packets], times, active=100 * SECOND)
    _, reason = packet.decode(wire.frames([raw for raw, _ in packets]))
    assert found["network.packets"].sum() == (reason == 0).sum()


def test_flows_given_out_by_a_sweep_are_the_same_however_the_pieces_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "SWEEP", 16)
    monkeypatch.setattr(flow, "MAX_OPEN", 12)
    times = [START + at * (-1) ** at * 5 * SECOND for at in range(200)]
    found = both([ask(at * 7 % 40 + 1) for at in range(200)], times)
    assert found["network.packets"].sum() == 200
