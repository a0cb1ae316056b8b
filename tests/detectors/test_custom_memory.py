"""What rules that remember fire at, against the same told row by row; and what their alerts say."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.detectors.custom.absence import Silences
from cityguard.detectors.custom.baseline import Baselines
from cityguard.detectors.custom.new_terms import Terms
from cityguard.detectors.custom.rate import Rates
from cityguard.detectors.custom.sequence import UNTIL, Sequences
from cityguard.detectors.custom.suppress import Openings
from cityguard.detectors.rules import RuleDetector
from cityguard.detectors.telling import BUDGET
from cityguard.errors import InputError
from cityguard.model import Alert, EventBatch, LogSource
from cityguard.sigma.custom import Absence, Baseline, NewTerms, Rate, Suppress
from cityguard.sigma.custom import Sequence as Steps
from cityguard.sigma.rule import load_bytes

US = 1_000_000
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
SOURCE = LogSource(("network",), (), ("connection",))
Hit = tuple[int, str, int]  # seconds, group, role


def hits(seed: int) -> list[Hit]:
    draw = random.Random(seed)
    count, groups = draw.randint(1, 60), draw.choice([1, 2, 3])
    return sorted((draw.randint(0, 300), f"g{draw.randrange(groups)}", draw.randint(-1, 2)) for _ in range(count))


def rows(given_: Sequence[Hit]) -> pl.DataFrame:
    count = len(given_)
    return pl.DataFrame(
        {
            "time": pl.Series([START + timedelta(seconds=at) for at, _, _ in given_], dtype=pl.Datetime("us", "UTC")),
            "id": [f"{number:04}" for number in range(count)],
            **{f"who{index}": pl.Series([None] * count, dtype=pl.String) for index in range(4)},
            "t": [at * US for at, _, _ in given_],
            "e": [at * US for at, _, _ in given_],
            "role": pl.Series([role for _, _, role in given_], dtype=pl.Int64),
            "by": [group for _, group, _ in given_],
            "sup": [group for _, group, _ in given_],
            "value": pl.Series([float(at % 7) for at, _, _ in given_], dtype=pl.Float64),
        }
    )


def cut(kind: Any, given_: Sequence[Hit], at: int, end: int) -> list[pl.DataFrame]:
    """What fires when the rows are given in two pieces, each up to a moment."""
    found, every = [], rows(given_)
    for piece, mark in ((every.filter(pl.col("e") <= at * US), at), (every.filter(pl.col("e") > at * US), end)):
        told = kind.take(piece if piece.height else None, mark * US, 0)
        found += [told] if told is not None else []
    return found


def ids(found: Iterable[pl.DataFrame]) -> list[str]:
    return sorted(one for table in found for one in table["id"])


def expected(given_: Sequence[Hit], judge: Callable[[int, str, int], bool]) -> list[str]:
    return [f"{number:04}" for number, hit in enumerate(given_) if judge(*hit)]


MANY = settings(deadline=None, max_examples=40, database=None)
HITS = st.integers(0, 1 << 32).map(hits)


@MANY
@given(HITS, st.integers(0, 300), st.integers(1, 120), st.integers(0, 120))
def test_a_term_is_new_when_its_history_does_not_hold_it(given_: list[Hit], at: int, history: int, learn: int) -> None:
    last: dict[str, int] = {}

    def judge(now: int, group: str, _: int) -> bool:
        before, last[group] = last.get(group), now
        return now >= learn and (before is None or now - before > history)

    found = cut(Terms(NewTerms(("a",), history, learn)), given_, at, 300)
    assert ids(found) == expected(given_, judge)


@MANY
@given(HITS, st.integers(0, 300), st.integers(1, 60), st.integers(2, 6))
def test_a_rate_is_reached_by_the_hit_that_completes_it(given_: list[Hit], at: int, per: int, gte: int) -> None:
    last: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=gte))

    def judge(now: int, group: str, _: int) -> bool:
        last[group].append(now)
        return len(last[group]) == gte and now - last[group][0] <= per

    found = cut(Rates(Rate(per, (), gte)), given_, at, 300)
    assert ids(found) == expected(given_, judge)


@MANY
@given(HITS, st.integers(0, 300), st.integers(1, 90), st.integers(1, 4))
def test_a_silence_is_told_once_and_when_it_was_due(given_: list[Hit], at: int, every: int, after: int) -> None:
    times: dict[str, list[int]] = defaultdict(list)
    for now, group, _ in given_:
        times[group].append(now)
    due = sorted(
        (seen[number] + every, group)
        for group, seen in times.items()
        for number in range(after - 1, len(seen))
        if ([*seen, 300][number + 1] - seen[number]) > every
    )
    found = cut(Silences(Absence(every, (), after)), given_, at, 300)
    assert sorted((e // US, by) for one in found for e, by in one.select("e", "by").iter_rows()) == due


@MANY
@given(HITS, st.integers(0, 300), st.integers(1, 200))
def test_a_sequence_has_its_steps_in_order_and_no_end_between(given_: list[Hit], at: int, span: int) -> None:
    seen: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def judge(now: int, group: str, role: int) -> bool:
        past = seen[group]
        if role == UNTIL:
            past.clear()
        past.append((now, role))
        return role == 2 and any(
            one == 0 and now - then <= span and any(other == 1 for _, other in past[number + 1 : -1])
            for number, (then, one) in enumerate(past)
        )

    found = cut(Sequences(Steps(("a", "b"), (), span)), given_, at, 300)
    assert ids(found) == expected(given_, judge)


@MANY
@given(HITS, st.integers(0, 300), st.integers(1, 200))
def test_an_alert_stays_open_for_its_span_from_its_first_hit(given_: list[Hit], at: int, span: int) -> None:
    opened: dict[str, int] = {}
    wanted = []
    for now, group, _ in given_:
        if group not in opened or now - opened[group] > span:
            opened[group] = now
        wanted.append(opened[group] * US)
    kind, found, every = Openings(Suppress((), span)), [], rows(given_)
    for piece, mark in ((every.filter(pl.col("e") <= at * US), at), (every.filter(pl.col("e") > at * US), 300)):
        found += kind.take(piece, mark * US)["opened"].to_list()
    assert found == wanted


@MANY
@given(HITS, st.integers(0, 300), st.sampled_from(["up", "down", "both"]), st.sampled_from(["mad", "quantile"]))
def test_a_window_is_held_against_those_before_it(given_: list[Hit], at: int, direction: Any, method: Any) -> None:
    import statistics

    asked = Baseline(None, (), 10, method, 2.0, 3, direction)
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for now, group, _ in given_:
        counts[group][now // 10 * 10] += 1
    wanted = []
    for group, windows in counts.items():
        samples: list[float] = []
        for window, count in sorted(windows.items()):
            if window + 10 > 300:
                continue
            value = float(count)
            if len(samples) >= 3:
                middle = statistics.median(samples)
                spread = statistics.median(abs(one - middle) for one in samples) * 1.4826
                spread = max(spread, abs(middle) * 0.05, 1.0)
                low, high = middle - 2 * spread, middle + 2 * spread
                if method == "quantile":
                    low, high = quantile(samples, 0.05) / 2, quantile(samples, 0.95) * 2
                if (value > high and direction != "down") or (value < low and direction != "up"):
                    wanted.append((window, group))
                value = min(max(value, low), high)
            samples.append(value)
    found = cut(Baselines(asked), given_, at, 300)
    assert sorted((at // US, by) for one in found for at, by in one.select("from", "by").iter_rows()) == sorted(wanted)


def quantile(samples: list[float], share: float) -> float:
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "kind",
    [
        Terms(NewTerms(("a",), 100_000, 0), most=8),
        Rates(Rate(100_000, (), 2), most=8),
        Silences(Absence(100_000, (), 1), most=8),
        Sequences(Steps(("a",), (), 100_000), most=8),
        Baselines(Baseline(None, (), 100_000, "mad", 4.0, 3), most=8),
    ],
    ids=lambda kind: type(kind).__name__,
)
def test_what_is_remembered_is_bounded_and_what_is_given_up_is_counted(kind: Any) -> None:
    kind.take(rows([(number, f"g{number}", 0) for number in range(20)]), 20 * US, 0)
    assert kind.lost == 13  # with an eighth more, so that not every batch has to choose
    assert max(one.height for one in kind.tables().values()) == 7


# ---------------------------------------------------------------- alerts


def detector(ours: str, more: str = "", change: tuple[str, str] = ("", "")) -> RuleDetector:
    text = f"""title: Polled
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b01
name: polled
logsource: {{category: network}}
detection: {{s: {{destination.port: 502}}, condition: s}}
custom:
  cityguard:
    title_zh: 轮询
    advice: {{zh: 查看, en: look}}
    group: [source.ip]
    {ours}
"""
    made = load_bytes((text.replace(*change) + more).encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return RuleDetector(made, clock=lambda: START + timedelta(days=30))


def batch(events: Sequence[tuple[int, str]], port: int = 502, part: str = "p", received: bool = False) -> EventBatch:
    moments = [START + timedelta(seconds=at) for at, _ in events]
    table = pl.DataFrame(
        {
            "@timestamp": pl.Series(moments, dtype=pl.Datetime("us", "UTC")),
            "event.id": [f"{number:032x}" for number in range(len(events))],
            "source.ip": [source for _, source in events],
            "destination.port": [port] * len(events),
            "source.bytes": [100] * len(events),
        }
    )
    if received:
        table = table.with_columns(pl.col("@timestamp").alias("event.ingested"))
    return EventBatch("flow", "test", table, logsource=SOURCE, part=part)


def whole(one: RuleDetector, *batches: EventBatch) -> list[Alert]:
    told = [alert for given_ in batches for alert in one.detect(given_)] + one.finish()
    return list({alert.id: alert for alert in told}.values())  # the last of each tells all


def test_a_new_term_says_what_is_new_and_since_when_it_is_watched() -> None:
    one = detector("new_terms: {fields: [source.ip], history: 1d, learn: 1h}")
    (alert,) = whole(one, batch([(0, "10.0.0.1"), (4000, "10.0.0.1"), (4001, "10.0.0.2")]))
    assert alert.reason.zh == (
        "10.0.0.2：轮询（destination.port = 502）；"
        "近 1 天内首次出现 source.ip = 10.0.0.2（从未见过，自 2026-03-02 10:00:00 起观察）"
    )
    assert alert.reason.en.endswith(
        "first within 1 d: source.ip = 10.0.0.2 (never seen, watched since 2026-03-02 10:00:00)"
    )
    assert (alert.explanation[0].field, alert.explanation[0].value) == ("source.ip", "10.0.0.2")
    assert (alert.count, alert.source, alert.event_ids) == (1, "sigma", (f"{2:032x}",))


def test_a_rate_says_how_fast_it_was_reached() -> None:
    one = detector("rate: {per: 1m, by: [source.ip], gte: 3}")
    (alert,) = whole(one, batch([(0, "10.0.0.1"), (5, "10.0.0.1"), (12, "10.0.0.1"), (500, "10.0.0.1")]))
    assert "12 秒内 3 次（上限为每 1 分钟 3 次" in alert.reason.zh
    assert "3 times within 12 s (the limit is 3 per 1 min" in alert.reason.en
    assert (alert.first_seen, alert.last_seen) == (START, START + timedelta(seconds=12))


def test_a_silence_says_when_it_was_last_heard() -> None:
    one = detector("absence: {every: 1m, by: [source.ip]}")
    (alert,) = whole(one, batch([(0, "10.0.0.1"), (30, "10.0.0.1"), (60, "10.0.0.1"), (500, "10.0.0.2")]))
    assert "应至少每 1 分钟出现一次，2026-03-02 10:01:00 之后未再出现（此前 3 次）" in alert.reason.zh
    assert "expected at least every 1 min; not seen after 2026-03-02 10:01:00 (3 times before)" in alert.reason.en
    assert alert.first_seen == START + timedelta(seconds=120)


def test_a_baseline_says_what_is_usual() -> None:
    one = detector("baseline: {field: source.bytes, by: [source.ip], window: 1m, min_samples: 5}")
    usual = [(60 * minute, "10.0.0.1") for minute in range(10)]
    (alert,) = whole(one, batch([*usual, *((600 + n % 60, "10.0.0.1") for n in range(50)), (700, "10.0.0.9")]))
    assert "1 分钟内source.bytes 合计 5000，平时不超过 120（mad，依据 2026-03-02 10:00:00 以来）" in alert.reason.zh
    assert "source.bytes adds up to 5000, usually at most 120 (mad, known since 2026-03-02 10:00:00)" in alert.reason.en
    assert (alert.count, alert.entities) == (50, {"source.ip": "10.0.0.1"})
    assert alert.explanation[0].contribution == pytest.approx(5000 / 120)


def test_response_follows_the_advice() -> None:
    one = detector("response: {zh: 断开, en: cut}")
    (alert,) = whole(one, batch([(0, "10.0.0.1")]))
    assert (alert.advice.zh, alert.advice.en) == ("查看；处置：断开", "look; Response: cut")


def test_one_alert_for_as_long_as_it_is_suppressed() -> None:
    one = detector("suppress: {by: [source.ip], for: 6h}")
    found = whole(one, batch([(3600 * hour, "10.0.0.1") for hour in range(10)]))
    assert sorted(alert.count for alert in found) == [3, 7]


def test_an_exception_allows_until_it_expires_and_then_says_so() -> None:
    one = detector("allow: [{fields: {source.ip|cidr: 10.0.0.0/24}, owner: 水务科, reason: 采集, expires: 2026-03-02}]")
    found = whole(one, batch([(0, "10.0.0.1"), (50_399, "10.0.0.1"), (50_400, "10.0.0.1"), (1, "10.0.1.1")]))
    assert sorted((alert.entities["source.ip"], alert.count) for alert in found) == [("10.0.0.1", 1), ("10.0.1.1", 1)]
    late = next(alert for alert in found if alert.entities["source.ip"] == "10.0.0.1")
    assert late.first_seen == datetime(2026, 3, 2, 16, 0, tzinfo=UTC)  # midnight in the city
    assert late.reason.zh.endswith("例外已于 2026-03-02 到期（水务科：采集）")
    assert late.reason.en.endswith("its exception expired on 2026-03-02 (水务科: 采集)")
    (notice,) = one.notices()
    assert (notice.kind, notice.place) == ("expired", "rule.yml:11")


def test_a_rule_that_learns_says_so() -> None:
    one = detector("new_terms: {fields: [source.ip], history: 1d, learn: 1h}")
    assert "尚未收到" in one.notices()[0].text.zh
    one.detect(batch([(0, "10.0.0.1")]))
    assert "2026-03-02 11:00:00" in one.notices()[0].text.zh
    one.detect(batch([(3700, "10.0.0.1")]))
    assert one.notices() == ()


# ---------------------------------------------------------------- time


def test_on_a_live_input_silence_is_told_by_the_clock() -> None:
    one = detector("absence: {every: 1m, by: [source.ip]}")
    now = [START]
    one.clock = lambda: now[0]
    one.detect(batch([(0, "10.0.0.1"), (20, "10.0.0.1"), (40, "10.0.0.1")], received=True))
    now[0] = START + timedelta(seconds=600)
    assert one.settle() == []  # what was received since the last time says how far time is: 40 s
    (alert,) = one.settle()  # nothing came since: it is now
    assert alert.first_seen == START + timedelta(seconds=100)
    assert one.settle() == []


def test_a_forged_future_stamp_moves_nothing() -> None:
    one = detector("new_terms: {fields: [source.ip], history: 1d, learn: 1h}")
    given_ = batch([(0, "10.0.0.1"), (4000, "10.0.0.1"), (4010, "10.0.0.3")], received=True)
    future = given_.table.with_columns(
        pl.when(pl.col("source.ip") == "10.0.0.3")
        .then(pl.lit(datetime(2099, 1, 1, tzinfo=UTC)))
        .otherwise("@timestamp")
        .cast(pl.Datetime("us", "UTC"))
        .alias("@timestamp")
    )
    one.detect(EventBatch("flow", "test", future, logsource=SOURCE, part="p"))
    one.detect(batch([(5000, "10.0.0.2")], received=True, part="q"))
    one.finish()
    assert one.keepers.lanes.reached == {"flow|test": int((START + timedelta(seconds=5000)).timestamp()) * US}


def test_told_again_after_a_crash_it_counts_once() -> None:
    one = detector("rate: {per: 1m, by: [source.ip], gte: 2}")
    first = batch([(n, "10.0.0.1") for n in range(40)])
    second = batch([(n, "10.0.0.1") for n in range(40, 100)], part="q")
    state = one.snapshot()
    straight = whole(one, first, second)
    again = detector("rate: {per: 1m, by: [source.ip], gte: 2}")
    again.restore(state)
    again.detect(first)
    again.forward(int((START + timedelta(seconds=35)).timestamp()) * US)  # settled in between
    told = [*again.detect(second), *again.finish()]
    assert (told[-1].id, told[-1].part, told[-1].count) == (straight[-1].id, straight[-1].part, straight[-1].count)
    assert straight[-1].count == 99


@pytest.mark.parametrize(
    "hurt", [lambda raw: raw[:-7], lambda raw: raw[:40], lambda raw: raw.replace(b"mark", b"bark")]
)
def test_a_hurt_snapshot_is_refused_and_changes_nothing(hurt: Callable[[bytes], bytes]) -> None:
    one = detector("rate: {per: 1m, by: [source.ip], gte: 2}")
    one.detect(batch([(n, "10.0.0.1") for n in range(40)]))
    state = one.snapshot()
    with pytest.raises(InputError, match="snapshot"):
        one.restore(hurt(state))
    assert one.snapshot() == state


def test_a_rule_that_asks_for_something_else_begins_anew() -> None:
    one = detector("rate: {per: 1m, by: [source.ip], gte: 2}")
    one.detect(batch([(n, "10.0.0.1") for n in range(40)]))
    other = detector("rate: {per: 2m, by: [source.ip], gte: 2}")
    other.restore(one.snapshot())
    assert next(iter(other.keepers.of.values())).order.since is None


@pytest.mark.parametrize(
    "change", [("destination.port: 502", "destination.port: 23"), ("group: [source.ip]", 'version: "2"')]
)
def test_a_rule_that_looks_for_something_else_or_has_another_version_begins_anew(change: tuple[str, str]) -> None:
    terms = "new_terms: {fields: [source.ip], history: 1d, learn: 1m}"
    before, again, other = detector(terms), detector(terms), detector(terms, change=change)
    if "version" in change[1]:
        before, again = (detector(terms, change=(change[0], 'version: "1"')) for _ in range(2))
    before.detect(batch([(n, "10.0.0.1") for n in range(40)]))
    for one, since in ((again, int(START.timestamp()) * US), (other, None)):
        one.restore(before.snapshot())
        assert next(iter(one.keepers.of.values())).order.since == since


def test_an_exception_that_changes_leaves_what_is_remembered() -> None:
    terms = "new_terms: {fields: [source.ip], history: 1d, learn: 1m}"
    one = detector(terms)
    one.detect(batch([(n, "10.0.0.1") for n in range(40)]))
    entry = "{fields: {source.ip: 10.0.0.9}, reason: probe, owner: ops, expires: 2026-12-31}"
    other = detector(f"{terms}\n    allow: [{entry}]")
    other.restore(one.snapshot())
    assert next(iter(other.keepers.of.values())).order.since is not None


def test_a_condition_as_deep_as_it_may_be_has_a_fingerprint_of_its_own() -> None:
    terms = "new_terms: {fields: [source.ip], history: 1d, learn: 1m}"
    deep = "condition: " + "not (s and " * 45 + "s" + ")" * 45
    one, other = detector(terms, change=("condition: s", deep)), detector(terms)
    assert next(iter(one.keepers.of.values())).asked != next(iter(other.keepers.of.values())).asked


def test_what_was_given_up_is_still_counted_after_a_restart() -> None:
    terms = "new_terms: {fields: [source.ip], history: 1d, learn: 1m}\n    suppress: {by: [source.ip], for: 1h}"
    one, other = detector(terms), detector(terms)
    (keeper,) = one.keepers.of.values()
    assert isinstance(keeper.kind, Terms) and keeper.openings is not None
    keeper.kind.most, keeper.openings.most = 20, 10
    one.detect(batch([(100 * n, f"10.0.0.{n}") for n in range(100)]))
    assert keeper.kind.lost and keeper.openings.lost
    keeper.order.hurried = 7  # as after more than 100,000 rows that wait
    keeper.forward(int(START.timestamp()) * US)
    other.restore(one.snapshot())
    assert other.counters()["rules.given_up"] == one.counters()["rules.given_up"] == keeper.lost > 7
    assert other.snapshot() == one.snapshot()


CORRELATED = """---
title: New And Loud
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b02
correlation:
  type: value_count
  rules: [polled]
  group-by: [destination.port]
  timespan: 1h
  condition: {field: source.ip, gte: 2}
"""


@pytest.mark.parametrize("live", [False, True])
def test_a_correlation_counts_what_fires_of_a_rule_that_remembers(live: bool) -> None:
    one = detector("new_terms: {fields: [source.ip], history: 1d, learn: 1m}", CORRELATED)
    seen = [(0, "10.0.0.1"), *((100 + n, "10.0.0.1") for n in range(20)), (130, "10.0.0.2")]
    assert whole(one, batch(seen)) == []  # the rule feeds the correlation and is silent
    one = detector("new_terms: {fields: [source.ip], history: 1d, learn: 1m}", CORRELATED)
    found = one.detect(batch([*seen, (140, "10.0.0.3")]))
    assert found == []
    (alert,) = one.forward(int((START + timedelta(hours=1)).timestamp()) * US) if live else one.finish()
    assert (alert.source, alert.count, alert.dataset) == ("correlation", 2, "flow")
    assert alert.event_ids == tuple(sorted((f"{21:032x}", f"{22:032x}")))


def test_a_correlation_takes_what_fires_at_its_receipt_where_its_stamp_lies_ahead() -> None:
    one = detector("new_terms: {fields: [source.ip], history: 1d, learn: 1m}", CORRELATED)
    seen = [(0, "10.0.0.1"), (100, "10.0.0.2"), (80_000, "10.0.0.3")]
    forged = batch(seen)
    received = [START + timedelta(seconds=min(at, 110)) for at, _ in seen]
    table = forged.table.with_columns(pl.Series("event.ingested", received, dtype=pl.Datetime("us", "UTC")))
    assert one.detect(EventBatch("flow", "test", table, logsource=SOURCE, part="p")) == []
    (alert,) = one.finish()
    assert (alert.count, alert.last_seen) == (2, START + timedelta(seconds=110))


def test_a_rule_over_its_budget_raises_an_alert_once() -> None:
    one = detector("window: 1h")
    engine: Any = one.engine
    engine._tell(one.ruleset.rules[0], 90.0)
    (alert,) = [alert for alert in one.detect(batch([(0, "10.0.0.1")], port=1)) if "暂停" in alert.title.zh]
    assert alert.rule_id == BUDGET
    assert alert.explanation[0].value == one.ruleset.rules[0].id
    assert "90 毫秒" in alert.reason.zh and "90 ms" in alert.reason.en
    assert one.detect(batch([(1, "10.0.0.1")], port=1)) == []


def test_long_values_stay_different_and_are_not_kept_whole() -> None:
    one = detector("new_terms: {fields: [source.ip], history: 1d, learn: 1m}")
    names = ["a" * 60_000 + end for end in ("x", "y", "x", "z" * 9)]
    found = whole(one, batch([(0, "10.0.0.1"), *((100 + number, name) for number, name in enumerate(names))]))
    assert len(found) == 3
    assert all(len(alert.reason.zh) < 2000 for alert in found)
    assert len(one.snapshot()) < 20_000


def windows(method: str, values: Sequence[tuple[int, int]], **asked: Any) -> list[tuple[int, float, float]]:
    """(hour, value, bound) of the hours that fire; ``values`` are (hour, hits)."""
    kind = Baselines(Baseline(None, (), 3600, method, **{"threshold": 3.0, "min_samples": 4, **asked}))  # type: ignore[arg-type]
    given_ = sorted((hour * 3600 + number, "g", 0) for hour, count in values for number in range(count))
    found = kind.take(rows(given_), 100 * 86_400 * US, 0)
    if found is None:
        return []
    return [(at // US // 3600, x, limit) for at, x, limit in found.select("from", "x", "limit").iter_rows()]


def test_a_seasonal_baseline_compares_the_same_hour_of_day() -> None:
    busy = [(24 * day + 9, 100) for day in range(8)]
    quiet = [(24 * day + 3, 2) for day in range(8)]
    assert windows("seasonal", [*busy, *quiet]) == []
    (found,) = windows("seasonal", [*busy, *quiet, (24 * 8 + 3, 100)])
    assert found == (24 * 8 + 3, 100.0, 5.0)
    assert windows("mad", [*busy, *quiet])  # which held against all hours would be odd every morning


def test_a_moving_average_follows_what_grows_slowly() -> None:
    slow = [(hour, 10 + hour) for hour in range(40)]
    assert windows("ewma", slow) == []
    (found,) = windows("ewma", [*slow, (40, 200)])
    assert found[:2] == (40, 200.0)
    assert 49 < found[2] < 70


def test_a_fall_is_told_where_it_is_asked_for() -> None:
    even = [(hour, 50) for hour in range(10)]
    assert windows("mad", [*even, (10, 5)]) == []
    (found,) = windows("mad", [*even, (10, 5)], direction="down")
    assert found == (10, 5.0, 42.5)
