"""The names a question may use, for events and for alerts: the only place where a name becomes a stored column."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from cityguard import columns
from cityguard.errors import InputError
from cityguard.model import LEVELS, And, Node, Not, Or, Query, Term
from cityguard.store.words import words

Subject = Literal["events", "alerts"]
Held = Literal["keyword", "keywords", "text", "ip", "integer", "number", "time", "bool", "level", "any"]

MAX_TERMS, MAX_DEPTH, MAX_VALUE, MAX_IN = 200, 20, 4_096, 1_000
MAX_ROWS = 100_000  # of one answer; more is read page by page

_HELD: dict[str, Held] = {
    "time": "time",
    "ip": "ip",
    "keyword": "keyword",
    "text": "text",
    "long": "integer",
    "int": "integer",
    "port": "integer",
    "double": "number",
    "bool": "bool",
    "keywords": "keywords",
}

EVENT_FIELDS: dict[str, Held] = {
    name: _HELD[column.kind] for name, column in columns.BY_NAME.items() if column.kind in _HELD
}
ALERT_FIELDS: dict[str, Held] = {
    "id": "keyword",
    "rule_id": "keyword",
    "title": "text",
    "level": "level",
    "source": "keyword",
    "status": "keyword",
    "verdict": "keyword",
    "owner": "keyword",
    "note": "text",
    "case_id": "keyword",
    "author": "keyword",
    "tags": "keywords",
    "department": "keyword",
    "system": "keyword",
    "segment": "keyword",
    "dataset": "keyword",
    "count": "integer",
    "score": "number",
    "first_seen": "time",
    "last_seen": "time",
    "source.ip": "ip",
    "destination.ip": "ip",
    "user.name": "keyword",
    "host.name": "keyword",
}

_BOTH_SIDES = ("ip", "port", "asset", "system", "department", "segment", "zone", "grade")
EVENT_ALIASES: dict[str, tuple[str, ...]] = {
    **{name: (f"source.{name}", f"destination.{name}") for name in _BOTH_SIDES},
    "time": ("@timestamp",),
    "dataset": ("event.dataset",),
    "rule": ("rule.id", "rule.name"),
    "user": ("user.name", "user.target.name"),
    "host": ("host.name",),
}
ALERT_ALIASES: dict[str, tuple[str, ...]] = {
    "ip": ("source.ip", "destination.ip"),
    "rule": ("rule_id", "title"),
    "time": ("last_seen",),
    "tag": ("tags",),
    "case": ("case_id",),
    "user": ("user.name",),
    "host": ("host.name",),
    "event.dataset": ("dataset",),
}
WORD_COLUMNS = (
    "message",
    "event.original",
    "process.command_line",
    "process.parent.command_line",
    "event.action",
    "url.original",
    "user_agent.original",
    "dns.question.name",
    "tls.client.server_name",
    "rule.name",
    "file.path",
    "user.name",
    "host.name",
    "ot.function.name",
)
"""Columns that free words are looked for in, among events."""

_ORDERED: frozenset[Held] = frozenset(("integer", "number", "time", "level"))
_OPS: dict[Held, frozenset[str]] = {
    "keyword": frozenset(("eq", "ne", "in", "prefix", "contains", "exists")),
    "keywords": frozenset(("eq", "ne", "in", "prefix", "contains", "exists")),
    "text": frozenset(("eq", "ne", "prefix", "contains", "exists")),
    "ip": frozenset(("eq", "ne", "in", "cidr", "prefix", "exists")),
    "bool": frozenset(("eq", "ne", "exists")),
    **dict.fromkeys(_ORDERED, frozenset(("eq", "ne", "in", "lt", "lte", "gt", "gte", "exists"))),
    "any": frozenset(("contains",)),
}


@dataclass(frozen=True, slots=True)
class Words:
    """The value of a resolved full-text term: words in this order; ``prefix`` leaves the last one open."""

    words: tuple[str, ...]
    prefix: bool = False


def held(name: str, subject: Subject | None) -> Held | None:
    """How a name's values are held, by the first column it stands for; None = no such name."""
    if name == "*":
        return "any"
    for kind, fields, aliases in (
        ("events", EVENT_FIELDS, EVENT_ALIASES),
        ("alerts", ALERT_FIELDS, ALERT_ALIASES),
    ):
        if subject not in (None, kind):
            continue
        if name in fields:
            return fields[name]
        if name in aliases:
            return fields[aliases[name][0]]
    return None


def known(subject: Subject | None) -> list[str]:
    """Every name a question about ``subject`` may use."""
    events = {*EVENT_FIELDS, *EVENT_ALIASES} if subject != "alerts" else set()
    alerts = {*ALERT_FIELDS, *ALERT_ALIASES} if subject != "events" else set()
    return sorted(events | alerts)


def check(query: Query) -> Query:
    """Refuse what no store should be asked.

    Raises:
        InputError: limit out of bounds, a naive time, an unknown dataset.
    """
    if not 0 <= query.limit <= MAX_ROWS:
        raise InputError(f"limit {query.limit} is out of bounds", remedy=f"0 to {MAX_ROWS}; page with `after`")
    if query.dataset is not None and query.dataset not in columns.DATASETS:
        raise InputError(f"no dataset '{query.dataset}'", remedy=f"one of {', '.join(columns.DATASETS)}")
    for moment in (query.start, query.end):
        if moment is not None and moment.tzinfo is None:
            raise InputError("a time without a zone", remedy="give aware times")
    if query.after is not None and len(query.after) > MAX_VALUE:
        raise InputError("cursor is too long")
    return query


def resolve(query: Query, subject: Subject) -> Node | None:
    """The query's condition with aliases spelled out and every value checked and typed.

    Values come out as: str, int, float, bool, aware datetime, ``Words``, an IP network for ``cidr``, the level's
    rank, or a tuple of these for ``in``. Only names of ``EVENT_FIELDS`` / ``ALERT_FIELDS`` and ``*`` remain.

    Raises:
        InputError: unknown field, operator that does not fit it, value that does not fit, too many terms.
    """
    items = [query.where] if query.where is not None else []
    items += [Term("*", "contains", word) for word in query.text.split()[:MAX_TERMS]]
    if not items:
        return None
    node = items[0] if len(items) == 1 else And(tuple(items))
    return _Resolver(subject).node(node, 0)


class _Resolver:
    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.terms = 0
        self.fields = EVENT_FIELDS if subject == "events" else ALERT_FIELDS
        self.aliases = EVENT_ALIASES if subject == "events" else ALERT_ALIASES

    def node(self, node: Node, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise InputError("the question is nested too deeply", remedy=f"at most {MAX_DEPTH} levels")
        match node:
            case And(items):
                return And(tuple(self.node(item, depth + 1) for item in items))
            case Or(items):
                return Or(tuple(self.node(item, depth + 1) for item in items))
            case Not(item):
                return Not(self.node(item, depth + 1))
            case Term():
                return self.term(node)

    def term(self, term: Term) -> Node:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise InputError("the question has too many terms", remedy=f"at most {MAX_TERMS}")
        if term.op == "ne":
            return Not(self.term(Term(term.field, "eq", term.value)))
        if term.field == "*":
            return self.anywhere(term)
        if names := self.aliases.get(term.field):
            return _any([self.one(name, term) for name in names])
        return self.one(term.field, term)

    def anywhere(self, term: Term) -> Node:
        if term.op != "contains":
            raise InputError(f"words cannot be asked with '{term.op}'")
        text = _text(term.value)
        if self.subject == "events":
            return _any([Term(name, "contains", text.removesuffix("*")) for name in WORD_COLUMNS])
        found = tuple(words(text))
        if not found:
            raise InputError(f"'{text}' holds no letter or digit to search for")
        return Term("*", "contains", Words(found, prefix=text.endswith("*")))

    def one(self, name: str, term: Term) -> Node:
        kind = self.fields.get(name)
        if kind is None:
            raise InputError(f"no field '{name}' in {self.subject}", remedy=suggestion(name, self.subject))
        op = term.op
        if op not in _OPS[kind]:
            raise InputError(f"'{op}' cannot be asked of '{name}'", remedy=f"one of {', '.join(sorted(_OPS[kind]))}")
        if op == "exists":
            return Term(name, op, True)
        if op == "in":
            return Term(name, op, _several(kind, term.value))
        if kind == "ip" and op in ("prefix", "cidr"):
            return Term(name, "cidr", network(_text(term.value), is_prefix=op == "prefix"))
        if kind == "ip" and "/" in str(term.value):
            return Term(name, "cidr", network(_text(term.value)))
        if kind == "text" and op == "eq":
            op = "contains"
        return Term(name, op, COERCE[kind](term.value))


def suggestion(name: str, subject: Subject | None) -> str:
    """What to type instead of an unknown name."""
    import difflib

    near = difflib.get_close_matches(name, known(subject), 1, 0.5)
    return f"did you mean '{near[0]}'?" if near else "see docs/store.md for the fields; quote words that hold a colon"


def network(text: str, *, is_prefix: bool = False) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network from ``10.0.0.0/8`` or from leading octets (``10.1.``).

    Raises:
        InputError: it is neither.
    """
    if is_prefix:
        octets = text.rstrip("*").rstrip(".").split(".")
        if text and not text.rstrip("*").endswith(".") and len(octets) < 4:
            raise InputError(f"'{text}*' cuts an octet", remedy="e.g. 10.1.* or 10.0.0.0/8")
        text = ".".join([*octets, *["0"] * (4 - len(octets))]) + f"/{8 * len(octets)}"
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InputError(f"'{text}' is not a network", remedy="e.g. 10.0.0.0/8 or 2001:db8::/32") from error


def address(value: Any) -> str:
    """An address in canonical text; IPv4 inside IPv6 is unwrapped.

    Raises:
        InputError: it is not an address.
    """
    try:
        found = ipaddress.ip_address(_text(value))
    except ValueError as error:
        raise InputError(f"'{value}' is not an IP address", remedy="e.g. 10.0.0.1 or 2001:db8::1") from error
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def level(value: Any) -> int:
    """Rank of a level, 0 = informational.

    Raises:
        InputError: no such level.
    """
    if isinstance(value, str) and value.lower() in LEVELS:
        return [str(name) for name in LEVELS].index(value.lower())
    raise InputError(f"'{value}' is not a level", remedy=f"one of {', '.join(LEVELS)}")


def _any(items: list[Node]) -> Node:
    return items[0] if len(items) == 1 else Or(tuple(items))


def _several(kind: Held, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise InputError("'in' wants a list of values")
    items = list(value)
    if len(items) > MAX_IN:
        raise InputError(f"{len(items)} values in one list", remedy=f"at most {MAX_IN}")
    return tuple(COERCE[kind](item) for item in items)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_VALUE or "\0" in value:
        raise InputError(f"{str(value)[:40]!r} is not a text of 1 to {MAX_VALUE} characters")
    return value


def _integer(value: Any) -> int:
    try:
        if isinstance(value, (float, bool)):
            raise ValueError
        number = int(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"'{str(value)[:40]}' is not a whole number") from error
    if not -(1 << 63) <= number < 1 << 63:
        raise InputError(f"{number} is out of bounds")
    return number


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"'{str(value)[:40]}' is not a number") from error
    if number != number or number in (float("inf"), float("-inf")):
        raise InputError(f"'{value}' is not a number")
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise InputError(f"'{str(value)[:40]}' is neither true nor false")


def _time(value: Any) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    except ValueError as error:
        raise InputError(f"'{value}' is not a time", remedy="e.g. 2026-11-21T08:00:00+08:00") from error
    if moment.tzinfo is None:
        raise InputError(f"'{value}' has no time zone", remedy="e.g. 2026-11-21T08:00:00+08:00")
    return moment.astimezone(UTC)


COERCE: dict[Held, Callable[[Any], Any]] = {
    "keyword": _text,
    "keywords": _text,
    "text": _text,
    "ip": address,
    "integer": _integer,
    "number": _number,
    "bool": _bool,
    "time": _time,
    "level": level,
}
