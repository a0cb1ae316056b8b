"""DuckDB in memory over named Parquet files: no other file, no network, bounded memory, a time limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from cityguard.errors import StoreError
from cityguard.store.sql import IP6_MACRO

MEMORY = "1GB"
TIMEOUT_S = 60.0


class Lake:
    """Questions over Parquet files of one folder; each call has its own cursor, so threads may share it."""

    def __init__(self, folder: Path, *, timeout_s: float = TIMEOUT_S, threads: int = 2) -> None:
        self._folder, self._timeout_s, self._threads = folder, timeout_s, threads
        self._guard = threading.Lock()
        self._root: duckdb.DuckDBPyConnection | None = None

    def ask(self, sql: str, values: Sequence[Any] = ()) -> pl.DataFrame:
        """Run one statement whose values are all parameters.

        Raises:
            StoreError: it took too long or needs too much memory.
            duckdb.Error: a file cannot be read.
        """
        cursor = self._connect().cursor()
        timer = threading.Timer(self._timeout_s, cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            return cursor.sql(sql, params=list(values)).pl()  # type: ignore[no-any-return]
        except duckdb.InterruptException as error:
            raise StoreError(f"the question took longer than {self._timeout_s:.0f} s", remedy="narrow it") from error
        except duckdb.OutOfMemoryException as error:
            raise StoreError(f"the question needs more than {MEMORY} of memory", remedy="narrow it") from error
        finally:
            timer.cancel()
            cursor.close()

    def close(self) -> None:
        """Free the memory; a later question opens anew."""
        with self._guard:
            if self._root is not None:
                self._root.close()
                self._root = None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        with self._guard:
            if self._root is None:
                self._root = self._open()
            return self._root

    def _open(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(":memory:")
        folder = str(self._folder).replace("'", "''") + "/"
        for statement in (
            IP6_MACRO,
            "SET TimeZone = 'UTC'",
            f"SET threads = {self._threads}",
            f"SET memory_limit = '{MEMORY}'",
            "SET temp_directory = ''",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            f"SET allowed_directories = ['{folder}']",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            con.execute(statement)
        return con
