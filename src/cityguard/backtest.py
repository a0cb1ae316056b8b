"""What a rule would have found in the events that are stored: read page by page, nothing is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from pathlib import Path

import polars as pl

from cityguard import columns
from cityguard.detectors.custom.lists import ThreatLists
from cityguard.detectors.rules import ZONE, RuleDetector
from cityguard.errors import ContentErrors, InputError
from cityguard.model import Alert, EventBatch, LogSource, Query
from cityguard.rulebook.book import Book, One
from cityguard.sigma import sequences
from cityguard.sigma.ast import Correlation, Rule
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.fields import logsource
from cityguard.sigma.rule import Ruleset, load
from cityguard.store import groups
from cityguard.store.base import Events

PAGE = 10_000  # rows held at a time
MAX_ALERTS = 100_000  # would-be alerts told apart; beyond it they are counted
MAX_NAMED = 50_000  # entities counted; beyond it the rarest are forgotten
TOP = 10


@dataclass(slots=True)
class Outcome:
    """What came of it. ``alerts`` are as they would have merged: one per group and window."""

    rule: One
    start: datetime | None
    end: datetime | None
    events: int = 0  # rows of the rule's log source that were looked at
    passed: int = 0  # other rows
    hits: int = 0
    groups: int = 0
    per_day: dict[date, int] = field(default_factory=dict)  # would-be alerts by the day they were first seen
    entities: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # name -> (value, hits), largest first
    samples: list[Alert] = field(default_factory=list)  # the largest, at most TOP
    overflow: int = 0  # alerts beyond MAX_ALERTS
    stopped: bool = False  # the limit of rows was reached


def find(
    book: Book, named: str, folders: Sequence[Path] = (), lists: Mapping[str, Sequence[str]] | None = None
) -> tuple[One, Ruleset]:
    """The rule meant, by file, id, name or title, with those it needs: correlations stand on others.

    Args:
        book: the rules that are here.
        named: what is asked for.
        folders: where rules that a file stands on are looked for, and their lists.
        lists: placeholders that stand in no file, such as the register's.

    Raises:
        InputError: there is none, or several of that title.
        ContentErrors: the file has faults.
    """
    path = Path(named)
    if path.suffix in (".yml", ".yaml") and path.is_file():
        own = load([path], lists)
        these: tuple[One, ...] = (*own.rules, *own.correlations)
        ids = {one.id for one in these}
        made = load([*folders, path], lists)
        mine = [fault for fault in made.faults if fault.place.startswith(f"{path}:")]
        waiting = [one for one in made.inactive if one.place.startswith(f"{path}:")]
        if mine:
            raise ContentErrors(mine)
        if waiting:
            raise InputError(waiting[0].reason, place=waiting[0].place)
        both: tuple[One, ...] = (*made.correlations, *made.rules)
        every = [one for one in both if one.head.path == path or one.id in ids]
        if not every:
            raise InputError("no rule in it", place=str(path))
        return every[0], needed(every[0], made)
    whole = replace(
        book.ruleset,
        rules=(*book.ruleset.rules, *(one.rule for one in book.off if isinstance(one.rule, Rule))),
        correlations=(
            *book.ruleset.correlations,
            *(one.rule for one in book.off if isinstance(one.rule, Correlation)),
        ),
    )
    known: list[One] = [*whole.rules, *whole.correlations]
    asked = named.lower()
    found = [one for one in known if asked in (one.id, one.head.name.lower())] or [
        one for one in known if asked in (one.title.en.lower(), one.title.zh.lower())
    ]
    if not found:
        raise InputError(f"no rule '{named[:200]}'", remedy="its id, name, title or file; see `cityguard rules list`")
    if len(found) > 1:
        raise InputError(f"{len(found)} rules are called so", remedy=f"take an id: {found[0].id}, {found[1].id} …")
    return found[0], needed(found[0], whole)


def needed(rule: One, whole: Ruleset) -> Ruleset:
    """The rule and all it stands on, by whatever many steps."""
    ids, waiting = {rule.id}, [rule]
    every: tuple[One, ...] = (*whole.rules, *whole.correlations)
    by_id = {one.id: one for one in every}
    while waiting:
        one = waiting.pop()
        for name in _parts(one):
            if name in by_id and name not in ids:
                ids.add(name)
                waiting.append(by_id[name])
    return Ruleset(
        tuple(one for one in whole.rules if one.id in ids), tuple(one for one in whole.correlations if one.id in ids)
    )


def _parts(one: One) -> tuple[str, ...]:
    if isinstance(one, Correlation):
        return one.rules
    steps = sequences.steps(one)
    return sequences.named(steps) if steps else ()


def run(
    rule: One,
    ruleset: Ruleset,
    events: Events,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 50_000_000,
    zone: tzinfo = ZONE,
    lists: ThreatLists | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Outcome:
    """Hold the rule against stored events, oldest first, as the pipeline would have.

    Args:
        rule: what is asked about.
        ruleset: it and what it needs (``find``).
        events: the store's.
        start: first moment, by event time.
        end: the moment after the last.
        limit: rows looked at, at most.
        zone: the city's, for calendars of rules that remember.
        lists: threat lists that rules name.
        progress: called with the number of rows so far.

    Raises:
        StoreError: the store does not answer.
    """
    outcome, tally = Outcome(rule, start, end), _Tally(rule.id)
    engine = Engine.compile(ruleset)
    engine.account.budget_ms = math.inf  # a rule that rests would find less than there is
    detector = RuleDetector(ruleset, engine=engine, zone=zone, lists=lists)
    query = Query(start=start, end=end, limit=PAGE, newest_first=False)
    datasets, outcome.passed = _of_interest(events, query, ruleset)
    for batch in _batches(events, query, datasets):
        if outcome.events >= limit:
            outcome.stopped = True
            break
        if not _covers(ruleset, logsource(batch)):
            outcome.passed += len(batch)
            continue
        outcome.events += len(batch)
        tally.add(detector.detect(batch))
        progress(outcome.events)
    tally.add(detector.finish())
    return tally.told(outcome)


def _covers(ruleset: Ruleset, source: LogSource) -> bool:
    return any(source.covers(rule.category, rule.product, rule.service) for rule in ruleset.rules)


def _of_interest(events: Events, query: Query, ruleset: Ruleset) -> tuple[list[str], int]:
    """Datasets that hold rows of the rules' log sources, and how many rows the others hold."""
    found = events.aggregate(query, ["event.dataset", "event.logsource"], top=groups.MAX_GROUPS)
    chosen: set[str] = set()
    for dataset, text, _ in found.iter_rows():
        source = LogSource.parse(text) if text else _usual(str(dataset))
        if source is None or _covers(ruleset, source):
            chosen.add(str(dataset))
    rest = found.filter(~pl.col("event.dataset").is_in(sorted(chosen)))
    return [name for name in columns.DATASETS if name in chosen], int(rest["count"].sum())


def _usual(dataset: str) -> LogSource | None:
    """The log source of rows that came without one; None where each row has its own."""
    return None if dataset == "ot" else logsource(EventBatch(dataset, "", pl.DataFrame()))


def _batches(events: Events, query: Query, datasets: Sequence[str]) -> Iterator[EventBatch]:
    """Stored rows in pages as batches: one dataset, collector and log source each, in the order of their ids.

    Pages follow one another by id, which is by time, over all datasets at once: correlations see them in order.
    """
    cursors: dict[str, str] = {}
    held: dict[str, pl.DataFrame] = {}
    left = set(datasets)  # may have further pages
    while held or left:
        for dataset in [name for name in datasets if name in left and name not in held]:
            page = events.query(replace(query, dataset=dataset, after=cursors.get(dataset)))
            if page.height < query.limit:
                left.discard(dataset)
            if page.height:
                cursors[dataset] = str(page["event.id"][-1])
                held[dataset] = page.select(name for name in page.columns if page[name].null_count() < page.height)
        # up to the earliest end of a page: what lies beyond it may be preceded by rows not read yet
        until = min((cursors[name] for name in held if name in left), default=None)
        for dataset in list(held):
            page = held.pop(dataset)
            ready = page if until is None else page.filter(pl.col("event.id") <= until)
            if ready.height < page.height:
                held[dataset] = page.tail(page.height - ready.height)
            if ready.height:
                yield from _split(dataset, ready)


def _split(dataset: str, page: pl.DataFrame) -> Iterator[EventBatch]:
    by = [name for name in ("observer.name", "event.logsource") if name in page.columns]
    parts = page.partition_by(by, as_dict=True, maintain_order=True) if by else {(): page}
    for key, part in parts.items():
        told = dict(zip(by, key, strict=True))
        text = told.get("event.logsource")
        yield EventBatch(
            dataset,
            str(told.get("observer.name") or ""),
            part.drop("event.logsource", strict=False),
            logsource=LogSource.parse(str(text)) if text else None,
            part=f"{dataset}:{part['event.id'][0]}",
        )


class _Tally:
    """Adds up would-be alerts, as the alert store would merge them."""

    def __init__(self, rule_id: str) -> None:
        self._rule = rule_id
        self._alerts: dict[str, Alert] = {}
        self._entities: dict[str, Counter[str]] = {}
        self._hits = self._overflow = 0

    def add(self, alerts: Sequence[Alert]) -> None:
        for one in alerts:
            if one.rule_id != self._rule:
                continue
            self._hits += one.count
            for name, value in one.entities.items():
                self._count(self._entities.setdefault(name, Counter()), value, one.count)
            self._merge(one)

    def _merge(self, one: Alert) -> None:
        old = self._alerts.get(one.id)
        if old is not None:
            self._alerts[one.id] = replace(
                old,
                count=old.count + one.count,
                first_seen=min(old.first_seen, one.first_seen),
                last_seen=max(old.last_seen, one.last_seen),
            )
        elif len(self._alerts) < MAX_ALERTS:
            self._alerts[one.id] = replace(one, event_ids=one.event_ids[:5])
        else:
            self._overflow += 1

    @staticmethod
    def _count(counter: Counter[str], value: str, count: int) -> None:
        counter[value] += count
        if len(counter) > 2 * MAX_NAMED:
            for name, _ in counter.most_common()[MAX_NAMED:]:
                del counter[name]

    def told(self, outcome: Outcome) -> Outcome:
        alerts = sorted(self._alerts.values(), key=lambda one: (-one.count, one.first_seen, one.id))
        days = Counter(one.first_seen.date() for one in alerts)
        outcome.hits, outcome.groups, outcome.overflow = self._hits, len(alerts), self._overflow
        outcome.per_day = dict(sorted(days.items()))
        outcome.entities = {name: _largest(counter) for name, counter in sorted(self._entities.items())}
        outcome.samples = alerts[:TOP]
        return outcome


def _largest(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:TOP]
