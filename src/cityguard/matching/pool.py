"""Matching by several processes: pieces of files are handed out as they become free, records come back in order.

A process is this module, started with what it needs on its input as JSON lines; it answers each piece with a line that
says how many bytes of records follow.
"""

from __future__ import annotations

import gc
import mmap
import os
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import msgspec

from cityguard.collect import collect
from cityguard.collect.narrow import Span
from cityguard.config import Limits
from cityguard.detectors.custom.lists import ThreatLists
from cityguard.detectors.screen import Screen
from cityguard.errors import InputError
from cityguard.matching import memory
from cityguard.matching.matching import Matching, Records, alone
from cityguard.model import DeadLetter
from cityguard.register.register import Register
from cityguard.sigma.engine.cache import load
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset
from cityguard.sources import lines

PIECE = 32 << 20
"""Bytes of a text that are handed out at once."""
BLOCK = 8 << 20
THRESHOLD = 200_000
"""Objects made before Python looks for circles among them: there are none to speak of."""


class Task(msgspec.Struct, frozen=True):
    """What a process needs to be ready."""

    rules: list[str]
    content: str | None
    limits: dict[str, Any]
    zone: str
    now: datetime
    collector: str | None = None
    dataset: str | None = None
    cache: str | None = None
    lists: list[str] = []  # folders of threat lists
    placeholders: dict[str, list[str]] = {}


class Unit(msgspec.Struct, frozen=True):
    """A file, or a span of one: (start, end, items before it)."""

    path: str
    span: tuple[int, int, int] | None = None
    collector: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What became of a unit; ``size`` bytes of records follow."""

    size: int
    hits: int = 0
    events: int = 0
    rejected: int = 0
    dead: list[tuple[int, str]] = []
    notes: list[str] = []
    error: str = ""


def ready(task: Task, ruleset: Ruleset | None = None) -> Matching:
    """Rules compiled, collectors read."""
    memory.plain()
    cache = Path(task.cache) if task.cache else None
    if ruleset is None:
        ruleset = load([Path(one) for one in task.rules], task.placeholders, folder=cache)
    engine = Engine.compile(alone(ruleset)[0], cache=cache)
    zone = ZoneInfo(task.zone)
    return Matching(
        engine,
        collect.Collectors.load(Path(task.content) if task.content else None),
        limits=msgspec.convert(task.limits, Limits),
        now=task.now,
        register=Register.empty(zone=zone),
        screen=Screen(ThreatLists([Path(one) for one in task.lists]), zone),
        collector=task.collector,
        dataset=task.dataset,
    )


def settled() -> None:
    """Leave everything made so far out of the search for circles of objects, and search seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 20, 20)


def units(files: Sequence[Path], task: Task, *, piece: int = PIECE) -> Iterator[Unit]:
    """What can be handed out: files, and pieces of large ones whose lines stand alone.

    Raises:
        InputError: a file is of no known kind.
    """
    collectors = collect.Collectors.load(Path(task.content) if task.content else None)
    limits = msgspec.convert(task.limits, Limits)
    for path in files:
        one = collect.divisible(path, collectors, collector=task.collector, limits=limits)
        if one is None:
            yield Unit(str(path))
            continue
        for span in _spans(path, piece, limits.line_kb << 10):
            yield Unit(str(path), span, one.name)


def _spans(path: Path, piece: int, line_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Whole lines, about ``piece`` bytes of them each, and how many items stand before."""
    size = path.stat().st_size
    if not size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        start = items = 0
        while start < size:
            end = held.find(b"\n", min(start + piece, size) - 1) + 1 or size
            yield start, end, items
            if end < size:
                blocks = (held[at : min(at + BLOCK, end)] for at in range(start, end, BLOCK))
                items += sum(map(len, lines.frames(blocks, line_bytes=line_bytes)))
            start = end


def run(files: Sequence[Path], task: Task, *, processes: int) -> Iterator[Records]:
    """Records of all files by so many processes, in the order one process would give them.

    Raises:
        InputError: a file cannot be read, or a process ended.
    """
    free: queue.SimpleQueue[_Process] = queue.SimpleQueue()
    workers = [_Process(task) for _ in range(processes)]
    for worker in workers:
        free.put(worker)

    def asked(unit: Unit) -> Records:
        worker = free.get()
        try:
            return worker.ask(unit)
        finally:
            free.put(worker)

    waiting: deque[Future[Records]] = deque()
    with ThreadPoolExecutor(processes) as threads:
        try:
            for unit in units(files, task):
                waiting.append(threads.submit(asked, unit))
                while len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            for worker in workers:
                worker.end()


@dataclass(frozen=True, slots=True)
class _Pipes:
    into: IO[bytes]
    out: IO[bytes]


class _Process:
    """One process at work."""

    def __init__(self, task: Task) -> None:
        environment = os.environ | {"POLARS_MAX_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cityguard.matching.pool"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._pipes = _Pipes(self._process.stdin, self._process.stdout)
        self._say(task)

    def _say(self, what: msgspec.Struct) -> None:
        self._pipes.into.write(msgspec.json.encode(what) + b"\n")
        self._pipes.into.flush()

    def ask(self, unit: Unit) -> Records:
        try:
            self._say(unit)
            line = self._pipes.out.readline()
        except OSError:
            line = b""
        if not line:
            raise InputError("a process that matches rules has ended", place=unit.path, remedy="use fewer --processes")
        told = msgspec.json.decode(line, type=Answer)
        if told.error:
            raise InputError(told.error, place=unit.path)
        found = self._pipes.out.read(told.size)
        dead = tuple(DeadLetter(unit.path, place, reason, b"") for place, reason in told.dead)
        return Records(found, told.hits, told.events, told.rejected, dead, tuple(told.notes))

    def end(self) -> None:
        self._pipes.into.close()
        self._process.kill()
        self._process.wait()
        self._pipes.out.close()


def serve(into: IO[bytes], out: IO[bytes]) -> None:
    """Answer units until the input ends."""
    matching = ready(msgspec.json.decode(into.readline(), type=Task))
    settled()
    for line in into:
        unit = msgspec.json.decode(line, type=Unit)
        try:
            span = Span(*unit.span) if unit.span is not None else None
            parts = list(matching.file(Path(unit.path), span, unit.collector))
        except InputError as error:
            out.write(msgspec.json.encode(Answer(0, error=error.message)) + b"\n")
            out.flush()
            continue
        found = b"".join(part.lines for part in parts)
        answer = Answer(
            len(found),
            sum(part.hits for part in parts),
            sum(part.events for part in parts),
            sum(part.rejected for part in parts),
            [(letter.place, letter.reason) for part in parts for letter in part.dead][:100],
            [note for part in parts for note in part.notes][:100],
        )
        out.write(msgspec.json.encode(answer) + b"\n")
        out.write(found)
        out.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
