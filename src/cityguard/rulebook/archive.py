"""Rule files out of a folder or an archive that anybody may have made: nothing is unpacked, everything is bounded."""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from cityguard.errors import InputError

MAX_ARCHIVE = 256 << 20  # bytes of the archive as it lies there
MAX_TOTAL = 512 << 20  # bytes of everything in it, whether taken or not
MAX_FILE = 512 << 10  # of one rule file, as the rule loader has it
MAX_LICENSE = 256 << 10
MAX_MEMBERS = 100_000
MAX_TAKEN = 50_000
MAX_RATIO = 200
FREE = 16 << 20  # decompressed bytes before the ratio is judged
MAX_DEPTH = 16
MAX_NAME = 200  # bytes of one step of a path
MAX_PATH = 1_000
MAX_TOLD = 1_000
MAX_EXTENSION = 64 << 10  # bytes of a tar header's long name or pax records
MAX_GLOBAL = 4 << 10  # bytes of all its global pax records, which are applied to every member
MAX_STREAMS = 20_000  # compressed streams one after another
MAX_DIRECTORY = 16 << 20  # bytes of a zip's directory
_TAIL, _END, _END64 = 65_557, b"PK\x05\x06", b"PK\x06\x07"
_MEMORY = 256 << 20  # of the xz decoder
_BLOCK = 256 << 10
_MAGIC = 8  # bytes that tell the compression
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_EXTENSIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_LICENSES = ("license", "licence", "copying")


@dataclass(slots=True)
class Taken:
    """What was found: rule files by path (with slashes, in order), the licence's text, and what was refused."""

    name: str
    sha256: str
    files: dict[str, bytes] = field(default_factory=dict)
    license: bytes = b""
    refused: list[InputError] = field(default_factory=list)
    passed: int = 0  # members that are no rules
    untold: int = 0  # further refusals
    folders: set[str] = field(default_factory=set)  # that the files need
    depth: int = MAX_DEPTH  # steps above the licence

    def refuse(self, place: str, why: str, remedy: str = "") -> None:
        if len(self.refused) < MAX_TOLD:
            self.refused.append(InputError(why, place=place, remedy=remedy))
        else:
            self.untold += 1


def read(path: Path) -> Taken:
    """Every ``*.yml`` and ``*.yaml`` of a folder, a zip or a tar (plain, gzip, xz, bzip2).

    Links, devices, encrypted members and names that lead outside are refused one by one; what breaks a bound
    refuses the whole.

    Raises:
        InputError: no such thing, not an archive, damaged, or beyond a bound.
    """
    if path.is_dir():
        return _trimmed(_folder(path))
    if not path.is_file():
        raise InputError("no such file or folder", place=str(path))
    size = path.stat().st_size
    if size > MAX_ARCHIVE:
        raise InputError(f"larger than {MAX_ARCHIVE >> 20} MiB", place=str(path), remedy="unpack it and import parts")
    with path.open("rb") as file:
        taken = Taken(path.name, _sha256(file))
        file.seek(0)
        try:
            if zipfile.is_zipfile(file):
                _zip(file, size, taken)
            elif path.name.lower().endswith(_TAR):
                _tar(file, size, taken)
            else:
                raise InputError("neither a zip nor a tar", place=str(path), remedy=f".zip or {', '.join(_TAR)}")
        except InputError as error:
            raise InputError(error.message, place=error.place or str(path), remedy=error.remedy) from None
        except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, EOFError, OSError, ValueError) as error:
            raise InputError(f"damaged: {error}", place=str(path), remedy="fetch it again") from None
        except (NotImplementedError, RuntimeError, MemoryError) as error:  # zip methods not known; a decoder's limit
            raise InputError(
                f"cannot be unpacked: {error}", place=str(path), remedy="pack it as .zip or .tar"
            ) from None
    return _trimmed(taken)


# ---------------------------------------------------------------- where from


def _folder(root: Path) -> Taken:
    taken, digest, members, total = Taken(root.name, ""), hashlib.sha256(), 0, 0
    for base, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            members += 1
            path = Path(base) / name
            place = path.relative_to(root).as_posix()
            if members > MAX_MEMBERS:
                raise InputError(f"more than {MAX_MEMBERS} files", place=str(root), remedy="import a part of it")
            what = _wanted(place)
            if not what:
                taken.passed += 1
                continue
            data = _plain(path, place, taken)
            if data is None:
                continue
            total += len(data)
            if total > MAX_TOTAL:
                raise InputError(f"more than {MAX_TOTAL >> 20} MiB", place=str(root), remedy="import a part of it")
            digest.update(f"{place}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
            _keep(taken, place, what, data)
    taken.sha256 = digest.hexdigest()
    return taken


def _plain(path: Path, place: str, taken: Taken) -> bytes | None:
    """A regular file's bytes; a link is not followed, whatever it was a moment ago."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        taken.refuse(place, f"not read: {error.strerror}", "links are not followed")
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            taken.refuse(place, "not a regular file")
            return None
        return file.read(MAX_LICENSE + MAX_FILE + 1)


def _zip(file: IO[bytes], size: int, taken: Taken) -> None:
    _directory(file, size)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise InputError(f"more than {MAX_MEMBERS} members", remedy="import a part of it")
        bound = _Bound(size)
        for member in members:
            if member.is_dir():
                continue
            kind = member.external_attr >> 16
            if kind and not stat.S_ISREG(kind) and stat.S_IFMT(kind):
                taken.refuse(member.filename, "not a regular file", "links and devices are not taken")
            elif member.flag_bits & 1:
                taken.refuse(member.filename, "encrypted")
            else:
                _member(taken, member.filename, partial(archive.open, member), bound)


def _directory(file: IO[bytes], size: int) -> None:
    """Refuse a directory that would fill the memory before its members can be counted."""
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    at = tail.find(_END)
    while at >= 0:
        if len(tail) >= at + 16 and int.from_bytes(tail[at + 12 : at + 16], "little") > MAX_DIRECTORY:
            raise InputError(f"its directory is larger than {MAX_DIRECTORY >> 20} MiB", remedy="import a part of it")
        at = tail.find(_END, at + 1)
    if _END64 in tail:
        raise InputError("zip64 is not read", remedy="pack it as .tar.gz")
    file.seek(0)


def _tar(file: IO[bytes], size: int, taken: Taken) -> None:
    """As a stream: no member is looked for twice, and a header cannot send the reader back."""
    stream: Any = _Stream(file, _Bound(size))
    count = 0
    header = type("_Counted", (_Header,), {"records": 0})  # a class of its own counts for this archive alone
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK, tarinfo=header) as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it keeps every header otherwise
            count += 1
            if count > MAX_MEMBERS:
                raise InputError(f"more than {MAX_MEMBERS} members", remedy="import a part of it")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                taken.refuse(member.name, "not a regular file", "links and devices are not taken")
            else:
                _member(taken, member.name, partial(archive.extractfile, member), None)


class _Header(tarfile.TarInfo):
    """A header whose extensions (long names, pax records) are small; only zeros end an archive (POSIX pax, ustar)."""

    records = 0  # bytes of global records so far

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends in the middle")
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):
                raise
            raise tarfile.ReadError(str(error)) from None  # tarfile would take it for the end
        if found.type in _EXTENSIONS and found.size > MAX_EXTENSION:
            raise tarfile.ReadError("a header is too large")
        if found.type == tarfile.XGLTYPE:
            cls.records += max(found.size, tarfile.BLOCKSIZE)
            if cls.records > MAX_GLOBAL:
                raise tarfile.ReadError("its global headers are too large")
        return found


class _Bound:
    """Counts what decompression gives, and stops it."""

    def __init__(self, size: int) -> None:
        self._size, self.total = max(size, 1), 0

    def add(self, more: int) -> None:
        self.total += more
        if self.total > MAX_TOTAL:
            raise InputError(f"more than {MAX_TOTAL >> 20} MiB unpacked", remedy="import a part of it")
        if self.total > FREE and self.total > MAX_RATIO * self._size:
            raise InputError(f"unpacks to more than {MAX_RATIO} times its size", remedy="no rule archive does")


class _Stream:
    """An archive's decompressed bytes, bounded."""

    def __init__(self, file: IO[bytes], bound: _Bound) -> None:
        file.seek(0)
        self._file, self._bound = file, bound
        self._decoder: Any = _decoder(file.read(_MAGIC))
        self._left = self._raw = b""
        self._streams, self._over = 1, False
        file.seek(0)

    def read(self, size: int) -> bytes:
        while len(self._left) < size:
            more = self._file.read(size - len(self._left)) if self._decoder is None else self._more()
            if not more:
                break
            self._bound.add(len(more))
            self._left += more
        out, self._left = self._left[:size], self._left[size:]
        return out

    def _more(self) -> bytes:
        """Some decompressed bytes; none at the end of the last stream."""
        while not self._decoder.eof or self._another():
            raw = b""
            if self._decoder.needs_input:
                raw, self._raw = self._raw or self._file.read(_BLOCK), b""
                if not raw:
                    raise EOFError("it ends in the middle")
            if more := self._decoder.decompress(raw, _BLOCK):
                return bytes(more)
        return b""

    def _another(self) -> bool:
        """Begin the next stream, as parallel packers write many; zeros between are padding, anything else is none."""
        if self._over:
            return False
        rest = self._decoder.unused_data.lstrip(b"\0")
        while len(rest) < _MAGIC and (more := self._file.read(_BLOCK)):
            rest = (rest + more).lstrip(b"\0")
        decoder = _decoder(rest[:_MAGIC])
        if decoder is None:
            self._over = True
            return False
        self._streams += 1
        if self._streams > MAX_STREAMS:
            raise InputError(f"more than {MAX_STREAMS} compressed streams", remedy="pack it again")
        self._decoder, self._raw = decoder, rest
        return True


class _Gzip:
    """zlib's decoder with the face of the other two."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, raw: bytes, size: int) -> bytes:
        try:
            return self._inner.decompress(self._inner.unconsumed_tail + raw, size)
        except zlib.error as error:
            raise EOFError(str(error)) from None


def _decoder(head: bytes) -> Any:
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    return _Gzip() if head.startswith(b"\x1f\x8b") else None


# ---------------------------------------------------------------- what is kept


def _member(taken: Taken, name: str, open_: Callable[[], IO[bytes] | None], bound: _Bound | None) -> None:
    what = _wanted(name)
    if not what:
        taken.passed += 1
        return
    why = unsafe(name)
    if why:
        taken.refuse(name, why, "such a name is not taken")
        return
    file = open_()
    if file is None:
        taken.refuse(name, "not a regular file")
        return
    with file:
        data = file.read(MAX_FILE + 1)
    if bound is not None:
        bound.add(len(data))
    _keep(taken, name, what, data)


def _keep(taken: Taken, name: str, what: str, data: bytes) -> None:
    name = name.removeprefix("./")
    if what == "license":
        # the one nearest the top speaks for all
        if data and len(data) <= MAX_LICENSE and name.count("/") < taken.depth:
            taken.license, taken.depth = data, name.count("/")
        return
    why = unsafe(name)
    above = [str(step) for step in PurePosixPath(name).parents][:-1]
    if why:
        taken.refuse(name, why, "such a name is not taken")
    elif len(data) > MAX_FILE:
        taken.refuse(name, f"larger than {MAX_FILE >> 10} KiB", "split the file")
    elif name in taken.files:
        taken.refuse(name, "the name is there twice", "the first one is taken")
    elif name in taken.folders or any(step in taken.files for step in above):
        taken.refuse(name, "the name is a file and a folder", "the first one is taken")
    elif len(taken.files) >= MAX_TAKEN:
        raise InputError(f"more than {MAX_TAKEN} rule files", remedy="import a part of it")
    else:
        taken.files[name] = data
        taken.folders.update(above)


def _wanted(name: str) -> str:
    """``rule``, ``license`` or nothing."""
    base = name.rpartition("/")[2].lower()
    if base.endswith((".yml", ".yaml")) and not base.startswith("."):
        hidden = any(step.startswith(".") and step not in (".", "..") for step in name.split("/")[:-1])
        return "" if hidden else "rule"
    return "license" if base.partition(".")[0] in _LICENSES and name.removeprefix("./").count("/") <= 1 else ""


def unsafe(name: str) -> str:
    """Why a member's name cannot become a path below a folder; empty when it can."""
    steps = name.removeprefix("./").split("/")
    if any(step in ("", ".", "..") for step in steps) or "\\" in name or ":" in name:
        return "the name leads outside"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in name):
        return "the name holds control characters"
    if len(steps) > MAX_DEPTH or len(name.encode()) > MAX_PATH or any(len(s.encode()) > MAX_NAME for s in steps):
        return "the name is too long or too deep"
    return ""


def _trimmed(taken: Taken) -> Taken:
    """Without the one folder that release archives put around everything (``sigma-1.2/``)."""
    tops = {name.partition("/")[0] for name in taken.files}
    top = tops.pop() if len(tops) == 1 else ""
    if top and not top.startswith("rules") and all("/" in name for name in taken.files):
        taken.files = {name.partition("/")[2]: data for name, data in taken.files.items()}
    taken.files = dict(sorted(taken.files.items()))
    return taken


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for block in _blocks(file):
        digest.update(block)
    return digest.hexdigest()


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
