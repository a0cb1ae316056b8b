"""Compiled forms kept on disk by the hash of what they were made of; what is damaged or not ours is made anew."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from cityguard import content
from cityguard.sigma import folders, rule
from cityguard.sigma.engine import codec
from cityguard.sigma.rule import Ruleset

MAX_BYTES = 64 << 20  # of one file
MAX_FILES = 4096  # the oldest go
_SUM = 32


class Kept:
    """A folder of small files, each named by the hash of what it was made of and beginning with its own checksum.

    Only a folder that nobody else may write to is used: a scanner's database is memory of a C library.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder if folder is not None and _own(folder) else None
        self._written = 0

    def get(self, name: str) -> bytes:
        """The bytes kept under a name; empty when there are none that are whole."""
        if self.folder is None:
            return b""
        try:
            with (self.folder / name).open("rb") as file:
                data = file.read(MAX_BYTES + _SUM)
        except OSError:
            return b""
        return data[_SUM:] if len(data) > _SUM and _digest(name.encode(), data[_SUM:]) == data[:_SUM] else b""

    def put(self, name: str, data: bytes) -> None:
        """Keep bytes; a disk that does not take them only makes the next start slower."""
        if self.folder is None or not data or len(data) > MAX_BYTES:
            return
        new = self.folder / f"{name}.{os.getpid()}.new"
        with contextlib.suppress(OSError):
            new.touch(mode=0o600)
            new.write_bytes(_digest(name.encode(), data) + data)
            new.replace(self.folder / name)
        self._written += 1
        if self._written % 256 == 1:
            self._prune()

    def _prune(self) -> None:
        assert self.folder is not None
        with contextlib.suppress(OSError):
            files = sorted(self.folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
            for file in files[MAX_FILES:]:
                file.unlink()


def name_of(kind: str, *parts: bytes) -> str:
    """The name something made of these parts is kept under."""
    return f"{kind}-{_digest(kind.encode(), *parts).hex()}"


def load(
    paths: Sequence[Path], placeholders: Mapping[str, Sequence[str]] | None = None, folder: Path | None = None
) -> Ruleset:
    """``rule.load`` for people who start often: files that are as they were are not parsed again."""
    kept = Kept(folder)
    if kept.folder is None:
        return rule.load(paths, placeholders)
    name = name_of("rules", _version(), *_contents(paths, placeholders or {}))
    data = kept.get(name)
    with _quiet():
        if data:
            with contextlib.suppress(codec.StrangeError):
                found = codec.decode(data)
                if isinstance(found, Ruleset):
                    return found
        made = rule.load(paths, placeholders)
        with contextlib.suppress(codec.StrangeError):
            kept.put(name, codec.encode(made))
    return made


def _contents(paths: Sequence[Path], placeholders: Mapping[str, Sequence[str]]) -> Iterable[bytes]:
    for path in paths:
        yield str(path).encode("utf-8", "surrogateescape")
        yield from _read(folders.files(path, []))
    yield from _read(folders.placeholders(paths))
    for key, values in sorted(placeholders.items()):
        yield repr((key, list(values))).encode()


def _read(files: Iterable[Path]) -> Iterable[bytes]:
    for file in files:
        yield str(file).encode("utf-8", "surrogateescape")
        try:
            yield file.read_bytes()
        except OSError as error:
            yield str(error.errno).encode()


@lru_cache(maxsize=1)
def _version() -> bytes:
    """The code that reads rules: another version keeps its own."""
    here = Path(rule.__file__).parent
    files = [*sorted(here.glob("*.py")), Path(codec.__file__), Path(content.__file__)]
    return _digest(*(file.read_bytes() for file in files))


def _digest(*parts: bytes) -> bytes:
    total = hashlib.blake2b(digest_size=_SUM)
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.digest()


def _own(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = folder.stat()
    except OSError:
        return False
    return told.st_uid == os.geteuid() and not told.st_mode & 0o022


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the collector of garbage: many small objects that stay are made at once."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
