"""An import and the next: what is new, what was changed here, what upstream moved, removed or broke."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rulebook.make import rule, uuid, zipped
from tests.store import make

from cityguard.detectors.rules import RuleDetector
from cityguard.errors import InputError
from cityguard.rulebook import importing, manifest
from cityguard.rulebook.book import Shelf
from cityguard.rulebook.importing import Plan
from cityguard.sigma import imported
from cityguard.sigma.rule import load

DRL = "The rules are released under the Detection Rule License (DRL) 1.1 (https://example.org)"


class Town:
    """A rules folder and archives that come one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rules, self.number = folder, folder / "rules", 0
        self.there = self.rules / "imported" / "up"

    def plan(self, files: dict[str, str], **options: object) -> Plan:
        self.number += 1
        path = zipped(self.folder / f"r{self.number}.zip", {"LICENSE": DRL, **files})
        return importing.plan(path, self.rules, name="up", **options)  # type: ignore[arg-type]

    def take(self, files: dict[str, str], **options: object) -> dict[str, str]:
        """Import; returns path -> kind."""
        plan = self.plan(files, **options)
        importing.run(plan, by="cli:li", at=f"2026-11-2{self.number}T00:00:00Z")
        return {change.path: change.kind for change in plan.changes}


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_a_first_import_brings_everything_and_a_second_nothing(town: Town) -> None:
    files = {"rules/a.yml": rule(1), "rules/b.yml": rule(2)}
    assert town.take(files) == {"rules/a.yml": "new", "rules/b.yml": "new"}
    assert (town.there / "rules" / "a.yml").read_text() == rule(1)
    assert town.take(files) == {"rules/a.yml": "unchanged", "rules/b.yml": "unchanged"}
    known = manifest.load(town.there)
    assert known is not None
    assert (known.license, known.by, known.source) == ("DRL 1.1", "cli:li", "r2.zip")
    assert known.files["rules/a.yml"].ids == (uuid(1),)
    assert (town.there / "LICENSE").read_text() == DRL


def test_a_plan_writes_nothing(town: Town) -> None:
    plan = town.plan({"a.yml": rule()})
    assert plan.counts == {"new": 1}
    assert not town.rules.exists()


def test_rules_on_the_shelf_are_read_again_after_an_import(town: Town) -> None:
    town.rules.mkdir()
    shelf = Shelf([town.rules], None)
    assert shelf.book.ruleset.rules == ()
    town.take({"a.yml": rule(1)})
    assert [one.head.level for one in shelf.book.ruleset.rules] == ["medium"]
    town.take({"a.yml": rule(1, level="high")})
    assert [one.head.level for one in shelf.book.ruleset.rules] == ["high"]
    assert shelf.book is shelf.book


def test_what_was_not_changed_here_is_updated_and_the_versions_are_told(town: Town) -> None:
    town.take({"a.yml": rule(1, modified="2024-05-01")})
    newer = rule(1, modified="2025-06-02", level="high")
    plan = town.plan({"a.yml": newer})
    (change,) = plan.changes
    assert change.kind == "updated"
    assert change.note == "modified 2024-05-01 → 2025-06-02, level medium → high"
    assert {"-level: medium", "+level: high"} <= set(plan.diff(change))
    importing.run(plan, by="x", at="t")
    assert (town.there / "a.yml").read_text() == newer


def test_local_changes_are_kept_and_told(town: Town) -> None:
    town.take({"a.yml": rule(1)})
    mine = (town.there / "a.yml").read_text().replace("medium", "low")
    (town.there / "a.yml").write_text(mine)
    assert town.take({"a.yml": rule(1)}) == {"a.yml": "kept"}
    assert town.take({"a.yml": rule(1, modified="2025-01-01")}) == {"a.yml": "conflict"}
    assert (town.there / "a.yml").read_text() == mine
    assert "2025-01-01" in (town.there / "a.yml.upstream").read_text()
    assert town.take({"a.yml": rule(1, modified="2025-01-01")}) == {"a.yml": "kept"}


def test_what_upstream_removed_stays_and_is_marked(town: Town) -> None:
    town.take({"a.yml": rule(1), "b.yml": rule(2)})
    assert town.take({"a.yml": rule(1)}) == {"a.yml": "unchanged", "b.yml": "removed"}
    known = manifest.load(town.there)
    assert known is not None
    assert known.files["b.yml"].removed == "2026-11-22T00:00:00Z"
    assert (town.there / "b.yml").exists()
    assert town.take({"a.yml": rule(1), "b.yml": rule(2)}) == {"a.yml": "unchanged", "b.yml": "unchanged"}
    again = manifest.load(town.there)
    assert again is not None
    assert again.files["b.yml"].removed == ""


def test_what_was_removed_here_does_not_come_back(town: Town) -> None:
    town.take({"a.yml": rule(1), "b.yml": rule(2)})
    (town.there / "b.yml").unlink()
    assert town.take({"a.yml": rule(1), "b.yml": rule(2, level="high")}) == {"a.yml": "unchanged", "b.yml": "deleted"}
    assert not (town.there / "b.yml").exists()


def test_a_rule_that_moved_is_known_by_its_id(town: Town) -> None:
    town.take({"rules/old/a.yml": rule(1), "rules/old/b.yml": rule(2)})
    (town.there / "rules" / "old" / "b.yml").write_text(rule(2, level="low"))
    kinds = town.take({"rules/new/a.yml": rule(1, level="high"), "rules/new/b.yml": rule(2)})
    assert kinds == {"rules/new/a.yml": "moved", "rules/old/b.yml": "kept"}
    assert not (town.there / "rules" / "old" / "a.yml").exists()
    assert "high" in (town.there / "rules" / "new" / "a.yml").read_text()
    assert "low" in (town.there / "rules" / "old" / "b.yml").read_text()
    assert not (town.there / "rules" / "new" / "b.yml").exists()
    assert load([town.rules]).faults == ()


def test_an_older_version_does_not_replace_a_newer_one_unless_told(town: Town) -> None:
    town.take({"a.yml": rule(1, modified="2025/01/10")})
    older = {"a.yml": rule(1, modified="2025-01-09")}
    assert town.take(older) == {"a.yml": "older"}
    assert "2025/01/10" in (town.there / "a.yml").read_text()
    assert town.take(older, allow_older=True) == {"a.yml": "updated"}


def test_faulty_rules_are_named_with_place_and_remedy_and_skipped(town: Town) -> None:
    bad = rule(2, detection="{one: {a|contain: 1}, condition: one}")
    plan = town.plan({"a.yml": rule(1), "x/bad.yml": bad, "x/broken.yml": "a: [", "x/twin.yml": rule(1)})
    assert {change.path: change.kind for change in plan.changes} == {
        "x/bad.yml": "faulty",
        "x/broken.yml": "faulty",
        "x/twin.yml": "faulty",
        "a.yml": "new",
    }
    told = {fault.place: fault for fault in plan.faults}
    (place,) = (place for place in told if place.startswith("x/bad.yml:"))
    assert "contains" in str(told[place])
    assert all("/tmp" not in str(fault) for fault in plan.faults)
    importing.run(plan, by="x", at="t")
    assert not (town.there / "x").exists()


def test_an_update_that_is_faulty_leaves_the_good_version(town: Town) -> None:
    town.take({"a.yml": rule(1)})
    assert town.take({"a.yml": rule(1, detection="{one: {a|contain: 1}, condition: one}")}) == {"a.yml": "faulty"}
    assert (town.there / "a.yml").read_text() == rule(1)
    assert town.take({"a.yml": rule(1)}) == {"a.yml": "unchanged"}


def test_deprecated_rules_and_lists_of_placeholders_are_passed_over(town: Town) -> None:
    plan = town.plan({"a.yml": rule(1), "b.yml": rule(2, status="deprecated"), "placeholders.yml": "x: [1]"})
    assert {change.path: change.kind for change in plan.changes} == {"a.yml": "new", "b.yml": "skipped"}
    assert [fault.place for fault in plan.taken.refused] == ["placeholders.yml"]
    assert town.take({"b.yml": rule(2, status="deprecated")}, statuses=("deprecated",)) == {"b.yml": "new"}


def test_an_import_that_was_killed_is_put_right_by_the_next(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.take({"a.yml": rule(1), "b.yml": rule(2)})
    newer = {"a.yml": rule(1, modified="2025-01-01"), "b.yml": rule(2, modified="2025-01-01")}

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            town.take(newer)
    assert town.take(newer) == {"a.yml": "unchanged", "b.yml": "unchanged"}
    known = manifest.load(town.there)
    assert known is not None
    assert known.files["a.yml"].modified == "2025-01-01"


def test_a_link_in_the_way_is_not_followed(town: Town) -> None:
    outside = town.folder / "outside"
    outside.mkdir()
    town.there.mkdir(parents=True)
    (town.there / "rules").symlink_to(outside)
    with pytest.raises(InputError, match="link"):
        town.take({"rules/a.yml": rule(1)})
    assert list(outside.iterdir()) == []
    with pytest.raises(InputError, match="link"):
        town.take({"rules/deep/a.yml": rule(1)})
    assert list(outside.iterdir()) == []  # not even a folder


def test_a_move_never_lands_on_a_file_of_the_citys_own(town: Town) -> None:
    town.take({"rules/old/a.yml": rule(1)})
    (town.there / "rules" / "new").mkdir(parents=True)
    (town.there / "rules" / "new" / "a.yml").write_text(rule(7))
    kinds = town.take({"rules/new/a.yml": rule(1)})
    assert kinds == {"rules/new/a.yml": "conflict", "rules/old/a.yml": "removed"}
    assert (town.there / "rules" / "new" / "a.yml").read_text() == rule(7)
    assert (town.there / "rules" / "new" / "a.yml.upstream").read_text() == rule(1)
    assert (town.there / "rules" / "old" / "a.yml").read_text() == rule(1)


def test_an_edit_between_plan_and_run_is_not_lost(town: Town) -> None:
    town.take({"a.yml": rule(1), "gone.yml": rule(2), "old/c.yml": rule(3)})
    newer = {"a.yml": rule(1, level="high"), "gone.yml": rule(2, level="high"), "new/c.yml": rule(3)}
    plan = town.plan({**newer, "b.yml": rule(4)})
    assert plan.counts == {"new": 1, "updated": 2, "moved": 1}
    (town.there / "new").mkdir()
    mine = {"a.yml": rule(1, level="low"), "b.yml": rule(5), "new/c.yml": rule(6)}
    for path, text in mine.items():
        (town.there / path).write_text(text)
    (town.there / "gone.yml").unlink()
    importing.run(plan, by="x", at="t")
    for path, text in mine.items():
        assert (town.there / path).read_text() == text
        assert (town.there / f"{path}.upstream").exists()
    assert not (town.there / "gone.yml").exists()
    assert (town.there / "old" / "c.yml").exists()


FILTER = """title: Quiet
id: {id}
logsource: {{category: network}}
filter: {{rules: {rules}, any: {{source.ip: 10.0.0.1}}, condition: not any}}
"""
PAIR = """title: Pair
id: {id}
correlation: {{type: event_count, rules: [{rule}], group-by: [source.ip], timespan: 1m, condition: {{gte: 2}}}}
level: high
"""


def shipped(town: Town, **files: str) -> list[Path]:
    folder = town.folder / "product" / "rules"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    return [folder]


def test_a_filter_that_was_imported_excepts_nothing_from_the_rules_of_others(town: Town) -> None:
    own = shipped(town, a=rule(1), f=FILTER.format(id=uuid(8), rules="any"))
    assert town.take({"b.yml": rule(2), "f.yml": FILTER.format(id=uuid(9), rules="any")}, shipped=own) == {
        "b.yml": "new",
        "f.yml": "new",
    }
    found = {one.id: one.filters for one in load([*own, town.rules]).rules}
    assert found == {uuid(1): (uuid(8),), uuid(2): (uuid(8), uuid(9))}
    plan = town.plan({"b.yml": rule(2), "f.yml": FILTER.format(id=uuid(9), rules=f"[{uuid(1)}]")}, shipped=own)
    assert [change.kind for change in plan.changes] == ["faulty", "unchanged"]
    assert "no rule" in str(plan.faults[0])


@pytest.mark.parametrize("where", ["shipped", "city", "another import"])
def test_an_id_or_a_name_of_others_is_not_taken_unless_told(town: Town, where: str) -> None:
    own = shipped(town, **({"a": rule(1, name="login")} if where == "shipped" else {}))
    if where != "shipped":
        folder = town.rules / ("mine" if where == "city" else "imported/other")
        folder.mkdir(parents=True)
        (folder / "a.yml").write_text(rule(1, name="login"))
    files = {"id.yml": rule(1, level="low"), "name.yml": rule(2, name="login"), "ok.yml": rule(3, name="x")}
    plan = town.plan(files, shipped=own)
    assert {change.path: change.kind for change in plan.changes} == {
        "id.yml": "conflict",
        "name.yml": "conflict",
        "ok.yml": "new",
    }
    assert all("a.yml" in change.note and "--allow-override" in change.note for change in plan.changes[:2])
    importing.run(plan, by="x", at="t")
    assert sorted(path.name for path in town.there.glob("*.yml*")) == ["ok.yml"]
    assert town.take(files, shipped=own, allow_override=True)["id.yml"] == "new"
    assert set(town.take(files, shipped=own).values()) == {"unchanged"}


def test_a_rule_that_waits_for_a_list_puts_none_of_others_to_sleep(town: Town) -> None:
    one = "abcdef00-0000-4000-8000-000000000001"
    own = shipped(town, a=rule(1, id=one))
    waits = rule(1, id=one.upper(), detection="{one: {source.ip|expand: '%nobody%'}, condition: one}")
    assert town.take({"a.yml": waits, "b.yml": rule(2)}, shipped=own) == {"a.yml": "conflict", "b.yml": "new"}


def test_a_name_means_the_rule_of_the_one_who_uses_it(town: Town) -> None:
    own = shipped(town, a=rule(1, name="login"), c=PAIR.format(id=uuid(5), rule="login"))
    files = {"b.yml": rule(2, name="login"), "c.yml": PAIR.format(id=uuid(6), rule="login")}
    town.take(files, shipped=own, allow_override=True)
    found = {one.id: one.rules for one in load([*own, town.rules]).correlations}
    assert found == {uuid(5): (uuid(1),), uuid(6): (uuid(2),)}


def test_whose_a_file_is_stands_in_its_path() -> None:
    for path in ("rules/network/a.yml", "/srv/imported/x/rules/a.yml", "/c/rules/imported/a.yml"):
        assert imported.of(Path(path)) == ""
    for path in ("/c/rules/imported/up/a.yml", "/c/rules/imported/up/rules/imported/z/a.yml"):
        assert imported.of(Path(path)) == "/" + "/c/rules/imported/up"


@pytest.mark.parametrize("name", ["../x", "", "A", "a/b", "x" * 65])
def test_a_name_becomes_a_folder_only_if_it_is_plain(town: Town, name: str) -> None:
    with pytest.raises(InputError, match="no name"):
        importing.plan(zipped(town.folder / "r.zip", {"a.yml": rule()}), town.rules, name=name)


def test_licence_and_author_reach_the_alert(town: Town) -> None:
    other = rule(2, license="MIT", detection="{one: {destination.port: 80}, condition: one}")
    town.take({"a.yml": rule(1), "b.yml": other})
    book = Shelf([town.rules], None).book
    assert {one.id: one.head.license for one in book.ruleset.rules} == {uuid(1): "DRL 1.1 (up)", uuid(2): "MIT"}
    assert book.origins[uuid(1)] == "up"
    batch = make.flows(rows=3, destination__port=[23, 23, 80])
    found = {one.rule_id: one for one in RuleDetector(book.ruleset).detect(batch)}
    assert (found[uuid(1)].author, found[uuid(1)].license) == ("A. Author", "DRL 1.1 (up)")
    assert found[uuid(2)].license == "MIT"


@pytest.mark.parametrize(
    ("text", "name"),
    [(DRL, "DRL 1.1"), ("Apache License\nVersion 2.0", "Apache-2.0"), ("# Ours\nx", "Ours"), ("", "")],
)
def test_a_licence_is_known_by_its_text(text: str, name: str) -> None:
    assert importing.licence(text.encode()) == name
