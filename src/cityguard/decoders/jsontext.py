"""Columns of JSON texts, one value a cell, to columns of their values: strings, numbers, truth values, lists."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import columnar

Bools = npt.NDArray[np.bool_]
_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError)
_BOOLS: Final = ("true", "false")


def columns(raws: pl.DataFrame, good: Bools) -> list[pl.Series] | None:
    """The values of columns of JSON texts, each in the type of its first one.

    Args:
        raws: n rows of String; null is JSON's null.
        good: bool[n], changed in place: rows whose value is of another kind are taken out.

    Returns:
        Columns as ``columnar.table`` has them, or None where that cannot be told this way.
    """
    firsts = raws.select(pl.all().drop_nulls().first()).row(0, named=True)
    plain = {name: _expressions(pl.col(name), first) for name, first in firsts.items()}
    made = raws.select(both[0].alias(name) for name, both in plain.items() if both)
    fits = raws.select(both[1].alias(name) for name, both in plain.items() if both)
    told = fits.row(0, named=True) if fits.width else {}
    out: list[pl.Series] = []
    for name, first in firsts.items():
        if first is None:
            out.append(pl.Series(name, [None], pl.String).new_from_index(0, raws.height))
        elif told.get(name):
            out.append(made[name])
        else:
            typed = _typed(name, raws[name], first, good)
            if typed is None:
                return None
            out += typed
    return out if len({column.name for column in out}) == len(out) else None


def _expressions(raw: pl.Expr, first: str | None) -> tuple[pl.Expr, pl.Expr] | None:
    """The value, and whether every value is plainly of that kind."""
    if first is None or first[0] in "[{":
        return None
    if first[0] == '"':
        plain = raw.str.starts_with('"') & ~raw.str.contains("\\", literal=True)
        return raw.str.strip_prefix('"').str.strip_suffix('"'), plain.all() & (
            raw.str.len_bytes().max() <= columnar.MAX_VALUE
        )
    if first in _BOOLS:
        return raw == "true", raw.is_in(list(_BOOLS)).all()
    whole = raw.cast(pl.Int64, strict=False)
    return whole, whole.null_count() == raw.null_count()


def _typed(name: str, raw: pl.Series, first: str, good: Bools) -> list[pl.Series] | None:
    """One column, value by value where it must be."""
    there = raw.is_not_null()
    if first[0] == '"':
        fits, made = _texts(raw)
    elif first in _BOOLS:
        fits, made = raw.is_in(list(_BOOLS)), raw == "true"
    elif first[0] == "[":
        good &= (raw.str.starts_with("[") | ~there).fill_null(value=True).to_numpy()
        return _lists(name, raw.zip_with(pl.Series(good), pl.Series([None], dtype=pl.String)))
    elif first == "{}":
        fits, made = raw == "{}", pl.Series([None], dtype=pl.String).new_from_index(0, len(raw))
    elif first[0] == "{":
        return None
    else:
        fits, made = _numbers(raw)
    good &= (fits | ~there).fill_null(value=True).to_numpy()
    return [made.alias(name)]


def _texts(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    fits = raw.str.starts_with('"')
    made = raw.str.strip_prefix('"').str.strip_suffix('"')
    escaped = np.flatnonzero(made.str.contains("\\", literal=True).fill_null(value=False).to_numpy())
    if len(escaped):
        texts = [_unescaped(one) for one in raw.gather(escaped)]
        made = made.scatter(escaped, pl.Series(texts, dtype=pl.String))
    return fits, columnar.bounded(made)


def _unescaped(raw: str) -> str | None:
    try:
        return str(msgspec.json.decode(raw))
    except _FAULTS:
        return None


def _numbers(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    whole = raw.cast(pl.Int64, strict=False)
    if whole.null_count() == raw.null_count():
        return whole.is_not_null(), whole
    broken = raw.str.contains(r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$") & raw.str.contains("[.eE]")
    real = raw.cast(pl.Float64, strict=False)
    fits = whole.is_not_null() | (broken & real.is_finite())
    return fits, real if (fits & whole.is_null()).any() else whole


def _lists(name: str, raw: pl.Series) -> list[pl.Series] | None:
    """A column of JSON arrays, as ``columnar.table`` has them; each different text is read once."""
    texts = raw.drop_nulls().unique(maintain_order=True)
    try:
        values = msgspec.json.decode("[" + ",".join(texts.to_list()) + "]")
    except _FAULTS:
        return None
    made, spare = columnar.table([{name: value} for value in values])
    if spare is not None:
        return None
    at = raw.replace_strict(texts, pl.Series(range(len(texts)), dtype=pl.UInt32), default=None, return_dtype=pl.UInt32)
    return [column.gather(at) for column in made.get_columns()]
