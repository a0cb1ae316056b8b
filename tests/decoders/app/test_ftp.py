"""FTP control connections."""

from __future__ import annotations

from tests.decoders.ot.talk import said

from cityguard.decoders.app.ftp import PROTOCOLS

FTP = PROTOCOLS[0]
HELLO = (1, b"220 ProFTPD Server\r\n")
LOGIN = (HELLO, (0, b"USER anna\r\n"), (1, b"331 Password required\r\n"), (0, b"PASS geheim1\r\n"))


def test_a_login_and_a_transfer_are_rows_and_the_password_is_nowhere() -> None:
    rows = said(
        FTP,
        *LOGIN,
        (1, b"230-Welcome\r\n230 Logged in\r\n"),
        (0, b"RETR /data/plan.zip\r\n"),
        (1, b"150 Opening\r\n"),
        (1, b"226 Transfer complete\r\n"),
    )
    login = next(row for row in rows if row["event.action"] == "login")
    got = next(row for row in rows if row["event.action"] == "retr")
    assert (login["user.name"], login["event.outcome"], login["event.code"]) == ("anna", "success", "230")
    assert (got["file.path"], got["event.outcome"], got["user.name"]) == ("/data/plan.zip", "success", "anna")
    assert "geheim1" not in str(rows)


def test_a_refused_login_is_a_failure_and_one_cut_off_unknown() -> None:
    (failed,) = said(FTP, *LOGIN, (1, b"530 Login incorrect\r\n"))
    assert failed["event.outcome"] == "failure"
    (cut,) = said(FTP, *LOGIN)
    assert cut["event.outcome"] == "unknown"


def test_a_greeting_is_known_by_its_words_on_other_ports() -> None:
    assert FTP.starts(b"220 FTP server ready\r\n", False)
    assert not FTP.starts(b"220 mail.example ESMTP\r\n", False)
    assert FTP.starts(b"USER x\r\n", True)
