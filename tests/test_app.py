"""The application as a whole: what it reloads, refuses and keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cityguard.app import App, moment
from cityguard.config import Notify, Settings, WebhookReceiver
from cityguard.errors import ContentErrors, InputError
from cityguard.model import Query

ROOT = Path(__file__).parents[1]
LOG = ROOT / "examples" / "city" / "logs" / "vpn-gw-01.log.gz"
NOW = datetime(2026, 3, 11, 16, tzinfo=UTC)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    one = App(replace(Settings(), home=str(tmp_path)), clock=lambda: NOW)
    yield one
    one.close()


def segment(app: App, *, ot: bool) -> None:
    marks = "ot: true, scan: never" if ot else "ot: false, scan: active"
    text = f"segments:\n- {{id: s1, name: s, cidrs: [10.0.0.0/8], zone: 办公, {marks}}}\n"
    app.register_path.write_text(text, encoding="utf-8")


def test_a_segment_marked_ot_in_another_process_counts_at_once(app: App) -> None:
    segment(app, ot=False)
    first = app.register.segment_of("10.1.1.1")
    segment(app, ot=True)
    second = app.register.segment_of("10.1.1.1")
    assert first is not None
    assert second is not None
    assert (first.ot, second.ot) == (False, True)
    assert app.register is app.register


def test_a_register_that_broke_is_not_replaced_by_the_old_one(app: App) -> None:
    segment(app, ot=False)
    _ = app.register
    app.register_path.write_text("segments: [{id: s1, cidrs: [nonsense]}]\n")
    with pytest.raises(ContentErrors):
        _ = app.register


def test_retention_refuses_when_the_clock_ran_ahead_and_deletes_otherwise(tmp_path: Path) -> None:
    now = NOW
    app = App(replace(Settings(), home=str(tmp_path)), clock=lambda: now)
    app.ingest([LOG])
    now = NOW + timedelta(days=4000)
    with pytest.raises(InputError, match="clock may be wrong"):
        app.retain()
    assert app.store.events.query(Query(limit=1)).height == 1
    now = NOW + timedelta(days=1)
    assert app.retain() == 0
    assert [entry.action for entry in app.store.records.find_audit()][:2] == ["events.purged", "events.purge"]
    app.close()


@pytest.mark.parametrize(
    "text", ["9999999999d", "0001-01-01T00:00+14:00", "yesterday", "", "999999h0", "99999999999999999999h"]
)
def test_a_time_that_is_none_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        moment(text, NOW)


def test_a_time_is_relative_or_iso() -> None:
    assert moment("24h", NOW) == NOW - timedelta(days=1)
    assert moment("2026-03-01T08:00+08:00", NOW) == datetime(2026, 3, 1, tzinfo=UTC)


def test_a_secret_others_may_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s\n")
    secret.chmod(0o644)
    told = Notify(webhooks=(WebhookReceiver("http://10.0.0.1/x", "json", str(secret)),))
    with pytest.raises(InputError, match="others may read"):
        _ = App(replace(Settings(), home=str(tmp_path), notify=told)).notifiers
    secret.chmod(0o400)
    assert len(App(replace(Settings(), home=str(tmp_path), notify=told)).notifiers.channels) == 1


def test_undated_events_read_again_hours_later_are_the_same_ones(tmp_path: Path) -> None:
    log = tmp_path / "undated.jsonl"
    log.write_text('{"event.dataset": "host", "message": "one"}\n{"event.dataset": "host", "message": "two"}\n')
    now = NOW
    app = App(replace(Settings(), home=str(tmp_path / "home")), clock=lambda: now)
    app.ingest([log], collector="ndjson")
    first = app.store.events.query(Query(limit=10)).select("event.id", "@timestamp").sort("event.id")
    now = NOW + timedelta(hours=5)
    app.ingest([log], collector="ndjson")
    assert app.store.events.query(Query(limit=10)).select("event.id", "@timestamp").sort("event.id").equals(first)
    app.close()


def test_one_unreadable_file_stops_no_other(app: App, tmp_path: Path) -> None:
    odd = tmp_path / "odd.bin"
    odd.write_bytes(b"\x00\x01\x02" * 100)
    done = app.ingest([odd, LOG])
    assert len(done.failed) == 1
    assert done.events["auth"] > 70


def test_rules_that_name_lists_of_the_register_follow_it_and_outlast_its_faults(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "one.yml").write_text(
        "title: Into the office\nid: 00000000-0000-4000-8000-000000000001\nstatus: test\nlevel: low\n"
        "logsource: {category: network, service: connection}\n"
        "detection: {one: {destination.ip|expand|cidr: '%segments.办公%'}, condition: one}\n"
    )
    app = App(replace(Settings(), home=str(tmp_path / "home")), clock=lambda: NOW, rules=[rules])
    app.register_path.parent.mkdir()
    assert [one.id for one in app.rulebook.waiting] == ["00000000-0000-4000-8000-000000000001"]
    assert not app.refresh_rules()
    segment(app, ot=False)
    assert app.refresh_rules()
    assert ([one.title.en for one in app.ruleset.rules], app.rulebook.waiting) == (["Into the office"], ())
    app.register_path.write_text("segments: [{id: s1, cidrs: [nonsense]}]\n")
    assert not app.refresh_rules()
    assert len(app.ruleset.rules) == 1
    app.close()
