"""The capture decoder as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire
from tests.decoders.app.test_dns import answer, answers, asks, query
from tests.decoders.app.test_http import GET, OK
from tests.decoders.app.test_tls import hello, record
from tests.decoders.ot.test_modbus import READ, READ_ANSWER
from tests.decoders.test_netflow import five
from tests.decoders.wire import SERVER, ether, ip4, udp

from cityguard import columns
from cityguard.decoders import capture, events, stream
from cityguard.errors import DecodeError, InputError
from cityguard.sources import pcap


def town() -> list[bytes]:
    """A little of everything, interleaved."""
    talks = [
        wire.Talker(80, 41000).shake().say(0, GET).say(1, OK).packets,
        wire.Talker(443, 41001).shake().say(0, record(1, hello([0x1301], [(0, b"\x00\x06\x00\x00\x03abc")]))).packets,
        wire.Talker(502, 41002).shake().say(0, READ).say(1, READ_ANSWER).packets,
        [asks(query()), answers(answer((1, b"\x01\x02\x03\x04")))],
        [ether(ip4("192.0.2.9", SERVER, 17, udp(5000, 2055, five())))],
        [ether(bytes(28), 0x0806), ether(bytes(20), 0x88CC)],
    ]
    return [talk[at] for at in range(8) for talk in talks if at < len(talk)]


def test_a_capture_becomes_every_dataset_with_its_log_source() -> None:
    found = wire.decode(town())
    told = {(batch.dataset, batch.collector): len(batch) for batch in found.batches}
    assert told == {
        ("flow", "capture"): 5,
        ("flow", "netflow"): 1,
        ("dns", "capture"): 1,
        ("http", "capture"): 1,
        ("tls", "capture"): 1,
        ("ot", "capture"): 2,
    }
    for batch in found.batches:
        assert batch.logsource is not None
        assert not batch.part
    sources = {batch.dataset: batch.logsource for batch in found.batches if batch.logsource}
    assert sources["ot"].covers("ot_command", "modbus", None)
    assert sources["http"].covers("proxy", None, None)
    assert sources["dns"].covers("dns", None, "dns")
    assert sources["tls"].covers("network", None, "ssl")
    assert sources["flow"].covers("network", None, "connection")


def test_every_packet_is_in_a_flow_or_rejected() -> None:
    packets = town()
    found = wire.decode(packets)
    assert wire.table(found, "flow")["network.packets"].sum() + found.rejected == len(packets)
    assert sorted(letter.reason for letter in found.dead) == ["no IP", "no IP"]
    assert [letter.raw for letter in found.dead] == [packets[letter.place - 1] for letter in found.dead]


def test_samples_of_rejected_packets_are_bounded_and_show_every_reason() -> None:
    found = wire.decode([ether(bytes(28), 0x0806)] * 100 + [b"\0"])
    assert (found.rejected, len(found.dead)) == (101, capture.MAX_SAMPLES)
    assert {letter.reason for letter in found.dead} == {"no IP", "cut short"}


def test_all_columns_are_of_the_schema_with_its_types() -> None:
    for batch in wire.decode(town()).batches:
        known = {column.name: column.dtype for column in columns.DATASETS[batch.dataset]}
        native = columns.native(batch.dataset, batch.table) if batch.collector == "netflow" else []
        table = batch.table.drop(native)  # elements of flow records keep their own names
        assert {name: known.get(name) for name in table.columns} == dict(table.schema)


def test_flows_are_named_after_what_was_said_in_them() -> None:
    names = wire.table(wire.decode(town()), "flow")["network.protocol"].to_list()
    assert sorted(name or "" for name in names) == ["dns", "http", "modbus", "netflow", "tls"]


@pytest.mark.parametrize("dataset", ["flow", "dns", "http", "tls", "ot"])
@pytest.mark.parametrize("pieces", [2, 5, 20])
def test_the_same_capture_in_pieces_gives_the_same_rows(dataset: str, pieces: int) -> None:
    whole, cut = (wire.table(wire.decode(town(), pieces=count), dataset) for count in (1, pieces))
    assert_frame_equal(whole, cut, check_column_order=False)


def test_the_same_capture_gives_the_same_tables_again() -> None:
    one, two = (wire.decode(town()) for _ in range(2))
    for left, right in zip(one.batches, two.batches, strict=True):
        assert_frame_equal(left.table, right.table)


def test_only_flows_reads_no_payload() -> None:
    assert {(batch.dataset, batch.collector) for batch in wire.decode(town(), only="flow").batches} == {
        ("flow", "capture")
    }


def test_an_option_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="not known"):
        capture.decoder({"only": "everything"})


def test_an_empty_capture_gives_nothing() -> None:
    found = wire.read(wire.savefile([]))
    assert (found.batches, found.rejected) == ((), 0)
    assert wire.decode([ether(bytes(28), 0x0806)]).batches == ()


def test_connections_followed_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 5)
    packets = [one for port in range(50) for one in wire.Talker(80, 42000 + port).shake().say(0, GET).packets]
    assert wire.table(wire.decode(packets), "http").height == 50


def test_bytes_held_for_all_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_HELD", 20_000)
    endless = b"GET / HTTP/1.1\r\nX: " + b"a" * 15_000
    talkers = [wire.Talker(80, 42000 + at).shake().say(0, endless) for at in range(4)]
    followed = capture.decoder({})
    followed.decode(wire.frames([one for talker in talkers for one in talker.packets]))
    assert followed._streams._held <= 20_000  # type: ignore[attr-defined]


def test_requests_that_wait_for_answers_count_as_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_HELD", 100_000)
    big = b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000 + b"\r\n\r\n"
    talkers = [wire.Talker(80, 42000 + at).shake() for at in range(4)]
    for talker in talkers:
        for _ in range(14):
            talker.say(0, big)
    one = capture.decoder({})
    found = one.decode(wire.frames([packet for talker in talkers for packet in talker.packets]))
    streams = one._streams._streams.values()  # type: ignore[attr-defined]
    waiting = sum(exchange.request.head for one in streams for exchange in one.parser._waiting)
    assert 0 < waiting <= 100_000
    assert wire.table(wire.merge([found, one.flush()]), "http").height >= 4 * 12  # one that is cut to make room is lost


def test_what_waits_is_counted_down_as_answers_come() -> None:
    talker = wire.Talker(80).shake()
    for _ in range(3):
        talker.say(0, GET).say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    one = capture.decoder({})
    one.decode(wire.frames(talker.packets))
    assert one._streams._held == 0  # type: ignore[attr-defined]


def test_a_flood_of_messages_becomes_tables_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_ROWS", 1_000)
    talker = wire.Talker(80).shake()
    for _ in range(50):
        talker.say(0, b"GET / x\n\n" * 100)
    one = capture.decoder({})
    found = wire.merge([one.decode(wire.frames(talker.packets)), one.flush()])
    sizes = [len(batch) for batch in found.batches if batch.dataset == "http"]
    assert (max(sizes), sum(sizes)) == (1_000, 5_000)
    numbers = [batch.table["log.offset"] for batch in found.batches if batch.dataset == "http"]
    assert all(number.is_sorted() for number in numbers)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=30),
    st.integers(0, 10_000),
    st.sampled_from(["", "flow", "netflow"]),
)
def test_no_damage_to_a_capture_raises_anything_but_a_decode_error(
    changes: list[tuple[int, int]], end: int, only: str
) -> None:
    raw = bytearray(wire.savefile(town()))
    for at, value in changes:
        raw[24 + at % (len(raw) - 24)] = value
    try:
        reader = pcap.frames(np.frombuffer(bytes(raw[: max(end, 24)]), np.uint8))
    except DecodeError:
        return
    one = capture.decoder({"only": only})
    received = 0
    parts = []
    for piece in reader:
        received += len(piece)
        parts.append(one.decode(piece))
    found = wire.merge([*parts, one.flush()])
    if only != "netflow":
        flows = wire.table(found, "flow")
        assert found.rejected + (flows["network.packets"].sum() if flows.height else 0) == received
    assert len(found.dead) <= (len(parts) or 1) * 2 * capture.MAX_SAMPLES


def test_timeouts_and_ports_are_options() -> None:
    talker = wire.Talker(80).shake()
    times = [wire.START, wire.START + 10**9, wire.START + 20 * 10**9]
    packets = [*talker.packets, talker.segment(0, b"late")]
    assert wire.table(wire.decode(packets, times=times), "flow").height == 1
    assert wire.table(wire.decode(packets, times=times, idle_tcp=10), "flow").height == 2
    for bad in ({"idle_tcp": 0}, {"active": "long"}, {"vxlan_ports": [0]}, {"vxlan_ports": 4789}):
        with pytest.raises(InputError):
            capture.decoder(bad)
