"""What CEF and LEEF share: a prefix of fields with bars between them, bare or behind any header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from cityguard.decoders.base import Options
from cityguard.decoders.envelope import opened
from cityguard.decoders.pattern import groups
from cityguard.decoders.text import Text, dead, text
from cityguard.model import DeadLetter, Frames


class Prefixed(NamedTuple):
    """Lines parted; n of them have the prefix."""

    read: Text
    good: np.ndarray
    """int64, n: rows of the frames."""
    header: pl.DataFrame
    """Fields of what precedes the prefix, n rows; no column where nothing does."""
    prefix: pl.DataFrame
    """String columns by the patterns' groups, n rows."""
    letters: tuple[DeadLetter, ...]
    rejected: int


def prefixed(frames: Frames, options: Options, starts: str, patterns: Sequence[str], reason: str) -> Prefixed:
    """Part lines into header and prefix.

    Args:
        frames: a line each.
        options: of the collector, as ``envelope.opened`` reads them.
        starts: what the prefix begins with, a pattern.
        patterns: of the prefix and all behind it, with named groups; the first that fits counts.
        reason: why a line without it is rejected.
    """
    read = text(frames)
    found = opened(read.values, options, starts)
    prefix = groups(found.body, tuple(patterns)) if len(found.rows) else pl.DataFrame(schema={"row": pl.Int64})
    within = prefix["row"].to_numpy()
    good = found.rows[within]
    bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), good)
    header = found.header[within] if found.header.width else found.header
    return Prefixed(read, good, header, prefix.drop("row"), dead(frames, bad, reason), len(bad))
