"""Does a rule hold? Plain evaluation of its tree over a table: each leaf once per distinct value, never per event."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import orjson
import polars as pl

from cityguard.model import EventBatch, LogSource
from cityguard.sigma import regex
from cityguard.sigma.ast import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    Leaf,
    Mode,
    Node,
    Not,
    Null,
    Present,
    Reference,
    Regex,
    Rule,
    TimePart,
    Words,
)
from cityguard.sigma.fields import logsource
from cityguard.sigma.rule import Ruleset
from cityguard.sigma.view import Mask, Values, View

KEPT = 256  # leaf verdicts kept while one batch is looked at


def applies(rule: Rule, source: LogSource) -> bool:
    """True when the rule's log source covers events of this one."""
    return source.covers(rule.category, rule.product, rule.service)


def match(rule: Rule, batch: EventBatch) -> pl.Series:
    """Rows for which the rule's condition holds, whatever their log source: Boolean, one per row."""
    return pl.Series(rule.id, Evaluation(View(batch.table)).node(rule.node), dtype=pl.Boolean)


def hits(ruleset: Ruleset, batch: EventBatch) -> Iterator[tuple[Rule, pl.Series]]:
    """Every rule that applies to the batch and holds for at least one row, with its Boolean mask."""
    if not batch.table.height:
        return
    evaluation = Evaluation(View(batch.table))
    source = logsource(batch)
    for rule in ruleset.rules:
        if applies(rule, source):
            mask = evaluation.node(rule.node)
            if mask.any():
                yield rule, pl.Series(rule.id, mask, dtype=pl.Boolean)


class Evaluation:
    """One pass of any number of rules over one table; two-valued throughout."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._kept: dict[Leaf, Mask] = {}

    def node(self, node: Node) -> Mask:
        """Boolean per row."""
        if isinstance(node, Not):
            return ~self.node(node.item)
        if isinstance(node, AllOf):
            return self._all(node.items)
        if isinstance(node, AnyOf):
            return self._any(node.items)
        if node not in self._kept:
            mask = self._leaf(node)
            if len(self._kept) >= KEPT:
                return mask
            self._kept[node] = mask
        return self._kept[node]

    def _all(self, items: tuple[Node, ...]) -> Mask:
        mask = np.ones(self.view.height, dtype=np.bool_)
        for item in items:
            mask = mask & self.node(item)
            if not mask.any():
                break
        return mask

    def _any(self, items: tuple[Node, ...]) -> Mask:
        mask = np.zeros(self.view.height, dtype=np.bool_)
        for item in items:
            mask = mask | self.node(item)
            if mask.all():
                break
        return mask

    def _leaf(self, leaf: Leaf) -> Mask:
        if isinstance(leaf, Reference):
            return self._reference(leaf)
        if leaf.field is None:
            return self._keyword(leaf)
        values = self.view.values(leaf.field)
        if values is None:
            return np.full(self.view.height, isinstance(leaf, Null))
        return judge(leaf, values)

    def _keyword(self, leaf: Leaf) -> Mask:
        """Any value of the row; JSON text is searched as it is, for the word as JSON writes it."""
        mask = np.zeros(self.view.height, dtype=np.bool_)
        for column in self.view.keyword_columns:
            values = self.view.values(column)
            if values is not None and len(values.distinct):
                mask |= judge(leaf, values)
        raw = self.view.values("event.fields")
        if raw is not None and len(raw.distinct):
            mask |= judge(_as_json(leaf), raw)
        return mask

    def _reference(self, leaf: Reference) -> Mask:
        """Any value of one field against any value of the other, row by row."""
        mask = np.zeros(self.view.height, dtype=np.bool_)
        one, other = self.view.values(leaf.field), self.view.values(leaf.other)
        if one is None or other is None:
            return mask
        pairs = _column(one, leaf.cased, "a").join(_column(other, leaf.cased, "b"), on="row")
        hit = pairs.filter(_COMPARED[leaf.mode](pl.col("a"), pl.col("b")))
        mask[np.asarray(hit["row"])] = True
        return mask


_COMPARED: dict[Mode, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "exact": lambda a, b: a == b,
    "prefix": lambda a, b: a.str.starts_with(b),
    "suffix": lambda a, b: a.str.ends_with(b),
    "contains": lambda a, b: a.str.contains(b, literal=True),
}


def _column(values: Values, cased: bool, name: str) -> pl.DataFrame:
    texts = values.text if cased else values.folded
    return pl.DataFrame({"row": values.rows, name: texts.gather(values.codes)})


def _as_json(leaf: Leaf) -> Leaf:
    if not isinstance(leaf, Words):
        return leaf
    written = (orjson.dumps(text).decode()[1:-1] for text in leaf.texts)
    return Words(None, leaf.mode, tuple(dict.fromkeys((*leaf.texts, *written))), leaf.cased)


# ---------------------------------------------------------------- leaves


def judge(leaf: Leaf, values: Values) -> Mask:
    """One leaf over one field's values; true for rows where any value fits."""
    if isinstance(leaf, Present):
        return values.spread(np.ones(len(values.distinct), dtype=np.bool_))
    if isinstance(leaf, Null):
        return ~values.spread(values.text != "")
    if not len(values.distinct):
        return np.zeros(values.height, dtype=np.bool_)
    return values.spread(_JUDGES[type(leaf)](leaf, values))


def _words(leaf: Words, values: Values) -> pl.Series:
    texts = values.text if leaf.cased else values.folded
    if leaf.mode == "exact":
        return texts == leaf.texts[0] if len(leaf.texts) == 1 else texts.is_in(list(leaf.texts))
    if leaf.mode == "contains" and len(leaf.texts) > 1:
        return texts.str.contains_any(list(leaf.texts))
    one: Callable[[str], pl.Series] = {
        "prefix": texts.str.starts_with,
        "suffix": texts.str.ends_with,
        "contains": lambda text: texts.str.contains(text, literal=True),
    }[leaf.mode]
    return reduce(lambda a, b: a | b, map(one, leaf.texts))


def _regex(leaf: Regex, values: Values) -> pl.Series:
    return regex.matches(leaf.pattern, values.folded if leaf.folded else values.text)


def _cidr(leaf: Cidr, values: Values) -> Mask:
    return reduce(lambda a, b: a | b, (values.addresses.inside(network) for network in leaf.networks))


def _compare(leaf: Compare, values: Values) -> pl.Series:
    numbers = values.numbers
    found = {
        "lt": numbers < leaf.number,
        "lte": numbers <= leaf.number,
        "gt": numbers > leaf.number,
        "gte": numbers >= leaf.number,
    }[leaf.operator]
    return found.fill_null(False) & numbers.is_not_nan().fill_null(False)


def _time(leaf: TimePart, values: Values) -> pl.Series:
    distinct = values.distinct
    if isinstance(distinct.dtype, pl.Datetime):
        part: pl.Series = getattr(distinct.dt, leaf.part)()
        return part == leaf.number
    return pl.Series([_part(text, leaf.part) == leaf.number for text in values.text], dtype=pl.Boolean)


_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ].+)?")


@lru_cache(maxsize=65_536)
def _part(text: str, part: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text) if _ISO.fullmatch(text) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return moment.isocalendar().week if part == "week" else int(getattr(moment, part))


_JUDGES: dict[type, Callable[[Any, Values], pl.Series | Mask]] = {
    Words: _words,
    Regex: _regex,
    Cidr: _cidr,
    Compare: _compare,
    TimePart: _time,
}
