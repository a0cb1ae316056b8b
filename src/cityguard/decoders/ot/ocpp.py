"""OCPP-J 1.6, 2.0.1 and 2.1: messages of one WebSocket to one row each; answers carry the action they answer.

``ot.unit_id`` is the charge point: the last part of the WebSocket's path. Authorisation keys and passwords are judged
and not kept, nor are tokens of drivers.
"""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders import passwords, secrets
from cityguard.decoders.events import Talk
from cityguard.decoders.ot import ocpp_message as text
from cityguard.decoders.ot.ocpp_names import REFUSALS, edition, kind, known
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import places
from cityguard.decoders.wire.pairs import Pairs

_UNPROTECTED = ([("securityProfile", "0")], [("securityProfile", "1")])
MAX_OPEN = 200
"""Calls of one WebSocket that wait for their answers."""


class Calls:
    """The messages of one WebSocket."""

    def __init__(self, out: Out, unit: str, version: str, station: int) -> None:
        """``unit``: the charge point's id; ``version``: of the subprotocol, "" = not told; ``station``: its side."""
        self._out, self._unit, self._version, self._station = out, unit, version, station
        self._open = Pairs[tuple[str, str | None]](MAX_OPEN)

    def connected(self, password: bytes, user: str, talk: Talk, at: Moment) -> None:
        """A charge point that shows a password (HTTP Basic; OCPP 1.6 security whitepaper, profiles 1 and 2)."""
        fields = self._fields("WebSocketUpgrade", "upgrade") | passwords.judge(password, self._unit, user).columns()
        self._add(at, talk, fields | {"ot.function.class": "diagnostic", "ot.is_request": True})

    def broken(self, reason: str, talk: Talk, at: Moment) -> None:
        """A message that cannot be read."""
        self._add(at, talk, self._fields(None, None) | {"ot.status": "malformed", "ot.flags": [reason]})

    def message(self, side: int, data: bytes, talk: Talk, at: Moment) -> None:
        """One message from a side."""
        found = text.read(data)
        if found is None:
            self.broken("json", talk, at)
        elif found.asks:
            self._call(side, found, talk, at)
        else:
            self._answer(side, found, talk, at)

    def _call(self, side: int, found: text.Message, talk: Talk, at: Moment) -> None:
        action, payload = found.action, found.payload
        self._version = self._version or edition(action) or ""
        where = text.place(payload)
        self._open.ask((side, found.id), (action, where))
        fields = self._fields(action, text.KINDS[found.kind].lower(), found.id) | {
            "ot.function.class": kind(action),
            "ot.address": where,
            "ot.is_request": True,
        }
        url = text.target(action, payload)
        if url or kind(action) in ("write", "control", "program"):
            fields["ot.value"] = secrets.url(text.value(action, payload) or "") or None
        if url:
            fields |= places.columns(url)
        secret = next(text.secrets(action, payload), None) or (places.password(url) or b"").decode()
        if secret:
            fields |= passwords.judge(secret.encode("utf-8", "replace"), self._unit).columns()
        flags = text.profile_flags(payload)
        if side == self._station:
            flags.append("report")
        if action == "SetNetworkProfile" and text.settings(action, payload)[:1] in _UNPROTECTED:
            flags.append("security_lowered")
        fields["ot.flags"] = flags or None
        _timed(fields, payload, at)
        if action == "BootNotification":
            _booted(fields, payload)
        self._add(at, talk, fields)

    def _answer(self, side: int, found: text.Message, talk: Talk, at: Moment) -> None:
        action, where = self._open.answer((1 - side, found.id)) or (None, None)
        refused = found.kind != 3
        status = found.code if refused else text.status(found.payload)
        fields = self._fields(action, text.KINDS[found.kind].lower(), found.id) | {
            "ot.function.class": kind(action) if action else None,
            "ot.address": where,
            "ot.status": status or None,
            "ot.is_request": False,
        }
        if refused or (status in REFUSALS and action not in ("BootNotification", "Authorize")):
            fields["ot.function.class"] = "error"
        if refused and found.text:
            fields["event.fields"] = json.dumps({"ocpp": {"description": found.text}}, ensure_ascii=False)
        _timed(fields, found.payload, at)
        self._add(at, talk, fields)

    def _fields(self, action: str | None, message: str | None, mark: str | None = None) -> dict[str, Any]:
        return {
            "network.protocol": "ocpp",
            "ot.protocol": "ocpp",
            "ot.function.name": action,
            "ot.unit_id": self._unit or None,
            "ot.message.type": message,
            "ot.request_id": mark,
            "ot.edition": self._version or None,
        }

    def _add(self, at: Moment, talk: Talk, fields: dict[str, Any]) -> None:
        self._out.add("ot", at, talk, fields)


def _timed(fields: dict[str, Any], payload: dict[str, Any], at: Moment) -> None:
    when = text.moment(payload)
    if when is None:
        return
    fields["ot.time"] = when
    if at.time > 0:
        fields["ot.time_offset"] = round(when.timestamp() - at.time / 1e9, 3)


def _booted(fields: dict[str, Any], payload: dict[str, Any]) -> None:
    """What a charge point says it is (1.6: chargePoint…; 2.x: chargingStation)."""
    station = payload.get("chargingStation")
    given = station if isinstance(station, dict) else payload
    words = [str(given.get(key) or "")[:64] for key in ("chargePointVendor", "chargePointModel", "vendorName", "model")]
    fields["ot.station_kind"] = " ".join(word for word in words if word) or None
    if isinstance(given.get("firmwareVersion"), str):
        fields["event.fields"] = json.dumps({"ocpp": {"firmware": given["firmwareVersion"][:64]}}, ensure_ascii=False)


def sure(data: bytes) -> bool:
    """Whether a message tells that this is OCPP where no subprotocol did: a call of a known action, or an answer."""
    found = text.read(data)
    return found is not None and bool(found.id) and (found.kind == 3 or known(found.action))
