"""What a decoder is: frames in, tables out. ``decoder: netflow`` in a collector is ``decoders/netflow.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cityguard.model import Decoded, Frames


class Decoder(Protocol):
    """Pure and bounded; may keep state between calls (templates, open flows). Raises only DecodeError.

    Every module in this room has ``decoder(options: Mapping[str, Any]) -> Decoder``.
    Optional, where state should outlive the process: ``snapshot() -> bytes``, bounded, and ``restore(state: bytes)``,
    which raises InputError on what is no such state; ``per_sender = True``, where what it keeps is of one sender only.
    Tables it yields carry ``@timestamp`` and ``log.offset`` (the item's number); ids are minted later.
    """

    def decode(self, frames: Frames) -> Decoded:
        """Decode a piece; a bad item is rejected alone, the rest goes on."""

    def flush(self) -> Decoded:
        """Give what is still held at the end of the input."""


Options = Mapping[str, Any]
