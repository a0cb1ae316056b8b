"""Windows events as flat records, by compiled code: every key is a payload field, some are the header's too.

What ``windows`` tells by objects: a header field has several names, the first with a value counts, and the payload's
own column of that name wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from cityguard.decoders import jsoncolumns
from cityguard.decoders import jsonscan as scan

NAMES: Final[Mapping[str, Sequence[str]]] = {
    "EventID": ("EventID", "EventId", "event_id"),
    "Channel": ("Channel", "channel", "LogName"),
    "Provider_Name": ("Provider_Name", "SourceName", "ProviderName", "provider_name", "Provider"),
    "Provider_Guid": ("Provider_Guid", "ProviderGuid", "provider_guid"),
    "Computer": ("Computer", "Hostname", "ComputerName", "MachineName", "computer_name", "host"),
    "EventRecordID": ("EventRecordID", "RecordNumber", "RecordId", "record_id"),
    "SystemTime": ("SystemTime", "@timestamp", "TimeCreated", "EventTime", "UtcTime"),
    "Level": ("Level",),
}
"""Our header name -> what flat records and winlogbeat call it, in order of preference."""
OTHERS: Final = frozenset(("Event", "winlog", "System", "EventData"))
"""Keys of other forms."""
STAMP: Final = "\4@timestamp"
_NULL: Final = jsoncolumns.kindset(scan.NULL)
_STRING: Final = jsoncolumns.kindset(scan.TEXT, scan.ESCAPED)
_ALONE: Final = (_STRING, jsoncolumns.kindset(scan.INT))
_LISTS: Final = jsoncolumns.kindset(scan.LIST)
_TYPED: Final = frozenset(one for name, known in NAMES.items() for one in known[1:] if name != "EventID") | {"Channel"}
"""Keys whose values become a header's, of a kind of their own."""


def other(key: str) -> bool:
    """Whether a record with this key has another form."""
    return key in OTHERS or key.startswith("winlog.")


def name(way: tuple[str, ...]) -> str | None:
    """What a path is called: ``\\2`` and a payload field; None where its lines are left."""
    if len(way) > 1 or other(way[0]) or not way[0].strip(" "):
        return None
    return STAMP if way[0] == "@timestamp" else "\2" + way[0]


def fits(key: str, kinds: int) -> bool:
    """Whether the kinds of a path's values are those of a header field, where it is one."""
    held = kinds & ~_NULL
    if key not in _TYPED:
        return True
    if key in NAMES["Channel"]:
        return not held & ~_STRING
    return any(not held & ~kind for kind in _ALONE) or (key != "@timestamp" and bool(held & _LISTS))


def key(there: Mapping[str, pl.Series]) -> tuple[pl.Series | None, pl.Series | None]:
    """Number (null where it is none) and channel of each event; ``there`` are payload columns by name."""
    number = _first(there, "EventID")
    if number is not None:
        number = number.str.strip_chars(" ").cast(pl.Int64, strict=False)
    return number, _first(there, "Channel")


def header(there: Mapping[str, pl.Series], number: int, rows: int, whole: frozenset[str]) -> pl.DataFrame:
    """The header's columns, where the payload's own do not tell all; ``whole`` are keys that hold whole numbers."""
    made = {"EventID": pl.Series([number], dtype=pl.Int64).new_from_index(0, rows)}
    for own in NAMES:
        if own == "EventID" or (own in there and not there[own].null_count()):
            continue
        column = _first(there, own, whole)
        if column is not None:
            made[own] = column
    return pl.DataFrame(made)


def _first(there: Mapping[str, pl.Series], own: str, whole: frozenset[str] = frozenset()) -> pl.Series | None:
    """The first value there is under one of a header field's names."""
    found: pl.Series | None = None
    for name in NAMES[own]:
        column = there.get(STAMP if name == "@timestamp" else name)
        if column is None or isinstance(column.dtype, pl.List):
            continue
        if name in whole:
            column = column.cast(pl.Int64, strict=False)
        if found is None:
            found = column
            continue
        if found.dtype != column.dtype:
            found, column = found.cast(pl.String), column.cast(pl.String)
        found = found.fill_null(column)
    return found


def rows(found: jsoncolumns.Scan) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool[n], lines of this form."""
    keys, parents = found.keys(), found.paths[:, 0]
    foreign = np.array([parents[path] == 0 and other(one) for path, one in enumerate(keys)])
    tokens = found.tokens[: found.count]
    out = found.good.copy()
    out[tokens[foreign[tokens[:, 0]], 1]] = False
    return out
