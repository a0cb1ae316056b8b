"""The flat forest on public data: as good as scikit-learn's own, by the baseline measured on the same files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from cityguard.detectors import forest

SEEDS = (0, 1)  # the baseline is the mean of five; two keep this quick
TEXT = ("protocol_type", "service", "flag", "label", "difficulty")


def auroc(scores: npt.NDArray[np.float64], odd: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney), ties counted half."""
    ranks = pl.Series(scores).rank("average").to_numpy()
    count = int(odd.sum())
    return float((ranks[odd].sum() - count * (count + 1) / 2) / (count * (len(odd) - count)))


def baseline(folder: Path, name: str) -> tuple[int, int, float]:
    results = json.loads((folder / "isolation_forest_baseline.json").read_text())["results"]
    found = next(one for key, one in results.items() if name in key)
    return found["rows"], found["anomalies"], found["auroc"][0]


def mean_auroc(train: npt.NDArray[np.float32], rows: npt.NDArray[np.float32], odd: npt.NDArray[np.bool_]) -> float:
    return float(np.mean([auroc(forest.fit(train, seed=seed).score(rows), odd) for seed in SEEDS]))


@pytest.fixture
def folder(shared: Path) -> Path:
    return shared / "anomaly"


def test_kdd99_http_is_as_good_as_the_baseline(folder: Path) -> None:
    table = pl.read_csv(folder / "kdd99" / "kdd99_10pct_a.csv.gz")
    table = table.filter((pl.col("service") == "http") & (pl.col("logged_in") == 1))
    rows = table.select((pl.col("duration", "src_bytes", "dst_bytes") + 0.1).log()).to_numpy().astype(np.float32)
    odd = (table["label"] != "normal").to_numpy()
    count, anomalies, expected = baseline(folder, "http, logged_in=1")
    assert (len(rows), int(odd.sum())) == (count, anomalies)
    assert abs(mean_auroc(rows, rows, odd) - expected) < 0.01


def test_nsl_kdd_fitted_on_normal_rows_is_as_good_as_the_baseline(folder: Path) -> None:
    table = pl.read_csv(folder / "nsl-kdd" / "nsl_kdd_train20.csv.gz")
    odd = (table["label"] != "normal").to_numpy()
    rows = table.select(pl.exclude(TEXT)).to_numpy().astype(np.float32)
    count, anomalies, expected = baseline(folder, "nsl_kdd")
    assert (len(rows), int(odd.sum()), rows.shape[1]) == (count, anomalies, 38)
    assert abs(mean_auroc(rows[~odd], rows, odd) - expected) < 0.01
