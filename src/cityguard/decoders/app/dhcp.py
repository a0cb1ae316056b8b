"""DHCP (RFC 2131, 2132) and DHCPv6 (RFC 8415): which address a MAC and a name were given, one row per message."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

_COOKIE = b"\x63\x82\x53\x63"
_KINDS = ("", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform")
_SIX = (
    *("", "solicit", "advertise", "request", "confirm", "renew", "rebind", "reply", "release", "decline"),
    *("reconfigure", "information-request", "relay-forward", "relay-reply"),
)
MAX_OPTIONS = 128


def _address(raw: bytes) -> str | None:
    return str(ipaddress.IPv4Address(raw)) if len(raw) == 4 and any(raw) else None


def _mac(raw: bytes) -> str | None:
    return ":".join(f"{byte:02x}" for byte in raw) if len(raw) == 6 and any(raw) else None


def options(data: bytes, at: int) -> dict[int, bytes]:
    """Options by code; one that stands several times is put together (RFC 3396)."""
    found: dict[int, bytes] = {}
    for _ in range(MAX_OPTIONS):
        if at >= len(data) or data[at] == 255:
            break
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > len(data):
            break
        found[data[at]] = found.get(data[at], b"") + data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def read(data: bytes) -> dict[str, Any] | None:
    """The columns of one message; None = it is none."""
    if len(data) < 240 or data[236:240] != _COOKIE or data[0] not in (1, 2) or data[2] > 16:
        return None
    said = options(data, 240)
    kind = said.get(53, b"\0")[0] if said.get(53) else 0
    name = _KINDS[kind] if kind < len(_KINDS) else str(kind)
    given = _address(data[16:20]) or _address(said.get(50, b"")) or _address(data[12:16])
    mac = _mac(data[28 : 28 + data[2]])
    host = readable(said.get(12, b""), 255)
    more = {
        "type": name or ("request" if data[0] == 1 else "reply"),
        "transaction": data[4:8].hex(),
        "client_mac": mac,
        "client_address": _address(data[12:16]),
        "assigned_address": _address(data[16:20]),
        "requested_address": _address(said.get(50, b"")),
        "server": _address(said.get(54, b"")),
        "relay": _address(data[24:28]),
        "lease": int.from_bytes(said[51], "big") if len(said.get(51, b"")) == 4 else None,
        "domain": readable(said.get(15, b""), 255) or None,
        "vendor_class": readable(said.get(60, b""), 128) or None,
        "routers": [_address(said[3][at : at + 4]) for at in range(0, min(len(said.get(3, b"")), 16), 4)],
        "dns_servers": [_address(said[6][at : at + 4]) for at in range(0, min(len(said.get(6, b"")), 16), 4)],
    }
    return {
        "event.action": more["type"],
        "event.outcome": "failure" if kind in (4, 6) else "success" if kind == 5 else "unknown",
        "host.name": host or None,
        "host.ip": given,
        "source.mac" if data[0] == 1 else "destination.mac": mac,
        "service.name": "dhcp",
        "message": readable(said.get(56, b""), 255) or None,
        "event.fields": json.dumps({"dhcp": {key: value for key, value in more.items() if value}}, ensure_ascii=False),
    }


def read_six(data: bytes) -> dict[str, Any] | None:
    """The columns of one DHCPv6 message."""
    if len(data) < 8 or not 1 <= data[0] <= 13:
        return None
    at, address, name, mac = (34 if data[0] >= 12 else 4), None, "", None
    for _ in range(MAX_OPTIONS):
        if at + 4 > len(data):
            break
        code, size = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 4 + size]
        if code == 1 and len(body) >= 4 and body[:2] in (b"\0\1", b"\0\3"):
            mac = _mac(body[-6:])
        elif code == 3 and len(body) >= 32 and body[12:14] == b"\0\5":
            address = str(ipaddress.IPv6Address(body[16:32]))
        elif code == 39:
            name = ".".join(readable(part, 64) for part in _labels(body[1:]))
        elif code == 0 or size > len(data):
            return None
        at += 4 + size
    if at > len(data):
        return None
    return {
        "event.action": _SIX[data[0]],
        "host.name": name or None,
        "host.ip": address,
        "service.name": "dhcpv6",
        "event.fields": json.dumps({"dhcp": {"transaction": data[1:4].hex(), "client_mac": mac}}),
    }


def _labels(raw: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(raw) and raw[at] and len(found) < 32:
        found.append(raw[at + 1 : at + 1 + raw[at]])
        at += 1 + raw[at]
    return found


class Dhcp(Speaker):
    """Every DHCP message of a capture."""

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        fields = read_six(data) if {talk.source[2], talk.destination[2]} & {546, 547} else read(data)
        if fields is None:
            return False
        self.out.add("audit", at, talk, fields)
        return True


def starts(data: bytes, usual: bool) -> bool:
    """The cookie of DHCP; a message of version 6 that ends where its options do."""
    return data[236:240] == _COOKIE or (usual and read_six(data) is not None)


PROTOCOLS = (Protocol("dhcp", starts, Dhcp, udp=(67, 68, 546, 547), marks=(Mark(_COOKIE, 236),)),)
