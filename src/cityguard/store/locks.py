"""An advisory lock on a file, between threads and processes; the kernel frees it when its holder dies."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cityguard.errors import StoreLockedError

_PAUSE_S = 0.02


@contextmanager
def held(path: Path, *, wait_s: float = 30.0) -> Iterator[None]:
    """Hold the lock ``path`` for the block; the file is made if it is missing.

    Raises:
        StoreLockedError: somebody else held it for ``wait_s`` seconds.
        OSError: the file cannot be made.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        _take(handle, path, time.monotonic() + wait_s)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path, end: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise StoreLockedError(
                    "another process is writing", place=str(path), remedy="wait until it is done, or stop it"
                ) from None
            threading.Event().wait(_PAUSE_S)
