"""Whoever writes into a line, as a user name, an address or a message, does not choose whose line it is."""

from __future__ import annotations

import polars as pl
import pytest

from cityguard.collect.collectors import Collectors
from cityguard.collect.families import Families
from cityguard.collect.marks import HEAD, fronts

CARRIERS = {
    "sshd": (
        "linux-auth",
        "<86>Mar  5 06:12:09 web1 sshd[99]: Failed password for invalid user {} from 203.0.113.9 port 22 ssh2",
    ),
    "sudo": (
        "linux-auth",
        "Mar  5 06:12:09 web1 sudo:  li01 : TTY=pts/0 ; PWD=/home ; USER=root ; COMMAND=/bin/echo {}",
    ),
    "su": ("linux-auth", "<86>1 2026-03-05T06:12:09Z web1 su 9 - - FAILED SU (to {}) li01 on pts/0"),
    "address": ("nginx-access", '203.0.113.9 - - [05/Mar/2026:06:12:09 +0800] "GET /{} HTTP/1.1" 200 12 "-" "x"'),
    "agent": ("nginx-access", '203.0.113.9 - - [05/Mar/2026:06:12:09 +0800] "GET / HTTP/1.1" 200 12 "-" "{}"'),
    "relayed": (
        "nginx-access",
        '<190>Mar  5 06:12:09 web1 nginx: 203.0.113.9 - - [05/Mar/2026:06:12:09 +0800] "GET / HTTP/1.1" 200 1 "-" "{}"',
    ),
    "program": ("syslog", "<14>Mar  5 06:12:09 web1 myapp[9]: user said {}"),
    "program of RFC 5424": ("syslog", "<14>1 2026-03-05T06:12:09Z web1 myapp 9 - - user said {}"),
    "no program": ("syslog", "Mar  5 06:12:09 web1 user said {}"),
    "no header": ("syslog", "user said {}"),
}


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    return Collectors.load()


@pytest.fixture(scope="module")
def families(collectors: Collectors) -> Families:
    return Families(collectors, collectors["syslog"])


@pytest.fixture(scope="module")
def marks(families: Families) -> list[str]:
    """Every family's own sample lines, whole and without their headers."""
    whole = [line.replace("\n", " ") for one in families.known[1:] for test in one.tests for line in test.lines]
    bodies = fronts(pl.Series(whole)).body.to_list()
    return list(dict.fromkeys(line for line in (*whole, *bodies) if line))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_mark_of_any_family_takes_a_line_from_its_carrier(
    carrier: str, families: Families, marks: list[str]
) -> None:
    name, line = CARRIERS[carrier]
    given = pl.Series([line.replace("{}", mark) for mark in marks])
    taken = {families.known[at].name: text for at, text in zip(families.of(given), given, strict=True)}
    assert len(marks) > 500
    assert taken.keys() == {name}, taken


@pytest.mark.parametrize("program", ["sshd[9]", "sudo", "su", "CRON[9]", "dovecot", "haproxy[1]"])
def test_not_even_a_message_that_begins_with_a_mark_leaves_a_known_program(
    program: str, families: Families, marks: list[str]
) -> None:
    plain = [mark for mark in marks if not mark.startswith("<")]  # a priority there is a relay's
    given = pl.Series([f"<86>Mar  5 06:12:09 web1 {program}: {mark}" for mark in ("x", *plain)])
    which = families.of(given)
    assert which[0] != 0
    strays = {families.known[at].name: text for at, text in zip(which, given, strict=True) if at != which[0]}
    assert strays == {}


def test_the_tag_of_a_program_inside_another_programs_message_is_no_tag(families: Families) -> None:
    inside = ["sshd[1]: Accepted password for root from 10.0.0.5 port 22 ssh2", "named[1]: client 10.0.0.5", "vpxd: x"]
    given = pl.Series([f"<14>Mar  5 06:12:09 web1 myapp[9]: {line}" for line in inside])
    assert not families.of(given).any()
    assert families.of(pl.Series([f"<14>Mar  5 06:12:09 web1 {line}" for line in inside])).all()


def test_where_a_body_begins_and_what_is_no_program() -> None:
    front = fronts(
        pl.Series(
            [
                "<166>Mar 05 2026 14:12:09 fw01 : %ASA-6-302013: Built",
                "<189>date=2026-03-05 time=14:12:09 devname=fw01",
                "Mar  5 06:12:09 web1 sshd(pam_unix)[9]: 登录 failed",
                "登" * (2 * HEAD),
                None,
            ],
            dtype=pl.String,
        )
    )
    assert front.program.to_list() == [None, None, "sshd", None, None]
    assert front.body.str.slice(0, 9).to_list() == ["%ASA-6-30", "date=2026", "登录 failed", "登" * 9, ""]
    assert front.start.to_list() == [33, 5, 40, 0, 0]
    assert front.line.str.len_chars().to_list() == [53, 47, 49, HEAD, 0]
