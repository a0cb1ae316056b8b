"""Lines of ``key=value`` pairs behind a header, as firewalls write them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.columnar import encode
from cityguard.decoders.json import placed
from cityguard.decoders.pattern import groups
from cityguard.decoders.text import dead, text
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
_SEPARATORS = {
    "comma": (rf"(^|[,;(\[]\s*)({_KEY})\s*=", ",;"),
    "space": (rf"(^|\s)({_KEY})=", ""),
}


def decoder(options: Options) -> Decoder:
    """Options: ``header``, a pattern with named groups, among them ``body``; ``style``, comma or space.

    ``wanted`` names the keys that get a column whatever came with them.
    """
    header = str(options.get("header", r"(?s)^(?P<body>.*)$"))
    return _KeyValue(header, str(options.get("style", "comma")), frozenset(options.get("wanted", ())))


class _KeyValue:
    def __init__(self, header: str, style: str, wanted: frozenset[str]) -> None:
        self._header = header
        self._style = style
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        table = groups(read.values, (self._header,))
        good = table["row"].to_numpy()
        bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), good)
        letters = dead(frames, bad, "does not begin as the collector expects")
        if not len(good):
            return Decoded((), letters, len(bad))
        values, spare = pairs(table["body"].str.strip_chars_end(_TAIL), self._style, self._wanted)
        header = table.drop("row", *[name for name in table.columns if name in values.columns])
        table = placed(pl.concat([header, values], how="horizontal"), frames, good, read, spare)
        return Decoded((EventBatch("", "", table),), letters, len(bad))

    def flush(self) -> Decoded:
        return Decoded()


def pairs(body: pl.Series, style: str = "comma", wanted: Collection[str] = ()) -> tuple[pl.DataFrame, pl.Series | None]:
    """Pairs to columns, one row per line; no columns if there is no pair. What finds none is JSON text.

    The first of a repeated key counts, empty values are null. A value may hold separators: it ends where the next
    ``key=`` begins, or with its closing quote.
    """
    pattern, tail = _SEPARATORS[style]
    count = len(body)
    marked = body.fill_null("").str.replace_all(_MARK, " ", literal=True)
    marked = marked.str.replace_all(pattern, _MARK + "${2}=")
    long = pl.DataFrame({"row": np.arange(count, dtype=np.int64), "pair": marked.str.split(_MARK)})
    long = long.explode("pair").with_row_index("nth").filter(pl.col("pair").str.contains(f"^{_KEY}="))
    value = pl.col("pair").str.extract(r"(?s)^[^=]*=(.*)$")
    quoted = value.str.extract(r'(?s)^\s*"((?:[^"\\]|\\.)*)"')
    plain = value.str.strip_chars().str.strip_chars_end(f"{tail} ").str.strip_chars("'")
    long = long.select(
        "row",
        "nth",
        key=pl.col("pair").str.extract(r"^([^=]*)="),
        value=pl.coalesce(quoted, plain),
    ).with_columns(pl.col("value").replace({"": None, '"': None}))
    long = long.sort("nth").unique(["row", "key"], keep="first", maintain_order=True)
    kept = long.group_by("key").agg(pl.len(), pl.col("nth").min()).sort(["len", "nth"], descending=[True, False])
    sought = pl.col("key").is_in(pl.Series(list(wanted), dtype=pl.String).implode())
    keys = [*kept.filter(sought)["key"], *kept.filter(~sought)["key"].head(MAX_KEYS)]
    out: dict[str, pl.Series] = {}
    for (key,), part in (
        long.filter(pl.col("key").is_in(pl.Series(keys).implode()))
        .partition_by("key", as_dict=True, maintain_order=True)
        .items()
    ):
        column = np.full(count, -1, np.int64)
        column[part["row"].to_numpy()] = np.arange(part.height)
        index = pl.Series(column).replace(-1, None)
        out[str(key)] = part["value"].gather(index)
    rest = long.filter(~pl.col("key").is_in(pl.Series(keys, dtype=pl.String).implode()))
    return pl.DataFrame({key: out[key] for key in keys if key in out}), _spare(rest, count)


def _spare(rest: pl.DataFrame, count: int) -> pl.Series | None:
    if not rest.height:
        return None
    told: dict[int, dict[str, str | None]] = {}
    for row, key, value in rest.sort("nth").head(MAX_SPARES).select("row", "key", "value").iter_rows():
        one = told.setdefault(row, {})
        if len(one) < MAX_SPARE:
            one[key] = value
    return pl.Series("event.fields", [encode(told[i]) if i in told else None for i in range(count)], pl.String)
