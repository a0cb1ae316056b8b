"""SSH seen from outside: the banner and the algorithms a server offers in KEXINIT (RFC 4253). Bytes only."""

from __future__ import annotations

from cityguard.checks.facts import Ssh
from cityguard.errors import DecodeError

HELLO = b"SSH-2.0-cityguard\r\n"
MAX_REPLY = 40 << 10
MAX_BANNER = 255
MAX_NAMES = 200


def banner(data: bytes) -> str | None:
    """The server's identification line, printable; None while it has not arrived whole."""
    for line in data[:8192].split(b"\n")[:-1]:  # other lines may come first
        if line.startswith(b"SSH-"):
            return printable(line.rstrip(b"\r")[:MAX_BANNER])
    return None


def parse(data: bytes) -> Ssh | None:
    """Banner and KEXINIT; None while they have not arrived whole.

    Raises:
        DecodeError: this is no SSH 2, or its first packet is no KEXINIT.
    """
    if (line := banner(data)) is None:
        if len(data) > 8192:
            raise DecodeError("no SSH banner")
        return None
    start = data.index(b"\n", data.index(b"SSH-")) + 1
    packet = data[start:]
    if len(packet) < 6:
        return None
    size, padding = int.from_bytes(packet[:4], "big"), packet[4]
    if not 20 < size <= 35000 or padding >= size or packet[5] != 20:
        raise DecodeError("not a KEXINIT packet", place=f"byte {start}")
    if len(packet) < 4 + size:
        return None
    lists = _name_lists(packet[6 + 16 : 4 + size - padding], 10)
    # Client to server and back are listed apart; an algorithm offered either way is offered.
    return Ssh(
        line,
        kex=lists[0],
        host_keys=lists[1],
        ciphers=_merged(lists[2], lists[3]),
        macs=_merged(lists[4], lists[5]),
        compression=_merged(lists[6], lists[7]),
    )


def _name_lists(data: bytes, count: int) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    at = 0
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 4 + size > len(data):
            raise DecodeError("short name-list in KEXINIT", place=f"byte {at}")
        names = printable(data[at + 4 : at + 4 + size]).split(",")[:MAX_NAMES] if size else []
        found.append(tuple(name[:100] for name in names))
        at += 4 + size
    return found


def _merged(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*left, *right)))


def printable(data: bytes) -> str:
    """ASCII with everything else as ``?``: what a hostile banner may say to a terminal or a page."""
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data)
