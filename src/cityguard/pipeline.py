"""The main way: bytes have become tables; enrich, keep, detect, merge, tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cityguard.detectors.base import Detector
from cityguard.model import Alert, Chunk, EventBatch
from cityguard.rulebook import notes
from cityguard.rulebook.seen import Tally
from cityguard.store.base import Store


class Enricher(Protocol):
    """Adds the register's columns to a batch."""

    def enrich(self, batch: EventBatch) -> EventBatch: ...


class Teller(Protocol):
    """Sends fresh alerts on; never raises."""

    def tell(self, alerts: Sequence[Alert]) -> None: ...


class Way(Protocol):
    """What the main way needs of the application."""

    @property
    def register(self) -> Enricher: ...
    @property
    def store(self) -> Store: ...
    @property
    def detectors(self) -> Sequence[Detector]: ...
    @property
    def notifiers(self) -> Teller: ...
    @property
    def seen(self) -> Tally: ...


def process(batch: EventBatch, app: Way) -> list[Alert]:
    """Enrich, keep, detect, merge, tell: once each, in this order. Returns the alerts not seen before."""
    batch = app.register.enrich(batch)
    if app.store.events.append(batch):
        app.seen.look(batch)
    found = [alert for detector in app.detectors for alert in detector.detect(batch)]
    fresh = app.store.alerts.merge(found)
    app.notifiers.tell(fresh)
    return fresh


def take(chunk: Chunk, app: Way) -> list[Alert]:
    """Process a chunk's batches, keep its dead letters, and only then book it in the ledger.

    Nothing is booked before it is durable, and every step may be repeated: a chunk taken twice leaves the
    same events, the same alerts and the same ledger as a chunk taken once.
    """
    fresh = [alert for batch in chunk.decoded.batches for alert in process(batch, app)]
    app.store.records.add_dead(chunk.decoded.dead)
    app.store.records.add_sightings(app.seen.take(due=False))
    app.store.records.account(chunk)
    return fresh


def finish(app: Way) -> list[Alert]:
    """Merge and tell what detectors hold back until an input ends."""
    return _tell([alert for detector in app.detectors for alert in detector.finish()], app)


def settle(app: Way, through: datetime | None = None) -> list[Alert]:
    """Merge and tell what has become certain on an input without an end; all received until ``through`` was taken."""
    return _tell([alert for detector in app.detectors for alert in detector.settle(through)], app)


def _tell(found: list[Alert], app: Way) -> list[Alert]:
    app.store.records.add_sightings(app.seen.take())
    notes.keep(app.detectors, app.store.records, app.seen.now())
    fresh = app.store.alerts.merge(found)
    app.notifiers.tell(fresh)
    return fresh
