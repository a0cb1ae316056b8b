"""Bytes to event tables: collectors from content, files and datagrams through a decoder, ids minted, items counted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cityguard import columns
from cityguard.collect import boundary, carry, peers
from cityguard.collect.chunks import Chunks
from cityguard.collect.collectors import Collector, Collectors, Sample
from cityguard.collect.families import Families, Mixed
from cityguard.collect.narrow import Narrow, Span
from cityguard.config import Limits
from cityguard.decoders.base import Decoder
from cityguard.errors import CityguardError, DecodeError, InputError
from cityguard.model import Chunk, DeadLetter, Decoded, EventBatch, Frames, LogSource
from cityguard.sources import documents, evtx, lines, multiline, opened, pcap, recognise

__all__ = ["CheckResult", "Collector", "Collectors", "Live", "check", "read", "walk"]

_TABLE, _GENERAL = "csv", 10
"""Who reads tables with names, and the priority of those that take any line."""
MAX_EVTX = 2 << 30
"""Bytes of one event log file."""


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
    decoders: dict[str, Decoder] | None = None,
    first: Callable[[str, datetime], datetime] | None = None,
    narrow: Narrow | None = None,
    span: Span | None = None,
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
        decoders: decoders of flow exports by collector, kept by a caller that reads several files in a row, so that
            a template in one file serves the next.
        first: asked with a file's SHA-256 and ``now``; what it answers is ``now`` for that file. With a memory of
            the first answer, stamps without a year or at all are the same whenever the file is read again.
        narrow: for a caller who only asks rules: rows have no ids, nor columns that no rule looks at.
        span: lines of an uncompressed text to read alone, of a named collector.

    Raises:
        InputError: not readable, refused, of no known kind, or damaged at its very start. In a folder a file of
            no known kind is counted as rejected instead.
    """
    if dataset is not None and dataset not in columns.DATASETS:
        raise InputError(f"no dataset '{dataset}'", remedy=", ".join(columns.DATASETS))
    if not path.is_dir():
        yield from _read(path, collectors, collector, dataset, limits, now, source, decoders, first, narrow, span)
        return
    for file in opened.walk(path):
        try:
            yield from _read(file, collectors, collector, dataset, limits, now, source, decoders, first, narrow, None)
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
    decoders: dict[str, Decoder] | None,
    first: Callable[[str, datetime], datetime] | None,
    narrow: Narrow | None,
    span: Span | None,
) -> Iterator[Chunk]:
    with opened.Opened(path, limits, hashed=narrow is None or first is not None) as input_:
        one = collectors[named] if named else recognised(input_, collectors)
        kept = decoders if decoders is not None and one.kind == "datagram" else {}
        decoder = kept.setdefault(one.name, one.decoder(narrow))
        decoder = decoder if narrow is None else carry.carried(decoder)
        present = first(input_.sha256, now) if first is not None else now
        if one.families:
            yield from _mixed(one, collectors, input_, present, dataset, limits, source, narrow)
            return
        finish = Chunks(
            one,
            source or one.name,
            str(path),
            input_.sha256,
            present,
            dataset,
            written=input_.written,
            narrow=narrow,
            items=span.items if span is not None else 0,
        )
        try:
            for frames in _frames(one, input_, limits, narrow, span):
                yield finish.chunk(frames, boundary.decode(decoder, frames, divide=one.kind != "capture"))
        except DecodeError as error:
            raise InputError(
                error.message, place=str(path), remedy=error.remedy or "name another --collector"
            ) from None
        last = boundary.flush(decoder)
        notes = (*last.notes, *input_.notes)
        if last.batches or last.dead or notes:
            yield finish.chunk(None, replace(last, notes=notes))


def _mixed(
    one: Collector,
    collectors: Collectors,
    input_: opened.Opened,
    now: datetime,
    dataset: str | None,
    limits: Limits,
    source: str | None,
    narrow: Narrow | None,
) -> Iterator[Chunk]:
    """A file whose lines may be of many kinds."""

    def finish(of: Collector) -> Chunks:
        return Chunks(
            of,
            source or one.name,
            str(input_.path),
            input_.sha256,
            now,
            dataset,
            written=input_.written,
            narrow=narrow,
        )

    mixed = Mixed(Families(collectors, one), file=True)
    for frames in _frames(one, input_, limits):
        yield mixed.chunk(frames, finish)
    if (last := mixed.last(finish, tuple(input_.notes))) is not None:
        yield last


def recognised(input_: opened.Opened, collectors: Collectors) -> Collector:
    """The collector that fits an input's content best.

    Raises:
        InputError: none fits.
    """
    seen = recognise.look(input_.head())
    best: tuple[float, float, str] | None = None
    for one in collectors:
        score = _score(one, seen)
        if score > 0:
            priority = float(one.detect.priority) if one.detect else 0.0
            best = max(best or (-1.0, 0.0, ""), (priority, score, one.name))
    if best is None and seen.is_table and _TABLE in collectors.known:
        return collectors[_TABLE]
    if best is None:
        looked = {"text": "text in none of the known forms", "json": "JSON with none of the known keys"}
        raise InputError(
            f"unknown kind of file: {looked.get(seen.kind, 'no capture, event log, JSON or text')}",
            place=str(input_.path),
            remedy="name one with --collector (cityguard collectors list)",
        )
    if best[0] <= _GENERAL and seen.is_table and _TABLE in collectors.known:
        return collectors[_TABLE]  # a time in the first column is no syslog
    return collectors[best[2]]


def _score(one: Collector, seen: recognise.Look) -> float:
    detect = one.detect
    if one.kind == "datagram":
        return float(seen.kind == "binary" and one.sniffs(seen.head))
    if detect is None or (one.kind in ("capture", "evtx")) != (seen.kind in ("capture", "evtx")):
        return 0.0
    if one.kind != "lines":
        return float(one.kind == seen.kind)
    if seen.kind == "json":
        return float(any(all(seen.has_key(key) for key in keys) for keys in detect.keys))
    share = seen.share(detect.lines) if detect.lines and seen.kind == "text" else 0.0
    # Of a record of many lines only the first bears its mark.
    return share if share >= (0.05 if one.begins else 0.5) else 0.0


def _frames(
    one: Collector,
    input_: opened.Opened,
    limits: Limits,
    narrow: Narrow | None = None,
    span: Span | None = None,
) -> Iterator[Frames]:
    line_bytes = limits.line_kb << 10
    if span is not None:
        held = input_.span(span.start, span.end, narrow.block if narrow else opened.BLOCK)
        yield from lines.frames(held, line_bytes=line_bytes, place=span.start)
        return
    if one.kind == "evtx":
        whole = input_.whole(MAX_EVTX)
        if short := evtx.cut_off(whole):
            input_.notes.append(short)
        yield from evtx.frames(whole)
    elif one.kind == "capture":
        packets = pcap.frames(input_.whole())
        yield from packets
        input_.notes.extend(packets.notes)
    elif one.kind == "datagram":
        yield lines.one_each([input_.whole(1 << 16).tobytes()])
    elif recognise.look(input_.head()).document:
        yield from documents.frames(input_.whole(documents.MAX_BYTES), line_bytes=line_bytes)
    elif one.begins:
        yield from multiline.frames(
            lines.frames(input_.blocks(), line_bytes=line_bytes), one.begins, line_bytes=line_bytes
        )
    else:
        yield from lines.frames(input_.text(narrow.block if narrow else opened.BLOCK), line_bytes=line_bytes)


def divisible(path: Path, collectors: Collectors, *, collector: str | None = None, limits: Limits) -> Collector | None:
    """The collector of a file of which any span of lines may be read alone; None where it has to be read in order.

    Raises:
        InputError: as ``read``.
    """
    with opened.Opened(path, limits, hashed=False) as input_:
        one = collectors[collector] if collector else recognised(input_, collectors)
        if input_.codec or one.families or one.begins or one.kind != "lines" or one.module not in ALONE:
            return None
        return None if recognise.look(input_.head()).document else one


ALONE = frozenset(("json", "windows"))
"""Decoders that keep nothing from one line to the next."""


# ---------------------------------------------------------------- live sources


class Live:
    """A collector at work on a live source; keeps the decoder's state between chunks."""

    def __init__(
        self,
        collector: Collector,
        *,
        source: str,
        key: str,
        segment: str | None = None,
        collectors: Collectors | None = None,
    ) -> None:
        """``collectors`` are those that lines of a collector of many kinds (``families``) may belong to."""
        self._decoder = peers.decoder(collector)
        mixes = collectors is not None and collector.families
        self._mixed = Mixed(Families(collectors or (), collector), file=False) if mixes else None
        self._arguments = (collector, source, key, segment)

    def snapshot(self) -> bytes | None:
        """The decoder's state, where it keeps one that outlives a process (templates of flow exports)."""
        made = getattr(self._decoder, "snapshot", None)
        return bytes(made()) if made else None

    def restore(self, state: bytes) -> None:
        """Bring back what ``snapshot`` gave; a decoder without state ignores it."""
        if put := getattr(self._decoder, "restore", None):
            put(state)

    def chunk(self, frames: Frames, *, now: datetime) -> Chunk:
        """Decode datagrams or lines in the order they came; ``number`` is their sequence in the spool.

        The chunk's part follows from the spool (``key``), the numbers and the peer: a re-run gives the same one.
        """
        collector, source, key, segment = self._arguments
        if self._mixed is not None:
            return self._mixed.chunk(frames, lambda one: Chunks(one, source, None, key, now, None, segment))
        finish = Chunks(collector, source, None, key, now, None, segment)
        return finish.chunk(frames, self._decoded(frames))

    def _decoded(self, frames: Frames) -> Decoded:
        collector, source, _, _ = self._arguments
        try:
            return boundary.decode(self._decoder, frames, divide=collector.kind != "capture")
        except DecodeError as error:
            letters = tuple(
                DeadLetter(source, int(n), error.message, frames.item(i)[: 64 << 10])
                for i, n in enumerate(frames.number[:100])
            )
            return Decoded((), letters, len(frames))

    def block(self, frames: Frames, senders: Sequence[str], *, now: datetime) -> Iterator[Chunk]:
        """Decode what several senders sent, in the order it came: lines of all of them at once where nothing is kept.

        Args:
            frames: datagrams or lines; ``number`` is their sequence in the spool.
            senders: who sent each.
            now: the present.

        Yields:
            Chunks whose rows name their sender; their parts follow from ``frames`` and ``senders``.
        """
        who = pl.Series(senders, dtype=pl.String)
        collector, source, key, segment = self._arguments
        if self._mixed is not None:
            yield self._mixed.chunk(frames, lambda one: Chunks(one, source, None, key, now, None, segment), who)
        elif collector.kind == "lines":
            for some, sent in peers.pieces(self._decoder, frames, who):
                decoded = self._decoded(some)
                yield Chunks(collector, source, None, key, now, None, segment).chunk(some, decoded, senders=sent)
        else:
            for name in who.unique().sort().to_list():
                yield self.chunk(frames.take(np.flatnonzero((who == name).to_numpy()), name), now=now)

    def held(self, *, now: datetime, silent: float = peers.SILENT_S) -> Iterator[Chunk]:
        """What was held back for items to come.

        Args:
            now: the present.
            silent: seconds for which a sender said nothing; 0 = the source ends, infinity = only what there is no
                room to hold. Asked for silent ones when what was taken becomes durable, so that a re-run of records
                which did not is the same.
        """
        collector, source, key, segment = self._arguments
        works = [(collector, self._decoder)] if self._mixed is None else self._mixed.decoders()
        for one, decoder in works:
            for peer, decoded in peers.held(decoder, silent):
                if decoded.batches or decoded.dead or decoded.notes or decoded.rejected:
                    yield Chunks(one, source, None, key, now, None, segment).chunk(None, decoded, peer)


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


def _difference(one: Collector, test: Sample) -> str:
    now = datetime.fromisoformat(test.now or "2026-11-21T00:00:00+00:00")
    items = [line.encode() for line in test.lines] + [bytes.fromhex(text) for text in test.hex]
    frames = lines.one_each(items, first=int(one.kind == "capture"))
    frames = replace(frames, link=np.full(len(items), 1, np.int32)) if one.kind == "capture" else frames
    decoder = one.decoder()
    finish = Chunks(one, one.name, one.name, one.name, now, None)
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
