"""Opening an input safely: regular files only, hashed once, decompressed in blocks within bounds."""

from __future__ import annotations

import codecs
import hashlib
import mmap
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from cityguard.config import Limits
from cityguard.errors import InputError
from cityguard.sources.lines import PAD, Ahead

BLOCK = 8 << 20
"""Bytes given out at a time."""
HEAD = 64 << 10
_EARLIEST, _LATEST = 946_684_800, 4_102_444_800  # 2000 to 2100: what lies outside is no clock's doing
"""Decompressed bytes looked at to recognise a format."""
FREE_OUTPUT = 16 << 20
"""Bytes a compressed file may give before its ratio is judged."""
_READ = 256 << 10
_MAX_WINDOW = 128 << 20
_OTHER = {
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"Rar!": "rar",
    b"7z\xbc\xaf": "7-zip",
}


class Opened:
    """One input file, held open. Use as a context manager.

    Attributes:
        sha256: hex digest of the file as it lies on disk; empty when it was not to be ``hashed``.
        size: its bytes on disk when it was hashed; what is appended later is not read.
        written: when it was last written, None where the file system does not know.
        notes: what a person should know (cut off, damaged); complete once everything was read.

    Raises:
        InputError: not a regular file, not readable, or a compression that is not read.
    """

    def __init__(self, path: Path, limits: Limits, *, follow: bool = True, hashed: bool = True) -> None:
        self.path = path
        self.limits = limits
        self.notes: list[str] = []
        self._file = _open(path, follow)
        self.size = os.fstat(self._file.fileno()).st_size
        self.written = _moment(os.fstat(self._file.fileno()).st_mtime)
        self.codec = self._codec()
        self.sha256 = self._hash() if hashed else ""

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def head(self, size: int = HEAD) -> bytes:
        """The first decompressed bytes, at most ``size``."""
        out = b""
        for block in self._stream(size):
            out += block
            if len(out) >= size:
                break
        return out[:size]

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """The decompressed input from its beginning, at most ``size`` bytes at a time.

        Raises:
            InputError: it grows beyond ``limits.file_mb`` or ``limits.ratio``.
        """
        self.notes.clear()
        total = 0
        for block in self._stream(size):
            total += len(block)
            self._bound(total)
            yield block

    def span(self, start: int, end: int, size: int = BLOCK) -> Iterator[bytes | Ahead]:
        """The bytes of an uncompressed input from one place to another, at most ``size`` at a time."""
        self.notes.clear()
        self._bound(self.size)
        yield from self._ahead(start, min(end, self.size), size)

    def text(self, size: int = BLOCK) -> Iterator[bytes | Ahead]:
        """As ``blocks``, of lines: most blocks end with one, so that nobody has to copy it behind what was left over.

        Raises:
            InputError: as ``blocks``.
        """
        if self.codec:
            yield from self.blocks(size)
            return
        self.notes.clear()
        yield from self._ahead(0, self.size, size)

    def _ahead(self, at: int, end: int, size: int) -> Iterator[bytes | Ahead]:
        while at < end:
            self._file.seek(at)
            data = [self._file.read(min(size, end - at))]
            if not data[0]:
                self.notes.append(f"{self.path}: {end - at} bytes disappeared while it was read")
                return
            length = len(data[0])
            cut = data[0].rfind(b"\n", 0, max(length - len(PAD), 0)) + 1
            if at + length < end and 2 * cut > length:
                at += cut
                self._bound(at)
                yield Ahead(data.pop(), cut)
            else:
                at += length
                self._bound(at)
                yield data.pop()  # who takes a block may let go of it

    def whole(self, max_bytes: int | None = None) -> npt.NDArray[np.uint8]:
        """The decompressed input as one read-only uint8[n] array: a memory map, so it costs no memory.

        Raises:
            InputError: as ``blocks``, or larger than ``max_bytes``.
        """
        if not self.codec:
            self._bound(self.size, max_bytes)
            return _mapped(self._file.fileno(), self.size)
        with tempfile.TemporaryFile() as spill:
            total = 0
            for block in self.blocks():
                total += len(block)
                self._bound(total, max_bytes)
                spill.write(block)
            spill.flush()
            return _mapped(spill.fileno(), total)

    def _stream(self, block: int) -> Iterator[bytes]:
        self._file.seek(0)
        if self.codec == "gzip":
            return self._gzip(block)
        if self.codec == "zstd":
            return self._zstd(block)
        if self.codec == "utf-16":
            return self._wide(block)
        return self._plain(block)

    def _plain(self, block: int) -> Iterator[bytes]:
        left = self.size
        while left > 0 and (data := [self._file.read(min(block, left))])[0]:
            left -= len(data[0])
            yield data.pop()  # who takes a block may let go of it
        if left > 0:
            self.notes.append(f"{self.path}: {left} bytes disappeared while it was read")

    def _wide(self, block: int) -> Iterator[bytes]:
        """UTF-16 as UTF-8; what is no text becomes U+FFFD. Places are those of the UTF-8."""
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        for data in self._plain(block):
            if text := decoder.decode(data):
                yield text.encode("utf-8", "replace")
        if text := decoder.decode(b"", final=True):
            yield text.encode("utf-8", "replace")

    def _gzip(self, block: int) -> Iterator[bytes]:
        """RFC 1952, with any number of members; a damaged or cut tail ends the input with a note."""
        inflate, out, taken = zlib.decompressobj(31), 0, 0
        data = b""
        while True:
            if not data:
                data = self._file.read(min(_READ, max(self.size - taken, 0)))
                taken += len(data)
                if not data:
                    break
            try:
                piece = inflate.decompress(data, block)
            except zlib.error as error:
                self.notes.append(f"{self.path}: gzip damaged after {out} bytes ({error})")
                return
            data = inflate.unconsumed_tail
            out += len(piece)
            self._ratio(out, taken)
            if piece:
                yield piece
            if inflate.eof:
                data = inflate.unused_data.lstrip(b"\0")
                inflate = zlib.decompressobj(31)
                if not data and taken >= self.size:
                    return
        self.notes.append(f"{self.path}: gzip ends early, after {out} bytes")

    def _zstd(self, block: int) -> Iterator[bytes]:
        """RFC 8878; windows above 128 MiB are refused."""
        import zstandard

        out = 0
        reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(
            self._file, read_size=_READ, read_across_frames=True, closefd=False
        )
        while True:
            try:
                piece = reader.read(block)
            except zstandard.ZstdError as error:
                self.notes.append(f"{self.path}: zstd damaged after {out} bytes ({error})")
                return
            if not piece:
                return
            out += len(piece)
            self._ratio(out, self._file.tell())
            yield piece

    def _ratio(self, out: int, taken: int) -> None:
        if out > FREE_OUTPUT and out > self.limits.ratio * max(taken, 1):
            raise InputError(
                f"decompresses to more than {self.limits.ratio} times its size",
                place=str(self.path),
                remedy="if you trust the file, unpack it yourself or raise limits.ratio",
            )

    def _bound(self, total: int, max_bytes: int | None = None) -> None:
        limit = self.limits.file_mb << 20
        if total > limit:
            raise InputError(
                f"larger than {self.limits.file_mb} MiB",
                place=str(self.path),
                remedy="split it or raise limits.file_mb",
            )
        if max_bytes is not None and total > max_bytes:
            raise InputError(f"larger than {max_bytes >> 20} MiB", place=str(self.path), remedy="split the file")

    def _codec(self) -> str:
        first = self._file.read(4_096)
        if first[:2] == b"\x1f\x8b":
            return "gzip"
        if first[:4] == b"\x28\xb5\x2f\xfd":
            return "zstd"
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and _is_wide(first):
            return "utf-16"
        for magic, name in _OTHER.items():
            if first.startswith(magic):
                self._file.close()
                raise InputError(
                    f"{name} is not read", place=str(self.path), remedy="unpack it first (gzip, zstd are read)"
                )
        return ""

    def _hash(self) -> str:
        digest = hashlib.sha256()
        self._file.seek(0)
        left = self.size
        while left > 0 and (data := self._file.read(min(1 << 20, left))):
            digest.update(data)
            left -= len(data)
        return digest.hexdigest()


def _is_wide(head: bytes) -> bool:
    """Whether a head with the mark of UTF-16 is text of it."""
    text = head[: len(head) & ~1].decode("utf-16", "replace")
    odd = sum(not (one.isprintable() or one in "\r\n\t\ufeff") for one in text)
    return odd * 20 <= len(text)


def walk(path: Path, *, max_files: int = 100_000, max_depth: int = 16) -> list[Path]:
    """Regular files of a folder, sorted, links and hidden names left out; a file stands for itself.

    Raises:
        InputError: no such path, or more files than ``max_files``.
    """
    if not path.is_dir():
        if not path.exists():
            raise InputError("no such file or folder", place=str(path))
        return [path]
    found: list[Path] = []
    folders = [(path, 0)]
    while folders:
        folder, depth = folders.pop()
        for entry in os.scandir(folder):
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir() and depth < max_depth:
                folders.append((Path(entry.path), depth + 1))
            elif entry.is_file():
                found.append(Path(entry.path))
        if len(found) > max_files:
            raise InputError(f"more than {max_files} files", place=str(path), remedy="name a smaller folder")
    return sorted(found)


def _open(path: Path, follow: bool) -> IO[bytes]:
    # O_NONBLOCK: opening a FIFO must not wait; what is no regular file is refused below, on the same descriptor.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", place=str(path)) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError("not a regular file", place=str(path), remedy="devices, pipes and sockets are not read")
    return os.fdopen(handle, "rb")


def _moment(stamp: float) -> datetime | None:
    return datetime.fromtimestamp(stamp, UTC) if _EARLIEST <= stamp < _LATEST else None


def _mapped(handle: int, size: int) -> npt.NDArray[np.uint8]:
    if size == 0:
        return np.zeros(0, np.uint8)
    return np.frombuffer(mmap.mmap(handle, size, access=mmap.ACCESS_READ), np.uint8)
