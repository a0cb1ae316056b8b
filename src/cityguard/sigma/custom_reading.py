"""Reads the ``custom.cityguard`` block; every fault named with its line, every number bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from cityguard.errors import InputError
from cityguard.model import Text
from cityguard.sigma import modifiers
from cityguard.sigma.ast import AllOf, AnyOf, Node
from cityguard.sigma.custom import (
    DIRECTIONS,
    METHODS,
    Absence,
    Allow,
    Baseline,
    Custom,
    Memory,
    NewTerms,
    Rate,
    Suppress,
    ThreatMatch,
)
from cityguard.sigma.custom import Sequence as Steps
from cityguard.sigma.custom_parts import HERE, Parts
from cityguard.sigma.modifiers import UnresolvedError
from cityguard.sigma.reader import Lists, Reader

MAX_ALLOW = 500  # entries per rule
MAX_STEPS = 8
MAX_RATE = 100_000
MAX_THRESHOLD = 1_000.0
MAX_SAMPLES = 128  # windows of a group a baseline looks back on
_ABOUT = ("title_zh", "advice", "version", "group", "window", "tests")  # read with the rule's head
_ROWS = ("allow", "threat_match")
_MEMORIES = ("new_terms", "baseline", "rate", "absence", "sequence")
_TOLD = ("suppress", "response")
KEYS = (*_ABOUT, *_ROWS, *_MEMORIES, *_TOLD)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read(reader: Reader, ours: Mapping[str, Any], lists: Lists) -> Custom:
    """The block of one rule or correlation; what is wrong with it becomes faults of ``reader``.

    Args:
        reader: of the document it stands in.
        ours: the map under ``custom.cityguard``.
        lists: placeholders for ``expand`` inside ``allow``.

    Raises:
        UnresolvedError: an ``allow`` names a placeholder that has no list.
    """
    return _Block(reader, ours, lists).custom()


class _Block(Parts):
    def custom(self) -> Custom:
        self.known(self.ours, KEYS)
        if not any(key in self.ours for key in (*_ROWS, *_MEMORIES, *_TOLD)):
            return Custom()
        if "correlation" in self.reader.doc.data:
            for key in (*_ROWS, *_MEMORIES):
                if key in self.ours:
                    self.fault(f"'{key}' does not go with a correlation", key, remedy="put it into the rules it names")
        return Custom(
            allow=self.allow(),
            threat_match=self.threats(),
            memory=self.memory(),
            suppress=self.suppress(),
            response=self.response(),
        )

    # ------------------------------------------------------------ row by row

    def allow(self) -> tuple[Allow, ...]:
        given = self.ours.get("allow")
        if given is None:
            return ()
        if not isinstance(given, list) or len(given) > MAX_ALLOW:
            self.fault(f"'allow' is a list of at most {MAX_ALLOW} entries", "allow", remedy="begin each entry with '-'")
            return ()
        found = [self.allowed(entry, index) for index, entry in enumerate(given)]
        return tuple(one for one in found if one is not None)

    def allowed(self, entry: Any, index: int) -> Allow | None:
        here = ("allow", index)
        if not isinstance(entry, dict):
            remedy = "write fields, owner, reason and expires"
            self.fault("an exception is a map", *here, remedy=remedy)
            return None
        self.known(entry, ("fields", "owner", "reason", "expires"), *here)
        node = self.fields_node(entry.get("fields"), *here, "fields")
        owner, reason = (self.said(entry, key, *here) for key in ("owner", "reason"))
        expires = self.day(entry.get("expires"), *here)
        if node is None or not owner or not reason or expires is None:
            return None
        place = self.reader.doc.place(*HERE, *here)
        return Allow(node, owner, reason, expires, place, tuple(str(key) for key in entry["fields"]))

    def fields_node(self, fields: Any, *where: str | int) -> Node | None:
        if not isinstance(fields, dict) or not fields:
            remedy = "write for example fields: {source.ip|cidr: 10.1.0.0/16}"
            self.fault("'fields' maps fields to values, as a selection does", *where, remedy=remedy)
            return None
        items: list[Node] = []
        for key, value in fields.items():
            try:
                if not str(key).partition("|")[0]:
                    raise InputError("an exception names its field", remedy="write field: value")
                items.append(modifiers.build(str(key), value, self.lists))
            except UnresolvedError:
                raise
            except InputError as error:
                self.fault(error.message, *where, str(key), remedy=error.remedy)
                items.append(AnyOf(()))
        return items[0] if len(items) == 1 else AllOf(tuple(items))

    def day(self, value: Any, *where: str | int) -> date | None:
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            pass
        remedy = "write the last day it holds: expires: 2026-12-31"
        self.fault("an exception needs the day it expires", *where, *(("expires",) if value else ()), remedy=remedy)
        return None

    def threats(self) -> ThreatMatch | None:
        given = self.part("threat_match", ("list", "field"))
        if given is None:
            return None
        name = given.get("list")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            remedy = "name lists/NAME.txt of the content folder by NAME"
            self.fault("'list' is letters, digits, _ and -", "threat_match", "list", remedy=remedy)
            return None
        fields = self.names(given, "field", "threat_match")
        return ThreatMatch(name, fields) if fields else None

    # ------------------------------------------------------------ what remembers

    def memory(self) -> Memory | None:
        kinds: dict[str, Callable[[], Memory | None]] = {
            "new_terms": self.new_terms,
            "baseline": self.baseline,
            "rate": self.rate,
            "absence": self.absence,
            "sequence": self.sequence,
        }
        given = [kind for kind in self.ours if kind in kinds]
        for other in given[1:]:
            remedy = "split it into two rules"
            self.fault(f"'{given[0]}' and '{other}' do not go together", other, remedy=remedy)
        return kinds[given[0]]() if given else None

    def new_terms(self) -> NewTerms | None:
        given = self.part("new_terms", ("fields", "history", "learn"))
        if given is None:
            return None
        history = self.span(given, "history", "new_terms", default="14d")
        learn = self.span(given, "learn", "new_terms", default="7d")
        if learn > history:
            remedy = "learn for at most as long as the history"
            self.fault("'learn' is longer than 'history'", "new_terms", "learn", remedy=remedy)
        return NewTerms(self.names(given, "fields", "new_terms"), history, learn)

    def baseline(self) -> Baseline | None:
        keys = ("field", "by", "window", "method", "threshold", "min_samples", "direction")
        given = self.part("baseline", keys)
        if given is None:
            return None
        field = given.get("field")
        if not isinstance(field, str) or not field:
            self.fault("'baseline' needs the field it sums, or 'count'", "baseline", remedy="add 'field: count'")
            field = "count"
        return Baseline(
            field=None if field == "count" else field,
            by=self.names(given, "by", "baseline", empty=True),
            window_s=self.span(given, "window", "baseline", default="1h", least=60, most=7 * 86_400),
            method=self.choice(given, "method", METHODS, "mad"),
            threshold=self.number(given, "threshold", "baseline", float, 4.0, 0.1, MAX_THRESHOLD),
            min_samples=self.number(given, "min_samples", "baseline", int, 24, 3, MAX_SAMPLES),
            direction=self.choice(given, "direction", DIRECTIONS, "up"),
        )

    def rate(self) -> Rate | None:
        given = self.part("rate", ("per", "by", "gte"))
        if given is None:
            return None
        if "gte" not in given:
            self.fault("'gte' is missing", "rate", remedy="add for example 'gte: 100'")
        return Rate(
            per_s=self.span(given, "per", "rate", most=86_400),
            by=self.names(given, "by", "rate", empty=True),
            gte=self.number(given, "gte", "rate", int, 2, 2, MAX_RATE),
        )

    def absence(self) -> Absence | None:
        given = self.part("absence", ("every", "by", "after"))
        if given is None:
            return None
        return Absence(
            every_s=self.span(given, "every", "absence", most=30 * 86_400),
            by=self.names(given, "by", "absence", empty=True),
            after=self.number(given, "after", "absence", int, 3, 1, 1000),
        )

    def sequence(self) -> Steps | None:
        given = self.part("sequence", ("steps", "by", "maxspan", "until", "generate"))
        if given is None:
            return None
        steps = self.names(given, "steps", "sequence", most=MAX_STEPS)
        until = given.get("until")
        if until is not None and not isinstance(until, str):
            self.fault("'until' is one text", "sequence", "until", remedy="write the name or id of one rule")
            until = None
        if not isinstance(given.get("generate", False), bool):
            self.fault("'generate' is true or false", "sequence", "generate", remedy="true: the steps alert as well")
        span = self.span(given, "maxspan", "sequence", most=30 * 86_400)
        by = self.names(given, "by", "sequence", empty=True)
        return Steps(steps, by, span, until, given.get("generate") is True)

    # ------------------------------------------------------------ what is told

    def suppress(self) -> Suppress | None:
        given = self.part("suppress", ("by", "for"))
        if given is None:
            return None
        span = self.span(given, "for", "suppress", most=30 * 86_400)
        return Suppress(self.names(given, "by", "suppress", empty=True), span)

    def response(self) -> Text:
        given = self.part("response", ("zh", "en"))
        if given is None:
            return Text("", "")
        zh, en = (self.said(given, key, "response") for key in ("zh", "en"))
        return Text(zh, en)
