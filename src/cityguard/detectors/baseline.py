"""What is normal in a segment: a forest, its threshold and ranges; how it is learned, and how it is kept on disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.detectors import features, forest
from cityguard.detectors.forest import Forest
from cityguard.errors import InputError

FLOOR = 0.5  # Liu et al.: below it nothing is distinct, whatever its rank
FLOOR_ON_INPUT = 0.6  # stricter where the rows judged are the rows learned from
MAX_KNOWN = 200_000
MIN_CAP = 12  # windows any one source may always give: one hour
MAX_ROWS = 500_000  # windows learned from, per segment
BEYOND = 0.2  # made-up rows per seen row
BURN_IN = 0.1  # of the span: everything is new at first

_SIDE = ("median", "low", "high")


@dataclass(frozen=True, slots=True)
class Model:
    """One segment's baseline. Ranges are in the features' own units, before the log."""

    segment: str
    forest: Forest
    threshold: float
    median: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]  # 5 % of the training windows lie below
    high: npt.NDArray[np.float64]  # 5 % above
    known: pl.Series  # destinations seen in training, sorted
    start: int  # seconds since the epoch
    end: int
    rows: int  # windows learned from, after the cap
    sources: int
    on_input: bool = False  # learned from the very windows it judges

    def pack(self) -> bytes:
        """The whole model as npz bytes; the same model gives the same bytes."""
        meta = {"segment": self.segment, "threshold": self.threshold, "start": self.start, "end": self.end}
        meta |= {"rows": self.rows, "sources": self.sources, "on_input": self.on_input, "names": list(features.NAMES)}
        arrays = self.forest.arrays() | {"median": self.median, "low": self.low, "high": self.high}
        arrays["known"] = _bytes("\n".join(self.known.to_list()))
        arrays["meta"] = _bytes(json.dumps(meta, sort_keys=True))
        return forest.pack(arrays)

    def score(self, windows: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Anomaly scores of windows (``features.windows``), float64[n]."""
        return self.score_values(windows.select(features.NAMES).to_numpy().astype(np.float64))

    def score_values(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The same for float64[n, F] feature values, before the log."""
        return self.forest.score(see(values, self.median))

    @property
    def version(self) -> str:
        """Changes whenever the model does."""
        return hashlib.sha256(self.pack()).hexdigest()[:16]


def learn(
    rows: pl.DataFrame, windows: pl.DataFrame, *, budget_per_day: float, min_rows: int, on_input: bool = False
) -> dict[str, Model]:
    """One model for every segment that has enough windows.

    Args:
        rows: reduced flows (``features.add``), for the destinations known.
        windows: their windows (``features.windows`` with ``known=None``).
        budget_per_day: alarms a day the threshold may let through on the windows learned from.
        min_rows: windows below which a segment gets no model.
    """
    models: dict[str, Model] = {}
    for (segment,), part in windows.group_by("segment", maintain_order=True):
        mine = rows.filter(pl.col("segment") == segment)
        model = _learn(str(segment), mine, part, budget_per_day, min_rows, on_input)
        if model is not None:
            models[model.segment] = model
    return dict(sorted(models.items()))


def _learn(
    segment: str, rows: pl.DataFrame, windows: pl.DataFrame, budget: float, min_rows: int, on_input: bool
) -> Model | None:
    kept = cap(_settled(windows, min_rows))
    if kept.height < min_rows:
        return None
    raw = kept.select(features.NAMES).to_numpy().astype(np.float64)
    low, median, high = np.quantile(raw, (0.05, 0.5, 0.95), axis=0)
    seen = see(raw, median)
    fitted = forest.fit(np.vstack([seen, beyond(seen)]))
    start, end = int(windows["window"].min() or 0), int(windows["window"].max() or 0) + features.WINDOW_S  # type: ignore[arg-type]
    days = (end - start) / 86400
    allowed = max(1, math.ceil(budget * days)) if on_input else int(budget * days)
    return Model(
        segment=segment,
        forest=fitted,
        threshold=threshold(fitted.score(seen), allowed, FLOOR_ON_INPUT if on_input else FLOOR),
        median=median,
        low=low,
        high=high,
        known=_known(rows),
        start=start,
        end=end,
        rows=kept.height,
        sources=kept["source"].n_unique(),
        on_input=on_input,
    )


def see(values: npt.NDArray[np.float64], median: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """What the forest sees of float64[n, F] values: never less than the segment's median, then the log.

    A host that did less than usual is no alarm of this detector; without this the quietest windows score highest.
    """
    return features.transform(np.maximum(np.nan_to_num(values, posinf=0.0), median))


def beyond(seen: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A few made-up rows just outside what was seen: float32[about n/5, F].

    A forest splits only between values it saw, so a value far above all of them falls into the same leaf as the
    largest of them and looks ordinary. Each row here is a seen one with one feature moved past its maximum (up to
    a hundredfold; shares up to 1), so that trees have splits out there. They are not used for thresholds or ranges.
    """
    rng = np.random.default_rng(0)
    count = max(features.COUNT, math.ceil(len(seen) * BEYOND))
    rows = seen[rng.integers(0, len(seen), count)].copy()
    column = np.arange(count) % features.COUNT
    top = seen.max(axis=0)
    reach = np.array([math.log(100) if one.log else 0.0 for one in features.FEATURES], dtype=np.float32)
    limit = np.where(reach > 0, top + reach, np.maximum(top, 1.0))
    rows[np.arange(count), column] = rng.uniform(top[column], limit[column])
    return rows


def threshold(scores: npt.NDArray[np.float64], allowed: int, floor: float) -> float:
    """The lowest threshold at or above which at most ``allowed`` of the scores lie; never below ``floor``."""
    ordered = np.sort(scores)[::-1]
    if allowed >= len(ordered):
        return floor
    return max(floor, float(np.nextafter(ordered[allowed], np.inf)))


def cap(windows: pl.DataFrame) -> pl.DataFrame:
    """At most twice the median number of windows from any one source, spread evenly over time.

    Whoever floods the training window gains no more weight than two ordinary hosts.
    """
    counts = windows.group_by("source").len()
    middle = counts["len"].median() or 0
    most = max(MIN_CAP, int(2 * middle))  # type: ignore[arg-type, operator]
    total = pl.len().over("source")
    place = pl.int_range(pl.len()).over("source")
    spread = (place * most // total) != ((place - 1) * most // total)
    kept = windows.sort(features.WINDOW_KEYS).filter((total <= most) | spread)
    stride = max(1, -(-kept.height // MAX_ROWS))
    return kept.gather_every(stride)


def _settled(windows: pl.DataFrame, min_rows: int) -> pl.DataFrame:
    """Leave out the first tenth of the span, where every destination is new, if enough remains."""
    first, last = windows["window"].min(), windows["window"].max()
    later = windows.filter(pl.col("window") >= first + (last - first) * BURN_IN)  # type: ignore[operator]
    return later if later.height >= min_rows else windows


def _known(rows: pl.DataFrame) -> pl.Series:
    found = rows.filter(pl.col("destination") != "").group_by("destination").agg(pl.col("flows").sum())
    top = found.sort("flows", "destination", descending=[True, False]).head(MAX_KNOWN)
    return top["destination"].sort()


def unpack(raw: bytes, place: str) -> Model:
    """Read a model and check all of it.

    Raises:
        InputError: damaged, of another version of the features, or crafted.
    """
    arrays = forest.unpack(raw, place)
    try:
        meta: dict[str, Any] = json.loads(_text(arrays["meta"]))
        known = [one for one in _text(arrays["known"]).split("\n") if one]
        side = {name: arrays[name] for name in _SIDE}
        names, level = meta["names"], float(meta["threshold"])
        numbers = {name: int(meta[name]) for name in ("start", "end", "rows", "sources")}
        segment, on_input = str(meta["segment"]), bool(meta["on_input"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"not a model: {error}", place=place, remedy="fit it again") from None
    if names != list(features.NAMES) or len(known) > MAX_KNOWN or not 0 < level <= 2:
        raise InputError("a model of other features", place=place, remedy="fit it again")
    grown = forest.from_arrays(arrays, place)
    shape = (len(features.NAMES),)
    if grown.features != shape[0] or any(a.shape != shape or not np.isfinite(a).all() for a in side.values()):
        raise InputError("the model's ranges do not fit its forest", place=place, remedy="fit it again")
    return Model(
        segment=segment,
        forest=grown,
        threshold=level,
        known=pl.Series("destination", known, pl.String()),
        median=side["median"],
        low=side["low"],
        high=side["high"],
        start=numbers["start"],
        end=numbers["end"],
        rows=numbers["rows"],
        sources=numbers["sources"],
        on_input=on_input,
    )


INDEX = "index.json"
MAX_FILE = 32 << 20


def save(folder: Path, models: Mapping[str, Model]) -> None:
    """Keep models: one npz each, and an index of their SHA-256 that is replaced last and at once."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    index: dict[str, dict[str, str]] = {}
    for segment, model in sorted(models.items()):
        raw = model.pack()
        digest = hashlib.sha256(raw).hexdigest()
        name = f"{digest[:32]}.npz"
        _write(folder / name, raw)
        index[segment] = {"file": name, "sha256": digest}
    _write(folder / INDEX, json.dumps({"models": index}, ensure_ascii=False, sort_keys=True, indent=1).encode())
    named = {one["file"] for one in index.values()}
    for path in folder.glob("*.npz"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def load(folder: Path) -> dict[str, Model]:
    """Models of a folder; none when nothing was fitted yet.

    Raises:
        InputError: a file is not what the index says, or not a sound model.
    """
    index = folder / INDEX
    if not index.is_file():
        return {}
    try:
        entries = json.loads(_read(index))["models"]
        wanted = {str(segment): (str(one["file"]), str(one["sha256"])) for segment, one in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not an index of models: {error}", place=str(index), remedy="fit again") from None
    models: dict[str, Model] = {}
    for segment, (name, digest) in wanted.items():
        path = folder / Path(name).name
        raw = _read(path)
        if hashlib.sha256(raw).hexdigest() != digest:
            raise InputError("the file is not the one that was fitted", place=str(path), remedy="fit again")
        models[segment] = unpack(raw, str(path))
    return models


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place=str(path), remedy="fit again") from None
    if len(raw) > MAX_FILE:
        raise InputError(f"larger than {MAX_FILE} bytes", place=str(path), remedy="fit again")
    return raw


def _write(path: Path, raw: bytes) -> None:
    part = path.with_suffix(path.suffix + ".part")
    with part.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _bytes(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _text(array: npt.NDArray[Any]) -> str:
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError("text is not bytes")
    return array.tobytes().decode()
