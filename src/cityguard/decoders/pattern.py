"""Lines by regular expressions with named groups; the first that matches a line has it."""

from __future__ import annotations

import numpy as np
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.text import dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames


def decoder(options: Options) -> Decoder:
    """Options: ``patterns``, Rust regular expressions (linear time, no look-around) with named groups."""
    return _Pattern(tuple(options["patterns"]))


class _Pattern:
    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        table = groups(read.values, self._patterns)
        good = np.sort(table["row"].to_numpy())
        bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), good)
        letters = dead(frames, bad, "matches none of the collector's patterns")
        if not len(good):
            return Decoded((), letters, len(bad))
        table = placed(table.sort("row").drop("row"), frames, good, read)
        return Decoded((EventBatch("", "", table),), letters, len(bad))

    def flush(self) -> Decoded:
        return Decoded()


def groups(lines: pl.Series, patterns: tuple[str, ...]) -> pl.DataFrame:
    """Named groups of the first pattern that matches; ``row`` is the line's index. Unmatched lines are left out."""
    rest = pl.DataFrame({"row": np.arange(len(lines), dtype=np.int64), "line": lines.cast(pl.String)})
    found = []
    for pattern in patterns:
        match = rest["line"].str.contains(pattern).fill_null(value=False)
        hit = rest.filter(match)
        if hit.height:
            fields = hit["line"].str.extract_groups(pattern).struct.unnest()
            found.append(fields.with_columns(hit["row"]))
        rest = rest.filter(~match)
    if not found:
        return pl.DataFrame(schema={"row": pl.Int64})
    return pl.concat(found, how="diagonal")
