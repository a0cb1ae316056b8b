"""SSH (RFC 4253, 4252): banners, offers, what was agreed, host key and HASSH, one row per connection.

Nothing is decrypted. Whether a login succeeded is inferred from the sizes of the server's first encrypted packets: an
accepted login is answered by 16 bytes less than the service was, a refused one by the same size again and again.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

PORT = 22
MAX_BANNER = 1_024
"""Bytes before a banner's end; a server may send lines before it."""
MAX_PACKET = 65_536
MAX_ENCRYPTED = 64
"""Encrypted segments of the server that are measured."""
_KEXINIT, _NEWKEYS, _KEX_REPLY, _GEX_REPLY = 20, 21, 31, 33
_SERVICE_NAME = 16  # "ssh-userauth" with its length: what SERVICE_ACCEPT has and USERAUTH_SUCCESS has not
_MAX_NAMES = 8_192
_LISTS = ("kex", "host_key", "cipher_c", "cipher_s", "mac_c", "mac_s", "compression_c", "compression_s")


@dataclass(slots=True)
class _Side:
    buffer: bytearray
    banner: str | None = None
    offer: dict[str, list[str]] | None = None
    encrypted: bool = False
    lost: bool = False
    looked: int = 0


class Connection:
    """One connection; its row comes at its end, or when nothing more can be learnt."""

    def __init__(self, out: Out, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._out, self._ends = out, ends
        self._sides = (_Side(bytearray()), _Side(bytearray()))
        self._client = _client(ends)
        self._at: Moment | None = None
        self._fields: dict[str, Any] = {}
        self._accepted = self._refused = self._measured = self._attempts = 0

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        one = self._sides[side]
        if self.done or one.lost:
            return
        if one.encrypted:
            if side != self._client:
                self._measure(len(data))
            return
        one.buffer += data
        if one.banner is None and not self._banner(side, one, at):
            return
        self._packets(one, side)
        self.held = len(self._sides[0].buffer) + len(self._sides[1].buffer)

    def gap(self, side: int) -> None:
        one = self._sides[side]
        one.lost = True
        one.buffer.clear()
        self.done = all(other.lost for other in self._sides)

    def close(self) -> None:
        if self._at is None:
            return
        client, server = self._sides[self._client], self._sides[1 - self._client]
        fields = self._fields | {"ssh.client": client.banner, "ssh.server": server.banner}
        fields |= _agreed(client.offer, server.offer)
        if client.banner and server.banner:
            fields["ssh.version"] = 1 if "1" in (_major(client.banner), _major(server.banner)) else 2
        if client.offer:
            fields["ssh.hassh"] = _hassh(client.offer, "c")
        if server.offer:
            fields["ssh.hassh_server"] = _hassh(server.offer, "s")
        if self._attempts:
            fields["ssh.auth_attempts"] = self._attempts
            fields["event.flags"] = ["inferred"]
            fields["event.outcome"] = "success" if fields.get("ssh.auth_success") else "failure"
        talk = self._ends if self._client == 0 else self._ends.turned()
        self._out.add("ssh", self._at, talk, fields)
        self._at = None

    def _banner(self, side: int, one: _Side, at: Moment) -> bool:
        """Whether the side's banner is known now."""
        while True:
            end = one.buffer.find(b"\n", 0, MAX_BANNER)
            if end < 0:
                if len(one.buffer) >= MAX_BANNER:
                    self.gap(side)
                return False
            line = bytes(one.buffer[:end]).rstrip(b"\r")
            del one.buffer[: end + 1]
            one.looked += 1
            if line.startswith(b"SSH-"):
                break
            if one.looked > 64:
                self.gap(side)
                return False
        one.banner = line[:255].decode("utf-8", "backslashreplace")
        self._at = self._at or at
        if _major(one.banner) == "1":
            one.lost = True  # the packets of SSH 1 are not read
            self.done = all(other.lost for other in self._sides)
        return True

    def _packets(self, one: _Side, side: int) -> None:
        buffer, place = one.buffer, 0
        while len(buffer) - place >= 6 and not one.encrypted:
            size = int.from_bytes(buffer[place : place + 4], "big")
            if not 2 <= size <= MAX_PACKET:
                self.gap(side)
                return
            if len(buffer) - place < 4 + size:
                break
            padding = buffer[place + 4]
            self._packet(one, side, bytes(buffer[place + 5 : max(place + 4 + size - padding, place + 5)]))
            place += 4 + size
        if one.encrypted:
            buffer.clear()
        else:
            del buffer[:place]

    def _packet(self, one: _Side, side: int, body: bytes) -> None:
        kind = body[0] if body else 0
        if kind == _KEXINIT and one.offer is None:
            one.offer = _offer(body)
        elif kind == _NEWKEYS:
            one.encrypted = True
        elif kind in (_KEX_REPLY, _GEX_REPLY) and side != self._client and "ssh.host_key" not in self._fields:
            chosen = _agreed(self._sides[self._client].offer, one.offer).get("ssh.kex_alg") or ""
            if kind == (_GEX_REPLY if "group-exchange" in chosen else _KEX_REPLY):
                self._host_key(body)

    def _host_key(self, body: bytes) -> None:
        size = int.from_bytes(body[1:5], "big")
        key = body[5 : 5 + size]
        if len(key) == size and size:
            digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
            self._fields["ssh.host_key"] = f"SHA256:{digest}"

    def _measure(self, size: int) -> None:
        """A server's encrypted segment: service accepted, login refused, or login accepted."""
        self._measured += 1
        if not self._accepted:
            self._accepted = size
        elif size == self._accepted - _SERVICE_NAME:
            self._attempts += 1
            self._fields["ssh.auth_success"] = True
            self.done = True
        elif not self._refused:
            self._refused = size  # the list of methods, asked for with "none"
        elif size == self._refused:
            self._attempts += 1
            self._fields["ssh.auth_success"] = False
        self.done = self.done or self._measured >= MAX_ENCRYPTED


def _client(ends: Talk) -> int:
    if ends.opener >= 0:
        return ends.opener
    source, destination = ends.source[2], ends.destination[2]
    if PORT in (source, destination):
        return 0 if destination == PORT else 1
    return 0 if source > destination else 1


def _major(banner: str) -> str:
    version = banner[4:].partition("-")[0]
    return "2" if version == "1.99" else version.partition(".")[0]


def _offer(body: bytes) -> dict[str, list[str]] | None:
    """The name-lists of KEXINIT; None where they do not fit."""
    place, found = 17, {}
    for name in _LISTS:
        size = int.from_bytes(body[place : place + 4], "big")
        if place + 4 + size > len(body) or size > _MAX_NAMES:
            return None
        text = body[place + 4 : place + 4 + size].decode("ascii", "backslashreplace")
        found[name] = text.split(",") if text else []
        place += 4 + size
    return found


def _agreed(client: dict[str, list[str]] | None, server: dict[str, list[str]] | None) -> dict[str, Any]:
    """What both sides settle on: the client's first that the server has too (RFC 4253, 7.1)."""
    if client is None or server is None:
        return {}

    def first(name: str) -> str | None:
        have = set(server[name])
        return next((one for one in client[name] if one in have), None)

    def both(name: str) -> str | None:
        up, down = first(f"{name}_c"), first(f"{name}_s")
        return up if up == down else f"{up} / {down}"

    return {
        "ssh.kex_alg": first("kex"),
        "ssh.host_key_alg": first("host_key"),
        "ssh.cipher_alg": both("cipher"),
        "ssh.mac_alg": both("mac"),
        "ssh.compression_alg": both("compression"),
    }


def _hassh(offer: dict[str, list[str]], way: str) -> str:
    """MD5 of key exchange, ciphers, MACs and compressions in the order offered (Salesforce, BSD-3)."""
    parts = (offer["kex"], offer[f"cipher_{way}"], offer[f"mac_{way}"], offer[f"compression_{way}"])
    return hashlib.md5(";".join(map(",".join, parts)).encode(), usedforsecurity=False).hexdigest()


class Shells(Speaker):
    """Every SSH connection of a capture."""

    def stream(self, talk: Talk) -> Connection:
        return Connection(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A banner; a first byte or two on the usual port."""
    if len(data) < 6:
        return usual and b"SSH-".startswith(data[:4])
    return data[:4] == b"SSH-" and data[4:5] in (b"1", b"2")


PROTOCOLS = (
    Protocol(
        "ssh",
        starts,
        Shells,
        {"ssh": LogSource(("network",), (), ("ssh",))},
        tcp=(PORT,),
        marks=(Mark(b"SSH-"),),
    ),
)
