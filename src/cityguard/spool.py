"""The spool: what was received, on disk before it is acknowledged, until a worker has stored what it means.

One SQLite file per segment (WAL, synchronous=FULL), freed by unlink: a full disk blocks DELETE too.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from cityguard.errors import StoreError, StoreLockedError
from cityguard.model import Frames

SEGMENT_BYTES = 64 << 20
READ_BYTES = 64 << 20
_SCHEMA = "CREATE TABLE IF NOT EXISTS r(seq INTEGER PRIMARY KEY, recv_ns INTEGER, peer TEXT, raw BLOB) STRICT"


@dataclass(frozen=True, slots=True)
class Received:
    """One datagram or line as it came off the wire."""

    recv_ns: int
    peer: str
    raw: bytes


class SpoolWriter:
    """Appends records durably; one process at a time, held by a file lock."""

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._max, self._segment_bytes = folder, max_bytes, segment_bytes
        self._lock = _lock(folder)
        self.uuid = identity(folder)
        self.dropped = 0
        self._seq = _last(folder) + 1
        self._db, self._path = self._open(segments(folder)[-1] if segments(folder) else self._new())

    def append(self, records: Sequence[Received]) -> int:
        """Write and fsync; returns how many were kept. When the spool is full the rest is counted in ``dropped``.

        Raises:
            StoreError: the disk refuses; nothing of the call was kept.
        """
        if self._size() > self._max:
            self.dropped += len(records)
            return 0
        rows = [(self._seq + i, one.recv_ns, one.peer, one.raw) for i, one in enumerate(records)]
        try:
            with self._db:
                self._db.executemany("INSERT INTO r VALUES(?,?,?,?)", rows)
        except sqlite3.OperationalError as error:
            raise StoreError(f"spool: {error}", place=str(self._path), remedy="free disk space") from None
        self._seq += len(rows)
        if _bytes(self._path) > self._segment_bytes:
            self._db.close()
            self._db, self._path = self._open(self._new())
        return len(rows)

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def _size(self) -> int:
        return sum(_bytes(path) for path in segments(self._folder))

    def _new(self) -> Path:
        return self._folder / f"seg-{self._seq:016d}.db"

    @staticmethod
    def _open(path: Path) -> tuple[sqlite3.Connection, Path]:
        db = sqlite3.connect(path, timeout=30, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(_SCHEMA)
        return db, path


def segments(folder: Path) -> list[Path]:
    """Segment files, oldest first; a segment's name is its first sequence number."""
    return sorted(folder.glob("seg-*.db"))


def identity(folder: Path) -> str:
    """The spool's own UUID, made once: ids of events depend on it."""
    path = folder / "uuid"
    if not path.exists():
        temporary = folder / f"uuid.{os.getpid()}"
        with temporary.open("w") as file:
            file.write(uuid.uuid4().hex)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # receiver and worker may come here together: the first one stays
            os.link(temporary, path)
        temporary.unlink()
    return path.read_text()


def pending(folder: Path, after: int) -> int:
    """How many records stand behind sequence number ``after``."""
    return max(_last(folder) - after, 0)


def read(folder: Path, after: int, *, limit: int, until: int | None = None) -> tuple[Frames, list[str]]:
    """Records with ``after < seq <= until`` as frames (number = seq), and each one's peer.

    At most ``limit``, and where no end is given about 64 MiB.

    A missing old segment is normal: it was freed when its records had been stored.
    """
    rows: list[tuple[int, int, str, bytes]] = []
    found, held = segments(folder), 0
    for path, following in zip(found, [*found[1:], None], strict=True):
        if len(rows) >= limit or held > READ_BYTES or (following is not None and _first(following) <= after + 1):
            continue
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            for row in db.execute(
                "SELECT seq, recv_ns, peer, raw FROM r WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (after, until if until is not None else 1 << 62, limit - len(rows)),
            ):
                rows.append(row)
                held += len(row[3])
                if held > READ_BYTES and until is None:
                    break
    return _frames(rows), [peer for _, _, peer, _ in rows]


def free(folder: Path, through: int) -> int:
    """Unlink segments wholly at or before ``through``; returns how many. The newest segment stays."""
    found = segments(folder)
    gone = [path for path, following in pairwise(found) if _first(following) <= through + 1]
    for path in gone:
        for part in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            part.unlink(missing_ok=True)
    return len(gone)


def _frames(rows: list[tuple[int, int, str, bytes]]) -> Frames:
    length = np.array([len(row[3]) for row in rows], dtype=np.int64)
    return Frames(
        buffer=np.frombuffer(b"".join(row[3] for row in rows), dtype=np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        number=np.array([row[0] for row in rows], dtype=np.int64),
        time=np.array([row[1] for row in rows], dtype=np.int64),
        wire=length,
        link=np.zeros(len(rows), dtype=np.int32),
    )


def _first(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def _last(folder: Path) -> int:
    found = segments(folder)
    if not found:
        return 0
    with closing(sqlite3.connect(found[-1], timeout=30)) as db:
        db.execute(_SCHEMA)
        (last,) = db.execute("SELECT max(seq) FROM r").fetchone()
    return int(last) if last is not None else _first(found[-1]) - 1


def _bytes(path: Path) -> int:
    wal = path.with_name(path.name + "-wal")
    return sum(part.stat().st_size for part in (path, wal) if part.exists())


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone.

    Raises:
        StoreLockedError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = _lock(folder)
    try:
        yield
    finally:
        os.close(handle)


def _lock(folder: Path) -> int:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreLockedError(
            "another process works here already", place=str(folder), remedy="stop it first"
        ) from None
    return handle
