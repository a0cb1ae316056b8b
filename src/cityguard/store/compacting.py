"""Small files of one hour become one, so that the next append and the next question open few."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from cityguard.errors import StoreError
from cityguard.store import parquet
from cityguard.store.manifest import Manifest, Part

MANY = 16  # small files of one span before they are merged
SMALL = 20_000  # rows
MOST_FILES, MOST_ROWS, MOST_BYTES = 256, 200_000, 64_000_000  # that one merging reads
GRACE_S = 300.0  # a merged file stays for questions that began before; no question lives longer

_log = logging.getLogger(__name__)


def tidy(folder: Path, manifest: Manifest, parts: Iterable[Part]) -> None:
    """Merge the small files beside these, where there are too many. Held by the dataset's writer; never fails.

    What was appended is on disk already, so a fault is logged and the small files simply stay.
    """
    for part in parts:
        stem = part.path.rsplit("-", 1)[0]
        small = manifest.beside(stem, SMALL)
        if len(small) <= MANY or len(small) % MANY != 1:  # after a fault not again at once
            continue
        try:
            _merge(folder, manifest, stem, small)
        except (StoreError, OSError) as error:
            _log.warning("small files of %s stay apart: %s", stem, error)


def sweep(folder: Path, manifest: Manifest, dataset: str) -> None:
    """Remove merged files that no question can be reading any more."""
    before = _now() - int(GRACE_S * 1_000_000)
    paths = manifest.retired(dataset, before)
    if not paths:
        return
    for path in paths:
        (folder / path).unlink(missing_ok=True)
    manifest.forget(dataset, before)


def _merge(folder: Path, manifest: Manifest, stem: str, small: list[Part]) -> None:
    chosen = _chosen(small)
    if len(chosen) < 2:
        return
    merged = parquet.merge(folder, stem, chosen)
    manifest.replace(chosen, [merged], _now())  # if it fails, the merged file is unlisted and goes at the next start
    sweep(folder, manifest, chosen[0].dataset)


def _chosen(small: list[Part]) -> list[Part]:
    """The smallest files, as many as one merging may hold in memory."""
    sizes = zip(accumulate(part.rows for part in small), accumulate(part.bytes for part in small), strict=True)
    fit = sum(rows <= MOST_ROWS and size <= MOST_BYTES for rows, size in sizes)
    return small[: min(fit, MOST_FILES)]


def _now() -> int:
    return time.time_ns() // 1_000
