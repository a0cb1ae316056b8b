"""Checkpoints on real stores: what detectors hold comes back from a store that was opened anew, whatever its size."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from cityguard.checkpoint import Checkpoint
from cityguard.store import elastic_values
from cityguard.store.base import Store
from cityguard.store.elastic import ElasticStore
from cityguard.store.elastic_client import Client

LARGE = 90_000_000
"""Octets: more than a server takes in one request."""


def test_a_large_state_and_its_cursor_come_back(store: Store) -> None:
    first, second = os.urandom(LARGE), os.urandom(1000)
    Checkpoint(store.records).commit({"correlation": first, "rules": b"1"}, {"flows": 7})
    assert Checkpoint(store.records).state("correlation") == first
    Checkpoint(store.records).commit({"correlation": second, "rules": b"1"}, {"flows": 8})
    found = Checkpoint(store.records)
    assert (found.state("correlation"), found.state("rules"), found.done) == (second, b"1", {"flows": 8})


@pytest.mark.elasticsearch
def test_a_value_in_parts_counts_when_its_name_is_written_and_not_before(
    elastic: Callable[..., ElasticStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elastic_values, "PART", 1000)
    records, write, left = elastic().records, Client.put, 2
    records.put_value("state", b"old" * 1000)

    def stops(client: Client, index: str, name: str, doc: dict[str, Any]) -> None:
        nonlocal left
        if not left:
            raise ConnectionError("killed here")
        left -= 1
        write(client, index, name, doc)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "put", stops)
        with pytest.raises(ConnectionError):
            records.put_value("state", b"new" * 1000)
    assert elastic().records.get_value("state") == b"old" * 1000
    records.put_value("state", b"new" * 1000)
    records.put_value("small", b"1")
    assert elastic().records.get_value("state") == b"new" * 1000
    assert (records.get_value("small"), records.get_value("none")) == (b"1", None)
