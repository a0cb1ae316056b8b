"""Every rule active or inactive, and exactly why; in all, by department and by segment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.rulebook.make import FLOWS, NOW, book, rule, shelf, sighting, uuid

from cityguard.model import LogSource, Text
from cityguard.rulebook import switches
from cityguard.rulebook.book import Book
from cityguard.rulebook.coverage import Coverage, Covered, chosen, cover, of
from cityguard.rulebook.notes import Note
from cityguard.rulebook.switches import Selector, Switch

TELNET = "{one: {destination.port: 23, source.zone: office}, condition: one}"


def state(found: Coverage, number: int = 1) -> Covered:
    (one,) = (one for one in found.rules if one.id == uuid(number))
    return one


def test_without_its_source_a_rule_is_inactive_and_says_which() -> None:
    found = cover(book(rule(1)), [sighting(LogSource(("dns",)), "destination.port")], NOW)
    assert state(found).state == "no_source"
    assert state(found).reason == Text(
        "7 天内没有此类数据源：network / connection", "no such source in 7 days: network / connection"
    )


def test_what_came_before_the_span_does_not_count() -> None:
    old = sighting(FLOWS, "destination.port", at=NOW - timedelta(days=8))
    assert state(cover(book(rule(1)), [old], NOW)).state == "no_source"
    edge = sighting(FLOWS, "destination.port", at=NOW - timedelta(days=7))
    assert state(cover(book(rule(1)), [edge], NOW)).state == "active"


def test_fields_never_seen_are_named_those_of_the_source_that_lacks_least() -> None:
    one = book(rule(1, detection="{one: {a: 1, b: 2, c: 3}, condition: one}"))
    found = cover(one, [sighting(FLOWS, "a"), sighting(FLOWS, "a", "b", collector="other")], NOW)
    assert state(found).state == "no_field"
    assert state(found).missing == ("c",)
    assert state(found).rows == 20
    assert state(found).collectors == ("netflow", "other")


def test_fields_of_two_sources_do_not_make_one_event() -> None:
    one = book(rule(1, detection="{one: {a: 1, b: 2}, condition: one}"))
    found = cover(one, [sighting(FLOWS, "a"), sighting(FLOWS, "b", collector="other")], NOW)
    assert state(found).state == "no_field"


def test_an_active_rule_names_the_fields_it_can_do_without() -> None:
    one = book(rule(1, detection="{one: {a: 1}, two: {b: 2}, condition: one or two}"))
    found = state(cover(one, [sighting(FLOWS, "a")], NOW))
    assert (found.state, found.unseen) == ("active", ("b",))
    assert "b" in found.reason.zh


def test_departments_and_segments_are_judged_by_what_came_from_them() -> None:
    one = book(rule(1, detection=TELNET), rule(2))
    seen = [
        sighting(FLOWS, "destination.port", "source.zone", department="data", segment="office"),
        sighting(FLOWS, "destination.port", department="water", segment="office"),
        sighting(FLOWS, "destination.port", department=None, segment="ot"),
    ]
    found = cover(one, seen, NOW, departments=("data", "silent", "water"), segments=("office", "ot"))
    assert state(found, 1).departments == ("data",)
    assert state(found, 1).segments == ("office",)
    assert state(found, 2).departments == ("", "data", "water")
    places = {(place.kind, place.id): (place.rows, place.active, place.blind) for place in found.places}
    assert places == {
        ("department", "data"): (10, 2, 0),
        ("department", "silent"): (0, 0, 0),
        ("department", "water"): (10, 1, 1),
        ("department", ""): (10, 1, 1),
        ("segment", "office"): (20, 2, 0),
        ("segment", "ot"): (10, 1, 1),
    }


def correlation(number: int, kind: str, *rules: int, condition: str = "{gte: 5}") -> str:
    names = ", ".join(uuid(one) for one in rules)
    return (
        f"title: C{number}\nid: {uuid(number)}\ncorrelation: {{type: {kind}, rules: [{names}], "
        f"group-by: [source.ip], timespan: 1m, condition: {condition}}}\n"
    )


def test_a_correlation_is_active_where_enough_of_its_rules_are() -> None:
    dns = rule(2, logsource="{category: dns}", detection="{one: {query: x}, condition: one}")
    one = book(
        rule(1), dns, correlation(7, "event_count", 1, 2), correlation(8, "temporal", 1, 2, condition="{gte: 2}")
    )
    here = sighting(FLOWS, "destination.port", department="data")
    there = sighting(LogSource(("dns",)), "dns.question.name", department="water")
    found = cover(one, [here], NOW)
    assert state(found, 7).state == "active"
    assert (state(found, 8).state, state(found, 8).reason.zh) == ("part", "所关联的规则未生效：Rule 2")
    more = cover(one, [here, there], NOW)
    assert state(more, 8).state == "active"
    assert state(more, 8).departments == ()
    assert state(more, 7).departments == ("data", "water")


def test_a_correlation_over_values_nobody_sends_is_blind() -> None:
    one = book(rule(1), correlation(7, "value_count", 1, condition="{field: user.name, gte: 5}"))
    found = cover(one, [sighting(FLOWS, "destination.port")], NOW)
    assert (state(found, 7).state, state(found, 7).missing) == ("no_field", ("user.name",))


def test_placeholders_faults_switches_and_budgets_are_told(tmp_path: Path) -> None:
    listed = "{one: {source.ip|expand: '%nobody%'}, condition: one}"
    made = shelf(tmp_path, rule(1, detection=listed), rule(2, detection="{a: 1}"), rule(3), rule(4))
    off = Switch("disable", Selector(id=uuid(3)), "cli:li", "2026-11-21T00:00:00Z", "noise")
    switches.write(tmp_path / switches.FILE, off)
    slow = Note(uuid(4), "budget", NOW, Text("慢", "slow"))
    found = cover(made.book, [sighting(FLOWS, "destination.port")], NOW, notes=[slow])
    assert {one.state for one in found.rules} == {"placeholder", "faulty", "off", "budget"}
    assert found.counts["active"] == 0
    assert state(found, 1).reason.zh == "占位列表 %nobody% 未定义；请写入 rules/placeholders.yml"
    assert state(found, 3).reason.zh.endswith("noise")
    assert state(found, 4).reason == Text("慢", "slow")
    (faulty,) = (one for one in found.rules if one.state == "faulty")
    assert "r1.yml:" in faulty.place
    assert faulty.reason.en


def test_rules_are_chosen_by_words_state_and_place() -> None:
    one = book(rule(1, title="Telnet"), rule(2, tags="[attack.t1021]", logsource="{category: dns}"))
    found = cover(one, [sighting(FLOWS, "destination.port", department="data")], NOW)
    assert [rule.id for rule in chosen(found, "telnet MEDIUM")] == [uuid(1)]
    assert [rule.id for rule in chosen(found, "t1021")] == [uuid(2)]
    assert [rule.id for rule in chosen(found, state="no_source")] == [uuid(2)]
    assert chosen(found, "telnet", state="no_source") == []


def test_one_department_or_segment_has_its_own_view_with_its_own_reasons() -> None:
    one = book(rule(1, detection=TELNET))
    seen = [
        sighting(FLOWS, "destination.port", "source.zone", department="data", segment="office"),
        sighting(FLOWS, "destination.port", department="water", segment="office"),
    ]
    assert state(cover(one, of(seen, "data"), NOW)).state == "active"
    assert state(cover(one, of(seen, "water"), NOW)).missing == ("source.zone",)
    assert state(cover(one, of(seen, segment="office"), NOW)).state == "active"
    assert state(cover(one, of(seen, "data", "ot"), NOW)).state == "no_source"


def test_nothing_at_all_is_covered_by_nothing() -> None:
    found = cover(Book(book().ruleset), [], NOW)
    assert (found.rules, found.places, found.sources) == ((), (), ())
