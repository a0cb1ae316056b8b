"""The whole mission on the sample city, as a newcomer runs it."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from tests.web.town import PASSWORD, Browser, serving

from cityguard import config, content
from cityguard.app import App
from cityguard.cli.demo import HOUR_ENDS
from cityguard.model import Query
from cityguard.rulebook.coverage import Coverage
from cityguard.sigma.ast import AllOf, AnyOf, Cidr, Compare, Node, Not, Null, Present, Regex, Rule, Words
from cityguard.web.accounts import Accounts


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "city"
    argv = [sys.executable, "-m", "cityguard.cli.main", "--lang", "en", "demo", "--once", "--out", str(out)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_intrusion_is_found_with_its_chain(demo: tuple[Path, str]) -> None:
    _, told = demo
    chain = told[told.index("Chain 1") :]
    for host in ("203.0.113.66", "172.16.10.130", "10.66.0.20", "10.66.10.12"):
        assert host in chain, told
    assert int(chain.split()[2]) >= 4


PLANTED_OT = {
    "correlation.ot_foothold_then_command",
    "correlation.ot_remote_admin_then_command",
    "ot.modbus_diagnostics",
    "ot.modbus_exception_burst",
    "ot.modbus_probe",
    "ot.modbus_write_after_probe",
    "ot.modbus_write_off_hours",
    "ot.remote_admin_inside",
}
FIELD_CAST = {
    *("10.69.10.99", "10.70.10.98", "10.71.10.97", "10.72.10.96"),  # who is at a cabinet and should not be
    "10.73.0.5",  # the charging platform itself, misused
}
FIELD_NETWORKS = ("10.69.", "10.70.", "10.71.", "10.72.", "10.73.")


def promised() -> set[str]:
    """What the captures of the city's field equipment say that they raise."""
    tellings = [content.load(path).data for path in (content.root() / "pcaps").glob("*.yml")]
    return {name.removeprefix("cityguard.") for told in tellings if told.get("exact") for name in told["alerts"]}


def test_industrial_rules_fire_where_the_intruder_acts_and_nowhere_else(demo: tuple[Path, str]) -> None:
    settings = config.load(content.root() / "examples" / "city" / "cityguard.yml", {})
    one = App(replace(settings, home=str((demo[0] / "var").absolute()), listen=()))
    try:
        alerts = one.store.alerts.find(Query(limit=10_000))
        named = [
            (head.name.removeprefix("cityguard."), alert)
            for alert in alerts
            if (head := one.ruleset.head(alert.rule_id))
        ]
    finally:
        one.close()
    found = [(name, alert.entities) for name, alert in named if name.startswith(("ot.", "correlation.ot_"))]
    assert {name for name, _ in found} == PLANTED_OT | {name for name in promised() if name.startswith("ot.")}
    ends = [{ip for key, ip in entities.items() if key.endswith(".ip")} for _, entities in found]
    field = [pair for pair in ends if any(ip.startswith(FIELD_NETWORKS) for ip in pair)]
    assert all(pair & FIELD_CAST for pair in field), field
    cast = {"10.99.0.20", "10.66.0.10", "10.66.0.20", "10.66.10.12"}
    assert {ip for pair in ends if pair not in field for ip in pair} <= cast


def test_every_report_is_there_in_every_format(demo: tuple[Path, str]) -> None:
    out, _ = demo
    for system in ("sys-gov-service", "sys-water-scada"):
        names = {path.suffix for path in (out / "reports" / system).iterdir()}
        assert names == {".html", ".pdf", ".docx", ".xlsx", ".json"}
    drills = sorted(path.name for path in (out / "reports").glob("drill-*"))
    assert drills == ["drill-exchange-config", "drill-gov-service-db", "drill-water-history"]


def test_the_broken_backup_fails_and_the_others_do_not(demo: tuple[Path, str]) -> None:
    out, told = demo
    assert told.count("成功") == 2
    assert told.count("失败") == 1
    manifest = json.loads((out / "reports" / "drill-water-history" / "manifest.json").read_text())
    assert manifest


def test_a_second_demo_replaces_the_first_but_no_other_folder(demo: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    argv = [sys.executable, "-m", "cityguard.cli.main", "demo", "--once", "--out", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.fixture(scope="module")
def coverage(demo: tuple[Path, str]) -> Iterator[tuple[App, Coverage, Path]]:
    """Rule coverage of the demonstration's stores, at the end of its hour."""
    city = content.root() / "examples" / "city"
    home = demo[0] / "var"
    settings = replace(config.load(city / "cityguard.yml", {}), home=str(home.absolute()), listen=())
    app = App(settings, clock=lambda: HOUR_ENDS)
    yield app, app.coverage(), home
    app.close()


def parquet(home: Path) -> duckdb.DuckDBPyRelation:
    """Every stored row of the last seven days, straight from the files."""
    rows = duckdb.read_parquet(str(home / "events" / "*" / "*" / "*.parquet"), union_by_name=True)
    return rows.filter(f"\"event.ingested\" >= TIMESTAMPTZ '{HOUR_ENDS - timedelta(days=7)}'")


def counted(rows: duckdb.DuckDBPyRelation, *names: str) -> dict[tuple[object, ...], int]:
    listed = ", ".join(names)
    return {row[:-1]: row[-1] for row in rows.aggregate(f"{listed}, count(*)", listed).fetchall()}


def test_coverage_counts_what_the_store_holds(coverage: tuple[App, Coverage, Path]) -> None:
    _, found, home = coverage
    rows = parquet(home)
    by_hand = counted(rows, '"event.dataset"', '"observer.name"', "coalesce(\"event.logsource\", '')")
    assert sum(by_hand.values()) > 20_000
    assert {(one.dataset, one.collector, one.logsource): one.rows for one in found.sources} == by_hand
    for kind in ("department", "segment"):
        owner = f'coalesce("destination.{kind}", "source.{kind}", \'\')'
        told = {(place.id,): place.rows for place in found.places if place.kind == kind and place.rows}
        assert told == counted(rows, owner), kind


def test_coverage_counts_the_columns_the_store_holds(coverage: tuple[App, Coverage, Path]) -> None:
    _, found, home = coverage
    held = set(parquet(home).columns)
    for source in found.sources:
        rows = parquet(home).filter(
            f"\"event.dataset\" = '{source.dataset}' AND \"observer.name\" = '{source.collector}' "
            f"AND \"event.logsource\" = '{source.logsource}'"
        )
        names = sorted(set(source.columns) & held - {"event.fields", "event.dataset"})
        (by_hand,) = rows.aggregate(", ".join(f'count("{name}")' for name in names)).fetchall()
        assert dict(zip(names, by_hand, strict=True)) == {name: source.columns[name] for name in names}, (
            source.collector
        )


def test_rules_are_active_where_a_count_by_hand_says_so(coverage: tuple[App, Coverage, Path]) -> None:
    """Rules that ask for all of their columns at once: one source must have sent every one of them."""
    app, found, home = coverage
    told = {one.id: one for one in found.rules}
    rows, checked = parquet(home), Counter[str]()
    owner = 'coalesce("destination.department", "source.department", \'\')'
    held = [name for name in rows.columns if name != "event.logsource"]
    sums = ", ".join(f'count("{name}")' for name in held)
    by = f'"event.logsource", "event.dataset", "observer.name", {owner}'
    groups = [
        (row[0], row[:3], row[3], row[4], {name for name, count in zip(held, row[5:], strict=True) if count})
        for row in rows.aggregate(f"{by}, count(*), {sums}", by).fetchall()
    ]
    for rule in app.ruleset.rules:
        asked = together(rule.node)
        if asked is None or not asked <= set(held):
            continue
        fitting = [group for group in groups if group[0] and covers(group[0], rule)]
        assert told[rule.id].rows == sum(group[3] for group in fitting), rule.title.en
        sent: dict[tuple[str, ...], set[str]] = {}
        for _, source, _, _, names in fitting:
            sent.setdefault(source, set()).update(names)
        able = any(asked <= names for names in sent.values())
        state = "active" if able else "no_field" if fitting else "no_source"
        assert told[rule.id].state == state, rule.title.en
        checked[state] += 1
        places = {department for _, _, department, _, names in fitting if asked <= names}
        assert set(told[rule.id].departments) == places, rule.title.en
    assert checked["active"] >= 10, checked
    assert checked["no_source"] >= 10, checked


def together(node: Node) -> set[str] | None:
    """Columns without which a condition cannot hold; None where it has alternatives."""
    if isinstance(node, Not):
        return None if isinstance(node.item, Null | Not | AllOf | AnyOf) else set()
    if isinstance(node, AllOf):
        parts = [together(item) for item in node.items]
        return None if None in parts else set().union(*(part for part in parts if part))
    plain = isinstance(node, Words | Cidr | Present | Regex | Compare) and node.field is not None
    return {str(node.field)} if plain else None


def covers(logsource: str, rule: Rule) -> bool:
    parts = [part.split(",") for part in logsource.split("|")]
    asked = (rule.category, rule.product, rule.service)
    return all(word is None or word in part for word, part in zip(asked, parts, strict=True))


def test_every_rule_stands_in_the_coverage_once_and_the_counts_are_of_them(
    coverage: tuple[App, Coverage, Path],
) -> None:
    app, found, _ = coverage
    ids = [one.id for one in found.rules]
    assert sorted(ids) == sorted([one.id for one in app.rulebook.every] + [one.id for one in app.rulebook.waiting])
    assert sum(found.counts.values()) == len(ids)
    assert found.counts == {state: sum(one.state == state for one in found.rules) for state in found.counts}


def test_rules_that_raised_alerts_are_active(coverage: tuple[App, Coverage, Path]) -> None:
    app, found, home = coverage
    states = {one.id: one.state for one in found.rules}
    with closing(sqlite3.connect(home / "cityguard.db")) as con:
        rows = con.execute("SELECT rule_id, count(*), sum(count) FROM alerts GROUP BY rule_id").fetchall()
    assert {states[rule] for rule, _, _ in rows if rule in states} == {"active"}
    told = {one.rule_id: (one.alerts, one.events) for one in app.noise(Query())}
    assert told == {rule: (alerts, events) for rule, alerts, events in rows}


def test_the_page_and_the_command_tell_the_same_numbers(coverage: tuple[App, Coverage, Path], tmp_path: Path) -> None:
    app, found, home = coverage
    accounts = Accounts(tmp_path / "users.db", lambda: HOUR_ENDS)
    accounts.add("li", PASSWORD, ("analyst",), must_change=False)
    with serving(app, accounts) as site:
        browser = Browser(site).login("li")
        text = browser.get("/coverage").text
        figures = {name: int(n) for name, n in re.findall(r'data-figure="(\w+)"[^>]*><b>(\d+)</b>', text)}
        assert figures == found.counts
        api = browser.get("/api/v1/rules/coverage?limit=1").json()
        assert (api["counts"], api["total"]) == (found.counts, len(found.rules))
        places = browser.get("/coverage?view=departments").text
        cells = re.findall(r'data-place="([^"]*)">.*?<td class="num">(\d+)</td>', places)
        assert {name: int(rows) for name, rows in cells} == {
            one.id: one.rows for one in found.places if one.kind == "department" and one.rows
        }
    accounts.close()
    argv = [sys.executable, "-m", "cityguard.cli.main", "-c", str(content.root() / "examples/city/cityguard.yml")]
    done = subprocess.run(
        [*argv, "--home", str(home), "rules", "coverage", "--json"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)["counts"].values()) == len(found.rules)
