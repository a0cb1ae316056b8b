"""Every modifier, by the table of meanings: a selection, an event, and the answer."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.sigma.plain import HEAD, batch, rule

from cityguard.sigma.match import match
from cityguard.sigma.rule import load_bytes

CASES: list[tuple[str, dict[str, Any], bool]] = [
    # equality, case, numbers
    ("f: Admin", {"f": "aDMIN"}, True),
    ("f: Admin", {"f": "Administrator"}, False),
    ("f: 4624", {"f": 4624}, True),
    ("f: 4624", {"f": "4624"}, True),
    ("f: '4624'", {"f": 4624.0}, True),
    ("f: 3.0", {"f": 3}, True),
    ("f: true", {"f": "True"}, True),
    ("f: 'true'", {"f": True}, True),
    ("f: [1, 2]", {"f": "2"}, True),
    ("f: 999", {"f": "0x3e7"}, False),
    ("f: İX", {"f": "i̇x"}, True),
    ("f: ΟΔΟΣ", {"f": "οδος"}, True),
    ("f|contains: ΟΔΟΣ", {"f": "ΟΔΟΣΑ"}, True),
    ("F: a", {"f": "a"}, False),  # field names keep their case
    # missing, null, empty
    ("f: null", {"f": None, "g": "x"}, True),
    ("f: null", {"g": "x"}, True),
    ("f: null", {"f": ""}, True),
    ("f: null", {"f": []}, True),
    ("f: null", {"f": "x"}, False),
    ("f: ''", {"f": ""}, True),
    ("f: ''", {"f": None, "g": "x"}, False),
    ("f|exists: true", {"f": ""}, True),
    ("f|exists: true", {"f": None, "g": 1}, False),
    ("f|exists: false", {"g": 1}, True),
    ("f: '*'", {"f": "x"}, True),
    ("f: '*'", {"f": None, "g": 1}, False),
    # wildcards and escapes
    ("f: 'a*d'", {"f": "abcd"}, True),
    ("f: 'a*d'", {"f": "ab\ncd"}, True),
    ("f: 'a?d'", {"f": "abd"}, True),
    ("f: 'a?d'", {"f": "abbd"}, False),
    ("f: 'a?d'", {"f": "ad"}, False),
    (r"f: 'a\*d'", {"f": "a*d"}, True),
    (r"f: 'a\*d'", {"f": "abd"}, False),
    (r"f: 'C:\Users\x'", {"f": r"c:\users\X"}, True),
    (r"f: 'C:\\Users'", {"f": r"C:\Users"}, True),
    (r"f: 'C:\\*'", {"f": r"C:\anything"}, True),
    (r"f: 'C:\*'", {"f": "C:*"}, True),
    (r"f: 'C:\*'", {"f": r"C:\anything"}, False),
    ("f: 'a.c*x'", {"f": "abcx"}, False),
    ("f: '*x#y-z&*~*b'", {"f": "ax#y-z&w~ab"}, True),
    # ends
    ("f|contains: bc", {"f": "aBCd"}, True),
    ("f|startswith: ab", {"f": "ABc"}, True),
    ("f|startswith: bc", {"f": "abc"}, False),
    ("f|endswith: bc", {"f": "aBC"}, True),
    ("f|endswith: ['.exe', '.dll']", {"f": "X.DLL"}, True),
    ("f|contains: 'a*c'", {"f": "xxabbcxx"}, True),
    ("f|contains|all: [ab, cd]", {"f": "cdab"}, True),
    ("f|contains|all: [ab, xy]", {"f": "cdab"}, False),
    ("f|contains|cased: AB", {"f": "xAB"}, True),
    ("f|contains|cased: AB", {"f": "xab"}, False),
    ("f|cased: 'A?'", {"f": "Ab"}, True),
    ("f|cased: 'A?'", {"f": "ab"}, False),
    # lists: any element, decided per leaf
    ("f: b", {"f": ["a", "B"]}, True),
    ("f|contains|all: [aa, bb]", {"f": ["xaa", "xbb"]}, True),
    ("f|neq: b", {"f": ["a", "b"]}, False),
    ("f|neq: b", {"f": ["a", "c"]}, True),
    ("f|neq: b", {"g": 1}, True),
    # regular expressions
    ("f|re: 'a.c'", {"f": "xabcx"}, True),
    ("f|re: 'A.C'", {"f": "abc"}, False),
    ("f|re|i: 'A.C'", {"f": "abc"}, True),
    ("f|re: 'a.c'", {"f": "a\nc"}, False),
    ("f|re|s: 'a.c'", {"f": "a\nc"}, True),
    ("f|re: '^b'", {"f": "a\nb"}, False),
    ("f|re|m: '^b'", {"f": "a\nb"}, True),
    ("f|re: '(?!x)a(?<=a)b'", {"f": "ab"}, True),  # lookaround: Python's engine, bounded
    ("f|re: '[0-9]{4}'", {"f": 1234}, True),
    # numbers
    ("f|gt: 5", {"f": 6}, True),
    ("f|gt: 5", {"f": "5.5"}, True),
    ("f|gt: 5", {"f": "five"}, False),
    ("f|gte: 5", {"f": 5}, True),
    ("f|lt: 5", {"f": "1e309"}, False),
    ("f|gt: 5", {"f": "1e309"}, True),
    ("f|lt: 5", {"f": ""}, False),
    ("f|lte: '5'", {"f": 5.0}, True),
    ("f|lt: 1000", {"f": "0x10"}, False),
    # networks
    ("f|cidr: 10.0.0.0/8", {"f": "10.255.0.1"}, True),
    ("f|cidr: 10.0.0.0/8", {"f": "11.0.0.1"}, False),
    ("f|cidr: [10.0.0.0/8, '2001:db8::/32']", {"f": "2001:DB8::1"}, True),
    ("f|cidr: 10.0.0.0/8", {"f": "::ffff:10.1.1.1"}, True),
    ("f|cidr: '::/0'", {"f": "10.1.1.1"}, False),
    ("f|cidr: 0.0.0.0/0", {"f": "2001:db8::1"}, False),
    ("f|cidr: 10.0.0.0/8", {"f": "10.1"}, False),
    ("f|cidr: 10.0.0.0/8", {"f": "10.1.1.1\x00"}, False),
    ("f|cidr: 'fe80::/10'", {"f": "fe80::1%eth0"}, True),
    # dashes
    ("f|windash|contains: ' -enc'", {"f": "x /enc"}, True),
    ("f|contains|windash: ' -enc'", {"f": "x –enc"}, True),
    ("f|contains|windash: ' -enc'", {"f": "x enc"}, False),
    ("f|contains|windash: ' -a -b -c -d'", {"f": "x /a —b -c ―d"}, True),
    ("f|contains|windash: ' -a -b -c -d'", {"f": "x /a —b -c d"}, False),
    ("f|contains|windash: 'a-b'", {"f": "a/b"}, False),  # not at the start of an option
    ("f|contains|all|windash: [' -a', ' /b']", {"f": "x /a -b"}, True),
    # encodings
    ("f|base64: whoami", {"f": "d2hvYW1p"}, True),
    ("f|base64|contains: whoami", {"f": "xx d2hvYW1p"}, True),
    ("f|wide|base64offset|contains: IEX", {"f": base64.b64encode("x IEX y".encode("utf-16-le")).decode()}, True),
    ("f|utf16|base64: a", {"f": base64.b64encode(b"\xff\xfea\x00").decode()}, True),
    ("f|utf16be|base64: a", {"f": base64.b64encode(b"\x00a").decode()}, True),
    ("f|utf16le|contains: ab", {"f": "xa\x00b\x00"}, True),
    ("f|base64offset|contains: 密码", {"f": base64.b64encode("a密码b".encode()).decode()}, True),
    # other fields
    ("f|fieldref: g", {"f": "A", "g": "a"}, True),
    ("f|fieldref: g", {"f": "ab", "g": "a"}, False),
    ("f|fieldref: g", {"f": "a"}, False),
    ("f|fieldref|startswith: g", {"f": "ab", "g": "A"}, True),
    ("f|fieldref|endswith: g", {"f": "ab", "g": "B"}, True),
    ("f|fieldref|contains: g", {"f": "xaby", "g": "ab"}, True),
    ("f|fieldref: g", {"f": ["x", "y"], "g": ["y", "z"]}, True),
    ("f|fieldref|cased: g", {"f": "A", "g": "a"}, False),
    # times
    ("f|hour: 23", {"f": datetime(2026, 3, 11, 23, 5, tzinfo=UTC)}, True),
    ("f|hour: 23", {"f": "2026-03-11T23:05:00+08:00"}, True),
    ("f|minute: 5", {"f": "2026-03-11 23:05:00"}, True),
    ("f|day: 11", {"f": "2026-03-11"}, True),
    ("f|month: 3", {"f": "2026-03-11T00:00:00Z"}, True),
    ("f|year: 2026", {"f": datetime(2026, 3, 11, tzinfo=UTC)}, True),
    ("f|week: 11", {"f": "2026-03-11"}, True),
    ("f|hour: 23", {"f": "tomorrow"}, False),
    # keywords
    ("- ReD", {"a": "x", "b": "bored"}, True),
    ("- 'b*d'", {"a": "xbored!"}, True),
    ("- 'b*d'", {"a": "b", "c": "d"}, False),  # not across values
    ("'|all': [red, green]", {"a": "green", "b": ["red"]}, True),
    ("'|all': [red, blue]", {"a": "green", "b": "red"}, False),
    ("- 77", {"a": 1774}, True),
    (r"- 'C:\Temp'", {"event.fields": '{"p": "C:\\\\Temp\\\\a"}'}, True),
    ("'|re': 'b[0-9]d'", {"a": "xb7d"}, True),
    # maps in lists
    ("- {f: a, g: b}\n- {f: c}", {"f": "a", "g": "b"}, True),
    ("- {f: a, g: b}\n- {f: c}", {"f": "c"}, True),
    ("- {f: a, g: b}\n- {f: c}", {"f": "a", "g": "x"}, False),
]


@pytest.mark.parametrize(("selection", "event", "answer"), CASES, ids=[f"{i}-{c[0][:40]}" for i, c in enumerate(CASES)])
def test_a_selection_answers_as_the_table_says(selection: str, event: dict[str, Any], answer: bool) -> None:
    assert match(rule(selection), batch(event)).to_list() == [answer]
    assert match(rule(selection, "not sel"), batch(event)).to_list() == [not answer]


def test_placeholders_take_the_site_s_lists_with_wildcards() -> None:
    one = rule("f|expand: 'x-%who%-y'", who=["a", "b*"])
    assert match(one, batch({"f": "x-a-y"}, {"f": "x-bcd-y"}, {"f": "x-c-y"})).to_list() == [True, True, False]
    nets = rule("f|cidr|expand: '%nets%'", nets=["10.0.0.0/8"])
    assert match(nets, batch({"f": "10.1.1.1"}, {"f": "11.1.1.1"})).to_list() == [True, False]


def test_an_empty_list_matches_nothing() -> None:
    assert match(rule("f|expand: '%none%'", none=[]), batch({"f": "a"}, {"f": None})).to_list() == [False, False]


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ("f|containz: a", "did you mean 'contains'"),
        ("f|re|cidr: a", "do not go together"),
        ("f|cidr: 10.0.0.1/8", "not a network"),
        ("f|gt: high", "compares numbers"),
        ("f|hour: noon", "whole number"),
        ("f|exists: maybe", "true or false"),
        ("f|i: a", "goes with 're' only"),
        ("f|re: '(a'", "not a regular expression"),
        ("f|base64: 'a*'", "wildcards"),
        ("f|base64offset|contains: a", "too short"),
        ("f|wide: 密", "UTF-16"),
        ("'|gt': 5", "needs a field"),
        ("f: {g: 1}", "text, a number"),
        ("f|fieldref: 5", "name of a field"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(selection: str, said: str) -> None:
    made = load_bytes(f"{HEAD}  sel:\n    {selection}\n  condition: sel\n".encode())
    assert len(made.faults) == 1
    assert "rule.yml:6: " in str(made.faults[0])
    assert said in str(made.faults[0])
