"""Windows events as the reader of EVTX files writes them, by compiled code: the columns ``windows`` makes of objects.

Two forms are taken: ``Event`` with ``System`` and a flat ``EventData``, and flat records. Whatever has another one is
left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import columnar, jsoncolumns, winflat
from cityguard.decoders import jsonscan as scan

Words = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Key = tuple[str, int, str]
Asked = Callable[[Key], frozenset[str] | None]
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


def read(lines: pl.Series, asked: Asked | None = None, least: int = 0) -> tuple[list[Part], Words, Words] | None:
    """Events by class, the lines that are left, and those of classes too small; None where nothing can be told so.

    Args:
        lines: String, n rows.
        asked: the fields of a class somebody will look at; None = all.
        least: rows below which a class is not read but put back.
    """
    found = jsoncolumns.scanned(lines, columnar.MAX_COLUMNS)
    if found is None or not found.good.any():
        return None
    parts, left = list[Part](), np.ones(len(lines), np.bool_)
    back = [np.zeros(0, np.int64)]
    flat = winflat.rows(found)
    for rows, form in ((found.good & ~flat, _NESTED), (flat, _FLAT)):
        if rows.any():
            parts += _read(found, rows, form, asked, least, back)
    small = np.sort(np.concatenate(back))
    left[small] = False
    for part in parts:
        left[part.rows] = False
    return (parts, np.flatnonzero(left), small) if parts or len(small) else None


def _read(
    found: jsoncolumns.Scan, rows: Bools, form: _Form, asked: Asked | None, least: int, back: list[Words]
) -> list[Part]:
    """Events of one form among some of the lines, as far as they can be read; ``back`` takes lines of small classes."""
    names = _named(found, form)
    what = _kinds(found, names) if names is not None else None
    keys = form.keys(found, names, what) if names is not None and what is not None else None
    if names is None or what is None or keys is None:
        return []
    good = rows & keys["n"].is_between(0, (1 << 31) - 1).fill_null(value=False).to_numpy()
    good[_strange(found, names)] = False
    if not good.any():
        return []
    return _classes(found, names, what, keys, np.flatnonzero(good), form, asked, least, back)


def _nothing(rows: int) -> pl.Series:
    return _NOTHING.new_from_index(0, rows)


def _named(found: jsoncolumns.Scan, form: _Form) -> list[str] | None:
    """What each path is called: a header field, ``\\2`` and a payload field, nothing, or why its lines are left."""
    keys, parents = found.keys(), found.paths[:, 0].tolist()
    names: list[str] = [_IGNORED]
    ways: list[tuple[str, ...]] = [()]
    for path in range(1, len(keys)):
        way = (*ways[parents[path]], keys[path])
        ways.append(way)
        names.append(_ODD if names[parents[path]] == _ODD else form.name(way))
    kinds = found.paths[:, 4].tolist()
    if form is _FLAT:
        for path, name in enumerate(names):
            if name[0] in "\2\4" and not winflat.fits(name[1:], kinds[path]):
                names[path] = _ODD
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
    return _keyed(number, there.get("Channel"), there.get("\2EventType"))


def _keyed(number: pl.Series, channel: pl.Series | None, kind: pl.Series | None) -> pl.DataFrame:
    nothing = _nothing(len(number))
    kind = nothing if kind is None or isinstance(kind.dtype, pl.List) else kind
    channel = (nothing if channel is None else channel).cast(pl.String).fill_null("")
    asked = (number == 12).arg_true()  # of few: texts are not looked at where the number says enough
    told = channel.gather(asked).str.to_lowercase().str.contains("sysmon", literal=True)
    kinds = pl.Series("k", [""], dtype=pl.String).new_from_index(0, len(number))
    if told.any():
        rows = asked.filter(told)
        kinds = kinds.scatter(rows, kind.gather(rows).cast(pl.String).fill_null(""))
    return pl.DataFrame({"c": channel, "n": number, "k": kinds})


def _strange(found: jsoncolumns.Scan, names: list[str]) -> Words:
    """Lines with a value where the usual form has none, or an object where a value belongs."""
    tokens, kinds = found.tokens[: found.count], found.kinds[: found.count]
    values = np.array([name == _ODD for name in names])
    texts = {name for name in names if name[0] == "\2"}
    held = np.array([name in _TEXTS for name in names])  # must be no object
    whole = np.array([name[0] == "\3" and name in ("\3System", "\3EventData") for name in names])  # must be one
    path = tokens[:, 0]
    special = values | held | whole
    odd = (
        np.zeros(len(tokens), np.bool_)
        if not special.any()
        else (
            values[path]
            | (held[path] & (kinds >= scan.OBJECT))
            | (whole[path] & (kinds != scan.OBJECT) & (kinds != scan.NULL))
        )
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


def _classes(
    found: jsoncolumns.Scan,
    names: list[str],
    what: list[int],
    keys: pl.DataFrame,
    rows: Words,
    form: _Form,
    asked: Asked | None,
    least: int,
    back: list[Words],
) -> list[Part]:
    made = keys[rows].with_columns(row=pl.Series(rows)).group_by("c", "n", "k", maintain_order=True).agg("row")
    if made.height > MAX_CLASSES:
        return []
    whole, counts = made["row"].explode().to_numpy(), made["row"].list.len().to_numpy().astype(np.int64)
    every = zip(made.select("c", "n", "k").iter_rows(), np.split(whole, np.cumsum(counts)[:-1]), strict=True)
    classes: list[tuple[Key, Words]] = []
    small: list[Words] = []
    for (channel, number, kind), where in every:
        if len(where) < least:
            small.append(where)
        else:
            classes.append(((channel, number, kind), where))
    of, within = np.full(len(keys), -1, np.int32), np.zeros(len(keys), np.int32)
    for number, (_, where) in enumerate(classes):
        of[where], within[where] = number, np.arange(len(where))
    chosen = [0 if name in _NUMBER or name == "\2EventID" else one for name, one in zip(names, what, strict=True)]
    groups = jsoncolumns.Groups(of, within, [len(where) for _, where in classes])
    if not found.fits(chosen, groups):
        return []
    chosen_only = None if asked is None else _asked([key for key, _ in classes], names, asked)
    back += small
    if not classes:
        return []
    columns = found.filled(names, chosen, groups, chosen_only)
    sides = form.sides(found, names)
    return [
        Part(key, *sides(held, key[1], len(where)), where) for (key, where), held in zip(classes, columns, strict=True)
    ]


def _asked(keys: list[Key], names: list[str], asked: Asked) -> npt.NDArray[np.uint8]:
    """uint8[g, m], which paths of each class somebody will look at."""
    plain = [_plain(name) for name in names]
    wanted = [asked(key) for key in keys]
    return np.array(
        [[1 if told is None or not told.isdisjoint(one) else 0 for one in plain] for told in wanted], np.uint8
    )


def _plain(name: str) -> frozenset[str]:
    """The fields that a path has a part in."""
    if name[0] == "\0":
        return frozenset(("EventID", "Provider_Name"))
    bare = name[1:] if name[0] in "\2\4" else name
    own = {one for one, known in winflat.NAMES.items() if bare in known}
    return frozenset(own | {bare.replace(" ", "")})


def _nested_sides(found: jsoncolumns.Scan, names: list[str]) -> Sides:
    return _sides


def _sides(made: list[pl.Series], number: int, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Header and payload of one class."""
    nothing = _nothing(count)
    there = {column.name: column for column in made if column.name[0] != "\2"}
    name, source = there.get("Provider_Name"), there.get("\0source", nothing)
    there["Provider_Name"] = source if name is None else name.zip_with((name != "").fill_null(value=False), source)
    there["EventID"] = pl.Series([number], dtype=pl.Int64).new_from_index(0, count)
    return pl.DataFrame({name: there.get(name, nothing) for name in HEADER}), _body(made)


def _body(made: list[pl.Series]) -> pl.DataFrame:
    named = {column.name[1:].replace(" ", ""): column for column in made if column.name[0] == "\2"}
    named.pop("EventID", None)
    return pl.DataFrame(named)


# ---------------------------------------------------------------- flat records


def _flat_name(way: tuple[str, ...]) -> str:
    return winflat.name(way) or _ODD


def _flat_keys(found: jsoncolumns.Scan, names: list[str], what: list[int]) -> pl.DataFrame | None:
    """As ``_keys``."""
    asked = {"\2" + one for one in (*winflat.NAMES["EventID"], *winflat.NAMES["Channel"], "EventType")}
    (made,) = found.filled(names, [one if name in asked else 0 for name, one in zip(names, what, strict=True)])
    there = {column.name[1:]: column for column in made}
    number, channel = winflat.key(there)
    if number is None:
        return None
    return _keyed(number, channel, there.get("EventType"))


def _flat_sides(found: jsoncolumns.Scan, names: list[str]) -> Sides:
    kinds = found.paths[:, 4].tolist()
    whole = frozenset(name[1:] for name, one in zip(names, kinds, strict=True) if not one & ~(_WHOLE | _NULL))

    def sides(made: list[pl.Series], number: int, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        there = {column.name if column.name[0] == "\4" else column.name[1:]: column for column in made}
        return winflat.header(there, number, count, whole), _body(made)

    return sides


Sides = Callable[[list[pl.Series], int, int], tuple[pl.DataFrame, pl.DataFrame]]


@dataclass(frozen=True, slots=True)
class _Form:
    """How events are written: what a path is called, what tells classes, and what becomes of a class's columns."""

    name: Callable[[tuple[str, ...]], str]
    keys: Callable[[jsoncolumns.Scan, list[str], list[int]], pl.DataFrame | None]
    sides: Callable[[jsoncolumns.Scan, list[str]], Sides]


_NESTED: Final = _Form(_name, _keys, _nested_sides)
_FLAT: Final = _Form(_flat_name, _flat_keys, _flat_sides)
