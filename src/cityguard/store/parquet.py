"""One piece of events to Parquet files that are there whole or not at all: tmp, fsync, rename, fsync of the folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from cityguard.errors import StoreError
from cityguard.store import pack
from cityguard.store.manifest import Part

MAX_PIECES = 64  # files one append may make: beyond that it is filed by coarser spans
ROW_GROUP = 65_536
_LAST = 4_102_444_800_000_000  # 2100-01-01 in µs; later times are filed there
_SPANS = (("1h", "%H"), ("1d", "day"), ("1mo", "month"), ("1y", "year"))


@contextmanager
def named_errors(folder: Path) -> Iterator[None]:
    """Faults of the file system as StoreError with a remedy.

    Raises:
        StoreError: the disk is full, read-only, or fails.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        remedy = "free some disk space" if "o space left" in str(error) else "check the disk, its owner and permissions"
        raise StoreError(f"cannot write events ({error})", place=str(folder), remedy=remedy) from error


def write(folder: Path, dataset: str, part: str, table: pl.DataFrame) -> list[Part]:
    """Write the rows as files below ``folder``/``dataset``; on a fault none of them stays.

    Args:
        folder: of all events.
        dataset: name of the table.
        part: name of the piece of input.
        table: as ``pack.pack`` made it.

    Raises:
        StoreError: a file cannot be written; nothing is left behind.
    """
    done: list[Part] = []
    try:
        with named_errors(folder):
            for stem, piece in _pieces(table):
                done.append(_write(folder, f"{dataset}/{stem}", dataset, part, piece))
            for directory in {(folder / p.path).parent for p in done}:
                _sync(directory)
            return done
    except BaseException:
        for p in done:
            (folder / p.path).unlink(missing_ok=True)
        raise


def merge(folder: Path, stem: str, parts: list[Part]) -> Part:
    """Write the rows of several files of one dataset, day and hour as one more file; the others stay.

    Raises:
        StoreError: a file cannot be read or written; nothing is left behind.
    """
    with named_errors(folder):
        tables = [pl.read_parquet(folder / part.path, hive_partitioning=False) for part in parts]
        table = pl.concat(tables, how="diagonal").sort(pack.ID)
        merged = _write(folder, stem, parts[0].dataset, "\x1f".join(part.path for part in parts), table)
        _sync((folder / merged.path).parent)
        return replace(merged, part="")


def _pieces(table: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """(folder/prefix, rows) per hour, or per day, month or year where hours would be too many files."""
    when = pl.from_epoch(pack.partition_time().clip(0, _LAST), time_unit="us")
    timed = table.with_columns(when.alias("\0when"))
    starts, name = next(
        (starts, name)
        for span, name in _SPANS
        if (starts := timed["\0when"].dt.truncate(span)).n_unique() <= MAX_PIECES or span == "1y"
    )
    keyed = timed.with_columns(starts.dt.strftime(f"%Y-%m-%d/{name}").alias("\0stem")).drop("\0when")
    for piece in keyed.partition_by("\0stem", maintain_order=True):
        yield piece["\0stem"][0], piece.drop("\0stem")


def _write(folder: Path, stem: str, dataset: str, part: str, piece: pl.DataFrame) -> Part:
    low, high = piece[pack.ID][0], piece[pack.ID][-1]
    name = hashlib.blake2b(f"{part}\x1f{low}\x1f{high}\x1f{piece.height}".encode(), digest_size=8).hexdigest()
    path = f"{stem}-{name}.parquet"
    target = folder / path
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        for directory in (target.parent.parent, folder):
            _sync(directory)
    temporary = target.parent / f".{name}.tmp"
    try:
        with temporary.open("wb") as file:
            piece.write_parquet(file, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    times = piece.select(pack.partition_time().alias("t"))["t"]
    first, last = int(times.min()), int(times.max())  # type: ignore[arg-type]
    size = target.stat().st_size
    return Part(path, dataset, part, piece.height, low, high, first, last, size, tuple(piece.columns))


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def strays(folder: Path, dataset: str, known: set[str]) -> Iterator[Path]:
    """Files that no manifest row names: what a crash left between writing and booking."""
    for path in sorted((folder / dataset).glob("*/*")):
        if path.suffix in (".parquet", ".tmp") and str(path.relative_to(folder)) not in known:
            yield path
