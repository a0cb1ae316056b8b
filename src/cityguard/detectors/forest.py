"""Isolation forests as flat arrays: fitted by scikit-learn, kept as npz, scored here by numpy.

Every tree is padded to a complete binary heap: node p has the children 2p+1 and 2p+2, so the file holds no child
indices at all, and no crafted one can lead a reader out of bounds. What is left to check is checked on load.

Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.errors import InputError

TREES = 100
SAMPLES = 256
MAX_TREES = 1000
MAX_DEPTH = 12
MAX_FEATURES = 1024
MAX_BYTES = 64 << 20
_BLOCK = 8192  # rows scored at a time

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forest:
    """Complete heaps of one depth D over F features.

    Attributes:
        feature: int16[T, 2**D - 1], the feature a node looks at.
        threshold: float64[T, 2**D - 1], go left when the value is at most this; inf = always left (padding).
        path: float64[T, 2**D], path length of each bottom place.
        scale: T times the mean path length of an unsuccessful search, c(samples).
        features: F.
    """

    feature: npt.NDArray[np.int16]
    threshold: Floats
    path: Floats
    scale: float
    features: int

    def score(self, rows: npt.NDArray[np.float32]) -> Floats:
        """Anomaly scores in (0, 1], 1 = most unusual: scikit-learn's ``-score_samples``.

        Args:
            rows: float32[n, F], finite.

        Raises:
            ValueError: another number of columns.
        """
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ValueError(f"{rows.shape} rows for {self.features} features")
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        parts = [self._paths(rows[start : start + _BLOCK]) for start in range(0, len(rows), _BLOCK)]
        paths = np.concatenate(parts) if parts else np.empty(0)
        return np.asarray(2.0 ** (-paths / self.scale), dtype=np.float64)

    def _paths(self, rows: npt.NDArray[np.float32]) -> Floats:
        flat = rows.ravel()
        begin = np.arange(len(rows)) * self.features
        inner = self.feature.shape[1]
        depth = inner.bit_length()
        total = np.zeros(len(rows))
        for feature, threshold, path in zip(self.feature.astype(np.intp), self.threshold, self.path, strict=True):
            place = np.zeros(len(rows), dtype=np.intp)
            for _ in range(depth):
                right = flat[begin + feature[place]] > threshold[place]
                place = 2 * place + 1 + right
            total += path[place - inner]
        return total

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The forest as named arrays, for an npz."""
        size = np.array([self.features], dtype=np.int64)
        scale = np.array([self.scale], dtype=np.float64)
        return {
            "feature": self.feature,
            "threshold": self.threshold,
            "path": self.path,
            "scale": scale,
            "features": size,
        }


def fit(rows: npt.NDArray[np.float32], *, seed: int = 0, trees: int = TREES, samples: int = SAMPLES) -> Forest:
    """Fit with scikit-learn and flatten. The same rows in the same order give the same forest.

    Args:
        rows: float32[n, F], n >= 2, finite.
    """
    from sklearn.ensemble import IsolationForest

    kind: Any = IsolationForest
    model = kind(n_estimators=trees, max_samples=min(samples, len(rows)), random_state=seed)
    return flatten(model.fit(rows))


def flatten(model: Any) -> Forest:
    """A fitted ``IsolationForest`` as heaps."""
    depth = max(1, *(int(tree.tree_.max_depth) for tree in model.estimators_))
    inner, count = (1 << depth) - 1, len(model.estimators_)
    feature = np.zeros((count, inner), dtype=np.int16)
    threshold = np.full((count, inner), np.inf)
    path = np.zeros((count, inner + 1))
    for index, (estimator, columns) in enumerate(zip(model.estimators_, model.estimators_features_, strict=True)):
        _fill(estimator.tree_, columns, feature[index], threshold[index], path[index])
    scale = count * mean_path(int(model.max_samples_))
    return Forest(feature, threshold, path, max(scale, 1e-9), int(model.n_features_in_))


def _fill(tree: Any, columns: Any, feature: Any, threshold: Any, path: Any) -> None:
    inner = len(feature)
    waiting = [(0, 0, 0)]  # node, place in the heap, depth
    while waiting:
        node, place, level = waiting.pop()
        if tree.children_left[node] < 0:
            first, last = place, place
            while first < inner:  # everything below a leaf is that leaf
                first, last = 2 * first + 1, 2 * last + 2
            path[first - inner : last - inner + 1] = level + mean_path(int(tree.n_node_samples[node]))
            continue
        feature[place] = columns[tree.feature[node]]
        threshold[place] = tree.threshold[node]
        waiting.append((int(tree.children_left[node]), 2 * place + 1, level + 1))
        waiting.append((int(tree.children_right[node]), 2 * place + 2, level + 1))


def mean_path(samples: int) -> float:
    """c(n) of Liu et al.: mean path length of an unsuccessful search in a binary tree of n samples."""
    if samples <= 1:
        return 0.0
    if samples == 2:
        return 1.0
    return 2.0 * (math.log(samples - 1.0) + float(np.euler_gamma)) - 2.0 * (samples - 1.0) / samples


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays as compressed npz bytes; the same arrays give the same bytes."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def unpack(raw: bytes, place: str) -> dict[str, npt.NDArray[Any]]:
    """Read npz bytes with bounded size and no pickle.

    Raises:
        InputError: not an npz, too large when unpacked, or it holds objects.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
        if len(members) > 64 or sum(one.file_size for one in members) > MAX_BYTES:
            raise InputError("too large", place=place)
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        OSError,
        KeyError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise InputError(f"not an npz of plain arrays: {error}", place=place, remedy="fit it again") from None


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]], place: str) -> Forest:
    """Check every array and every index, then trust them.

    Raises:
        InputError: a wrong type, shape or value.
    """
    feature, threshold, path = (
        _array(arrays, "feature", np.int16, 2, place),
        _array(arrays, "threshold", np.float64, 2, place),
        _array(arrays, "path", np.float64, 2, place),
    )
    scale = _array(arrays, "scale", np.float64, 1, place)
    size = _array(arrays, "features", np.int64, 1, place)
    trees, inner = feature.shape
    depth = inner.bit_length()
    sound = (
        0 < trees <= MAX_TREES
        and inner == (1 << depth) - 1
        and 0 < depth <= MAX_DEPTH
        and threshold.shape == feature.shape
        and path.shape == (trees, inner + 1)
        and scale.shape == size.shape == (1,)
        and 0 < int(size[0]) <= MAX_FEATURES
        and bool(((feature >= 0) & (feature < size[0])).all())
        and not bool(np.isnan(threshold).any())
        and bool((np.isfinite(path) & (path >= 0)).all())
        and bool(np.isfinite(scale[0]) and scale[0] > 0)
    )
    if not sound:
        raise InputError("the forest's arrays do not fit together", place=place, remedy="fit it again")
    return Forest(feature, threshold, path, float(scale[0]), int(size[0]))


def _array(arrays: Mapping[str, npt.NDArray[Any]], name: str, kind: Any, rank: int, place: str) -> npt.NDArray[Any]:
    found = arrays.get(name)
    if found is None or found.dtype != kind or found.ndim != rank:
        raise InputError(f"array '{name}' is missing or of another type", place=place, remedy="fit it again")
    return found
