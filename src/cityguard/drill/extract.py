"""The extractor: tar members and folders copied one by one under a path of our choosing. Standard library only.

``tarfile.extractall`` is not used: its ``data`` filter could be escaped in CPython before 3.11.13
(CVE-2025-4517). Here nothing but plain files and folders is ever made, every name is checked first, and
no link exists below the target, so no name can lead out of it.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cityguard.drill.manifest import safe_name

FREE_BYTES = 16 << 20  # the ratio is looked at beyond these
MAX_DEPTH = 64
_BLOCK = 1 << 20
_ZSTD = (".tar.zst", ".tar.zstd")


class Refused(Exception):
    """The backup asks for something that is not done; ``kind`` names it."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(slots=True)
class Budget:
    """Counts down what a restore may still cost."""

    bytes: int
    files: int
    ratio: int
    out: int = 0
    entries: int = 0
    digest: str = ""  # of the backup, as far as it could be read
    stored: Callable[[], int] = field(default=lambda: 0)  # bytes read from the backup so far

    def spend(self, count: int) -> None:
        self.out += count
        if self.out > self.bytes:
            raise Refused("bytes", f"more than {self.bytes} bytes")
        if self.out > FREE_BYTES and self.ratio and self.out > self.ratio * max(self.stored(), 1):
            raise Refused("ratio", f"expands more than {self.ratio} times")

    def entry(self) -> None:
        self.entries += 1
        if self.entries > self.files:
            raise Refused("files", f"more than {self.files} entries")


class _Hashed(io.RawIOBase):
    """A file that hashes and counts what is read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.file.read(len(buffer))
        buffer[: len(block)] = block
        self.digest.update(block)
        self.count += len(block)
        return len(block)

    def close(self) -> None:
        """Readers stacked on top close what they read from; the digest still needs the rest of the file."""


class _Metered:
    """The decompressed stream, charged to the budget; all that ``tarfile`` ever reads from."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        self.stream = stream
        self.budget = budget

    def read(self, size: int) -> bytes:
        block = bytes(self.stream.read(min(size, _BLOCK)))
        self.budget.spend(len(block))
        return block


def restore(source: Path, target: Path, budget: Budget) -> None:
    """Bring a backup back below ``target``, an empty folder of ours.

    Sets ``budget.digest`` to the SHA-256 of the whole archive, also when the restore stops early; for a
    folder, to that of the sorted lines ``SHA-256  path`` once all is copied.

    Raises:
        Refused: an entry or an amount that is not allowed.
        tarfile.TarError, EOFError, OSError, ValueError, zlib.error: the archive is damaged or unreadable.
    """
    if source.is_dir():
        budget.digest = _copy(source, target, budget)
        return
    fd = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Refused("kind", "the backup is neither a folder nor a plain file")
        hashed = _Hashed(file)
        budget.stored = lambda: hashed.count
        try:
            with _decompress(source.name, io.BufferedReader(hashed, _BLOCK)) as stream:
                _untar(_Metered(stream, budget), target, budget)
        finally:
            while hashed.read(_BLOCK):
                pass
            budget.digest = hashed.digest.hexdigest()


def prepare(name: str) -> None:
    """Load what a backup of this name needs, while files may still be read."""
    if name.endswith(_ZSTD):
        importlib.import_module("zstandard")


def _decompress(name: str, file: io.BufferedReader) -> Any:
    if name.endswith((".tar.gz", ".tgz")):
        return gzip.GzipFile(fileobj=file, mode="rb")
    if name.endswith(_ZSTD):
        import zstandard

        # 128 MiB is zstd's own default for what a decoder must accept
        return zstandard.ZstdDecompressor(max_window_size=128 << 20).stream_reader(file, read_across_frames=True)
    if name.endswith(".tar"):
        return file
    raise Refused("kind", "not .tar, .tar.gz, .tgz or .tar.zst")


def _untar(stream: _Metered, target: Path, budget: Budget) -> None:
    seen: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK, errorlevel=2) as archive:  # type: ignore[call-overload]
        for member in archive:
            budget.entry()
            _member(archive, member, target, seen)
            archive.members = []  # tarfile would otherwise keep every header in memory
    while stream.read(_BLOCK):  # to the end, so that the compressor's own checksum is verified
        pass


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, seen: set[str]) -> None:
    name = _checked(member.name)
    if name is None:
        return  # the archive's own root, "./"
    if member.isdir():
        _folder(target / name)
        return
    if not member.isreg() or member.issparse():
        raise Refused("type", f"{_kind(member)}: {member.name[:120]!r}")
    if name in seen:
        raise Refused("duplicate", f"stands twice: {name[:120]!r}")
    seen.add(name)
    source = archive.extractfile(member)
    if source is None:
        raise Refused("type", f"no content: {member.name[:120]!r}")
    _write(target / name, iter(lambda: source.read(_BLOCK), b""), member.size)


def _checked(name: str) -> str | None:
    if name.strip("/") in ("", ".") and not name.startswith("/"):
        return None
    try:
        path = safe_name(name)
    except ValueError as error:
        raise Refused("path", f"{error}: {name[:120]!r}") from None
    if path.count("/") >= MAX_DEPTH:
        raise Refused("path", f"deeper than {MAX_DEPTH}: {name[:120]!r}")
    return path


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "link"
    if member.isdev():
        return "device"
    return "sparse file" if member.issparse() else "unknown entry"


def _copy(source: Path, target: Path, budget: Budget) -> str:
    """A folder is a backup too: plain files are copied, anything else is refused."""
    lines: list[str] = []
    for path in _tree(source, budget):
        name = _checked(path.relative_to(source).as_posix()) or ""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise Refused("type", f"not a plain file: {name[:120]!r}")
            digest = hashlib.sha256()
            _write(target / name, _blocks(file, digest, budget), info.st_size)
        lines.append(f"{digest.hexdigest()}  {name}\n")
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _tree(source: Path, budget: Budget) -> Iterator[Path]:
    waiting = [source]
    while waiting:
        with os.scandir(waiting.pop()) as listing:
            for entry in listing:
                budget.entry()
                if entry.is_symlink():
                    raise Refused("type", f"link: {entry.name[:120]!r}")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def _blocks(file: BinaryIO, digest: Any, budget: Budget) -> Iterator[bytes]:
    budget.stored = lambda: 1 << 62  # a copy cannot expand
    while block := file.read(_BLOCK):
        budget.spend(len(block))
        digest.update(block)
        yield block


def _folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Refused("duplicate", f"file and folder of one name: {path.name[:120]!r}") from None


def _write(path: Path, blocks: Iterator[bytes], size: int) -> None:
    _folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        raise Refused("duplicate", f"stands twice: {path.name[:120]!r}") from None
    written = 0
    with os.fdopen(fd, "wb") as file:
        for block in blocks:
            written += len(block)
            file.write(block)
    if written < size:
        raise EOFError(f"{path.name[:120]!r} ends after {written} of {size} bytes")
