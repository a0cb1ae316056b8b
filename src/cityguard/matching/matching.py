"""Files of events past the rules: one record per hit of a rule on an event, as JSON lines.

Nothing is stored, so only the columns rules look at are made. Exceptions and threat lists hold; rules whose verdict
hangs on what came before, and correlations, are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import orjson
import polars as pl

from cityguard.collect import collect
from cityguard.collect.narrow import Narrow, Span
from cityguard.config import Limits
from cityguard.detectors.screen import Screen
from cityguard.matching.memory import given_back
from cityguard.model import DeadLetter, EventBatch, LogSource
from cityguard.register.register import Register
from cityguard.sigma import fields
from cityguard.sigma.ast import Leaf, Reference, Rule, leaves
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset

MADE = fields.BOOKKEEPING - {"log.offset", "event.sequence"}
"""Columns that come about after reading, or not from what a source says: a rule that names one needs all of them."""
PIECES, ROWS = 2, 100_000
"""Pieces read, or events, after which the rules are asked."""
_CLASS = ("Channel", "EventID")
"""Columns by which readers tell classes of events apart."""


def alone(ruleset: Ruleset) -> tuple[Ruleset, int]:
    """The rules that an event answers by itself, and how many are left out: rules that remember, and correlations.

    ``suppress`` joins alerts and takes no hit away, so it leaves no rule out.
    """
    rules = tuple(one for one in ruleset.rules if one.head.custom is None or one.head.custom.memory is None)
    out = len(ruleset.rules) - len(rules) + len(ruleset.correlations)
    return (replace(ruleset, rules=rules, correlations=()), out) if out else (ruleset, 0)


class Looked:
    """Which columns the rules of a log source look at."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._rules = ruleset.rules
        self._fields = lru_cache(maxsize=4096)(self._of)

    def __call__(self, source: LogSource | None, native: Collection[str]) -> frozenset[str] | None:
        """As ``narrow.Wanted``; a keyword looks at what the source sent, which is all there."""
        names = self._fields(source) - {""}
        if names & MADE:
            return None
        there = {name.replace(" ", "") for name in native}
        return names | {fields.COLUMN[name] for name in names if name in fields.COLUMN and name not in there}

    def names(self, source: LogSource | None) -> frozenset[str] | None:
        """Fields of the rules for a log source and the columns they stand for; None where any may be looked at."""
        names = self._fields(source)
        if "" in names or names & MADE:
            return None
        return names | {fields.COLUMN[name] for name in names if name in fields.COLUMN}

    def _of(self, source: LogSource | None) -> frozenset[str]:
        """Fields of the rules for a log source (without one: of all); "" for keywords."""
        names: set[str] = set()
        for rule in self._rules:
            if source is not None and not source.covers(rule.category, rule.product, rule.service):
                continue
            for leaf in _leaves(rule):
                names.add(leaf.field or "")
                if isinstance(leaf, Reference):
                    names.add(leaf.other)
            ours = rule.head.custom
            if ours and ours.allow:
                names.add("@timestamp")  # exceptions expire by the time of the event
            if ours and ours.threat_match is not None:
                names.update(ours.threat_match.fields)
        return frozenset(names)


def _leaves(rule: Rule) -> Iterator[Leaf]:
    """All that a rule and its exceptions ask."""
    yield from leaves(rule.node, positive=False)
    for entry in rule.head.custom.allow if rule.head.custom else ():
        yield from leaves(entry.node, positive=False)


@dataclass(frozen=True, slots=True)
class Records:
    """What one piece of input gave.

    Attributes:
        lines: records as JSON lines.
        hits: how many.
        events: events that were looked at.
        rejected: items that could not be read.
        dead: samples of those, with their place.
        notes: what else a person should know.
    """

    lines: bytes
    hits: int
    events: int
    rejected: int
    dead: tuple[DeadLetter, ...]
    notes: tuple[str, ...]


class Gathered:
    """Tables of several pieces, those of one class of events as one: a table costs the rules much whatever its rows."""

    def __init__(self) -> None:
        self._alike: dict[tuple[object, ...], list[EventBatch]] = {}
        self._pieces = self._rows = 0

    def add(self, batch: EventBatch) -> None:
        """Keep a table."""
        self._rows += len(batch)
        self._alike.setdefault(_kind(batch), []).append(batch)

    def enough(self) -> bool:
        """Told at the end of each piece: whether it is time to look at what was kept."""
        self._pieces += 1
        return self._pieces >= PIECES or self._rows >= ROWS

    def taken(self) -> list[EventBatch]:
        """All tables, which go."""
        alike, self._alike, self._pieces, self._rows = self._alike, {}, 0, 0
        return [one for some in alike.values() for one in _one(some)]


def _kind(batch: EventBatch) -> tuple[object, ...]:
    """What tables have in common that are one class of events."""
    there = set(batch.table.columns)
    values = (batch.table[name][0] if name in there and len(batch) else None for name in _CLASS)
    return (batch.dataset, batch.collector, batch.logsource, batch.segment, *map(str, values))


def _one(some: list[EventBatch]) -> list[EventBatch]:
    if len(some) == 1:
        return some
    try:
        table = pl.concat([batch.table for batch in some], how="diagonal")
    except pl.exceptions.PolarsError:  # a column of another type
        return some
    return [replace(some[0], table=table)]


class Matching:
    """Rules, ready to be asked about files."""

    def __init__(
        self,
        engine: Engine,
        collectors: collect.Collectors,
        *,
        limits: Limits,
        now: datetime,
        register: Register,
        screen: Screen,
        collector: str | None = None,
        dataset: str | None = None,
    ) -> None:
        engine.account.budget_ms = float("inf")  # what is found in a file does not hang on the clock
        self._engine, self._collectors, self._limits, self._now = engine, collectors, limits, now
        self._register, self._collector, self._dataset = register, collector, dataset
        self._screen = screen
        self._looked = Looked(engine.ruleset)
        self._heads: dict[tuple[str, str], bytes] = {}
        self._begun = False

    def file(self, path: Path, span: Span | None = None, collector: str | None = None) -> Iterator[Records]:
        """Records of a file, or of a span of its lines, piece by piece.

        Raises:
            InputError: as ``collect.read``.
        """
        chunks = collect.read(
            path,
            self._collectors,
            collector=collector or self._collector,
            dataset=self._dataset,
            limits=self._limits,
            now=self._now,
            narrow=Narrow(self._looked, self._looked.names),
            span=span,
        )
        waiting = Gathered()
        for chunk in chunks:
            done = chunk.decoded
            if done.batches and not self._begun:  # what is compiled is loaded by now
                self._begun = True
                given_back()
            for batch in done.batches:
                waiting.add(batch)
            found, hits = self._found(str(path), waiting.taken()) if waiting.enough() else (b"", 0)
            yield Records(found, hits, sum(map(len, done.batches)), done.rejected, done.dead, done.notes)
        if last := waiting.taken():
            yield Records(*self._found(str(path), last), 0, 0, (), ())

    def _found(self, path: str, batches: Collection[EventBatch]) -> tuple[bytes, int]:
        out: list[bytes] = []
        hits = 0
        for batch in batches:
            if self._looked(batch.logsource, batch.table.columns) is None:
                batch = self._register.enrich(batch)
            places = batch.table["event.sequence"].to_numpy()
            for rule, rows in self._engine.rows(batch):
                told = np.unique(places[self._screen.judge(rule, rows, batch, self._now).place]).tolist()
                if not told:
                    continue
                head = self._head(rule, path)
                out += [b"%s%d}\n" % (head, index) for index in told]
                hits += len(told)
        return b"".join(out), hits

    def _head(self, rule: Rule, path: str) -> bytes:
        """All of a record but the number of its event."""
        made = self._heads.get((rule.id, path))
        if made is None:
            head = rule.head
            told: dict[str, object] = {"rule_id": rule.id, "title": head.title.en, "title_zh": head.title.zh}
            told |= {"level": head.level, "author": head.author, "license": head.license}
            told |= {"tags": list(head.tags), "file": path}
            made = self._heads[rule.id, path] = orjson.dumps(told)[:-1] + b',"event_index":'
        return made
