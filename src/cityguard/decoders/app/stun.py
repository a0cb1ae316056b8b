"""STUN (RFC 8489, 5389): only named; what shares its ports (DTLS of WebRTC) finds its own reader."""

from __future__ import annotations

import struct

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment

_COOKIE = b"\x21\x12\xa4\x42"
_head = struct.Struct(">HH").unpack_from


class Bindings(Speaker):
    """Tells its messages from what else is sent between the same ports."""

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        return starts(data, False)


def starts(data: bytes, usual: bool) -> bool:
    """A message of the magic cookie whose length is whole."""
    if len(data) < 20 or data[0] > 3 or data[4:8] != _COOKIE:
        return False
    return bool(_head(data)[1] % 4 == 0)


PROTOCOLS = (
    Protocol(
        "stun",
        starts,
        Bindings,
        udp=(3478,),
        marks=(Mark(_COOKIE, 4),),
        # of the conversation only what may be DTLS (RFC 7983)
        only=(Mark(b"\x14\xfe"), Mark(b"\x15\xfe"), Mark(b"\x16\xfe")),
    ),
)
