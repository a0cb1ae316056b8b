"""Registered stations that fall silent: told once, across restarts, never because the tool itself was away."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.otpolicy.messages import CITY, LOGGER, MN, PLATFORM, START, STATION, batch, register, report

from cityguard.config import OtPolicy
from cityguard.errors import InputError
from cityguard.model import Alert, Station
from cityguard.otpolicy.detector import PolicyDetector
from cityguard.otpolicy.policy import Policy

PLAIN = replace(STATION, periods=())


def detector(*stations: Station) -> PolicyDetector:
    book = register(*stations)
    return PolicyDetector(Policy, lambda: book, OtPolicy(missed_periods=3, lateness_s=120), CITY)


def hear(one: PolicyDetector, *seconds: float, **more: Any) -> None:
    list(one.detect(batch([report(at, **more) for at in seconds], register(STATION))))


def run(one: PolicyDetector, begin: float, end: float, step: float = 60) -> list[Alert]:
    """Settle every minute, as a worker does."""
    found: list[Alert] = []
    at = begin
    while at <= end:
        found += one.settle(moment(at))
        at += step
    return found


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_silence_is_told_once_after_three_periods_and_the_margin() -> None:
    one = detector(PLAIN)
    hear(one, 0, 600)
    assert run(one, 600, 600 + 1_800 + 120) == []
    (alert,) = run(one, 2_580, 9_000)
    assert alert.source == "silence"
    assert alert.rule_id == "cityguard.ot_policy.silent"
    assert "一号排口" in alert.reason.zh
    assert "2026-03-11 10:10" in alert.reason.zh
    assert (alert.system, alert.department) == ("env", "water")


def test_a_station_heard_again_may_fall_silent_again() -> None:
    one = detector(PLAIN)
    hear(one, 0)
    assert len(run(one, 0, 4_000)) == 1
    hear(one, 4_000)
    again = run(one, 4_060, 9_000)
    assert len(again) == 1
    assert again[0].first_seen == moment(4_000)


def test_a_station_never_heard_is_told_from_when_it_is_watched() -> None:
    one = detector(PLAIN)
    (alert,) = run(one, 0, 3_000)
    assert "从未收到" in alert.reason.zh


def test_what_is_told_survives_a_restart_and_is_not_told_twice() -> None:
    one = detector(PLAIN)
    hear(one, 0)
    assert run(one, 0, 1_800) == []
    other = detector(PLAIN)
    other.restore(one.snapshot())
    assert len(run(other, 1_860, 4_000)) == 1
    third = detector(PLAIN)
    third.restore(other.snapshot())
    assert run(third, 4_060, 9_000) == []


def test_hours_in_which_the_tool_did_not_run_are_no_silence() -> None:
    one = detector(PLAIN)
    hear(one, 0)
    run(one, 0, 600)
    other = detector(PLAIN)
    other.restore(one.snapshot())
    assert run(other, 86_400, 86_400 + 1_900) == []
    assert len(run(other, 86_400 + 1_980, 86_400 + 2_400)) == 1


def test_late_data_is_waited_for() -> None:
    one = detector(PLAIN)
    hear(one, 0)
    run(one, 0, 600, 60)
    # nothing newer was taken: messages received since wait in a spool
    assert run(one, 600, 600) == []
    hear(one, 1_200, 1_800, 2_400)
    assert run(one, 660, 2_460) == []


def test_a_capture_ahead_of_time_does_not_hide_silence_for_long() -> None:
    one = detector(PLAIN)
    hear(one, 10 * 86_400)
    assert len(run(one, 0, 3_000)) == 1


def test_one_missing_kind_of_report_is_told_while_others_are_heard() -> None:
    one = detector(replace(STATION, period_s=None))
    hear(one, 0)
    for at in range(0, 4_000, 300):
        hear(one, at, ot__function__code=2011)
        found = run(one, at, at + 240)
        if found:
            break
    (alert,) = found
    assert alert.rule_id == "cityguard.ot_policy.overdue"
    assert "2051" in alert.reason.en


def test_orders_to_a_station_are_not_its_voice() -> None:
    one = detector(PLAIN)
    hear(one, 0)
    ends = {"source__ip": PLATFORM, "destination__ip": LOGGER, "source__port": 9_000, "destination__port": 40_000}
    hear(one, *range(60, 4_000, 60), ot__function__code=1012, ot__is_request=True, **ends)
    assert len(run(one, 0, 4_000)) == 1


def test_many_at_once_are_one_alert() -> None:
    listed = [replace(PLAIN, id=f"{n:024X}", name=f"站{n}") for n in range(30)]
    one = detector(*listed)
    (alert,) = run(one, 0, 3_000)
    assert alert.count == 30
    assert alert.level == "high"
    assert "30 个 HJ 212 站点" in alert.reason.zh


def test_a_station_may_be_silent_in_its_maintenance_window_and_is_told_when_it_is_over() -> None:
    one = detector(replace(PLAIN, maintenance=("workday 10:00-12:00",)))  # messages begin at 10:00 of a workday
    hear(one, 0)
    assert run(one, 0, 7_140) == []
    assert len(run(one, 7_200, 7_300)) == 1


def test_a_station_without_a_period_is_never_silent() -> None:
    assert run(detector(replace(PLAIN, period_s=None)), 0, 90_000, 600) == []


def test_a_snapshot_that_is_none_is_refused() -> None:
    for raw in (b"", b"[]", b'{"through": 1}', b'{"through":null,"deaf":0,"newest":0,"keys":[[1]]}'):
        with pytest.raises(InputError):
            detector(PLAIN).restore(raw)
    assert STATION.id == MN
