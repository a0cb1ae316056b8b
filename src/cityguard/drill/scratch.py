"""Scratch places of drills: made, locked by their run, and gone afterwards, also after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "drill-"


@dataclass(slots=True)
class Scratch:
    """One run's place: ``work/data`` takes the restored files, ``lock`` is held while anybody of the run lives."""

    path: Path
    lock: int  # file descriptor

    @property
    def work(self) -> Path:
        return self.path / "work"

    def erase(self) -> bool:
        """Remove everything, the lock last and behind the gate, so that nobody takes it for dead meanwhile.

        True when nothing is left.
        """
        _erase(self.work)
        with _gate(self.path.parent):
            return _erase(self.path)


@contextlib.contextmanager
def place(root: Path) -> Iterator[Scratch]:
    """A new place below ``root``, mode 0700; removed at the end. Leftovers of dead runs go first."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = root.resolve()
    with _gate(root):
        _reap(root)
        path = root / f"{_PREFIX}{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    scratch = Scratch(path, lock)
    try:
        for name in ("data", "tmp"):
            (scratch.work / name).mkdir(mode=0o700, parents=True)
        yield scratch
    finally:
        scratch.erase()
        os.close(lock)


def reap(root: Path) -> int:
    """Remove what killed runs left below ``root``; returns how many places.

    Places still in use stay, and so do those of another account. Where no drill ever ran, nothing is made.
    """
    try:
        with _gate(root, make=False):
            return _reap(root)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return 0


def _reap(root: Path) -> int:
    return sum(_erase(path) for path in sorted(root.iterdir()) if path.name.startswith(_PREFIX) and _dead(path))


def _dead(path: Path) -> bool:
    """True when nobody holds the lock: neither the run nor the process it started."""
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        fd = os.open(path / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # killed before it was locked
    except OSError:
        return False  # another account's, or nothing we made: not ours to judge
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


@contextlib.contextmanager
def _gate(root: Path, *, make: bool = True) -> Iterator[None]:
    """One at a time may make or reap places, so that a place not yet locked is not taken for a dead one."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if make else 0)
    fd = os.open(root / ".lock", flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _erase(path: Path) -> bool:
    for folder, names, _ in os.walk(path):  # a probe may have taken rights away from its folders
        for below in (Path(folder, name) for name in names):
            if not below.is_symlink():
                with contextlib.suppress(OSError):
                    below.chmod(0o700)
    with contextlib.suppress(OSError):
        shutil.rmtree(path)
    return not os.path.lexists(path)
