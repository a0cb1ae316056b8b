"""Windows events as the reader of EVTX files writes them, by compiled code: the columns ``windows`` makes of objects.

Only the usual form is taken: ``Event`` with ``System`` and a flat ``EventData``. Whatever has another one is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import jsoncolumns
from cityguard.decoders import jsonscan as scan

Words = npt.NDArray[np.int64]
Key = tuple[str, int, str]
MAX_CLASSES: Final = 256
"""Tables one piece makes; event ids and channels are of the sender's choosing."""
_TEXTS: Final = ("Channel", "Computer", "EventRecordID", "Level", "Task", "Opcode", "Keywords")
_ATTRIBUTES: Final = {
    ("Provider", "Name"): "Provider_Name",
    ("Provider", "EventSourceName"): "\0source",
    ("Provider", "Guid"): "Provider_Guid",
    ("TimeCreated", "SystemTime"): "SystemTime",
    ("Security", "UserID"): "UserID",
    ("Execution", "ProcessID"): "ProcessID",
    ("Execution", "ThreadID"): "ThreadID",
}
_HOLDERS: Final = frozenset(element for element, _ in _ATTRIBUTES)
HEADER: Final = (
    "EventID", "Channel", "Provider_Name", "Provider_Guid", "Computer", "EventRecordID", "SystemTime", "Level", "Task",
    "Opcode", "Keywords", "UserID", "ProcessID", "ThreadID",
)  # fmt: skip
"""In the order of ``windows``."""
_NOTHING = pl.Series([None], dtype=pl.String)
_TEXT: Final = jsoncolumns.kindset(scan.FALSE, scan.TRUE, scan.INT, scan.BIG, scan.TEXT, scan.ESCAPED)
_LIST: Final = jsoncolumns.kindset(scan.LIST, scan.NULL) | _TEXT << scan.ELEMENT
_NULL: Final = jsoncolumns.kindset(scan.NULL)
_OBJECT: Final = jsoncolumns.kindset(scan.OBJECT)
_WHOLE: Final = jsoncolumns.kindset(scan.INT)
_STRING: Final = jsoncolumns.kindset(scan.TEXT, scan.ESCAPED)
_NUMBER: Final = ("EventID", "\0text")
_IGNORED, _ODD = "\1ignored", "\1odd"


@dataclass(frozen=True, slots=True)
class Part:
    """Events of one class: header fields, payload fields (text, or lists of text), and their lines."""

    key: Key
    header: pl.DataFrame
    body: pl.DataFrame
    rows: Words


def read(lines: pl.Series, limit: int) -> tuple[list[Part], Words] | None:
    """Events by class, and the lines that are left; None where nothing can be told this way.

    Args:
        lines: String, n rows.
        limit: columns there may be.
    """
    found = jsoncolumns.scanned(lines, limit)
    if found is None or not found.good.any():
        return None
    names = _named(found)
    if names is None:
        return None
    what = _kinds(found, names)
    if what is None or sum(one > 0 for one in what) > limit:
        return None
    keys = _keys(found, names, what)
    if keys is None:
        return None
    good = found.good & keys["n"].is_between(0, (1 << 31) - 1).fill_null(value=False).to_numpy()
    good[_strange(found, names)] = False
    if not good.any():
        return None
    if keys.filter(pl.Series(good)).n_unique() > MAX_CLASSES:
        return None
    return _classes(found, names, what, keys, np.flatnonzero(good)), np.flatnonzero(~good)


def _nothing(rows: int) -> pl.Series:
    return _NOTHING.new_from_index(0, rows)


def _named(found: jsoncolumns.Scan) -> list[str] | None:
    """What each path is called: a header field, ``\\2`` and a payload field, nothing, or why its lines are left."""
    keys, parents = found.keys(), found.paths[:, 0].tolist()
    names: list[str] = [_IGNORED]
    ways: list[tuple[str, ...]] = [()]
    for path in range(1, len(keys)):
        way = (*ways[parents[path]], keys[path])
        ways.append(way)
        names.append(_ODD if names[parents[path]] == _ODD else _name(way))
    kinds = found.paths[:, 4].tolist()
    payload: dict[str, int] = {}
    for path, name in enumerate(names):
        if name.startswith("\2"):
            fits = not kinds[path] & ~(_TEXT | _NULL | _OBJECT) or not kinds[path] & ~(_LIST | _OBJECT)
            other = payload.setdefault(name, path)
            if not fits or (other != path and kinds[other] & ~(_OBJECT | _NULL)):
                names[path] = _ODD
            elif other != path and kinds[path]:
                names[other], payload[name] = "\3" + name[1:], path  # only objects, whose texts these are
    for name, path in payload.items():  # two names that are one without their blanks
        if " " in name and name.replace(" ", "") in payload:
            names[path] = _ODD
    words = [name.replace(" ", "") for name, path in payload.items() if names[path] != _ODD]
    return names if len(set(words)) == len(words) else None


def _name(way: tuple[str, ...]) -> str:
    if way[0] != "Event" or way == ("Event",):
        return _IGNORED
    part, way = way[1], way[2:]
    if part == "System":
        if not way:
            return "\3System"
        if len(way) == 3 and way[1] == "#attributes" and way[0] in _HOLDERS:
            return _ATTRIBUTES.get((way[0], way[2]), _IGNORED)
        if way[0] == "EventID":
            return {("EventID",): "EventID", ("EventID", "#text"): "\0text"}.get(way, _IGNORED)
        if way[0] in _TEXTS:
            return way[0] if len(way) == 1 else _ODD
        if way[0] in _HOLDERS:
            return _IGNORED if len(way) == 1 or (way[1] == "#attributes" and len(way) == 2) else _ODD
        return _IGNORED
    if part == "UserData":
        return _ODD if way else _IGNORED
    if part != "EventData":
        return _IGNORED
    if not way:
        return "\3EventData"
    if way[0] in ("#attributes", "xmlns") or way[0].startswith("@"):
        return _IGNORED
    if not way[0].strip(" "):
        return _ODD
    if len(way) == 1 or (len(way) == 2 and way[1] == "#text"):
        return "\2" + way[0]
    return _IGNORED if way[1] == "#attributes" else _ODD


def _kinds(found: jsoncolumns.Scan, names: list[str]) -> list[int] | None:
    """What becomes of each path, as ``jsoncolumns.Scan.filled`` has it."""
    kinds = found.paths[:, 4].tolist()
    what = [0] * len(names)
    for path, name in enumerate(names):
        held = kinds[path] & ~(_NULL | _OBJECT)
        if name[0] in "\1\3" or not held:
            continue
        if name[0] == "\2":
            what[path] = jsoncolumns.LISTS if held & jsoncolumns.kindset(scan.LIST) else jsoncolumns.TEXTS
        elif not held & ~_WHOLE:
            what[path] = jsoncolumns.WHOLE
        elif not held & ~_STRING and name not in _NUMBER:
            what[path] = jsoncolumns.TEXTS
        else:
            return None
    return what


def _keys(found: jsoncolumns.Scan, names: list[str], what: list[int]) -> pl.DataFrame | None:
    """Channel, number and kind of each line's event, as ``windows`` tells classes; None without numbers."""
    chosen = [one if name in ("Channel", "\2EventType", *_NUMBER) else 0 for name, one in zip(names, what, strict=True)]
    (made,) = found.filled(names, chosen)
    there = {column.name: column for column in made}
    numbers = [there[name] for name in _NUMBER if name in there]
    if not numbers:
        return None
    number = numbers[0] if len(numbers) == 1 else numbers[0].fill_null(numbers[1])
    nothing = _nothing(len(number))
    kind = there.get("\2EventType", nothing)
    kind = nothing if isinstance(kind.dtype, pl.List) else kind
    channel = there.get("Channel", nothing).cast(pl.String).fill_null("")
    keyed = (number == 12) & channel.str.to_lowercase().str.contains("sysmon", literal=True)
    return pl.DataFrame({"c": channel, "n": number, "k": kind.zip_with(keyed, nothing).fill_null("")})


def _strange(found: jsoncolumns.Scan, names: list[str]) -> Words:
    """Lines with a value where the usual form has none, or an object where a value belongs."""
    tokens, kinds = found.tokens[: found.count], found.kinds[: found.count]
    values = np.array([name == _ODD for name in names])
    texts = {name for name in names if name[0] == "\2"}
    held = np.array([name in _TEXTS for name in names])  # must be no object
    whole = np.array([name[0] == "\3" and name in ("\3System", "\3EventData") for name in names])  # must be one
    path = tokens[:, 0]
    odd = (
        values[path]
        | (held[path] & (kinds >= scan.OBJECT))
        | (whole[path] & (kinds != scan.OBJECT) & (kinds != scan.NULL))
    )
    lines = [tokens[odd, 1]]
    # An object as a payload value stands for its text: where it has none it stays an object.
    for number, name in enumerate(names):
        if (name[0] == "\3" and not whole[number]) or (name in texts and found.paths[number, 4] & _OBJECT):
            objects = tokens[(path == number) & (kinds == scan.OBJECT), 1]
            text = [one for one, other in enumerate(names) if one != number and other == "\2" + name[1:]]
            told = tokens[np.isin(path, text), 1]
            lines.append(np.setdiff1d(objects, told))
    return np.unique(np.concatenate(lines)).astype(np.int64)


def _classes(found: jsoncolumns.Scan, names: list[str], what: list[int], keys: pl.DataFrame, rows: Words) -> list[Part]:
    grouped = (
        keys[rows].with_columns(row=pl.Series(rows)).group_by("c", "n", "k", maintain_order=True).agg("row").rows()
    )
    of, within = np.full(len(keys), -1, np.int32), np.zeros(len(keys), np.int32)
    places = [np.array(where, np.int64) for *_, where in grouped]
    for number, where in enumerate(places):
        of[where], within[where] = number, np.arange(len(where))
    chosen = [0 if name in _NUMBER or name == "\2EventID" else one for name, one in zip(names, what, strict=True)]
    columns = found.filled(names, chosen, jsoncolumns.Groups(of, within, [len(where) for where in places]))
    return [
        Part((channel, number, kind), *_sides(made, number, len(where)), where)
        for (channel, number, kind, _), made, where in zip(grouped, columns, places, strict=True)
    ]


def _sides(made: list[pl.Series], number: int, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Header and payload of one class."""
    nothing = _nothing(count)
    there = {column.name: column for column in made if column.name[0] != "\2"}
    name, source = there.get("Provider_Name"), there.get("\0source", nothing)
    there["Provider_Name"] = source if name is None else name.zip_with((name != "").fill_null(value=False), source)
    there["EventID"] = pl.Series([number], dtype=pl.Int64).new_from_index(0, count)
    body = {column.name[1:].replace(" ", ""): column for column in made if column.name[0] == "\2"}
    return pl.DataFrame({name: there.get(name, nothing) for name in HEADER}), pl.DataFrame(body)
