"""What a Sigma document means, as immutable trees: leaves over one field, joined by and, or, not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from cityguard.model import Level, Text

if TYPE_CHECKING:
    from cityguard.sigma.custom import Custom

Mode = Literal["exact", "prefix", "suffix", "contains"]
Operator = Literal["lt", "lte", "gt", "gte"]
Part = Literal["minute", "hour", "day", "week", "month", "year"]


@dataclass(frozen=True, slots=True)
class Words:
    """A value equals, begins with, ends with or contains any of ``texts`` (already folded unless ``cased``)."""

    field: str | None  # None: any value of the row (keyword)
    mode: Mode
    texts: tuple[str, ...]
    cased: bool = False


@dataclass(frozen=True, slots=True)
class Regex:
    """A value matches. ``folded``: the pattern was made from wildcards and is held against folded values."""

    field: str | None
    pattern: str
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Present:
    """Any value at all (``*``, ``exists``)."""

    field: str | None


@dataclass(frozen=True, slots=True)
class Null:
    """No value, or only empty ones."""

    field: str | None


@dataclass(frozen=True, slots=True)
class Cidr:
    """A value is an address inside one of the networks."""

    field: str | None
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """A value is a number below or above another."""

    field: str | None
    operator: Operator
    number: float


@dataclass(frozen=True, slots=True)
class TimePart:
    """A part of a time equals a number; no change of time zone."""

    field: str | None
    part: Part
    number: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A value equals (begins with …) a value of another field of the same row."""

    field: str
    other: str
    mode: Mode = "exact"
    cased: bool = False


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every item holds; true when there is none."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one item holds."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The item does not hold: two-valued, so true where a field is missing."""

    item: Node


Leaf: TypeAlias = Words | Regex | Present | Null | Cidr | Compare | TimePart | Reference
Node: TypeAlias = Leaf | AllOf | AnyOf | Not


def leaves(node: Node, *, positive: bool = True, _sign: bool = True) -> Iterator[Leaf]:
    """Leaves of a tree; with ``positive`` only those not under a ``not``."""
    if isinstance(node, Not):
        yield from leaves(node.item, positive=positive, _sign=not _sign)
    elif isinstance(node, AllOf | AnyOf):
        for item in node.items:
            yield from leaves(item, positive=positive, _sign=_sign)
    elif _sign or not positive:
        yield node


@dataclass(frozen=True, slots=True)
class Example:
    """One test a rule carries: events, and whether (or how many times) it must answer."""

    name: str
    events: tuple[dict[str, Any], ...]
    match: bool | None = None  # plain rules
    alerts: int | None = None  # correlations, and rules that remember
    place: str = ""
    history: tuple[dict[str, Any], ...] = ()  # seen before; what it raises does not count
    until_s: int = 0  # time goes on to so many seconds after the start; 0: it ends with the events
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()  # threat lists for this test


@dataclass(frozen=True, slots=True)
class Head:
    """What every document says about itself."""

    id: str
    title: Text
    path: Path
    line: int
    name: str = ""
    level: Level = "medium"
    status: str = ""
    description: str = ""
    author: str = ""
    license: str = ""  # of the rule, as it or the collection it was imported with says
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    advice: Text = Text("", "")
    version: str = "1"
    group: tuple[str, ...] | None = None  # None: the detector's own choice
    window_s: int = 3600  # repeats within it merge into one alert
    examples: tuple[Example, ...] = ()
    custom: Custom | None = None  # what custom.cityguard adds; None where the document has no such block

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One detection rule."""

    head: Head
    node: Node
    category: str | None = None
    product: str | None = None
    service: str | None = None
    fields: tuple[str, ...] = field(default=())  # fields of its positive leaves, in the rule's order
    filters: tuple[str, ...] = ()  # ids of the filters that stand in its node, in the order applied

    @property
    def id(self) -> str:
        return self.head.id

    @property
    def title(self) -> Text:
        return self.head.title


@dataclass(frozen=True, slots=True)
class Filter:
    """An exception for many rules: ``node`` must hold as well wherever the filter applies."""

    head: Head
    node: Node
    rules: tuple[str, ...] | None  # names or ids; None: any rule whose log source the filter covers
    category: str | None = None
    product: str | None = None
    service: str | None = None

    @property
    def id(self) -> str:
        return self.head.id

    @property
    def title(self) -> Text:
        return self.head.title

    def covers(self, rule: Rule) -> bool:
        """True when the rule's log source is the filter's or a narrower one."""
        asked = ((self.category, rule.category), (self.product, rule.product), (self.service, rule.service))
        return all(mine is None or mine == its for mine, its in asked)


Kind = Literal[
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
    "temporal",
    "temporal_ordered",
]
CORRELATIONS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Clause:
    """One way in which a boolean condition over rules holds."""

    needs: tuple[str, ...]  # rule ids, all of which have hits in the window; in the order of Correlation.rules
    bars: tuple[str, ...] = ()  # rule ids, none of which has


@dataclass(frozen=True, slots=True)
class Correlation:
    """Hits of other rules, counted over a sliding window per group."""

    head: Head
    kind: Kind
    rules: tuple[str, ...]  # ids, after names are resolved
    group_by: tuple[str, ...]
    timespan_s: int
    conditions: tuple[tuple[str, float], ...]  # (gte, 10.0), all of which must hold; none where clauses say it
    fields: tuple[str, ...] = ()  # what value_* looks at; several (value_count only): their combinations count
    percentile: float | None = None  # value_percentile: above 0, up to 100
    clauses: tuple[Clause, ...] = ()  # temporal types with a boolean condition: at least one of these holds
    aliases: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()  # alias -> (rule id, field)
    generate: bool = False

    @property
    def id(self) -> str:
        return self.head.id

    @property
    def title(self) -> Text:
        return self.head.title

    @property
    def field(self) -> str | None:
        """The one field of value_sum, value_avg …; the first where several count together."""
        return self.fields[0] if self.fields else None

    @property
    def grows(self) -> bool:
        """More hits can only make it truer, so it may be answered before the input ends."""
        if self.kind in ("value_avg", "value_percentile", "value_median"):
            return False
        return all(op in ("gt", "gte") for op, _ in self.conditions) and not any(one.bars for one in self.clauses)

    def group_fields(self, rule_id: str) -> tuple[str, ...]:
        """The group-by fields as the given rule's events name them."""
        return self._named(self.group_by, rule_id)

    def value_fields(self, rule_id: str) -> tuple[str, ...]:
        """The fields looked at, as the given rule's events name them."""
        return self._named(self.fields, rule_id)

    def _named(self, names: tuple[str, ...], rule_id: str) -> tuple[str, ...]:
        aliases = {alias: dict(mapping) for alias, mapping in self.aliases}
        return tuple(aliases.get(name, {}).get(rule_id, name) for name in names)
