"""Jobs on a real store: every slot once, whoever runs, whatever the clock does."""

from __future__ import annotations

import itertools
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
from cityguard.config import Settings
from cityguard.errors import ConflictError, ContentErrors, InputError, RefusedError
from cityguard.jobs.jobs import Runner
from cityguard.jobs.kinds import Outcome
from cityguard.jobs.schedule import load, next_slots, trigger, weekdays
from cityguard.model import JobRun, Schedule, Text

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

    def __call__(self, app: App, arguments: Mapping[str, Any]) -> Outcome:
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
    return sorted(app.store.records.find_runs(), key=lambda run: run.slot)


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
    quick = Runner(app, "quick", actions=dict.fromkeys(acts.table, lambda app, arguments: Outcome("ok", "quick")))
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
    bounded = Runner(app, "one", actions=acts.table, limits=dict.fromkeys(acts.table, 0.2), renew_s=0.05)
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
    assert (run.outcome, run.slot) == ("ok", clock.now)
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
