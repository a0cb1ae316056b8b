"""What is a secret goes, what is none stays; long hostile text is no trouble."""

from __future__ import annotations

import time

import pytest

from cityguard.decoders import secrets


@pytest.mark.parametrize(
    "text",
    [
        "ALTER USER 'anna'@'%' IDENTIFIED BY 'geheim1'",
        'create user anna identified with mysql_native_password by "geheim1"',
        "GRANT ALL ON *.* TO a IDENTIFIED BY PASSWORD 'geheim1'",
        "ALTER ROLE anna WITH ENCRYPTED PASSWORD 'geheim1'",
        "CREATE USER anna PASSWORD 'geheim1' VALID UNTIL 'infinity'",
        "SET PASSWORD FOR 'anna' = PASSWORD('geheim1')",
        "ALTER LOGIN sa WITH PASSWORD = 'geheim1' OLD_PASSWORD = 'geheim1'",
        "alter user system identified by geheim1",
        "CHANGE MASTER TO MASTER_PASSWORD='geheim1', MASTER_HOST='x'",
        "CONFIG SET requirepass geheim1",
    ],
)
def test_a_statement_loses_its_password(text: str) -> None:
    shown = secrets.command(secrets.statement(text))
    assert "geheim1" not in shown
    assert secrets.HIDDEN in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://anna:geheim1@host/x?a=1", "http://anna:***@host/x?a=1"),
        ("anna:geheim1@host", "anna:***@host"),
        ("ftp://anna:ge/heim1@host/x", "ftp://anna:***@host/x"),
        ("ftp://anna:ge@heim1@host/x", "ftp://anna:***@host/x"),
        ("http://host:8080/mail/a@b.cn", "http://host:8080/mail/a@b.cn"),
        ("http://[::1]:8080/mail/a@b.cn", "http://[::1]:8080/mail/a@b.cn"),
        ("/login?user=anna&password=geheim1&next=/", "/login?user=anna&password=***&next=/"),
        ("user=anna&access_token=geheim1", "user=anna&access_token=***"),
        ("/mail?to=a@b.cn&compass=north", "/mail?to=a@b.cn&compass=north"),
        ("host:8080", "host:8080"),
    ],
)
def test_a_url_loses_its_password_alone(text: str, shown: str) -> None:
    assert secrets.url(text) == shown


@pytest.mark.parametrize(
    "text", ["SELECT password_hash FROM users WHERE id = 3", "select 1", "UPDATE t SET a = 'b' WHERE c = 'd'"]
)
def test_an_ordinary_statement_stays(text: str) -> None:
    assert secrets.statement(text) == text


def test_long_hostile_text_takes_no_time() -> None:
    begun = time.process_time()
    for text in ("identified by '" * 2_000, "password " * 4_000, "'" * 40_000, "//a:" * 10_000, "?a=" * 10_000):
        secrets.statement(text)
        secrets.url(text)
        secrets.command(text)
    assert time.process_time() - begun < 2
