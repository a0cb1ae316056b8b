"""SNMP v1, v2c, v3 (RFC 1157, 3416, 3412): operation, objects and error, one row per message.

A community is a password: told is only whether it is one that everybody knows.
"""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.ber import Item, item, items
from cityguard.decoders.wire.dialogue import readable

MAX_OBJECTS = 8
_OPERATIONS = {
    0: "get",
    1: "get-next",
    2: "response",
    3: "set",
    4: "trap",
    5: "get-bulk",
    6: "inform",
    7: "trap",
    8: "report",
}
_DEFAULT = frozenset((b"public", b"private", b"admin", b"cisco", b"community", b"default", b"snmp", b"write"))
_ERRORS = (
    "noError tooBig noSuchName badValue readOnly genErr noAccess wrongType wrongLength wrongEncoding wrongValue "
    "noCreation inconsistentValue resourceUnavailable commitFailed undoFailed authorizationError notWritable "
    "inconsistentName"
)
ERRORS = tuple(_ERRORS.split())


def oid(raw: bytes) -> str:
    """An object identifier in dots, bounded."""
    parts: list[int] = []
    value = 0
    for byte in raw[:128]:
        value = (value << 7 | byte & 0x7F) & 0xFFFFFFFF
        if byte < 0x80:
            parts += [min(value // 40, 2), value - 40 * min(value // 40, 2)] if not parts else [value]
            value = 0
    return ".".join(map(str, parts))


def _number(data: bytes, one: Item) -> int:
    return int.from_bytes(data[one.begin : min(one.end, one.begin + 8)], "big", signed=True)


def read(data: bytes) -> dict[str, Any] | None:
    """The columns of one message; None = it is none."""
    outer = item(data, 0, len(data))
    if outer is None or (outer.form, outer.number) != (0x20, 16):
        return None
    parts = list(items(data, outer.begin, outer.end))
    if len(parts) < 3 or parts[0].number != 2:
        return None
    version = _number(data, parts[0])
    fields: dict[str, Any] = {"service.name": "snmp"}
    if version in (0, 1) and parts[1].number == 4:
        community = data[parts[1].begin : parts[1].end]
        more: dict[str, Any] = {"version": version + 1, "default_community": community.lower() in _DEFAULT}
        told = _pdu(data, parts[2], more)
        if told is None:
            return None
        fields |= told
    elif version == 3:
        more = {"version": 3}
        fields |= _three(data, parts, more)
    else:
        return None
    return fields | {"event.fields": json.dumps({"snmp": more})}


def _pdu(data: bytes, one: Item, more: dict[str, Any]) -> dict[str, Any] | None:
    if one.form != 0xA0 or one.number not in _OPERATIONS:
        return None
    parts = list(items(data, one.begin, one.end))
    fields: dict[str, Any] = {"event.action": _OPERATIONS[one.number]}
    if one.number == 4 and parts:
        more["enterprise"] = oid(data[parts[0].begin : parts[0].end])
    elif len(parts) >= 4:
        more["request"] = _number(data, parts[0])
        error = _number(data, parts[1]) if one.number != 5 else 0
        if one.number == 2:
            fields["event.outcome"] = "failure" if error else "success"
        if error:
            fields["event.reason"] = ERRORS[error] if 0 < error < len(ERRORS) else str(error)
    if parts and parts[-1].number == 16:
        bound = list(items(data, parts[-1].begin, parts[-1].end))
        names = [item(data, pair.begin, pair.end) for pair in bound[:MAX_OBJECTS]]
        more["objects"] = [oid(data[name.begin : name.end]) for name in names if name is not None]
        more["count"] = len(bound)
    return fields


def _three(data: bytes, parts: list[Item], more: dict[str, Any]) -> dict[str, Any]:
    """Version 3: message flags, and the user of its security parameters."""
    head = list(items(data, parts[1].begin, parts[1].end))
    fields: dict[str, Any] = {"event.action": "message"}
    if len(head) >= 4 and head[2].end > head[2].begin:
        flags = data[head[2].begin]
        more["security"] = ("noAuthNoPriv", "authNoPriv", "", "authPriv")[flags & 3]
    inner = item(data, parts[2].begin, parts[2].end)
    secured = list(items(data, inner.begin, inner.end)) if inner is not None else []
    if len(secured) >= 4:
        more["engine"] = data[secured[0].begin : secured[0].end].hex()[:64]
        fields["user.name"] = readable(data[secured[3].begin : secured[3].end], 64) or None
    if len(parts) > 3 and parts[3].number == 16:
        scoped = list(items(data, parts[3].begin, parts[3].end))
        if len(scoped) >= 3:
            fields |= _pdu(data, scoped[2], more) or {}
    return fields


class Snmp(Speaker):
    """Every SNMP message of a capture."""

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        fields = read(data)
        if fields is None:
            return False
        self.out.add("audit", at, talk, fields)
        return True


def starts(data: bytes, usual: bool) -> bool:
    """A sequence that begins with a version, on the usual ports."""
    return usual and data[:1] == b"\x30" and any(data[at : at + 2] == b"\x02\x01" for at in (2, 3, 4))


PROTOCOLS = (Protocol("snmp", starts, Snmp, udp=(161, 162)),)
