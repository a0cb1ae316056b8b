"""The worker: takes what receivers spooled through the main way, and survives being killed at any moment.

Before a block of records is processed its end is written down, so a re-run takes exactly the same blocks in the same
order and their events, alerts and ledger entries are the same ones. What detectors and decoders remember becomes
durable in one step with how far the records were taken: a window that was half seen goes on half seen.
A block that killed the worker twice is halved until the record at fault stands alone; that one becomes a dead letter.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from cityguard import pipeline, spool
from cityguard.app import App
from cityguard.checkpoint import Checkpoint, Cursor
from cityguard.collect.collect import Live
from cityguard.collect.peers import SILENT_S
from cityguard.config import Listener
from cityguard.errors import InputError, StoreError
from cityguard.model import Chunk, DeadLetter, Decoded, Frames, Ledger
from cityguard.receive import counters, spool_folder
from cityguard.register.register import Register

BLOCK = 20_000
CHECKPOINT_S = 5.0
SHARE = 20  # a checkpoint that took a second is made again after so many
SETTLE_S = 60.0
ON_THE_WAY = timedelta(seconds=5)  # a record stands in its spool so long after it was received
log = logging.getLogger(__name__)
DEATHS = 2


class Worker:
    """Serves every listener's spool in turn."""

    def __init__(self, app: App, stop: Event | None = None) -> None:
        self.app = app
        self._durable = Checkpoint(app.store.records)
        self._told: dict[str, bytes] = {}  # counters by detector, as last written
        self._way = _Patient(app, stop or Event())
        self._live = {one.name: self._open(one) for one in app.settings.listen}
        self._cursors = {one.name: self._load(one.name) for one in app.settings.listen}
        self._after = {name: cursor.done for name, cursor in self._cursors.items()}
        self._through = dict.fromkeys(
            self._cursors, datetime.min.replace(tzinfo=UTC)
        )  # all received until then is taken
        self._turn = max((turn for cursor in self._cursors.values() for turn in cursor.turns), default=0)
        self._restore()
        self._due = time.monotonic() + CHECKPOINT_S
        self._settle = time.monotonic() + SETTLE_S
        self._replay()

    def run(self, stop: Event) -> None:
        """Work until ``stop`` is set; then commit."""
        gc.collect()
        gc.freeze()  # rules and libraries stay: the collector need not go through them again
        while not stop.is_set():
            if not self.turn():
                stop.wait(0.2)
            if time.monotonic() >= self._settle:
                self.settle()
            if time.monotonic() >= self._due:
                self.checkpoint()
        self._release(silent=0.0)
        self.checkpoint()

    def turn(self) -> int:
        """One block of each spool; returns records taken."""
        return sum(self._advance(one) for one in self.app.settings.listen)

    def settle(self) -> None:
        """Let detectors decide what is certain: what still waits in a spool has not happened yet for them."""
        pipeline.settle(self._way, min(self._through.values(), default=self.app.clock()))
        self._settle = time.monotonic() + SETTLE_S

    def checkpoint(self) -> None:
        """Make detectors' state and cursors durable together, then free what was taken."""
        began = time.monotonic()
        self._release(silent=SILENT_S)
        states = {f"detector:{detector.name}": detector.snapshot() for detector in self.app.detectors}
        for name, live in self._live.items():
            if (state := live.snapshot()) is not None:
                states[f"decoder:{name}"] = state
        done = {name: cursor.ends[-1] if cursor.ends else cursor.done for name, cursor in self._cursors.items()}
        self._durable.commit(states, done)
        for name, cursor in self._cursors.items():
            if cursor.ends:
                cursor.checkpointed(cursor.ends[-1])
                self._save(name)
        for one in self.app.settings.listen:
            spool.free(self._folder(one), self._cursors[one.name].done)
        self._tell_counters()
        self.app.refresh_rules()  # what is durable was decided by the rules before
        # much state is written more rarely: what was taken since then is taken again if need be
        self._due = time.monotonic() + max(CHECKPOINT_S, SHARE * (time.monotonic() - began))

    def _tell_counters(self) -> None:
        """Leave detectors' counters where other processes (doctor) can read them."""
        for detector in self.app.detectors:
            if (made := getattr(detector, "counters", None)) is not None:
                told = json.dumps(made()).encode()
                if self._told.get(detector.name) != told:
                    self.app.store.records.put_value(f"counters:{detector.name}", told)
                    self._told[detector.name] = told

    def _release(self, silent: float) -> None:
        """What decoders held back is taken before the records it came from are done with."""
        for live in self._live.values():
            for chunk in live.held(now=self.app.clock(), silent=silent):
                pipeline.take(chunk, self._way)

    def _advance(self, listener: Listener) -> int:
        """The next block: its end is written down first."""
        cursor, now = self._cursors[listener.name], self.app.clock()
        frames, peers = spool.read(self._folder(listener), self._after[listener.name], limit=BLOCK)
        if len(frames):
            self._turn += 1
            cursor.ends.append(int(frames.number[-1]))
            cursor.turns.append(self._turn)
            cursor.tries = 0  # the block before was survived
            self._save(listener.name)
            self._take(listener, frames, peers)
        else:
            self._through[listener.name] = now - ON_THE_WAY
        return len(frames)

    def _take(self, listener: Listener, frames: Frames, peers: list[str]) -> None:
        for chunk in self._chunks(listener, frames, peers):
            pipeline.take(chunk, self._way)
        self._after[listener.name] = int(frames.number[-1])
        self._through[listener.name] = datetime.fromtimestamp(int(frames.time[-1]) / 1e9, UTC)

    def _chunks(self, listener: Listener, frames: Frames, peers: list[str]) -> Iterator[Chunk]:
        """Chunks whose every event names its transport peer, and what senders that went had left open."""
        live = self._live[listener.name]
        for chunk in live.block(frames, peers, now=self.app.clock()):
            yield chunk
            yield from live.held(now=self.app.clock(), silent=math.inf)

    def _replay(self) -> None:
        """Take again, with the same ends and in the same order, what was under way when the process ended."""
        waiting: list[tuple[int, int, Listener, bool]] = []
        for one in self.app.settings.listen:
            cursor = self._cursors[one.name]
            if not cursor.ends:
                continue
            last = len(cursor.ends) - 1
            blocks = enumerate(zip(cursor.turns, cursor.ends, strict=True))
            waiting += [(turn, end, one, nth == last) for nth, (turn, end) in blocks]
        for _, end, one, is_last in sorted(waiting, key=lambda block: block[:2]):
            if is_last:
                self._last(one, end)
            else:
                self._again(one, end)

    def _again(self, listener: Listener, end: int) -> None:
        frames, peers = spool.read(self._folder(listener), self._after[listener.name], limit=BLOCK, until=end)
        if len(frames):
            self._take(listener, frames, peers)

    def _last(self, listener: Listener, end: int) -> None:
        """The block under way when the process ended; only deaths in it speak against it."""
        cursor, after = self._cursors[listener.name], self._after[listener.name]
        cursor.tries += 1
        self._save(listener.name)
        if cursor.tries > DEATHS and end - after > 1:
            end = after + (end - after) // 2
            cursor.ends[-1], cursor.tries = end, DEATHS  # the half gets one try of its own
            self._save(listener.name)
        if cursor.tries > DEATHS:
            self._bury(listener, after, end)
        else:
            self._again(listener, end)
            cursor.tries = 0
            self._save(listener.name)

    def _bury(self, listener: Listener, after: int, end: int) -> None:
        frames, _ = spool.read(self._folder(listener), after, limit=1, until=end)
        letter = DeadLetter(listener.name, end, "the decoder did not survive it", frames.item(0)[: 64 << 10])
        decoded = Decoded(dead=(letter,), rejected=1)
        pipeline.take(Chunk(listener.name, f"poison-{end}", "record", 1, decoded), self._way)
        self._after[listener.name] = end

    def _open(self, listener: Listener) -> Live:
        folder = self._folder(listener)
        folder.mkdir(parents=True, exist_ok=True)
        live = Live(
            self.app.collectors[listener.collector],
            source=listener.name,
            key=spool.identity(folder),
            segment=listener.segment or None,
            collectors=self.app.collectors,
        )
        if state := self._durable.state(f"decoder:{listener.name}"):
            try:
                live.restore(state)  # templates of flow exports, which exporters repeat only every few minutes
            except InputError as error:
                log.warning("%s: the decoder begins anew: %s", listener.name, error)
        return live

    def _folder(self, listener: Listener) -> Path:
        return spool_folder(self.app.settings.home_path, listener)

    def _restore(self) -> None:
        for detector in self.app.detectors:
            if state := self._durable.state(f"detector:{detector.name}"):
                try:
                    detector.restore(state)
                except InputError as error:
                    log.warning("%s: begins anew: %s", detector.name, error)

    def _load(self, name: str) -> Cursor:
        value = self.app.store.records.get_value(f"cursor:{name}")
        cursor = Cursor(**json.loads(value)) if value else Cursor()
        cursor.turns += [0] * (len(cursor.ends) - len(cursor.turns))
        cursor.checkpointed(self._durable.done.get(name, 0))
        return cursor

    def _save(self, name: str) -> None:
        self.app.store.records.put_value(f"cursor:{name}", json.dumps(asdict(self._cursors[name])).encode())


class _Patient:
    """The application as the main way sees it, with a store that is asked again until it answers.

    A store that is full or away is no fault of the records: they wait where they are.
    """

    def __init__(self, app: App, stop: Event) -> None:
        self._app, self.detectors, self.notifiers, self.seen = app, app.detectors, app.notifiers, app.seen
        self.store: Any = _Asked(app.store, stop)

    @property
    def register(self) -> Register:
        return self._app.register


class _Asked:
    """Passes every call on; a StoreError is waited out, longer each time, until ``stop`` is set."""

    def __init__(self, target: Any, stop: Event) -> None:
        self._target, self._stop = target, stop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return _Asked(found, self._stop)

        def call(*given: Any, **named: Any) -> Any:
            pause = 0.5
            while True:
                try:
                    return found(*given, **named)
                except StoreError as error:
                    log.warning("the store refuses, waiting: %s", error)
                    if self._stop.wait(pause):
                        raise
                    pause = min(pause * 2, 30.0)

        return call


def ledger(app: App) -> list[Ledger]:
    """The store's ledger, with what still waits in spools and what receivers had to drop."""
    booked = {entry.source: entry for entry in app.store.records.ledger()}
    for one in app.settings.listen:
        folder = spool_folder(app.settings.home_path, one)
        if not folder.is_dir():
            continue
        value = app.store.records.get_value(f"cursor:{one.name}")
        cursor = Cursor(**json.loads(value)) if value else Cursor()
        waiting = spool.pending(folder, cursor.ends[-1] if cursor.ends else cursor.done)
        lost = sum(counters(app.settings.home_path, one).values())
        entry = booked.get(one.name, Ledger(one.name, "record"))
        booked[one.name] = replace(
            entry,
            received=entry.received + waiting + lost,
            dropped=entry.dropped + lost,
            spooled=entry.spooled + waiting,
        )
    return [booked[name] for name in sorted(booked)]
