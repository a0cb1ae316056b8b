"""A tree over one field and its values: many of them through Arrow's kernels, a few one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from cityguard.sigma import regex
from cityguard.sigma.ast import AllOf, AnyOf, Leaf, Mode, Node, Not, Null, Present, Regex, Words
from cityguard.sigma.engine.columns import Column, Ints, any_of, laid_out
from cityguard.sigma.engine.expressions import MAX_KEPT, compiled, possible, sweep
from cityguard.sigma.match import judge
from cityguard.sigma.view import Mask, Values

Verdict = Callable[[str, str], bool]  # (value, folded value)
MANY = 4  # texts looked for one by one; more of them by an automaton
SOME = 4096  # values up to which a regular expression kept compiled is quicker than one compiled anew
FEW = 256  # up to so many values one by one; more of them through Arrow and polars


def in_bulk(node: Node, column: Column, wanted: Ints) -> Mask:
    """A tree over one field for many of its values at once."""
    if isinstance(node, Not):
        return ~in_bulk(node.item, column, wanted)
    if isinstance(node, AllOf | AnyOf):
        every = isinstance(node, AllOf)
        mask = np.full(len(wanted), every)
        for item in node.items:
            still = np.flatnonzero(mask if every else ~mask)
            if not len(still):
                break
            mask[still] = in_bulk(item, column, wanted if len(still) == len(wanted) else wanted[still])
        return mask
    if isinstance(node, Words):
        found = words_in_bulk(node, column, wanted)
        if found is not None:
            return found
    if isinstance(node, Regex):
        matched = _matched(node, column, wanted)
        if matched is not None:
            return matched
    part: Values = column.values if len(wanted) == column.size else column.part(wanted)
    return np.asarray(judge(node, part), dtype=np.bool_)


def _matched(leaf: Regex, column: Column, wanted: Ints) -> Mask | None:
    """A regular expression by what is kept compiled; None where compiling it anew for all values is better."""
    quick = one_by_one(leaf)
    if quick is None:
        return None
    array = column.folded if leaf.folded else column.texts
    if len(wanted) != column.size:
        array = array.take(pa.array(wanted))
    plain = _bools(pc.string_is_ascii(array))
    if plain.all():
        return _swept(leaf, quick, array)
    found = _swept(leaf, quick, array.filter(pa.array(plain)))
    if found is None:
        return None
    mask = np.zeros(len(wanted), dtype=np.bool_)
    mask[plain] = found
    mask[~plain] = _beyond(leaf.pattern, array.filter(pa.array(~plain)).to_pylist())
    return mask


def _beyond(pattern: str, texts: list[str]) -> Mask:
    """Values beyond ASCII: the plain evaluator is asked about those alone that may match."""
    loose = possible(pattern)
    mask = np.fromiter((loose is None or loose(text) for text in texts), np.bool_, len(texts))
    likely = np.flatnonzero(mask)
    if len(likely):
        mask[likely] = regex.matches(pattern, pl.Series([texts[place] for place in likely.tolist()])).to_numpy()
    return mask


def _swept(leaf: Regex, quick: Verdict, array: pa.LargeStringArray) -> Mask | None:
    """ASCII values: a few of them one by one, many by one pass over all that names those to be asked."""
    if len(array) <= FEW:
        texts = array.to_pylist()
        return np.fromiter(map(quick, texts, texts), np.bool_, len(texts))
    likely = sweep(leaf.pattern, *laid_out(array))
    if likely is None and len(array) > SOME:
        return None
    if likely is None:
        likely = np.arange(len(array))
    mask = np.zeros(len(array), dtype=np.bool_)
    texts = array.take(pa.array(likely)).to_pylist()
    mask[likely] = np.fromiter(map(quick, texts, texts), np.bool_, len(likely))
    return mask


def words_in_bulk(leaf: Words, column: Column, wanted: Ints) -> Mask | None:
    """Text tests by Arrow's kernels; None where an automaton over all texts is better."""
    if len(leaf.texts) > MANY and leaf.mode == "contains" and len(wanted) > FEW:
        return None
    array = column.texts if leaf.cased else column.folded
    if len(wanted) != column.size:
        array = array.take(pa.array(wanted))
    if len(leaf.texts) > MANY and len(array) <= FEW:
        test, texts = _word(leaf), array.to_pylist()
        return np.fromiter(map(test, texts, texts), np.bool_, len(texts))
    if leaf.mode == "exact":
        return _bools(pc.is_in(array, pa.array(leaf.texts, pa.large_string())))
    mask = _bools(_KERNELS[leaf.mode](array, leaf.texts[0]))
    for text in leaf.texts[1:]:
        mask |= _bools(_KERNELS[leaf.mode](array, text))
    return mask


def _bools(array: pa.BooleanArray) -> Mask:
    return np.array(array.to_numpy(zero_copy_only=False), dtype=np.bool_)


_KERNELS: dict[Mode, Callable[[Any, str], Any]] = {
    "prefix": pc.starts_with,
    "suffix": pc.ends_with,
    "contains": pc.match_substring,
}


def listed(node: Node, column: Column, rows: Ints) -> Mask:
    """Lists: each leaf is met by any element, so a tree has no verdict per element."""
    if isinstance(node, Not):
        return ~listed(node.item, column, rows)
    if isinstance(node, AllOf | AnyOf):
        every = isinstance(node, AllOf)
        mask = np.full(len(rows), every)
        for item in node.items:
            still = np.flatnonzero(mask if every else ~mask)
            if not len(still):
                break
            mask[still] = listed(item, column, rows[still])
        return mask
    assert column.starts is not None
    known = column.known.get(node)
    if known is None:
        every_value = np.arange(column.size, dtype=np.int64)
        known = in_bulk(node, column, every_value).view(np.int8) if column.size else np.zeros(0, dtype=np.int8)
        column.known[node] = known
    hit = known[column.codes].view(np.bool_)
    if isinstance(node, Null):  # a list is empty when none of its elements is anything
        return ~any_of(~hit, column.starts, rows)
    return any_of(hit, column.starts, rows)


def one_by_one(node: Node) -> Verdict | None:
    """A tree over text as a function of one value; None when it holds more than plain text tests."""
    if isinstance(node, Words):
        return _word(node)
    if isinstance(node, Regex):
        return _expression(node)
    if isinstance(node, Present):
        return lambda _text, _folded: True
    if isinstance(node, Null):
        return lambda text, _folded: not text
    if isinstance(node, Not):
        inner = one_by_one(node.item)
        return None if inner is None else lambda text, folded: not inner(text, folded)
    if isinstance(node, AllOf | AnyOf):
        parts = [one_by_one(item) for item in node.items]
        sound = tuple(part for part in parts if part is not None)
        return _joined(sound, isinstance(node, AllOf)) if len(sound) == len(parts) else None
    return None


def raw(leaf: Leaf) -> bool:
    """Whether a leaf looks at the value itself rather than at its folded text."""
    if isinstance(leaf, Regex):
        return not leaf.folded
    return isinstance(leaf, Null) or (isinstance(leaf, Words) and leaf.cased)


def _joined(parts: tuple[Verdict, ...], every: bool) -> Verdict:
    def holds(text: str, folded: str) -> bool:
        for part in parts:
            if part(text, folded) is not every:
                return not every
        return every

    return holds


def _word(leaf: Words) -> Verdict:
    cased, texts = leaf.cased, leaf.texts
    if leaf.mode == "exact":
        among = frozenset(texts)
        return lambda text, folded: (text if cased else folded) in among
    if leaf.mode == "prefix":
        return lambda text, folded: (text if cased else folded).startswith(texts)
    if leaf.mode == "suffix":
        return lambda text, folded: (text if cased else folded).endswith(texts)

    def contains(text: str, folded: str) -> bool:
        value = text if cased else folded
        for one in texts:  # noqa: SIM110  a generator costs more than the test
            if one in value:
                return True
        return False

    return contains


@lru_cache(maxsize=MAX_KEPT)
def _expression(leaf: Regex) -> Verdict | None:
    test = compiled(leaf.pattern)
    if test is None:
        return None
    over_folded, pattern = leaf.folded, leaf.pattern
    empty = bool(regex.matches(pattern, pl.Series([""]))[0])

    def matches(text: str, folded: str) -> bool:
        value = folded if over_folded else text
        if value and value.isascii():
            return test(value)
        return bool(_beyond(pattern, [value])[0]) if value else empty

    return matches


def ordered(node: Node) -> Node:
    """The tree with what is cheap before what is dear: most is decided by then."""
    if isinstance(node, Not):
        return Not(ordered(node.item))
    if isinstance(node, AllOf | AnyOf):
        return type(node)(tuple(sorted(map(ordered, node.items), key=weigh)))
    return node


def without(node: Node) -> bool:
    """What a tree over one field says where the field is missing."""
    if isinstance(node, Not):
        return not without(node.item)
    if isinstance(node, AllOf):
        return all(map(without, node.items))
    if isinstance(node, AnyOf):
        return any(map(without, node.items))
    return isinstance(node, Null)


_COST = {"exact": 1.0, "prefix": 1.0, "suffix": 1.0, "contains": 2.0}


def weigh(node: Node) -> float:
    """How dear a tree is, roughly."""
    if isinstance(node, Words):
        return _COST[node.mode] + 0.1 * len(node.texts)
    if isinstance(node, Not):
        return weigh(node.item) + 0.5
    if isinstance(node, AllOf | AnyOf):
        return 0.5 + sum(map(weigh, node.items))
    return 20.0 if isinstance(node, Regex) else 3.0
