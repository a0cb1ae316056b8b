"""Checks that read logs, alerts, drills and the register itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.checks.world import NOW, World, register, world

from cityguard.model import Alert, Asset, DrillRun, Evidence, Level, System, Text


@pytest.fixture
def city(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


def log(host: str | None = None, peer: str | None = None, **more: Any) -> dict[str, Any]:
    return {"host.name": host, "observer.ip": peer, "host.ip": None, **more}


# ---------------------------------------------------------------- retention, coverage, fields, clocks


def one_of(city: World, check: str, asset: str = "web-1") -> Evidence:
    """The evidence of one asset; every asset of the system must have some, and the silent ones none but 未判定."""
    found = {one.object: one for one in city.ask(check)}
    assert set(found) == {item.id for item in city.register.assets_of("web")}
    assert {one.verdict for name, one in found.items() if name != asset} == {"未判定"}
    return found[asset]


@pytest.mark.parametrize(
    ("ages", "verdict", "said"),
    [
        (range(184), "符合", "logs of 180 of the last 180 days"),
        ([*range(100), *range(109, 184)], "符合", "logs of 171"),
        ([*range(100), *range(110, 184)], "部分符合", "logs of only 170 of"),
        ([182, 0], "部分符合", "logs of only 1 of"),  # one stray event is no retention
        (range(40), "部分符合", "only 39 days found"),
        ([], "未判定", "no log written by the asset itself"),
    ],
)
def test_retention_is_judged_by_the_days_there_are_logs_of(
    city: World, ages: Sequence[int], verdict: str, said: str
) -> None:
    city.add("host", [log(host="hmi-1", at=NOW - timedelta(days=age)) for age in range(184)])  # another system's log
    if ages:
        city.add("host", [log(peer="127.10.0.1", at=NOW - timedelta(days=age)) for age in ages])
    found = one_of(city, "log_retention")
    assert found.verdict == verdict and said in found.reason.en


def test_coverage_is_judged_per_asset_by_what_it_wrote_itself(city: World) -> None:
    city.add("host", [log(peer="127.10.0.1")])
    city.add("auth", [log(host="web-2", at=NOW - timedelta(days=3))])
    city.add("host", [log(host="web-nowhere", peer="127.20.0.5", at=NOW - timedelta(hours=2))])
    city.add("flow", [{"source.ip": "127.66.0.9", "destination.ip": "127.10.0.1", "host.ip": "127.66.0.9"}])  # no log
    found = {one.object: one.verdict for one in city.ask("log_coverage")}
    assert found == {
        "web-1": "符合",
        "web-2": "部分符合",
        "web-office": "符合",
        "web-nowhere": "未判定",  # its name came from somebody else's address: that host wrote it
        "web-ot": "未判定",
        "web-plc": "未判定",  # may keep no logs of its own: a person must tell
    }


@pytest.mark.parametrize("check", ["log_coverage", "log_fields", "log_retention", "time_sync"])
def test_a_log_of_a_host_of_the_same_name_in_another_system_is_not_ours(tmp_path: Path, check: str) -> None:
    assets = (
        Asset("w", "db01", "web", ("127.10.0.1",), kind="server"),
        Asset("p", "DB01", "plant", ("127.10.0.50",), kind="server"),
    )
    login = {"user.name": "x", "event.outcome": "success", "event.action": "login"}
    with world(tmp_path, register(assets=assets)) as city:
        city.add("auth", [log(host="db01", **login), log(host="db01", peer="127.10.0.50", **login)])
        assert city.ask_one(check).verdict == "未判定"
        assert city.ask_one(check, "plant").verdict != "未判定"  # by its address


def test_a_name_counts_only_where_the_address_is_nobodys(tmp_path: Path) -> None:
    assets = (
        Asset("w", "门户库", "web", ("127.10.0.1",), kind="server"),
        Asset("p", "水厂库", "plant", ("127.10.0.50",), kind="server"),
    )
    with world(tmp_path, register(assets=assets)) as city:
        city.add("host", [log(host="w", peer="127.10.0.50")])
        assert city.ask_one("log_coverage").verdict == "未判定"
        city.add("host", [log(host="W", peer="127.77.0.1")])  # an unregistered relay
        assert city.ask_one("log_coverage").verdict == "符合"


@pytest.mark.parametrize(("whole", "verdict"), [(20, "符合"), (10, "部分符合"), (0, "不符合")])
def test_login_records_must_say_who_and_how_it_went(city: World, whole: int, verdict: str) -> None:
    same = {"event.action": "login", "event.outcome": "failure"}
    rows = [log(host="web-1", **same, **{"user.name": "li" if n < whole else None}) for n in range(20)]
    city.add("auth", rows)
    assert one_of(city, "log_fields").verdict == verdict


@pytest.mark.parametrize(("skewed", "verdict"), [(0, "符合"), (5, "部分符合"), (50, "不符合")])
def test_clocks_are_judged_by_the_share_of_flagged_events(city: World, skewed: int, verdict: str) -> None:
    rows = [log(host="web-1", **{"event.flags": ["clock_skew"] if n < skewed else []}) for n in range(100)]
    city.add("host", rows)
    assert one_of(city, "time_sync").verdict == verdict


@pytest.mark.parametrize("check", ["log_coverage", "log_fields", "time_sync", "alert_handling", "backup_freshness"])
def test_without_records_nothing_is_decided(city: World, check: str) -> None:
    found = city.ask(check)
    assert found and {one.verdict for one in found} == {"未判定"}


# ---------------------------------------------------------------- alerts


def alert(name: str, level: Level, age: timedelta) -> Alert:
    seen = NOW - age
    return Alert(
        name, "r", Text("告警", "alert"), level, "sigma", seen, seen, Text("因", "why"), system="web", part=name
    )


def act(city: World, name: str, action: str, at: datetime, status: str | None = None) -> None:
    city.store.records.append_audit("li", "127.0.0.1", action, name, "", at)
    if status:
        one = city.store.alerts.get(name)
        assert one is not None
        city.store.alerts.update(
            name, one.version, {"status": status, "verdict": "true" if status == "closed" else None}
        )


def test_alerts_answered_and_closed_in_time_are_met(city: World) -> None:
    city.store.alerts.merge([alert("a", "high", timedelta(hours=10)), alert("b", "low", timedelta(hours=1))])
    act(city, "a", "alert.acknowledge", NOW - timedelta(hours=9), "acknowledged")
    act(city, "a", "alert.close", NOW - timedelta(hours=1), "closed")
    assert city.ask_one("alert_handling").verdict == "符合"


def test_an_alert_that_is_not_due_yet_decides_nothing(city: World) -> None:
    city.store.alerts.merge([alert("a", "critical", timedelta(minutes=1))])
    found = city.ask_one("alert_handling")
    assert found.verdict == "未判定" and "1 not due yet" in found.reason.en


def test_an_alert_closed_without_an_audit_entry_is_not_handled(city: World) -> None:
    city.store.alerts.merge([alert("a", "high", timedelta(hours=10)), alert("b", "high", timedelta(hours=10))])
    act(city, "b", "alert.acknowledge", NOW - timedelta(hours=9), "acknowledged")
    one = city.store.alerts.get("a")
    assert one is not None and city.ask_one("alert_handling").verdict == "不符合"
    city.store.alerts.update("a", one.version, {"status": "closed", "verdict": "true"})
    found = city.ask_one("alert_handling")
    assert found.verdict == "未判定" and "1 closed without an audit entry" in found.reason.en


def test_an_answer_taken_back_is_no_answer(city: World) -> None:
    city.store.alerts.merge([alert("a", "high", timedelta(hours=10))])
    act(city, "a", "alert.acknowledge", NOW - timedelta(hours=9))
    assert city.ask_one("alert_handling").verdict == "符合"
    act(city, "a", "alert.undo", NOW - timedelta(hours=8))
    assert city.ask_one("alert_handling").verdict == "不符合"


def test_a_high_alert_nobody_answered_is_not_met(city: World) -> None:
    city.store.alerts.merge([alert("a", "high", timedelta(hours=10))])
    act(city, "a", "alert.close.refused", NOW - timedelta(hours=9))
    found = city.ask_one("alert_handling")
    assert found.verdict == "不符合" and "1 of 1 alerts late, 1 of them high" in found.reason.en
    assert '"late":"unanswered"' in found.record


def test_a_late_answer_to_a_closed_alert_is_partly_met(city: World) -> None:
    city.store.alerts.merge([alert("a", "critical", timedelta(hours=10))])
    act(city, "a", "alert.acknowledge", NOW - timedelta(hours=7), "acknowledged")
    act(city, "a", "alert.close", NOW - timedelta(hours=6), "closed")
    found = city.ask_one("alert_handling")
    assert found.verdict == "部分符合" and "first answer after 3.0 h" in found.record


# ---------------------------------------------------------------- drills


def drill(days: float, age_hours: float = 2.0, conclusion: str = "成功", plan: str = "p") -> DrillRun:
    started = NOW - timedelta(days=days)
    return DrillRun(
        f"{plan}{days}", plan, "演练", "web", "files", "b.tar.gz", "ab" * 32, started - timedelta(hours=age_hours),
        started, started + timedelta(minutes=5), (), (), 3600, 300, 3600, age_hours * 3600, 3, 100, True, conclusion,
        Text("", ""),
    )  # fmt: skip


def test_a_year_without_a_drill_is_not_met(city: World) -> None:
    found = city.ask_one("drill_within_year")
    assert found.verdict == "不符合" and found.valid_until == NOW + timedelta(days=7)  # a drill may follow any day
    city.store.records.put_drill(drill(400))
    assert city.ask_one("drill_within_year").verdict == "不符合"
    city.store.records.put_drill(drill(300, conclusion="失败"))
    assert city.ask_one("drill_within_year").verdict == "部分符合"
    city.store.records.put_drill(drill(200))
    found = city.ask_one("drill_within_year")
    assert found.verdict == "符合" and found.valid_until == found.observed_at + timedelta(days=365)


@pytest.mark.parametrize(
    ("rpo", "age", "verdict"), [(4.0, 2, "符合"), (1.0, 2, "不符合"), (None, 100, "符合"), (None, 200, "不符合")]
)
def test_a_backup_is_fresh_when_it_is_within_the_rpo(
    tmp_path: Path, rpo: float | None, age: float, verdict: str
) -> None:
    base = register()
    systems = (replace(base.systems[0], rpo_hours=rpo), base.systems[1])
    with world(tmp_path, register(systems=systems)) as city:
        city.store.records.put_drill(drill(3, age))
        found = city.ask_one("backup_freshness")
        assert found.verdict == verdict and found.observed_at == NOW - timedelta(days=3) + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("drills", "verdict", "said"),
    [
        ([drill(1, 7200, plan="db"), drill(0.5, plan="files")], "不符合", "plan db"),  # the worst plan counts
        ([drill(1, 7200, "部分成功", "db"), drill(0.5, 2, "失败", "files")], "不符合", "plan db"),
        ([drill(1, 2, plan="db"), drill(0.5, 2, "失败", "files")], "未判定", "plan files: no backup has been restored"),
        ([drill(0.5, 2, "失败")], "未判定", "no backup has been restored"),
        ([drill(30, 2), drill(0.5, 2, "失败")], "不符合", "710.0 h old"),  # the fresh set could not be restored
        ([drill(3, 2), drill(0.5, 2, "失败")], "符合", "62.0 h old"),
        ([drill(30, 7200), drill(0.5, 2)], "符合", "2.0 h old"),
    ],
)
def test_only_what_could_be_restored_is_a_backup_and_the_worst_plan_counts(
    city: World, drills: list[DrillRun], verdict: str, said: str
) -> None:
    for run in drills:
        city.store.records.put_drill(run)
    found = city.ask_one("backup_freshness")
    assert found.verdict == verdict and said in found.reason.en


# ---------------------------------------------------------------- the register's own facts


@pytest.mark.parametrize(
    ("check", "changes", "verdict"),
    [
        ("filing_valid", {"filing_number": ""}, "不符合"),
        ("filing_valid", {"filing_expires": None}, "部分符合"),
        ("filing_valid", {"filing_expires": date(2026, 11, 20)}, "不符合"),
        ("filing_valid", {"filing_expires": date(2026, 11, 21)}, "部分符合"),
        ("filing_valid", {"filing_expires": date(2028, 1, 1)}, "符合"),
        ("filing_valid", {"s_grade": 1, "a_grade": 1}, "不适用"),
        ("assessment_due", {"last_assessed": None}, "未判定"),
        ("assessment_due", {"last_assessed": date(2025, 12, 1)}, "符合"),
        ("assessment_due", {"last_assessed": date(2025, 11, 1)}, "不符合"),
        ("assessment_due", {"last_assessed": date(2025, 11, 1), "s_grade": 2, "a_grade": 2}, "符合"),
        ("assessment_due", {"s_grade": 1, "a_grade": 1}, "不适用"),
    ],
)
def test_filing_and_assessment_follow_the_register(
    tmp_path: Path, check: str, changes: dict[str, Any], verdict: str
) -> None:
    system = System(**{"id": "web", "name": "门户", "department": "data", "s_grade": 3, "a_grade": 3,
                       "filing_number": "1", **changes})  # fmt: skip
    with world(tmp_path, register(systems=(system, register().systems[1]))) as city:
        assert city.ask_one(check).verdict == verdict
