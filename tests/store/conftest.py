"""The stores under test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.store.make import NOW

from cityguard.config import Elasticsearch
from cityguard.store.elastic import ElasticStore
from cityguard.store.embedded import EmbeddedStore


@dataclass
class Hands:
    """A clock that is moved by hand."""

    now: datetime = field(default=NOW)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture(scope="session")
def prefix() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def elastic(elasticsearch_url: str, prefix: str, tmp_path: Path, clock: Hands) -> Iterator[Callable[..., ElasticStore]]:
    """Opens stores on the real server; every test leaves no index behind."""
    opened: list[ElasticStore] = []

    def open_(**options: Any) -> ElasticStore:
        settings = Elasticsearch(hosts=(elasticsearch_url,), prefix=prefix)
        store = ElasticStore(settings, home=tmp_path / "home", clock=clock, **options)
        opened.append(store)
        return store

    yield open_
    if opened:
        wipe(opened[0])
    for store in opened:
        store.close()


def wipe(store: ElasticStore) -> None:
    """Delete every index of this prefix."""
    client = store._client
    for name in client.indices(f"{client.prefix}-*"):
        client.delete_index(name)


@pytest.fixture(params=["embedded", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Hands) -> Iterator[EmbeddedStore | ElasticStore]:
    if request.param == "elasticsearch":
        yield request.getfixturevalue("elastic")()
        return
    embedded = EmbeddedStore(tmp_path / "home", clock=clock)
    yield embedded
    embedded.close()
