"""SMTP connections: messages and logins."""

from __future__ import annotations

import base64
import json

from tests.decoders.ot.talk import said

from cityguard.decoders.app.smtp import PROTOCOLS

SMTP = PROTOCOLS[0]
HELLO = ((1, b"220 mx ESMTP\r\n"), (0, b"EHLO pc-1\r\n"), (1, b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n"))


def test_a_message_has_its_people_subject_and_answer() -> None:
    (row,) = said(
        SMTP,
        *HELLO,
        (0, b"MAIL FROM:<a@x.cn> SIZE=9\r\n"),
        (1, b"250 ok\r\n"),
        (0, b"RCPT TO:<b@y.cn>\r\nRCPT TO:<c@y.cn>\r\n"),
        (1, b"250 ok\r\n250 ok\r\n"),
        (0, b"DATA\r\n"),
        (1, b"354 go\r\n"),
        (0, b"Subject: report\r\n\r\nMAIL FROM:<evil@z>\r\n.\r\n"),
        (1, b"250 queued as 77\r\n"),
    )
    mail = json.loads(row["event.fields"])["email"]
    assert (mail["from"], mail["to"], mail["subject"]) == ("a@x.cn", ["b@y.cn", "c@y.cn"], "report")
    assert (row["event.action"], row["event.outcome"], row["message"]) == ("send", "success", "queued as 77")
    assert row["source.port"] == 40_000


def test_logins_by_plain_and_login_give_the_user_and_never_the_password() -> None:
    plain = base64.b64encode(b"\0anna\0geheim1")
    (row,) = said(SMTP, *HELLO, (0, b"AUTH PLAIN " + plain + b"\r\n"), (1, b"235 ok\r\n"))
    assert (row["user.name"], row["event.outcome"]) == ("anna", "success")
    (row,) = said(
        SMTP,
        *HELLO,
        (0, b"AUTH LOGIN\r\n"),
        (1, b"334 VXNlcm5hbWU6\r\n"),
        (0, base64.b64encode(b"anna") + b"\r\n"),
        (1, b"334 UGFzc3dvcmQ6\r\n"),
        (0, base64.b64encode(b"geheim1") + b"\r\n"),
        (1, b"535 no\r\n"),
    )
    assert (row["user.name"], row["event.outcome"]) == ("anna", "failure")
    assert "geheim1" not in str(row)
    assert base64.b64encode(b"geheim1").decode() not in str(row)


def test_a_refused_sender_is_a_failure() -> None:
    (row,) = said(SMTP, *HELLO, (0, b"MAIL FROM:<spam@x>\r\n"), (1, b"550 no\r\n"))
    assert (row["event.outcome"], row["event.code"]) == ("failure", "550")


def test_it_is_known_by_its_greeting() -> None:
    assert SMTP.starts(b"220 mx ESMTP Postfix\r\n", False)
    assert not SMTP.starts(b"220 FTP ready\r\n", False)
    assert SMTP.starts(b"EHLO x\r\n", False)


def test_pipelined_commands_and_a_body_that_looks_like_some() -> None:
    forged = base64.b64encode(b"\0evil\0x")
    body = b"Subject: s\r\n\r\nAUTH PLAIN " + forged + b"\r\nMAIL FROM:<evil@z>\r\n.\r\n"
    rows = said(
        SMTP,
        *HELLO,
        (0, b"MAIL FROM:<a@x.cn>\r\nRCPT TO:<b@y.cn>\r\nDATA\r\n"),
        (1, b"250 ok\r\n250 ok\r\n354 go\r\n"),
        (0, body + b"MAIL FROM:<c@x.cn>\r\nRCPT TO:<d@y.cn>\r\nDATA\r\n"),
        (1, b"250 queued 1\r\n250 ok\r\n550 no such user\r\n503 no\r\n"),
        (0, b"QUIT\r\n"),
    )
    told = [(row["event.action"], row["user.name"], row["event.code"]) for row in rows]
    assert told == [("send", "a@x.cn", "250"), ("send", "c@x.cn", "550")]
    assert json.loads(rows[0]["event.fields"])["email"]["subject"] == "s"


def test_chunks_are_no_commands() -> None:
    rows = said(
        SMTP,
        *HELLO,
        (0, b"MAIL FROM:<a@x.cn>\r\nRCPT TO:<b@y.cn>\r\nBDAT 30 LAST\r\n" + b"Subject: t\r\n\r\nQUIT\r\nAUTH X\r\n"),
        (1, b"250 ok\r\n250 ok\r\n250 queued\r\n"),
    )
    assert [(row["event.action"], row["event.code"]) for row in rows] == [("send", "250")]
