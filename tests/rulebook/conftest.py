"""The stores of ``tests/store``, here as well."""

from __future__ import annotations

from tests.store.conftest import clock, elastic, prefix, store

__all__ = ["clock", "elastic", "prefix", "store"]
