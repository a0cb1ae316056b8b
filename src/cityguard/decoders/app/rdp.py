"""RDP (MS-RDPBCGR) before its encryption: the cookie's user, the security asked for and chosen, the client's name."""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

PORT = 3389
_MAX = 65_536
_SECURITY = {0: "RDP", 1: "TLS", 2: "CredSSP", 4: "RDSTLS", 8: "CredSSP-EX", 16: "RDSAAD"}
_COOKIE = b"Cookie: mstshash="
_BLOCKS = b"Duca"
"""H.221 key of a client; its blocks of data follow."""
_FAILURES = {
    1: "SSL_REQUIRED_BY_SERVER",
    2: "SSL_NOT_ALLOWED_BY_SERVER",
    3: "SSL_CERT_NOT_ON_SERVER",
    4: "INCONSISTENT_FLAGS",
    5: "HYBRID_REQUIRED_BY_SERVER",
    6: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
}


class Conversation:
    """One connection: a row when the kind of security is agreed or, without any, when the client has told its name."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held, self.then = False, 0, ""
        self._out, self._talk = out, talk
        self._buffers = (bytearray(), bytearray())
        self._client: int | None = None
        self._at: Moment | None = None
        self._fields: dict[str, Any] = {}
        self._more: dict[str, Any] = {}

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        while len(buffer) >= 7 and not self.done:
            size = buffer[2] << 8 | buffer[3]
            if buffer[0] != 3 or size < 7:
                self.done = True
                break
            if len(buffer) < size:
                break
            packet = bytes(buffer[:size])
            del buffer[:size]
            self._packet(side, packet, at)
        self.held = len(self._buffers[0]) + len(self._buffers[1])
        self.done = self.done or self.held > _MAX

    def _packet(self, side: int, data: bytes, at: Moment) -> None:
        kind = data[5] & 0xF0
        if kind == 0xE0 and self._client is None:
            self._client, self._at = side, at
            self._request(data[11:])
        elif kind == 0xD0 and self._client == 1 - side:
            self._confirm(data[11:])
        elif kind == 0xF0 and self._client == side:
            self._core(data[7:])

    def _request(self, data: bytes) -> None:
        place = data.find(_COOKIE)
        if place >= 0:
            end = data.find(b"\r\n", place)
            self._fields["user.name"] = readable(data[place + len(_COOKIE) : end if end > 0 else None], 128) or None
        if len(data) >= 8 and data[-8] == 1 and data[-6:-4] == b"\x08\0":
            asked = int.from_bytes(data[-4:], "little")
            self._more["requested"] = [name for bit, name in _SECURITY.items() if bit and asked & bit] or ["RDP"]

    def _confirm(self, data: bytes) -> None:
        if len(data) >= 8 and data[0] == 2:
            chosen = int.from_bytes(data[4:8], "little")
            self._more["selected"] = _SECURITY.get(chosen, str(chosen))
            self._fields["event.outcome"] = "unknown"
            if chosen:
                self._give()
                self.done, self.then = True, "tls"
        elif len(data) >= 8 and data[0] == 3:
            code = int.from_bytes(data[4:8], "little")
            self._fields |= {"event.outcome": "failure", "event.reason": _FAILURES.get(code, str(code))}
            self._give()
            self.done = True

    def _core(self, data: bytes) -> None:
        """The client's core data in the MCS connect: version, desktop, keyboard, name (2.2.1.3.2)."""
        place = data.find(b"\x01\xc0", data.find(_BLOCKS) + 1)  # the header of the conference says 01 c0 as well
        if place < 0 or len(data) - place < 60:
            return
        core = data[place + 4 :]
        name = core[20:52].decode("utf-16-le", "replace").split("\0")[0]
        self._more |= {
            "keyboard": f"0x{int.from_bytes(core[12:16], 'little'):08x}",
            "client_build": int.from_bytes(core[16:20], "little"),
            "desktop": f"{int.from_bytes(core[4:6], 'little')}x{int.from_bytes(core[6:8], 'little')}",
        }
        self._fields["host.name"] = "".join(one for one in name if one.isprintable()) or None
        self._give()
        self.done = True

    def _give(self) -> None:
        if self._at is None or self._client is None:
            return
        fields = {
            "event.action": "login",
            "event.outcome": "unknown",
            "service.name": "rdp",
            "event.fields": json.dumps({"rdp": self._more}),
        }
        talk = self._talk if self._client == 0 else self._talk.turned()
        self._out.add("auth", self._at, talk, fields | self._fields)
        self._at = None

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self.done = True

    def close(self) -> None:
        self._give()


class Rdp(Speaker):
    """Every RDP connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A connection request of X.224 with a cookie or a negotiation request; on the usual port without either."""
    if len(data) < 11 or data[:2] != b"\x03\0" or data[5] & 0xF0 != 0xE0:
        return False
    size = data[2] << 8 | data[3]
    negotiates = size >= 19 and data[size - 8 : size - 7] == b"\1" and data[size - 6 : size - 4] == b"\x08\0"
    return usual or b"Cookie: msts" in data[:128] or negotiates


PROTOCOLS = (
    Protocol("rdp", starts, Rdp, tcp=(PORT,), marks=(Mark(b"\x03\0\0\0\0\xe0", 0, b"\xff\xff\0\0\0\xff"),), priority=1),
)
