"""Logins by Telnet."""

from __future__ import annotations

from tests.decoders.ot.talk import said

from cityguard.decoders.app.telnet import PROTOCOLS, plain

TELNET = PROTOCOLS[0]
OPTIONS = b"\xff\xfd\x18\xff\xfb\x01"
TALK = ((1, OPTIONS + b"Router\r\nlogin: "), *((0, bytes((byte,))) for byte in b"anna\r\n"), (1, b"anna\r\nPassword: "))


def test_a_login_is_judged_by_what_follows_the_password() -> None:
    (good,) = said(TELNET, *TALK, (0, b"geheim1\r\n"), (1, b"\r\nLast login: today\r\n$ "))
    (bad,) = said(TELNET, *TALK, (0, b"geheim1\r\n"), (1, b"\r\nLogin incorrect\r\nlogin: "))
    (cut,) = said(TELNET, *TALK, (0, b"geheim1\r\n"))
    outcomes = [(row["user.name"], row["event.outcome"]) for row in (good, bad, cut)]
    assert outcomes == [("anna", "success"), ("anna", "failure"), ("anna", "unknown")]
    assert "geheim1" not in str((good, bad, cut))


def test_erased_letters_are_erased() -> None:
    rows = said(TELNET, (1, b"login: "), (0, b"anx\x7fna\r"), (1, b"Password: "), (0, b"p\r"), (1, b"# "))
    assert rows[0]["user.name"] == "anna"


def test_negotiations_are_taken_out() -> None:
    assert plain(b"a\xff\xfa\x18\x00VT\xff\xf0b\xff\xffc\xff") == b"ab\xffc"
    assert TELNET.starts(OPTIONS, False)
    assert not TELNET.starts(b"\xff\xfb", False)


def test_a_prompt_that_names_the_user_is_one() -> None:
    (row,) = said(
        TELNET, (1, b"login: "), (0, b"bob\r"), (1, b"\r\nPassword for bob: "), (0, b"x\r"), (1, b"Login incorrect")
    )
    assert (row["user.name"], row["event.outcome"]) == ("bob", "failure")
