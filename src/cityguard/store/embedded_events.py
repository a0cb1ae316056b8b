"""Events of one machine: Parquet files by dataset and hour, found through the manifest, asked through DuckDB."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from cityguard import columns
from cityguard.errors import InputError, StoreError, StoreLockedError
from cityguard.model import And, EventBatch, Node, Query, Term
from cityguard.store import compacting, fields, groups, locks, pack, parquet, sql
from cityguard.store.lake import Lake
from cityguard.store.manifest import Manifest, Mark, Part
from cityguard.store.sql import micros

_log = logging.getLogger(__name__)

_FOUND = pl.DataFrame(schema={pack.ID: pl.String, "path": pl.String})


class EmbeddedEvents:
    """See ``store.base.Events``. ``damaged`` counts files that could not be read and were left out of answers."""

    def __init__(self, folder: Path, manifest: Manifest, lake: Lake) -> None:
        self._folder, self._manifest, self._lake = folder, manifest, lake
        self.damaged = 0
        with parquet.named_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._heal()

    def append(self, batch: EventBatch) -> int:
        """Store rows whose id is new; on disk and listed when it returns.

        Raises:
            StoreError: the disk is full or cannot be written; nothing of the batch is kept.
            StoreLockedError: another writer of this dataset does not finish.
        """
        if not len(batch):
            return 0
        table = pack.pack(batch)
        mark = _mark(batch, table)
        with self._writing(batch.dataset):
            if self._manifest.has(mark):
                return 0
            fresh = self._fresh(batch.dataset, table)
            parts = parquet.write(self._folder, batch.dataset, batch.part, fresh) if len(fresh) else []
            self._list(parts, mark)
            compacting.tidy(self._folder, self._manifest, parts)
        return fresh.height

    def query(self, query: Query) -> pl.DataFrame:
        """Rows by id, which is by time at millisecond steps; ``after`` is the last id of the page before."""
        node = fields.resolve(fields.check(query), "events")
        parts = self._within(query, node)
        found = self._first(query, node, parts) if query.limit else pl.DataFrame()
        if found.is_empty():
            return pack.unpack(columns.empty(columns.COMMON), [query.dataset] if query.dataset else [])
        by_path = {part.path: part for part in parts}
        chosen = [by_path[path] for path in found["path"].unique().sort()]
        rows = self._rows(chosen, found[pack.ID].to_list())
        rows = rows.sort(pack.ID, descending=query.newest_first)
        datasets = (
            [query.dataset] if query.dataset else [n for n in columns.DATASETS if n in set(rows["event.dataset"])]
        )
        return pack.unpack(rows, datasets)

    def get(self, ids: Sequence[str]) -> pl.DataFrame:
        """Rows in the order of their ids."""
        wanted = sorted(set(ids))
        if len(wanted) > fields.MAX_ROWS:
            raise InputError(f"{len(wanted)} ids at once", remedy=f"at most {fields.MAX_ROWS}")
        parts = self._manifest.holding(wanted)
        rows = self._rows(parts, wanted) if parts else pl.DataFrame()
        if rows.is_empty():
            return pack.unpack(columns.empty(columns.COMMON), [])
        datasets = [name for name in columns.DATASETS if name in set(rows["event.dataset"])]
        return pack.unpack(rows.sort(pack.ID), datasets)

    def aggregate(
        self, query: Query, by: Sequence[str], *, interval_s: int | None = None, top: int = 100
    ) -> pl.DataFrame:
        """Counts by columns and intervals; rows without a value are a group of their own (null)."""
        names = groups.group_columns(by, interval_s, top)
        node = fields.resolve(fields.check(query), "events")
        parts = self._within(query, node)
        if not parts:
            return groups.empty(names, interval_s)
        nothing = groups.empty(names, None).with_columns(pl.lit(0, pl.Int64).alias("bucket"))
        found = self._tolerant(parts, lambda some: self._groups(some, query, node, names, interval_s, top), nothing)
        return groups.shaped(found, names, interval_s)

    def purge(self, before: datetime) -> int:
        """Delete files whose every row is older; files stay as long as one row of theirs must."""
        gone = 0
        for dataset in columns.DATASETS:
            if not self._manifest.before(dataset, micros(before)):
                continue
            with self._writing(dataset):
                parts = self._manifest.before(dataset, micros(before))
                self._drop(parts)
                compacting.sweep(self._folder, self._manifest, dataset)
                gone += sum(part.rows for part in parts)
        return gone

    # ---------------------------------------------------------------- writing

    def _writing(self, dataset: str) -> AbstractContextManager[None]:
        if dataset not in columns.DATASETS:
            raise KeyError(dataset)
        with parquet.named_errors(self._folder):
            (self._folder / dataset).mkdir(exist_ok=True)
            return locks.held(self._folder / dataset / ".lock")

    def _list(self, parts: list[Part], mark: Mark) -> None:
        try:
            self._manifest.add(parts, mark)
        except StoreError:
            # Refused, so mostly rolled back; what is listed all the same stays. After anything else, an interrupt
            # say, nobody knows whether it was committed: what is not listed goes when the store is opened again.
            with suppress(StoreError):
                listed = self._manifest.paths(mark.dataset)
                self._unlink([part.path for part in parts if part.path not in listed])
            raise

    def _fresh(self, dataset: str, table: pl.DataFrame) -> pl.DataFrame:
        low, high = table[pack.ID][0], table[pack.ID][-1]
        parts = self._manifest.overlapping(dataset, low, high)
        if not parts:
            return table
        ids = table.lazy().select(pack.ID)
        stored = [pl.scan_parquet(self._folder / part.path).select(pack.ID) for part in parts]
        try:
            known = (
                pl.concat(stored)
                .filter(pl.col(pack.ID).is_between(pl.lit(low), pl.lit(high)))
                .join(ids, on=pack.ID, how="semi")
            )
            return table.join(known.collect(), on=pack.ID, how="anti").sort(pack.ID)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise StoreError(
                f"cannot compare with stored events ({error})",
                place=str(self._folder / dataset),
                remedy="restore the damaged file from a backup",
            ) from error

    def _drop(self, parts: list[Part]) -> None:
        paths = [part.path for part in parts]
        try:
            self._manifest.remove(parts)
        except StoreLockedError:
            raise
        except StoreError:
            # A full disk refuses the DELETE too: make room first, then book it.
            self._unlink(paths)
            self._manifest.remove(parts)
        self._unlink(paths)

    def _unlink(self, paths: list[str]) -> None:
        for path in paths:
            (self._folder / path).unlink(missing_ok=True)
            with suppress(OSError):
                (self._folder / path).parent.rmdir()  # only if it is empty now

    def _heal(self) -> None:
        """Remove what a crash left unlisted: it was never acknowledged and will be sent again."""
        for dataset in columns.DATASETS:
            if not (self._folder / dataset).is_dir():
                continue
            with suppress(StoreLockedError), locks.held(self._folder / dataset / ".lock", wait_s=0):
                compacting.sweep(self._folder, self._manifest, dataset)
                for path in parquet.strays(self._folder, dataset, self._manifest.paths(dataset)):
                    _log.warning("removed %s: left by a crash, not acknowledged", path)
                    path.unlink(missing_ok=True)

    # ---------------------------------------------------------------- reading

    def _within(self, query: Query, node: Node | None) -> list[Part]:
        terms = node.items if isinstance(node, And) else (node,)
        named = [t.value for t in terms if isinstance(t, Term) and (t.field, t.op) == ("event.dataset", "eq")]
        dataset = query.dataset or (named[0] if named else None)
        return self._manifest.within(dataset, query.start, query.end)

    def _first(self, query: Query, node: Node | None, parts: list[Part]) -> pl.DataFrame:
        """(event.id, path) of the first ``limit`` matches, reading as few files as that takes."""
        newest = query.newest_first
        if query.after is not None:
            parts = [p for p in parts if (p.min_id < query.after if newest else p.max_id > query.after)]
        parts = sorted(parts, key=lambda p: p.max_id if newest else p.min_id, reverse=newest)
        found, at, step = _FOUND, 0, 8
        while at < len(parts):
            chunk, at, step = parts[at : at + step], at + step, step * 2
            ids = self._tolerant(chunk, lambda some: self._ids(some, query, node), _FOUND)
            found = pl.concat([found, ids]).sort(pack.ID, descending=newest).head(query.limit)
            if found.height == query.limit and at < len(parts):
                last, following = found[pack.ID][-1], parts[at]
                if last > following.max_id if newest else last < following.min_id:
                    break
        return found

    def _ids(self, parts: list[Part], query: Query, node: Node | None) -> pl.DataFrame:
        where, values = self._where(parts, query, node)
        order = "DESC" if query.newest_first else "ASC"
        found = self._lake.ask(
            f'SELECT "event.id", filename AS path FROM {_NAMED_FILES} WHERE {where} '  # noqa: S608
            f'ORDER BY "event.id" {order} LIMIT ?',
            [self._paths(parts), *values, query.limit],
        )
        return found.with_columns(pl.col("path").str.slice(len(str(self._folder)) + 1))

    def _rows(self, parts: list[Part], ids: list[str]) -> pl.DataFrame:
        some_of = f'SELECT * FROM {_FILES} WHERE "event.id" IN (SELECT unnest(?)) AND "event.id" BETWEEN ? AND ?'  # noqa: S608
        span = [ids, min(ids), max(ids)]
        return self._tolerant(parts, lambda some: self._lake.ask(some_of, [self._paths(some), *span]), pl.DataFrame())

    def _groups(
        self, parts: list[Part], query: Query, node: Node | None, names: list[str], interval_s: int | None, top: int
    ) -> pl.DataFrame:
        where, values = self._where(parts, query, node)
        held = {name for part in parts for name in part.columns}
        keys = [sql.quoted(n) if n in held else f"NULL AS {sql.quoted(n)}" for n in names]
        if interval_s:
            keys.append(f'epoch_us("@timestamp") // {interval_s * 1_000_000} * {interval_s * 1_000_000} AS bucket')
        rows = f"SELECT {', '.join(keys) or '1'} FROM {_FILES} WHERE {where}"  # noqa: S608
        statement = _spans(rows, names, top) if interval_s else _largest(rows, names, top)
        return self._lake.ask(statement, [self._paths(parts), *values])

    def _where(self, parts: list[Part], query: Query, node: Node | None) -> tuple[str, list[object]]:
        held = {name for part in parts for name in part.columns}
        where, values = sql.events(node, held)
        tests: list[str] = [where]
        bounds: list[tuple[str, object]] = [
            ('"@timestamp" >= ?', query.start),
            ('"@timestamp" < ?', query.end),
            ('"event.id" < ?' if query.newest_first else '"event.id" > ?', query.after),
        ]
        for test, value in bounds:
            if value is not None:
                tests.append(test)
                values.append(value)
        return " AND ".join(tests), values

    def _paths(self, parts: list[Part]) -> list[str]:
        return [str(self._folder / part.path) for part in parts]

    def _tolerant(
        self, parts: list[Part], ask: Callable[[list[Part]], pl.DataFrame], nothing: pl.DataFrame
    ) -> pl.DataFrame:
        """Ask all files; when one cannot be read, answer from the others, count it and say which."""
        try:
            return ask(parts)
        except duckdb.Error as error:
            good = [part for part in parts if self._is_readable(part)]
            if len(good) == len(parts):
                raise StoreError(f"the question failed ({error})", remedy="narrow it, or report this fault") from error
            return ask(good) if good else nothing

    def _is_readable(self, part: Part) -> bool:
        try:
            self._lake.ask(f"SELECT count(COLUMNS(*)) FROM {_FILES}", [self._paths([part])])  # noqa: S608
        except duckdb.Error as error:
            self.damaged += 1
            _log.error("left out %s: %s", part.path, error)
            return False
        return True


def _mark(batch: EventBatch, table: pl.DataFrame) -> Mark:
    text = str(table[pack.ID].str.join("\n")[0]).encode()
    oldest = table.select(pack.partition_time().min().alias("t"))["t"][0]
    return Mark(batch.dataset, batch.part, hashlib.blake2b(text, digest_size=16).digest(), int(oldest))


_FILES = "read_parquet(?, union_by_name = true, hive_partitioning = false)"
_NAMED_FILES = "read_parquet(?, union_by_name = true, hive_partitioning = false, filename = true)"


def _largest(rows: str, names: list[str], top: int) -> str:
    """SQL: the ``top`` groups by count; ``names`` were checked against the schema."""
    if not names:
        return f"SELECT count(*) AS count FROM ({rows})"  # noqa: S608
    group = ", ".join(map(sql.quoted, names))
    return (
        f"SELECT {group}, count(*) AS count FROM ({rows}) GROUP BY ALL ORDER BY count DESC, {_order(names)} LIMIT {top}"  # noqa: S608
    )


def _spans(rows: str, names: list[str], top: int) -> str:
    """SQL: counts per interval of the groups that are the ``top`` largest over all intervals."""
    counts = f"SELECT *, count(*) AS count FROM ({rows}) WHERE bucket IS NOT NULL GROUP BY ALL"  # noqa: S608
    if not names:
        return f"{counts} ORDER BY bucket LIMIT {groups.MAX_GROUPS}"
    group = ", ".join(map(sql.quoted, names))
    same = " AND ".join(f"counts.{sql.quoted(n)} IS NOT DISTINCT FROM best.{sql.quoted(n)}" for n in names)
    return (
        f"WITH counts AS MATERIALIZED ({counts}), "  # noqa: S608
        f"best AS (SELECT {group} FROM counts GROUP BY ALL ORDER BY sum(count) DESC, {_order(names)} LIMIT {top}) "
        f"SELECT counts.* FROM counts WHERE EXISTS (SELECT 1 FROM best WHERE {same}) "
        f"ORDER BY bucket, count DESC, {_order(names)} LIMIT {groups.MAX_GROUPS}"
    )


def _order(names: list[str]) -> str:
    return ", ".join(f"{sql.quoted(name)} ASC NULLS LAST" for name in names)
