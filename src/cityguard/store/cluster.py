"""What a store needs to know of an Elasticsearch cluster; ``config.Elasticsearch`` has this shape."""

from __future__ import annotations

from typing import Protocol


class Cluster(Protocol):
    """Where a cluster is and how to log in."""

    @property
    def hosts(self) -> tuple[str, ...]: ...
    @property
    def prefix(self) -> str: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password_file(self) -> str: ...
    @property
    def timeout_s(self) -> int: ...
