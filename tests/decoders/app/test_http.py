"""HTTP/1 conversations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT

from cityguard.decoders.app import http

GET = b"GET /a/b?c=d HTTP/1.1\r\nHost: www.example:8080\r\nUser-Agent: probe/1\r\nReferer: http://r/\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1, port: int = 80) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "http").to_dicts()


@pytest.mark.parametrize(("mss", "port"), [(1400, 8888), (10, 8888), (1, 80)])
@pytest.mark.parametrize("pieces", [1, 4])
def test_a_request_and_its_response_are_one_row(mss: int, port: int, pieces: int) -> None:
    (row,) = rows((0, GET), (1, OK), mss=mss, pieces=pieces, port=port)
    assert row["source.ip"] == CLIENT
    assert (row["http.request.method"], row["http.version"]) == ("GET", "1.1")
    assert (row["url.original"], row["url.path"], row["url.query"]) == ("/a/b?c=d", "/a/b", "c=d")
    assert (row["url.domain"], row["user_agent.original"]) == ("www.example", "probe/1")
    assert row["http.request.referrer"] == "http://r/"
    assert (row["http.response.status_code"], row["http.response.mime_type"]) == (200, "text/html")
    assert (row["http.response.body.bytes"], row["http.response.bytes"]) == (5, len(OK))
    assert row["http.request.bytes"] == len(GET)
    assert row["network.protocol"] == "http"


def test_pipelined_requests_are_answered_in_order() -> None:
    post = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    no = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    found = rows((0, GET + post + GET), (1, OK + no + CHUNKED))
    told = [(row["url.path"], row["http.response.status_code"], row["http.response.body.bytes"]) for row in found]
    assert told == [("/a/b", 200, 5), ("/p", 404, 0), ("/a/b", 200, 11)]
    assert found[1]["http.request.body.bytes"] == 3


def test_a_body_without_length_ends_with_the_connection() -> None:
    (row,) = rows((0, GET), (1, b"HTTP/1.0 200 OK\r\n\r\n" + bytes(3000)))
    assert row["http.response.body.bytes"] == 3000


@pytest.mark.parametrize("code", [b"204 No", b"304 Not"])
def test_responses_without_a_body_have_none_whatever_they_say(code: bytes) -> None:
    first = b"HTTP/1.1 " + code + b"\r\nContent-Length: 50\r\n\r\n"
    found = rows((0, GET + GET), (1, first + OK))
    assert [row["http.response.status_code"] for row in found] == [int(code[:3]), 200]


def test_an_interim_answer_is_passed_over_and_a_head_has_no_body() -> None:
    head = GET.replace(b"GET", b"HEAD")
    found = rows((0, head + GET), (1, b"HTTP/1.1 100 Continue\r\n\r\n" + OK[:-5] + OK))
    assert [row["http.response.status_code"] for row in found] == [200, 200]


def test_a_request_without_response_is_a_row_of_its_own() -> None:
    (row,) = rows((0, GET))
    assert row["url.path"] == "/a/b"
    assert row.get("http.response.status_code") is None


def test_absolute_targets_give_the_host() -> None:
    (row,) = rows((0, b"GET http://proxy.example/x?y HTTP/1.0\r\n\r\n"))
    assert (row["url.domain"], row["url.path"], row["url.query"]) == ("proxy.example", "/x", "y")


def test_after_lost_segments_the_next_message_is_found() -> None:
    talker = wire.Talker(80).shake().say(0, GET).say(1, OK[:40])
    talker.seq[1] += 200_000
    for _ in range(70):  # more than waits for a gap
        talker.say(1, bytes(1400))
    talker.say(0, GET.replace(b"/a/b", b"/later")).say(1, OK)
    found = wire.table(wire.decode(talker.packets), "http").to_dicts()
    assert found[-1]["http.response.status_code"] == 200
    assert [row["url.path"] for row in found] == ["/a/b", "/later"]


def test_retransmissions_and_disorder_change_nothing() -> None:
    talker = wire.Talker(80).shake().say(0, GET, mss=20).say(1, OK, mss=20)
    plain = wire.table(wire.decode(talker.packets), "http").drop("log.offset", "@timestamp").to_dicts()
    mixed = talker.packets[:2] + [
        one for pair in zip(talker.packets[3::2], talker.packets[2::2], strict=False) for one in pair
    ]
    mixed += [talker.packets[-1], talker.packets[4], talker.packets[3]]
    assert wire.table(wire.decode(mixed), "http").drop("log.offset", "@timestamp").to_dicts() == plain


def test_waiting_requests_are_bounded() -> None:
    assert len(rows((0, GET * (http.MAX_WAITING + 50)))) == http.MAX_WAITING + 50


def test_a_head_without_end_is_given_up() -> None:
    assert rows((0, b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000)) == []


def test_tls_inside_a_proxy_tunnel_is_seen() -> None:
    hello = bytes.fromhex("16030100320100002e0303") + bytes(32) + bytes.fromhex("000002130101000000")[:8] + bytes(1)
    talker = wire.Talker(3128).shake().say(0, b"CONNECT h:443 HTTP/1.1\r\n\r\n").say(1, b"HTTP/1.1 200 OK\r\n\r\n")
    found = wire.decode(talker.say(0, hello).packets)
    assert wire.table(found, "http")["http.request.method"].to_list() == ["CONNECT"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([GET, OK, CHUNKED]), st.integers(0, 200), st.integers(0, 255)),
        max_size=6,
    ),
    st.integers(1, 300),
)
def test_no_bytes_raise_anything(said: list[tuple[int, bytes, int, int]], mss: int) -> None:
    talker = wire.Talker(80).shake()
    for side, payload, at, value in said:
        raw = bytearray(payload)
        raw[at % len(raw)] = value
        talker.say(side, bytes(raw), mss=mss)
    wire.decode(talker.packets)
