"""Checks that read logs, alerts, drills and the register itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.checks.world import NOW, World, register, world

from cityguard.model import Alert, DrillRun, Level, System, Text


@pytest.fixture
def city(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


def log(host: str | None = None, peer: str | None = None, **more: Any) -> dict[str, Any]:
    return {"host.name": host, "observer.ip": peer, "host.ip": None, **more}


# ---------------------------------------------------------------- retention, coverage, fields, clocks


@pytest.mark.parametrize(
    ("oldest", "verdict", "said"),
    [
        (200, "符合", "200 days found"),
        (40, "部分符合", "only 40 days found"),
        (None, "未判定", "no log written by the system itself"),
    ],
)
def test_retention_is_judged_by_what_is_really_there(city: World, oldest: int | None, verdict: str, said: str) -> None:
    city.add("host", [log(host="hmi-1", at=NOW - timedelta(days=300))])  # another system's log
    if oldest is not None:
        city.add("host", [log(peer="127.10.0.1", at=NOW - timedelta(days=oldest)), log(host="WEB-1")])
    found = city.ask_one("log_retention")
    assert found.verdict == verdict and said in found.reason.en


def test_coverage_is_judged_per_asset_by_what_it_wrote_itself(city: World) -> None:
    city.add("host", [log(peer="127.10.0.1")])
    city.add("auth", [log(host="web-2", at=NOW - timedelta(days=3))])
    city.add("host", [log(host="web-nowhere", peer="127.20.0.5", at=NOW - timedelta(hours=2))])
    city.add("flow", [{"source.ip": "127.66.0.9", "destination.ip": "127.10.0.1"}])  # traffic is no log
    found = {one.object: one.verdict for one in city.ask("log_coverage")}
    assert found == {
        "web-1": "符合",
        "web-2": "部分符合",
        "web-office": "符合",
        "web-nowhere": "不符合",  # its name came from somebody else's address: that host wrote it
        "web-ot": "不符合",
    }  # the PLC keeps no logs of its own


@pytest.mark.parametrize(("whole", "verdict"), [(20, "符合"), (10, "部分符合"), (0, "不符合")])
def test_login_records_must_say_who_and_how_it_went(city: World, whole: int, verdict: str) -> None:
    same = {"event.action": "login", "event.outcome": "failure"}
    rows = [log(host="web-1", **same, **{"user.name": "li" if n < whole else None}) for n in range(20)]
    city.add("auth", rows)
    assert city.ask_one("log_fields").verdict == verdict


@pytest.mark.parametrize(("skewed", "verdict"), [(0, "符合"), (5, "部分符合"), (50, "不符合")])
def test_clocks_are_judged_by_the_share_of_flagged_events(city: World, skewed: int, verdict: str) -> None:
    rows = [log(host="web-1", **{"event.flags": ["clock_skew"] if n < skewed else []}) for n in range(100)]
    city.add("host", rows)
    assert city.ask_one("time_sync").verdict == verdict


@pytest.mark.parametrize("check", ["log_fields", "time_sync", "alert_handling", "backup_freshness"])
def test_without_records_nothing_is_decided(city: World, check: str) -> None:
    assert city.ask_one(check).verdict == "未判定"


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


def drill(days: float, age_hours: float = 2.0, conclusion: str = "成功") -> DrillRun:
    started = NOW - timedelta(days=days)
    return DrillRun(
        f"d{days}", "p", "演练", "web", "files", "b.tar.gz", "ab" * 32, started - timedelta(hours=age_hours), started,
        started + timedelta(minutes=5), (), (), 3600, 300, 3600, age_hours * 3600, 3, 100, True, conclusion,
        Text("", ""),
    )  # fmt: skip


def test_a_year_without_a_drill_is_not_met(city: World) -> None:
    assert city.ask_one("drill_within_year").verdict == "不符合"
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
