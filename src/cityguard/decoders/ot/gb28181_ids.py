"""Device ids of GB/T 28181: 20 digits by rule D, from which place, trade, kind and network of a device can be read.

GB/T 28181-2016 annex D, GB/T 28181-2022 annex E: 8 digits civil code, 2 industry, 3 type, 1 network, 6 serial.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

TYPES = {
    111: "dvr",
    112: "video server",
    113: "encoder",
    114: "decoder",
    115: "video switching matrix",
    116: "audio switching matrix",
    117: "alarm controller",
    118: "nvr",
    119: "smart box",
    120: "screen controller",
    121: "road checkpoint",
    122: "multi-lens camera",
    123: "parking",
    124: "door controller",
    125: "security gate",
    130: "hybrid dvr",
    131: "camera",
    132: "ip camera",
    133: "display",
    134: "alarm input",
    135: "alarm output",
    136: "audio input",
    137: "audio output",
    138: "mobile device",
    139: "other peripheral",
    141: "barrier",
    142: "smart door",
    200: "sip server",
    201: "web server",
    202: "media server",
    203: "proxy server",
    204: "secure server",
    205: "alarm server",
    206: "database server",
    207: "gis server",
    208: "management server",
    209: "access gateway",
    210: "media storage",
    211: "security gateway",
    215: "business group",
    216: "virtual organisation",
}
CAMERAS = frozenset((131, 132, 122, 138))
"""Types that look and answer, and have no cause to ask other devices."""
_SERVERS = range(200, 215)
_FOREIGN = "7"
"""Network digit of the Internet, in both editions."""


@dataclass(frozen=True, slots=True)
class Device:
    """An id and its parts, as text."""

    id: str
    civil: str
    industry: str
    type: str
    net: str
    serial: str

    @property
    def kind(self) -> str:
        """Type code and word."""
        number = int(self.type)
        word = TYPES.get(number) or ("user" if 300 <= number < 500 else "platform" if number >= 500 else "")
        return f"{self.type} {word}".strip()

    @property
    def server(self) -> bool:
        """A platform or one of its servers, not a device."""
        return int(self.type) in _SERVERS or int(self.type) >= 500

    @property
    def camera(self) -> bool:
        return int(self.type) in CAMERAS

    @property
    def on_internet(self) -> bool:
        return self.net == _FOREIGN


@lru_cache(maxsize=16_384)
def device(text: str) -> Device | None:
    """The parts of an id of 20 digits; None where it is none."""
    if len(text) != 20 or not (text.isascii() and text.isdigit()) or text[0] == "0" or int(text[10:13]) < 111:
        return None
    return Device(text, text[:8], text[8:10], text[10:13], text[13], text[14:])
