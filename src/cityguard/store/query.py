"""The query language: what people type becomes a ``Query``, never SQL or DSL.

``source.ip:10.0.0.0/8 -rule:ssh level:>=high (status:open or owner:li) since:24h "lateral movement"``
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from cityguard.errors import InputError
from cityguard.model import And, Node, Not, Or, Query, Term
from cityguard.store import fields
from cityguard.store.fields import Held, Subject

MAX_LENGTH = 4_000

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<open>[(（]) | (?P<close>[)）])
      | (?P<minus>-(?=[^\s-]))
      | (?P<field>[A-Za-z_@][\w.@-]*)[:：](?P<op>>=|<=|>|<|=|~)?
        (?:"(?P<fquoted>(?:[^"\\]|\\.)*)"|(?P<fbare>[^\s()（）"]+)|(?P<fnone>))
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<word>[^\s()（）"]+)""",
    re.VERBOSE,
)
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_OPS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}
_ORDERED = frozenset(("integer", "number", "time", "level"))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    at: int
    text: str = ""
    field: str = ""
    op: str = ""
    is_quoted: bool = False


def parse(text: str, *, now: datetime, zone: tzinfo, subject: Subject | None = None) -> Query:
    """Read what a person typed.

    Args:
        text: words, ``field:value``, ``field:>=value``, ``a..b``, ``a,b``, ``value*``, ``field:*``, ``field:~part``,
            ``-`` or ``not``, ``and`` (may be left out), ``or``, parentheses; ``since:24h until:2026-11-21`` set the
            time range.
        now: what relative times count back from; aware.
        zone: the city's time zone, in which dates and times without an offset are meant.
        subject: whose fields may be used; None = those of events and of alerts.

    Raises:
        InputError: with the position of the fault.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"the question has {len(text)} characters", remedy=f"at most {MAX_LENGTH}")
    reader = _Reader(_tokens(text), now, zone, subject)
    where = reader.all()
    return Query(where=where, start=reader.start, end=reader.end)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _fault(at, "a quotation mark is not closed", 'close it with "')
        found += _token(match)
        at = match.end()
    return found


def _token(match: re.Match[str]) -> list[_Token]:
    at, kind = match.start(), match.lastgroup or ""
    if kind == "space":
        return []
    if match["field"] is not None:
        if match["fnone"] is not None:
            raise _fault(match.end(), f"'{match['field']}:' has no value", "e.g. level:high, or quote the words")
        is_quoted = match["fquoted"] is not None
        value = _unescape(match["fquoted"]) if is_quoted else match["fbare"]
        return [_Token("term", at, value, match["field"], match["op"] or "", is_quoted)]
    if kind == "quoted":
        return [_Token("word", at, _unescape(match["quoted"]), is_quoted=True)]
    word = match.group()
    if kind == "word" and word.lower() in ("and", "or", "not"):
        return [_Token(word.lower(), at)]
    return [_Token("not" if kind == "minus" else kind, at, word)]


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _fault(at: int, message: str, remedy: str = "") -> InputError:
    return InputError(message, place=f"character {at + 1}", remedy=remedy)


class _Reader:
    """Recursive descent over the tokens; depth and number of terms are bounded."""

    def __init__(self, tokens: list[_Token], now: datetime, zone: tzinfo, subject: Subject | None) -> None:
        self.tokens, self.at = tokens, 0
        self.now, self.zone, self.subject = now, zone, subject
        self.start: datetime | None = None
        self.end: datetime | None = None
        self.terms = self.depth = 0

    def all(self) -> Node | None:
        if not self.tokens:
            return None
        node = self.either(is_top=True)
        if (token := self.peek()) is not None:
            raise _fault(token.at, "')' without '('")
        return node

    def peek(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, kind: str) -> bool:
        token = self.peek()
        if token is None or token.kind != kind:
            return False
        self.at += 1
        return True

    def either(self, *, is_top: bool = False) -> Node | None:
        items = [self.both(is_top=is_top)]
        while self.take("or"):
            if is_top and (self.start or self.end):
                raise self.fail("'since:' and 'until:' stand for the whole question", "put ( ) around the or")
            items.append(self.both())
        found = [item for item in items if item is not None]
        return None if not found else found[0] if len(found) == 1 else Or(tuple(found))

    def both(self, *, is_top: bool = False) -> Node | None:
        items: list[Node] = []
        seen = 0
        while (token := self.peek()) is not None and token.kind not in ("or", "close"):
            if token.kind == "and" and seen:
                self.at += 1
            if (node := self.negated(is_top=is_top)) is not None:
                items.append(node)
            seen += 1
        if not seen:
            raise self.missing()
        return None if not items else items[0] if len(items) == 1 else And(tuple(items))

    def missing(self) -> InputError:
        token = self.peek()
        at = token.at if token else (self.tokens[-1].at + len(self.tokens[-1].text))
        return _fault(at, "a condition is missing here", "e.g. level:high")

    def negated(self, *, is_top: bool = False) -> Node | None:
        self.depth += 1
        if self.depth > fields.MAX_DEPTH:
            raise self.fail("the question is nested too deeply", f"at most {fields.MAX_DEPTH} levels")
        try:
            if self.take("not"):
                node = self.negated()
                return None if node is None else Not(node)
            return self.primary(is_top=is_top)
        finally:
            self.depth -= 1

    def fail(self, message: str, remedy: str = "") -> InputError:
        token = self.peek() or self.tokens[-1]
        return _fault(token.at, message, remedy)

    def primary(self, *, is_top: bool) -> Node | None:
        token = self.peek()
        if token is None or token.kind not in ("open", "term", "word"):
            raise self.missing()
        self.at += 1
        if token.kind == "open":
            node = self.either()
            if not self.take("close"):
                raise _fault(token.at, "'(' is not closed", "close it with )")
            return node
        self.terms += 1
        if self.terms > fields.MAX_TERMS:
            raise _fault(token.at, "the question has too many terms", f"at most {fields.MAX_TERMS}")
        try:
            if token.kind == "word":
                return _word(token)
            if token.field in ("since", "last", "until"):
                self.range(token, is_top)
                return None
            return self.term(token)
        except InputError as error:
            raise _fault(token.at, error.message, error.remedy) if not error.place else error from None

    def range(self, token: _Token, is_top: bool) -> None:
        if not is_top:
            raise InputError(f"'{token.field}:' stands for the whole question", remedy="not inside or, not, ( )")
        first, after = self.moment(token.text)
        if token.field == "until":
            self.end = after
        else:
            self.start = first

    def term(self, token: _Token) -> Node:
        kind = fields.held(token.field, self.subject)
        if kind is None:
            raise InputError(f"no field '{token.field}'", remedy=fields.suggestion(token.field, self.subject))
        if token.op == "~":
            return Term(token.field, "contains", token.text)
        if token.op in _OPS:
            if kind not in _ORDERED:
                raise InputError(f"'{token.field}' has no order", remedy=f"e.g. {token.field}:value")
            return self.ordered(token.field, kind, _OPS[token.op], token.text)
        if token.is_quoted:
            return self.single(token.field, kind, token.text)
        if token.text == "*":
            return Term(token.field, "exists", True)
        if kind in _ORDERED and ".." in token.text:
            return self.between(token.field, kind, token.text)
        if "," in token.text and kind not in ("text", "time"):
            items = [self.single(token.field, kind, part) for part in token.text.split(",") if part]
            return Or(tuple(items))
        if token.text.endswith("*"):
            return Term(token.field, "prefix", _whole(token.text[:-1]))
        return self.single(token.field, kind, _whole(token.text))

    def between(self, name: str, kind: Held, text: str) -> Node:
        low, _, high = text.partition("..")
        items = [self.ordered(name, kind, op, part) for op, part in (("gte", low), ("lte", high)) if part]
        if not items:
            raise InputError("'..' needs a bound", remedy="e.g. destination.port:1..1023")
        return items[0] if len(items) == 1 else And(tuple(items))

    def ordered(self, name: str, kind: Held, op: str, text: str) -> Node:
        if kind != "time":
            return Term(name, op, _checked(kind, text))
        first, after = self.moment(text)
        if first == after:
            return Term(name, op, first)
        return {
            "gte": Term(name, "gte", first),
            "gt": Term(name, "gte", after),
            "lt": Term(name, "lt", first),
            "lte": Term(name, "lt", after),
        }[op]

    def single(self, name: str, kind: Held, text: str) -> Node:
        if kind == "time":
            first, after = self.moment(text)
            if first == after:
                return Term(name, "eq", first)
            return And((Term(name, "gte", first), Term(name, "lt", after)))
        return Term(name, "eq", _checked(kind, text))

    def moment(self, text: str) -> tuple[datetime, datetime]:
        """(first, first after) in UTC: a day for a date, twice the same for a point in time."""
        if ago := _AGO.fullmatch(text):
            point = self.now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
            return point.astimezone(UTC), point.astimezone(UTC)
        try:
            if len(text) <= 10:
                day = date.fromisoformat(text)
                bounds = [datetime.combine(day + timedelta(days=n), time(), self.zone) for n in (0, 1)]
                return bounds[0].astimezone(UTC), bounds[1].astimezone(UTC)
            point = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            raise InputError(
                f"'{text[:40]}' is not a time", remedy="e.g. 2026-11-21, 2026-11-21T08:00 or 24h"
            ) from None
        point = point if point.tzinfo else point.replace(tzinfo=self.zone)
        return point.astimezone(UTC), point.astimezone(UTC)


def _word(token: _Token) -> Node:
    text = token.text if token.is_quoted else token.text[:-1]
    if "*" in text and not token.is_quoted:
        raise InputError("'*' may only stand at the end of a word", remedy="quote it to search for the sign itself")
    if not token.text.strip():
        raise InputError("there is nothing between the quotation marks")
    return Term("*", "contains", token.text)


def _whole(text: str) -> str:
    if "*" in text:
        raise InputError("'*' may only stand at the end of a value", remedy="field:~part looks inside; or quote it")
    if not text:
        raise InputError("a value is missing")
    return text


def _checked(kind: Held, text: str) -> Any:
    """Numbers as numbers; the rest stays text until the store resolves it, but is checked now."""
    if kind in ("integer", "number"):
        return fields.COERCE[kind](text)
    if kind == "ip":
        return text if "/" in text and fields.network(text) else fields.address(text)
    fields.COERCE[kind](text)
    return text
