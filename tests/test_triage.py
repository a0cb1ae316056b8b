"""Triage: every step checked, audited before it counts, refused when somebody was faster, and undone exactly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.store import make

from cityguard import triage
from cityguard.audit import Actor
from cityguard.config import Settings
from cityguard.errors import ConflictError, InputError
from cityguard.model import Alert
from cityguard.store.base import Store
from cityguard.store.open import open_store
from cityguard.triage import FROM, Act, Step

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LI = Actor("li", "10.0.0.9")
STEPS: dict[Act, Step] = {
    "acknowledge": Step("acknowledge"),
    "escalate": Step("escalate"),
    "close": Step("close", "benign", "备份任务"),
    "assign": Step("assign", owner="wang"),
    "note": Step("note", note="已电话核实"),
    "reopen": Step("reopen"),
}


def now() -> datetime:
    return NOW


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = open_store(Settings(home=str(tmp_path)), now)
    found.alerts.merge([make.alert("a"), make.alert("b"), make.alert("c")])
    yield found
    found.close()


def the(store: Store, name: str = "a") -> Alert:
    found = store.alerts.get(make.alert(name).id)
    assert found
    return found


def take(store: Store, step: Step, name: str = "a") -> Alert:
    return triage.apply(store, now, LI, the(store, name).id, the(store, name).version, step)


@pytest.mark.parametrize("status", ["open", "acknowledged", "escalated", "closed"])
@pytest.mark.parametrize("act", list(FROM))
def test_each_act_is_allowed_from_exactly_the_states_the_table_names(store: Store, status: str, act: Act) -> None:
    before: dict[str, tuple[Act, ...]] = {
        "open": (), "acknowledged": ("acknowledge",), "escalated": ("escalate",), "closed": ("close",)
    }  # fmt: skip
    for earlier in before[status]:
        take(store, STEPS[earlier])
    if status in FROM[act]:
        assert take(store, STEPS[act]).version == the(store).version
    else:
        stood = the(store)
        with pytest.raises(InputError):
            take(store, STEPS[act])
        assert the(store) == stood


def test_the_audit_tells_who_changed_what_from_what_to_what(store: Store) -> None:
    take(store, STEPS["close"])
    entry = store.records.find_audit(1)[0]
    assert (entry.actor, entry.ip, entry.action, entry.object) == ("li", "10.0.0.9", "alert.close", the(store).id)
    assert '"status":["open","closed"]' in entry.detail
    assert '"verdict":[null,"benign"]' in entry.detail


def test_nothing_happens_when_it_cannot_be_audited(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    stood = the(store)
    monkeypatch.setattr(type(store.records), "append_audit", full)
    with pytest.raises(OSError, match="disk full"):
        take(store, STEPS["close"])
    assert the(store) == stood


def test_a_stale_version_is_a_conflict_and_changes_nothing(store: Store) -> None:
    old = the(store).version
    take(store, STEPS["acknowledge"])
    stood = the(store)
    with pytest.raises(ConflictError):
        triage.apply(store, now, LI, stood.id, old, STEPS["escalate"])
    assert the(store) == stood


@pytest.mark.parametrize(
    "step",
    [
        Step("close"),
        Step("acknowledge", "true"),
        Step("note"),
        Step("note", note=" "),
        Step("escalate", owner="wang"),
        Step("note", note="a" * (triage.MAX_NOTE + 1)),
        Step("delete"),  # type: ignore[arg-type]
    ],
)
def test_an_incomplete_step_is_refused(store: Store, step: Step) -> None:
    with pytest.raises(InputError):
        take(store, step)


def test_whoever_acts_first_owns_the_alert(store: Store) -> None:
    assert take(store, STEPS["acknowledge"]).owner == "li"
    assert take(store, STEPS["assign"]).owner == "wang"
    assert take(store, STEPS["escalate"]).owner == "wang"


def test_a_bulk_act_answers_for_each_alert_and_undo_puts_back_only_what_nobody_touched(store: Store) -> None:
    a, b, c = (the(store, name) for name in "abc")
    take(store, STEPS["close"], "c")
    outcomes = triage.apply_all(
        store, now, LI, [(a.id, a.version), (b.id, b.version), (c.id, c.version), ("nothing", 1)], STEPS["close"]
    )
    assert [one.done for one in outcomes] == [True, True, False, False]
    take(store, STEPS["reopen"], "b")
    undone = triage.undo(store, now, LI, outcomes)
    assert [one.done for one in undone] == [True, False]
    assert (the(store).status, the(store).verdict, the(store).owner, the(store).note) == ("open", None, None, "")
    assert store.records.find_audit(1)[0].action in ("alert.undo", "alert.undo.refused")


def test_a_bulk_act_is_bounded(store: Store) -> None:
    with pytest.raises(InputError, match="at most"):
        triage.apply_all(store, now, LI, [("x", 1)] * (triage.MAX_BULK + 1), STEPS["acknowledge"])


def test_the_command_line_closes_with_a_verdict(store: Store) -> None:
    one = the(store)
    closed = triage.close(store, one.id, one.version, "true", "已隔离", actor="cli", at=NOW)
    assert (closed.status, closed.verdict, closed.owner) == ("closed", "true", "cli")
