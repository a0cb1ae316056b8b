"""Native columns to ECS: what a collector says about its fields, compiled to polars expressions."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from cityguard import columns
from cityguard.collect import words
from cityguard.collect.narrow import Wanted
from cityguard.decoders import times
from cityguard.model import EventBatch, LogSource

PLACE = ("log.offset", "event.original", "event.flags", "event.fields", "event.dataset")
"""Columns that decoders or the collecting room fill."""
NULLS = ("", "-", "(null)", "null", "NULL", "N/A", "--", "::ffff:-")
"""Words that stand for nothing."""


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"^{_OCTET}(?:\.{_OCTET}){{3}}$"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """How one column comes about. The first of ``from`` that has a value counts."""

    from_: str | list[str] = []
    value: str | int | float | bool | None = None  # a constant
    values: dict[str, Any] | None = None  # words to values
    other: Any = "keep"  # for words not in ``values``: keep, or a value (null = none)
    pattern: str | None = None  # Rust regex; its first group
    decode: Literal["hex", "base64", "ip_hex"] | None = None  # how the device wrote the text
    words: Literal["verdict", "outcome", "severity", "transport", "mac"] | None = None  # our word for the device's
    lower: bool = False
    upper: bool = False
    scale: float | None = None
    modulo: int | None = None  # what is left of a whole number
    sum: list[str] = []
    split: str | None = None  # text to a list
    join: list[str] = []  # columns, joined ...
    by: str = ""  # ... by this
    time: str | None = None  # kind of stamp, as times.KINDS
    zone: str | None = None  # where it was written, if not in the collector's time zone


class Extract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Named groups of the first pattern that matches a column, as further native columns."""

    from_: str
    patterns: list[str]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Sigma log source; each part a word or a list."""

    category: str | list[str] = []
    product: str | list[str] = []
    service: str | list[str] = []

    def model(self) -> LogSource:
        def words(part: str | list[str]) -> tuple[str, ...]:
            return (part,) if isinstance(part, str) else tuple(part)

        return LogSource(words(self.category), words(self.product), words(self.service))


class Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one kind inside a source. The first class that fits a row has it."""

    when: dict[str, Any]
    dataset: str | None = None
    logsource: Source | None = None
    extract: list[Extract] = []
    columns: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Fields:
    """Everything a collector says about fields."""

    dataset: str
    zone: ZoneInfo
    logsource: LogSource | None = None
    rules: Mapping[str, Rule] = field(default_factory=dict)
    extract: tuple[Extract, ...] = ()
    classes: tuple[Class, ...] = ()
    keep: bool = True  # keep native columns that went into an ECS column
    own: bool = False  # columns that bear our own names are taken as they are
    nulls: tuple[str, ...] = ()  # further words that stand for nothing
    mask: tuple[str, ...] = ()  # what follows a match's first group inside the match is a secret
    ways: tuple[Mapping[str, Rule], ...] = field(init=False)  # all rules of each class

    def __post_init__(self) -> None:
        ways = tuple({**self.rules, **compiled(one.columns)} for one in self.classes)
        object.__setattr__(self, "ways", ways)

    def wanted(self) -> frozenset[str]:
        """Native names that anything here reads."""
        names: set[str] = set()
        sets = [self.rules, *self.ways]
        for rule in (rule for rules in sets for rule in rules.values()):
            names.update(_sources(rule))
        names.update(one.from_ for one in (*self.extract, *(e for c in self.classes for e in c.extract)))
        return frozenset(names.union(*(one.when for one in self.classes)))

    def needed(self, asked: Collection[str]) -> frozenset[str]:
        """Native names that some of the columns are made of."""
        sets = [self.rules, *self.ways]
        names = {one for rules in sets for name, rule in rules.items() if name in asked for one in _sources(rule)}
        names.update(one.from_ for one in (*self.extract, *(e for c in self.classes for e in c.extract)))
        return frozenset(names.union(*(one.when for one in self.classes)))


def compiled(given: Mapping[str, Any]) -> dict[str, Rule]:
    """``column: native`` or ``column: {from: …}`` to rules.

    Raises:
        msgspec.ValidationError: an option is unknown or of the wrong kind.
        ValueError: an unknown kind of time, or a column with no source.
    """
    rules: dict[str, Rule] = {}
    for name, one in given.items():
        rule = Rule(from_=one) if isinstance(one, str | list) else msgspec.convert(one, Rule)
        if rule.time is not None and rule.time not in times.KINDS:
            raise ValueError(f"{name}: time is one of {', '.join(times.KINDS)}")
        if rule.zone is not None:
            _zone(name, rule.zone)
        if not _sources(rule) and rule.value is None:
            raise ValueError(f"{name}: give from, sum, join or value")
        rules[name] = rule
    return rules


def _zone(name: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, OSError):
        raise ValueError(f"{name}: '{zone}' is not a time zone") from None


def apply(
    batch: EventBatch, spec: Fields, now: datetime, dataset: str | None = None, wanted: Wanted | None = None
) -> list[EventBatch]:
    """Split a table of native columns into its classes and add the ECS columns to each.

    Args:
        batch: from a decoder; a dataset or log source it already has stays.
        spec: the collector's mapping.
        now: the present, for stamps without a year.
        dataset: for rows that name none, instead of the collector's.
        wanted: what somebody will look at who does not look at everything.
    """
    wanted = None if not spec.keep else wanted  # a native column may hide behind the one made of it
    table = _extract(_masked(batch.table, spec.mask), spec.extract)
    out: list[EventBatch] = []
    rest = table
    for one, rules in zip(spec.classes, spec.ways, strict=True):
        if not rest.height:
            break
        match = _match(rest, one.when)
        if not match.any():
            continue
        part, rest = (rest, rest.clear()) if match.all() else (rest.filter(match), rest.filter(~match))
        if part.height:
            source = one.logsource.model() if one.logsource else batch.logsource or spec.logsource
            part = _extract(part, tuple(one.extract))
            part = _columns(part, _chosen(rules, source, part, wanted), spec, now)
            kind = batch.dataset or one.dataset or dataset or spec.dataset
            out.append(EventBatch(kind, batch.collector, part, logsource=source))
    for name, part in _by_dataset(rest, batch.dataset or dataset or spec.dataset, spec.own):
        named = {**_own(part, name), **spec.rules} if spec.own else spec.rules
        source = batch.logsource or spec.logsource
        part = _columns(part, _chosen(named, source, part, wanted), spec, now)
        out.append(EventBatch(name, batch.collector, part, logsource=source))
    return out


def _chosen(
    rules: Mapping[str, Rule], source: LogSource | None, table: pl.DataFrame, wanted: Wanted | None
) -> Mapping[str, Rule]:
    names = None if wanted is None else wanted(source, table.columns)
    return rules if names is None else {name: rule for name, rule in rules.items() if name in names}


def _masked(table: pl.DataFrame, patterns: Sequence[str]) -> pl.DataFrame:
    """Secrets out of every text: of a match only its first group stays."""
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    for pattern in patterns:
        table = table.with_columns(pl.col(texts).str.replace_all(pattern, "${1}***"))
    return table


def _by_dataset(table: pl.DataFrame, default: str, own: bool) -> list[tuple[str, pl.DataFrame]]:
    if not table.height:
        return []
    if not own or "event.dataset" not in table.columns:
        return [(default, table)]
    named = _string(table["event.dataset"])
    known = [str(name) for name in sorted(named.drop_nulls().unique()) if name in columns.DATASETS]
    parts = [(name, table.filter((named == name).fill_null(value=False))) for name in known]
    rest = table.filter(~named.is_in(pl.Series(known, dtype=pl.String).implode()).fill_null(value=False))
    return [*parts, (default, rest)] if rest.height else parts


def _own(table: pl.DataFrame, dataset: str) -> dict[str, Rule]:
    return {name: Rule(from_=name) for name in table.columns if name in columns.names(dataset) - {*PLACE}}


def addresses(column: pl.Series) -> pl.Series:
    """IP addresses in canonical text (IPv6 compressed, v4-mapped unwrapped); anything else is null."""
    # Canonical IPv4, nearly all there is, needs no look by Python.
    values = column.filter(~column.str.contains(_IPV4).fill_null(value=True)).unique()
    if not len(values):
        return column
    known = {value: _address(value) for value in values if value is not None}
    return column.replace(known)


def _address(value: str) -> str | None:
    text = value.strip().strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _sources(rule: Rule) -> list[str]:
    named = [rule.from_] if isinstance(rule.from_, str) else rule.from_
    return [*named, *rule.sum, *rule.join]


def _extract(table: pl.DataFrame, wanted: Sequence[Extract]) -> pl.DataFrame:
    from cityguard.decoders.pattern import groups

    for one in wanted:
        if one.from_ not in table.columns:
            continue
        found = groups(table[one.from_], tuple(one.patterns))
        names = [name for name in found.columns if name != "row"]
        if not names:
            continue
        whole = pl.DataFrame({"row": pl.int_range(table.height, eager=True)}).join(
            found, on="row", how="left", maintain_order="left"
        )
        old = {name: table[name].cast(pl.String, strict=False) for name in names if name in table.columns}
        table = table.with_columns(whole[name].fill_null(old[name]) if name in old else whole[name] for name in names)
    return table


def _match(table: pl.DataFrame, when: Mapping[str, Any]) -> pl.Series:
    """Rows for which every named column has one of the values, or matches ``{match: regex}``; null never does."""
    mask = pl.Series([True]).new_from_index(0, table.height)
    for name, wanted in when.items():
        if name not in table.columns:
            return pl.Series([False]).new_from_index(0, table.height)
        column = table[name]
        words = None if isinstance(wanted, dict) else {_word(one) for one in _listed(wanted)}
        if words is not None and (one := _only(column)) is not None:
            if one not in words:
                return pl.Series([False]).new_from_index(0, table.height)
            continue
        text = _string(column)
        found = text.str.contains(str(wanted["match"])) if words is None else text.is_in(pl.Series([*words]).implode())
        mask = mask & found.fill_null(value=False)
    return mask


def _listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _only(column: pl.Series) -> str | None:
    """The text of every row where a column holds one value: tables of one class of events are common."""
    plain = column.dtype == pl.String or column.dtype.is_integer()
    return str(column[0]) if plain and not column.null_count() and column.min() == column.max() else None


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _string(column: pl.Series) -> pl.Series:
    if not isinstance(column.dtype, pl.List):
        return column.cast(pl.String, strict=False)
    return column.cast(pl.List(pl.String), strict=False).list.join(",", ignore_nulls=True)


def _flat(column: pl.Series) -> pl.Series:
    """A list where one value belongs, as text: no cast from a list to anything else exists."""
    return _string(column) if isinstance(column.dtype, pl.List) else column


def _columns(table: pl.DataFrame, rules: Mapping[str, Rule], spec: Fields, now: datetime) -> pl.DataFrame:
    made: dict[str, pl.Series] = {}
    used: set[str] = set()
    for name, rule in rules.items():
        column = _one(name, rule, table, spec, now)
        if column is not None:
            made[name] = column.alias(name)
            used.update(_sources(rule))
    if not spec.keep:
        table = table.drop([name for name in used if name in table.columns and name not in columns.BY_NAME])
    table = table.with_columns(made.values())
    if {"event.start", "event.end"} <= made.keys() and "event.duration" not in made:
        span = (pl.col("event.end") - pl.col("event.start")).dt.total_microseconds()
        table = table.with_columns(
            pl.when(span.abs() < 1 << 53).then(span * 1000).alias("event.duration")  # ns hold 292 years
        )
    return table


def _one(name: str, rule: Rule, table: pl.DataFrame, spec: Fields, now: datetime) -> pl.Series | None:
    known = columns.BY_NAME.get(name)
    if rule.value is not None and not _sources(rule):
        return pl.Series(name, [rule.value]).new_from_index(0, table.height)
    present = [source for source in _sources(rule) if source in table.columns]
    if not present:
        return None
    if rule.sum:
        terms = [pl.lit(_flat(table[source]).cast(pl.Float64, strict=False)) for source in present]
        total = pl.when(pl.any_horizontal(term.is_not_null() for term in terms)).then(pl.sum_horizontal(terms))
        return table.select(total.cast(pl.Int64, strict=False)).to_series()
    if known is not None and known.kind == "time":
        return _time(rule, table, present, spec.zone, now)
    if rule.join:
        whole = len(present) == len(rule.join)
        return (
            pl.select(pl.concat_str([_string(table[source]) for source in present], separator=rule.by)).to_series()
            if whole
            else None
        )
    plain = [_prepared(table[source], rule, spec.nulls) for source in present]
    first = plain[0]
    for other in plain[1:]:
        if first.dtype != other.dtype:
            first, other = _string(first), _string(other)
        first = first.fill_null(other) if not isinstance(first.dtype, pl.List) else first
    return _cast(first, known, now)


def _time(rule: Rule, table: pl.DataFrame, present: list[str], zone: ZoneInfo, now: datetime) -> pl.Series:
    where = ZoneInfo(rule.zone) if rule.zone else zone
    sources = [_flat(table[source]) for source in present if source not in rule.join]
    if parts := [_string(table[source]) for source in rule.join if source in present]:
        # Date, clock and offset in fields of their own; what is missing at the end is not waited for.
        sources.insert(0, pl.select(pl.concat_str(parts, separator=rule.by or " ", ignore_nulls=True)).to_series())
    found = [times.parse(source, rule.time or "iso", where, now) for source in sources]
    first = found[0]
    for other in found[1:]:
        first = first.fill_null(other)
    return first


def _prepared(column: pl.Series, rule: Rule, nulls: tuple[str, ...] = ()) -> pl.Series:
    texts = (rule.pattern, rule.lower, rule.upper, rule.decode, rule.words)
    if any(texts) or rule.values is not None or rule.split is not None:
        column = _string(column)
    if column.dtype == pl.String:
        column = column.replace(dict.fromkeys((*NULLS, *nulls)))
    if rule.decode:
        column = words.decoded(column, rule.decode)
    if rule.lower:
        column = column.str.to_lowercase()
    if rule.upper:
        column = column.str.to_uppercase()
    if rule.pattern:
        column = column.str.extract(rule.pattern, 1)
    if rule.values is not None:
        values = {key: None if value is None else _word(value) for key, value in rule.values.items()}
        if rule.other == "keep":
            column = column.replace(values)
        else:
            default = None if rule.other is None else _word(rule.other)
            there = column.is_not_null()
            column = column.replace_strict(values, default=default, return_dtype=pl.String)
            column = column.zip_with(there, pl.Series([None], dtype=pl.String).new_from_index(0, len(column)))
    if rule.words:
        column = words.translate(column, rule.words)
    if rule.split is not None:
        return column.str.split(rule.split).list.eval(pl.element().str.strip_chars())
    if rule.scale is not None:
        return (_flat(column).cast(pl.Float64, strict=False) * rule.scale).round().cast(pl.Int64, strict=False)
    if rule.modulo:
        return _flat(column).cast(pl.Int64, strict=False) % rule.modulo
    return column


def _cast(column: pl.Series, known: columns.Column | None, now: datetime) -> pl.Series:
    if known is None:
        return column
    if known.kind == "ip":
        return addresses(_string(column))
    if known.kind in ("int", "long", "port"):
        return _whole(column, known)
    if known.kind == "keywords":
        if isinstance(column.dtype, pl.List):
            return column.cast(pl.List(pl.String), strict=False)
        return pl.select(pl.when(column.is_not_null()).then(pl.concat_list(_string(column)))).to_series()
    if known.kind in ("keyword", "text"):
        return _string(column)
    column = _flat(column)
    if known.kind == "time" and not column.dtype.is_temporal():
        return times.parse(column, "any", ZoneInfo("UTC"), now)
    if known.kind == "bool" and column.dtype == pl.String:
        return column.str.to_lowercase().replace_strict(
            {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False},
            default=None,
            return_dtype=pl.Boolean,
        )
    return column.cast(known.dtype, strict=False)


def fitted(table: pl.DataFrame, dataset: str, now: datetime) -> pl.DataFrame:
    """The dataset's columns in their types, whatever a sender put under their names; what does not fit is null."""
    there = dict(zip(table.columns, table.dtypes, strict=True))  # a polars schema costs a look at every column
    wrong = [
        _cast(table[one.name], one, now).cast(one.dtype, strict=False).alias(one.name)
        for one in columns.DATASETS[dataset]
        if one.name in there and there[one.name] != one.dtype
    ]
    return table.with_columns(wrong) if wrong else table


def _whole(column: pl.Series, known: columns.Column) -> pl.Series:
    """Integers, decimal or 0x hex; a port outside 0..65535 is null."""
    column = _flat(column)
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        hexed = text.str.extract(r"^0[xX]([0-9A-Fa-f]{1,15})$", 1)
        column = text.cast(pl.Int64, strict=False)
        if hexed.is_not_null().any():
            column = column.fill_null(hexed.str.to_integer(base=16, strict=False))
    column = column.cast(pl.Int64, strict=False)
    if known.kind == "port":
        column = pl.select(pl.when(column.is_between(0, 65535)).then(column)).to_series()
    return column.cast(known.dtype, strict=False)


def check_patterns(patterns: Sequence[str], *, known: bool = False) -> None:
    """Try every pattern.

    Args:
        patterns: Rust regular expressions.
        known: they are shipped, and tests compile them: here it is only seen to that they can be read. An expression
            that is repeated no times is read whole but compiled to nothing, which takes a twentieth of the time.

    Raises:
        ValueError: one is no Rust regular expression.
    """
    if known and _readable(patterns):
        return
    for pattern in patterns:
        try:
            pl.Series([""]).str.contains(pattern)
        except pl.exceptions.ComputeError as error:
            raise ValueError(f"not a regular expression: {pattern!r}: {str(error)[:200]}") from None


def _readable(patterns: Sequence[str]) -> bool:
    """Whether all are regular expressions by their look; the line feed ends a comment."""
    tried = pl.DataFrame({"pattern": [f"(?:{one}\n){{0}}" for one in patterns]}, schema={"pattern": pl.String})
    try:
        tried.select(pl.lit("").str.contains(pl.col("pattern")))
    except pl.exceptions.ComputeError:
        return False
    return True
