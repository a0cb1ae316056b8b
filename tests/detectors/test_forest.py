"""The flat forest scores as scikit-learn does, and trusts no file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

from cityguard.detectors import forest
from cityguard.errors import InputError

RNG = np.random.default_rng(7)
ROWS = RNG.lognormal(0, 1, (3000, 6)).astype(np.float32)
FITTED = forest.fit(ROWS[:1500], trees=40)


@pytest.mark.parametrize(("trees", "samples", "count"), [(100, 256, 1500), (25, 64, 500), (10, 256, 20), (5, 256, 2)])
def test_scores_equal_scikit_learn(trees: int, samples: int, count: int) -> None:
    model = IsolationForest(n_estimators=trees, max_samples=min(samples, count), random_state=3).fit(ROWS[:count])
    ours = forest.fit(ROWS[:count], seed=3, trees=trees, samples=samples).score(ROWS)
    assert np.abs(ours + model.score_samples(ROWS)).max() < 1e-6


def test_a_constant_column_and_equal_rows_are_scored_too() -> None:
    rows = np.ones((300, 3), dtype=np.float32)
    rows[:, 0] = np.arange(300) % 2
    model = IsolationForest(n_estimators=10, max_samples=256, random_state=0).fit(rows)
    ours = forest.fit(rows, trees=10).score(rows)
    assert np.abs(ours + model.score_samples(rows)).max() < 1e-6


def test_the_same_rows_give_the_same_bytes_and_they_come_back() -> None:
    raw = forest.pack(FITTED.arrays())
    assert raw == forest.pack(forest.fit(ROWS[:1500], trees=40).arrays())
    back = forest.from_arrays(forest.unpack(raw, "x"), "x")
    assert (back.score(ROWS) == FITTED.score(ROWS)).all()


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="features"):
        FITTED.score(ROWS[:, :3])
    assert FITTED.score(ROWS[:0]).shape == (0,)


def changed(**arrays: Any) -> bytes:
    return forest.pack({**FITTED.arrays(), **arrays})


@pytest.mark.parametrize(
    "arrays",
    [
        {"feature": np.full_like(FITTED.feature, 6)},
        {"feature": np.full_like(FITTED.feature, -1)},
        {"feature": FITTED.feature.astype(np.int64)},
        {"feature": FITTED.feature[:, :-1]},
        {"threshold": np.full_like(FITTED.threshold, np.nan)},
        {"threshold": FITTED.threshold[:1]},
        {"path": np.full_like(FITTED.path, -1)},
        {"path": FITTED.path[:, :-1]},
        {"path": np.full_like(FITTED.path, np.inf)},
        {"scale": np.zeros(1)},
        {"scale": np.zeros((1, 1))},
        {"features": np.array([10**9])},
        {"features": np.array([2])},
    ],
)
def test_crafted_arrays_are_refused(arrays: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        forest.from_arrays(forest.unpack(changed(**arrays), "model.npz"), "model.npz")


def test_objects_bombs_and_rubbish_are_refused() -> None:
    out = io.BytesIO()
    np.savez(out, feature=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="npz"):
        forest.unpack(out.getvalue(), "x")
    bomb = forest.pack({"feature": np.zeros(forest.MAX_BYTES + 1, dtype=np.uint8)})
    assert len(bomb) < 1 << 20
    with pytest.raises(InputError, match="too large"):
        forest.unpack(bomb, "x")
    with pytest.raises(InputError):
        forest.unpack(b"PK\x03\x04rubbish", "x")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 255))
def test_any_flipped_byte_is_refused_or_gives_a_sound_forest(place: int, byte: int) -> None:
    raw = bytearray(SMALL)
    raw[place % len(raw)] = byte
    try:
        found = forest.from_arrays(forest.unpack(bytes(raw), "x"), "x")
    except InputError:
        return
    assert np.isfinite(found.score(ROWS[:10, : found.features])).all()


SMALL = forest.pack(forest.fit(ROWS[:50, :2], trees=2, samples=16).arrays())
