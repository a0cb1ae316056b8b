"""Opens the store that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cityguard.clock import Clock, utc_now
from cityguard.store.base import Store
from cityguard.store.cluster import Cluster
from cityguard.store.embedded import EmbeddedStore


class Choice(Protocol):
    """What of ``config.StoreSettings`` is read here."""

    @property
    def kind(self) -> str: ...
    @property
    def elasticsearch(self) -> Cluster: ...


class HasStore(Protocol):
    """What of ``config.Settings`` is read here."""

    @property
    def home_path(self) -> Path: ...
    @property
    def store(self) -> Choice: ...


def open_store(settings: HasStore, clock: Clock = utc_now, *, create: bool = True) -> Store:
    """The configured store, ready to use; close it when done.

    Args:
        settings: says where and of which kind.
        clock: the present.
        create: whether a store that is not there yet is made.

    Raises:
        StoreError: missing, unreachable, full, read-only, or of a newer version; with the remedy.
        StoreLockedError: another process holds it.
    """
    if settings.store.kind == "elasticsearch":
        from cityguard.store.elastic import ElasticStore  # the client takes 0.3 s to import

        return ElasticStore(settings.store.elasticsearch, home=settings.home_path, clock=clock)
    return EmbeddedStore(settings.home_path, clock=clock, create=create)
