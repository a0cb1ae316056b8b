"""The isolation-forest detector: five minutes of every source address against what is normal in its segment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.config import Anomaly
from cityguard.detectors import baseline, features, forest
from cityguard.detectors.baseline import Model
from cityguard.errors import InputError
from cityguard.ids import alert_id
from cityguard.model import MAX_EVENT_IDS, Alert, EventBatch, Explanation, Query, Text
from cityguard.store.base import Events

ID_VERSION = "1"  # not the model's: a re-fit must not turn one window into two alerts
LATE_S = 300  # a window is closed when events this much later than its end were seen
MAX_ROWS = 1_000_000  # reduced rows held; beyond, the oldest windows are judged at once
MAX_SEEN = 20_000
SHOWN = 5  # features an alert explains
HIGH = 0.7
TRAIN_DAYS = 7
MAX_TRAIN = 2_000_000  # flows read for training
MAX_WINDOWS = 50_000
PAGE = 100_000
_PENDING = 64  # reduced tables held before they are summed


@dataclass(frozen=True, slots=True)
class Refit:
    """What a re-fit did."""

    windows: int
    models: dict[str, str]  # segment -> version
    skipped: dict[str, int]  # segment -> windows it had, fewer than needed


class AnomalyDetector:
    """Gathers flows into windows while batches come, and judges windows when they are closed.

    ``finish`` judges everything at the end of an input; ``settle`` judges what is closed while input goes on.
    Where a segment has no fitted model, ``finish`` fits one to the windows at hand (if there are enough) and its
    alerts say so; such a model is never kept.
    """

    name = "anomaly"

    def __init__(
        self,
        settings: Anomaly,
        *,
        models: Path | None = None,
        zone: ZoneInfo | None = None,
        fit_on_input: bool = True,
    ) -> None:
        self.settings = settings
        self.folder = models
        self.zone = zone or ZoneInfo("UTC")
        self.fit_on_input = fit_on_input
        self.late = 0  # flows that came after their window was judged
        self._models: dict[str, Model] = {}
        self._stamp: tuple[int, int] | None = None
        self._pending: list[pl.DataFrame] = []
        self._rows = features.empty()
        self._seen: dict[str, None] = {}
        self._closed = 0  # windows before this were judged by ``settle``

    # -- the detector contract ---------------------------------------------

    def detect(self, batch: EventBatch) -> Iterable[Alert]:
        """Take flows in; alerts come from here only when too much is held."""
        if batch.dataset != "flow" or not len(batch) or self._again(batch):
            return ()
        self._pending.append(features.reduce(batch.table))
        if len(self._pending) < _PENDING and sum(one.height for one in self._pending) < MAX_ROWS // 4:
            return ()
        self._sum()
        if self._rows.height <= MAX_ROWS:
            return ()
        newest = int(self._rows["window"].max() or 0)  # type: ignore[arg-type]
        return self._judge_before(newest) or self._judge_before(newest + features.WINDOW_S)

    def finish(self) -> Iterable[Alert]:
        """Judge every window held, and hold nothing any more."""
        self._sum()
        rows, self._rows, self._seen, self._closed = self._rows, features.empty(), {}, 0
        return self._judge(rows, on_input=self.fit_on_input)

    def settle(self, through: datetime | None = None) -> list[Alert]:
        """Judge the windows that are closed, for inputs without an end; never fits on its input."""
        self._sum()
        newest = self._rows["window"].max()
        if newest is None:
            return []
        return self._judge_before(int(newest) - LATE_S)  # type: ignore[arg-type]

    def snapshot(self) -> bytes:
        """State as npz bytes."""
        self._sum()
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        for name, kind in features.SCHEMA.items():
            column = self._rows[name]
            if kind != pl.String():
                arrays[name] = column.to_numpy()
                continue
            coded = column.cast(pl.Categorical)
            words = column.unique().drop_nulls().sort()
            codes = coded.cast(pl.String).replace_strict(words, range(len(words)), default=-1, return_dtype=pl.Int32())
            arrays[name] = codes.to_numpy()
            arrays[f"words.{name}"] = np.frombuffer(json.dumps(words.to_list()).encode(), dtype=np.uint8)
        meta = {"closed": self._closed, "late": self.late, "seen": list(self._seen)}
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        return forest.pack(arrays)

    def restore(self, state: bytes) -> None:
        """Bring back what ``snapshot`` gave.

        Raises:
            InputError: the bytes are no snapshot of this detector.
        """
        arrays = forest.unpack(state, "anomaly snapshot")
        try:
            meta = json.loads(arrays["meta"].tobytes())
            rows = pl.DataFrame({name: _column(name, arrays) for name in features.SCHEMA}, schema=features.SCHEMA)
            closed, late = int(meta["closed"]), int(meta["late"])
            seen = dict.fromkeys(str(one) for one in meta["seen"][-MAX_SEEN:])
        except (KeyError, ValueError, TypeError, IndexError, pl.exceptions.PolarsError) as error:
            raise InputError(f"not a snapshot: {error}", place="anomaly snapshot") from None
        if rows.height > 2 * MAX_ROWS or rows.select(pl.col(name).null_count() for name in features.KEYS).row(0) != (
            0,
        ) * len(features.KEYS):
            raise InputError("not a sound snapshot", place="anomaly snapshot")
        self._pending, self._rows, self._closed, self.late, self._seen = [], rows, closed, late, seen

    # -- models ---------------------------------------------------------------

    @property
    def models(self) -> dict[str, Model]:
        """Fitted models by segment, read again when the folder has newer ones.

        Raises:
            InputError: a model file is damaged; fit again.
        """
        if self.folder is None:
            return self._models
        try:
            found = (self.folder / baseline.INDEX).stat()
        except OSError:
            return self._models
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._models, self._stamp = baseline.load(self.folder), stamp
        return self._models

    def fit(self, tables: Iterable[pl.DataFrame]) -> Refit:
        """Fit every segment to ``flow`` tables and keep the models (in the folder, if there is one)."""
        rows = features.empty()
        for table in tables:
            rows = features.add([rows, features.reduce(table)])
        return self._fit(rows)

    def refit(self, events: Events, now: datetime, *, days: int = TRAIN_DAYS) -> Refit:
        """Fit every segment to the stored flows of the last days.

        Above ``MAX_TRAIN`` flows only every n-th window is read, whole, so that a window stays what it was.
        """
        start = now - timedelta(days=days)
        return self.fit(_chosen(events, start, now))

    def _fit(self, rows: pl.DataFrame) -> Refit:
        windows = features.windows(rows, self.zone)
        least = self.settings.min_rows
        models = baseline.learn(rows, windows, budget_per_day=self.settings.budget_per_day, min_rows=least)
        counts = dict(windows.group_by("segment").len().sort("segment").iter_rows())
        skipped = {segment: count for segment, count in counts.items() if segment not in models}
        # a segment that went quiet keeps the model it had
        merged = {**{k: v for k, v in self.models.items() if k in skipped or k not in counts}, **models}
        if self.folder is not None and models:
            baseline.save(self.folder, merged)
        self._models = merged
        return Refit(windows.height, {segment: model.version for segment, model in models.items()}, skipped)

    # -- judging ----------------------------------------------------------------

    def _again(self, batch: EventBatch) -> bool:
        """True when this very batch was taken before: a repeated ingest must not double a window."""
        if not batch.part or "event.id" not in batch.table.columns:
            return False
        ids = batch.table["event.id"]
        key = f"{batch.collector}|{batch.part}|{len(ids)}|{ids.min()!r}|{ids.max()!r}"
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return False

    def _sum(self) -> None:
        if self._pending:
            fresh = pl.concat(self._pending)
            late = fresh["window"] < self._closed
            self.late += int(fresh.filter(late)["flows"].sum())
            self._rows = features.add([self._rows, fresh.filter(~late)])
            self._pending = []

    def _judge_before(self, moment: int) -> list[Alert]:
        closed = self._rows.filter(pl.col("window") < moment)
        if closed.is_empty():
            return []
        self._rows = self._rows.filter(pl.col("window") >= moment)
        self._closed = max(self._closed, moment)
        return self._judge(closed, on_input=False)

    def _judge(self, rows: pl.DataFrame, *, on_input: bool) -> list[Alert]:
        if rows.is_empty():
            return []
        found: list[Alert] = []
        models = dict(self.models)
        if on_input:
            without = rows.filter(~pl.col("segment").is_in(list(models)))
            models |= self._learned(without)
        for segment in rows["segment"].unique().sort().to_list():
            model = models.get(segment)
            if model is not None:
                found.extend(self._alerts(model, rows.filter(pl.col("segment") == segment)))
        return found

    def _learned(self, rows: pl.DataFrame) -> dict[str, Model]:
        windows = features.windows(rows, self.zone)
        settings = self.settings
        return baseline.learn(
            rows, windows, budget_per_day=settings.budget_per_day, min_rows=settings.min_rows, on_input=True
        )

    def _alerts(self, model: Model, rows: pl.DataFrame) -> Iterator[Alert]:
        windows = features.windows(rows, self.zone, None if model.on_input else model.known)
        scores = model.score(windows)
        hits = np.flatnonzero(scores >= model.threshold)
        if not len(hits):
            return
        chosen = windows[hits]
        values = chosen.select(features.NAMES).to_numpy().astype(np.float64)
        share = contributions(model, values, scores[hits])
        version = model.version
        for row, value, score, part in zip(chosen.iter_rows(named=True), values, scores[hits], share, strict=True):
            mine = rows.filter((pl.col("source") == row["source"]) & (pl.col("window") == row["window"]))
            yield self._alert(model, version, row, value, float(score), part, mine)

    def _alert(
        self,
        model: Model,
        version: str,
        row: dict[str, object],
        values: npt.NDArray[np.float64],
        score: float,
        share: npt.NDArray[np.float64],
        rows: pl.DataFrame,
    ) -> Alert:
        window, source = int(str(row["window"])), str(row["source"])
        start = datetime.fromtimestamp(window, UTC)
        explained = explain(model, values, share)
        rule = f"anomaly.{model.segment}"
        department, system = row["department"], row["system"]
        alert = Alert(
            id=alert_id(rule, ID_VERSION, (source,), window),
            rule_id=rule,
            title=Text("流量行为异常", "Unusual traffic behaviour"),
            level="high" if score >= HIGH else "medium",
            source="anomaly",
            first_seen=start,
            last_seen=start + timedelta(seconds=features.WINDOW_S),
            reason=self._reason(model, source, start, explained),
            count=int(rows["flows"].sum()),
            tags=("anomaly.isolation-forest",),
            author="cityguard",
            advice=_ADVICE,
            entities={"source.ip": source},
            department=None if department is None else str(department),
            system=None if system is None else str(system),
            segment=None if model.segment == features.UNKNOWN else model.segment,
            dataset="flow",
            score=round(score, 6),
            event_ids=tuple(sorted(set(rows["event"].drop_nulls().to_list()))[:MAX_EVENT_IDS]),
            explanation=explained,
            part=f"window-{window}",
        )
        busiest = rows.filter(pl.col("destination") != "").group_by("destination").agg(pl.col("flows").sum())
        if busiest.height != 1:
            return alert
        return replace(alert, entities={**alert.entities, "destination.ip": busiest["destination"][0]})

    def _reason(self, model: Model, source: str, start: datetime, explained: Sequence[Explanation]) -> Text:
        begin = start.astimezone(self.zone)
        end = begin + timedelta(seconds=features.WINDOW_S)
        span = f"{begin:%m-%d %H:%M}–{end:%H:%M}"
        zh, en = [], []
        for one in explained[:3]:
            feature = features.BY_NAME[one.field]
            zh.append(f"{feature.zh} {one.value}（平时 {one.normal}）")
            en.append(f"{feature.en} {one.value} (normally {one.normal})")
        basis_zh = "；无已训练模型，与本次输入自身比较" if model.on_input else ""
        basis_en = "; no fitted model, compared with this very input" if model.on_input else ""
        return Text(
            f"{source} 在 {span} 的通信与本网段平时不同：{'、'.join(zh)}{basis_zh}",
            f"{source} between {span} behaved unlike its segment: {', '.join(en)}{basis_en}",
        )


_ADVICE = Text(
    "核对该主机此时段是否有备份、升级、扫描等计划任务；没有则查看其目的地址与端口，确认是否扫描、外传或失陷。",
    "Ask whether a backup, update or authorised scan ran then; if not, look at its destinations and ports for "
    "scanning, exfiltration or compromise.",
)


def contributions(
    model: Model, values: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How much of each score each feature carries: the score's drop when the feature is replaced by its median.

    Args:
        values: float64[n, F], untransformed.
        scores: float64[n].

    Returns:
        float64[n, F]; may be negative where the median is the odder value.
    """
    count, width = values.shape
    changed = np.repeat(values[:, None, :], width, axis=1)  # [n, F, F]: row i, feature j replaced
    places = np.arange(width)
    changed[:, places, places] = model.median
    again = model.score_values(changed.reshape(-1, width)).reshape(count, width)
    return np.asarray(scores[:, None] - again, dtype=np.float64)


def explain(model: Model, values: npt.NDArray[np.float64], share: npt.NDArray[np.float64]) -> tuple[Explanation, ...]:
    """The features that made a window odd, the strongest first, with their normal range."""
    order = [int(i) for i in np.argsort(-share, kind="stable") if share[i] > 0][:SHOWN]
    out: list[Explanation] = []
    for index in order:
        feature = features.FEATURES[index]
        low, high = (features.show(feature, float(bound[index])) for bound in (model.low, model.high))
        normal = low if low == high else f"{low}–{high}"
        shown = features.show(feature, float(values[index]))
        out.append(Explanation(feature.name, shown, normal, round(float(share[index]), 6)))
    return tuple(out)


def _column(name: str, arrays: dict[str, npt.NDArray[np.generic]]) -> pl.Series:
    kind = features.SCHEMA[name]
    if kind != pl.String():
        return pl.Series(name, arrays[name]).cast(kind)
    words = pl.Series(name, json.loads(arrays[f"words.{name}"].tobytes()), pl.String())
    codes = pl.Series(name, arrays[name]).cast(pl.Int32)
    if len(codes) and int(codes.max() or 0) >= len(words):  # type: ignore[arg-type]
        raise ValueError(f"{name}: code without a word")
    return words.gather(codes.set(codes < 0, None).cast(pl.UInt32)).alias(name)


def _chosen(events: Events, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
    """Stored flows of a time range, by whole windows: all, or evenly spread ones when there are too many."""
    asked = Query(dataset="flow", start=start, end=end)
    counts = events.aggregate(asked, [], interval_s=features.WINDOW_S, top=MAX_WINDOWS).sort("bucket")
    stride = max(1, -(-int(counts["count"].sum()) // MAX_TRAIN))
    for begin in _ranges(counts.gather_every(stride), joined=stride == 1):
        yield from _pages(events, *begin)


def _ranges(counts: pl.DataFrame, *, joined: bool) -> Iterator[tuple[datetime, datetime]]:
    """Time ranges to read; neighbours are joined while a page can hold them."""
    width, held, begin, end = timedelta(seconds=features.WINDOW_S), 0, None, None
    for bucket, count in counts.iter_rows():
        if begin is not None and end is not None and (not joined or held + count > PAGE):
            yield begin, end
            begin, held = None, 0
        begin, end, held = begin or bucket, bucket + width, held + count
    if begin is not None and end is not None:
        yield begin, end


def _pages(events: Events, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
    after: str | None = None
    while True:
        asked = Query(dataset="flow", start=start, end=end, limit=PAGE, after=after, newest_first=False)
        page = events.query(asked)
        yield page
        if page.height < PAGE:
            return
        after = str(page["event.id"][-1])
