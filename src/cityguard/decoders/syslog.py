"""Syslog lines: the header of RFC 3164 and RFC 5424, and what devices make of it.

A line without a header is a message all the same (RFC 3164 section 4.3.3), so nothing is rejected.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.json import placed
from cityguard.decoders.text import text
from cityguard.model import Decoded, EventBatch, Frames

STAMP: Final = (
    r"(?:\d{4}\s+)?[A-Z][a-z]{2}\s+\d{1,2}\s+(?:\d{4}\s+)?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:\s?(?:Z|[+-]\d\d:?\d\d))?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?\s?(?:Z|[+-]\d\d:?\d\d)?"
)
_PRI = r"(?s)^\s*(?:<(?P<pri>-?\d{1,4})>)?\s*(?P<rest>.*)$"
_MODERN = (
    r"(?s)^1\s(?P<stamp>\S+)\s(?P<host>\S+)\s(?P<program>\S+)\s(?P<pid>\S+)\s(?P<msgid>\S+)\s"
    r'(?P<structured>-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+)\s?(?P<message>.*)$'
)
_OLD = (
    rf"(?s)^(?:(?P<stamp>{STAMP}):?\s+)?(?P<host>[^\s:\[\]%]+)\s+"
    r"(?P<program>[^\s:\[\]]{1,64})(?:\[(?P<pid>[^\]\s]{1,20})\])?:\s*(?P<message>.*)$"
)
_BARE = rf"(?s)^(?P<stamp>{STAMP}):?\s+(?:(?P<host>[^\s:\[\]%]+)\s+)?(?P<message>.*)$"
_COLUMNS = ("stamp", "host", "program", "pid", "msgid", "structured", "message")


def decoder(options: Options) -> Decoder:
    """No options. Columns: pri, severity, facility, stamp, host, program, pid, msgid, structured, message."""
    return _Syslog()


class _Syslog:
    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        rows = np.arange(len(frames), dtype=np.int64)
        table = placed(header(read.values), frames, rows, read)
        return Decoded((EventBatch("", "", table),))

    def flush(self) -> Decoded:
        return Decoded()


def header(lines: pl.Series) -> pl.DataFrame:
    """Split lines into header fields and message; null where there is none, message = what is left."""
    first = lines.str.extract_groups(_PRI).struct.unnest()
    pri = first["pri"].cast(pl.Int64, strict=False)
    rest = first["rest"].fill_null(lines)
    stages = [rest.str.extract_groups(pattern).struct.unnest() for pattern in (_MODERN, _OLD, _BARE)]
    taken = pl.Series(np.zeros(len(lines), np.bool_))
    columns: dict[str, pl.Series] = {name: pl.Series([None] * len(lines), dtype=pl.String) for name in _COLUMNS}
    for stage in stages:
        hit = stage["message"].is_not_null() & ~taken
        for name in stage.columns:
            columns[name] = stage[name].zip_with(hit, columns[name])
        taken = taken | hit
    columns["message"] = columns["message"].zip_with(taken, rest)
    frame = pl.DataFrame(columns).with_columns(pl.col(pl.String).exclude("message").replace("-", None), pri=pri)
    known = pl.col("pri").is_between(0, 191)
    return frame.with_columns(
        severity=pl.when(pl.col("pri").is_not_null()).then(pl.col("pri").abs() % 8),
        facility=pl.when(known).then(pl.col("pri") // 8),
    )
