"""What an import brought: each file with the hash it was imported with, so that local changes are known and kept."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from cityguard.errors import InputError

FILE = "manifest.json"
FOLDER = "imported"
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as it was imported last."""

    sha256: str
    ids: tuple[str, ...] = ()
    title: str = ""
    modified: str = ""  # the rule's own 'modified', else 'date'
    level: str = ""
    status: str = ""
    removed: str = ""  # when upstream was first seen without it, ISO 8601


@dataclass(frozen=True, slots=True)
class Manifest:
    """One import, by name. ``files`` maps paths below the import's folder to what came."""

    name: str
    source: str = ""  # file name of the archive or folder
    source_sha256: str = ""
    license: str = ""
    license_sha256: str = ""
    by: str = ""
    at: str = ""
    files: dict[str, Entry] = field(default_factory=dict)


def digest(data: bytes) -> str:
    """SHA-256 with line ends as they are: a change of them is a change."""
    return hashlib.sha256(data).hexdigest()


def load(folder: Path) -> Manifest | None:
    """The manifest of an import's folder; None when nothing was imported there.

    Raises:
        InputError: it cannot be read; importing over it would lose what it knows.
    """
    path = folder / FILE
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError("too large for a manifest", place=str(path))
        return msgspec.json.decode(raw, type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = "restore it from a backup, or remove the folder and import again"
        raise InputError(f"the manifest cannot be read ({error})", place=str(path), remedy=remedy) from None


def save(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; it is whole at every moment."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    put(folder / FILE, text)


def put(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Write a file in one step: readers see the old one or the new one; ``synced`` waits for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        Path(name).chmod(0o640)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
