"""The rest of the language: correlations of every kind, boolean conditions over rules, filters, collections, lists."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sigma import plain

from cityguard import content
from cityguard.detectors import words
from cityguard.model import Asset, Department, Segment, System
from cityguard.register.register import Register
from cityguard.sigma import condition, lint, lists, modifiers
from cityguard.sigma.ast import CORRELATIONS, AllOf, Correlation
from cityguard.sigma.correlation import Firing
from cityguard.sigma.match import match
from cityguard.sigma.reader import timespan
from cityguard.sigma.rule import Ruleset, load, load_bytes
from cityguard.sigma.vocabulary import Vocabulary, on_the_wire

ID = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a"
RULE = """title: {name}
id: {id}{n:02d}
name: {name}
logsource: {{category: webserver, product: apache}}
detection:
  sel: {{f: {name}}}
  condition: sel
---
"""


def rules(*names: str) -> str:
    return "".join(RULE.format(name=name, id=ID, n=n) for n, name in enumerate(names))


def correlation(body: str, *names: str) -> Ruleset:
    text = rules(*(names or ("a", "b", "c")))
    return load_bytes(f"{text}title: corr\nid: {ID}99\nname: corr\ncorrelation:\n  timespan: 5m\n{body}".encode())


def one(body: str) -> Correlation:
    made = correlation(body)
    assert [str(fault) for fault in made.faults] == []
    return made.correlations[0]


# ---------------------------------------------------------------- correlations


@pytest.mark.parametrize("kind", CORRELATIONS)
def test_every_type_is_read(kind: str) -> None:
    field = "field: bytes, " if kind.startswith("value_") else ""
    rank = "percentile: 95, " if kind == "value_percentile" else ""
    made = one(f"  type: {kind}\n  rules: [a, b]\n  group-by: [g]\n  condition: {{{field}{rank}gte: 2}}\n")
    assert (made.kind, made.conditions, made.group_by) == (kind, (("gte", 2.0),), ("g",))
    assert made.fields == (("bytes",) if field else ())
    assert made.percentile == (95.0 if rank else None)
    assert made.rules == (f"{ID}00", f"{ID}01")


def test_several_fields_are_counted_together_and_named_by_alias() -> None:
    made = one(
        "  type: value_count\n  rules: [a, b]\n  group-by: [who]\n  condition: {field: [peer, port], gt: 5, lte: 9}\n"
        "  aliases:\n    who: {a: source.ip, b: destination.ip}\n    peer: {a: destination.ip, b: source.ip}\n"
    )
    assert made.fields == ("peer", "port")
    assert made.conditions == (("gt", 5.0), ("lte", 9.0))
    assert made.group_fields(f"{ID}01") == ("destination.ip",)
    assert made.value_fields(f"{ID}00") == ("destination.ip", "port")
    assert not made.grows


@pytest.mark.parametrize(
    ("body", "grows"),
    [
        ("  type: event_count\n  rules: [a]\n  condition: {gte: 2}\n", True),
        ("  type: event_count\n  rules: [a]\n  condition: {gte: 2, neq: 5}\n", False),
        ("  type: value_median\n  rules: [a]\n  condition: {field: f, gte: 2}\n", False),
        ("  type: value_percentile\n  rules: [a]\n  condition: {field: f, percentile: 5, gt: 2}\n", False),
        ("  type: temporal\n  rules: [a, b]\n", True),
        ("  type: temporal\n  condition: a and b\n", True),
        ("  type: temporal\n  condition: a and not b\n", False),
    ],
)
def test_what_more_hits_can_make_false_is_decided_later(body: str, grows: bool) -> None:
    assert one(body).grows is grows


def test_a_boolean_condition_names_the_rules_itself() -> None:
    made = one("  type: temporal_ordered\n  condition: b AND (a or NOT c)\n")
    assert made.rules == (f"{ID}01", f"{ID}00", f"{ID}02")  # in order of appearance
    assert [(clause.needs, clause.bars) for clause in made.clauses] == [
        ((f"{ID}01",), (f"{ID}02",)),
        ((f"{ID}01", f"{ID}00"), ()),
    ]
    listed = one("  type: temporal_ordered\n  rules: [a, b]\n  condition: b and a\n")
    assert listed.clauses[0].needs == (f"{ID}00", f"{ID}01")  # the list gives the order


EXPRESSION = st.recursive(
    st.sampled_from("abcd"),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=8,
)


def _text(said: Any) -> str:
    if isinstance(said, str):
        return said
    if said[0] == "not":
        return f"not ({_text(said[1])})"
    return f"({_text(said[1])} {said[0]} {_text(said[2])})"


@settings(max_examples=300, deadline=None)
@given(EXPRESSION)
def test_clauses_hold_when_the_condition_does(said: Any) -> None:
    text = _text(said)
    truth = {}
    for bits in itertools.product((True, False), repeat=4):
        have = dict(zip("abcd", bits, strict=True))
        truth[bits] = bool(eval(text, {}, have))
    order = ("a", "b", "c", "d")
    parsed = condition.syntax(text)
    assert set(condition.names(parsed)) == set(re.findall(r"\b[abcd]\b", text))
    if not any(truth.values()) or truth[(False, False, False, False)]:
        with pytest.raises(Exception, match=r"never hold|without any rule"):
            condition.clauses(parsed, order)
        return
    made = condition.clauses(parsed, order)
    for bits, wanted in truth.items():
        have = dict(zip(order, bits, strict=True))
        got = any(all(have[n] for n in c.needs) and not any(have[n] for n in c.bars) for c in made)
        assert got is wanted, text


def test_too_many_alternatives_are_refused() -> None:
    names = [f"r{n}" for n in range(40)]
    text = " and ".join(f"({a} or {b})" for a, b in zip(names[::2], names[1::2], strict=True))
    made = correlation(f"  type: temporal\n  condition: {text}\n", *names)
    assert "more than 64 alternatives" in str(made.faults[0])


def test_a_correlation_of_an_inactive_rule_is_inactive_and_so_is_what_refers_to_it() -> None:
    waiting = rules("a").replace("f: a", "f|expand: '%nowhere%'")
    inner = f"title: inner\nid: {ID}50\nname: inner\ncorrelation: {{type: event_count, rules: [a], timespan: 5m, "
    inner += "condition: {gte: 2}}\n---\n"
    outer = inner.replace("inner", "outer").replace("[a]", "[inner]").replace("50", "51")
    made = load_bytes((outer + waiting + inner).encode())
    assert made.faults == ()
    assert [(item.name, item.id[-2:]) for item in made.inactive] == [("a", "00"), ("inner", "50"), ("outer", "51")]
    assert "'inner', which is inactive" in made.inactive[2].reason


def test_a_long_chain_of_correlations_is_put_in_order_at_once() -> None:
    chain = "".join(
        f"---\ntitle: c{n}\nid: 00000000-0000-0000-0000-{n:012d}\nname: c{n}\ncorrelation: {{type: event_count, "
        f"rules: [{f'c{n + 1}' if n < 1999 else 'a'}], timespan: 5m, condition: {{gte: 2}}}}\n"
        for n in range(2000)
    )
    made = load_bytes((rules("a") + chain[4:]).encode())
    assert made.faults == ()
    assert [item.head.name for item in made.correlations] == [f"c{n}" for n in range(1999, -1, -1)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("90m", 5400), ("24h", 86400), ("7d", 604_800), ("2w", 1_209_600), ("1M", 2_629_746)],
)
def test_time_spans_have_pysigma_s_units(text: str, seconds: int) -> None:
    assert timespan(text) == seconds


# ---------------------------------------------------------------- filters, collections, lists

FILTER = """title: except
id: {id}98
logsource: {{category: webserver}}
filter:
  rules: {rules}
  sel: {{user.name|startswith: adm_}}
  condition: {condition}
"""


def test_a_filter_stands_in_the_trees_of_its_rules() -> None:
    text = rules("a", "b") + FILTER.format(id=ID, rules=f"[a, {ID.upper()}77]", condition="not sel")
    made = load_bytes(text.encode())
    assert "which is no rule" in str(made.faults[0])
    first, second = made.rules
    assert isinstance(first.node, AllOf)
    assert first.filters == (f"{ID}98",)
    assert second.filters == ()
    assert first.fields == ("f",)  # what a filter takes away explains no hit


def test_a_filter_of_another_path_applies_and_is_replaced_by_its_id(tmp_path: Path) -> None:
    for name, text in {
        "shipped/a.yml": rules("a"),
        "city/mf.yml": FILTER.format(id=ID, rules="any", condition="not sel"),
        "late/mf.yml": FILTER.format(id=ID, rules="any", condition="not sel").replace("webserver", "proxy"),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    paths = [tmp_path / name for name in ("shipped", "city", "late")]
    assert load(paths[:2]).rules[0].filters == (f"{ID}98",)
    assert load(paths).rules[0].filters == ()


def test_a_repeated_rule_gets_an_id_of_its_own_and_faults_point_to_where_the_words_stand() -> None:
    text = rules("a") + "action: repeat\ntitle: second\ndetection: {sel: {g|contianz: 1}}\n"
    made = load_bytes(text.encode())
    assert [str(fault).partition(":")[2].partition(";")[0] for fault in made.faults] == [
        "11: unknown modifier 'contianz'"
    ]
    sound = load_bytes(text.replace("contianz", "contains").encode())
    assert len({rule.id for rule in sound.rules}) == 2
    assert sound.rules[0].id == f"{ID}00"


def test_a_collection_cannot_be_blown_up() -> None:
    values = ", ".join(f"v{n}" for n in range(5000))
    text = f"action: global\nlogsource: {{category: dns}}\ndetection: {{sel: {{f: [{values}]}}, condition: sel}}\n"
    text += "".join(f"---\ntitle: t{n}\n" for n in range(2000))
    made = load_bytes(text.encode())
    assert len(made.rules) < 50
    assert "makes more than" in str(made.faults[-1])


def test_the_register_gives_lists() -> None:
    register = Register(
        departments=(Department("d", "部门"),),
        systems=(System("s", "系统", department="d"),),
        assets=(
            Asset("p1", "泵站 PLC", "s", ("10.9.0.4",), kind="plc", groups=("pumps",)),
            Asset("p2", "闸门 PLC", "s", ("10.9.0.5", "10.9.1.5"), kind="plc"),
            Asset("x", "无地址", "s", (), kind="hmi"),
        ),
        segments=(
            Segment("pump", "泵站", ("10.9.0.0/16",), zone="control", ot=True),
            Segment("office", "办公", ("10.1.0.0/16", "10.2.0.0/16"), zone="office"),
        ),
    )
    found = lists.of_register(register)
    assert found["segments.ot"] == found["segments.control"] == found["segments.pump"] == ["10.9.0.0/16"]
    assert found["segments.office"] == ["10.1.0.0/16", "10.2.0.0/16"]
    assert found["register.plc"] == ["10.9.0.4", "10.9.0.5", "10.9.1.5"]
    assert found["register.pumps"] == ["10.9.0.4"]
    assert "register.hmi" not in found  # a rule that needs it waits
    assert lists.of_register(Register.empty()) == {}
    text = rules("a").replace("f: a", "source.ip|expand: '%segments.ot%', destination.ip|expand: '%register.plc%'")
    made = load_bytes(text.encode(), placeholders=found).rules[0]
    pair = [{"source.ip": "10.9.8.7", "destination.ip": to} for to in ("10.9.0.4", "10.9.0.6")]
    assert match(made, plain.batch(*pair)).to_list() == [True, False]
    assert len(load_bytes(text.encode()).inactive) == 1


def test_networks_of_a_list_are_networks_where_the_list_is_the_whole_value() -> None:
    given = ["10.1.0.0/16", "2001:db8::/32", "host/7", "*.city"]
    one = plain.rule("f|expand: '%nets%'", nets=given)
    events = ["10.1.2.3", "10.2.0.1", "2001:db8::5", "HOST/7", "a.city", "10.1.0.0/16"]
    table = plain.batch(*({"f": text} for text in events))
    assert match(one, table).to_list() == [True, False, True, True, True, False]
    assert match(plain.rule("f|expand|neq: '%nets%'", nets=given), table).to_list()[:2] == [False, True]
    written = plain.rule("f|contains|expand: '%nets%'", nets=given)
    assert match(written, table).to_list() == [False, False, False, True, True, True]


# ---------------------------------------------------------------- what the linter doubts


def doubts(text: str, tmp_path: Path) -> set[str]:
    (tmp_path / "a.yml").write_text(text, encoding="utf-8")
    report = lint.check([tmp_path], {"nets": ["10.0.0.0/8"]}, vocabulary=on_the_wire(Vocabulary()))
    assert report.errors == ()
    return {f"{one.place.rpartition(':')[2]} {one.code}" for one in report.warnings}


SOUND = f"""title: Sound
id: {ID}00
status: test
description: x
author: y
date: 2026-03-02
tags: [attack.t1110.001, attack.initial-access, cve.2021-44228, car.2016-04-005, tlp.amber-strict, stp.3k]
logsource: {{category: webserver}}
detection:
  sel: {{url.path|contains: [a, b]}}
  flt: {{source.ip|cidr: 10.0.0.0/8}}
  condition: sel and not flt
level: low
custom:
  cityguard:
    tests:
      - {{event: {{url.path: xa}}, match: true}}
      - {{event: {{url.path: xc}}, match: false}}
"""


def test_a_sound_rule_raises_no_doubt(tmp_path: Path) -> None:
    assert doubts(SOUND, tmp_path) == set()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title: Sound", "title: " + "x" * 111, "1 title"),
        (f"id: {ID}00\n", "", "1 id"),
        ("status: test\n", "", "1 status"),
        ("level: low\n", "", "1 level"),
        ("author: y", "autor: y", "5 key"),
        ("date: 2026-03-02", "date: 2026-03-02\nmodified: 2026-03-01", "7 date"),
        ("tlp.amber-strict", "city.district", "7 tag"),
        ("stp.3k]", "stp.3k, stp.3k]", "7 tag"),
        ("category: webserver", "category: webservr", "8 logsource"),
        ("url.path|contains", "url.pth|contains", "10 field"),
        ("sel and not flt", "sel", "11 unused"),
        ("sel and not flt", "sel AND not flt", "12 portable"),
        ("sel and not flt", "sel and not flt\n  timeframe: 5m", "13 unused"),
        ("[a, b]", "'*'", "10 modifier"),
        ("contains: [a, b]", "contains|all: a", "10 modifier"),
        ("contains: [a, b]", "utf16le|contains: ab", "10 portable"),
        ("contains: [a, b]", "re: '(?!x)abc'", "9 regex"),
        ("source.ip|cidr: 10.0.0.0/8", "source.ip|cidr|expand: '%nets%'", "11 portable"),
        ("match: false", "match: true", "16 tests"),
        ("url.path: xc", "url.path: /x?c", "18 portable"),
    ],
)
def test_a_doubtful_place_is_told_with_its_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    assert SOUND.count(old) == 1
    assert told in doubts(SOUND.replace(old, new), tmp_path)


def test_the_linter_tells_filters_that_keep_instead_of_taking_away(tmp_path: Path) -> None:
    text = SOUND + "---\n" + FILTER.format(id=ID, rules="any", condition="sel")
    assert "26 filter" in doubts(text, tmp_path)
    assert "26 filter" not in doubts(text.replace("condition: sel\n", "condition: not sel\n"), tmp_path)


def test_the_linter_tells_correlations_that_count_everything(tmp_path: Path) -> None:
    text = SOUND.replace("status: test", "status: test\nname: sound") + f"---\ntitle: c\nid: {ID}97\ncorrelation:\n"
    text += "  type: event_count\n  rules: [sound]\n  timespan: 5m\n  condition: {gte: 1}\n"
    text += "  aliases: {who: {sound: source.ip}}\n"
    told = doubts(text, tmp_path)
    assert {"23 group", "27 always", "28 alias"} <= told, told


def test_a_city_s_rule_over_a_shipped_one_is_told_not_refused(tmp_path: Path) -> None:
    for folder in ("shipped", "city"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.yml").write_text(SOUND, encoding="utf-8")
    report = lint.check([tmp_path / "shipped", tmp_path / "city"])
    assert report.errors == ()
    assert [one.code for one in report.warnings] == ["id"]
    assert "replaces the rule at" in report.warnings[0].message


def test_the_cases_in_the_table_of_modifiers_hold() -> None:
    page = (content.root() / "docs" / "rules.md").read_text(encoding="utf-8")
    table = page[page.index("## Modifiers") : page.index("## Filters and collections")].replace("\\|", "¦")
    rows = [row.split("|")[1:4] for row in table.splitlines() if row.startswith("| ")][1:]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(modifiers.KNOWN)
    tried = 0
    for _, _, case in rows:
        found = re.fullmatch(r" `(f\S* ?.*)` — `([^`]+)`(?:, no field)? ", case.replace("¦", "|"))
        if found:
            one, tried = plain.rule(found[1]), tried + 1
            assert match(one, plain.batch({"f": found[2]})).to_list() == [True], case
            if "neq" not in found[1]:
                assert match(one, plain.batch({"f": "something else"})).to_list() == [False], case
    assert tried >= 13


def test_an_alert_of_a_boolean_condition_says_which_rules_had_hits_and_which_had_none() -> None:
    made = correlation("  type: temporal\n  condition: a and (b or not c)\n")
    firing = Firing(made.correlations[0], "x", (), 0, 0, 0, 1, 1, 1.0, (), {})
    told = words.correlation_reason(firing, made)
    assert told.en == "corr (within 5 min: a; b, without: c)"
    assert told.zh == "corr（5 分钟内出现：a；b，且无：c）"
