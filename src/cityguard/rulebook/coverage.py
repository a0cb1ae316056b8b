"""Which rules can find anything here, which cannot and exactly why; by department and segment."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cityguard.model import LogSource, Sighting, Text
from cityguard.rulebook.book import Book, One, lost
from cityguard.rulebook.notes import Note, budgets
from cityguard.rulebook.reach import Names, missing
from cityguard.sigma.ast import Correlation, Rule

SPAN = timedelta(days=7)
State = Literal["active", "no_source", "no_field", "part", "placeholder", "off", "budget", "faulty"]
STATES: tuple[State, ...] = ("active", "no_source", "no_field", "part", "placeholder", "off", "budget", "faulty")
ScopeKind = Literal["department", "segment"]
Scope = tuple[str, str]  # ("department", id), ("segment", id); ("", "") is everything
ALL: Scope = ("", "")


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of events of one collector within a scope."""

    dataset: str
    collector: str
    logsource: str
    rows: int
    last_seen: datetime
    columns: Mapping[str, int]  # rows with a value


@dataclass(frozen=True, slots=True)
class Covered:
    """One rule: does it run on anything, and if not, why."""

    id: str
    title: Text
    state: State
    reason: Text
    kind: str = "rule"  # rule, or the type of a correlation
    level: str = ""
    status: str = ""
    logsource: str = ""  # product / category / service
    place: str = ""
    origin: str = ""  # shipped, city, or the name of an import
    author: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # fields never seen that the rule cannot do without
    unseen: tuple[str, ...] = ()  # fields never seen that an active rule can do without
    rows: int = 0  # events of its log source within the span
    last_seen: datetime | None = None
    collectors: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()  # where it is active
    segments: tuple[str, ...] = ()
    removed: bool = False  # its upstream has it no more
    notes: tuple[Text, ...] = ()  # what the running detectors say of it


@dataclass(frozen=True, slots=True)
class Place:
    """One department or segment: what comes from it, and what is looked for there."""

    kind: ScopeKind
    id: str  # "" = events that belong to none
    rows: int
    sources: tuple[Source, ...]
    last_seen: datetime | None
    active: int  # rules that can hold on what came
    blind: int  # rules whose log source came, but a field never did


@dataclass(frozen=True, slots=True)
class Coverage:
    """The whole view at a moment."""

    at: datetime
    since: datetime
    rules: tuple[Covered, ...]
    places: tuple[Place, ...] = ()
    sources: tuple[Source, ...] = ()
    counts: Mapping[State, int] = field(default_factory=dict)


def since(now: datetime) -> datetime:
    """The first moment of the day (UTC) the span begins in: days are what is counted."""
    return (now - SPAN).replace(hour=0, minute=0, second=0, microsecond=0)


def cover(
    book: Book,
    sighted: Iterable[Sighting],
    now: datetime,
    *,
    departments: Sequence[str] = (),
    segments: Sequence[str] = (),
    notes: Sequence[Note] = (),
) -> Coverage:
    """Hold every rule against what was seen since ``since(now)``.

    Args:
        book: all rules.
        sighted: rows of that time (older ones are passed over).
        now: the present.
        departments: ids of the register, so that those that sent nothing are told too.
        segments: the same.
        notes: what the running detectors say of rules: over their budget, still learning …
    """
    start = since(now)
    seen = _Seen(one for one in sighted if one.day >= start.date())
    view = _View(seen, book, budgets(notes))
    said: dict[str, list[Text]] = {}
    for note in notes:
        said.setdefault(note.rule_id, []).append(note.text)
    every = (replace(one, notes=tuple(said.get(one.id, ()))) for one in (*view.running(), *_idle(book)))
    rules = sorted(every, key=lambda one: (one.title.zh, one.id, one.place))
    counts: dict[State, int] = {state: sum(one.state == state for one in rules) for state in STATES}
    places = [
        *(view.place("department", name) for name in seen.names("department", departments)),
        *(view.place("segment", name) for name in seen.names("segment", segments)),
    ]
    return Coverage(now, start, tuple(rules), tuple(places), tuple(seen.sources(ALL)), counts)


def of(sighted: Iterable[Sighting], department: str = "", segment: str = "") -> list[Sighting]:
    """Sightings of one department, of one segment, or all."""
    return [
        one
        for one in sighted
        if (not department or one.department == department) and (not segment or one.segment == segment)
    ]


def chosen(coverage: Coverage, words: str = "", *, state: str = "") -> list[Covered]:
    """Rules of a view in a state that fit all words (title, id, level, tags, origin, file, missing fields)."""
    asked = words.lower().split()
    return [
        one
        for one in coverage.rules
        if (not state or one.state == state) and all(word in _searchable(one) for word in asked)
    ]


def _searchable(one: Covered) -> str:
    place = one.place.replace("\\", "/").rpartition("/")[2]
    texts = (one.title.zh, one.title.en, one.id, one.level, one.status, one.origin, one.logsource, place, *one.tags)
    return " ".join((*texts, *one.missing)).lower()


class _Seen:
    """Sightings added up per scope and source."""

    def __init__(self, sighted: Iterable[Sighting]) -> None:
        self._found: dict[Scope, dict[tuple[str, str, str], Source]] = {ALL: {}}
        for one in sighted:
            for scope in (ALL, ("department", one.department or ""), ("segment", one.segment or "")):
                held = self._found.setdefault(scope, {})
                key = (one.dataset, one.collector, one.logsource)
                held[key] = _added(held.get(key), one)

    def sources(self, scope: Scope) -> list[Source]:
        """Those of a scope, by dataset, collector and log source."""
        found = self._found.get(scope, {})
        return [found[key] for key in sorted(found)]

    def names(self, kind: ScopeKind, known: Sequence[str]) -> list[str]:
        """Ids of the register in its order, then those only events know, then "" for events of none."""
        met = {name for scope, name in self._found if scope == kind}
        return [*known, *sorted(met - set(known) - {""}), *([""] if "" in met else [])]


def _added(old: Source | None, one: Sighting) -> Source:
    columns = dict(old.columns) if old else {}
    for name, (count, _) in one.columns.items():
        columns[name] = columns.get(name, 0) + count
    if old is None:
        return Source(one.dataset, one.collector, one.logsource, one.rows, one.last_seen, columns)
    return replace(old, rows=old.rows + one.rows, last_seen=max(old.last_seen, one.last_seen), columns=columns)


class _View:
    """Every running rule against every scope; what rules and scopes share is worked out once."""

    def __init__(self, seen: _Seen, book: Book, budget: Mapping[str, Text]) -> None:
        self._seen, self._book, self._budget = seen, book, budget
        self._scopes: list[Scope] = [
            ALL,
            *(("department", name) for name in seen.names("department", ())),
            *(("segment", name) for name in seen.names("segment", ())),
        ]
        self._names: dict[frozenset[str], Names] = {}
        self._fitting: dict[tuple[tuple[str | None, ...], Scope], list[tuple[Source, Names]]] = {}
        self._lacks: dict[tuple[str, frozenset[str]], frozenset[str]] = {}
        self.active: dict[Scope, int] = dict.fromkeys(self._scopes, 0)
        self.blind: dict[Scope, int] = dict.fromkeys(self._scopes, 0)
        self._where: dict[str, set[Scope]] = {}  # rule id -> scopes it is active in

    def running(self) -> list[Covered]:
        """Rules first: correlations stand on them."""
        found = [self._rule(rule) for rule in self._book.ruleset.rules]
        return found + [self._correlation(one) for one in self._book.ruleset.correlations]

    def place(self, kind: ScopeKind, name: str) -> Place:
        scope: Scope = (kind, name)
        sources = self._seen.sources(scope)
        last = max((one.last_seen for one in sources), default=None)
        rows = sum(one.rows for one in sources)
        return Place(kind, name, rows, tuple(sources), last, self.active.get(scope, 0), self.blind.get(scope, 0))

    # ------------------------------------------------------------ rules

    def _rule(self, rule: Rule) -> Covered:
        here = self._fit(rule, ALL)
        base = replace(
            about(rule, self._book),
            rows=sum(source.rows for source, _ in here),
            last_seen=max((source.last_seen for source, _ in here), default=None),
            collectors=tuple(dict.fromkeys(source.collector for source, _ in here)),
        )
        if rule.id in self._budget:
            return replace(base, state="budget", reason=self._budget[rule.id])
        if not here:
            return replace(base, state="no_source", reason=_no_source(rule))
        lacks = min((self._lack(rule, names) for _, names in here), key=lambda one: (len(one), sorted(one)))
        if lacks:
            for scope in self._scopes:
                self.blind[scope] += bool(self._fit(rule, scope))
            return replace(base, state="no_field", reason=_no_field(lacks), missing=tuple(sorted(lacks)))
        return self._active(rule, base, self._spread(rule))

    def _spread(self, rule: Rule) -> set[Scope]:
        found: set[Scope] = set()
        for scope in self._scopes:
            fitting = self._fit(rule, scope)
            if any(not self._lack(rule, names) for _, names in fitting):
                found.add(scope)
            elif fitting:
                self.blind[scope] += 1
        return found

    def _active(self, rule: One, base: Covered, where: set[Scope]) -> Covered:
        self._where[rule.id] = where
        for scope in where:
            self.active[scope] += 1
        unseen = () if isinstance(rule, Correlation) else self._unseen(rule)
        return replace(
            base,
            state="active",
            reason=_active(unseen),
            unseen=unseen,
            departments=tuple(sorted(name for kind, name in where if kind == "department")),
            segments=tuple(sorted(name for kind, name in where if kind == "segment")),
        )

    def _unseen(self, rule: Rule) -> tuple[str, ...]:
        fitting = self._fit(rule, ALL)
        return tuple(name for name in rule.fields if not any(name in names for _, names in fitting))

    def _fit(self, rule: Rule, scope: Scope) -> list[tuple[Source, Names]]:
        key = ((rule.category, rule.product, rule.service), scope)
        if key not in self._fitting:
            self._fitting[key] = [
                (source, self._named(source.columns))
                for source in self._seen.sources(scope)
                if LogSource.parse(source.logsource).covers(*key[0])
            ]
        return self._fitting[key]

    def _named(self, columns: Mapping[str, int]) -> Names:
        names = frozenset(columns)
        if names not in self._names:
            self._names[names] = Names(names)
        return self._names[names]

    def _lack(self, rule: Rule, names: Names) -> frozenset[str]:
        key = (rule.id, names.names)
        if key not in self._lacks:
            self._lacks[key] = missing(rule.node, names)
        return self._lacks[key]

    # ------------------------------------------------------------ correlations

    def _correlation(self, one: Correlation) -> Covered:
        base = about(one, self._book)
        idle = [name for name in one.rules if name not in self._where]
        absent = lost(one, idle)
        if absent is not None:
            title = self._title(absent)
            return replace(base, state="part", reason=_part(title), missing=(absent,))
        blind = self._unknown_values(one)
        if blind:
            return replace(base, state="no_field", reason=_no_field(blind), missing=blind)
        where = {scope for scope in self._scopes if lost(one, self._idle_in(one, scope)) is None}
        return self._active(one, base, where)

    def _unknown_values(self, one: Correlation) -> tuple[str, ...]:
        """Fields whose values it counts or sums that no event of its rules ever had."""
        parts = [rule for rule in self._book.ruleset.rules if rule.id in one.rules]
        if not one.fields or len(parts) < len(one.rules):
            return ()  # over other correlations: their fields are those of what they stand on
        held = [names for rule in parts for _, names in self._fit(rule, ALL)]
        return tuple(name for name in one.fields if not any(name in names for names in held))

    def _idle_in(self, one: Correlation, scope: Scope) -> list[str]:
        return [name for name in one.rules if scope not in self._where.get(name, ())]

    def _title(self, rule_id: str) -> Text:
        head = self._book.ruleset.head(rule_id)
        return head.title if head else Text(rule_id, rule_id)


def about(rule: One, book: Book) -> Covered:
    """What a rule says about itself; its state is still open."""
    head = rule.head
    plain = isinstance(rule, Rule)
    source = " / ".join(filter(None, (rule.product, rule.category, rule.service))) if isinstance(rule, Rule) else ""
    return Covered(
        id=rule.id,
        title=head.title,
        state="active",
        reason=Text("", ""),
        kind="rule" if plain else rule.kind,  # type: ignore[union-attr]
        level=head.level,
        status=head.status,
        logsource=source,
        place=head.place,
        origin=book.origins.get(rule.id, ""),
        author=head.author,
        license=head.license,
        tags=head.tags,
        removed=rule.id in book.removed,
    )


def _idle(book: Book) -> Iterable[Covered]:
    """Rules that do not run, whatever comes."""
    for off in book.off:
        yield replace(about(off.rule, book), state="off", reason=off.reason)
    for one in book.waiting:
        yield Covered(
            one.id, Text(one.title_zh or one.title, one.title), "placeholder", _no_list(one.reason), level=one.level,
            status=one.status, logsource=one.logsource, tags=one.tags, place=one.place,
        )  # fmt: skip
    for fault in book.faults:
        name = Path(fault.place.rpartition(":")[0] or fault.place).name
        told = f"{fault.message}; {fault.remedy}" if fault.remedy else fault.message
        yield Covered("", Text(name, name), "faulty", Text(told, told), place=fault.place)


def _no_source(rule: Rule) -> Text:
    source = " / ".join(filter(None, (rule.product, rule.category, rule.service)))
    days = SPAN.days
    return Text(f"{days} 天内没有此类数据源：{source}", f"no such source in {days} days: {source}")


def _no_field(lacks: Collection[str]) -> Text:
    names = ", ".join(sorted(lacks))
    return Text(f"从未见过字段：{names}", f"field never seen: {names}")


def _no_list(reason: str) -> Text:
    name = re.search(r"%[^%']{1,100}%", reason)
    if name is None:
        return Text(reason, reason)
    return Text(
        f"占位列表 {name[0]} 未定义；请写入 rules/placeholders.yml",
        f"no list {name[0]}: put it into rules/placeholders.yml",
    )


def _part(title: Text) -> Text:
    return Text(f"所关联的规则未生效：{title.zh}", f"a rule it stands on is not active: {title.en}")


def _active(unseen: Sequence[str]) -> Text:
    if not unseen:
        return Text("有数据，可命中", "its events come, it can hold")
    names = ", ".join(unseen)
    return Text(f"可命中；未见字段：{names}", f"can hold; fields not seen: {names}")
