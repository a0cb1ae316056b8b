"""State as bytes: a JSON head that says how long each part is, then the parts; tables are Arrow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl

_MAGIC = b"cg-rules-1\n"
MAX_BYTES = 1 << 30


def pack(head: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """One block of bytes from plain data and named parts."""
    told = orjson.dumps({"head": head, "parts": {name: len(part) for name, part in parts.items()}})
    return b"".join((_MAGIC, len(told).to_bytes(8, "big"), told, *parts.values()))


def unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What ``pack`` was given.

    Raises:
        ValueError: the bytes are not of this form.
    """
    start = len(_MAGIC) + 8
    if raw[: len(_MAGIC)] != _MAGIC or not start <= len(raw) <= MAX_BYTES:
        raise ValueError("unknown form")
    end = start + int.from_bytes(raw[len(_MAGIC) : start], "big")
    told = orjson.loads(raw[start:end])
    parts: dict[str, bytes] = {}
    for name, size in told["parts"].items():
        if not isinstance(size, int) or size < 0 or end + size > len(raw):
            raise ValueError("cut short")
        parts[name] = raw[end : end + size]
        end += size
    if not isinstance(told["head"], dict) or end != len(raw):
        raise ValueError("parts do not add up")
    return told["head"], parts


def table(frame: pl.DataFrame) -> bytes:
    """A table as an Arrow file."""
    out = io.BytesIO()
    frame.write_ipc(out, compression="zstd")
    return out.getvalue()


def frame(raw: bytes) -> pl.DataFrame:
    """The table of an Arrow file.

    Raises:
        polars.exceptions.PolarsError, ValueError: the bytes are none.
    """
    return pl.read_ipc(io.BytesIO(raw))
