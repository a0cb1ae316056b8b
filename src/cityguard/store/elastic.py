"""The store of many machines: Elasticsearch 8.x or 9.x behind the same contract as the embedded one."""

from __future__ import annotations

from pathlib import Path

from cityguard.clock import Clock, utc_now
from cityguard.errors import StoreError
from cityguard.store import codec
from cityguard.store.cluster import Cluster
from cityguard.store.elastic_alerts import ElasticAlerts
from cityguard.store.elastic_client import Client
from cityguard.store.elastic_events import ElasticEvents
from cityguard.store.elastic_records import ElasticRecords

PATIENCE_S = 60.0


class ElasticStore:
    """Events, alerts and records in one cluster, under one prefix.

    Args:
        cluster: where it is and how to log in (``store.elasticsearch`` of the settings).
        home: local folder that holds the audit key.
        clock: the present, for leases and the ledger.
        patience_s: how long writes are tried again while the cluster is away.

    Raises:
        StoreError: unreachable, login refused, or settings that cannot be used.
    """

    def __init__(self, cluster: Cluster, *, home: Path, clock: Clock = utc_now, patience_s: float = PATIENCE_S) -> None:
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise StoreError(f"cannot make the folder ({error})", place=str(home), remedy="check `home`") from error
        self._client = Client(cluster, patience_s=patience_s)
        self._reader = codec.Reader()
        self._alerts = ElasticAlerts(self._client, self._reader)
        self._records = ElasticRecords(self._client, home, clock, self._reader)
        self._events = ElasticEvents(self._client, self._records.add_dead, self._records.refusals)

    @property
    def events(self) -> ElasticEvents:
        return self._events

    @property
    def alerts(self) -> ElasticAlerts:
        return self._alerts

    @property
    def records(self) -> ElasticRecords:
        return self._records

    @property
    def malformed(self) -> int:
        """Stored documents that could not be read and were left out of lists since this store was opened."""
        return self._reader.malformed

    def close(self) -> None:
        self._client.close()
