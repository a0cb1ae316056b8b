"""Rules switched off and on: who said so and why, what counts last, and what it means for other rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rulebook.make import rule, shelf, uuid

from cityguard.app import App
from cityguard.config import Settings
from cityguard.errors import ContentErrors, InputError
from cityguard.rulebook import switches
from cityguard.rulebook.book import Shelf
from cityguard.rulebook.switches import Act, Selector, Switch


def set_(folder: Path, act: Act, why: str = "noise", **select: str) -> None:
    switches.write(
        folder / switches.FILE, Switch(act, switches.check(Selector(**select)), "cli:li", "2026-11-21T00:00:00Z", why)
    )


def running(one: Shelf) -> set[int]:
    every = [*one.book.ruleset.rules, *one.book.ruleset.correlations]
    return {int(found.id[-4:]) for found in every}


@pytest.mark.parametrize(
    ("select", "left"),
    [
        ({"id": uuid(1)}, {2, 3}),
        ({"id": uuid(1).upper()}, {2, 3}),
        ({"level": "high"}, {1, 3}),
        ({"product": "windows"}, {1, 2}),
        ({"category": "process_creation"}, {1, 2}),
        ({"status": "test"}, {3}),
        ({"tag": "attack.t1110*"}, {2, 3}),
        ({"tag": "ATTACK.T1110.001"}, {2, 3}),
        ({"path": "r1.*"}, {1, 3}),
        ({"level": "medium", "status": "test"}, {2, 3}),
        ({"level": "high", "product": "windows"}, {1, 2, 3}),
    ],
)
def test_a_selector_means_the_rules_that_fit_all_of_it(tmp_path: Path, select: dict[str, str], left: set[int]) -> None:
    one = shelf(
        tmp_path,
        rule(1, tags="[attack.t1110.001]"),
        rule(2, level="high", tags="[attack.t1059]"),
        rule(3, status="stable", tags="[]", logsource="{product: windows, category: process_creation}"),
    )
    set_(tmp_path, "disable", **select)
    assert running(one) == left


def test_the_last_word_counts_and_changes_show_without_a_restart(tmp_path: Path) -> None:
    one = shelf(tmp_path, rule(1), rule(2, level="high"))
    assert running(one) == {1, 2}
    set_(tmp_path, "disable", status="test")
    assert running(one) == set()
    set_(tmp_path, "enable", level="high")
    assert running(one) == {2}
    set_(tmp_path, "disable", status="test")
    assert running(one) == set()
    assert len(switches.read(tmp_path / switches.FILE)[0]) == 2


def test_a_rule_that_is_off_is_listed_with_who_when_and_why(tmp_path: Path) -> None:
    one = shelf(tmp_path, rule(1))
    set_(tmp_path, "disable", why="扫描器误报", id=uuid(1))
    (off,) = one.book.off
    assert off.reason.zh == "cli:li 于 2026-11-21 停用：扫描器误报"
    assert off.reason.en == "switched off by cli:li on 2026-11-21: 扫描器误报"
    (told,) = one.book.ruleset.inactive
    assert told.reason == off.reason.en


CORRELATION = f"""
title: Many
id: {uuid(9)}
correlation: {{type: event_count, rules: [{uuid(1)}], group-by: [source.ip], timespan: 1m, condition: {{gte: 5}}}}
"""
PAIR = f"""
title: Pair
id: {uuid(8)}
correlation: {{type: temporal, rules: [{uuid(1)}, {uuid(2)}], group-by: [source.ip], timespan: 1m}}
"""


def test_what_stands_on_a_rule_that_is_off_is_off_too(tmp_path: Path) -> None:
    one = shelf(tmp_path, rule(1), rule(2), CORRELATION, PAIR)
    set_(tmp_path, "disable", id=uuid(2))
    assert running(one) == {1, 9}
    assert {off.rule.id: off.reason.en for off in one.book.off}[uuid(8)] == "needs 'Rule 2', which is off"


def test_a_rule_that_only_feeds_what_is_off_does_not_begin_to_speak(tmp_path: Path) -> None:
    one = shelf(tmp_path, rule(1), rule(3), CORRELATION)
    set_(tmp_path, "disable", id=uuid(9))
    assert running(one) == {3}
    assert {off.rule.id: off.reason.en for off in one.book.off}[uuid(1)] == "only feeds 'Many', which is off"


@pytest.mark.parametrize(
    "text",
    [
        "switches: 1",
        "[]",
        "switches: [{act: drop}]",
        "switches: [{act: disable, select: {}}]",
        "a: &a [*a]",
        "switches: [{act: disable, select: {level: loud}}]",
        "switches: [{act: disable, select: {nope: x}}]",
    ],
)
def test_a_file_with_faults_says_where_and_is_not_written_over(tmp_path: Path, text: str) -> None:
    one = shelf(tmp_path, rule(1))
    (tmp_path / switches.FILE).write_text(text)
    assert running(one) == {1}
    assert any(switches.FILE in fault.place for fault in one.book.faults)
    with pytest.raises(ContentErrors):
        set_(tmp_path, "disable", level="low")
    assert (tmp_path / switches.FILE).read_text() == text


def test_the_audit_log_knows_before_the_file_does(tmp_path: Path) -> None:
    (tmp_path / "content" / "rules").mkdir(parents=True)
    (tmp_path / "content" / "rules" / "a.yml").write_text(rule(1))
    app = App(Settings(home=str(tmp_path / "home"), content=str(tmp_path / "content")))
    before = len(app.ruleset.rules)
    assert app.switch("disable", Selector(id=uuid(1)), "cli:li", "noise") == 1
    assert len(app.ruleset.rules) == before - 1
    (entry,) = app.store.records.find_audit()
    assert (entry.actor, entry.action, entry.object) == ("cli:li", "rules.disable", f"id:{uuid(1)}")
    assert "noise" in entry.detail
    with pytest.raises(InputError, match="why"):
        app.switch("disable", Selector(id=uuid(1)), "cli:li", " ")
    with pytest.raises(InputError, match="no rule fits"):
        app.switch("enable", Selector(id="nobody"), "cli:li")
    with pytest.raises(InputError, match="which rules"):
        app.switch("enable", Selector(), "cli:li")
    app.close()


def test_rules_named_one_by_one_know_no_switches(tmp_path: Path) -> None:
    shelf(tmp_path, rule(1))
    set_(tmp_path, "disable", id=uuid(1))
    app = App(Settings(home=str(tmp_path)), rules=[tmp_path / "rules"])
    assert [one.id for one in app.ruleset.rules] == [uuid(1)]


def test_as_many_switches_as_may_be_can_be_read_back(tmp_path: Path) -> None:
    one = Switch("disable", Selector(id=uuid(1)), "li", "2026-11-21T00:00:00Z", "x" * 20)
    switches._replace(tmp_path / switches.FILE, [one] * switches.MAX_SWITCHES)
    found, faults = switches.read(tmp_path / switches.FILE)
    assert (len(found), faults) == (switches.MAX_SWITCHES, [])


def test_switches_of_single_rules_and_of_many_count_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switches, "MAX_SWITCHES", 4)
    one = shelf(tmp_path, rule(1, name="first"), rule(2))
    for act, select in (("disable", uuid(1)), ("disable", uuid(2))):
        set_(tmp_path, act, id=select)  # type: ignore[arg-type]
    set_(tmp_path, "enable", level="medium")
    set_(tmp_path, "disable", id="first")
    assert running(one) == {2}
    set_(tmp_path, "enable", id=uuid(1))
    assert running(one) == {1, 2}
    with pytest.raises(InputError, match="too many"):
        set_(tmp_path, "disable", id="another")


def test_wide_switches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "MAX_WIDE", 2)
    set_(tmp_path, "disable", level="low")
    set_(tmp_path, "disable", level="high")
    with pytest.raises(InputError, match="too many"):
        set_(tmp_path, "disable", level="medium")
    set_(tmp_path, "enable", level="low")
