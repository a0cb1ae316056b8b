"""Stations of the register: which one a message is about, and whether it came the way the register says."""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from cityguard.model import Station
from cityguard.register import windows
from cityguard.register.lookup import Network, PrefixTable

IDENTIFIED = frozenset(
    (
        *("hj212", "sl651", "szy206", "gb28181", "dlt645", "dlt698", "cjt188", "jt808", "jt809"),
        *("gbt20999", "ocpp", "mqtt", "coap", "lwm2m"),
    )
)
"""Protocols whose unit id names one station in the whole city; others number units behind one address."""
CHANGES = ("write", "control", "program")
COLUMNS: dict[str, Any] = {
    "ot.station.id": pl.String(),
    "ot.station.registered": pl.Boolean(),
    "ot.station.in_maintenance": pl.Boolean(),
    "ot.station.limit_exceeded": pl.Boolean(),
    "ot.platform.registered": pl.Boolean(),
    "ot.platform.ip": pl.String(),
    "ot.carrier.registered": pl.Boolean(),
}
_PROTOCOL = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ENDS = ("ot.protocol", "ot.unit_id", "source.ip", "destination.ip")


def unit_of(station: Station) -> str:
    """The unit id messages carry, in lower case; empty = any unit at its addresses."""
    return (station.unit or (station.id if station.protocol in IDENTIFIED else "")).lower()


def told_by(station: Station) -> tuple[str, ...]:
    """What tells a station from every other."""
    fixed = () if station.protocol in IDENTIFIED else station.addresses
    return ("station", station.protocol, unit_of(station), *sorted(fixed))


def periods(station: Station) -> dict[str, float]:
    """Seconds within which each code is heard; the empty code stands for anything.

    Raises:
        ValueError: an entry is not ``code=seconds``.
    """
    found = {} if station.period_s is None else {"": float(station.period_s)}
    for entry in station.periods:
        code, equals, seconds = entry.partition("=")
        if not equals or not code.strip():
            raise ValueError(entry)
        found[code.strip()] = float(seconds)
    if any(not math.isfinite(one) or one <= 0 for one in found.values()):
        raise ValueError("seconds, more than 0")
    return found


def limits(station: Station) -> dict[str, tuple[float, float]]:
    """Lowest and highest value that may be written, by address in lower case.

    Raises:
        ValueError: an entry is not ``address=low..high``.
    """
    found: dict[str, tuple[float, float]] = {}
    for entry in station.limits:
        name, _, span = entry.partition("=")
        low, dots, high = span.partition("..")
        both = (float(low) if low.strip() else -math.inf, float(high) if high.strip() else math.inf)
        if not name.strip() or not dots or any(map(math.isnan, both)) or both[0] > both[1]:
            raise ValueError(entry)
        found[name.strip().lower()] = both
    return found


def faults(station: Station) -> Iterator[tuple[str, str, str]]:
    """(field, what is wrong, remedy) of one station by itself."""
    if not _PROTOCOL.fullmatch(station.protocol):
        yield "protocol", f"protocol: '{station.protocol[:40]}'", "as in ot.protocol: hj212, sl651, modbus …"
    elif station.protocol not in IDENTIFIED and not station.unit and not station.addresses:
        near = difflib.get_close_matches(station.protocol, sorted(IDENTIFIED), 1, cutoff=0.8)
        remedy = f"did you mean protocol '{near[0]}'?" if near else "units of this protocol are known by their address"
        yield "addresses", f"'{station.protocol}' with neither addresses nor a unit", remedy
    if station.period_s is not None and not (math.isfinite(station.period_s) and station.period_s > 0):
        yield "period_s", f"period_s: {station.period_s:g}", "seconds, more than 0"
    for name, read, remedy in (
        ("periods", lambda one: periods(replace(one, period_s=None)), "code=seconds, e.g. 2051=600"),
        ("limits", limits, "address=low..high, e.g. w01018=0..60"),
        ("maintenance", lambda one: [windows.parse(text) for text in one.maintenance], windows.FORM),
    ):
        try:
            read(station)
        except ValueError as error:
            yield name, f"{name}: {str(error)[:80]}", remedy


class Networks:
    """Which owners hold an address, for many addresses at once; networks of owners may nest and repeat."""

    def __init__(self, owned: Iterable[tuple[int, Sequence[str]]]) -> None:
        number: dict[Network, int] = {}
        pairs: list[tuple[int, int]] = []
        for owner, texts in owned:
            for text in texts:
                network = ipaddress.ip_network(text, strict=False)
                pairs.append((owner, number.setdefault(network, len(number))))
        self._table = PrefixTable(number.items())
        around = [(inner, outer) for one, inner in number.items() for outer in _around(one, number)]
        schema = {"inner": pl.Int64(), "net": pl.Int64()}
        outer = pl.DataFrame(around, schema=schema, orient="row")
        owners = pl.DataFrame(pairs, schema={"s": pl.Int64(), "net": pl.Int64()}, orient="row").unique()
        self._owners = outer.join(owners, on="net").select("inner", "s").unique() if not _wide(outer, owners) else None
        self._outer, self._by_net = outer, owners
        self.owners = frozenset(owner for owner, _ in pairs)

    def of(self, addresses: pl.Series) -> pl.DataFrame:
        """Every (ip, s) with ``ip`` in a network of owner ``s``; each once."""
        distinct = addresses.drop_nulls().unique()
        held = pl.DataFrame({"ip": distinct, "inner": pl.Series(self._table.find_all(distinct), dtype=pl.Int64())})
        if self._owners is not None:
            return held.join(self._owners, on="inner").select("ip", "s")
        return held.join(self._outer, on="inner").join(self._by_net, on="net").select("ip", "s").unique()

    def holds(self, pairs: pl.DataFrame) -> pl.Series:
        """Whether ``ip`` is in a network of ``s``, per row of (s, ip); false where either is null."""
        if not self.owners:
            return pl.repeat(False, pairs.height, eager=True)
        held = pairs.select("s", "ip").unique()
        nets = pl.DataFrame({"ip": (ips := held["ip"].drop_nulls().unique()), "inner": self._table.find_all(ips)})
        good = (
            held.join(nets, on="ip")
            .join(self._outer, on="inner")
            .join(self._by_net, on=["net", "s"], how="semi")
            .select("s", "ip", pl.lit(True).alias("held"))
            .unique()
        )
        return pairs.join(good, on=["s", "ip"], how="left", maintain_order="left")["held"].fill_null(False)


def _wide(outer: pl.DataFrame, owners: pl.DataFrame) -> bool:
    """A range that many owners share and that holds many smaller ones is not multiplied out."""
    made = outer.join(owners.group_by("net").len(), on="net")["len"].sum()
    return int(made) > 4 * (outer.height + owners.height) + 1000


def _around(network: Network, known: Mapping[Network, int]) -> Iterator[int]:
    """Numbers of the known networks that hold this one, itself among them."""
    one: Network = network
    while True:
        if (found := known.get(one)) is not None:
            yield found
        if not one.prefixlen:
            return
        one = one.supernet()


class Directory:
    """The stations, ready to be looked up by whole batches."""

    def __init__(self, stations: Sequence[Station]) -> None:
        self.stations = stations
        self.by_id = {one.id: one for one in stations}
        self._protocols = sorted({one.protocol for one in stations})
        every = list(enumerate(stations))
        named = [(one.protocol, unit_of(one), index) for index, one in every if _by_unit(one)]
        placed = [(one.protocol, unit_of(one), index) for index, one in every if not _by_unit(one)]
        schema = {"protocol": pl.String(), "unit": pl.String(), "s": pl.Int64()}
        self._named = pl.DataFrame(named, schema=schema, orient="row")
        self._placed = pl.DataFrame(placed, schema=schema, orient="row")
        self._addresses = Networks((index, one.addresses) for index, one in every)
        self._platforms = Networks((index, one.platforms) for index, one in every)
        self._carriers = Networks((index, (*one.addresses, *one.carriers)) for index, one in every)
        self._windows = _windows_of(stations)
        self._limits = _limits_of(stations)
        self._ids = pl.Series([one.id for one in stations], dtype=pl.String())

    def enrich(self, table: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
        """Add ``COLUMNS`` to rows of ``ot``; a table of no use, or a register without stations, stays as it is."""
        if not self.stations or not {"ot.protocol", "source.ip", "destination.ip"} <= set(table.columns):
            return table
        unit = pl.col("ot.unit_id") if "ot.unit_id" in table.columns else pl.lit(None, dtype=pl.String())
        ends = table.select(
            pl.col("ot.protocol").cast(pl.String()).alias("protocol"),
            unit.cast(pl.String()).str.to_lowercase().alias("unit"),
            pl.col("source.ip").alias("src"),
            pl.col("destination.ip").alias("dst"),
        )
        distinct = ends.unique(maintain_order=True)
        answers = self._answers(distinct.with_row_index("k"))
        told = ends.join(answers, on=ends.columns, how="left", nulls_equal=True, maintain_order="left")
        table = table.with_columns(told[name].alias(name) for name in COLUMNS if name in told.columns)
        owner = told["s"]
        return table.with_columns(
            self._maintained(table, owner, zone).alias("ot.station.in_maintenance"),
            self._exceeded(table, owner).alias("ot.station.limit_exceeded"),
        )

    def _answers(self, ends: pl.DataFrame) -> pl.DataFrame:
        found = ends.join(self._chosen(ends), on="k", how="left", maintain_order="left")
        station = found["s"]
        src, dst = (found.select("s", pl.col(side).alias("ip")) for side in ("src", "dst"))
        from_platform, to_platform = self._platforms.holds(src), self._platforms.holds(dst)
        from_place, to_place = self._carriers.holds(src), self._carriers.holds(dst)
        has = {name: _known(station, nets) for name, nets in (("p", self._platforms), ("c", self._carriers))}
        sides = pl.DataFrame(
            {"fp": from_platform, "tp": to_platform, "fc": from_place, "tc": to_place, "hp": has["p"], "hc": has["c"]}
        )
        # the station's end is the one that is not the platform's; where neither is known, either may be it
        other = pl.when(pl.col("fp") & ~pl.col("tp")).then("tc").when(pl.col("tp") & ~pl.col("fp")).then("fc")
        listed = found["protocol"].is_in(self._protocols)
        asked = listed & (found["unit"].is_not_null() | ~found["protocol"].is_in(list(IDENTIFIED)))
        more = sides.select(
            pl.when("hp").then(pl.col("fp") | pl.col("tp")).alias("ot.platform.registered"),
            pl.when("fp").then(found["src"]).when("tp").then(found["dst"]).alias("ot.platform.ip"),
            pl.when("hc").then(other.otherwise(pl.col("fc") | pl.col("tc"))).alias("ot.carrier.registered"),
        )
        known = station.is_not_null()
        return found.with_columns(
            self._ids.gather(station).alias("ot.station.id"),
            known.set(~known & ~asked, None).alias("ot.station.registered"),
            *more,
        )

    def _chosen(self, ends: pl.DataFrame) -> pl.DataFrame:
        """(k, s): the station of each row of ``ends``, at most one."""
        by_unit = ends.join(self._named, on=["protocol", "unit"]).select("k", "s", "src", "dst")
        spots = [by_unit]
        for side in ("src", "dst") if self._placed.height else ():
            held = ends.join(self._addresses.of(ends[side]), left_on=side, right_on="ip", coalesce=False)
            placed = held.join(self._placed, on=["s", "protocol"], suffix="_of")
            fits = (pl.col("unit_of") == "") | (pl.col("unit_of") == pl.col("unit"))
            spots.append(placed.filter(fits).select("k", "s", "src", "dst"))
        every = pl.concat(spots)
        at_home = self._addresses.holds(every.select("s", pl.col("src").alias("ip"))) | self._addresses.holds(
            every.select("s", pl.col("dst").alias("ip"))
        )
        exact = pl.Series([unit_of(one) != "" for one in self.stations], dtype=pl.Boolean()).gather(every["s"])
        ranked = every.with_columns(at_home.alias("home"), exact.alias("exact"))
        return (
            ranked.sort("k", "home", "exact", "s", descending=[False, True, True, False])
            .unique("k", keep="first")
            .select("k", "s")
        )

    def _maintained(self, table: pl.DataFrame, owner: pl.Series, zone: ZoneInfo) -> pl.Series:
        """Whether a row's time is in a window of its station; null where the station has none."""
        nothing = pl.repeat(None, table.height, dtype=pl.Boolean(), eager=True)
        if self._windows.is_empty() or "@timestamp" not in table.columns:
            return nothing
        local = pl.col("@timestamp").dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
        workday = pl.col("calendar.workday") if "calendar.workday" in table.columns else pl.lit(None, pl.Boolean())
        rows = (
            table.select(local.alias("at"), workday.alias("workday")).with_columns(owner.alias("s")).with_row_index("n")
        )
        held = rows.join(self._windows, on="s")
        if held.is_empty():
            return nothing
        answers = held.group_by("n").agg(windows.is_open().any().alias("inside"))
        return rows.join(answers, on="n", how="left", maintain_order="left")["inside"]

    def _exceeded(self, table: pl.DataFrame, owner: pl.Series) -> pl.Series:
        """Whether a value a row writes is outside the limits of its station; null where there is none to hold it to."""
        needed = {"ot.address", "ot.value", "ot.function.class"}
        if self._limits.is_empty() or not needed <= set(table.columns):
            return pl.repeat(None, table.height, dtype=pl.Boolean(), eager=True)
        address = pl.col("ot.address").cast(pl.String()).str.to_lowercase()
        rows = table.select(
            address.alias("address"),
            address.str.split("/").list.first().alias("factor"),
            pl.col("ot.value").cast(pl.String()).str.split(",").alias("value"),
            pl.col("ot.function.class").is_in(list(CHANGES)).alias("changes"),
        )
        rows = rows.with_columns(owner.alias("s")).with_row_index("n").filter("changes")
        exact = rows.join(self._limits, on=["s", "address"])
        factor = rows.join(self._limits, left_on=["s", "factor"], right_on=["s", "address"])
        names = ["n", "value", "low", "high"]
        held = pl.concat([exact.select(names), factor.select(names)]).explode("value")
        held = held.with_columns(pl.col("value").cast(pl.Float64, strict=False)).drop_nulls("value")
        answers = held.group_by("n").agg(
            (~pl.col("value").is_between(pl.col("low"), pl.col("high"))).any().alias("over")
        )
        every = pl.DataFrame({"n": pl.Series(range(table.height), dtype=pl.UInt32())})
        return every.join(answers, on="n", how="left", maintain_order="left")["over"]


def _by_unit(station: Station) -> bool:
    return station.protocol in IDENTIFIED or not station.addresses


def _known(station: pl.Series, nets: Networks) -> pl.Series:
    return station.is_in(sorted(nets.owners)).fill_null(False)


def _windows_of(stations: Sequence[Station]) -> pl.DataFrame:
    return windows.table("s", ((index, one.maintenance) for index, one in enumerate(stations)))


def _limits_of(stations: Sequence[Station]) -> pl.DataFrame:
    rows = [
        (index, name, low, high)
        for index, station in enumerate(stations)
        for name, (low, high) in limits(station).items()
    ]
    schema = {"s": pl.Int64(), "address": pl.String(), "low": pl.Float64(), "high": pl.Float64()}
    return pl.DataFrame(rows, schema=schema, orient="row")
