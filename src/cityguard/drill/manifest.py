"""Manifests: what a backup must hold, and the comparison of a restored folder with it. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MAX_BYTES = 256 << 20
MAX_ENTRIES = 2_000_000
MAX_NAME = 4096
SAMPLES = 20

_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_NOTE = re.compile(r"#\s*taken:\s*(\S+)", re.IGNORECASE)


class ManifestError(Exception):
    """The manifest itself cannot be used."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One expected file; size is None where the manifest does not tell it."""

    sha256: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Expected files by relative path, and when the backup was taken if the manifest says so (ISO 8601)."""

    files: dict[str, Entry]
    taken: str | None = None


@dataclass(slots=True)
class Comparison:
    """Counts of a comparison, with the first few names of every kind of fault."""

    expected: int = 0
    found: int = 0
    bytes: int = 0
    sized: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"missing": 0, "extra": 0, "size": 0, "sha256": 0})
    samples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        self.counts[kind] += 1
        kept = self.samples.setdefault(kind, [])
        if len(kept) < SAMPLES:
            kept.append(name[:200])


def safe_name(name: str) -> str:
    """A relative POSIX path without ``.`` parts; the only form that is ever written.

    Raises:
        ValueError: absolute, ``..``, a drive, a NUL, a backslash, too long, or nothing left.
    """
    if len(name) > MAX_NAME or any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in name.split("/")):
        raise ValueError("name too long")
    if "\x00" in name or "\\" in name:
        raise ValueError("NUL or backslash in name")
    path = PurePosixPath(name)
    if path.is_absolute():
        raise ValueError("absolute path")
    if ".." in path.parts:
        raise ValueError("'..' in path")
    if not path.parts:
        raise ValueError("empty name")
    if len(path.parts[0]) == 2 and path.parts[0][1] == ":":
        raise ValueError("drive letter in path")
    return str(path)


def parse(raw: bytes) -> Manifest:
    """Read a manifest: JSON, or the lines ``sha256sum`` writes (``# taken: TIME`` may stand above them).

    JSON is ``{"taken": TIME, "files": {PATH: {"sha256": HEX, "size": N}}}`` or ``files`` as a list of
    ``{"path": …, "sha256": …, "size": …}``.

    Raises:
        ManifestError: neither form, a bad digest or path, or a path named twice.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ManifestError("not UTF-8") from None
    return _json(text) if text.lstrip()[:1] == "{" else _lines(text)


def _json(text: str) -> Manifest:
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not JSON: {error}") from None
    files = data.get("files")
    if isinstance(files, dict):
        items = list(files.items())
    elif isinstance(files, list):
        items = [(one.get("path"), one) if isinstance(one, dict) else (None, None) for one in files]
    else:
        raise ManifestError("'files' is missing")
    taken = data.get("taken")
    if taken is not None and not isinstance(taken, str):
        raise ManifestError("'taken' is not a text")
    return Manifest(_collect((name, _entry(name, one)) for name, one in items), taken)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _entry(name: object, value: object) -> Entry:
    digest = value.get("sha256") if isinstance(value, dict) else None
    size = value.get("size") if isinstance(value, dict) else None
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise ManifestError(f"no SHA-256 for {str(name)[:80]!r}")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise ManifestError(f"bad size for {str(name)[:80]!r}")
    return Entry(digest.lower(), size)


def _lines(text: str) -> Manifest:
    taken: str | None = None
    items: list[tuple[object, Entry]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        if line.startswith("#"):
            note = _NOTE.match(line)
            taken = note[1] if note else taken
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ManifestError(f"line {number} is not 'SHA-256  path'")
        name = match[3].replace("\\n", "\n").replace("\\\\", "\\") if match[1] else match[3]
        items.append((name, Entry(match[2].lower())))
    return Manifest(_collect(iter(items)), taken)


def _collect(items: Iterator[tuple[object, Entry]]) -> dict[str, Entry]:
    files: dict[str, Entry] = {}
    for name, entry in items:
        if not isinstance(name, str):
            raise ManifestError("an entry without a path")
        try:
            path = safe_name(name)
        except ValueError as error:
            raise ManifestError(f"{error}: {name[:80]!r}") from None
        if path in files:
            raise ManifestError(f"{path[:80]!r} stands twice")
        files[path] = entry
        if len(files) > MAX_ENTRIES:
            raise ManifestError(f"more than {MAX_ENTRIES} files")
    return files


def compare(folder: Path, manifest: Manifest) -> Comparison:
    """Read every restored file again and hold it against the manifest: name, size, SHA-256."""
    result = Comparison(expected=len(manifest.files))
    seen: set[str] = set()
    for name, path in walk(folder):
        result.found += 1
        seen.add(name)
        entry = manifest.files.get(name)
        digest, size = hash_file(path)
        result.bytes += size
        if entry is None:
            result.add("extra", name)
            continue
        if entry.size is not None:
            result.sized += 1
            if size != entry.size:
                result.add("size", f"{name} ({size} != {entry.size})")
        if digest != entry.sha256:
            result.add("sha256", name)
    for name in sorted(manifest.files.keys() - seen):
        result.add("missing", name)
    return result


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """(relative name, path) of everything that is not a folder, sorted; links are never followed."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as listing:
            entries = sorted(listing, key=lambda one: one.name)
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                yield path.relative_to(folder).as_posix(), path


def hash_file(path: Path) -> tuple[str, int]:
    """(SHA-256, size) of a regular file, through one descriptor that follows no link and waits for nobody.

    Raises:
        OSError: it is not a regular file, or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"not a regular file: {path.name}")
        digest, size = hashlib.sha256(), 0
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
