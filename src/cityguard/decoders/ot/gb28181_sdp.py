"""SDP of GB/T 28181 (annex F of 2016, G of 2022; RFC 4566) with its own lines ``y=`` and ``f=``, and ``Subject``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

MAX_LINES = 128
_CODECS = {"1": "MPEG-4", "2": "H.264", "3": "SVAC", "4": "3GP", "5": "H.265"}


@dataclass(frozen=True, slots=True)
class Media:
    """What an INVITE asks for, or an answer grants; None = not said. Times in Unix seconds."""

    name: str | None = None
    """``s=``: Play, Playback, Download or Talk."""
    ip: str | None = None
    port: int | None = None
    kind: str | None = None
    proto: str | None = None
    payloads: tuple[int, ...] = ()
    channel: str | None = None
    channel_type: str | None = None
    start: int | None = None
    stop: int | None = None
    setup: str | None = None
    connection: str | None = None
    direction: str | None = None
    speed: int | None = None
    size: int | None = None
    ssrc: str | None = None
    """``y=``: ten digits, the first 0 live and 1 history; the SSRC of the RTP packets in decimal."""
    video: str | None = None
    audio: str | None = None
    """Halves of ``f=``."""
    owner: str | None = None

    @property
    def history(self) -> bool | None:
        return None if not self.ssrc else self.ssrc[0] == "1"

    @property
    def stream_id(self) -> int | None:
        """The SSRC as a number."""
        number = int(self.ssrc) if self.ssrc else -1
        return number if 0 <= number < 1 << 32 else None

    @property
    def codec(self) -> str | None:
        """The codec of the picture that ``f=`` names."""
        return _CODECS.get((self.video or "").partition("/")[0])


@dataclass(frozen=True, slots=True)
class Subject:
    """``Subject``: who sends which stream to whom."""

    sender: str
    sender_number: str
    receiver: str
    receiver_number: str


def read(body: bytes) -> Media | None:
    """A description of any bytes; None where it is none."""
    lines = body[:65_536].decode("utf-8", "replace").splitlines()[:MAX_LINES]
    if not any(line.startswith("v=") for line in lines[:4]):
        return None
    found: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for line in lines:
        key, sign, value = line.partition("=")
        if not sign or len(key) != 1:
            continue
        if key == "a":
            name, _, rest = value.partition(":")
            attributes.setdefault(name.strip().lower()[:32], rest.strip()[:128])
        else:
            found.setdefault(key, value.strip()[:256])
    kind, port, proto, payloads = _media(found.get("m", ""))
    start, stop = _times(found.get("t", ""))
    channel, _, channel_type = found.get("u", "").partition(":")
    video, audio = _format(found.get("f", ""))
    ssrc = found.get("y", "")[:10]
    return Media(
        found.get("s") or None,
        address(found.get("c", "")),
        port,
        kind,
        proto,
        payloads,
        channel or None,
        channel_type or None,
        start,
        stop,
        attributes.get("setup"),
        attributes.get("connection"),
        next((one for one in ("recvonly", "sendonly", "sendrecv", "inactive") if one in attributes), None),
        number(attributes.get("downloadspeed", "")),
        number(attributes.get("filesize", "")),
        ssrc if len(ssrc) == 10 and ssrc.isascii() and ssrc.isdigit() else None,
        video,
        audio,
        found.get("o", "").partition(" ")[0][:64] or None,
    )


def subject(text: str) -> Subject | None:
    """``sender:number,receiver:number``; None where it is none."""
    sender, comma, receiver = text.strip()[:256].partition(",")
    left, right = sender.partition(":"), receiver.partition(":")
    if not (comma and left[1] and right[1]):
        return None
    return Subject(*(part.strip() for part in (left[0], left[2], right[0], right[2])))


def number(text: str) -> int | None:
    """A decimal number of up to 18 digits."""
    text = text.strip()
    return int(text) if 0 < len(text) <= 18 and text.isascii() and text.isdigit() else None


def address(line: str) -> str | None:
    """The address of a ``c=`` line."""
    return literal(line.split(" ")[-1].partition("/")[0].strip())


def literal(text: str) -> str | None:
    """An address in canonical form, one of IPv4 within IPv6 unwrapped; None where it is a name, or has a zone."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if found.version == 6 and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return None if "%" in text else str(found)


def _media(line: str) -> tuple[str | None, int | None, str | None, tuple[int, ...]]:
    parts = line.split()
    if len(parts) < 3:
        return None, None, None, ()
    port = number(parts[1].partition("/")[0])
    payloads = [number(part) for part in parts[3:19]]
    kept = tuple(one for one in payloads if one is not None and one < 128)
    return parts[0][:16], port if port is not None and port < 65_536 else None, parts[2][:32], kept


def _times(line: str) -> tuple[int | None, int | None]:
    parts = line.split()
    pair = [number(part) for part in parts[:2]] + [None, None]
    return pair[0], pair[1]


def _format(line: str) -> tuple[str | None, str | None]:
    """``v/…a/…`` in its two halves, without their letters."""
    place = line.find("a/")
    video = line[:place] if place >= 0 else line
    video = video[2:] if video.startswith("v/") else ""
    audio = line[place + 2 :] if place >= 0 else ""
    return video.strip() or None, audio.strip() or None
