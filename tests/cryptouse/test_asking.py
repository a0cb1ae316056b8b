"""What may be asked: names of the register with near spellings, days within bounds, known states and problems."""

from __future__ import annotations

import pytest

from cityguard.cryptouse.asking import fault
from cityguard.model import Department, System
from cityguard.register.register import Register

BOOK = Register(
    departments=(Department("dept-water", "水务局"), Department("dept-data", "大数据管理中心")),
    systems=(System("sys-vpn", "安全接入平台", "dept-data"), System("sys-scada", "水厂调度", "dept-water")),
)


def told(**asked: object) -> tuple[str, str] | None:
    text = fault(BOOK, **asked)  # type: ignore[arg-type]
    return None if text is None else (text.zh, text.en)


def test_what_the_register_and_the_inventory_know_may_be_asked() -> None:
    assert told() is None
    assert told(days=0.01) is None and told(days=3660) is None
    assert told(system="sys-vpn", department="dept-data", state="mixed", problem="sometimes_turned_down") is None


def test_a_name_the_register_does_not_have_is_refused_with_those_that_are_near() -> None:
    assert told(system="sys-vpm") == (
        "台账中没有系统 'sys-vpm'；可用：sys-vpn",
        "the register has no system 'sys-vpm'; there is: sys-vpn",
    )
    assert told(system="水厂") == (
        "台账中没有系统 '水厂'；可用：sys-scada",
        "the register has no system '水厂'; there is: sys-scada",
    )
    assert told(system="q") == ("台账中没有系统 'q'", "the register has no system 'q'")
    assert "dept-water" in (told(department="dep-water") or ("",))[0]
    assert len((told(department="x" * 10_000) or ("",))[0]) < 200


@pytest.mark.parametrize("days", [0, -1, 3661, float("nan"), float("inf")])
def test_days_out_of_bounds_are_refused(days: float) -> None:
    assert "0.01" in (told(days=days) or ("", ""))[1]


def test_states_and_problems_are_listed_where_one_is_unknown() -> None:
    assert "turned_down" in (told(state="good") or ("",))[0]
    assert "expired" in (told(problem="bad") or ("",))[0]
