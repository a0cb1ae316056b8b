"""The audit chain: every row holds the hash of the one before; a keyed anchor holds what a rewriter cannot forge."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cityguard import crypto
from cityguard.errors import StoreError
from cityguard.model import AuditEntry

EVERY = 100  # rows between anchors that are kept for good
MAX_FIELD = 65_536
START = "0" * 64


def entry(
    last: AuditEntry | None, actor: str, ip: str, action: str, object: str, detail: str, at: datetime
) -> AuditEntry:
    """The row that follows ``last``."""
    seq, previous = (last.seq + 1, last.hash) if last else (1, START)
    actor, ip, action, object, detail = texts = [text[:MAX_FIELD] for text in (actor, ip, action, object, detail)]
    made = _hash(seq, at, texts, previous)
    return AuditEntry(seq, at.astimezone(UTC), actor, ip, action, object, detail, previous, made)


def first_bad(
    entries: Iterable[AuditEntry], anchors: dict[int, str], newest: tuple[int, str] | None, key: bytes
) -> int | None:
    """The first row that is not as it was written, or None.

    Args:
        entries: all rows, by seq.
        anchors: seq -> anchor of every ``EVERY``th row.
        newest: (seq, mac) of the last row; None = nothing was ever written.
        key: the anchors' key.

    Returns:
        The seq of the first row that was changed, taken out, put in or cut off.
    """
    last: AuditEntry | None = None
    for seen, row in enumerate(entries, 1):
        previous = last.hash if last else START
        texts = [row.actor, row.ip, row.action, row.object, row.detail]
        if row.seq != seen or row.previous != previous or row.hash != _hash(row.seq, row.at, texts, previous):
            return seen
        if row.seq % EVERY == 0 and not crypto.same(anchors.get(row.seq, ""), anchor(key, row)):
            return row.seq - EVERY + 1
        last = row
    if last is None:
        return 1 if newest or anchors else None
    beyond = [seq for seq in (*anchors, newest[0] if newest else 0) if seq > last.seq]
    if beyond:
        return last.seq + 1
    if newest is None or newest[0] != last.seq or not crypto.same(newest[1], head(key, last)):
        return last.seq // EVERY * EVERY + 1
    return None


def anchor(key: bytes, row: AuditEntry) -> str:
    """What only the key's holder can say of a row."""
    return crypto.mac(key, f"{row.seq}:{row.hash}".encode())


def head(key: bytes, row: AuditEntry) -> str:
    """As ``anchor``, but it also says that this row was once the last one: an anchor cannot stand in for it."""
    return crypto.mac(key, f"head:{row.seq}:{row.hash}".encode())


def write_head(path: Path, seq: int, mac: str) -> None:
    """Note outside of the database how far the chain had come.

    Raises:
        StoreError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("w", encoding="ascii") as file:
            file.write(f"{seq} {mac}\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(
            f"cannot note the audit's head ({error})", place=str(path), remedy="free some space"
        ) from error


def read_head(path: Path) -> int | None:
    """The seq that ``write_head`` noted; None when there is none or it is not legible."""
    try:
        seq = path.read_text(encoding="ascii").split(" ")[0]
    except (OSError, UnicodeDecodeError):
        return None
    return int(seq) if seq.isdecimal() and len(seq) < 19 else None


def load_key(path: Path) -> bytes:
    """The anchors' key; made on first use, mode 0400.

    Raises:
        StoreError: the file cannot be read or made, or is not a key.
    """
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read the audit key ({error})", place=str(path), remedy="check its owner") from error
    if len(key) != 32:
        raise StoreError("the audit key is damaged", place=str(path), remedy="restore it from a backup")
    return key


def _make_key(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        os.write(handle, secrets.token_bytes(32))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(temporary, path)  # whoever is first wins; the file is never seen half written
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _hash(seq: int, at: datetime, texts: list[str], previous: str) -> str:
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    canonical = json.dumps([seq, moment, *texts, previous], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
