"""The store of one machine: a folder with one SQLite file and Parquet files; nothing to install or to start."""

from __future__ import annotations

from pathlib import Path

from cityguard.clock import Clock, utc_now
from cityguard.errors import StoreError
from cityguard.store import codec, embedded_alerts, embedded_records, manifest
from cityguard.store.embedded_alerts import EmbeddedAlerts
from cityguard.store.embedded_events import EmbeddedEvents
from cityguard.store.embedded_records import EmbeddedRecords
from cityguard.store.lake import Lake
from cityguard.store.sqlite import BUSY_S, Database

DATABASE = "cityguard.db"
MIGRATIONS = (
    (*manifest.SCHEMA, *embedded_alerts.SCHEMA, *embedded_records.SCHEMA),
    manifest.APPENDED,
    embedded_records.SIGHTINGS,
)
"""Statements per schema version, oldest first. Only ever add a tuple at the end."""


class EmbeddedStore:
    """Events, alerts and records below one folder; many threads and processes may have it open at once.

    Args:
        home: the folder; made if missing, unless ``create`` is false.
        clock: the present, for leases and the ledger.
        create: whether a missing store is made.
        busy_s: seconds to wait for another writer.

    Raises:
        StoreError: the folder is missing, cannot be written, is full, or is of a newer version.
        StoreLockedError: another process holds it.
    """

    def __init__(self, home: Path, *, clock: Clock = utc_now, create: bool = True, busy_s: float = BUSY_S) -> None:
        self.home = home = home.absolute()
        _folder(home, create)
        self._reader = codec.Reader()
        self._database = Database(home / DATABASE, MIGRATIONS, busy_s=busy_s)
        self._lake = Lake(home / "events")
        try:
            self._events = EmbeddedEvents(home / "events", manifest.Manifest(self._database), self._lake)
        except BaseException:
            self.close()
            raise
        self._alerts = EmbeddedAlerts(self._database, self._reader)
        self._records = EmbeddedRecords(self._database, home, clock, self._reader)

    @property
    def events(self) -> EmbeddedEvents:
        return self._events

    @property
    def alerts(self) -> EmbeddedAlerts:
        return self._alerts

    @property
    def records(self) -> EmbeddedRecords:
        return self._records

    @property
    def malformed(self) -> int:
        """Stored rows that could not be read and were left out of lists since this store was opened."""
        return self._reader.malformed

    def close(self) -> None:
        self._lake.close()
        self._database.close()


def _folder(home: Path, create: bool) -> None:
    if not create and not (home / DATABASE).is_file():
        raise StoreError(
            "there is no store here",
            place=str(home),
            remedy="check `home` in cityguard.yml; importing or receiving events makes one",
        )
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise StoreError(f"cannot make the folder ({error})", place=str(home), remedy="check `home`") from error
