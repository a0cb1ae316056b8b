"""One SQLite file shared by processes: WAL, synced commits, numbered schema, errors a person can act on."""

from __future__ import annotations

import queue
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cityguard.errors import CityguardError, StoreError, StoreLockedError

BUSY_S = 30.0
READ_S = 30.0  # a reader that takes longer is stopped: it would keep the WAL from being reused

_FULL = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR))
_BUSY = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_CLOSED = frozenset((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM))


class Database:
    """Connections to one file, lent one at a time; safe to use from many threads and processes.

    Args:
        path: the file; its folder must exist.
        migrations: statements per schema version, oldest first; ``user_version`` says how many were done.

    Raises:
        StoreError: the file cannot be opened, or a newer cityguard made it.
    """

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]], *, busy_s: float = BUSY_S) -> None:
        self.path, self._busy_s = path, busy_s
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._is_closed = False
        self._migrate(migrations)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for one question; the question is stopped after ``READ_S`` seconds."""
        with self._lend() as con:
            end = time.monotonic() + READ_S
            con.set_progress_handler(lambda: time.monotonic() > end, 20_000)
            try:
                yield con
            finally:
                con.set_progress_handler(None, 0)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on disk when the block ends, or none of it."""
        with self._lend() as con:
            con.execute("BEGIN IMMEDIATE")
            try:
                yield con
                con.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    con.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every idle connection; the WAL is folded back by the last one."""
        self._is_closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    @contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        with self._named_errors():
            try:
                con = self._idle.get_nowait()
            except queue.Empty:
                con = self._connect()
            try:
                yield con
            except BaseException:
                con.close()  # its state is unknown; the next one is fresh
                raise
            if self._is_closed:
                con.close()
            else:
                self._idle.put(con)

    def _connect(self) -> sqlite3.Connection:
        con = sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None, check_same_thread=False)
        try:
            con.execute("PRAGMA journal_mode=WAL")
            con.execute("PRAGMA synchronous=FULL")
            con.execute("PRAGMA journal_size_limit=67108864")
            con.execute("PRAGMA trusted_schema=OFF")
        except BaseException:
            con.close()
            raise
        return con

    def _migrate(self, migrations: Sequence[Sequence[str]]) -> None:
        with self.read() as con:
            (version,) = con.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            self.close()
            raise StoreError(
                f"schema version {version} is newer than this cityguard knows ({len(migrations)})",
                place=str(self.path),
                remedy="run the version that made it, or newer",
            )
        if version == len(migrations):
            return
        with self.write() as con:
            (version,) = con.execute("PRAGMA user_version").fetchone()  # another process may have been faster
            for statements in migrations[version:]:
                for statement in statements:
                    con.execute(statement)
            con.execute(f"PRAGMA user_version={len(migrations)}")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error

    def _named(self, error: sqlite3.Error) -> CityguardError:
        place, code = str(self.path), getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return StoreLockedError("another process holds the database", place=place, remedy="wait, or stop it")
        if code in _FULL:
            return StoreError(f"cannot write ({error})", place=place, remedy="free some disk space")
        if code in _CLOSED:
            return StoreError(f"cannot open for writing ({error})", place=place, remedy="check owner and permissions")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreError(f"the database is damaged ({error})", place=place, remedy="restore it from a backup")
        if code == sqlite3.SQLITE_INTERRUPT:
            return StoreError(f"the question took longer than {READ_S:.0f} s", remedy="narrow it")
        return StoreError(f"database error ({error})", place=place, remedy="report this fault")
