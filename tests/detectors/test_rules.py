"""Hits become alerts: merged, explained, with ids that no order of arrival changes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.detectors.rules import MAX_ALERTS, RuleDetector
from cityguard.errors import InputError
from cityguard.model import MAX_EVENT_IDS, Alert, EventBatch, LogSource
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset, load_bytes

NOW = datetime(2026, 3, 11, 15, 0, tzinfo=UTC)
SOURCE = LogSource(("network",), (), ("connection",))
RULES = """title: Telnet
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
name: telnet
author: an author
logsource: {category: network, service: connection}
detection:
  s: {destination.port: 23}
  not_me: {source.ip: 10.9.9.9}
  condition: s and not not_me
level: high
tags: [attack.t1040]
custom:
  cityguard: {title_zh: 明文登录, advice: {zh: 改用 SSH, en: use SSH}}
---
title: Telnet sweep
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a02
correlation:
  type: value_count
  rules: [telnet]
  group-by: [source.ip]
  timespan: 10m
  condition: {field: destination.ip, gte: 5}
  generate: true
level: critical
"""


def detector(text: str = RULES) -> RuleDetector:
    made = load_bytes(text.encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return RuleDetector(made, clock=lambda: NOW)


def flows(rows: list[dict[str, Any]], part: str = "p1") -> EventBatch:
    table = pl.DataFrame(
        [
            {
                "@timestamp": NOW + timedelta(seconds=row.get("at", 0)),
                "event.id": f"{row['id']:032x}",
                "source.ip": row.get("src", "10.0.0.1"),
                "destination.ip": row.get("dst", "10.0.0.2"),
                "destination.port": row.get("port", 23),
                "destination.department": row.get("dept"),
                "source.department": "sender",
            }
            for row in rows
        ],
        infer_schema_length=None,
    )
    return EventBatch("flow", "test", table, segment="seg", logsource=SOURCE, part=part)


def plain(alerts: list[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.source == "sigma"]


def test_an_alert_says_who_did_what_to_whom_and_what_to_do() -> None:
    found = detector().detect(flows([{"id": 1, "dept": "water"}, {"id": 2, "port": 80}]))
    assert len(found) == 1
    alert = found[0]
    assert alert.reason.zh == "10.0.0.1 → 10.0.0.2：明文登录（destination.port = 23）"
    assert alert.reason.en == "10.0.0.1 → 10.0.0.2: Telnet (destination.port = 23)"
    assert (alert.title.zh, alert.level, alert.author, alert.tags) == (
        "明文登录",
        "high",
        "an author",
        ("attack.t1040",),
    )
    assert (alert.advice.zh, alert.advice.en) == ("改用 SSH", "use SSH")
    assert alert.entities == {"source.ip": "10.0.0.1", "destination.ip": "10.0.0.2"}
    assert (alert.department, alert.segment, alert.dataset, alert.part) == ("water", "seg", "flow", "p1")
    assert (alert.first_seen, alert.count, alert.event_ids) == (NOW, 1, (f"{1:032x}",))


def test_the_department_is_the_source_s_where_the_destination_has_none() -> None:
    assert detector().detect(flows([{"id": 1}]))[0].department == "sender"


def test_hits_of_one_group_and_hour_are_one_alert() -> None:
    rows = [{"id": n, "at": n} for n in range(300)] + [{"id": 900, "at": 3600}, {"id": 901, "src": "10.0.0.7"}]
    found = plain(detector().detect(flows(rows)))
    assert sorted(alert.count for alert in found) == [1, 1, 300]
    big = max(found, key=lambda alert: alert.count)
    assert (big.first_seen, big.last_seen) == (NOW, NOW + timedelta(seconds=299))
    assert big.event_ids == tuple(sorted(f"{n:032x}" for n in range(300))[:MAX_EVENT_IDS])


def test_a_million_hits_are_one_alert() -> None:
    size = 1_000_000
    table = pl.DataFrame(
        {
            "@timestamp": pl.Series([NOW]).new_from_index(0, size),
            "event.id": pl.int_range(size, eager=True).cast(pl.String),
            "source.ip": pl.Series(["10.0.0.1"]).new_from_index(0, size),
            "destination.port": pl.Series([23]).new_from_index(0, size),
        }
    )
    begun = time.process_time()
    found = plain(detector().detect(EventBatch("flow", "test", table, logsource=SOURCE, part="p")))
    assert [alert.count for alert in found] == [size]
    assert len(found[0].event_ids) == MAX_EVENT_IDS
    assert time.process_time() - begun < 20


def test_too_many_groups_become_one_alert_and_nothing_is_lost() -> None:
    one = detector()
    rows = [{"id": n, "src": f"10.{n // 250}.{n % 250}.1"} for n in range(MAX_ALERTS + 50)]
    found = plain(one.detect(flows(rows)))
    assert len(found) == MAX_ALERTS + 1
    assert sum(alert.count for alert in found) == MAX_ALERTS + 50
    assert "50" in found[-1].reason.zh
    assert one.folded.total() == 50


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "at": st.integers(0, 9000),
                "src": st.sampled_from(["10.0.0.1", "10.0.0.3", "10.9.9.9"]),
                "dst": st.integers(1, 9).map(lambda n: f"10.1.0.{n}"),
                "port": st.sampled_from([23, 23, 80]),
            }
        ),
        min_size=1,
        max_size=60,
    ),
    pieces=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
)
def test_ids_and_counts_do_not_depend_on_the_order_of_batches(rows: list[Any], pieces: int, order: Any) -> None:
    rows = [{**row, "id": n} for n, row in enumerate(rows)]
    whole = count(detector(), [rows])
    order.shuffle(rows)
    assert count(detector(), [rows[n::pieces] for n in range(pieces)]) == whole


def count(one: RuleDetector, batches: list[list[dict[str, Any]]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for number, rows in enumerate(batches):
        alerts = one.detect(flows(rows, f"part{number}")) if rows else []
        assert len({alert.id for alert in alerts}) == len(alerts)
        for alert in alerts:
            assert alert.part == f"part{number}"
            total[alert.id] = total.get(alert.id, 0) + alert.count
    assert not one.finish()
    return total


def test_a_correlation_explains_itself() -> None:
    found = detector().detect(flows([{"id": n, "at": n, "dst": f"10.1.0.{n}"} for n in range(6)]))
    alert = next(alert for alert in found if alert.source == "correlation")
    assert alert.reason.zh == "10.0.0.1：Telnet sweep（10 分钟内 6 个不同的 destination.ip）"
    assert alert.reason.en == "10.0.0.1: Telnet sweep (6 different destination.ip within 10 min)"
    assert alert.entities == {"source.ip": "10.0.0.1"}
    assert (alert.count, alert.level, len(alert.event_ids)) == (6, "critical", 6)


def test_rules_that_only_feed_a_correlation_are_silent() -> None:
    quiet = detector(RULES.replace("  generate: true\n", ""))
    assert {a.source for a in quiet.detect(flows([{"id": n, "dst": f"10.1.0.{n}"} for n in range(6)]))} == {
        "correlation"
    }


def test_a_group_of_the_rule_s_own_names_only_what_all_hits_share() -> None:
    one = detector(RULES.replace("cityguard: {", "cityguard: {group: [destination.ip], "))
    found = plain(one.detect(flows([{"id": 1, "src": "10.0.0.1"}, {"id": 2, "src": "10.0.0.3"}])))
    assert [(alert.count, alert.entities) for alert in found] == [(2, {"destination.ip": "10.0.0.2"})]


def test_a_snapshot_goes_on_where_it_stopped() -> None:
    first, second = detector(), detector()
    first.detect(flows([{"id": n, "dst": f"10.1.0.{n}"} for n in range(4)]))
    second.restore(first.snapshot())
    found = second.detect(flows([{"id": 9, "dst": "10.1.0.9"}]))
    assert [alert.count for alert in found if alert.source == "correlation"] == [5]


@pytest.mark.parametrize("state", [b"", b"[]", b'{"version": 9}', b'{"version": 1, "correlator": {"kept": 3}}'])
def test_a_broken_snapshot_is_refused(state: bytes) -> None:
    with pytest.raises(InputError, match="snapshot"):
        detector().restore(state)


def test_events_without_time_ids_or_addresses_still_alert() -> None:
    table = pl.DataFrame({"destination.port": [23, 23]})
    found = detector().detect(EventBatch("flow", "test", table, logsource=SOURCE, part="p"))
    assert [(alert.count, alert.first_seen, alert.event_ids) for alert in found] == [(2, NOW, ())]


def test_an_empty_rule_set_or_batch_is_quiet() -> None:
    assert RuleDetector(Ruleset()).detect(flows([{"id": 1}])) == []
    assert detector().detect(EventBatch("flow", "test", pl.DataFrame(), logsource=SOURCE)) == []


def test_rules_are_exchanged_between_batches_and_correlations_go_on() -> None:
    made, other = load_bytes(BURST.encode()), load_bytes((BURST + EXTRA).encode())
    assert not made.faults and not other.faults, [str(one) for one in (*made.faults, *other.faults)]
    detector = RuleDetector(made, clock=lambda: datetime(2026, 3, 2, 3, tzinfo=UTC))
    first = [{"@timestamp": datetime(2026, 3, 2, 2, 0, second, tzinfo=UTC), "f": "abc"} for second in (1, 2)]
    last = [{"@timestamp": datetime(2026, 3, 2, 2, 0, 3, tzinfo=UTC), "f": "abc", "g": "xyz"}]
    source = LogSource(("test",))
    assert detector.detect(EventBatch("host", "test", pl.DataFrame(first), logsource=source, part="1")) == []
    detector.exchange(other, Engine.compile(other))
    told = detector.detect(EventBatch("host", "test", pl.DataFrame(last), logsource=source, part="2"))
    assert {one.title.en for one in told} == {"three", "extra"}


BURST = """\
title: one
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
logsource: {category: test}
detection:
  s: {f: abc}
  condition: s
---
title: three
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a02
correlation:
  type: event_count
  rules: [6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01]
  timespan: 1m
  condition: {gte: 3}
"""
EXTRA = """\
---
title: extra
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a03
logsource: {category: test}
detection:
  s: {g: xyz}
  condition: s
"""


def test_a_group_that_rules_name_differently_is_who_the_last_of_them_says() -> None:
    text = (
        RULES.split("---")[0]
        + """---
title: SSH
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a03
name: ssh
logsource: {category: network, service: connection}
detection: {s: {destination.port: 22}, condition: s}
---
title: Reached, then reaches on
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a04
correlation:
  type: temporal_ordered
  rules: [telnet, ssh]
  group-by: [host]
  aliases: {host: {telnet: destination.ip, ssh: source.ip}}
  timespan: 10m
"""
    )
    rows = [
        {"id": 1, "src": "10.0.0.1", "dst": "10.0.0.2"},
        {"id": 2, "at": 60, "src": "10.0.0.2", "dst": "10.0.0.3", "port": 22},
    ]
    (alert,) = [one for one in detector(text).detect(flows(rows)) if one.source == "correlation"]
    assert alert.entities == {"source.ip": "10.0.0.2"}
