"""Lines of ``key=value`` pairs behind a header, as firewalls write them."""

from __future__ import annotations

import numpy as np
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.json import placed
from cityguard.decoders.pattern import groups
from cityguard.decoders.text import dead, text
from cityguard.model import Decoded, EventBatch, Frames

MAX_KEYS = 200
"""Distinct keys of one piece that get a column; the most frequent first. The raw line keeps the others."""
_MARK = "\x1f"
_TAIL = ").;|\0 \r\n\t"
"""What closes a line and belongs to no value."""
_KEY = "[A-Za-z][A-Za-z0-9_.-]*"  # ASCII classes: four times as fast as \\w
_SEPARATORS = {
    "comma": (rf"(^|[,;(\[]\s*)({_KEY})\s*=", ",;"),
    "space": (rf"(^|\s)({_KEY})=", ""),
}


def decoder(options: Options) -> Decoder:
    """Options: ``header``, a pattern with named groups, among them ``body``; ``style``, comma or space."""
    return _KeyValue(str(options.get("header", r"(?s)^(?P<body>.*)$")), str(options.get("style", "comma")))


class _KeyValue:
    def __init__(self, header: str, style: str) -> None:
        self._header = header
        self._style = style

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
        values = pairs(table["body"].str.strip_chars_end(_TAIL), self._style)
        header = table.drop("row", *[name for name in table.columns if name in values.columns])
        table = placed(pl.concat([header, values], how="horizontal"), frames, good, read)
        return Decoded((EventBatch("", "", table),), letters, len(bad))

    def flush(self) -> Decoded:
        return Decoded()


def pairs(body: pl.Series, style: str = "comma") -> pl.DataFrame:
    """Pairs to columns, one row per line; no columns if there is no pair.

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
    keys = kept["key"].head(MAX_KEYS).to_list()
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
    return pl.DataFrame({key: out[key] for key in keys if key in out})
