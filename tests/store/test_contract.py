"""The contract of the store, against every store there is."""

from __future__ import annotations

from tests.store.contract import AlertsContract, EventsContract, RecordsContract, SightingsContract


class TestEvents(EventsContract):
    pass


class TestAlerts(AlertsContract):
    pass


class TestRecords(RecordsContract):
    pass


class TestSightings(SightingsContract):
    pass
