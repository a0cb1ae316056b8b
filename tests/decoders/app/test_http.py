"""HTTP/1 conversations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT

from cityguard.decoders import stream
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


def test_a_request_of_http_0_9_takes_all_that_follows_as_its_answer() -> None:
    (row,) = rows((0, b"GET /old.html\r\n"), (1, b"<html>old</html>"), (1, b"more"))
    assert (row["http.version"], row["url.path"], row["http.response.body.bytes"]) == ("0.9", "/old.html", 20)
    assert row["http.response.body.mime_type"] == "text/html"


def test_an_answer_without_a_request_is_a_row_of_the_client() -> None:
    first, second = rows((0, GET), (1, OK + OK))
    assert (second["source.ip"], second["http.request.method"]) == (CLIENT, None)
    assert (second["http.response.status_code"], second["http.version"]) == (200, "1.1")
    assert first["event.duration"] == 1_000_000


@pytest.mark.parametrize(("mss", "pieces"), [(1400, 1), (1400, 7), (333, 3)])
def test_long_bodies_are_passed_over_but_counted_to_the_byte(mss: int, pieces: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 50001\r\n\r\n"
    chunks = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7530\r\n" + bytes(30_000) + b"\r\n1\r\nx\r\n0\r\n\r\n"
    )
    said = ((0, GET + GET + GET), (1, head + b"%PDF-" + bytes(49_996) + chunks + OK))
    told = [
        (row["http.response.body.bytes"], row["http.response.body.mime_type"])
        for row in rows(*said, mss=mss, pieces=pieces)
    ]
    assert told == [(50_001, "application/pdf"), (30_001, None), (5, "text/plain")]


@pytest.mark.parametrize(
    ("header", "user"),
    [
        (b"Authorization: Basic YWxpY2U6c2VjcmV0", "alice"),
        (b'Proxy-Authorization: Digest username="bob", realm="r"', "bob"),
        (b"Authorization: Basic !!!", None),
        (b"Authorization: Bearer abc", None),
    ],
)
def test_the_account_is_told_and_never_its_password(header: bytes, user: str | None) -> None:
    (row,) = rows((0, b"GET / HTTP/1.1\r\n" + header + b"\r\n\r\n"))
    assert row["user.name"] == user
    assert "secret" not in str(row)


@pytest.mark.parametrize(
    ("header", "scheme"), [(b"BASIC YWxpY2U6c2VjcmV0", "basic"), (b"Bearer abc", "bearer"), (b"hunter2", None)]
)
def test_how_a_request_authenticates_is_told_if_it_is_a_known_way(header: bytes, scheme: str | None) -> None:
    (row,) = rows((0, b"GET / HTTP/1.1\r\nAuthorization: " + header + b"\r\n\r\n"))
    extra = json.loads(row["event.fields"] or "{}")
    assert extra.get("request", {}).get("authorization") == scheme
    assert "hunter2" not in str(row)


def test_files_sent_and_received_are_named() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="plan.docx"\r\n\r\nPK'
    post = b"POST /up HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n" % len(
        part
    )
    answer = b'HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename="out.zip"\r\nContent-Length: 2\r\n\r\nMZ'
    (row,) = rows((0, post + part), (1, answer))
    assert row["http.file.names"] == ["plan.docx", "out.zip"]
    assert (row["http.request.mime_type"], row["http.response.body.mime_type"]) == (
        "multipart/form-data",
        "application/x-dosexec",
    )


def test_proxies_on_the_way_are_told() -> None:
    head = b"GET http://far.example:81/x HTTP/1.1\r\nVia: 1.1 near\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
    (row,) = rows((0, head))
    assert row["http.proxied"] == ["X-FORWARDED-FOR -> 192.0.2.7", "VIA -> 1.1 near"]
    assert (row["url.domain"], row["url.port"], row["url.path"]) == ("far.example", 81, "/x")


@pytest.mark.parametrize(
    "line", [b"OPTIONS sip:a@b SIP/2.0\r\n", b"DESCRIBE rtsp://h/x RTSP/1.0\r\n", b"GET the best\r\n"]
)
def test_other_protocols_that_look_alike_are_left_alone(line: bytes) -> None:
    assert rows((0, line + b"CSeq: 1\r\n\r\n"), port=9999) == []


@pytest.mark.parametrize("pieces", [1, 5])
def test_a_segment_lost_within_a_body_does_not_hide_what_follows(pieces: int) -> None:
    talker = wire.Talker(80).shake().say(0, GET + GET)
    talker.say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nbody" + bytes(8_996) + OK)
    del talker.packets[7]
    for _ in range(stream.AHEAD_SEGMENTS):
        talker.say(1, b"x" * 10)
    found = wire.table(wire.decode(talker.packets, pieces=pieces), "http").to_dicts()
    assert [row["http.response.body.bytes"] for row in found[:2]] == [9_000, 5]


def test_passwords_in_urls_are_cut_out() -> None:
    talker = wire.Talker(80).shake()
    talker.say(
        0,
        b"GET http://anna:geheim1@h/a?password=geheim1&b=2 HTTP/1.1\r\nHost: h\r\nReferer: http://a:geheim1@x/\r\n\r\n",
    )
    talker.say(1, b"HTTP/1.1 302 Found\r\nLocation: /x?access_token=geheim1\r\nContent-Length: 0\r\n\r\n")
    (row,) = wire.table(wire.decode(talker.packets), "http").to_dicts()
    assert "geheim1" not in str(row)
    assert (row["url.path"], row["url.query"]) == ("/a", "password=***&b=2")


def test_fields_behind_the_last_chunk_are_passed_over() -> None:
    talker = wire.Talker(80).shake()
    ask = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n"
    chunked += b"3\r\nabc\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"
    talker.say(0, ask % 1).say(1, chunked).say(0, ask % 2)
    talker.say(1, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").say(0, ask % 3)
    talker.say(1, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    rows = wire.table(wire.decode(talker.packets), "http").to_dicts()
    told = {row["url.path"]: row["http.response.status_code"] for row in rows}
    assert told == {"/1": 200, "/2": 404, "/3": 200, None: 204}
    assert rows[0]["http.response.body.bytes"] == 3
