"""What stands before the body of a log line: syslog headers of every make, of relays too, or a collector's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard import fast
from cityguard.decoders import syslogscan
from cityguard.decoders.base import Options
from cityguard.decoders.pattern import groups

Words = npt.NDArray[np.int64]
MAX_RELAYS = 3
"""Headers before a line's own that are taken off."""
_OFFSET: Final = r"(?:\s?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?"
_CLOCK: Final = r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,:][0-9]+)*"
_BSD: Final = (
    rf"(?:[0-9]{{4}}\s+)?[A-Z][a-z]{{2}}\s+[0-9]{{1,2}}\s+(?:[0-9]{{4}}\s+)?{_CLOCK}"
    rf"(?:\s(?:19|20)[0-9]{{2}}\b)?{_OFFSET}"
)
STAMP: Final = rf"{_BSD}|[0-9]{{4}}[-/][0-9]{{1,2}}[-/][0-9]{{1,2}}[T ]{_CLOCK}{_OFFSET}"
"""RFC 3164 and RFC 5424 stamps and their relatives: the year first, third or last, unpadded, with fractions."""
_PRI = r"^\s*(?:<(?P<pri>-?[0-9]{1,4})>)?\s*"
_HOST = r"(?P<host>[^\s:\[\]%]+|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]+)"
_OLD = (
    rf"(?s){_PRI}(?:[*.]?(?P<stamp>{STAMP})(?:\sDST)?:?\s+)?{_HOST}\s+"
    r"(?P<program>[^\s:\[\]]{1,64})(?:\[(?P<pid>[^\]\s]{1,20})\])?:\s*(?P<message>.*)$"
)
_BARE = rf"(?s){_PRI}[*.]?(?P<stamp>{STAMP})(?:\sDST)?:?\s+(?:{_HOST}\s+)?(?P<message>.*)$"
_PLAIN = rf"(?s){_PRI}(?P<message>.*)$"
_LOGGED = (
    r"(?s)^\s*[\[(]?(?P<stamp>(?:19|20)[0-9]{2}[-/.][0-9]{1,2}[-/.][0-9]{1,2}[T ]"
    rf"{_CLOCK}{_OFFSET})[\])]?[:,;|]?\s+(?P<message>.*)$"
)
"""An application's own log: the date and time come first, no host follows."""
_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL", "SEVERE")
_NEW = (
    r"(?s)^\s*(?:<(?P<pri>-?[0-9]{1,4})>)?1\s(?P<stamp>[0-9-]\S*)\s(?P<host>\S+)\s(?P<program>\S+)\s(?P<pid>\S+)\s"
    r'(?P<msgid>\S+)\s(?P<structured>-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+)\s?(?P<message>.*)$'
)
_IS_NEW = r"^\s*(?:<-?[0-9]{1,4}>)?1 (?:-|[0-9]{4}-)"
_LEVEL = r"^\s*(?i:kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7])\.[A-Za-z]{3,7}:?\s+"
"""``local0.notice:``, as relays print the priority in words."""
_INNER = rf"^\s*(?:<-?[0-9]{{1,4}}>\S|[*.]?(?:{_BSD}):?\s+\S+\s)"
MIN_PLAIN: Final = 64
"""Fewer lines go by the patterns alone."""
_WORD = r"[[:ascii:]&&[^\s:\[\]%]]"
_TAG = rf"(?:[A-Za-z]{_WORD}*|[0-9]{{1,3}}\.{_WORD}+) {_WORD}{{1,64}}(?:\[[[:ascii:]&&[^\s:\[\]]]{{1,20}}\])?:"
_FORMS: Final = (
    (rf"^(?:<[0-9]{{1,4}}>)?[A-Z][a-z]{{2}} [ 0-9][0-9] [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} {_TAG}", 15),
    (
        rf"^(?:<[0-9]{{1,4}}>)?[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})? {_TAG}",
        0,
    ),
)
"""The plain forms of RFC 3164 headers, and how long their stamp is."""
COLUMNS = ("pri", "stamp", "host", "program", "pid", "msgid", "structured", "message")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Lines taken apart. ``header`` has one row per entry of ``rows``, no columns where there is no header."""

    body: pl.Series  # String
    header: pl.DataFrame
    rows: Words  # the line of each body; the others do not begin as they should


def header(lines: pl.Series) -> pl.DataFrame:
    """Split syslog lines into header fields and message.

    Args:
        lines: String, n rows.

    Returns:
        n rows of pri, severity, facility, stamp, host, program, pid, msgid, structured, message and relay (the host
        of the outermost header, where there are several); null where there is none, message = what is left.
    """
    lines = lines.cast(pl.String).fill_null("")
    found = _once(lines)
    for _ in range(MAX_RELAYS):
        again = found["message"].str.contains(_INNER) & (
            found["program"].is_null() | found["message"].str.starts_with("<")
        )
        again = again | found["message"].str.contains(_LEVEL)
        if not again.any():
            break
        found = _inner(found, again)
    words = pl.col("stamp", "host", "program", "pid", "msgid", "structured")
    pri = pl.col("pri")
    return found.with_columns(pl.when(words != "-").then(words), pri.cast(pl.Int64, strict=False)).with_columns(
        severity=pri.abs() % 8, facility=pl.when(pri.is_between(0, 191)).then(pri // 8)
    )


def _once(lines: pl.Series) -> pl.DataFrame:
    """One header of every line: the plain forms by position, the others by the patterns above."""
    if len(lines) < MIN_PLAIN:
        return _matched(lines)
    if fast.ON and (made := _compiled(lines)) is not None:
        return made
    parts, rest = list[pl.DataFrame](), np.arange(len(lines))
    order = [rest[:0]]
    for pattern, stamp in _FORMS:
        left = lines if not parts else lines.gather(pl.Series(rest))
        fits = left.str.contains(pattern).to_numpy()
        if np.count_nonzero(fits) < MIN_PLAIN:
            continue
        made, kept = _cut(left if fits.all() else left.filter(pl.Series(fits)), stamp)
        taken = np.flatnonzero(fits)[kept]
        parts.append(made)
        order.append(rest[taken])
        rest = np.delete(rest, taken)
    if not parts:
        return _matched(lines)
    if len(rest):
        parts.append(_matched(lines.gather(pl.Series(rest))))
        order.append(rest)
    elif len(parts) == 1:
        return parts[0]
    return pl.concat(parts)[np.argsort(np.concatenate(order), kind="stable")]


def _compiled(lines: pl.Series) -> pl.DataFrame | None:
    """The same with the plain forms cut by compiled code."""
    found = syslogscan.read(lines)
    if found is None:
        return None
    cut, fits = found
    nothing = [pl.lit(None, pl.String).alias(name) for name in ("msgid", "structured")]
    made = cut.select(*COLUMNS[:5], *nothing, "message", pl.lit(None, pl.String).alias("relay")) if cut.height else None
    if made is None or fits.all():
        return _matched(lines) if made is None else made
    rest = np.flatnonzero(~fits)
    order = np.concatenate((np.flatnonzero(fits), rest))
    return pl.concat([made, _matched(lines.gather(pl.Series(rest)))])[np.argsort(order, kind="stable")]


def _cut(lines: pl.Series, stamp: int) -> tuple[pl.DataFrame, Words]:
    """Headers of a plain form, cut at their blanks and colons; all up to the message is ASCII.

    Args:
        lines: String, n rows.
        stamp: characters of the stamp; 0 = up to the next blank.

    Returns:
        Header fields of the lines whose host is one, and which those are.
    """
    line = pl.col("line")
    begin = pl.when(line.str.starts_with("<")).then(line.str.find(">", literal=True) + 1).otherwise(0)
    cut = lines.alias("line").to_frame().lazy().with_columns(begin.alias("b"))
    cut = cut.with_columns(
        line.str.slice(pl.col("b")).alias("r"),
        line.str.slice(1, pl.max_horizontal(pl.col("b").cast(pl.Int64) - 2, 0)).alias("pri"),
    )
    blank = pl.col("r").str.find(" ", literal=True)
    size = pl.lit(stamp, pl.UInt32) if stamp else blank
    cut = cut.with_columns(size.alias("s")).with_columns(
        pl.col("r").str.slice(0, pl.col("s")).alias("stamp"), pl.col("r").str.slice(pl.col("s") + 1).alias("r")
    )
    cut = cut.with_columns(blank.alias("s")).with_columns(
        pl.col("r").str.slice(0, pl.col("s")).alias("host"), pl.col("r").str.slice(pl.col("s") + 1).alias("r")
    )
    cut = cut.with_columns(pl.col("r").str.find(":", literal=True).alias("s")).with_columns(
        pl.col("r").str.slice(0, pl.col("s")).alias("tag"),
        pl.col("r").str.slice(pl.col("s") + 1).str.strip_chars_start().alias("message"),
    )
    bracket = pl.col("tag").str.find("[", literal=True)
    nothing = pl.lit(None, pl.String)
    made = cut.select(
        pl.when(pl.col("b") > 0).then(pl.col("pri")).alias("pri"),
        "stamp",
        "host",
        pl.when(bracket.is_null()).then(pl.col("tag")).otherwise(pl.col("tag").str.slice(0, bracket)).alias("program"),
        pl.when(bracket.is_not_null()).then(pl.col("tag").str.slice(bracket + 1).str.strip_suffix("]")).alias("pid"),
        nothing.alias("msgid"),
        nothing.alias("structured"),
        "message",
        nothing.alias("relay"),
    ).collect()
    odd = made["host"].is_in(["Z", "DST", "UTC", "GMT"]).to_numpy()
    kept = np.flatnonzero(~odd)
    return (made, kept) if len(kept) == len(odd) else (made[kept], kept)


def _matched(lines: pl.Series) -> pl.DataFrame:
    new = lines.str.contains(_IS_NEW)
    found = groups(lines, (_NEW, _OLD, _BARE, _PLAIN)) if new.any() else groups(lines, (_OLD, _BARE, _PLAIN))
    if found.height and not found["row"].is_sorted():
        found = found.sort("row")
    made = found.select(
        *(pl.col(name) if name in found.columns else pl.lit(None, pl.String).alias(name) for name in COLUMNS),
        pl.lit(None, pl.String).alias("relay"),
    )
    level = made["program"].is_null() & made["pri"].is_null() & made["host"].is_in(_LEVELS).fill_null(value=False)
    if level.any():  # an application's own line: its level is no host
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, made.height)
        made = made.with_columns(
            made["host"].zip_with(~level, nothing),
            (made["host"] + " " + made["message"]).zip_with(level, made["message"]).alias("message"),
        )
    # Words before a colon are no header by themselves.
    bare = (made["pri"].is_null() & made["stamp"].is_null()).to_numpy()
    if not bare.any():
        return made
    kept = pl.Series(~bare)
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, made.height)
    logged = lines.str.extract_groups(_LOGGED).struct.unnest()
    return made.with_columns(
        *(made[name].zip_with(kept, nothing).alias(name) for name in ("host", "program", "pid", "msgid", "structured")),
        made["stamp"].zip_with(kept, logged["stamp"]).alias("stamp"),
        made["message"].zip_with(kept, logged["message"].fill_null(lines)).alias("message"),
    )


def _inner(outer: pl.DataFrame, again: pl.Series) -> pl.DataFrame:
    """The header inside the message, where it is one; what it lacks is the outer one's."""
    at = np.flatnonzero(again.to_numpy())
    held = outer[at]
    inside = _once(held["message"].str.replace(_LEVEL, ""))
    if held.height:
        inside = inside.with_columns(
            pl.coalesce(inside[name], held[name]).alias(name) for name in ("pri", "stamp", "host", "program", "pid")
        ).with_columns(pl.coalesce(held["relay"], held["host"]).alias("relay"))
    order = np.arange(outer.height)
    order[at] = outer.height + np.arange(len(at))
    return pl.concat([outer, inside])[order]


def opened(lines: pl.Series, options: Options, starts: str = "") -> Envelope:
    """Find each line's body as a collector's options say.

    Args:
        lines: String, n rows.
        options: ``header``: absent, ``syslog``, or a pattern with named groups, among them ``body``;
            ``starts``: a pattern the body begins with, wherever in the line that is: what precedes it is the header.
        starts: the decoder's own such pattern, unless the options give one.

    Returns:
        Bodies and header fields of the lines that fit. Fields of a syslog header are called ``syslog.host`` …
    """
    kind, starts = str(options.get("header", "")), str(options.get("starts", starts))
    everything = np.arange(len(lines), dtype=np.int64)
    if kind not in ("", "syslog"):
        found = groups(lines, (kind,))
        rows = found["row"].to_numpy()
        if "body" not in found.columns:
            return Envelope(lines.head(0), pl.DataFrame(), everything[:0])
        return Envelope(found["body"].fill_null(""), found.drop("row"), rows)
    if starts:
        found = groups(lines, (rf"(?s)^(?P<head>.*?)(?P<body>(?:{starts}).*)$",))
        if not found.height:
            return Envelope(lines.head(0), pl.DataFrame(), everything[:0])
        head = found["head"]
        front = _named(header(head)) if head.str.contains(r"\S").any() else pl.DataFrame()
        return Envelope(found["body"], front, found["row"].to_numpy())
    if kind == "syslog":
        front = header(lines)
        return Envelope(front["message"].fill_null(""), _named(front), everything)
    return Envelope(lines, pl.DataFrame(), everything)


def _named(front: pl.DataFrame) -> pl.DataFrame:
    """Header fields under names that no body uses; those without any value go."""
    front = front.drop("message")
    kept = [column for column in front.get_columns() if column.null_count() < front.height]
    return pl.DataFrame([column.alias(f"syslog.{column.name}") for column in kept])


def beside(front: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Header columns before the body's own; the body wins where both have a name."""
    kept: list[Any] = [column for column in front.get_columns() if column.name not in table.columns]
    return pl.DataFrame([*kept, *table.get_columns()])
