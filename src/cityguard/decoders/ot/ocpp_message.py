"""Messages of OCPP-J (1.6 JSON specification; 2.0.1 part 4): CALL, CALLRESULT, CALLERROR, and 2.1's two more.

Pure: text in, what it says out, nothing masked; never raises on any octets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cityguard.decoders.secrets import named

MAX_MESSAGE = 1 << 20
MAX_DEPTH = 16
MAX_ID = 36
MAX_VALUES = 16
MAX_VALUE = 512
KINDS = {2: "CALL", 3: "CALLRESULT", 4: "CALLERROR", 5: "CALLRESULTERROR", 6: "SEND"}
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)', re.DOTALL)  # one that does not end takes all
_PLAIN = bytes(set(range(256)) - set(b"[]{}"))
_URL = re.compile(r"(?i)^(?:https?|ftps?|sftp|wss?)://")
_BIG = {"A": 1_000.0, "W": 1_000_000.0}
"""A limit that is none."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    kind: int
    id: str
    action: str
    """Of a call; "" in an answer."""
    payload: dict[str, Any]
    code: str = ""
    text: str = ""

    @property
    def asks(self) -> bool:
        return self.kind in (2, 6)


def read(data: bytes) -> Message | None:
    """A message; None where it is none, too long, or nested too deep."""
    if len(data) > MAX_MESSAGE or data.lstrip()[:1] != b"[" or not _shallow(data):
        return None
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, list) or len(given) < 3 or type(given[0]) is not int or not isinstance(given[1], str):
        return None
    kind, mark, third = given[0], given[1][:MAX_ID], given[2]
    if kind not in KINDS:
        return None
    if kind in (2, 6):
        if not isinstance(third, str) or not third:
            return None
        return Message(kind, mark, third[:64], _mapping(given[3]) if len(given) > 3 else {})
    if kind == 3:
        return Message(kind, mark, "", _mapping(third))
    details = _mapping(given[4]) if len(given) > 4 else {}
    return Message(kind, mark, "", details, str(third)[:64], str(given[3])[:MAX_VALUE] if len(given) > 3 else "")


def _shallow(data: bytes) -> bool:
    plain = _STRING.sub(b"", data) if b'"' in data else data
    depth = 0
    for bracket in plain.translate(None, _PLAIN):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return False
    return True


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[dict[str, Any]]:
    return [one for one in value[:256] if isinstance(one, dict)] if isinstance(value, list) else []


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:MAX_VALUE] if isinstance(value, str | int | float) else ""


def place(payload: dict[str, Any]) -> str | None:
    """Connector (1.6) or EVSE and connector (2.x) that a call is about."""
    if isinstance(payload.get("connectorId"), int) and "evseId" not in payload:
        return str(payload["connectorId"])
    evse = _mapping(payload.get("evse"))
    number = payload.get("evseId", evse.get("id"))
    if not isinstance(number, int):
        return None
    connector = payload.get("connectorId", evse.get("connectorId"))
    return f"{number}/{connector}" if isinstance(connector, int) else str(number)


def target(action: str, payload: dict[str, Any]) -> str:
    """The URL to which a call sends the charge point: for firmware, with its logs, or for good."""
    if action in ("UpdateFirmware", "SignedUpdateFirmware", "PublishFirmware", "GetDiagnostics"):
        return _word(payload.get("location")) or _word(_mapping(payload.get("firmware")).get("location"))
    if action == "GetLog":
        return _word(_mapping(payload.get("log")).get("remoteLocation"))
    if action == "SetNetworkProfile":
        return _word(_mapping(payload.get("connectionData")).get("ocppCsmsUrl"))
    for _, value in settings(action, payload):
        if _URL.match(value):
            return value
    return ""


def settings(action: str, payload: dict[str, Any]) -> list[tuple[str, str]]:
    """What a call sets: key and value; ``Component.Variable`` in 2.x."""
    if action == "ChangeConfiguration":
        return [(_word(payload.get("key")), _word(payload.get("value")))]
    if action == "SetVariables":
        return [
            (
                f"{_word(_mapping(one.get('component')).get('name'))}.{_word(_mapping(one.get('variable')).get('name'))}",
                _word(one.get("attributeValue")),
            )
            for one in _items(payload.get("setVariableData"))
        ]
    if action == "SetNetworkProfile":
        profile = _mapping(payload.get("connectionData")).get("securityProfile")
        return [("securityProfile", _word(profile))] if profile is not None else []
    keys = ("type", "requestedMessage", "certificateType", "updateType", "listVersion", "monitoringBase", "severity")
    return [(key, _word(payload[key])) for key in keys if key in payload]


def is_secret(key: str) -> bool:
    """Whether a setting is a password or a key."""
    return named(key.rstrip(" .").rpartition(".")[2])


def secrets(action: str, payload: dict[str, Any]) -> Iterator[str]:
    """Passwords and keys that a call sets."""
    for key, value in settings(action, payload):
        if is_secret(key):
            yield value
    if action == "SetNetworkProfile":
        connection = _mapping(payload.get("connectionData"))
        for holder in (connection, _mapping(connection.get("apn")), _mapping(connection.get("vpn"))):
            for key, held in holder.items():
                if isinstance(held, str) and named(str(key)):
                    yield held


def limits(payload: dict[str, Any]) -> tuple[list[float], str]:
    """Limits of a charging profile, and their unit (A or W)."""
    profile = _mapping(payload.get("csChargingProfiles") or payload.get("chargingProfile"))
    schedule = profile.get("chargingSchedule")
    found, unit = list[float](), ""
    for one in _items(schedule) if isinstance(schedule, list) else [_mapping(schedule)]:
        unit = unit or _word(one.get("chargingRateUnit"))
        for period in _items(one.get("chargingSchedulePeriod")):
            if isinstance(period.get("limit"), int | float) and abs(period["limit"]) < 1e12:
                found.append(float(period["limit"]))
    return found, unit


def value(action: str, payload: dict[str, Any]) -> str | None:
    """What a call sets, as it may be shown: ``key=value``, or the URL."""
    if action in ("SetChargingProfile", "RemoteStartTransaction", "RequestStartTransaction"):
        found, unit = limits(payload)
        return f"limit={min(found):g}{unit}" if found else None
    if action not in ("ChangeConfiguration", "SetVariables") and (url := target(action, payload)):
        return url
    shown = [f"{key}={'***' if is_secret(key) else given}" for key, given in settings(action, payload)[:MAX_VALUES]]
    return ",".join(shown)[:MAX_VALUE] or None


def profile_flags(payload: dict[str, Any]) -> list[str]:
    """``limit_zero``: charging is stopped; ``limit_maximum``: there is no limit."""
    found, unit = limits(payload)
    if not found:
        return []
    if max(found) <= 0:
        return ["limit_zero"]
    return ["limit_maximum"] if min(found) >= _BIG.get(unit, _BIG["W"]) else []


def status(payload: dict[str, Any]) -> str | None:
    """How an answer ends: its status, or the first that is not Accepted of several."""
    if isinstance(payload.get("status"), str):
        return _word(payload["status"])[:64]
    several = [_word(one.get("attributeStatus")) for one in _items(payload.get("setVariableResult"))]
    return next((one for one in several if one != "Accepted"), several[0] if several else None)


def moment(payload: dict[str, Any]) -> datetime | None:
    """The time a message tells: ``timestamp``, or ``currentTime`` of the central system."""
    for key in ("timestamp", "currentTime"):
        given = payload.get(key)
        if isinstance(given, str) and 19 <= len(given) <= 40:
            try:
                found = datetime.fromisoformat(given)
            except ValueError:
                continue
            try:
                return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
            except (OverflowError, ValueError):
                continue
    return None
