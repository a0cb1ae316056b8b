"""systemd's journal: JSON (``journalctl -o json``) or the Journal Export Format, one item per entry.

Besides the journal's own fields there are ``program``, ``pid``, ``host``, ``message``, ``severity`` and ``stamp``, as
of syslog.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from cityguard.decoders import columnar, surrogates
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.json import parsed
from cityguard.decoders.text import dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames

MAX_FIELDS: Final = 500
_ALIASES: Final = {
    "program": ("SYSLOG_IDENTIFIER", "_COMM"),
    "pid": ("_PID", "SYSLOG_PID"),
    "host": ("_HOSTNAME",),
    "message": ("MESSAGE",),
    "severity": ("PRIORITY",),
    "stamp": ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"),
}
Object = dict[str, Any]


def decoder(options: Options) -> Decoder:
    """Option: ``wanted`` as for json."""
    return _Journal(frozenset(options.get("wanted", ())) | {name for names in _ALIASES.values() for name in names})


class _Journal:
    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = surrogates.replaced(text(frames))
        marked = read.values.str.contains(r"^\s*\{").to_numpy()
        asked = np.flatnonzero(marked)
        found, within = parsed(read.values.gather(pl.Series(asked)))
        rows = {int(row): one for row, one in zip(asked[within], found, strict=True)}
        rows |= {int(row): one for row in np.flatnonzero(~marked) if (one := entry(frames.item(int(row))))}
        good = np.array(sorted(rows), np.int64)
        bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), good)
        letters = dead(frames, bad, "no entry of the journal")
        if not len(good):
            return Decoded((), letters, len(bad))
        with columnar.collection_paused():
            table, spare = columnar.table([_flat(rows[int(row)]) for row in good], wanted=self._wanted)
        table = table.with_columns(
            pl.coalesce(present).cast(pl.String).alias(name)
            for name, names in _ALIASES.items()
            if (present := [one for one in names if one in table.columns])
        )
        return Decoded((EventBatch("", "", placed(table, frames, good, read, spare)),), letters, len(bad))

    def flush(self) -> Decoded:
        return Decoded()


def entry(raw: bytes) -> Object:
    """Fields of one entry in export form: ``NAME=text`` lines, or NAME, a length in 8 bytes and that many bytes.

    Args:
        raw: the entry, with or without the empty line that ends it.

    Returns:
        The fields; what cannot be read ends them. Repeated ones are lists.
    """
    out: Object = {}
    place = 0
    while place < len(raw) and len(out) < MAX_FIELDS:
        end = raw.find(b"\n", place)
        end = len(raw) if end < 0 else end
        name, equals, value = raw[place:end].partition(b"=")
        place = end + 1
        if not name:
            break
        if not equals:
            size = int.from_bytes(raw[place : place + 8], "little")
            if place + 8 + size > len(raw):
                break
            value = raw[place + 8 : place + 8 + size]
            place += 8 + size + 1
        key, said = name.decode("latin-1"), value.decode("utf-8", "replace")
        if key in out:
            out[key] = [*(out[key] if isinstance(out[key], list) else [out[key]]), said][:MAX_FIELDS]
        else:
            out[key] = said
    return out if "__CURSOR" in out or "MESSAGE" in out else {}


def _flat(row: Object) -> Object:
    """Bytes that JSON writes as numbers are text again; of a field given several times, one value per row is kept."""
    return {key: _value(value) for key, value in row.items()}


def _value(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(one, int) and 0 <= one < 256 for one in value):
        return bytes(value).decode("utf-8", "replace")
    return "\n".join(str(_value(one)) for one in value[:MAX_FIELDS])
