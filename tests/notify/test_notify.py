"""Notifiers against real receivers on loopback; none of them can stop the way or be led astray."""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.store import make

from cityguard.errors import InputError
from cityguard.model import Alert, Text
from cityguard.notify import base, mail, syslog, webhook
from cityguard.notify.base import Notifiers

EVIL = Text('标题\n伪造行\r\n<a>]"\\', "title\nforged")


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def receiver(status: int = 200, location: str = "") -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """A web server that keeps what it is sent: (path, JSON)."""
    seen: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}/robot?key=1", seen


def test_a_syslog_message_is_one_datagram_of_one_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        syslog.Syslog("127.0.0.1", sock.getsockname()[1]).tell([make.alert(title=EVIL), make.alert("b")])
        first, second = sock.recv(4096), sock.recv(4096)
    assert first.startswith(b"<107>1 2026-11-21T08:00:00.000Z cityguard cityguard - alert [alert@32473 id=")
    assert b"\n" not in first
    assert b"\r" not in first
    assert "口令爆破".encode() in second


def test_a_long_syslog_message_is_cut_between_characters() -> None:
    data = syslog.message(make.alert(title=Text("长" * 5_000, "")), "h")
    assert len(data) <= syslog.MAX_DATAGRAM
    data.decode()


def test_structured_data_cannot_be_escaped_from() -> None:
    data = syslog.message(make.alert(rule_id='x"] forged="1\\'), "h").decode()
    assert 'rule="x\\"\\] forged=\\"1\\\\"' in data


@pytest.mark.parametrize(
    ("form", "where"),
    [("wecom", ("text", "content")), ("dingtalk", ("text", "content")), ("feishu", ("content", "text"))],
)
def test_robots_get_the_alert_in_their_own_form(form: webhook.Form, where: tuple[str, str]) -> None:
    with receiver() as (url, seen):
        webhook.Webhook(url, form, secret="s" if form != "wecom" else "").tell([make.alert(title=EVIL)])
    path, body = seen[0]
    text = body[where[0]][where[1]]
    assert "cityguard 新告警 1 条" in text
    assert len(text.splitlines()) == 2
    query = parse_qs(urlsplit(path).query)
    assert query["key"] == ["1"]
    assert ("sign" in query) == (form == "dingtalk")
    assert ("sign" in body) == (form == "feishu")


def test_plain_json_carries_the_whole_alert() -> None:
    with receiver() as (url, seen):
        webhook.Webhook(url).tell([make.alert()])
    assert seen[0][1]["alerts"][0]["rule_id"] == make.alert().rule_id


def test_a_redirect_is_not_followed() -> None:
    with receiver() as (elsewhere, other), receiver(302, elsewhere) as (url, _):
        with pytest.raises(OSError, match="302"):
            webhook.Webhook(url).tell([make.alert()])
        assert other == []


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://8.8.8.8/",
        "http://user:pw@127.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
    ],
)
def test_addresses_a_webhook_may_not_reach_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        webhook.resolve(urlsplit(url))


def test_a_mail_reaches_the_server_and_its_subject_holds_no_attackers_words() -> None:
    got: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            body = False
            for raw in self.rfile:
                line = raw.decode().rstrip("\r\n")
                got.append(line)
                word = line[:4].lower()
                if body and line != ".":
                    continue
                body = word == "data"
                self.wfile.write(b"354 go\r\n" if body else b"221 bye\r\n" if word == "quit" else b"250 ok\r\n")
                if word == "quit":
                    return

    server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
    with running(server):
        mail.Mail("127.0.0.1", "cg@city.example", ("sec@city.example",), server.server_address[1]).tell(
            [make.alert(title=EVIL)]
        )
    assert any(line.lower() == "rcpt to:<sec@city.example>" for line in got)
    subject = mail.message([make.alert(title=EVIL)], "a@city.example", ["b@city.example"])["Subject"]
    assert subject == "[cityguard] 新告警 1 条"


def test_a_password_is_never_sent_without_tls() -> None:
    with pytest.raises(InputError, match="TLS"):
        mail.Mail("127.0.0.1", "a@b.example", ("c@d.example",), username="u", password="p").tell([make.alert()])


class Deaf:
    def tell(self, alerts: Sequence[Alert]) -> None:
        raise ConnectionRefusedError("down")


class Kept:
    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def tell(self, alerts: Sequence[Alert]) -> None:
        self.alerts.extend(alerts)


def test_a_channel_that_fails_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    with caplog.at_level(logging.ERROR):
        Notifiers((Deaf(), kept)).tell([make.alert(level="critical"), make.alert("b", level="low")])
    assert [alert.level for alert in kept.alerts] == ["critical"]
    assert "Deaf could not be told of 1 alerts" in caplog.text


def test_no_alert_worth_telling_tells_nobody() -> None:
    Notifiers((Deaf(),)).tell([make.alert(level="low")])
    Notifiers(()).tell([make.alert()])


def test_a_digest_is_bounded_and_begins_with_the_gravest() -> None:
    many = [make.alert(str(n), level="high", title=Text("很长的标题" * 20, "")) for n in range(50)]
    text = base.digest([*many, make.alert("top", level="critical")])
    assert len(text.encode()) < 2_100
    assert text.splitlines()[1].startswith("critical")
    assert "条未列出" in text
