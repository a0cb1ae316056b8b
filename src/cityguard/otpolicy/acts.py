"""Messages of any OT protocol as acts: who (master) did what (class, code, addresses) to whom (station)."""

from __future__ import annotations

from typing import Any

import polars as pl

from cityguard.register.stations import IDENTIFIED

POLLED = frozenset(
    ("hj212", "sl651", "szy206", "dlt645", "dlt698", "cjt188", "gbt20999", "jt808", "coap", "lwm2m"),
)
"""Protocols with station ids in which a request is the platform's; in the others both ends ask."""
CHANGES = ("write", "control", "program")
CLASSES = ("read", "write", "control", "program", "diagnostic")
ANSWERS = (9011, 9012, 9013, 9014)
"""HJ 212: answers have codes of their own; what was asked is the deed."""
MAX_TEXT = 128
MAX_SPAN = 65_536  # items of one message
KEYS = ("station", "segment", "master", "protocol", "klass", "code")
_CONTROL = r"[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}\x{fffe}\x{ffff}]"
_NUMBERS = r"^(?:0|[1-9][0-9]{0,9})(?:,(?:0|[1-9][0-9]{0,9}))*$"
_COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("event.id", "ot.protocol", "ot.function.name", "ot.function.class", "ot.unit_id"), pl.String()),
    **dict.fromkeys(("ot.address", "ot.station.id", "ot.platform.ip"), pl.String()),
    **dict.fromkeys(("ot.function.code", "ot.quantity"), pl.Int64()),
    **dict.fromkeys(("ot.is_request", "ot.platform.registered", "calendar.workday"), pl.Boolean()),
    "calendar.hour": pl.Int32(),
    "@timestamp": pl.Datetime("us", "UTC"),
    **{
        f"{side}.{name}": pl.Int32() if name == "port" else pl.String()
        for side in ("source", "destination")
        for name in ("ip", "port", "mac", "asset", "segment", "department", "system")
    },
}


def acts(table: pl.DataFrame, *, every: bool = False) -> pl.DataFrame:
    """One row per message and address, of messages that have a class other than ``error``.

    Args:
        table: rows of ``ot``, enriched; columns that are not there count as null.
        every: errors, answers with a code of their own and messages without a class as well; ``deed`` tells them.

    Returns:
        ``n`` (row of ``table``), ``at``, ``id``, ``station`` (what a policy calls it), ``scopes`` (every name it may
        be called by), ``segment``, ``ip`` ``asset`` ``department`` ``system`` (of the station's end), ``master``,
        ``protocol``, ``klass``, ``code`` (number or name, text), ``name``, ``asks`` (false: a reply or a report),
        ``reports`` (the station's end sent it), ``platform`` (the master is a registered platform), ``workday``,
        ``hour``, ``unit`` (as the protocol writes it), ``listed`` (the registered station), ``text`` ``lo`` ``hi``
        (address as text, or as numbers).
    """
    full = table.select(
        pl.col(name).cast(kind, strict=False) if name in table.columns else pl.lit(None, kind).alias(name)
        for name, kind in _COLUMNS.items()
    ).with_row_index("n")
    known = pl.col("ot.protocol").is_not_null()
    answers = (pl.col("ot.protocol") == "hj212") & pl.col("ot.function.code").is_in(ANSWERS)
    answers |= pl.col("ot.function.name").str.starts_with("Response/")  # GB/T 28181
    deed = pl.col("ot.function.class").is_in(CLASSES) & ~answers.fill_null(value=False)
    marked = full.filter(known).with_columns(deed.fill_null(value=False).alias("deed"))
    chosen = marked if every else marked.filter("deed")
    ends = chosen.with_columns(_master_first().fill_null(value=True).alias("m"))
    made = ends.select(
        "n",
        "deed",
        pl.col("@timestamp").alias("at"),
        pl.col("event.id").alias("id"),
        pl.col("ot.protocol").alias("protocol"),
        pl.col("ot.function.class").alias("klass"),
        pl.coalesce(pl.col("ot.function.code").cast(pl.String), _cut("ot.function.name"), pl.lit("")).alias("code"),
        _cut("ot.function.name").alias("name"),
        pl.col("ot.is_request").fill_null(value=True).alias("asks"),
        (~pl.col("m")).alias("reports"),
        pl.col("ot.platform.registered").alias("platform"),
        pl.col("calendar.workday").alias("workday"),
        pl.col("calendar.hour").alias("hour"),
        pl.coalesce(_end("ip", master=True), _end("mac", master=True), pl.lit("")).alias("master"),
        *(_end(name).alias(name) for name in ("ip", "asset", "segment", "department", "system")),
        pl.coalesce(_end("ip"), _end("mac"), pl.lit("")).alias("place"),
        _cut("ot.unit_id").alias("unit"),
        pl.col("ot.station.id").alias("listed"),
        _cut("ot.address").alias("address"),
        pl.col("ot.quantity").clip(1, MAX_SPAN).fill_null(1).alias("quantity"),
    )
    return _addressed(_named(made))


def _cut(name: str) -> pl.Expr:
    """A text of the wire, bounded, and without what would not come back from a file."""
    text = pl.col(name).str.slice(0, MAX_TEXT).str.replace_all(_CONTROL, "\ufffd").str.replace("^segment:", "segment ")
    return pl.when(pl.col(name) != "").then(text)


def _end(name: str, *, master: bool = False) -> pl.Expr:
    first, second = ("source", "destination") if master else ("destination", "source")
    return pl.when("m").then(pl.col(f"{first}.{name}")).otherwise(pl.col(f"{second}.{name}"))


def _master_first() -> pl.Expr:
    """Whether the sender is the master (the platform), as far as register, class, kind of protocol and ports tell."""
    asks, protocol = pl.col("ot.is_request"), pl.col("ot.protocol")
    platform, source = pl.col("ot.platform.ip"), pl.col("source.ip")
    low = pl.when(pl.col("source.port") != pl.col("destination.port")).then(
        pl.col("source.port") < pl.col("destination.port")
    )
    changes = pl.col("ot.function.class").is_in(CHANGES)
    # logins, links and heartbeats are the station's, also where they ask for an answer
    reports = (pl.col("ot.function.class") == "diagnostic").fill_null(value=False)
    linked = (protocol == "dlt698") & reports
    polled = ~protocol.is_in(list(IDENTIFIED)) | (protocol.is_in(list(POLLED)) & ~linked)
    # who listens: a platform is connected to by its stations; a controller by its master
    reported = pl.coalesce(low, pl.when(reports).then(~asks).otherwise(asks))
    return (
        pl.when(platform.is_not_null())
        .then(platform == source)
        .when(polled | changes)
        .then(pl.coalesce(asks, pl.when(polled).then(~low).otherwise(low)))
        .otherwise(reported)
    )


def _named(made: pl.DataFrame) -> pl.DataFrame:
    own = pl.when(pl.col("protocol").is_in(list(IDENTIFIED))).then(pl.col("unit"))
    unit = pl.when(pl.col("unit").is_not_null()).then("/" + pl.col("unit")).otherwise(pl.lit(""))
    at_asset, at_place = pl.col("asset") + unit, pl.col("place") + unit
    names = [pl.col("listed"), own, at_asset, at_place, pl.col("asset"), pl.col("place")]
    return made.with_columns(
        pl.coalesce(names).alias("station"),
        pl.concat_list(names).list.drop_nulls().list.unique(maintain_order=True).alias("scopes"),
    ).drop("place")


def _addressed(made: pl.DataFrame) -> pl.DataFrame:
    """A row per address: numbers as the span they cover, anything else as text."""
    parts = made.with_columns(
        pl.col("address").str.contains(_NUMBERS).fill_null(value=False).alias("numeric"),
        pl.col("address").str.split(",").alias("text"),
    )
    several = parts.with_columns(pl.col("text").list.len().fill_null(1).cast(pl.Int64).alias("k"))
    one = several.filter(pl.col("k") == 1).with_columns(pl.col("text").list.first(), last=pl.lit(value=True))
    many = several.filter(pl.col("k") > 1).explode("text")
    many = many.with_columns((pl.col("text").cum_count().over("n") == pl.col("k")).alias("last"))
    both = pl.concat([one, many])
    number = pl.when("numeric").then(pl.col("text").cast(pl.Int64, strict=False))
    extra = pl.when("last").then((pl.col("quantity") - pl.col("k")).clip(0)).otherwise(0)
    return both.with_columns(
        number.alias("lo"),
        (number + extra).alias("hi"),
        pl.when(~pl.col("numeric") & (pl.col("text") != "")).then("text").alias("text"),
    ).drop("address", "numeric", "quantity", "k", "last")
