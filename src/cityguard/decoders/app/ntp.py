"""NTP (RFC 5905): mode and stratum of each packet; control (6) and private (7) packets are told apart."""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Protocol, Speaker
from cityguard.decoders.stream import Moment

PORT = 123
_MODES = ("reserved", "active", "passive", "client", "server", "broadcast", "control", "private")


def read(data: bytes) -> dict[str, Any] | None:
    """The columns of one packet; None = it is none."""
    if not data:
        return None
    mode, version = data[0] & 7, data[0] >> 3 & 7
    if not 1 <= version <= 4 or mode == 0 or len(data) < (8 if mode == 7 else 12 if mode == 6 else 48):
        return None
    more: dict[str, Any] = {"version": version, "mode": mode}
    if mode < 6:
        stratum = data[1]
        if stratum > 16:
            return None
        reference = data[12:16]
        more |= {
            "leap": data[0] >> 6,
            "stratum": stratum,
            "poll": int.from_bytes(data[2:3], "big", signed=True),
            "precision": int.from_bytes(data[3:4], "big", signed=True),
            "reference": reference.rstrip(b"\0").decode("latin-1") if stratum < 2 else ".".join(map(str, reference)),
        }
    else:
        more |= {"operation": data[1] & 0x1F if mode == 6 else data[3], "response": bool(data[mode == 6] & 0x80)}
    return {
        "event.action": _MODES[mode],
        "service.name": "ntp",
        "event.fields": json.dumps({"ntp": more}),
    }


class Ntp(Speaker):
    """Every NTP packet of a capture."""

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        fields = read(data)
        if fields is None:
            return False
        self.out.add("audit", at, talk, fields)
        return True


def starts(data: bytes, usual: bool) -> bool:
    """A packet on the usual port."""
    return usual and read(data) is not None


PROTOCOLS = (Protocol("ntp", starts, Ntp, udp=(PORT,)),)
