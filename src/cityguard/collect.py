"""Bytes to event tables: collectors from content, files and datagrams through a decoder, ids minted, items counted."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard import columns, content, ids
from cityguard.config import Limits
from cityguard.decoders import mapping
from cityguard.decoders.base import Decoder
from cityguard.errors import CityguardError, ContentErrors, DecodeError, InputError
from cityguard.model import Chunk, DeadLetter, Decoded, EventBatch, Frames, LogSource, Text
from cityguard.sources import documents, evtx, lines, opened, pcap, recognise

Kind = Literal["lines", "evtx", "capture", "datagram"]
UNITS: dict[Kind, str] = {"lines": "line", "evtx": "record", "capture": "packet", "datagram": "datagram"}
AHEAD = timedelta(days=1)
"""A stamp further ahead of us than this is a wrong clock."""
OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_EVTX = 2 << 30


# ---------------------------------------------------------------- collectors


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind = "lines"


class _Title(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    zh: str
    en: str


class Detect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the input is told from others. Without ``lines`` or ``keys`` it is only used when it is named."""

    lines: str | None = None  # a Rust regex that most of the first lines match
    keys: list[list[str]] = []  # JSON keys: every key of one of the lists
    priority: int = 50


class Test(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Own sample lines (or datagrams and packets in hex) and what they must become."""

    expect: list[dict[str, Any]]
    name: str = ""
    lines: list[str] = []
    hex: list[str] = []
    now: str | None = None
    rejected: int = 0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: _Title
    decoder: str
    dataset: str
    extends: str | None = None
    source: _Source = _Source()
    options: dict[str, Any] = {}
    detect: Detect | None = None
    timezone: str = "Asia/Shanghai"
    logsource: mapping.Source | None = None
    columns: dict[str, Any] = {}
    extract: list[mapping.Extract] = []
    classes: list[mapping.Class] = []
    keep_native: bool = True
    own_columns: bool = False
    tests: list[Test] = []


@dataclass(frozen=True, slots=True)
class Collector:
    """One kind of source: how its bytes are read and what its fields are called here."""

    name: str
    title: Text
    kind: Kind
    module: str
    options: Mapping[str, Any]
    fields: mapping.Fields
    path: Path
    detect: Detect | None = None
    tests: tuple[Test, ...] = ()

    @property
    def dataset(self) -> str:
        return self.fields.dataset

    @property
    def unit(self) -> str:
        return UNITS[self.kind]

    def decoder(self) -> Decoder:
        """A fresh decoder, with no state."""
        module = importlib.import_module(f"cityguard.decoders.{self.module}")
        made: Decoder = module.decoder(self.options)
        return made


@dataclass(frozen=True, slots=True)
class Collectors:
    """Every collector by name, the city's own over the shipped ones. Loops over the collectors themselves."""

    known: Mapping[str, Collector] = field(default_factory=dict)

    @classmethod
    def load(cls, extra: Path | None = None) -> Collectors:
        """Read ``collectors/*.yml`` of the shipped content and of the city's own folder.

        Raises:
            ContentErrors: every fault of every file, each with file and line.
        """
        return cls(_load(content.files("collectors", "*.yml", extra)))

    def __getitem__(self, name: str) -> Collector:
        """A collector by name.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.known:
            raise InputError(f"no collector '{name}'", remedy=f"known: {', '.join(sorted(self.known))}")
        return self.known[name]

    def __iter__(self) -> Iterator[Collector]:
        return iter(self.known.values())

    def __len__(self) -> int:
        return len(self.known)


def _load(paths: Sequence[Path]) -> dict[str, Collector]:
    faults: list[CityguardError] = []
    read: dict[str, content.Document] = {}
    for path in paths:
        try:
            read[path.stem] = content.load(path)
            if not isinstance(read[path.stem].data, dict):
                raise InputError("not a collector", place=str(path), remedy="see docs/collectors.md")
        except CityguardError as error:
            read.pop(path.stem, None)
            faults.append(error)
    found: dict[str, Collector] = {}
    for name in sorted(read):
        try:
            found[name] = _collector(read[name], _inherited(read[name], read))
        except CityguardError as error:
            faults.append(error)
    if faults:
        raise ContentErrors(faults)
    return found


def _inherited(document: content.Document, read: Mapping[str, content.Document]) -> dict[str, Any]:
    """A collector's keys over those of the one it extends; one step, so no circle."""
    base = document.data.get("extends")
    if base is None:
        return dict(document.data)
    if base not in read or "extends" in read[base].data:
        raise InputError(f"cannot extend '{base}'", place=document.place("extends"), remedy="name a plain collector")
    inherited = {key: value for key, value in read[base].data.items() if key not in ("tests", "detect")}
    return {**inherited, **document.data}


def _collector(document: content.Document, data: dict[str, Any]) -> Collector:
    try:
        file = msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        parts = [p for p in where.rstrip("`").replace("[", ".").replace("]", "").split(".") if p and p != "..."]
        place = document.place(*(int(part) if part.isdigit() else part for part in parts))
        raise InputError(
            f"{'.'.join(parts)}: {message}".lstrip(": "), place=place, remedy="see docs/collectors.md"
        ) from None

    def check(ok: object, message: str, *where: str | int, remedy: str = "") -> None:
        if not ok:
            raise InputError(message, place=document.place(*where), remedy=remedy)

    check(file.name == document.path.stem, f"name '{file.name}' is not the file's name", "name")
    check(
        file.dataset in columns.DATASETS, f"no dataset '{file.dataset}'", "dataset", remedy=", ".join(columns.DATASETS)
    )
    for index, one in enumerate(file.classes):
        check(one.dataset is None or one.dataset in columns.DATASETS, f"no dataset '{one.dataset}'", "classes", index)
    check(file.decoder.isidentifier() and _is_decoder(file.decoder), f"no decoder '{file.decoder}'", "decoder")
    try:
        zone = ZoneInfo(file.timezone)
    except (KeyError, ValueError, OSError):
        raise InputError(f"'{file.timezone}' is not a time zone", place=document.place("timezone")) from None
    fields = mapping.Fields(
        dataset=file.dataset,
        zone=zone,
        logsource=file.logsource.model() if file.logsource else None,
        rules=_rules(document, file.columns, "columns"),
        extract=tuple(file.extract),
        classes=tuple(file.classes),
        keep=file.keep_native,
        own=file.own_columns,
    )
    for index, one in enumerate(file.classes):
        _rules(document, one.columns, "classes", index, "columns")
    try:
        mapping.check_patterns(_patterns(file))
    except ValueError as error:
        raise InputError(
            str(error), place=document.place("extract"), remedy="Rust regex syntax, no look-around"
        ) from None
    return Collector(
        file.name,
        Text(file.title.zh, file.title.en),
        file.source.kind,
        file.decoder,
        {**file.options, "wanted": fields.wanted()},
        fields,
        document.path,
        file.detect,
        tuple(file.tests),
    )


def _rules(document: content.Document, given: Mapping[str, Any], *where: str | int) -> dict[str, mapping.Rule]:
    rules: dict[str, mapping.Rule] = {}
    for name, one in given.items():
        try:
            rules |= mapping.compiled({name: one})
        except (msgspec.ValidationError, ValueError) as error:
            raise InputError(
                f"{name}: {error}", place=document.place(*where, name), remedy="see docs/collectors.md"
            ) from None
    return rules


def _patterns(file: _File) -> list[str]:
    extracts = [*file.extract, *(one for group in file.classes for one in group.extract)]
    found = [pattern for one in extracts for pattern in one.patterns]
    found += [str(one) for one in file.options.get("patterns", ())]
    found += [str(file.options["header"])] if "header" in file.options else []
    found += [str(w["match"]) for c in file.classes for w in c.when.values() if isinstance(w, dict) and "match" in w]
    return [*found, *([file.detect.lines] if file.detect and file.detect.lines else [])]


def _is_decoder(name: str) -> bool:
    return importlib.util.find_spec(f"cityguard.decoders.{name}") is not None


# ---------------------------------------------------------------- reading files


def walk(paths: Sequence[Path]) -> list[Path]:
    """Files named, and files in folders named (bounded; hidden files and links inside folders left out)."""
    return [file for path in paths for file in opened.walk(path)]


def read(
    path: Path,
    collectors: Collectors,
    *,
    collector: str | None = None,
    dataset: str | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    now: datetime,
    source: str | None = None,
) -> Iterator[Chunk]:
    """Read a file, or every file of a folder, as chunks of bounded size.

    The same bytes give the same parts, ids and rows, whatever the path.

    Args:
        path: file or folder; gzip and zstd are unpacked on the way.
        collectors: what can be read.
        collector: its name; None = recognised from the content.
        dataset: for rows whose dataset neither the collector's classes nor the row tells.
        limits: bounds on one input.
        now: the present: ``event.ingested``, and the year of stamps without one.
        source: name in the ledger; None = the collector's name.

    Raises:
        InputError: not readable, refused, of no known kind, or damaged at its very start. In a folder a file of
            no known kind is counted as rejected instead.
    """
    if dataset is not None and dataset not in columns.DATASETS:
        raise InputError(f"no dataset '{dataset}'", remedy=", ".join(columns.DATASETS))
    if not path.is_dir():
        yield from _read(path, collectors, collector, dataset, limits, now, source)
        return
    for file in opened.walk(path):
        try:
            yield from _read(file, collectors, collector, dataset, limits, now, source)
        except InputError as error:
            letter = DeadLetter(str(file), 0, error.message, b"")
            name = hashlib.sha256(str(file).encode()).hexdigest()[:32]
            yield Chunk(source or "files", name, "file", 1, Decoded((), (letter,), 1, notes=(str(error),)))


def _read(
    path: Path,
    collectors: Collectors,
    named: str | None,
    dataset: str | None,
    limits: Limits,
    now: datetime,
    source: str | None,
) -> Iterator[Chunk]:
    with opened.Opened(path, limits) as input_:
        one = collectors[named] if named else recognised(input_, collectors)
        decoder = one.decoder()
        finish = _Finish(one, source or one.name, str(path), input_.sha256, now, dataset)
        try:
            for frames in _frames(one, input_, limits):
                yield finish.chunk(frames, decoder.decode(frames))
        except DecodeError as error:
            raise InputError(
                error.message, place=str(path), remedy=error.remedy or "name another --collector"
            ) from None
        last = decoder.flush()
        notes = (*last.notes, *input_.notes)
        if last.batches or last.dead or notes:
            yield finish.chunk(None, replace(last, notes=notes))


def recognised(input_: opened.Opened, collectors: Collectors) -> Collector:
    """The collector that fits an input's content best.

    Raises:
        InputError: none fits.
    """
    seen = recognise.look(input_.head())
    best: tuple[float, float, str] | None = None
    for one in collectors:
        score = _score(one, seen)
        if score > 0 and one.detect is not None:
            best = max(best or (-1.0, 0.0, ""), (float(one.detect.priority), score, one.name))
    if best is None:
        looked = {"text": "text in none of the known forms", "json": "JSON with none of the known keys"}
        raise InputError(
            f"unknown kind of file: {looked.get(seen.kind, 'no capture, event log, JSON or text')}",
            place=str(input_.path),
            remedy="name one with --collector (cityguard collectors list)",
        )
    return collectors[best[2]]


def _score(one: Collector, seen: recognise.Look) -> float:
    detect = one.detect
    if detect is None or (one.kind in ("capture", "evtx")) != (seen.kind in ("capture", "evtx")):
        return 0.0
    if one.kind != "lines":
        return float(one.kind == seen.kind)
    if seen.kind == "json":
        return float(any(all(seen.has_key(key) for key in keys) for keys in detect.keys))
    share = seen.share(detect.lines) if detect.lines and seen.kind == "text" else 0.0
    return share if share >= 0.5 else 0.0


def _frames(one: Collector, input_: opened.Opened, limits: Limits) -> Iterator[Frames]:
    line_bytes = limits.line_kb << 10
    if one.kind == "evtx":
        yield from evtx.frames(input_.whole(MAX_EVTX))
    elif one.kind == "capture":
        packets = pcap.frames(input_.whole())
        yield from packets
        input_.notes.extend(packets.notes)
    elif one.kind == "datagram":
        yield lines.one_each([input_.whole(1 << 16).tobytes()])
    elif recognise.look(input_.head()).document:
        yield from documents.frames(input_.whole(documents.MAX_BYTES), line_bytes=line_bytes)
    else:
        yield from lines.frames(input_.blocks(), line_bytes=line_bytes)


# ---------------------------------------------------------------- live sources


class Live:
    """A collector at work on a live source; keeps the decoder's state between chunks."""

    def __init__(self, collector: Collector, *, source: str, key: str, segment: str | None = None) -> None:
        self._decoder = collector.decoder()
        self._arguments = (collector, source, key, segment)

    def chunk(self, frames: Frames, *, now: datetime) -> Chunk:
        """Decode datagrams or lines in the order they came; ``number`` is their sequence in the spool.

        The chunk's part follows from the spool (``key``), the numbers and the peer: a re-run gives the same one.
        """
        collector, source, key, segment = self._arguments
        try:
            decoded = self._decoder.decode(frames)
        except DecodeError as error:
            letters = tuple(
                DeadLetter(source, int(n), error.message, frames.item(i)[: 64 << 10])
                for i, n in enumerate(frames.number[:100])
            )
            decoded = Decoded((), letters, len(frames))
        finish = _Finish(collector, source, None, key, now, None, segment)
        return finish.chunk(frames, decoded)


def stream(live: Live, frames: Frames, *, now: datetime) -> Chunk:
    """The same as ``live.chunk``."""
    return live.chunk(frames, now=now)


# ---------------------------------------------------------------- the last step, for all


class _Finish:
    """Maps, names and counts what a decoder made; one per input."""

    def __init__(
        self,
        collector: Collector,
        source: str,
        path: str | None,
        key: str,
        now: datetime,
        dataset: str | None,
        segment: str | None = None,
    ) -> None:
        self._collector, self._source, self._path, self._key = collector, source, path, key
        self._now, self._dataset, self._segment = now, dataset, segment
        self._block = 0
        self._items = 0
        self._numbers: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64), np.zeros(0, np.int64)]

    def chunk(self, frames: Frames | None, decoded: Decoded) -> Chunk:
        """A chunk of the items in ``frames``; None = what the decoder still held at the end."""
        count = 0 if frames is None else len(frames)
        if frames is not None:
            self._items += count
            self._numbers = [self._numbers[1], frames.number]
        name = self._name(frames)
        place = self._path or self._source
        done = replace(
            decoded,
            batches=tuple(self._batches(frames, decoded.batches, name)),
            dead=tuple(replace(letter, source=place) for letter in decoded.dead),
        )
        self._block += 1
        return Chunk(self._source, name, self._collector.unit, count - decoded.ignored, done)

    def _name(self, frames: Frames | None) -> str:
        parts = [self._key, str(self._block)]
        if self._path is None and frames is not None and len(frames):
            parts = [self._key, str(int(frames.number[0])), str(int(frames.number[-1])), frames.peer or ""]
        return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16, person=b"cg-part").hexdigest()

    def _batches(self, frames: Frames | None, batches: Sequence[EventBatch], name: str) -> Iterator[EventBatch]:
        mapped = [part for batch in batches if batch.table.height for part in self._mapped(batch)]
        for index, (batch, nth) in enumerate(zip(mapped, _nth(mapped), strict=True)):
            table = columns.conform(batch.dataset, self._table(frames, batch, nth))
            part = f"{name}{index:04x}"
            yield EventBatch(batch.dataset, self._collector.name, table, self._segment, batch.logsource, part)

    def _mapped(self, batch: EventBatch) -> list[EventBatch]:
        spec = self._collector.fields
        if batch.dataset and not spec.rules and not spec.classes:
            return [replace(batch, logsource=batch.logsource or spec.logsource)]
        return mapping.apply(batch, spec, self._now, self._dataset)

    def _table(self, frames: Frames | None, batch: EventBatch, nth: npt.NDArray[np.int64]) -> pl.DataFrame:
        table, height = batch.table, batch.table.height
        place = table["log.offset"].cast(pl.Int64).to_numpy()
        known = table["@timestamp"] if "@timestamp" in table.columns else pl.Series([None] * height)
        stamp = known.cast(columns.DTYPES["time"])
        arrived = self._arrived(frames, place)
        millis = stamp.dt.epoch("ms").fill_null(0).to_numpy()
        key = ids.source_key(self._key, batch.dataset)
        late = stamp > pl.Series(arrived + int(AHEAD.total_seconds() * 1e6)).cast(columns.DTYPES["time"])
        ahead = late.fill_null(value=False)
        wrong = ahead | (stamp < OLDEST).fill_null(value=False)
        received = pl.Series(arrived).cast(columns.DTYPES["time"])
        # A clock ahead of ours would push the window of every correlation; the stamp itself stays in the raw event.
        time = stamp.zip_with(~ahead, received).fill_null(received)
        table = table.with_columns(
            time.alias("@timestamp"),
            ids.event_ids(key, np.maximum(millis, 0), place, nth).alias("event.id"),
            pl.lit(batch.dataset).alias("event.dataset"),
            received.alias("event.ingested"),
            pl.Series("event.sequence", self._sequence(place)),
            pl.lit(self._collector.name).alias("observer.name"),
            pl.lit(self._path, pl.String).alias("log.file.path"),
            _flags(table, {"clock_skew": wrong, "no_time": stamp.is_null()}),
        )
        peer = frames.peer if frames is not None else None
        return table.with_columns(pl.lit(peer).alias("observer.ip")) if peer else table

    def _arrived(self, frames: Frames | None, place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """When each row's item came, µs: live records tell; a file is read now."""
        now = np.full(len(place), int(self._now.timestamp() * 1e6), np.int64)
        if self._path is not None or frames is None or not len(frames):
            return now
        found = np.clip(np.searchsorted(frames.number, place), 0, len(frames) - 1)
        told = frames.time[found] // 1000
        return np.where((told > 0) & (frames.number[found] == place), told, now)

    def _sequence(self, place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Ordinal of each row's item in the input, from 0."""
        if self._path is None or self._collector.kind == "datagram":
            return place
        if self._collector.kind == "capture":
            return np.maximum(place - 1, 0)
        if self._collector.kind == "evtx":
            return place
        numbers = np.concatenate(self._numbers)
        return np.searchsorted(numbers, place) + self._items - len(numbers)


def _nth(batches: Sequence[EventBatch]) -> list[npt.NDArray[np.int64]]:
    """0, 1, 2 … among the rows of one dataset that share a place, over all tables of a chunk."""
    out: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(batches)
    for dataset in {batch.dataset for batch in batches}:
        which = [index for index, batch in enumerate(batches) if batch.dataset == dataset]
        places = [batches[index].table["log.offset"].to_numpy() for index in which]
        numbered = np.split(_ranks(np.concatenate(places)), np.cumsum([len(place) for place in places])[:-1])
        for index, nth in zip(which, numbered, strict=True):
            out[index] = nth
    return out


def _ranks(place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    order = np.argsort(place, kind="stable")
    arranged = place[order]
    starts = np.flatnonzero(np.concatenate(([True], arranged[1:] != arranged[:-1])))
    counts = np.diff(np.concatenate((starts, [len(place)])))
    nth = np.empty(len(place), np.int64)
    nth[order] = np.arange(len(place)) - np.repeat(starts, counts)
    return nth


def _flags(table: pl.DataFrame, masks: Mapping[str, pl.Series]) -> pl.Series:
    old = table["event.flags"] if "event.flags" in table.columns else pl.Series([None] * table.height)
    flags = old.cast(pl.List(pl.String))
    for name, mask in masks.items():
        if mask.any():
            more = pl.select(pl.concat_list(flags.fill_null([]), pl.lit(name))).to_series()
            flags = more.zip_with(mask, flags)
    return flags.alias("event.flags")


# ---------------------------------------------------------------- the collectors' own tests


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One in-file test: what differed, or nothing."""

    collector: str
    test: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        return not self.detail

    def __str__(self) -> str:
        return f"{self.collector}: {self.test}: {self.detail or 'ok'}"


def check(collectors: Collectors) -> list[CheckResult]:
    """Run every collector's own tests; a collector without one fails."""
    results: list[CheckResult] = []
    for one in collectors:
        if not one.tests:
            results.append(CheckResult(one.name, "tests", "has no tests"))
        for index, test in enumerate(one.tests):
            name = test.name or f"test {index + 1}"
            try:
                results.append(CheckResult(one.name, name, _difference(one, test)))
            except CityguardError as error:
                results.append(CheckResult(one.name, name, str(error)))
    return results


def _difference(one: Collector, test: Test) -> str:
    now = datetime.fromisoformat(test.now or "2026-11-21T00:00:00+00:00")
    items = [line.encode() for line in test.lines] + [bytes.fromhex(text) for text in test.hex]
    frames = lines.one_each(items, first=int(one.kind == "capture"))
    frames = replace(frames, link=np.full(len(items), 1, np.int32)) if one.kind == "capture" else frames
    decoder = one.decoder()
    finish = _Finish(one, one.name, one.name, one.name, now, None)
    chunks = [finish.chunk(frames, decoder.decode(frames)), finish.chunk(None, decoder.flush())]
    rejected = sum(chunk.decoded.rejected for chunk in chunks)
    if rejected != test.rejected:
        return f"{rejected} items rejected, expected {test.rejected}"
    rows = [row for chunk in chunks for batch in chunk.decoded.batches for row in _plain_rows(batch)]
    rows.sort(key=lambda row: (row["log.offset"], row["event.dataset"]))
    if len(rows) != len(test.expect):
        return f"{len(rows)} events, expected {len(test.expect)}"
    for index, (row, wanted) in enumerate(zip(rows, test.expect, strict=True)):
        for name, value in wanted.items():
            if row.get(name) != value:
                return f"event {index + 1}: {name} is {row.get(name)!r}, expected {value!r}"
    return ""


def _plain_rows(batch: EventBatch) -> Iterator[dict[str, Any]]:
    source = batch.logsource or LogSource()
    told = {"category": list(source.category), "product": list(source.product), "service": list(source.service)}
    for row in batch.table.iter_rows(named=True):
        plain = {key: _plain(value) for key, value in row.items()}
        yield {**plain, "logsource": {key: value for key, value in told.items() if value}}


def _plain(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    text = value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return text.replace(".000000Z", "Z")
