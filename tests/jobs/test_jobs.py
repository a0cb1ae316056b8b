"""Jobs on a real store: every slot once, whoever runs, whatever the clock does."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cityguard.app import App
from cityguard.audit import Actor
from cityguard.config import Settings
from cityguard.errors import ConflictError, ContentErrors, InputError, RefusedError
from cityguard.jobs.hold import WRITES, Hold
from cityguard.jobs.jobs import Runner
from cityguard.jobs.jobs import runs as all_runs
from cityguard.jobs.kinds import LIMIT_S, Outcome
from cityguard.jobs.schedule import load, next_slots, trigger, weekdays
from cityguard.model import JobRun, Schedule, Text
from cityguard.store.base import Alerts, Events, Records

CITY = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 3, 2, 0, 2, tzinfo=UTC)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class Acts:
    """Actions that count, and can be made to wait or fail."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.act: Callable[[], Outcome] = lambda: Outcome("ok", "done")

    def __call__(self, app: App, arguments: Mapping[str, Any], stop: threading.Event) -> Outcome:
        self.calls.append(dict(arguments))
        return self.act()

    @property
    def table(self) -> Any:
        return dict.fromkeys(("scan", "assessment", "drill", "report", "retention", "forest"), self)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def app(tmp_path: Path, clock: Time) -> Iterator[App]:
    one = App(Settings(home=str(tmp_path / "var"), base=tmp_path), clock=clock)
    yield one
    one.close()


@pytest.fixture
def acts() -> Acts:
    return Acts()


@pytest.fixture
def runner(app: App, acts: Acts) -> Runner:
    return Runner(app, "one", actions=acts.table, renew_s=0.05)


def schedule(app: App, trigger: str = "every 5m", **changes: Any) -> Schedule:
    one = Schedule("clean", "retention", Text("清理", "Clean"), trigger)
    one = replace(one, **changes)
    app.store.records.put_schedule(one)
    return one


def tick(runner: Runner) -> list[JobRun]:
    started = runner.tick()
    assert runner.wait(10)
    return started


def runs(app: App) -> list[JobRun]:
    return sorted(all_runs(app.store.records), key=lambda run: run.slot)


def test_a_new_schedule_waits_for_its_next_slot_and_runs_it_once(
    app: App, runner: Runner, clock: Time, acts: Acts
) -> None:
    schedule(app)
    assert tick(runner) == []
    clock.forward(minutes=2, seconds=59)
    assert tick(runner) == []
    clock.forward(seconds=2)
    assert len(tick(runner)) == 1
    assert tick(runner) == []
    (run,) = runs(app)
    assert run.slot == datetime(2026, 3, 2, 0, 5, tzinfo=UTC)
    assert (run.outcome, run.detail, run.fence) == ("ok", "done", 1)
    assert run.ended == clock.now
    assert len(acts.calls) == 1


def test_two_runners_never_run_one_slot_twice(app: App, acts: Acts, clock: Time, tmp_path: Path) -> None:
    schedule(app)
    other = App(app.settings, clock=clock)
    runners = [Runner(one, f"r{i}", actions=acts.table) for i, one in enumerate([app, other] * 2)]
    tick(runners[0])
    try:
        for _ in range(10):
            clock.forward(minutes=5)
            threads = [threading.Thread(target=tick, args=(one,)) for one in runners]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        other.close()
    assert len(acts.calls) == 10
    assert len({run.slot for run in runs(app)}) == 10


def test_slots_missed_while_nobody_ran_are_made_up_for_once(app: App, runner: Runner, clock: Time, acts: Acts) -> None:
    schedule(app, "0 * * * *")
    tick(runner)
    clock.forward(hours=1)
    tick(runner)
    clock.forward(hours=3)
    assert len(tick(runner)) == 1
    assert tick(runner) == []
    last = runs(app)[-1]
    assert last.slot == datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
    assert "2 missed slots" in last.detail
    assert len(acts.calls) == 2


def test_without_catch_up_a_missed_slot_stays_missed(app: App, runner: Runner, clock: Time, acts: Acts) -> None:
    schedule(app, "0 * * * *", catch_up=False)
    tick(runner)
    clock.forward(hours=3, minutes=30)
    assert tick(runner) == []
    clock.forward(minutes=29)
    assert len(tick(runner)) == 1
    assert len(acts.calls) == 1


def test_a_clock_set_back_two_hours_runs_nothing_again(app: App, runner: Runner, clock: Time, acts: Acts) -> None:
    schedule(app)
    tick(runner)
    for _ in range(6):
        clock.forward(minutes=5)
        tick(runner)
    assert len(acts.calls) == 6
    clock.forward(hours=-2)
    for _ in range(24):
        tick(runner)
        clock.forward(minutes=5)
    assert len(acts.calls) == 6
    tick(runner)
    clock.forward(minutes=5)
    tick(runner)
    assert len(acts.calls) in (7, 8)
    slots = [run.slot for run in runs(app)]
    assert len(slots) == len(set(slots))


def test_a_runner_that_died_is_succeeded_and_its_late_end_is_refused(
    app: App, runner: Runner, clock: Time, acts: Acts
) -> None:
    one = schedule(app)
    tick(runner)
    clock.forward(minutes=5)
    slot = datetime(2026, 3, 2, 0, 5, tzinfo=UTC)
    dead = app.store.records.claim(
        JobRun("x", one.id, slot, "dead", 0, clock.now, lease_until=clock.now + timedelta(minutes=2))
    )
    assert dead is not None
    assert tick(runner) == [], "its lease still holds"
    clock.forward(minutes=2, seconds=1)
    (taken,) = tick(runner)
    assert (taken.slot, taken.fence) == (slot, 2)
    with pytest.raises(ConflictError):
        app.store.records.finish(replace(dead, outcome="failed", ended=clock.now))
    (run,) = runs(app)
    assert (run.outcome, run.fence) == ("ok", 2)


def test_a_paused_runner_whose_lease_ran_out_does_not_write_its_end(app: App, clock: Time, acts: Acts) -> None:
    schedule(app, "0 * * * *")
    free = threading.Event()
    acts.act = lambda: Outcome("ok", "slow") if free.wait(10) else Outcome("failed", "never freed")
    slow = Runner(app, "slow", actions=acts.table, renew_s=60)
    slow.tick()
    clock.forward(minutes=58)
    slow.tick()
    clock.forward(minutes=4)
    quick = Runner(app, "quick", actions=dict.fromkeys(acts.table, lambda *_: Outcome("ok", "quick")))
    tick(quick)
    free.set()
    assert slow.wait(10)
    (run,) = runs(app)
    assert (run.detail, run.fence) == ("quick", 2)


def test_the_lease_is_renewed_while_a_job_works(app: App, runner: Runner, clock: Time, acts: Acts) -> None:
    schedule(app)
    free = threading.Event()
    acts.act = lambda: Outcome("ok", "slow") if free.wait(10) else Outcome("failed", "never freed")
    runner.tick()
    clock.forward(minutes=5)
    runner.tick()
    clock.forward(seconds=100)
    for _ in range(100):
        if runs(app)[0].lease_until > clock.now + timedelta(seconds=100):
            break
        time.sleep(0.05)
    assert runs(app)[0].lease_until == clock.now + timedelta(seconds=120)
    assert runner.tick() == [], "no second one beside it"
    free.set()
    assert runner.wait(10)
    assert runs(app)[0].outcome == "ok"


def test_a_hung_job_is_given_up_and_its_schedule_goes_on(app: App, clock: Time, acts: Acts) -> None:
    schedule(app)
    free = threading.Event()
    acts.act = lambda: Outcome("ok", "much too late") if free.wait(20) else Outcome("failed", "never freed")
    bounded = Runner(
        app, "one", actions=acts.table, limits=dict.fromkeys(acts.table, 0.2), renew_s=0.05, patience_s=0.1
    )
    tick(bounded)
    clock.forward(minutes=5)
    tick(bounded)
    (run,) = runs(app)
    assert run.outcome == "lost"
    assert "no end within" in run.detail
    free.set()
    acts.act = lambda: Outcome("ok", "fine")
    clock.forward(minutes=5)
    tick(bounded)
    assert [one.outcome for one in runs(app)] == ["lost", "ok"]


def test_a_slot_that_keeps_killing_its_runner_is_given_up(app: App, runner: Runner, clock: Time, acts: Acts) -> None:
    one = schedule(app, "0 * * * *")
    tick(runner)
    clock.forward(minutes=58)
    slot = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
    for _ in range(3):
        run = JobRun("x", one.id, slot, "dying", 0, clock.now, lease_until=clock.now + timedelta(minutes=1))
        assert app.store.records.claim(run) is not None
        clock.forward(minutes=2)
    assert tick(runner) == []
    assert [(run.outcome, run.fence) for run in runs(app)] == [("lost", 4)]
    assert not acts.calls


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RefusedError("10.8.3.0/24 is OT"), "refused"),
        (InputError("no system 'x'"), "failed"),
        (ZeroDivisionError("x"), "failed"),
    ],
)
def test_whatever_an_action_raises_the_run_has_an_end(
    app: App, runner: Runner, acts: Acts, error: Exception, outcome: str
) -> None:
    def act() -> Outcome:
        raise error

    acts.act = act
    schedule(app)
    run = runner.run_now("clean")
    assert run.outcome == outcome
    assert str(error) in run.detail
    assert runs(app) == [run]


def test_run_now_runs_a_schedule_that_is_not_due_and_refuses_a_second_beside_it(
    app: App, runner: Runner, clock: Time, acts: Acts
) -> None:
    schedule(app, "0 3 1 1 *", enabled=False)
    run = runner.run_now("clean")
    assert (run.outcome, run.by, run.slot - clock.now) == ("ok", "one", timedelta(microseconds=1))
    with pytest.raises(InputError, match="no schedule 'other'"):
        runner.run_now("other")
    clock.forward(minutes=1)
    held = JobRun("x", "clean", clock.now, "other", 0, clock.now, lease_until=clock.now + timedelta(minutes=1))
    app.store.records.claim(held)
    with pytest.raises(ConflictError, match="is running"):
        runner.run_now("clean")


def test_a_schedule_changed_in_the_store_is_checked_before_it_runs(
    app: App, runner: Runner, clock: Time, acts: Acts
) -> None:
    schedule(app, arguments={"call": "os.system"})
    clock.forward(minutes=10)
    assert tick(runner) == []
    with pytest.raises(InputError, match="takes no argument 'call'"):
        runner.run_now("clean")
    schedule(app, kind="shell")
    assert tick(runner) == []
    assert not acts.calls


def test_a_broken_schedule_does_not_stop_the_others(app: App, runner: Runner, clock: Time, acts: Acts) -> None:
    schedule(app, "whenever", id="a-bad")
    schedule(app)
    tick(runner)
    clock.forward(minutes=5)
    assert [run.job for run in tick(runner)] == ["clean"]


def test_the_real_ticker_runs_what_is_due_and_stops(app: App, runner: Runner, clock: Time, acts: Acts) -> None:
    schedule(app)
    tick(runner)
    clock.forward(minutes=5)
    runner.start()
    for _ in range(100):
        if acts.calls:
            break
        time.sleep(0.05)
    runner.stop()
    assert len(acts.calls) == 1
    assert runs(app)[0].outcome == "ok"


def test_the_file_is_the_truth_and_what_left_it_is_switched_off(tmp_path: Path, clock: Time, acts: Acts) -> None:
    file = tmp_path / "schedules.yml"
    file.write_text(
        "schedules:\n  - {id: a, kind: retention, trigger: every 1h}\n  - {id: b, kind: forest, trigger: every 1d}\n"
    )
    app = App(Settings(home=str(tmp_path / "var"), base=tmp_path, schedules="schedules.yml"), clock=clock)
    try:
        runner = Runner(app, "one", actions=acts.table)
        assert [one.id for one in runner.load()] == ["a", "b"]
        file.write_text("schedules:\n  - {id: a, kind: retention, trigger: every 2h}\n")
        found = {one.id: one for one in runner.load()}
        assert found["a"].trigger == "every 2h"
        assert not found["b"].enabled
        file.write_text("schedules:\n  - {id: a, kind: nothing, trigger: every 2h}\n")
        with pytest.raises(ContentErrors):
            runner.load()
        assert app.store.records.find_schedules()[0].kind == "retention"
    finally:
        app.close()


def test_a_run_that_is_lost_stops_acting_and_writes_nothing_more(app: App, clock: Time, acts: Acts) -> None:
    steps: list[int] = []
    wrote: list[str] = []

    def act(app: App, arguments: Mapping[str, Any], stop: threading.Event) -> Outcome:
        while not stop.wait(0.02):
            steps.append(1)
        try:
            app.store.records.put_value("late", b"x")
        except ConflictError:
            wrote.append("refused")
            raise
        return Outcome("ok", "wrote")

    schedule(app, kind="scan", arguments={"system": "x"})
    one = Runner(app, "one", actions={**acts.table, "scan": act}, limits={**LIMIT_S, "scan": 0.3}, renew_s=0.05)
    run = one.run_now("clean")
    before = len(steps)
    assert (run.outcome, run.detail) == ("lost", "no end within 0.3 s")
    time.sleep(0.2)
    assert len(steps) == before > 0
    assert wrote == ["refused"]
    assert app.store.records.get_value("late") is None


def test_an_act_that_does_not_stop_lets_no_second_one_begin_beside_it(
    app: App, clock: Time, acts: Acts, tmp_path: Path
) -> None:
    schedule(app)
    free = threading.Event()
    late: list[bool] = []

    def act(app: App, arguments: Mapping[str, Any], stop: threading.Event) -> Outcome:
        free.wait(20)
        with pytest.raises(ConflictError, match="is over"):
            app.store.records.put_value("late", b"x")
        late.append(True)
        return Outcome("ok")

    hung = Runner(
        app, "one", actions={**acts.table, "retention": act}, limits=dict.fromkeys(acts.table, 0.1), renew_s=0.05,
        patience_s=0.1,
    )  # fmt: skip
    assert hung.run_now("clean").detail.endswith("it does not stop")
    other = Runner(app, "two", actions=acts.table, renew_s=0.05)
    for _ in range(3):
        clock.forward(seconds=100)
        time.sleep(0.15)
        with pytest.raises(ConflictError, match="is running"):
            other.run_now("clean")
    free.set()
    for _ in range(100):
        try:
            assert other.run_now("clean").outcome == "ok"
            break
        except ConflictError:
            time.sleep(0.05)
    assert late == [True]
    assert len(acts.calls) == 1
    assert app.store.records.get_value("late") is None


def test_whatever_writes_to_a_store_is_fenced() -> None:
    reads = {"query", "get", "aggregate", "find", "count", "groups", "ledger", "verify_audit", "verdicts"}
    ours = {"claim", "finish", "append_audit"}  # the runs themselves, and the log that is never refused
    for room in (Events, Alerts, Records):
        for name in vars(room):
            if not name.startswith("_"):
                assert name in WRITES or name in reads | ours or name.startswith(("find_", "get_")), name


def test_a_runner_that_is_paused_past_its_lease_can_write_nothing_even_before_it_notices(app: App, clock: Time) -> None:
    one = schedule(app)
    slow = Hold.take(app, one, clock.now, "slow")
    assert slow
    assert Hold.take(app, one, clock.now + timedelta(minutes=5), "quick") is None
    clock.forward(minutes=3)
    quick = Hold.take(app, one, clock.now, "quick")
    assert quick
    with pytest.raises(ConflictError):
        slow.confirm()
    quick.confirm()


def test_two_who_start_a_job_by_hand_at_once_get_one_run(app: App, clock: Time, acts: Acts) -> None:
    schedule(app)
    both, free, refused = threading.Barrier(2), threading.Event(), []
    acts.act = lambda: Outcome("ok") if free.wait(10) else Outcome("failed")

    def start(one: Runner) -> None:
        both.wait(5)
        try:
            one.run_now("clean")
        except ConflictError:
            refused.append(one)
            free.set()

    moments = itertools.count()
    app.clock = lambda: clock.now + timedelta(microseconds=next(moments))  # never twice the same slot
    threads = [threading.Thread(target=start, args=(Runner(app, name, actions=acts.table),)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert len(acts.calls) == len(refused) == 1


def test_a_run_by_hand_swallows_no_slot_even_at_its_very_moment(
    app: App, runner: Runner, clock: Time, acts: Acts
) -> None:
    schedule(app)
    tick(runner)
    clock.forward(minutes=3)
    acts.act = lambda: Outcome("failed", "broke")
    assert runner.run_now("clean").outcome == "failed"
    clock.forward(seconds=3)
    assert runner.run_now("clean").outcome == "failed"
    acts.act = lambda: Outcome("ok", "done")
    clock.forward(seconds=5)
    assert [run.slot for run in tick(runner)] == [datetime(2026, 3, 2, 0, 5, tzinfo=UTC)]
    assert [(run.outcome, run.by) for run in runs(app)] == [("ok", ""), ("failed", "one"), ("failed", "one")]


def test_a_run_by_hand_whose_process_died_is_recorded_as_lost(
    app: App, runner: Runner, clock: Time, acts: Acts
) -> None:
    one = Schedule("scan:portal", "scan", Text("", ""), "", {"system": "portal"})
    assert Hold.take(app, one, clock.now, "web", "li")
    tick(runner)
    assert [run.outcome for run in runs(app)] == ["running"]
    clock.forward(minutes=3)
    tick(runner)
    assert [(run.outcome, run.by, run.detail) for run in runs(app)] == [("lost", "li", "its runner ended: web")]
    assert runner.run_once("scan", "portal", {"system": "portal"}, Actor("li")).outcome == "ok"


def test_a_runner_that_stops_tells_its_runs_and_the_next_one_takes_their_slots(
    app: App, clock: Time, acts: Acts
) -> None:
    told: list[bool] = []

    def act(app: App, arguments: Mapping[str, Any], stop: threading.Event) -> Outcome:
        told.append(stop.wait(10))
        return Outcome("ok")

    schedule(app)
    first = Runner(app, "one", actions={**acts.table, "retention": act}, renew_s=0.05, patience_s=0.2)
    first.tick()
    clock.forward(minutes=5)
    first.tick()
    first.stop()
    assert told == [True]
    (run,) = tick(Runner(app, "two", actions=acts.table))
    assert (run.slot, run.fence) == (datetime(2026, 3, 2, 0, 5, tzinfo=UTC), 2)


def test_every_run_is_audited_before_it_acts_and_none_happens_without(
    app: App, runner: Runner, clock: Time, acts: Acts
) -> None:
    schedule(app, kind="drill", arguments={"plan": "水务.yml"})
    tick(runner)
    clock.forward(minutes=5)
    seen: list[tuple[str, str, str]] = []

    def act() -> Outcome:
        seen.extend((one.actor, one.action, one.object) for one in app.store.records.find_audit(10))
        return Outcome("ok")

    acts.act = act
    tick(runner)
    assert seen == [("scheduler", "job.run", "clean")]
    assert "水务.yml" in app.store.records.find_audit(1)[0].detail
    runner.run_once("assessment", "portal", {"system": "portal"}, Actor("li", "10.0.0.1"))
    entry = app.store.records.find_audit(1)[0]
    assert (entry.actor, entry.ip, entry.action, entry.object) == ("li", "10.0.0.1", "job.run", "assessment:portal")
    with pytest.raises(InputError, match="takes no argument"):
        runner.run_once("assessment", "portal", {"system": "portal", "x": 1})
    with sqlite3.connect(next(Path(app.settings.home).rglob("*.db"))) as db:
        table = next(
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if "audit" in name
        )
        db.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")
    acts.calls.clear()
    assert runner.run_once("scan", "portal", {"system": "portal"}).outcome == "failed"
    assert not acts.calls


def test_retention_and_forest_really_run(app: App) -> None:
    runner = Runner(app, "one")
    schedule(app)
    schedule(app, id="learn", kind="forest", arguments={"days": 1})
    done = runner.run_now("clean")
    assert (done.outcome, done.detail) == ("ok", "0 events deleted")
    done = runner.run_now("learn")
    assert (done.outcome, done.detail) == ("ok", "0 segments fitted on 0 windows")


def test_a_drill_really_runs_as_a_job(tmp_path: Path, clock: Time) -> None:
    import hashlib

    folder = tmp_path / "drills"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.txt").write_text("x")
    taken = (START - timedelta(hours=1)).isoformat()
    (folder / "sums").write_text(f"# taken: {taken}\n{hashlib.sha256(b'x').hexdigest()}  a.txt\n")
    (folder / "water.yml").write_text(
        "id: water\ntitle: 水务演练\nsystem: water\nbackup: {path: data, manifest: sums}\nrto: 1\nrpo: 24\n"
    )
    app = App(Settings(home=str(tmp_path / "var"), base=tmp_path, backups="drills"), clock=clock)
    try:
        schedule(app, kind="drill", arguments={"plan": "water.yml"})
        done = Runner(app, "one").run_now("clean")
        assert (done.outcome, done.targets) == ("ok", {"water": "成功"}), done.detail
        assert [one.id for one in app.store.records.find_evidence(ids=done.evidence)] == list(done.evidence)
        assert app.store.records.find_drills("water")[0].conclusion == "成功"
        schedule(app, kind="drill", arguments={"plan": "none.yml"})
        clock.forward(minutes=1)
        assert Runner(app, "one").run_now("clean").outcome == "failed"
    finally:
        app.close()


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("- {id: a, kind: shell, trigger: every 5m}", ":2", "'kind' is not one of"),
        ("- {id: a, kind: scan, trigger: every 5m}", ":2", "scan needs the argument 'system'"),
        (
            "- id: a\n    kind: scan\n    trigger: every 5m\n    arguments: {system: s, run: id}",
            ":5",
            "takes no argument 'run'",
        ),
        ("- {id: a, kind: drill, trigger: every 5m, arguments: {plan: ../../etc/passwd}}", ":2", "'plan' is wrong"),
        ("- {id: a, kind: drill, trigger: every 5m, arguments: {plan: ..}}", ":2", "'plan' is wrong"),
        ("- {id: a, kind: forest, trigger: every 5m, arguments: {days: 1000}}", ":2", "'days' is wrong"),
        ("- {id: a, kind: report, trigger: every 5m, arguments: {system: s, formats: [exe]}}", ":2", "'formats'"),
        ("- {id: a, kind: retention, trigger: every 5s}", ":2", "not an interval"),
        ("- {id: a, kind: retention, trigger: 61 * * * *}", ":2", "not a cron time"),
        ("- {id: a, kind: retention, trigger: 1 2 3}", ":2", "3 fields"),
        ("- {id: a, kind: retention, trigger: 0 0 1 * 1}", ":2", "both day and weekday"),
        ("- {id: a, kind: retention, trigger: every 5m, enabeld: false}", ":2", "did you mean 'enabled'"),
        ("- {id: 'a b', kind: retention, trigger: every 5m}", ":2", "'id'"),
        ("- {id: a, kind: retention, trigger: every 5m, title: [x]}", ":2", "'title'"),
        ("- {id: a, kind: retention, trigger: every 5m, arguments: [x]}", ":2", "not a mapping"),
        ("- {id: a, kind: retention, trigger: every 5m}\n  - {id: a, kind: forest, trigger: every 5m}", ":3", "twice"),
        ("- just text", ":2", "is a mapping"),
    ],
)
def test_faults_of_a_schedule_name_their_line(tmp_path: Path, text: str, line: str, word: str) -> None:
    path = tmp_path / "schedules.yml"
    path.write_text(f"schedules:\n  {text}\n")
    with pytest.raises(ContentErrors) as caught:
        load(path)
    assert f"{path.name}{line}" in str(caught.value)
    assert word in str(caught.value)


def test_an_empty_file_has_no_schedules_and_other_shapes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "schedules.yml"
    path.write_text("schedules: []\n")
    assert load(path) == []
    for text in ("- a\n", "schedules: {a: 1}\n", "jobs: []\n"):
        path.write_text(text)
        with pytest.raises(InputError):
            load(path)


def slots(text: str, zone: str, now: datetime, count: int) -> list[datetime]:
    return next_slots(Schedule("a", "retention", Text("", ""), text), count, now=now, zone=ZoneInfo(zone))


def test_cron_is_read_in_the_citys_zone() -> None:
    assert slots("30 2 * * *", "Asia/Shanghai", START, 2) == [
        datetime(2026, 3, 2, 18, 30, tzinfo=UTC),
        datetime(2026, 3, 3, 18, 30, tzinfo=UTC),
    ]


def test_a_daily_job_fires_once_a_day_through_both_changes_of_the_clock() -> None:
    for day in (datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 10, 23, tzinfo=UTC)):
        found = slots("30 2 * * *", "Europe/Berlin", day, 5)
        days = [slot.astimezone(ZoneInfo("Europe/Berlin")).date() for slot in found]
        assert days == sorted(set(days)), found
        assert all(timedelta(hours=22) < b - a < timedelta(hours=49) for a, b in itertools.pairwise(found))


def test_an_hourly_job_fires_every_hour_through_the_repeated_one() -> None:
    found = slots("0 * * * *", "Europe/Berlin", datetime(2026, 10, 24, 22, 30, tzinfo=UTC), 6)
    assert {b - a for a, b in itertools.pairwise(found)} == {timedelta(hours=1)}


def test_intervals_stand_on_fixed_points_whenever_one_looks() -> None:
    for minutes in range(5):
        assert slots("every 5m", "UTC", START.replace(minute=minutes), 1) == [START.replace(minute=5)]
    assert slots("every 1d", "UTC", START, 1) == [datetime(2026, 3, 3, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("*", "*"),
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("5-7", "sun,fri,sat"),
        ("sat-mon", "sun,mon,sat"),
        ("*/2", "sun,tue,thu,sat"),
        ("mon,3", "mon,wed"),
    ],
)
def test_weekdays_mean_what_cron_means(field: str, expected: str) -> None:
    assert weekdays(field) == expected


def test_sunday_is_sunday() -> None:
    assert [slot.weekday() for slot in slots("0 0 * * 0", "UTC", START, 2)] == [6, 6]
    with pytest.raises(InputError):
        trigger("0 0 * * 8", UTC)


def test_a_leap_day_job_finds_its_last_and_next_slot() -> None:
    when = trigger("0 0 29 2 *", UTC)
    assert when.latest(START) == datetime(2024, 2, 29, tzinfo=UTC)
    assert when.after(START) == datetime(2028, 2, 29, tzinfo=UTC)
