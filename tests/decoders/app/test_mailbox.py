"""Logins of POP3 and IMAP."""

from __future__ import annotations

import base64

from tests.decoders.ot.talk import said

from cityguard.decoders.app.mailbox import PROTOCOLS

POP, IMAP = PROTOCOLS


def test_a_login_by_pop() -> None:
    talk = ((1, b"+OK POP3 ready\r\n"), (0, b"USER anna\r\n"), (1, b"+OK\r\n"), (0, b"PASS geheim1\r\n"))
    (good,) = said(POP, *talk, (1, b"+OK 3 messages\r\n"))
    (bad,) = said(POP, *talk, (1, b"-ERR invalid password\r\n"))
    assert (good["user.name"], good["event.outcome"]) == ("anna", "success")
    assert (bad["event.outcome"], bad["message"]) == ("failure", "invalid password")
    assert "geheim1" not in str((good, bad))


def test_a_login_by_imap() -> None:
    (row,) = said(
        IMAP, (1, b"* OK IMAP4rev1\r\n"), (0, b'a1 LOGIN "anna" "geheim1"\r\n'), (1, b"a1 NO [AUTH] failed\r\n")
    )
    assert (row["user.name"], row["event.outcome"]) == ("anna", "failure")
    plain = base64.b64encode(b"\0anna\0geheim1")
    (row,) = said(
        IMAP,
        (1, b"* OK IMAP4rev1\r\n"),
        (0, b"a1 AUTHENTICATE PLAIN\r\n"),
        (1, b"+ \r\n"),
        (0, plain + b"\r\n"),
        (1, b"a1 OK done\r\n"),
    )
    assert (row["user.name"], row["event.outcome"]) == ("anna", "success")


def test_greetings_are_told_apart() -> None:
    assert POP.starts(b"+OK POP3 server\r\n", False)
    assert not POP.starts(b"+OK\r\n", False)
    assert IMAP.starts(b"* OK Dovecot IMAP ready\r\n", False)


def test_names_in_quotes_as_literals_and_by_sasl() -> None:
    hello = (1, b"* OK IMAP4rev1\r\n")
    (row,) = said(IMAP, hello, (0, b'a LOGIN "an \\"na" "x y"\r\n'), (1, b"a OK\r\n"))
    assert row["user.name"] == 'an "na'
    (row,) = said(
        IMAP, hello, (0, b"a LOGIN {4}\r\n"), (1, b"+ go\r\n"), (0, b"anna {3}\r\n"), (0, b"x\r\n"), (1, b"a NO\r\n")
    )
    assert (row["user.name"], row["event.outcome"]) == ("anna", "failure")
    plain = base64.b64encode(b"\0anna\0geheim1")
    (row,) = said(POP, (1, b"+OK\r\n"), (0, b"AUTH PLAIN\r\n"), (1, b"+ \r\n"), (0, plain + b"\r\n"), (1, b"+OK\r\n"))
    assert (row["user.name"], row["event.outcome"]) == ("anna", "success")
