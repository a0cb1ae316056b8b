"""What is remembered of a city's video from message to message: bounded, the oldest forgotten first.

Times are those of packets (ns), and what is asked about a time counts only what was known before it: the pieces in
which a capture is read make no difference.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from cityguard.decoders.events import End, Talk
from cityguard.decoders.ot import gb28181_ids
from cityguard.decoders.ot.gb28181_message import Frame
from cityguard.decoders.ot.gb28181_sdp import Media
from cityguard.decoders.stream import Moment

REPEAT: Final = 32 * 1_000_000_000
"""ns within which the same datagram is the same message, sent again (timer B, 64*T1)."""
MAX_REMEMBERED: Final = 16_384
MAX_SERVERS: Final = 4
"""Addresses at which one device is known to be registered."""
MAX_CALLS: Final = 4
"""Calls of one address and port."""


@dataclass(frozen=True, slots=True)
class Call:
    """An INVITE that announces media."""

    time: int
    unit: str | None
    platform: str | None
    call_id: str
    media: Media


class Memory:
    """Of one capture."""

    def __init__(self) -> None:
        self._sent: OrderedDict[tuple[object, ...], int] = OrderedDict()
        self._servers: OrderedDict[str, dict[tuple[int, int], int]] = OrderedDict()
        self._signed: OrderedDict[str, int] = OrderedDict()
        self._certified: OrderedDict[str, int] = OrderedDict()
        self._calls: OrderedDict[End, tuple[Call, ...]] = OrderedDict()

    def again(self, frame: Frame, talk: Talk, at: Moment) -> bool:
        """Whether this datagram was sent before, a moment ago."""
        head = frame.head
        key = (
            talk.source,
            talk.destination,
            head.first[:256],
            frame.call_id,
            frame.cseq,
            head.get("via")[-96:],
            frame.mark,
        )
        before = self._sent.get(key)
        if before is not None and at.time - before <= REPEAT:
            return True
        _keep(self._sent, key, at.time)
        return False

    # ---------------------------------------------------------------- who is registered where

    def registered(self, device: str, server: End, at: Moment) -> None:
        """A server has said yes to a device's registration or keepalive."""
        known = self._servers.get(device, {})
        if server[:2] in known or len(known) < MAX_SERVERS:
            _keep(self._servers, device, {**known, server[:2]: known.get(server[:2], at.time)})

    def elsewhere(self, frame: Frame, end: End, at: Moment) -> bool:
        """Whether the device a message is for is known to be registered, and not where the message comes from."""
        for name in (frame.request_user, frame.receiver):
            device = gb28181_ids.device(name)
            if device is None or device.server:
                continue
            known = [where for where, since in self._servers.get(name, {}).items() if since <= at.time]
            if known:
                return end[:2] not in known
        return False

    def serves(self, frame: Frame, end: End | None) -> bool:
        """Whether the device a message is for is registered at an address."""
        known = (self._servers.get(name, {}) for name in (frame.request_user, frame.receiver))
        return end is not None and any(end[:2] in one for one in known)

    # ---------------------------------------------------------------- who has shown who it is

    def signing(self, frame: Frame, at: Moment) -> list[str]:
        """Whether a message is signed as those before it."""
        if frame.note is not None:
            return _shown(self._signed, frame.sender, at, "signed")
        return ["signature_missing"] if self._signed.get(frame.sender, at.time) < at.time else []

    def credentials(self, frame: Frame, at: Moment) -> list[str]:
        """By what a registration shows who it is, beside what it showed before."""
        if frame.auth is None:
            return []
        if frame.auth.certificate:
            return ["credentials", *_shown(self._certified, frame.sender, at, "gb35114")]
        dropped = self._certified.get(frame.sender, at.time) < at.time
        return ["credentials", "certificate_dropped"] if dropped else ["credentials"]

    # ---------------------------------------------------------------- which media are meant

    def announce(self, end: End, call: Call) -> None:
        """Media will go to, or come from, an address and port."""
        _keep(self._calls, end, (*self._calls.get(end, ()), call)[-MAX_CALLS:])

    def announced(self, end: End, time: int) -> Call | None:
        """The last call before a time (ns) with media at an address and port."""
        return next((call for call in reversed(self._calls.get(end, ())) if call.time <= time), None)


def _shown(table: OrderedDict[str, int], who: str, at: Moment, flag: str) -> list[str]:
    table.setdefault(who, at.time)
    _bound(table)
    return [flag]


def _keep(table: OrderedDict[Any, Any], key: object, value: object) -> None:
    table[key] = value
    table.move_to_end(key)
    _bound(table)


def _bound(table: OrderedDict[Any, Any]) -> None:
    while len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
