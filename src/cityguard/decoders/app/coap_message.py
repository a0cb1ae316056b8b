"""Messages of CoAP (RFC 7252, 3), with the options of observing (RFC 7641) and of blocks (RFC 7959).

Pure: octets in, what they say out; never raises on any octets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

METHODS = {1: "GET", 2: "POST", 3: "PUT", 4: "DELETE", 5: "FETCH", 6: "PATCH", 7: "iPATCH"}
_ANSWERS = frozenset(
    (
        *(65, 66, 67, 68, 69, 95),
        *(128, 129, 130, 131, 132, 133, 134, 136, 137, 140, 141, 143, 150, 157),
        *range(160, 166),
    )
)
MAX_OPTIONS = 64
URI_HOST, OBSERVE, URI_PATH, CONTENT_FORMAT, URI_QUERY, LOCATION_PATH, BLOCK2, BLOCK1, PROXY_URI = (
    *(3, 6, 11, 12, 15, 8),
    *(23, 27, 35),
)
_KNOWN = frozenset((1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 20, 23, 27, 28, 35, 39, 60, 252, 258, 292))
KINDS = ("con", "non", "ack", "rst")


@dataclass(frozen=True, slots=True)
class Block:
    """A block option: which, whether more follow, octets of each."""

    number: int
    more: bool
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    kind: int
    code: int
    number: int
    token: bytes
    payload: bytes
    options: dict[int, list[bytes]] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        return self.code in METHODS

    @property
    def status(self) -> str:
        """The code as it is written: 2.05."""
        return f"{self.code >> 5}.{self.code & 31:02d}"

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(one.decode("utf-8", "replace") for one in self.options.get(URI_PATH, ()))

    @property
    def queries(self) -> dict[str, str]:
        """``key=value`` by key; a key alone has no value."""
        found: dict[str, str] = {}
        for one in self.options.get(URI_QUERY, ()):
            key, _, value = one.decode("utf-8", "replace").partition("=")
            found.setdefault(key[:64], value[:255])
        return found

    def uint(self, option: int) -> int | None:
        """An option that is a number; None where there is none."""
        given = self.options.get(option)
        return int.from_bytes(given[0][:8], "big") if given else None

    def block(self, option: int) -> Block | None:
        value = self.uint(option)
        return None if value is None else Block(value >> 4, value & 8 > 0, 16 << min(value & 7, 6))


def read(data: bytes) -> Message | None:
    """A datagram that is one message; None where it is none."""
    if len(data) < 4 or data[0] >> 6 != 1:
        return None
    size, code = data[0] & 15, data[1]
    if size > 8 or len(data) < 4 + size or not (code == 0 or code in METHODS or code in _ANSWERS):
        return None
    if code == 0 and len(data) != 4:
        return None
    token, place, number = data[4 : 4 + size], 4 + size, 0
    options: dict[int, list[bytes]] = {}
    payload = b""
    for _ in range(MAX_OPTIONS + 1):
        if place >= len(data):
            break
        if data[place] == 0xFF:
            payload = data[place + 1 :]
            if not payload:
                return None
            break
        delta, place = _extended(data, data[place] >> 4, place + 1), place
        length = _extended(data, data[place] & 15, place + 1 + _width(data[place] >> 4))
        if delta is None or length is None:
            return None
        begin = place + 1 + _width(data[place] >> 4) + _width(data[place] & 15)
        number += delta
        if begin + length > len(data):
            return None
        options.setdefault(number, []).append(data[begin : begin + length])
        place = begin + length
    else:
        return None
    return Message(data[0] >> 4 & 3, code, int.from_bytes(data[2:4], "big"), token, payload, options)


def _width(nibble: int) -> int:
    return {13: 1, 14: 2}.get(nibble, 0)


def _extended(data: bytes, nibble: int, place: int) -> int | None:
    if nibble == 15:
        return None
    wide = _width(nibble)
    if place + wide > len(data):
        return None
    return nibble if not wide else int.from_bytes(data[place : place + wide], "big") + (13 if wide == 1 else 269)


def sure(data: bytes) -> bool:
    """Whether octets on any port can hardly be anything else: a request for a readable path, known options alone."""
    found = read(data)
    if found is None or not found.asks or found.kind > 1 or URI_PATH not in found.options:
        return False
    if not _KNOWN.issuperset(found.options) or (not found.token and found.kind == 1):
        return False
    texts = (*found.options[URI_PATH], *found.options.get(URI_QUERY, ()))
    return all(one and one.isascii() and one.decode("ascii").isprintable() for one in texts)
