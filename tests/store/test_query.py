"""The query language: what people type, what it means, and what it says when it cannot."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.errors import InputError
from cityguard.model import And, Not, Or, Query, Term
from cityguard.store import fields, sql
from cityguard.store.query import MAX_LENGTH, parse
from cityguard.store.words import spaced, words

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
CITY = ZoneInfo("Asia/Shanghai")


def read(text: str, subject: fields.Subject | None = None) -> Query:
    return parse(text, now=NOW, zone=CITY, subject=subject)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("status:open", Term("status", "eq", "open")),
        ("status：open", Term("status", "eq", "open")),
        ("level:>=high", Term("level", "gte", "high")),
        ("-rule:ssh", Not(Term("rule", "eq", "ssh"))),
        ("not rule:ssh", Not(Term("rule", "eq", "ssh"))),
        ("source.ip:10.0.0.0/8", Term("source.ip", "eq", "10.0.0.0/8")),
        ("owner:*", Term("owner", "exists", True)),
        ("owner:li*", Term("owner", "prefix", "li")),
        ('owner:"li*"', Term("owner", "eq", "li*")),
        ("title:~爆破", Term("title", "contains", "爆破")),
        ("destination.port:22,80", Or((Term("destination.port", "eq", 22), Term("destination.port", "eq", 80)))),
        (
            "destination.port:1..1023",
            And((Term("destination.port", "gte", 1), Term("destination.port", "lte", 1023))),
        ),
        ("free word", And((Term("*", "contains", "free"), Term("*", "contains", "word")))),
        ('"free word"', Term("*", "contains", "free word")),
        (
            "a (b or c) AND d",
            And(
                (
                    Term("*", "contains", "a"),
                    Or((Term("*", "contains", "b"), Term("*", "contains", "c"))),
                    Term("*", "contains", "d"),
                )
            ),
        ),
        ("@timestamp:>24h", Term("@timestamp", "gt", NOW - timedelta(hours=24))),
    ],
)
def test_each_form_means_one_condition(text: str, where: object) -> None:
    assert read(text).where == where


def test_or_binds_weaker_than_and() -> None:
    where = read("a b or c").where
    assert isinstance(where, Or)
    assert isinstance(where.items[0], And)


def test_nothing_asks_for_everything() -> None:
    assert read("  ") == Query()


def test_a_date_is_a_day_of_the_city() -> None:
    query = read("since:2026-11-20 until:2026-11-21")
    assert query.start == datetime(2026, 11, 19, 16, tzinfo=UTC)
    assert query.end == datetime(2026, 11, 21, 16, tzinfo=UTC)
    assert read("last_seen:>2026-11-20").where == Term("last_seen", "gte", datetime(2026, 11, 20, 16, tzinfo=UTC))
    assert read("since:2026-11-20T08:00").start == datetime(2026, 11, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("level:foo", 1, "is not a level"),
        ("status:open x.y:1", 13, "no field 'x.y'"),
        ('status:open "half', 13, "quotation mark"),
        ("(a or b", 1, "not closed"),
        ("a)", 2, "without '('"),
        ("a or", 4, "missing"),
        ("()", 2, "missing"),
        ("level:", 7, "no value"),
        ("source.ip:10.0.0.0/99", 1, "not a network"),
        ("source.ip:1.2.3", 1, "not an IP address"),
        ("destination.port:ssh", 1, "not a whole number"),
        ("owner:a*b", 1, "only stand at the end"),
        ("*a", 1, "only stand at the end"),
        ("owner:>3", 1, "no order"),
        ("since:yesterday", 1, "not a time"),
        ("a or since:3h", 6, "whole question"),
        ("since:3h or a", 13, "whole question"),
        ("(" * 30 + "a" + ")" * 30, 20, "too deeply"),
        (" ".join(["a"] * 300), 401, "too many terms"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, place: int, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as fault:
        read(text)
    assert abs(int(fault.value.place.removeprefix("character ")) - place) <= 1


def test_a_question_may_not_be_endless() -> None:
    with pytest.raises(InputError, match="characters"):
        read("a" * (MAX_LENGTH + 1))


def test_fields_of_the_other_subject_are_refused() -> None:
    with pytest.raises(InputError, match=r"no field 'source\.port'"):
        read("source.port:80", "alerts")
    with pytest.raises(InputError, match="did you mean 'status'"):
        read("statsu:open", "alerts")
    with pytest.raises(InputError, match="no field 'verdict' in events"):
        fields.resolve(read("verdict:true"), "events")


@given(st.text(max_size=80))
@settings(max_examples=400, deadline=None)
def test_any_text_is_understood_or_refused_with_a_place(text: str) -> None:
    try:
        query = read(text)
    except InputError as fault:
        assert fault.place.startswith("character ")
        return
    for subject in ("events", "alerts"):
        try:
            fields.resolve(query, subject)
        except InputError:
            continue


_PIECES = st.sampled_from(
    (
        *(
            "status:",
            "level:",
            "source.ip:",
            "title:~",
            "rule:",
            "-",
            "or ",
            "(",
            ")",
            "'",
            '"',
            ";",
            "--",
            "\\",
            "%",
            "*",
        ),
        *(
            "x' OR 1=1 --",
            "DROP TABLE alerts",
            "$1",
            "?",
            "{}",
            "\u0000",
            "横向",
            "10.0.0.0/8",
            "fe80::/10",
            "high",
            " ",
        ),
    )
)


@given(st.lists(_PIECES, max_size=12).map("".join))
@settings(max_examples=300, deadline=None)
def test_no_typed_text_reaches_sql(text: str) -> None:
    try:
        query = read(text)
    except InputError:
        return
    for subject, compiler in (("alerts", sql.alerts), ("events", lambda node: sql.events(node, fields.EVENT_FIELDS))):
        try:
            statement, values = compiler(fields.resolve(query, subject))  # type: ignore[operator]
        except InputError:
            continue
        assert statement.count("?") == len(values)
        names = "|".join(re.escape(name) for name in fields.EVENT_FIELDS)
        rest = re.sub(rf'"({names})"|alerts\.\w+', "", statement)
        assert not re.search(r"DROP|1=1|--|;|横|\$1|high|fe80", rest)


@given(st.integers(0, 2**128 - 1), st.integers(0, 128))
@settings(max_examples=60, deadline=None)
def test_ipv6_networks_match_as_the_standard_library_says(number: int, bits: int) -> None:
    import ipaddress

    con = _DUCK
    subject = ipaddress.IPv6Address(number)
    network = ipaddress.ip_network((number & ~0 << 7, bits), strict=False)
    for address in (subject, network[0], network[-1], ipaddress.IPv6Address(number >> 64)):
        compiler = sql._Sql(lambda one, term: sql._cidr(one, '"ip"', term.value))
        text = compiler.node(Term("ip", "cidr", network))
        (found,) = con.execute(f"SELECT {text} FROM (SELECT ? AS ip)", [*compiler.values, str(address)]).fetchone()
        assert bool(found) == (address in network)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32))
@settings(max_examples=60, deadline=None)
def test_ipv4_networks_match_as_the_standard_library_says(number: int, other: int, bits: int) -> None:
    import ipaddress

    network = ipaddress.ip_network((number, bits), strict=False)
    for address in (ipaddress.IPv4Address(number), ipaddress.IPv4Address(other), network[0], network[-1]):
        compiler = sql._Sql(lambda one, term: sql._cidr(one, '"ip"', term.value))
        text = compiler.node(Term("ip", "cidr", network))
        (found,) = _DUCK.execute(f"SELECT {text} FROM (SELECT ? AS ip)", [*compiler.values, str(address)]).fetchone()
        assert bool(found) == (address in network)
        low, high = sql.ip_key(str(network[0])), sql.ip_key(str(network[-1]))
        assert (low <= sql.ip_key(str(address)) <= high) == (address in network)  # type: ignore[operator]


_DUCK = duckdb.connect(":memory:")
_DUCK.execute(sql.IP6_MACRO)


def test_chinese_is_cut_into_single_characters_and_the_rest_into_words() -> None:
    assert words("横向移动 from WEB-01, Ⅷ ｆｕｌｌ") == ["横", "向", "移", "动", "from", "web", "01", "viii", "full"]
    con = sqlite3.connect(":memory:")
    con.execute("CREATE VIRTUAL TABLE t USING fts5 (body)")
    con.execute("INSERT INTO t VALUES (?)", (spaced("疑似横向移动"),))
    assert con.execute("SELECT count(*) FROM t WHERE t MATCH ?", ('"横 向"',)).fetchone() == (1,)
    assert con.execute("SELECT count(*) FROM t WHERE t MATCH ?", ('"向 横"',)).fetchone() == (0,)
    con.close()
