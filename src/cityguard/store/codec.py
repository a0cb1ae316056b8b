"""Records to JSON and back. A stored row that cannot be read is left out and counted, never the whole list."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

_log = logging.getLogger(__name__)
T = TypeVar("T")

BROKEN = (msgspec.DecodeError, UnicodeDecodeError, TypeError)
"""What ``decode`` raises for a row that is not what it should be."""

_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}


def encode(record: Any) -> bytes:
    """Canonical JSON: fields in the order of the class, times as RFC 3339."""
    return msgspec.json.encode(record)


def decode(kind: type[T], data: bytes | str) -> T:
    """A record from its JSON.

    Raises:
        msgspec.DecodeError: it is not JSON, or does not have the record's shape.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return decoder.decode(data)  # type: ignore[no-any-return]


class Reader:
    """Decodes lists of rows; ``malformed`` counts the rows left out since the store was opened."""

    def __init__(self) -> None:
        self.malformed = 0

    def all(self, kind: type[T], rows: Iterable[tuple[str, bytes | str]]) -> list[T]:
        """Records of the readable rows, given (name, JSON) each."""
        found: list[T] = []
        for name, data in rows:
            record = self.one(kind, name, data)
            if record is not None:
                found.append(record)
        return found

    def one(self, kind: type[T], name: str, data: bytes | str) -> T | None:
        try:
            return decode(kind, data)
        except BROKEN as error:
            self.malformed += 1
            _log.error("left out malformed %s %s: %s", kind.__name__, name, error)
            return None
