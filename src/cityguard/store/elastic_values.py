"""Small state in Elasticsearch; a large one in parts, since a server takes so many bytes in one request."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Any

from cityguard.errors import StoreError
from cityguard.store.elastic_client import Client

PART = 16 << 20
"""Bytes in one document: a third more in base64, well under the 100 MB of ``http.max_content_length``."""

Naming = Callable[..., str]


class Values:
    """Values by name. A value counts once the document of its name is written, which tells where its parts are.

    Args:
        client: the cluster.
        naming: document id of a name and what follows it.
    """

    def __init__(self, client: Client, naming: Naming) -> None:
        self._client, self._name = client, naming

    @property
    def _index(self) -> str:
        return self._client.index("state")

    def get(self, key: str) -> bytes | None:
        """The value as of the last ``put`` that returned.

        Raises:
            StoreError: the cluster does not answer, or a part of the value is gone.
        """
        head = self._head(key)
        if head is None:
            return None
        if "parts" not in head:
            return base64.b64decode(head["value"])
        return b"".join(self._part(key, name) for name in self._parts(key, head))

    def put(self, key: str, value: bytes) -> None:
        """Durable, and whole, when this returns; before that the value is the one before."""
        before = self._head(key)
        if len(value) <= PART:
            head: dict[str, Any] = {"id": key, "value": _text(value)}
        else:
            head = {"id": key, "parts": -(-len(value) // PART), "turn": secrets.token_hex(8)}
            for number, name in enumerate(self._parts(key, head)):
                part = value[number * PART : (number + 1) * PART]
                self._client.put(self._index, name, {"id": f"{key}#{number}", "value": _text(part)})
        self._client.put(self._index, self._name(key), head)
        if before and "parts" in before:
            self._client.delete(self._index, self._parts(key, before))

    def _head(self, key: str) -> dict[str, Any] | None:
        found = self._client.get(self._index, self._name(key))
        return found[0] if found else None

    def _parts(self, key: str, head: dict[str, Any]) -> list[str]:
        return [self._name(key, head["turn"], str(number)) for number in range(head["parts"])]

    def _part(self, key: str, name: str) -> bytes:
        found = self._client.get(self._index, name)
        if found is None:
            raise StoreError(f"a part of the state {key} is gone", place=self._index, remedy="restore the index")
        return base64.b64decode(found[0]["value"])


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
