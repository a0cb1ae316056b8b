"""Acts held against a policy: which lines allow them, and for the others which line came nearest; in columns."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

import polars as pl

from cityguard.otpolicy import addresses
from cityguard.otpolicy.policy import ANY, PLATFORM, Line, Policy
from cityguard.register import windows
from cityguard.register.lookup import PrefixTable

REASONS = ("none", "master", "code", "address", "window", "expired")
"""Why an act is not allowed, by how near the nearest line comes."""
SLICE = 20_000  # distinct acts joined at a time, fewer where a place has many lines
PAIRS = 1_000_000  # of acts and lines in memory at a time
_SAME = ("scopes", "segment", "master", "platform", "protocol", "klass", "code", "lo", "hi", "text", "at", "workday")


class Judge:
    """A policy made ready for whole batches. Acts are those of ``acts.acts``."""

    def __init__(self, policy: Policy, zone: ZoneInfo) -> None:
        self.policy, self.zone = policy, zone
        lines = policy.lines
        self._modes = pl.DataFrame(
            [(one.place, one.mode) for one in reversed(policy.scopes)],
            schema={"scope": pl.String(), "mode": pl.String()},
            orient="row",
        ).unique("scope", keep="first")
        self.enforced = any(one.mode == "enforced" for one in policy.scopes)
        self._lines = pl.DataFrame(
            [_row(number, one) for number, one in enumerate(lines)],
            schema={
                "line": pl.Int64(),
                "scope": pl.String(),
                "l_master": pl.String(),
                "l_protocol": pl.String(),
                "l_klass": pl.String(),
                "l_codes": pl.List(pl.String()),
                "expires": pl.Date(),
                "anywhere": pl.Boolean(),
                "always": pl.Boolean(),
            },
            orient="row",
        )
        self._addresses = addresses.table((number, one.addresses) for number, one in enumerate(lines))
        self._windows = windows.table("line", ((number, one.windows) for number, one in enumerate(lines)))
        self._timed = self._windows.height > 0
        most = max(Counter(one.scope for one in lines).values(), default=1)
        widest = max((len(one.addresses) for one in lines), default=1)
        self._slice = max(200, min(SLICE, PAIRS // max(most, widest, 1)))
        self._nets, self._names = _networks(lines)
        self.ids = pl.Series([one.id for one in lines], dtype=pl.String())

    def modes(self, acts: pl.DataFrame) -> pl.Series:
        """``enforced`` or ``learning`` per act; a station's own word goes before its segment's."""
        places = acts.select("scopes", "segment").unique()
        ranked = (
            places.with_row_index("k")
            .with_columns(_every_scope().alias("scope"))
            .explode("scope")
            .join(self._modes, on="scope", how="left", maintain_order="left")
            .drop_nulls("mode")
            .unique("k", keep="first", maintain_order=True)
        )
        told = places.with_row_index("k").join(ranked.select("k", "mode"), on="k", how="left")
        found = acts.join(told.drop("k"), on=["scopes", "segment"], how="left", nulls_equal=True, maintain_order="left")
        return found["mode"].fill_null("learning")

    def judge(self, acts: pl.DataFrame) -> pl.DataFrame:
        """``allowed`` (bool), ``line`` (number of the line that allows it, or came nearest), ``why`` (of ``REASONS``).

        One row per row of ``acts``, in their order.
        """
        keyed = acts.select(_SAME).with_columns(self._moment().alias("at"))
        distinct = keyed.unique(maintain_order=True).with_row_index("a")
        if distinct.is_empty():
            return pl.DataFrame(schema={"allowed": pl.Boolean(), "line": pl.Int64(), "why": pl.String()})
        answers = [self._some(part) for part in distinct.iter_slices(self._slice)]
        told = distinct.join(pl.concat(answers), on="a", how="left")
        found = keyed.join(told.drop("a"), on=list(_SAME), how="left", nulls_equal=True, maintain_order="left")
        return found.select("allowed", "line", "why")

    def _moment(self) -> pl.Expr:
        """City time, as fine as the policy asks: its day for expiry, its minute for windows."""
        local = pl.col("at").dt.convert_time_zone(str(self.zone)).dt.replace_time_zone(None)
        return local.dt.truncate("1m" if self._timed else "1d")

    def _some(self, part: pl.DataFrame) -> pl.DataFrame:
        scoped = part.select("a", "master", "platform", "protocol", "klass", "code", _every_scope().alias("scope"))
        near = scoped.explode("scope").join(self._lines, on="scope")
        near = near.filter((pl.col("l_protocol") == ANY) | (pl.col("l_protocol") == pl.col("protocol")))
        near = near.unique(["a", "line"], keep="first", maintain_order=True).with_row_index("p")
        klass = (pl.col("l_klass") == ANY) | (pl.col("l_klass") == pl.col("klass"))
        code = (pl.col("l_codes").list.len() == 0) | pl.col("l_codes").list.contains(pl.col("code"))
        fit = near.select(
            "a",
            "line",
            "p",
            "expires",
            "anywhere",
            "always",
            self._by_master(near).alias("m"),
            (klass & code).fill_null(value=False).alias("c"),
        )
        # only lines for this deed of this master need be held against address, hours and day
        close = fit.filter(pl.col("m") & pl.col("c")).join(
            part.select("a", "lo", "hi", "text", "at", "workday"), on="a"
        )
        is_over = (close["at"].dt.date() > close["expires"]).fill_null(value=False)
        told = close.select(
            "p",
            (pl.col("anywhere") | self._by_address(close)).alias("d"),
            (pl.col("always") | self._by_window(close)).alias("w"),
            (~is_over).alias("e"),
        )
        fit = fit.select("a", "line", "p", "m", "c").join(told, on="p", how="left")
        within = pl.when("d").then(pl.when("w").then(pl.when("e").then(6).otherwise(5)).otherwise(4)).otherwise(3)
        rank = pl.when(pl.col("m") & pl.col("c")).then(within).when("m").then(2).when("c").then(1).otherwise(0)
        ranked = fit.select("a", "line", rank.cast(pl.Int8).alias("rank"))
        best = ranked.sort("a", "rank", "line", descending=[False, True, False])
        best = best.unique("a", keep="first", maintain_order=True)
        every = part.select("a").join(best, on="a", how="left", maintain_order="left")
        value = pl.col("rank").fill_null(0)
        names = value.replace_strict(dict(enumerate((*REASONS, ""))), return_dtype=pl.String())
        return every.select(
            "a",
            (value == 6).alias("allowed"),
            pl.when(value > 0).then("line").alias("line"),
            pl.when(value < 6).then(names).alias("why"),
        )

    def _by_master(self, near: pl.DataFrame) -> pl.Series:
        exact = (pl.col("l_master") == pl.col("master")) | (pl.col("l_master") == ANY)
        platform = (pl.col("l_master") == PLATFORM) & pl.col("platform").fill_null(value=False)
        plain = near.select((exact | platform).fill_null(value=False).alias("m"))["m"]
        if not self._names:
            return plain
        asked = near["master"].unique()
        held = pl.DataFrame({"master": asked, "net": self._nets.find_all(asked)}).filter(pl.col("net") >= 0)
        around = held.with_columns(
            pl.Series("l_master", [self._names[net] for net in held["net"]], dtype=pl.List(pl.String()))
        ).explode("l_master")
        inside = around.select("master", "l_master", pl.lit(value=True).alias("in")).unique()
        found = near.select("master", "l_master").join(
            inside, on=["master", "l_master"], how="left", maintain_order="left"
        )
        return plain | found["in"].fill_null(value=False)

    def _by_address(self, near: pl.DataFrame) -> pl.Series:
        asked = near.select("p", "line", "lo", "hi", "text").join(self._addresses, on="line")
        good = asked.filter(addresses.fits()).select("p").unique()
        return near["p"].is_in(good["p"].implode())

    def _by_window(self, near: pl.DataFrame) -> pl.Series:
        asked = near.select("p", "line", "at", "workday").join(self._windows, on="line")
        good = asked.filter(windows.is_open().fill_null(value=False)).select("p").unique()
        return near["p"].is_in(good["p"].implode())


def _every_scope() -> pl.Expr:
    """All names of an act's place, the nearest first."""
    segment = pl.when(pl.col("segment").is_not_null()).then(pl.concat_list("segment:" + pl.col("segment")))
    return pl.when(pl.col("segment").is_not_null()).then(pl.concat_list("scopes", segment)).otherwise("scopes")


def _row(number: int, line: Line) -> tuple[int, str, str, str, str, list[str], date | None, bool, bool]:
    codes, expires = list(line.codes), line.expires
    anywhere, always = not line.addresses, not line.windows
    return number, line.scope, line.master, line.protocol, line.klass, codes, expires, anywhere, always


def _networks(lines: Sequence[Line]) -> tuple[PrefixTable, list[list[str]]]:
    """Networks that lines name as masters, and for each the names of all that hold it."""
    texts = sorted({one.master for one in lines if "/" in one.master})
    nets = [ipaddress.ip_network(text) for text in texts]
    known = dict(zip(nets, texts, strict=True))
    around: list[list[str]] = []
    for net in nets:
        one, names = net, [known[net]]
        while one.prefixlen:
            one = one.supernet()
            names += [known[one]] if one in known else []
        around.append(names)
    return PrefixTable((net, number) for number, net in enumerate(nets)), around
