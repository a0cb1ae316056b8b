"""Lines of ``key=value`` pairs behind a header, as firewalls write them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.columnar import encode
from cityguard.decoders.envelope import beside, opened
from cityguard.decoders.text import dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames

MAX_KEYS = 200
"""Distinct keys of one piece that get a column besides those wanted; the most frequent first."""
MAX_SPARE = 500
"""Further pairs of one line that are kept, in ``event.fields``; the raw line keeps the others."""
MAX_SPARES = 100_000
"""The same of one piece."""
_MARK = "\x1f"
_TAIL = ").;|\0 \r\n\t"
"""What closes a line and belongs to no value."""
_KEY = "[A-Za-z][A-Za-z0-9_.-]*"  # ASCII classes: four times as fast as \\w
_QUOTED = {
    "backslash": r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""",
    "double": r"""(?:"(?:[^"]|"")*"|'(?:[^']|'')*')""",
    "none": r"""(?:"[^"]*"|'[^']*')""",
}
_INSIDE = {
    "backslash": (r'(?s)^\s*"((?:[^"\\]|\\.)*)"', r"(?s)^\s*'((?:[^'\\]|\\.)*)'"),
    "double": (r'(?s)^\s*"((?:[^"]|"")*)"', r"(?s)^\s*'((?:[^']|'')*)'"),
    "none": (r'(?s)^\s*"([^"]*)"', r"(?s)^\s*'([^']*)'"),
}


@dataclass(frozen=True, slots=True)
class Style:
    """How pairs are written: what finds a key (and its value, where quoted), what closes a plain value."""

    pattern: str
    key: str
    closing: str
    escape: str


def style(options: Options) -> Style:
    """Options: as ``decoder``, of them those about pairs."""
    name = str(options.get("style", "comma"))
    separator = str(options.get("separator", {"comma": ",;([", "space": " "}.get(name, ",;([")))
    key, escape = str(options.get("keys", _KEY)), str(options.get("escape", "backslash"))
    assign = "[" + re.escape(str(options.get("assign", "="))) + "]"
    blank = r"\s" if separator.strip(" ") != separator or not separator else ""
    marks = re.escape(separator.strip(" "))
    before = rf"(^|[{marks}{blank}]\s*)" if marks or blank else r"(^|\s)"
    # A quoted value is taken whole, so that nothing inside it begins a pair.
    room = r"\s*" if name == "comma" or marks else ""
    pattern = rf"{before}({key}){room}{assign}(\s*{_QUOTED.get(escape, _QUOTED['none'])})?"
    closing = str(options.get("closing", separator.replace("(", "").replace("[", "")))
    return Style(pattern, key, closing, escape if escape in _QUOTED else "none")


def decoder(options: Options) -> Decoder:
    """Options, all optional.

    ``header``, ``starts``: what precedes the pairs, as ``envelope.opened``. ``style``: comma (the default) or space,
    or in detail: ``separator``, the characters between pairs (a blank among them: any white space); ``assign``, those
    between key and value; ``keys``, a pattern of keys; ``escape`` within quotes: backslash, double or none;
    ``closing``, characters that end a value without quotes. ``rewrite``: pairs of pattern and replacement, applied to
    what is read (not to what is kept) before pairs are sought. ``wanted``: keys that always get a column.
    """
    return _KeyValue(options, style(options), frozenset(options.get("wanted", ())))


class _KeyValue:
    def __init__(self, options: Options, style: Style, wanted: frozenset[str]) -> None:
        self._options = options
        self._style = style
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        found = opened(read.values, self._options)
        good = found.rows
        bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), good)
        letters = dead(frames, bad, "does not begin as the collector expects")
        if not len(good):
            return Decoded((), letters, len(bad))
        body = found.body
        for pattern, new in self._options.get("rewrite", ()):
            body = body.str.replace_all(str(pattern), str(new))
        values, spare = pairs(body.str.strip_chars_end(_TAIL), self._style, self._wanted)
        if "body" not in found.header.columns and "body" not in values.columns:
            values = pl.DataFrame([*values.get_columns(), found.body.alias("body")])
        table = placed(beside(found.header, values), frames, good, read, spare)
        return Decoded((EventBatch("", "", table),), letters, len(bad))

    def flush(self) -> Decoded:
        return Decoded()


def pairs(
    body: pl.Series, style_: str | Style = "comma", wanted: Collection[str] = ()
) -> tuple[pl.DataFrame, pl.Series | None]:
    """Pairs to columns, one row per line; no columns if there is no pair. What finds none is JSON text.

    The first of a repeated key counts, empty values are null. A plain value may hold separators: it ends where the
    next ``key=`` begins. Inside a quoted one nothing begins.
    """
    how = style({"style": style_}) if isinstance(style_, str) else style_
    count = len(body)
    marked = body.fill_null("").str.replace_all(_MARK, " ", literal=True)
    marked = marked.str.replace_all(how.pattern, _MARK + "${2}=${3}")
    long = pl.DataFrame({"row": np.arange(count, dtype=np.int64), "pair": marked.str.split(_MARK)})
    long = long.explode("pair").with_row_index("nth").filter(pl.col("pair").str.contains(f"^{how.key}="))
    long = long.select(
        "row",
        "nth",
        key=pl.col("pair").str.extract(r"^([^=]*)=").str.strip_chars(),
        value=_value(pl.col("pair").str.extract(r"(?s)^[^=]*=(.*)$"), how),
    ).with_columns(pl.col("value").replace({"": None, '"': None}))
    long = long.unique(["row", "key"], keep="first", maintain_order=True)
    kept = long.group_by("key").agg(pl.len(), pl.col("nth").min()).sort(["len", "nth"], descending=[True, False])
    sought = pl.col("key").is_in(pl.Series(list(wanted), dtype=pl.String).implode())
    keys = [*kept.filter(sought)["key"], *kept.filter(~sought)["key"].head(MAX_KEYS)]
    out: dict[str, pl.Series] = {}
    for (key,), part in (
        long.filter(pl.col("key").is_in(pl.Series(keys, dtype=pl.String).implode()))
        .partition_by("key", as_dict=True, maintain_order=True)
        .items()
    ):
        column = np.full(count, -1, np.int64)
        column[part["row"].to_numpy()] = np.arange(part.height)
        index = pl.Series(column).replace(-1, None)
        out[str(key)] = part["value"].gather(index)
    rest = long.filter(~pl.col("key").is_in(pl.Series(keys, dtype=pl.String).implode()))
    return pl.DataFrame({key: out[key] for key in keys if key in out}), _spare(rest, count)


def _value(value: pl.Expr, how: Style) -> pl.Expr:
    if how.escape == "raw":
        return value.str.strip_chars_end()
    double, single = _INSIDE[how.escape]
    inner = pl.coalesce(value.str.extract(double), value.str.extract(single))
    if how.escape == "backslash":
        inner = inner.str.replace_all('\\"', '"', literal=True)
    if how.escape == "double":
        inner = inner.str.replace_all('""', '"', literal=True)
    plain = value.str.strip_chars().str.strip_chars_end(f"{how.closing} ").str.strip_chars("'")
    return pl.coalesce(inner, plain)


def _spare(rest: pl.DataFrame, count: int) -> pl.Series | None:
    if not rest.height:
        return None
    told: dict[int, dict[str, str | None]] = {}
    for row, key, value in rest.sort("nth").head(MAX_SPARES).select("row", "key", "value").iter_rows():
        one = told.setdefault(row, {})
        if len(one) < MAX_SPARE:
            one[key] = value
    return pl.Series("event.fields", [encode(told[i]) if i in told else None for i in range(count)], pl.String)
