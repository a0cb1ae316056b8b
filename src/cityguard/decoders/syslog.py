"""Syslog lines: the header of RFC 3164 and RFC 5424, and what devices and relays make of it.

A line without a header is a message all the same (RFC 3164 section 4.3.3), so nothing is rejected.
"""

from __future__ import annotations

import numpy as np

from cityguard.decoders import keyvalue
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.envelope import beside, header
from cityguard.decoders.text import placed, text
from cityguard.model import Decoded, EventBatch, Frames

_PARAMETERS = keyvalue.style({"separator": " [", "closing": "]"})


def decoder(options: Options) -> Decoder:
    """Option: ``structured: true`` gives every parameter of RFC 5424 structured data a column of its own.

    Columns: pri, severity, facility, stamp, host, program, pid, msgid, structured, message, relay.
    """
    return _Syslog(bool(options.get("structured", False)), frozenset(options.get("wanted", ())))


class _Syslog:
    def __init__(self, structured: bool, wanted: frozenset[str]) -> None:
        self._structured = structured
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        rows = np.arange(len(frames), dtype=np.int64)
        table, spare = header(read.values), None
        if self._structured and table["structured"].is_not_null().any():
            values, spare = keyvalue.pairs(table["structured"], _PARAMETERS, self._wanted)
            table = beside(values, table)
        return Decoded((EventBatch("", "", placed(table, frames, rows, read, spare)),))

    def flush(self) -> Decoded:
        return Decoded()
