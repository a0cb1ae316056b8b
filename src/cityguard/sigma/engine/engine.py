"""The engine: every rule of a set over tables of events, with the hits of the plain evaluator."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from cityguard.model import EventBatch, LogSource
from cityguard.sigma.ast import Mode, Node, Rule
from cityguard.sigma.engine.account import BUDGET_MS, Account, Notice
from cityguard.sigma.engine.build import build
from cityguard.sigma.engine.cache import Kept, name_of
from cityguard.sigma.engine.calibrate import AGAIN, MIN_ROWS, measured, read, sample, written
from cityguard.sigma.engine.classes import Class
from cityguard.sigma.engine.columns import Ints
from cityguard.sigma.engine.expressions import keep
from cityguard.sigma.engine.keys import Key, Keys
from cityguard.sigma.engine.predicate import Step
from cityguard.sigma.engine.scan import Scanner, available, version
from cityguard.sigma.engine.specialise import specialise
from cityguard.sigma.engine.table import Table
from cityguard.sigma.engine.witness import Costs, Literal
from cityguard.sigma.fields import logsource
from cityguard.sigma.rule import Ruleset

MAX_STEPS = 200_000  # parts of trees made ready; beyond it they are made anew
REMEMBERED = 1 << 16  # rows that costs of an earlier run stand for
MAX_CLASSES = 512  # compiled at a time; the one longest unused goes


class Engine:
    """A compiled rule set. One per process and thread: it keeps what it compiles as classes of events turn up."""

    def __init__(self, ruleset: Ruleset, scanner: str, costs: Costs, kept: Kept) -> None:
        self.ruleset = ruleset
        self.scanner = scanner
        self.account = Account()
        self.notices: list[Notice] = []
        self._costs = costs
        self._kept = kept
        self._keys = Keys(ruleset.rules)
        self._classes: OrderedDict[Key, Class] = OrderedDict()
        self._applying: dict[LogSource, list[int]] = {}
        self._made: dict[int, tuple[Node, Step]] = {}

    @classmethod
    def compile(
        cls,
        ruleset: Ruleset,
        *,
        scanner: str = "auto",
        cache: Path | None = None,
        calibration: Mapping[tuple[str | None, Mode, str], float] | None = None,
        budget_ms: float = BUDGET_MS,
    ) -> Engine:
        """Make ready to run. Classes are compiled when their first events come.

        Args:
            ruleset: the rules.
            scanner: ``hyperscan``, ``ahocorasick``, ``none``, or ``auto`` for the fastest that is installed.
            cache: folder where compiled scanners are kept between runs.
            calibration: share of events in which a literal occurs, as measured; what is missing is guessed.
            budget_ms: CPU time per 10,000 events above which a rule rests.
        """
        kept = Kept(cache)
        keep(kept)
        made = cls(ruleset, available(scanner), calibration or {}, kept)
        made.account.budget_ms = budget_ms
        return made

    def hits(self, batch: EventBatch) -> Iterator[tuple[Rule, pl.Series]]:
        """Every rule that applies to the batch and holds for at least one row, with its Boolean mask."""
        for rule, rows in self.rows(batch):
            mask = np.zeros(batch.table.height, dtype=np.bool_)
            mask[rows] = True
            yield rule, pl.Series(rule.id, mask, dtype=pl.Boolean)

    def rows(self, batch: EventBatch) -> Iterator[tuple[Rule, Ints]]:
        """The same with the numbers of the rows (ascending) instead of masks."""
        if not batch.table.height:
            return
        table, source = Table(batch.table), self._keys.source(logsource(batch))
        parts = self._keys.parts(table)
        if parts is None:
            found = self._run(source, table)
        else:
            found = {}
            for rows in parts:
                for rule, inner in self._run(source, Table(batch.table[rows])).items():
                    found.setdefault(rule, []).extend(rows[one] for one in inner)
        for rule in sorted(found):
            yield self.ruleset.rules[rule], np.sort(np.concatenate(found[rule]))
        for rule, milliseconds in self.account.passed(table.height):
            self._tell(self.ruleset.rules[rule], milliseconds)

    def _run(self, source: LogSource, table: Table) -> dict[int, list[Ints]]:
        one = self._class(self._keys.of(source, table), table)
        found: dict[int, list[Ints]] = {}
        places, rows = one.candidates(table)
        bounds = np.flatnonzero(np.diff(places, prepend=-1))
        groups = zip(places[bounds].tolist(), np.split(rows, bounds[1:]) if len(bounds) else [], strict=True)
        for place, asked in (*groups, *((place, table.every) for place in one.always)):
            rule, node = one.nodes[place]
            if rule in self.account.resting:
                continue
            held = self._held(rule, node, table, asked)
            if len(held):
                found[rule] = [held]
        return found

    def _held(self, rule: int, node: Node | bool, table: Table, rows: Ints) -> Ints:
        if isinstance(node, bool):
            return rows if node else rows[:0]
        if len(self._made) > MAX_STEPS:
            self._made.clear()
        begun = time.thread_time_ns()
        held = rows[build(node, self._made).mask(table, rows)]
        self.account.book(rule, time.thread_time_ns() - begun, len(rows), len(held))
        return held

    def _class(self, key: Key, table: Table) -> Class:
        """The class of a table, compiled when new, and again when its traffic is better known."""
        found = self._classes.get(key)
        seen = table.height if found is None else found.rows + table.height
        if table.height >= MIN_ROWS and (found is None or seen > AGAIN * found.measured_at):
            nodes = list(self._nodes(key))
            costs = self._remembered(key) if found is None else {}
            found = Class(nodes, costs or self._measured(key, nodes, table), self._scan)
            found.measured_at = REMEMBERED if costs else seen
        if found is None:
            found = Class(self._nodes(key), self._remembered(key) or self._costs, self._scan)
        found.rows = seen
        self._classes[key] = found
        self._classes.move_to_end(key)
        if len(self._classes) > MAX_CLASSES:
            self._classes.popitem(last=False)
        return found

    def _measured(self, key: Key, nodes: Iterable[tuple[int, Node | bool]], table: Table) -> Costs:
        trees = [node for _, node in nodes if not isinstance(node, bool)]
        costs = measured(trees, sample(table))
        self._kept.put(name_of("costs", repr(key).encode()), written(costs))
        return {**self._costs, **costs}

    def _remembered(self, key: Key) -> dict[Literal, float]:
        """What literals cost in this class when it was measured in an earlier run; a hint, whatever the rules were."""
        costs = read(self._kept.get(name_of("costs", repr(key).encode())))
        return {**self._costs, **costs} if costs else {}

    def _nodes(self, key: Key) -> Iterator[tuple[int, Node | bool]]:
        constants = dict(key.constants)
        if key.source not in self._applying:
            if len(self._applying) > MAX_CLASSES:
                self._applying.clear()
            rules = enumerate(self.ruleset.rules)
            self._applying[key.source] = [
                number for number, rule in rules if key.source.covers(rule.category, rule.product, rule.service)
            ]
        for number in self._applying[key.source]:
            node = self.ruleset.rules[number].node
            made = specialise(node, constants) if constants else node
            if made is not False:
                yield number, made

    def _scan(self, literals: Sequence[tuple[Mode, str]]) -> Scanner:
        """A scanner, from what was kept of it where there is something."""
        if self.scanner != "hyperscan":
            return Scanner(literals, self.scanner)
        name = name_of("scanner", version().encode(), repr(literals).encode("utf-8", "surrogatepass"))
        kept = self._kept.get(name)
        made = Scanner(literals, self.scanner, kept)
        if not kept and made.automaton is not None:
            self._kept.put(name, made.automaton.dump())
        return made

    def _tell(self, rule: Rule, milliseconds: float) -> None:
        """Once for each rule until somebody takes it off the list: that it is still too dear is no news."""
        if all(one.rule_id != rule.id for one in self.notices):
            self.notices.append(Notice(rule.id, rule.title, rule.head.place, milliseconds))
