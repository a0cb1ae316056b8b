"""Windows events as JSON (EVTX exports, winlogbeat, flat records) or XML; one table per (channel, event id), bounded.

Fields keep the names Sigma rules use (``EventID``, ``Image``, ``CommandLine`` …). A payload field wins over a
header field of its name; blanks in names go (``Threat Name`` is ``ThreatName`` in rules).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from cityguard import fast
from cityguard.decoders import shapes, surrogates, taxonomy, winflat, winscan, winxml
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.columnar import collection_paused, table
from cityguard.decoders.json import Words, parsed
from cityguard.decoders.text import Text, dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames, LogSource

Object = dict[str, Any]
Key = tuple[str, int, str]
"""Channel, event id and, of Sysmon's registry events, their type."""
_HEADER = winflat.NAMES
_ALIASES = {"Image": "NewProcessName", "ParentImage": "ParentProcessName", "LogonId": "SubjectLogonId"}
"""Security 4688 in the words of process_creation rules."""
_ALWAYS = frozenset((*_ALIASES.values(), "SubjectDomainName", "SubjectUserName", "EventID", "Channel", "EventType"))
"""Fields that others are made of, or that tell classes."""
_LINUX = "linux-sysmon/operational"


def decoder(options: Options) -> Decoder:
    """Options: ``wanted`` as for json.

    ``asked``: of a log source, the fields somebody will look at (None = all); others may be left out.
    """
    return _Windows(frozenset(options.get("wanted", ())), options.get("asked"))


class _Windows:
    def __init__(
        self, wanted: frozenset[str], asked: Callable[[LogSource | None], frozenset[str] | None] | None
    ) -> None:
        self._wanted = wanted
        self._asked = asked

    def _fields(self, key: Key) -> frozenset[str] | None:
        """Fields of a class somebody will look at."""
        names = None if self._asked is None else self._asked(_source(key))
        return None if names is None else names | _ALWAYS

    def decode(self, frames: Frames) -> Decoded:
        return self.larger(frames, 0)[0]

    def larger(self, frames: Frames, least: int) -> tuple[Decoded, Words]:
        """The same but for lines whose class has fewer than ``least`` of them: these are put back, by number."""
        if not len(frames):
            return Decoded(), np.zeros(0, dtype=np.int64)
        with collection_paused():
            read = text(frames)
            asked = self._fields if self._asked is not None else None
            batches, left, small = _compiled(frames, read, asked, least)
            if len(left):  # halves of a pair are among what compiled code leaves
                read = surrogates.replaced(read)
            parts, good, bad = _events(read.values.gather(pl.Series(left)))
            good, bad = left[good], left[bad]
            classes: dict[Key, list[int]] = {}
            for index, part in enumerate(parts):
                if part is not None:
                    classes.setdefault(_class(*part), []).append(index)
            if len(classes) > winscan.MAX_CLASSES:
                classes = _folded(classes)
            batches += [
                _batch(key, [parts[i] or ({}, {}) for i in where], frames, good[np.array(where)], read, self._wanted)
                for key, where in sorted(classes.items())
            ]
        strange = good[np.array([index for index, part in enumerate(parts) if part is None], dtype=np.int64)]
        letters = dead(frames, bad, "neither a JSON object nor an Event element") + dead(
            frames, strange, "not a Windows event: no EventID"
        )
        return Decoded(tuple(batches), letters, len(bad) + len(strange)), small

    def flush(self) -> Decoded:
        return Decoded()


def _compiled(
    frames: Frames, read: Text, asked: winscan.Asked | None, least: int
) -> tuple[list[EventBatch], Words, Words]:
    """Events in the form that EVTX files are read in, by compiled code where there is any.

    Returns:
        Tables, the lines that are left, and those of small classes.
    """
    everything = np.arange(len(frames), dtype=np.int64)
    found = winscan.read(read.values, asked, least) if fast.ON and len(frames) >= shapes.MIN_LINES else None
    if found is None:
        return [], everything, everything[:0]
    parts = sorted(found[0], key=lambda part: part.key)
    return [_joined(part.key, part.header, part.body, frames, part.rows, read, None) for part in parts], *found[1:]


def _events(lines: pl.Series) -> tuple[list[tuple[Object, Object] | None], Words, Words]:
    """Header and payload of each event, the lines they came from, and the lines that are neither JSON nor XML."""
    marked = (lines.str.contains("<Event", literal=True) & ~lines.str.contains(r"^\s*\{")).to_numpy()
    asked = np.flatnonzero(~marked)
    objects, within = parsed(lines.gather(pl.Series(asked)))
    parts = [split(row) for row in objects]
    good = [asked[within]]
    if marked.any():
        where = np.flatnonzero(marked)
        read = [winxml.parse(line) for line in lines.gather(pl.Series(where))]
        there = np.fromiter((one is not None for one in read), np.bool_, len(read))
        parts += [_numbered(*one) for one in read if one is not None]
        good.append(where[there])
    rows = np.concatenate(good)
    return parts, rows, np.setdiff1d(np.arange(len(lines), dtype=np.int64), rows)


def split(row: Object) -> tuple[Object, Object] | None:
    """Header and payload of one event, or None when it is no Windows event."""
    event = row.get("Event")
    if isinstance(event, dict) and isinstance(event.get("System"), dict):
        header, payload = _system(event["System"]), _payload(event)
    elif isinstance(row.get("winlog"), dict):
        header, payload = _winlogbeat(row, row["winlog"])
    elif isinstance(row.get("System"), dict):
        header, payload = _system(row["System"]), _payload(row)
    else:
        header, payload = _flat(row)
    return _numbered(header, payload)


def _numbered(header: Object, payload: Object) -> tuple[Object, Object] | None:
    try:
        header["EventID"] = int(str(header["EventID"]).strip(), 10)
    except (KeyError, ValueError):
        return None
    if not 0 <= header["EventID"] < 1 << 31:
        return None
    return header, payload


def _batch(
    key: tuple[str, int, str],
    parts: list[tuple[Object, Object]],
    frames: Frames,
    rows: Any,
    read: Text,
    wanted: frozenset[str],
) -> EventBatch:
    head, _ = table([header for header, _ in parts], wanted=_HEADER)
    body, spare = table([payload for _, payload in parts], wanted=wanted)
    body = body.drop("EventID", strict=False)
    return _joined(
        key, head, body.with_columns(_plain(column) for column in body.get_columns()), frames, rows, read, spare
    )


def _joined(
    key: tuple[str, int, str],
    head: pl.DataFrame,
    body: pl.DataFrame,
    frames: Frames,
    rows: Any,
    read: Text,
    spare: pl.Series | None,
) -> EventBatch:
    """Header and payload side by side; what the payload names is its own."""
    channel, number, _ = key
    data = pl.concat([head.drop(body.columns, strict=False), _filled(body, head)], how="horizontal")
    data = placed(data, frames, rows, read, spare)
    if number == 4688 and channel.lower() == "security":
        data = _as_process(data)
    named = taxonomy.SYSMON if channel.lower() == _LINUX else channel
    return EventBatch(taxonomy.dataset(named, number), "", data, logsource=_source(key))


def _source(key: Key) -> LogSource:
    channel, number, kind = key
    product = "linux" if channel.lower() == _LINUX else "windows"
    return taxonomy.logsource(taxonomy.SYSMON if product == "linux" else channel, number, kind, product)


def _filled(body: pl.DataFrame, head: pl.DataFrame) -> pl.DataFrame:
    """The payload, with the header's values where an event's payload has none of that name."""
    made = [
        body[name].fill_null(_alike(head[name].cast(pl.String), body.schema[name]))
        for name in head.columns
        if name in body.columns and body[name].null_count()
    ]
    return body.with_columns(made) if made else body


def _alike(column: pl.Series, kind: pl.DataType) -> pl.Series:
    """Texts, as lists of one where lists are wanted."""
    if not isinstance(kind, pl.List):
        return column
    return pl.select(pl.when(column.is_not_null()).then(pl.concat_list(column))).to_series()


def _class(header: Object, payload: Object) -> tuple[str, int, str]:
    channel, number = str(header.get("Channel") or ""), header["EventID"]
    kind = str(payload.get("EventType") or "") if number == 12 and "sysmon" in channel.lower() else ""
    return channel, number, kind


def _folded(classes: dict[Key, list[int]]) -> dict[Key, list[int]]:
    """Fewer classes, of the same log sources and datasets: event ids and channels are of the sender's choosing.

    Those whose number Sigma's taxonomy tells from others stay on their own, so their columns do, too.
    """
    alike: dict[tuple[object, ...], tuple[Key, list[int]]] = {}
    for key, where in sorted(classes.items()):
        channel, number, kind = key
        product = "linux" if channel.lower() == _LINUX else "windows"
        named = taxonomy.SYSMON if product == "linux" else channel
        source, dataset = taxonomy.logsource(named, number, kind, product), taxonomy.dataset(named, number)
        known = source.category or dataset != taxonomy.dataset(named, None)
        own = (channel.lower(), number) if known else ()
        alike.setdefault((source, dataset, own), (key, []))[1].extend(where)
    return {key: sorted(where) for key, where in alike.values()}


def _system(system: Object) -> Object:
    provider = _attributes(system.get("Provider"))
    execution = _attributes(system.get("Execution"))
    return {
        "EventID": _text(system.get("EventID")),
        "Channel": _text(system.get("Channel")),
        "Provider_Name": provider.get("Name") or provider.get("EventSourceName"),
        "Provider_Guid": provider.get("Guid"),
        "Computer": _text(system.get("Computer")),
        "EventRecordID": _text(system.get("EventRecordID")),
        "SystemTime": _attributes(system.get("TimeCreated")).get("SystemTime"),
        "Level": _text(system.get("Level")),
        "Task": _text(system.get("Task")),
        "Opcode": _text(system.get("Opcode")),
        "Keywords": _text(system.get("Keywords")),
        "UserID": _attributes(system.get("Security")).get("UserID"),
        "ProcessID": execution.get("ProcessID"),
        "ThreadID": execution.get("ThreadID"),
    }


def _payload(event: Object) -> Object:
    """``EventData``, or the one element inside ``UserData``."""
    data = event.get("EventData")
    if not isinstance(data, dict):
        user = event.get("UserData")
        data = {"Data": data} if data is not None else {}
        if isinstance(user, dict):
            inner = [value for key, value in user.items() if isinstance(value, dict) and not _is_attribute(key)]
            data = inner[0] if inner else {key: value for key, value in user.items() if not _is_attribute(key)}
    named = data.get("Data")
    if (
        isinstance(named, list)
        and named
        and all(isinstance(one, dict) and _attributes(one).get("Name") for one in named)
    ):
        data = {str(_attributes(one)["Name"]): _text(one) for one in named}
    return _cleaned(data)


def _cleaned(data: Object) -> Object:
    """Blanks in names go, attributes go, elements with attributes become their text."""
    names, plain = _names(tuple(data))
    if plain and dict not in set(map(type, data.values())):
        return data
    return {name: _text(value) for name, value in zip(names, data.values(), strict=True) if name}


@lru_cache(maxsize=512)
def _names(keys: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    names = tuple("" if _is_attribute(key) else key.replace(" ", "") for key in keys)
    return names, names == keys


def _winlogbeat(row: Object, winlog: Object) -> tuple[Object, Object]:
    header = _header({**row, **winlog})
    payload: Object = {}
    for part in ("event_data", "user_data"):
        if isinstance(winlog.get(part), dict):
            payload |= {str(key).replace(" ", ""): _text(value) for key, value in winlog[part].items()}
    if isinstance(row.get("message"), str):
        payload.setdefault("Message", row["message"])
    return header, payload


def _flat(row: Object) -> tuple[Object, Object]:
    if "winlog.event_id" in row or "winlog.channel" in row:
        winlog: Object = {key[7:]: value for key, value in row.items() if key.startswith("winlog.")}
        data = {key[11:]: value for key, value in winlog.items() if key.startswith("event_data.")}
        return _winlogbeat(row, {**winlog, "event_data": data})
    payload = {
        key.replace(" ", ""): _text(value) for key, value in row.items() if key not in ("@timestamp", "EventData")
    }
    inner = row.get("EventData")
    if isinstance(inner, dict):
        payload |= _payload({"EventData": inner})
    return _header(row), payload


def _header(row: Object) -> Object:
    header: Object = {}
    for name, known in _HEADER.items():
        for key in known:
            value = _text(row.get(key))
            if value is not None and not isinstance(value, dict | list):
                header[name] = value
                break
    return header


def _is_attribute(key: str) -> bool:
    return key in ("#attributes", "xmlns") or key.startswith("@")


def _attributes(value: Any) -> Object:
    """XML attributes, as the JSON of several tools holds them."""
    if not isinstance(value, dict):
        return {}
    inner = value.get("#attributes")
    return inner if isinstance(inner, dict) else {key.lstrip("@"): one for key, one in value.items()}


def _text(value: Any) -> Any:
    """The text of an element that also has attributes."""
    return value["#text"] if isinstance(value, dict) and "#text" in value else value


def _plain(column: pl.Series) -> pl.Series:
    """Payload values are text, as rules write them; lists stay lists of text."""
    if column.dtype == pl.Boolean:
        return column.cast(pl.String)
    return column if isinstance(column.dtype, pl.List) else column.cast(pl.String)


def _as_process(data: pl.DataFrame) -> pl.DataFrame:
    names = set(data.columns)
    data = data.with_columns(
        pl.col(native).alias(name) for name, native in _ALIASES.items() if native in names and name not in names
    )
    if {"SubjectDomainName", "SubjectUserName"} <= names and "User" not in names:
        data = data.with_columns(pl.format("{}\\{}", "SubjectDomainName", "SubjectUserName").alias("User"))
    return data
