"""The OT policy at work: messages held against it batch by batch, silences told as time goes by. Nothing is blocked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from cityguard.config import OtPolicy
from cityguard.errors import CityguardError
from cityguard.ids import alert_id
from cityguard.model import MAX_EVENT_IDS, Alert, EventBatch, Explanation, Level, Text
from cityguard.otpolicy import overdue, words
from cityguard.otpolicy.acts import CHANGES, acts
from cityguard.otpolicy.judge import Judge
from cityguard.otpolicy.overdue import RULE
from cityguard.otpolicy.policy import Line, Policy
from cityguard.otpolicy.silence import Watch
from cityguard.register.lookup import parse
from cityguard.register.register import Register

log = logging.getLogger(__name__)
WINDOW_S = 3_600
COUNTED_S = 60
MAX_ALERTS = 200  # of one batch; what is beyond is folded per station
_GROUP = ("why", "line", "station", "master", "protocol", "klass")
_TITLES = {
    "none": Text("工控操作不在策略内", "OT act outside the policy"),
    "master": Text("非策略允许的主站操作工控设备", "A master the policy does not name acts on a station"),
    "code": Text("主站做了策略不允许的操作", "A master does what the policy does not allow it"),
    "address": Text("工控操作超出策略允许的地址", "OT act outside the addresses of the policy"),
    "window": Text("工控操作不在策略允许的时间", "OT act outside the hours of the policy"),
    "expired": Text("工控操作依据的策略行已到期", "The policy line of an OT act has expired"),
}
_ADVICE = Text(
    "与站点负责人核实该操作；确属业务需要的，用 cityguard ot propose 提出并由负责人签署策略行，否则按入侵处置。"
    "策略只告警，不阻断。",
    "Ask whoever answers for the station. If the act is needed, propose a line (cityguard ot propose) and have it "
    "signed; otherwise treat it as an intrusion. The policy only tells, it blocks nothing.",
)


class PolicyDetector:
    """Tells what the policy in force does not allow, and registered stations that are not heard.

    Policy and register are asked for on every batch, so that a decision counts at once.
    """

    name = "ot_policy"

    def __init__(
        self, policy: Callable[[], Policy], register: Callable[[], Register], settings: OtPolicy, zone: ZoneInfo
    ) -> None:
        self._policy, self._register, self.zone = policy, register, zone
        self._judge = Judge(Policy(), zone)
        self.watch = Watch(missed=settings.missed_periods, lateness_s=settings.lateness_s)
        self._known = Register.empty(zone=zone)
        self.fault = ""
        self._counted, self._last = 0, dict[str, int]()

    # -- the detector contract ---------------------------------------------

    def detect(self, batch: EventBatch) -> Iterable[Alert]:
        """Violations in this batch."""
        if batch.dataset != "ot" or not len(batch):
            return ()
        judge, register = self._ready()
        if not judge.enforced and not register.stations:
            return ()
        seen = acts(batch.table, every=True)
        self._hear(seen, register)
        if not judge.enforced or seen.is_empty():
            return ()
        return list(self._violations(judge, register, seen.filter("deed"), batch.part))

    def finish(self) -> Iterable[Alert]:
        """An input that ends says nothing of stations that are not in it."""
        return ()

    def settle(self, through: datetime | None = None) -> Iterable[Alert]:
        """Silences that are certain by now."""
        _, register = self._ready()
        if not register.stations:
            return ()
        return list(
            overdue.alerts(list(self.watch.due(register.stations, through, self.zone)), register, self.zone, through)
        )

    def snapshot(self) -> bytes:
        """State as JSON bytes."""
        return self.watch.pack()

    def restore(self, state: bytes) -> None:
        """Bring back what ``snapshot`` gave.

        Raises:
            InputError: the bytes are no snapshot of this detector.
        """
        self.watch.unpack(state)

    def counters(self) -> dict[str, object]:
        """When each registered station was last heard (µs), for pages of other processes; new once a minute."""
        if self.watch.newest - self._counted >= COUNTED_S * 1_000_000 or not self._last:
            self._counted = self.watch.newest
            self._last = {station: at for (station, code), at in self.watch.last.items() if not code}
        return {"heard": self._last, "fault": self.fault}

    # -- inside -----------------------------------------------------------------

    def _ready(self) -> tuple[Judge, Register]:
        """The policy and register of now; while a file has faults, what was in force before goes on."""
        try:
            policy = self._policy()
            if policy is not self._judge.policy:
                self._judge = Judge(policy, self.zone)
            self._known = self._register()
            self.fault = ""
        except CityguardError as error:
            if self.fault != str(error):
                log.warning("ot policy: what was in force goes on: %s", error)
            self.fault = str(error)
        return self._judge, self._known

    def _hear(self, seen: pl.DataFrame, register: Register) -> None:
        if not register.stations:
            return
        placed = [one.id for one in register.stations if one.platforms]
        own = seen.filter(pl.col("listed").is_not_null() & (pl.col("reports") | ~pl.col("listed").is_in(placed)))
        self.watch.hear(own.select(pl.col("listed").alias("station"), "code", "at"))

    def _violations(self, judge: Judge, register: Register, seen: pl.DataFrame, part: str) -> Iterator[Alert]:
        held = seen.filter(judge.modes(seen) == "enforced").drop_nulls("at")
        if held.is_empty():
            return
        both = pl.concat([held, judge.judge(held)], how="horizontal").filter(~pl.col("allowed"))
        if both.is_empty():
            return
        names = words.Names(register)
        found = _grouped(both)
        for row in found.head(MAX_ALERTS).iter_rows(named=True):
            yield _alert(row, _line(judge, row), names, part)
        if found.height > MAX_ALERTS:
            yield _rest(found.tail(-MAX_ALERTS), part)


def _line(judge: Judge, row: dict[str, Any]) -> Line | None:
    return None if row["line"] is None else judge.policy.lines[row["line"]]


def _grouped(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per kind of violation, station, master, line and hour; grave ones first."""
    worst = pl.col("klass").replace_strict({name: n for n, name in enumerate(("diagnostic", "read"))}, default=2)
    each = rows.sort("asks", descending=True, maintain_order=True).unique("n", keep="first", maintain_order=True)
    bucket = (pl.col("at").dt.epoch("s") // WINDOW_S * WINDOW_S).fill_null(0).alias("bucket")
    spot = pl.coalesce(pl.col("text"), _span())
    counted = pl.when(pl.col("asks").any()).then(pl.col("asks").sum()).otherwise(pl.len()).cast(pl.Int64)
    asked = pl.col("id").filter(pl.col("asks") | ~pl.col("asks").any())
    return (
        each.with_columns(bucket, worst.alias("worst"), spot.alias("spot"))
        .group_by([*_GROUP, "bucket"], maintain_order=True)
        .agg(
            counted.alias("count"),
            pl.col("at").min().alias("first"),
            pl.col("at").max().alias("last"),
            asked.drop_nulls().unique(maintain_order=True).head(MAX_EVENT_IDS).alias("ids"),
            pl.col("code").unique().sort().head(words.SHOWN + 1).alias("codes"),
            pl.col("spot").drop_nulls().unique(maintain_order=True).head(words.SHOWN + 1).alias("spots"),
            pl.col("spot").drop_nulls().n_unique().cast(pl.Int64).alias("spot_count"),
            *(pl.col(name).drop_nulls().first() for name in ("name", "ip", "segment", "department", "system")),
            pl.col("worst").first(),
        )
        .sort(
            "worst", "count", *_GROUP, "bucket", descending=[True, True] + [False] * (len(_GROUP) + 1), nulls_last=True
        )
    )


def _span() -> pl.Expr:
    lo, hi = pl.col("lo").cast(pl.String), pl.col("hi").cast(pl.String)
    return pl.when(pl.col("lo") == pl.col("hi")).then(lo).otherwise(lo + "-" + hi)


def _alert(row: dict[str, Any], line: Line | None, names: words.Names, part: str) -> Alert:
    rule, why = f"{RULE}.{row['why']}", _why(row["why"], line)
    place, master = names.place(row["station"]), names.master(row["master"])
    name = row["name"] if len(row["codes"]) == 1 else ""
    did, spots = (
        words.deed(row["protocol"], row["klass"], row["codes"], name or ""),
        words.where(row["spots"], row["spot_count"]),
    )
    known = bool(row["spots"])
    zh = f"{master.zh} 对 {place.zh} {did.zh}{f'，{spots.zh}' if known else ''}：{why.zh}。{words.NEVER_BLOCKS.zh}"
    en = f"{master.en} to {place.en}: {did.en}{f', {spots.en}' if known else ''}: {why.en}. {words.NEVER_BLOCKS.en}"
    group = (row["station"], row["master"], row["protocol"], row["klass"], line.id if line else "")
    ends = {"source.ip": row["master"], "destination.ip": row["ip"]}
    return Alert(
        id=alert_id(rule, "1", group, row["bucket"]),
        rule_id=rule,
        title=_TITLES[row["why"]],
        level=_level(row["klass"], row["why"]),
        source="ot_policy",
        first_seen=row["first"],
        last_seen=row["last"],
        reason=Text(zh, en),
        count=row["count"],
        tags=("ot.policy",),
        author="cityguard",
        advice=_ADVICE,
        entities={key: value for key, value in ends.items() if value and parse(value) is not None},
        department=row["department"],
        system=row["system"],
        segment=row["segment"],
        dataset="ot",
        event_ids=tuple(sorted(row["ids"])),
        explanation=tuple(_explained(row, line)),
        part=part,
    )


def _explained(row: dict[str, Any], line: Line | None) -> Iterator[Explanation]:
    yield Explanation("ot_policy.line", line.id if line else "—", line.owner if line else "")
    yield Explanation("ot_policy.station", row["station"])
    yield Explanation("ot.function.code", ", ".join(row["codes"]), ", ".join(line.codes) if line else "")
    if row["spots"]:
        yield Explanation("ot.address", ", ".join(row["spots"]), ", ".join(line.addresses) if line else "")


def _why(kind: str, line: Line | None) -> Text:
    told = words.REASONS[kind if line is not None else "none"]
    if line is None:
        return told
    allowed = {
        "address": words.where(line.addresses),
        "window": words.when(line.windows),
        "expired": Text(str(line.expires), str(line.expires)),
    }.get(kind, Text("", ""))
    trim = (allowed.zh.removeprefix("地址 "), allowed.en.removeprefix("addresses "))
    return Text(told.zh.format(line=line.id, allowed=trim[0]), told.en.format(line=line.id, allowed=trim[1]))


def _level(klass: str, why: str) -> Level:
    if klass in CHANGES:
        return "medium" if why == "expired" else "high"
    return "medium" if why in ("none", "master") and klass == "read" else "low"


def _rest(rows: pl.DataFrame, part: str) -> Alert:
    first, last = rows["first"].min(), rows["last"].max()
    assert isinstance(first, datetime) and isinstance(last, datetime)
    n, stations, masters = rows.height, rows["station"].n_unique(), rows["master"].n_unique()
    return Alert(
        id=alert_id(f"{RULE}.rest", "1", ("*",), int(first.timestamp()) // WINDOW_S * WINDOW_S),
        rule_id=f"{RULE}.rest",
        title=Text("大量工控操作不在策略内", "Many OT acts outside the policy"),
        level="high",
        source="ot_policy",
        first_seen=first,
        last_seen=last,
        reason=Text(
            f"另有 {n} 组操作不在策略内，涉及 {stations} 个站点、{masters} 个主站，合并为一条。{words.NEVER_BLOCKS.zh}",
            f"{n} more groups of acts outside the policy, {stations} stations, {masters} masters, folded into one. "
            f"{words.NEVER_BLOCKS.en}",
        ),
        count=int(rows["count"].sum()),
        tags=("ot.policy",),
        author="cityguard",
        advice=_ADVICE,
        dataset="ot",
        event_ids=tuple(rows["ids"].explode().drop_nulls().sort().head(MAX_EVENT_IDS)),
        part=part,
    )
