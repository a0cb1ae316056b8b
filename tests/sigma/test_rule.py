"""Rule files: what is read, what is reported, and that one bad rule never takes the others along."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cityguard.sigma.engine import cache
from cityguard.sigma.rule import MAX_BYTES, load, load_bytes

GOOD = """title: Good
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
name: good
status: test
author: somebody
tags: [attack.t1110]
falsepositives: [none known]
logsource: {category: network, product: x, service: connection}
detection:
  sel: {source.ip: 10.0.0.1}
  filter: {destination.port: 53}
  condition: sel and not filter
level: high
custom:
  cityguard:
    title_zh: 好
    advice: {zh: 查, en: look}
    version: "7"
    group: [source.ip]
    window: 5m
    tests:
      - {event: {source.ip: 10.0.0.1}, match: true}
"""


def faults(text: str) -> list[str]:
    return [str(fault) for fault in load_bytes(text.encode()).faults]


def test_a_rule_keeps_what_its_author_said() -> None:
    made = load_bytes(GOOD.encode())
    one = made.rules[0]
    assert not made.faults
    assert (one.title.zh, one.title.en, one.head.advice.zh, one.head.advice.en) == ("好", "Good", "查", "look")
    assert (one.head.level, one.head.author, one.head.tags) == ("high", "somebody", ("attack.t1110",))
    assert (one.category, one.product, one.service) == ("network", "x", "connection")
    assert (one.head.version, one.head.group, one.head.window_s) == ("7", ("source.ip",), 300)
    assert one.fields == ("source.ip",)  # what is under a 'not' explains nothing
    assert one.head.place == "rule.yml:1"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("detection:", "detecton:", 9, "did you mean 'detection' where it says 'detecton'"),
        ("condition: sel", "conditon: sel", 12, "did you mean 'condition'"),
        ("title: Good", "titel: Good", 1, "did you mean 'title'"),
        ("condition: sel and", "condition: sell and", 12, "did you mean 'sel'"),
        ("level: high", "level: hihg", 13, "did you mean 'high'"),
        ("status: test", "status: tset", 4, "did you mean 'test'"),
        ("id: 6f1c1b8e-", "id: x-", 2, "is no UUID"),
        ("category: network", "categroy: network", 8, "did you mean 'category'"),
        ("source.ip: 10.0.0.1}\n  f", "source.ip|cidrr: 10.0.0.0/8}\n  f", 10, "did you mean 'cidr'"),
        ("window: 5m", "window: 5 minutes", 20, "no time span"),
        ("title_zh: 好", "title_cn: 好", 16, "did you mean 'title_zh'"),
        ("match: true", "matches: true", 22, "did you mean 'match'"),
        ("logsource: {category: network, product: x, service: connection}", "logsource: {definition: x}", 8, "names a"),
        ("sel: {source.ip: 10.0.0.1}", "sel: {}", 10, "is empty"),
    ],
)
def test_a_fault_stands_with_its_line_and_a_remedy(old: str, new: str, line: int, said: str) -> None:
    assert GOOD.count(old) == 1
    found = faults(GOOD.replace(old, new))
    assert any(fault.startswith(f"rule.yml:{line}: ") and said in fault for fault in found), found


def test_all_faults_of_a_document_come_at_once() -> None:
    text = GOOD.replace("level: high", "level: x").replace("status: test", "status: x").replace("10.0.0.1}", "{a: 1}}")
    assert len(faults(text)) == 3


def test_one_bad_document_leaves_the_others_running(tmp_path: Path) -> None:
    second = GOOD.replace("8a01", "8a02").replace("sel and", "nosuch and")
    third = GOOD.replace("8a01", "8a03").replace("name: good", "name: third")
    (tmp_path / "many.yml").write_text("---\n".join((GOOD, second, third)), encoding="utf-8")
    (tmp_path / "broken.yml").write_text("a: [1, 2", encoding="utf-8")
    (tmp_path / "other.txt").write_text("not a rule", encoding="utf-8")
    made = load([tmp_path])
    assert [one.id[-4:] for one in made.rules] == ["8a01", "8a03"]
    assert len(made.faults) == 2
    assert f"{tmp_path / 'many.yml'}:35: " in str(made.faults[1])


def test_a_later_folder_replaces_a_rule_by_its_id(tmp_path: Path) -> None:
    for folder, level in (("shipped", "high"), ("city", "low")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.yml").write_text(GOOD.replace("level: high", f"level: {level}"), encoding="utf-8")
    made = load([tmp_path / "shipped", tmp_path / "city"])
    assert [one.head.level for one in made.rules] == ["low"]
    assert not made.faults


def test_an_id_used_twice_in_one_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "b.yml").write_text(GOOD, encoding="utf-8")
    made = load([tmp_path])
    assert len(made.rules) == 1
    assert "is used twice" in str(made.faults[0])
    assert str(tmp_path / "a.yml") in str(made.faults[0])


def test_a_rule_without_its_list_is_inactive_with_the_reason(tmp_path: Path) -> None:
    text = GOOD.replace("source.ip: 10.0.0.1}\n  f", "source.ip|expand: '%jump_hosts%'}\n  f")
    (tmp_path / "a.yml").write_text(text, encoding="utf-8")
    made = load([tmp_path])
    assert not made.rules
    assert not made.faults
    assert made.inactive[0].title == "Good"
    assert "%jump_hosts%" in made.inactive[0].reason
    (tmp_path / "placeholders.yml").write_text("jump_hosts: [10.0.0.1]\n", encoding="utf-8")
    assert len(load([tmp_path]).rules) == 1
    (tmp_path / "placeholders.yml").write_text("jump_hosts: 10.0.0.1\n", encoding="utf-8")
    assert "must be a list" in str(load([tmp_path]).faults[0])


def test_a_missing_path_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    assert "no such file or folder" in str(load([tmp_path / "nowhere"]).faults[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: [*x, *x]\n", "aliases"),
        ("title: !!python/object/apply:os.system [id]\n", "not"),
        ("[" * 500 + "]" * 500, "deeper than"),
        ("- just\n- a list\n", "not a Sigma document"),
        ("title: x\nfilter: {rules: any}\n", "'logsource' is missing"),
        ("title: x\ntitle: y\n", "stands twice"),
        ("<<: {a: 1}\ntitle: y\n", "merge keys"),
        ("? [a]\n: b\n", "as keys"),
        ("title: " + "x" * MAX_BYTES, "larger than"),
    ],
)
def test_hostile_yaml_is_refused(text: str, said: str) -> None:
    assert any(said in fault for fault in faults(text))


@given(st.text(max_size=200), st.integers(0, len(GOOD) - 1), st.integers(0, 40))
def test_any_bytes_give_rules_or_faults(junk: str, at: int, cut: int) -> None:
    made = load_bytes((GOOD[:at] + junk + GOOD[at + cut :]).encode("utf-8", "replace"))
    assert len(made.rules) <= 1 + junk.count("---")


# ---------------------------------------------------------------- correlations

CORRELATION = """---
title: Many
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a09
name: many
correlation:
  type: event_count
  rules: [good]
  group-by: [source.ip]
  timespan: 5m
  condition: {gte: 3}
"""


def test_a_correlation_finds_its_rules_by_name_and_silences_them() -> None:
    made = load_bytes((GOOD + CORRELATION).encode())
    assert not made.faults
    assert made.correlations[0].rules == (made.rules[0].id,)
    assert made.silent == {made.rules[0].id}
    loud = load_bytes((GOOD + CORRELATION + "  generate: true\n").encode())
    assert not loud.silent


def test_correlations_stand_after_those_they_refer_to_and_circles_fall_out() -> None:
    outer = CORRELATION.replace("8a09", "8a08").replace("name: many", "name: outer").replace("[good]", "[many]")
    made = load_bytes((GOOD + outer + CORRELATION).encode())
    assert [one.head.name for one in made.correlations] == ["many", "outer"]
    circle = load_bytes((GOOD + outer + CORRELATION.replace("[good]", "[outer]")).encode())
    assert not circle.correlations
    assert len(circle.faults) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("event_count", "event_cuont", "did you mean 'event_count'"),
        ("event_count", "value_count", "needs the field"),
        ("rules: [good]", "rules: [goood]", "not an active rule"),
        ("timespan: 5m", "timespan: 5", "no time span"),
        ("timespan: 5m", "timespan: 99y", "no time span"),
        ("timespan: 5m", "timespam: 5m", "did you mean 'timespan'"),
        ("{gte: 3}", "{gte: many}", "needs a number"),
        ("{gte: 3}", "{get: 3}", "unknown operator"),
        ("{gte: 3}", "{}", "compares with nothing"),
        ("[source.ip]", str([f"f{n}" for n in range(99)]), "more than 16"),
    ],
)
def test_a_bad_correlation_says_what_is_wrong(old: str, new: str, said: str) -> None:
    made = load_bytes((GOOD + CORRELATION.replace(old, new)).encode())
    assert len(made.rules) == 1
    assert any(said in str(fault) for fault in made.faults), [str(fault) for fault in made.faults]


def test_a_part_of_a_folder_of_rules_has_the_lists_of_the_whole(tmp_path: Path) -> None:
    part = tmp_path / "rules" / "host"
    part.mkdir(parents=True)
    text = "title: t\nid: 00000000-0000-4000-8000-0000000000f1\nlogsource: {product: windows}\n"
    file = part / "one.yml"
    file.write_text(text + "detection: {one: {a|expand: '%hosts%'}, condition: one}\n", encoding="utf-8")
    (tmp_path / "placeholders.yml").write_text("hosts: [outside]\n", encoding="utf-8")  # above `rules`: not ours
    kept = tmp_path / "kept"
    kept.mkdir()
    assert load([part]).inactive
    lists = tmp_path / "rules" / "placeholders.yml"
    for value in ("n1", "n2"):  # what is kept of an earlier start follows the lists, too
        lists.write_text(f"hosts: [{value}]\n", encoding="utf-8")
        for path in (tmp_path / "rules", part, file):
            for ruleset in (load([path]), cache.load([path], folder=kept)):
                assert not ruleset.inactive
                assert value in repr(ruleset.rules[0].node)
    city = tmp_path / "city"
    city.mkdir()
    (city / "placeholders.yml").write_text("hosts: [own]\n", encoding="utf-8")
    assert "own" in repr(load([city, file]).rules[0].node)
