"""What every store must do, told once. ``test_contract.py`` runs it against each of them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from tests.store import make
from tests.store.make import HOUR, NOW

from cityguard import columns
from cityguard.errors import ConflictError, InputError
from cityguard.model import Alert, DeadLetter, Query, Schedule, Sighting, Term, Text
from cityguard.store import fields, sightings
from cityguard.store.base import Store
from cityguard.store.query import parse


def asked(typed: str, /, **more: Any) -> Query:
    return replace(parse(typed, now=NOW, zone=UTC), **more)


EVENT_QUESTIONS = (
    ("", 20),
    ("source.ip:10.0.0.0/8", 20),
    ("source.ip:10.1.0.0/16", 5),
    ("source.ip:10.0.0.0/15", 10),
    ("source.ip:10.2.*", 5),
    ("source.ip:10.0.0.0", 1),
    ("destination.ip:2001:db8::/32", 10),
    ("destination.ip:::/0", 10),
    ("destination.ip:0.0.0.0/0", 10),
    ("ip:192.0.2.1", 10),
    ("-ip:192.0.2.1", 10),
    ("destination.port:22", 7),
    ("destination.port:22,80", 14),
    ("destination.port:>22", 13),
    ("destination.port:1..80", 14),
    ("port:40003", 1),
    ("not destination.port:22 source.ip:10.1.0.0/16", 4),
    ("(destination.port:22 or destination.port:443) network.transport:tcp", 13),
    ("network.transport:udp", 0),
    ("network.transport:t*", 20),
    ("network.transport:~CP", 20),
    ("tcp.flags:*", 0),
    ("-tcp.flags:*", 20),
    ("-tcp.flags:2", 20),
    ("network.bytes:>=10000000000", 10),
    ("dataset:flow", 20),
    ("dataset:dns", 0),
    ("tls.version:1.3", 0),
    ("-tls.version:1.3", 20),
    ("@timestamp:>=2026-11-21T08:00:10+00:00", 10),
    ("since:2026-11-22", 0),
)
"""What is asked of twenty flows, and how many answer."""

ALERT_QUESTIONS = (
    ("", "876543210"),
    ("level:high", "741"),
    ("level:>=high", "875421"),
    ("level:<high", "630"),
    ("rule:r-ssh", "7531"),
    ("rule:登录", "7531"),
    ("title:~SCAN", "86420"),
    ("-rule:r-ssh", "86420"),
    ("source.ip:10.0.3.7", "3"),
    ("source.ip:10.0.0.0/22", "3210"),
    ("ip:2001:db8::/64", "876543210"),
    ("tag:attack.t1021", "7531"),
    ("tag:attack.*", "7531"),
    ("-tag:attack.t1021", "86420"),
    ("tags:*", "7531"),
    ("system:his", "210"),
    ("-system:his", "876543"),
    ("system:*", "210"),
    ("owner:li", "0"),
    ("owner:l*", "0"),
    ("-owner:*", "87654321"),
    ("横向", "7531"),
    ("移动", "7531"),
    ("横移", ""),
    ("口令", "0"),
    ("policy", "0"),
    ("scan", "86420"),
    ("SCAN paths", "86420"),
    ("pat*", "86420"),
    ("-横向", "86420"),
    ("横向 or 口令", "75310"),
    ("root", "876543210"),
    ("10.0.4.7", "4"),
    ("卫健局", "876543210"),
    ("score:>0.65", "87"),
    ("count:1", "876543210"),
    ("last_seen:>=2026-11-21T13:00:00+00:00", "8765"),
    ("since:2026-11-21T15:00:00+00:00", "87"),
    ("until:2026-11-21T10:00:00+00:00", "10"),
    ("status:closed", ""),
)
"""What is asked of nine alerts, and which answer, newest first."""


class EventsContract:
    """``store.events``"""

    def test_what_is_stored_comes_back_as_it_was(self, store: Store) -> None:
        batch = make.flows(rows=5)
        assert store.events.append(batch) == 5
        rows = store.events.query(Query(dataset="flow"))
        assert rows.columns == [column.name for column in columns.DATASETS["flow"]]
        assert dict(rows.schema) == {column.name: column.dtype for column in columns.DATASETS["flow"]}
        stored = batch.table.sort("event.id", descending=True)
        for name in stored.columns:
            assert rows[name].to_list() == stored[name].to_list(), name
        assert set(rows["event.dataset"]) == {"flow"}
        assert set(rows["observer.name"]) == {"netflow"}
        assert rows["tls.version" if "tls.version" in rows.columns else "tcp.flags"].null_count() == 5

    def test_times_keep_their_microseconds(self, store: Store) -> None:
        odd = datetime(2026, 11, 21, 8, 0, 0, 123_457, tzinfo=UTC)
        store.events.append(make.flows(rows=1, start=odd))
        assert store.events.query(Query())["@timestamp"].to_list() == [odd]
        assert store.events.query(Query(start=odd)).height == 1
        assert store.events.query(Query(end=odd)).height == 0
        assert store.events.query(Query(start=odd + timedelta(microseconds=1))).height == 0

    def test_an_id_is_stored_once_whatever_is_appended_again(self, store: Store) -> None:
        whole = make.flows("p", 10)
        first = replace(whole, table=whole.table.head(6))
        assert store.events.append(first) == 6
        assert store.events.append(first) == 0
        assert store.events.append(whole) == 4
        assert store.events.append(replace(whole, part="other")) == 0
        twice = replace(whole, table=pl.concat([whole.table, whole.table]), part="twice")
        assert store.events.append(twice) == 0
        assert store.events.aggregate(Query(), []).rows() == [(10,)]

    def test_an_empty_batch_is_nothing(self, store: Store) -> None:
        assert store.events.append(make.flows(rows=0)) == 0
        assert store.events.query(Query()).height == 0
        assert store.events.query(Query(dataset="dns")).columns == [c.name for c in columns.DATASETS["dns"]]

    def test_a_row_without_id_is_a_fault(self, store: Store) -> None:
        batch = make.flows(rows=2)
        with pytest.raises(ValueError, match="needs an event"):
            store.events.append(replace(batch, table=batch.table.drop("event.id")))

    def test_native_columns_come_back_in_event_fields(self, store: Store) -> None:
        batch = make.flows(
            rows=3,
            CommandLine=['a "quoted" 值', None, "x"],
            EventID=[1, None, 3],
            event__fields=['{"extra": {"deep": [1, 2.5]}, "EventID": 9}', '{"only": true}', None],
        )
        store.events.append(batch)
        rows = store.events.query(Query(newest_first=False))
        found = [json.loads(text) for text in rows["event.fields"]]
        assert found == [
            {"CommandLine": 'a "quoted" 值', "EventID": 1, "extra": {"deep": [1, 2.5]}},
            {"only": True},
            {"CommandLine": "x", "EventID": 3},
        ]

    def test_fields_that_are_no_json_object_are_kept_as_they_are(self, store: Store) -> None:
        store.events.append(make.flows(rows=1, event__fields="no json"))
        assert store.events.query(Query())["event.fields"].to_list() == ["no json"]

    def test_pages_follow_one_another_without_gap_or_repeat(self, store: Store) -> None:
        store.events.append(make.flows("a", 57))
        store.events.append(make.flows("b", 43, start=NOW - HOUR))
        for newest_first in (True, False):
            seen: list[str] = []
            query = Query(limit=23, newest_first=newest_first)
            while (page := store.events.query(query)).height:
                seen += page["event.id"].to_list()
                query = replace(query, after=seen[-1])
            assert len(seen) == len(set(seen)) == 100
            assert seen == sorted(seen, reverse=newest_first)

    def test_newest_come_first(self, store: Store) -> None:
        for hour in range(30):
            store.events.append(make.flows(f"h{hour}", 2, start=NOW - hour * HOUR))
        newest = store.events.query(Query(limit=3))["@timestamp"].to_list()
        assert newest == [NOW + timedelta(seconds=1), NOW, NOW - HOUR + timedelta(seconds=1)]
        oldest = store.events.query(Query(limit=1, newest_first=False))["@timestamp"].to_list()
        assert oldest == [NOW - 29 * HOUR]

    def test_a_question_has_one_answer(self, store: Store) -> None:
        store.events.append(make.flows())
        expected = dict(EVENT_QUESTIONS)
        assert {text: store.events.query(asked(text)).height for text in expected} == expected
        counted = {text: store.events.aggregate(asked(text), [])["count"].to_list() for text in expected}
        assert counted == {text: [count] for text, count in expected.items()}

    def test_words_are_looked_for_in_the_texts(self, store: Store) -> None:
        messages = ["Failed password for root", "用户口令错误", "横向移动 suspected", "100% *sure*? \\o/"]
        store.events.append(make.logins("p", messages))
        store.events.append(make.flows())
        for text, count in (
            ("failed", 1),
            ('"password for"', 1),
            ("口令", 1),
            ("横向", 1),
            ("横动", 0),
            ("PASSWORD root", 1),
            ("password 口令", 0),
            ("password or 口令", 2),
            ('"*sure*?"', 1),
            ('"\\\\o"', 1),
            ('"100% s"', 0),
            ("message:~移动", 1),
            ('message:"failed password"', 1),
        ):
            assert store.events.query(asked(text)).height == count, text

    def test_lists_are_asked_by_their_items(self, store: Store) -> None:
        store.events.append(make.flows(rows=3, event__flags=[["clock_skew", "truncated"], [], None]))
        for text, count in (
            ("event.flags:truncated", 1),
            ("event.flags:trunc*", 1),
            ("event.flags:~SKEW", 1),
            ("event.flags:*", 1),
            ("-event.flags:truncated", 2),
            ("event.flags:undecoded,clock_skew", 1),
        ):
            assert store.events.query(asked(text)).height == count, text

    def test_rows_are_found_by_id_in_any_dataset(self, store: Store) -> None:
        one, two = make.flows("a", 3), make.logins("b", ["x", "y"])
        store.events.append(one)
        store.events.append(two)
        wanted = [one.table["event.id"][1], two.table["event.id"][0], "0" * 32]
        rows = store.events.get(wanted)
        assert rows["event.id"].to_list() == sorted(wanted[:2])
        assert set(rows["event.dataset"]) == {"flow", "auth"}
        assert store.events.get([]).height == 0

    def test_counts_are_exact_and_in_one_order(self, store: Store) -> None:
        store.events.append(make.flows())
        assert store.events.aggregate(Query(), ["destination.port"]).rows() == [(22, 7), (80, 7), (443, 6)]
        assert store.events.aggregate(Query(), ["destination.port"], top=1).rows() == [(22, 7)]
        both = store.events.aggregate(Query(dataset="flow"), ["destination.ip", "network.transport"])
        assert both.rows() == [("192.0.2.1", "tcp", 10), ("2001:db8::5", "tcp", 10)]
        assert both.schema == {"destination.ip": pl.String, "network.transport": pl.String, "count": pl.Int64}
        assert store.events.aggregate(Query(), ["source.zone"]).rows() == [(None, 20)]
        assert store.events.aggregate(asked("dataset:dns"), ["source.ip"]).rows() == []

    def test_counts_by_interval_begin_on_its_multiples(self, store: Store) -> None:
        store.events.append(make.flows(start=NOW + timedelta(seconds=5)))
        spans = store.events.aggregate(Query(), [], interval_s=10)
        assert spans.rows() == [(NOW, 5), (NOW + timedelta(seconds=10), 10), (NOW + timedelta(seconds=20), 5)]
        best = store.events.aggregate(Query(), ["destination.port"], interval_s=20, top=2)
        later = NOW + timedelta(seconds=20)
        assert best.rows() == [(NOW, 22, 5), (NOW, 80, 5), (later, 22, 2), (later, 80, 2)]
        assert best.schema["bucket"] == pl.Datetime("us", "UTC")

    def test_purging_removes_what_is_old_and_nothing_else(self, store: Store) -> None:
        old, new = make.flows("old", 20, start=NOW - timedelta(days=100)), make.flows("new", 20)
        store.events.append(old)
        store.events.append(new)
        assert store.events.purge(NOW - timedelta(days=200)) == 0
        assert store.events.purge(NOW - timedelta(days=50)) == 20
        assert store.events.get(old.table["event.id"].to_list()).height == 0
        assert store.events.query(Query()).height == 20
        assert store.events.purge(NOW - timedelta(days=50)) == 0
        assert store.events.append(old) == 20

    def test_a_question_no_store_should_be_asked_is_refused(self, store: Store) -> None:
        for query in (
            Query(limit=fields.MAX_ROWS + 1),
            Query(limit=-1),
            Query(dataset="../x"),
            Query(where=Term("no.such", "eq", "x")),
            Query(where=Term("source.ip", "like", "x")),
            Query(where=Term("status", "eq", "open")),
            Query(start=datetime(2026, 1, 1)),
        ):
            with pytest.raises(InputError):
                store.events.query(query)
        for by in (["event.flags"], ["no.such"], ['source.ip") --'], ["source.ip", "source.ip"]):
            with pytest.raises(InputError):
                store.events.aggregate(Query(), by)

    def test_hostile_values_are_only_values(self, store: Store) -> None:
        evil = "x' OR '1'='1\"; DROP TABLE alerts; -- {\"match_all\":{}} */ \u202e"
        store.events.append(make.flows(rows=2, user_agent__original=["", ""], network__protocol=[evil, "dns"]))
        rows = store.events.query(Query(where=Term("network.protocol", "eq", evil)))
        assert rows["network.protocol"].to_list() == [evil]
        assert store.events.query(Query(where=Term("network.protocol", "contains", evil.upper()[:8]))).height == 1
        assert store.events.query(Query(where=Term("network.protocol", "prefix", "%"))).height == 0


class AlertsContract:
    """``store.alerts``"""

    def test_an_alert_comes_back_as_it_was(self, store: Store) -> None:
        one = make.alert(explanation=(), score=0.5, system="his", segment="dmz", dataset="flow")
        assert store.alerts.merge([one]) == [one]
        assert store.alerts.get(one.id) == one
        assert store.alerts.get("none") is None
        assert store.alerts.find(Query()) == [one]
        assert store.alerts.count(Query()) == 1

    def test_a_part_counts_once_however_often_it_is_merged(self, store: Store) -> None:
        first = make.alert(part="p1", count=3, event_ids=("e1", "e2"))
        second = make.alert(part="p2", at=NOW + HOUR, count=4, event_ids=("e0", "e9"))
        assert [a.id for a in store.alerts.merge([first])] == [first.id]
        for _ in range(3):
            assert store.alerts.merge([second]) == []
            assert store.alerts.merge([first]) == []
        merged = store.alerts.get(first.id)
        assert merged is not None
        assert (merged.count, merged.event_ids) == (7, ("e0", "e1", "e2", "e9"))
        assert (merged.first_seen, merged.last_seen, merged.version) == (NOW, NOW + HOUR, 1)

    def test_a_part_seen_anew_replaces_what_it_said(self, store: Store) -> None:
        store.alerts.merge([make.alert(part="p1", count=3), make.alert(part="p2", count=1)])
        store.alerts.merge([make.alert(part="p1", count=5)])
        merged = store.alerts.get(make.alert().id)
        assert merged is not None
        assert merged.count == 6

    def test_a_merged_alert_names_only_what_all_its_parts_agree_on(self, store: Store) -> None:
        base = make.alert(part="p1", system="his", segment="dmz")
        other = replace(
            base,
            part="p2",
            entities={"source.ip": "10.0.0.7", "destination.ip": "192.0.2.9", "host.name": "web"},
            department="教育局",
            system=None,
        )
        for calls in ([[base], [other]], [[other], [base]], [[replace(other, part="p1"), base]]):
            name = make.alert(str(calls)).id
            for alerts in calls:
                store.alerts.merge([replace(alert, id=name) for alert in alerts])
            store.alerts.merge([replace(base, id=name)])
            merged = store.alerts.get(name)
            assert merged is not None
            assert merged.entities == {"source.ip": "10.0.0.7"}
            assert (merged.department, merged.system, merged.segment) == (None, None, "dmz")
        assert store.alerts.count(asked("ip:192.0.2.9")) == 0

    def test_what_one_call_says_twice_of_a_part_is_added_up(self, store: Store) -> None:
        pieces = [make.alert(count=2, event_ids=("a",)), make.alert(count=3, event_ids=("b",))]
        for _ in range(2):
            store.alerts.merge(pieces)
        merged = store.alerts.get(pieces[0].id)
        assert merged is not None
        assert (merged.count, merged.event_ids) == (5, ("a", "b"))

    def test_the_order_of_parts_does_not_matter(self, store: Store) -> None:
        parts = [make.alert(part=f"p{n}", at=NOW + n * HOUR, count=n + 1, reason=Text(f"第{n}", "")) for n in range(4)]
        store.alerts.merge(parts)
        forward = store.alerts.get(parts[0].id)
        others = [replace(part, id="f" * 32) for part in reversed(parts)]
        for other in others:
            store.alerts.merge([other])
        backward = store.alerts.get("f" * 32)
        assert forward is not None and backward is not None
        assert replace(backward, id=forward.id, part=forward.part) == forward
        assert forward.reason.zh == "第3"

    def test_only_the_first_hundred_event_ids_are_kept(self, store: Store) -> None:
        for part in range(3):
            ids = tuple(f"{part}-{n:03d}" for n in range(60))
            store.alerts.merge([make.alert(part=str(part), count=60, event_ids=ids)])
        merged = store.alerts.get(make.alert().id)
        assert merged is not None
        assert merged.count == 180
        assert merged.event_ids == tuple(sorted(f"{p}-{n:03d}" for p in range(3) for n in range(60))[:100])

    def test_a_person_changes_only_what_is_for_people(self, store: Store) -> None:
        one = make.alert()
        store.alerts.merge([one])
        changes = {"status": "closed", "verdict": "false", "owner": "li", "note": "误报", "case_id": "C-1"}
        changed = store.alerts.update(one.id, 1, changes)
        assert changed == replace(one, **changes, version=2)
        assert store.alerts.get(one.id) == changed
        for bad in ({"level": "low"}, {"status": "done"}, {"verdict": "maybe"}, {"note": 3}, {"id": "x"}):
            with pytest.raises(InputError):
                store.alerts.update(one.id, 2, bad)
        assert store.alerts.get(one.id) == changed

    def test_who_read_an_old_version_is_told(self, store: Store) -> None:
        one = make.alert()
        store.alerts.merge([one])
        store.alerts.update(one.id, 1, {"owner": "li"})
        with pytest.raises(ConflictError):
            store.alerts.update(one.id, 1, {"owner": "wang"})
        with pytest.raises(KeyError):
            store.alerts.update("none", 1, {"owner": "wang"})
        found = store.alerts.get(one.id)
        assert found is not None
        assert (found.owner, found.version) == ("li", 2)

    def test_a_closed_alert_keeps_its_verdict_and_counts_on(self, store: Store) -> None:
        store.alerts.merge([make.alert()])
        store.alerts.update(make.alert().id, 1, {"status": "closed", "verdict": "benign"})
        assert store.alerts.merge([make.alert(part="p2", at=NOW + HOUR)]) == []
        found = store.alerts.get(make.alert().id)
        assert found is not None
        assert (found.status, found.verdict, found.count, found.version) == ("closed", "benign", 2, 2)

    @pytest.fixture
    def many(self, store: Store) -> list[Alert]:
        alerts = [
            make.alert(
                f"n{n}",
                at=NOW + n * HOUR,
                level=("low", "high", "critical")[n % 3],
                rule_id="r-ssh" if n % 2 else "r-web",
                title=Text("远程登录", "Remote login") if n % 2 else Text("网站扫描", "Web scan"),
                reason=Text("疑似横向移动" if n % 2 else "目录扫描", "moving on" if n % 2 else "many paths"),
                entities={"source.ip": f"10.0.{n}.7", "destination.ip": "2001:db8::5", "user.name": "root"},
                tags=("attack.t1021",) if n % 2 else (),
                system="his" if n < 3 else None,
                score=n / 10,
            )
            for n in range(9)
        ]
        store.alerts.merge(alerts)
        store.alerts.update(alerts[0].id, 1, {"owner": "li", "note": "口令 policy"})
        return alerts

    def test_a_question_has_one_answer(self, store: Store, many: list[Alert]) -> None:
        order = {alert.id: str(number) for number, alert in enumerate(many)}
        expected = dict(ALERT_QUESTIONS)
        found = {text: "".join(order[a.id] for a in store.alerts.find(asked(text))) for text in expected}
        assert found == expected
        assert {text: store.alerts.count(asked(text)) for text in expected} == {t: len(f) for t, f in expected.items()}
        grouped = {text: store.alerts.groups(asked(text))["alerts"].sum() for text in expected}
        assert grouped == {text: len(numbers) for text, numbers in expected.items()}

    def test_text_given_beside_the_condition_narrows_it(self, store: Store, many: list[Alert]) -> None:
        assert len(store.alerts.find(asked("level:high", text="横向"))) == 2

    def test_pages_follow_one_another_without_gap_or_repeat(self, store: Store) -> None:
        store.alerts.merge([make.alert(f"x{n}", at=NOW + (n % 3) * HOUR) for n in range(20)])
        for newest_first in (True, False):
            seen: list[str] = []
            query = Query(limit=7, newest_first=newest_first)
            while page := store.alerts.find(query):
                seen += [alert.id for alert in page]
                query = replace(query, after=seen[-1])
            assert len(seen) == len(set(seen)) == 20
        assert store.alerts.find(Query(after="no such id")) == []

    def test_groups_are_by_rule_source_and_destination(self, store: Store) -> None:
        same = {"source.ip": "10.0.0.7", "destination.ip": "192.0.2.1"}
        store.alerts.merge(
            [
                make.alert("a", at=NOW, count=2, level="low", entities=same),
                make.alert("b", at=NOW + HOUR, count=5, level="critical", entities=same, title=Text("后", "later")),
                make.alert("c", at=NOW + 2 * HOUR, entities={"source.ip": "10.0.0.8"}),
            ]
        )
        groups = store.alerts.groups(Query())
        assert groups.columns == [
            *("rule_id", "source.ip", "destination.ip", "alerts", "count", "level"),
            *("title_zh", "title_en", "first_seen", "last_seen", "latest"),
        ]
        rule, latest = make.alert().rule_id, make.alert("b").id
        assert groups.row(1) == (
            *(rule, "10.0.0.7", "192.0.2.1", 2, 7, "critical", "后", "later", NOW, NOW + HOUR, latest),
        )
        assert groups.row(0)[1:5] == ("10.0.0.8", None, 1, 1)
        first = store.alerts.groups(Query(limit=1))
        rest = store.alerts.groups(Query(limit=5, after=first["latest"][0]))
        assert rest["latest"].to_list() == [latest]
        assert store.alerts.groups(asked("level:informational")).rows() == []


class RecordsContract:
    """``store.records``"""

    def test_evidence_never_changes(self, store: Store) -> None:
        one, two = make.evidence("e1"), make.evidence("e2", system="oa", check="backup", at=NOW + HOUR)
        assert store.records.put_evidence([one, two]) == 2
        assert store.records.put_evidence([replace(one, record="other"), make.evidence("e3", check="ssh")]) == 1
        found = store.records.find_evidence()
        assert [e.id for e in found] == [two.id, *sorted([one.id, make.evidence("e3").id])]
        assert store.records.find_evidence(system="his", check="tls") == [one]
        assert store.records.find_evidence(ids=[two.id, "none"]) == [two]
        assert store.records.find_evidence(ids=[]) == []

    def test_a_slot_is_claimed_by_one(self, store: Store, clock: Any) -> None:
        mine = store.records.claim(make.run(owner="n1"))
        assert mine is not None
        assert (mine.fence, mine.owner, mine.outcome) == (1, "n1", "running")
        assert store.records.claim(make.run(owner="n2")) is None
        assert store.records.claim(make.run(slot=NOW + HOUR, owner="n2")) is not None
        clock.forward(timedelta(minutes=6))
        theirs = store.records.claim(make.run(owner="n2", lease=timedelta(minutes=20)))
        assert theirs is not None
        assert theirs.fence == 2
        with pytest.raises(ConflictError):
            store.records.finish(replace(mine, outcome="ok"))
        done = replace(theirs, outcome="ok", ended=clock())
        store.records.finish(done)
        clock.forward(HOUR)
        assert store.records.claim(make.run(owner="n3")) is None
        assert [run.outcome for run in store.records.find_runs("scan")] == ["running", "ok"]
        assert store.records.find_runs("scan", 1)[0].slot == NOW + HOUR
        assert store.records.find_runs("other") == []
        with pytest.raises(ConflictError):
            store.records.finish(replace(done, job="other"))

    def test_a_lease_can_be_renewed(self, store: Store, clock: Any) -> None:
        mine = store.records.claim(make.run())
        assert mine is not None
        store.records.finish(replace(mine, lease_until=NOW + HOUR))
        clock.forward(timedelta(minutes=30))
        assert store.records.claim(make.run(owner="n2")) is None

    def test_schedules_are_kept_by_id(self, store: Store) -> None:
        one = Schedule("s1", "scan", Text("扫描", "scan"), "0 2 * * *", {"segment": "dmz", "depth": 3})
        store.records.put_schedule(one)
        store.records.put_schedule(Schedule("s0", "drill", Text("演练", "drill"), "every 5m"))
        store.records.put_schedule(replace(one, enabled=False))
        assert [s.id for s in store.records.find_schedules()] == ["s0", "s1"]
        assert store.records.find_schedules()[1] == replace(one, enabled=False)

    def test_assessments_and_drills_are_kept_by_id(self, store: Store) -> None:
        one = make.assessment("a1")
        store.records.put_assessment(one)
        store.records.put_assessment(make.assessment("a2", system="oa", at=NOW + HOUR))
        assert store.records.get_assessment("a1") == one
        assert store.records.get_assessment("none") is None
        assert [a.id for a in store.records.find_assessments()] == ["a2", "a1"]
        assert store.records.find_assessments("his") == [one]
        drill = make.drill("d1")
        store.records.put_drill(drill)
        assert store.records.get_drill("d1") == drill
        assert store.records.find_drills("his") == [drill]
        assert store.records.find_drills("oa") == []

    def test_dead_letters_are_kept_once_and_cut(self, store: Store) -> None:
        items = [DeadLetter("s", n, "bad", bytes([n, 255]) * 40_000) for n in range(3)]
        assert store.records.add_dead(items) == 3
        assert store.records.add_dead([*items, DeadLetter("t", 1, "bad", b"x")]) == 1
        found = store.records.find_dead("s")
        assert [item.place for item in found] == [2, 1, 0]
        assert found[0].raw == items[2].raw[:65_536]
        assert len(store.records.find_dead()) == 4
        assert len(store.records.find_dead(limit=2)) == 2

    def test_the_ledger_balances_however_often_a_chunk_is_booked(self, store: Store, clock: Any) -> None:
        for _ in range(3):
            store.records.account(make.chunk())
        clock.forward(HOUR)
        store.records.account(make.chunk(part="p2", received=5, rejected=0, dropped=0))
        store.records.account(make.chunk("s0"))
        zero, one = store.records.ledger()
        assert (zero.source, one.source, one.unit) == ("s0", "s1", "line")
        assert (one.received, one.stored, one.dead, one.dropped, one.events) == (15, 12, 2, 1, 12)
        assert one.balance == 0
        assert one.last_seen == NOW + HOUR
        assert zero.last_seen == NOW + HOUR

    def test_a_chunk_that_loses_items_shows_in_the_balance(self, store: Store) -> None:
        store.records.account(make.chunk(received=3, rejected=0, dropped=0))
        broken = make.chunk(part="p2", received=3, rejected=0, dropped=0)
        store.records.account(replace(broken, decoded=replace(broken.decoded, rejected=5)))
        assert store.records.ledger()[0].balance == -2

    def test_the_audit_log_is_one_chain(self, store: Store) -> None:
        rows = [store.records.append_audit("li", "10.0.0.1", "alert.close", f"a{n}", "细节", NOW) for n in range(5)]
        assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
        assert all(after.previous == before.hash for before, after in pairwise(rows))
        assert store.records.find_audit() == rows[::-1]
        assert store.records.find_audit(2) == rows[:2:-1]
        assert store.records.verify_audit() is None  # type: ignore[attr-defined]

    def test_small_state_is_kept_by_name(self, store: Store) -> None:
        assert store.records.get_value("cursor") is None
        store.records.put_value("cursor", b"\x00\xff1")
        store.records.put_value("cursor", b"\x00\xff2")
        store.records.put_value("游标/../x", b"")
        assert store.records.get_value("cursor") == b"\x00\xff2"
        assert store.records.get_value("游标/../x") == b""


def sighting(**changes: Any) -> Sighting:
    base = Sighting(
        NOW.date(),
        "flow",
        "netflow",
        "network||connection",
        "water",
        "ot",
        3,
        NOW,
        {"source.ip": (3, NOW), "x": (1, NOW)},
    )
    return replace(base, **changes)


class SightingsContract:
    """What rule coverage stands on."""

    def test_sightings_of_one_day_and_source_are_added_up(self, store: Store) -> None:
        later = NOW + HOUR
        store.records.add_sightings([sighting(), sighting(last_seen=later, columns={"x": (2, later), "y": (1, later)})])
        store.records.add_sightings([sighting(department=None), sighting()])
        found = {one.department: one for one in store.records.find_sightings(NOW.date())}
        whole = found["water"]
        assert (whole.rows, whole.last_seen) == (9, later)
        assert whole.columns == {"source.ip": (6, NOW), "x": (4, later), "y": (1, later)}
        assert found[None].rows == 3

    def test_sightings_are_found_from_a_day_on_and_forgotten_after_a_week(self, store: Store) -> None:
        days = [NOW.date() - timedelta(days=n) for n in (0, 1, 30)]
        store.records.add_sightings([sighting(day=day) for day in reversed(days)])
        assert [one.day for one in store.records.find_sightings(days[1])] == [days[1], days[0]]
        assert [one.day for one in store.records.find_sightings(days[2])] == [days[1], days[0]]

    def test_a_day_with_too_many_segments_is_told_without_them(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sightings, "MAX_KEYS", 3)
        monkeypatch.setattr(sightings, "MAX_FOLDED", 1)
        store.records.add_sightings([sighting(segment=f"s{n}") for n in range(6)])
        store.records.add_sightings([sighting(collector="other")])
        found = store.records.find_sightings(NOW.date())
        assert sorted((one.segment or "", one.rows) for one in found) == [("", 9), ("s0", 3), ("s1", 3), ("s2", 3)]

    def test_verdicts_are_counted_by_rule(self, store: Store) -> None:
        made = store.alerts.merge([make.alert(f"v{n}", rule_id="r1" if n else "r2") for n in range(3)])
        closed = next(one for one in made if one.rule_id == "r1")
        store.alerts.update(closed.id, closed.version, {"status": "closed", "verdict": "false"})
        found = store.alerts.verdicts(Query())
        assert found.select("rule_id", "status", "verdict", "alerts").rows() == [
            ("r1", "closed", "false", 1),
            ("r1", "open", None, 1),
            ("r2", "open", None, 1),
        ]
        assert found["last_seen"].dtype == pl.Datetime("us", "UTC")
        assert found["count"].sum() == sum(one.count for one in store.alerts.find(Query()))
