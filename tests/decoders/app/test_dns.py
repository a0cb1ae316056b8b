"""DNS messages and transactions, over UDP and TCP."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT, SERVER, START, ether, ip4, udp

from cityguard.decoders.app import dns
from cityguard.errors import DecodeError

NAME = b"\x03www\x07example\x00"


def query(number: int = 7, name: bytes = NAME, kind: int = 1) -> bytes:
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", kind, 1)


def answer(*records: tuple[int, bytes], number: int = 7, code: int = 0, name: bytes = NAME, kind: int = 1) -> bytes:
    head = struct.pack(">6H", number, 0x8580 | code, 1, len(records), 0, 0) + name + struct.pack(">HH", kind, 1)
    return head + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", k, 1, 300, len(data)) + data for k, data in records)


def asks(payload: bytes, port: int = 5000) -> bytes:
    return ether(ip4(CLIENT, SERVER, 17, udp(port, 53, payload)))


def answers(payload: bytes, port: int = 5000) -> bytes:
    return ether(ip4(SERVER, CLIENT, 17, udp(53, port, payload)))


def test_a_query_and_its_answer_are_one_row_of_the_asker() -> None:
    found = wire.decode([asks(query()), answers(answer((1, b"\x01\x02\x03\x04"), (28, bytes(15) + b"\x01")))])
    (row,) = wire.table(found, "dns").to_dicts()
    assert (row["source.ip"], row["source.port"], row["destination.port"]) == (CLIENT, 5000, 53)
    assert (row["dns.question.name"], row["dns.question.type"], row["dns.question.class"]) == ("www.example", "A", "IN")
    assert (row["dns.response_code"], row["dns.type"], row["dns.id"]) == ("NOERROR", "answer", 7)
    assert row["dns.answers.data"] == row["dns.resolved_ip"] == ["1.2.3.4", "::1"]
    assert row["dns.answers.ttl"] == ["300", "300"]
    assert row["dns.header_flags"] == ["AA", "RD", "RA"]
    assert row["log.offset"] == 1
    assert wire.table(found, "flow")["network.protocol"].to_list() == ["dns"]


def test_a_query_without_answer_is_given_out_when_it_has_waited_too_long() -> None:
    packets = [asks(query()), asks(query(8), 5001)]
    found = wire.decode(packets, pieces=2, times=[START, START + 2 * dns.WAIT])
    assert [len(batch) for batch in found.batches if batch.dataset == "dns"] == [1, 1]
    assert wire.table(found, "dns")["dns.type"].to_list() == ["query", "query"]


def test_a_query_asked_again_is_a_row_of_its_own_and_the_first_gets_the_answer() -> None:
    found = wire.decode([asks(query()), asks(query()), answers(answer(code=3))])
    rows = wire.table(found, "dns")
    assert rows["dns.response_code"].to_list() == ["NXDOMAIN", None]
    assert rows["event.duration"].to_list() == [2_000_000, None]


def test_an_answer_alone_still_belongs_to_the_asker() -> None:
    (row,) = wire.table(wire.decode([answers(answer((1, bytes(4))))]), "dns").to_dicts()
    assert (row["source.ip"], row["dns.type"]) == (CLIENT, "answer")


def test_messages_over_tcp_are_put_together_from_segments() -> None:
    talker = wire.Talker(53).shake()
    two = b"".join(struct.pack(">H", len(one)) + one for one in (query(1), query(2)))
    talker.say(0, two, mss=5).say(1, struct.pack(">H", len(answer(number=2))) + answer(number=2), mss=7)
    rows = wire.table(wire.decode(talker.packets, pieces=3), "dns").to_dicts()
    assert sorted((row["dns.id"], row["dns.type"]) for row in rows) == [(1, "query"), (2, "answer")]
    assert {row["network.transport"] for row in rows} == {"tcp"}


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (2, b"\x02ns\xc0\x0c", "ns.www.example"),
        (5, b"\xc0\x10", "example"),
        (12, NAME, "www.example"),
        (15, b"\x00\x0a" + NAME, "10 www.example"),
        (16, b"\x05hello\x06 world", "hello  world"),
        (33, struct.pack(">3H", 1, 2, 443) + NAME, "1 2 443 www.example"),
        (6, NAME + NAME + struct.pack(">5I", 1, 2, 3, 4, 5), "www.example www.example 1 2 3 4 5"),
        (257, b"\x00\x05issueca.example", "0 issue ca.example"),
        (65, b"\x00\x01\x00", "1 ."),
        (43, struct.pack(">HBB", 1, 8, 2) + b"\xab", "1 8 2 ab"),
        (999, b"\x01\x02", "\\# 0102"),
        (1, b"\x01", "\\# 01"),
        (6, NAME, "\\# " + NAME.hex()),
    ],
)
def test_record_types_are_written_as_zone_files_do(kind: int, data: bytes, text: str) -> None:
    assert dns.parse(answer((kind, data))).fields["dns.answers.data"] == [text]


def test_names_that_are_not_text_are_escaped() -> None:
    assert dns.parse(query(name=b"\x03a.b\x02\xff\x00\x00")).fields["dns.question.name"] == "a\\.b.\\255\\000"
    assert dns.parse(query(name="\x06中国".encode() + b"\x00")).fields["dns.question.name"] == "中国"


@pytest.mark.parametrize(
    "name",
    [b"\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\xc0\xff", b"\x40" + bytes(70), b"\x3f" + b"a" * 63 + b"\x3f", b"\x05ab"],
)
def test_names_that_loop_or_run_over_are_refused(name: bytes) -> None:
    with pytest.raises(DecodeError):
        dns.parse(struct.pack(">6H", 1, 0, 1, 0, 0, 0) + name)


def test_a_name_of_too_many_labels_is_refused() -> None:
    with pytest.raises(DecodeError, match="too long"):
        dns.parse(query(name=b"\x01a" * 200 + b"\x00"))


def test_an_answer_that_breaks_off_keeps_the_records_before() -> None:
    whole = answer((1, b"\x01\x02\x03\x04"), (1, b"\x05\x06\x07\x08"))
    assert dns.parse(whole[:-3]).fields["dns.answers.data"] == ["1.2.3.4"]


def test_a_header_that_counts_too_many_records_costs_nothing() -> None:
    lying = bytearray(answer((1, bytes(4))))
    lying[6:12] = b"\xff" * 6
    assert len(dns.parse(bytes(lying)).fields["dns.answers.data"]) == 1


def test_answers_kept_are_bounded() -> None:
    assert len(dns.parse(answer(*[(1, bytes(4))] * 500)).fields["dns.answers.data"]) == dns.MAX_RECORDS


def test_queries_waiting_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "MAX_PENDING", 10)
    found = wire.decode([asks(query(at)) for at in range(50)])
    assert wire.table(found, "dns").height == 50


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(
        [query(), answer((1, bytes(4)), (5, b"\xc0\x0c"), (6, NAME + NAME + bytes(20)), (33, bytes(6) + NAME))]
    ),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=10),
    st.integers(0, 300),
)
def test_no_bytes_raise_anything_but_a_decode_error(seed: bytes, changes: list[tuple[int, int]], end: int) -> None:
    raw = bytearray(seed)
    for at, value in changes:
        raw[at % len(raw)] = value
    with contextlib.suppress(DecodeError):
        dns.parse(bytes(raw[:end]))
    wire.decode([asks(bytes(raw[:end])), answers(bytes(raw))])
