"""Identifiers minted from our own data only, the same on every re-run.

Event ids are 16 bytes: 48 bits of milliseconds, so that they sort by time and Parquet statistics prune,
then 80 bits that depend on where the event came from. A content hash is not used: two equal
"Failed password" lines are two attacks. The sender's own ids are not used either: a forged one
would suppress a real event.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

_U64 = np.uint64


def source_key(*parts: str) -> bytes:
    """32 bytes that name one origin of events, e.g. the SHA-256 of a file and a dataset."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=32, person=b"cg-source").digest()


def event_ids(
    key: bytes, time_ms: npt.NDArray[np.int64], number: npt.NDArray[np.int64], nth: npt.NDArray[np.int64]
) -> pl.Series:
    """Mint one id per row, without a Python loop.

    Args:
        key: what ``source_key`` gave.
        time_ms: int64[n], event time in milliseconds since the epoch (0 where unknown; clamped to 48 bits).
        number: int64[n], place in the source (byte offset, packet or sequence number).
        nth: int64[n], 0, 1, 2 … among the rows that share a place.

    Returns:
        A string Series of 32 hex digits. Within one key, distinct (number, nth) give distinct ids: both
        halves are bijective mixes (splitmix64 finaliser) keyed by ``key``; nth must stay below 2**16.
    """
    words = np.frombuffer(key, dtype="<u8")
    place = (number.astype(_U64) << _U64(16)) | (nth.astype(_U64) & _U64(0xFFFF))
    high = _mix(place ^ words[0]) ^ words[2]
    low = _mix(place ^ words[1])
    out = np.empty((len(place), 16), dtype=np.uint8)
    clamped = np.clip(time_ms, 0, (1 << 48) - 1).astype(">u8")
    out[:, :6] = clamped.view(np.uint8).reshape(-1, 8)[:, 2:]
    out[:, 6:14] = high.astype(">u8").view(np.uint8).reshape(-1, 8)
    out[:, 14:] = low.astype(">u8").view(np.uint8).reshape(-1, 8)[:, :2]
    return _hex(out)


def _hex(raw: npt.NDArray[np.uint8]) -> pl.Series:
    # A string column straight over one buffer: no Python string per row.
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = np.empty((len(raw), 32), dtype=np.uint8)
    text[:, 0::2] = digits[raw >> 4]
    text[:, 1::2] = digits[raw & 15]
    offsets = np.arange(len(raw) + 1, dtype=np.int64) * 32
    array = pa.LargeStringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(text))
    return pl.Series("event.id", pl.from_arrow(array))


def _mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = (value ^ (value >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> _U64(27))) * _U64(0x94D049BB133111EB)
    return value ^ (value >> _U64(31))


def alert_id(rule_id: str, version: str, group: tuple[str, ...], window_start: int) -> str:
    """Deterministic id of an alert: the same rule, group and window always merge into one alert.

    Args:
        rule_id: the rule's UUID or a detector's name.
        version: what changes when the rule's meaning changes.
        group: the group key's values, in the rule's order.
        window_start: seconds since the epoch at which the merge window begins.
    """
    text = "\x1f".join((rule_id, version, *group, str(window_start)))
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"cg-alert").hexdigest()


def content_id(kind: str, canonical: bytes) -> str:
    """Id of an immutable record (evidence …): a hash of its canonical JSON."""
    return hashlib.blake2b(canonical, digest_size=16, person=kind.encode()[:16]).hexdigest()
