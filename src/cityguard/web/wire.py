"""HTTP/1.1 as it comes in: a request has to arrive in time, and one address may hold only so many connections."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

HEAD_S = 10.0  # from the first moment of a request to the end of its headers
WHOLE_S = 60.0  # to the end of its body
PER_ADDRESS = 64
MAX_CONNECTIONS = 500


class Wire(H11Protocol):
    """uvicorn's own protocol with deadlines, which it has only between requests, and with a bound per address."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        ip = _ip(transport)
        held = sum(1 for one in self.connections if isinstance(one, Wire) and _ip(one.transport) == ip)
        if held >= PER_ADDRESS or len(self.connections) >= MAX_CONNECTIONS:
            self._refused = True
            log.warning("%s holds %d of %d connections: another is refused", ip, held, len(self.connections))
            transport.abort()
            return
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._timer is None and self._arriving:
            self._arm()
        super().data_received(data)
        if not self._arriving:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if not self._refused:
            super().connection_lost(exc)

    @property
    def _arriving(self) -> bool:
        """Whether the client still owes us a part of its request."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _arm(self) -> None:
        self._began = self.loop.time()
        self._timer = self.loop.call_later(HEAD_S, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        left = self._began + WHOLE_S - self.loop.time()
        if self.conn.their_state is h11.SEND_BODY and left > 0:
            self._timer = self.loop.call_later(left, self._late)
        elif self._arriving:
            self.transport.abort()


def _ip(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
