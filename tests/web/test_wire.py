"""Slow and greedy clients: what is not sent in time is dropped, and one address cannot keep the others out."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from tests.web.town import Browser

from cityguard.web import wire

HALF = b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as one:
        yield one


def connect(site: FastAPI, stack: ExitStack, source: str = "127.0.0.1") -> socket.socket:
    at = urlsplit(site.state.url)
    return stack.enter_context(socket.create_connection((at.hostname, at.port), 5, (source, 0)))


def ended(connection: socket.socket, within: float) -> bool:
    connection.settimeout(within)
    try:
        return connection.recv(64) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_hundreds_of_half_sent_requests_keep_nobody_out(site: FastAPI, stack: ExitStack) -> None:
    greedy = [connect(site, stack, "127.0.0.2") for _ in range(210)]
    for connection in greedy:
        try:
            connection.sendall(HALF)
        except ConnectionError:
            continue
    assert Browser(site).get("/login").status_code == 200
    assert ended(greedy[-1], 2)
    assert not ended(greedy[0], 0.1)
    for connection in greedy:
        connection.close()
    deadline = time.monotonic() + 5
    while ended(connect(site, stack, "127.0.0.2"), 0.1) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not ended(connect(site, stack, "127.0.0.2"), 0.1), "what was given back can be had again"


def test_headers_that_trickle_are_cut_off_also_on_a_kept_connection(
    site: FastAPI, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HEAD_S", 0.6)
    silent, kept = connect(site, stack), connect(site, stack)
    kept.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    kept.settimeout(5)
    answer = b""
    while not answer.endswith(b"}"):
        answer += kept.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200")
    time.sleep(0.8)  # an idle connection between requests is not a late one
    kept.sendall(HALF)
    trickling, began = connect(site, stack), time.monotonic()
    with pytest.raises(ConnectionError):
        trickling.sendall(HALF)
        while time.monotonic() < began + 5:
            trickling.sendall(b"a")
            time.sleep(0.1)
    assert time.monotonic() - began < 3
    assert ended(silent, 2)
    assert ended(kept, 2)


def test_a_body_has_longer_but_not_for_ever(site: FastAPI, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_S", 0.3)
    monkeypatch.setattr(wire, "WHOLE_S", 1.2)
    slow = connect(site, stack)
    kind = "Content-Type: application/x-www-form-urlencoded"
    slow.sendall(f"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}\r\nContent-Length: 100\r\n\r\nname=".encode())
    assert not ended(slow, 0.7)
    assert ended(slow, 2)


def test_an_answer_may_take_longer_than_a_request(
    site: FastAPI, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cityguard.web import facts

    real = facts.sources
    monkeypatch.setattr(wire, "HEAD_S", 0.2)
    monkeypatch.setattr(wire, "WHOLE_S", 0.3)
    browser = Browser(site).login("an")
    monkeypatch.setattr(facts, "sources", lambda *values: (time.sleep(0.8), real(*values))[1])
    assert browser.get("/api/v1/sources").status_code == 200
