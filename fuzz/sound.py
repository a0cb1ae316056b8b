"""Checksums and lengths made right again after a change: what is behind them is never reached by chance.

Written from the same clauses as the decoders, for the message that begins a chunk.
"""

from __future__ import annotations

from collections.abc import Callable

from cityguard.decoders.wire import crc

Mender = Callable[[bytes], bytes]


def _dnp3(data: bytes) -> bytes:
    """Link frames (IEEE 1815-2012, 9.2): header, and blocks of 16, each with its CRC; as many as there are bytes."""
    if data[:2] != b"\x05\x64" or len(data) < 10:
        return data
    head, body, user = data[3:8].ljust(5, b"\0"), data[10:], b""
    while len(body) > 2:
        block, body = body[:18][:-2], body[18:]
        user += block
    frames = []
    for at in range(0, max(len(user), 1), 250):
        part = user[at : at + 250]
        first = b"\x05\x64" + bytes((5 + len(part),)) + head
        blocks = [first, *(part[place : place + 16] for place in range(0, len(part), 16))]
        frames += [block + crc.dnp(block).to_bytes(2, "little") for block in blocks]
    return b"".join(frames)


def _c37118(data: bytes) -> bytes:
    """Size in bytes 2 and 3, CRC-CCITT at the end (IEEE C37.118.2, 6.2)."""
    if data[:1] != b"\xaa" or len(data) < 16:
        return data
    data = data[:2] + len(data).to_bytes(2, "big") + data[4:-2]
    return data + crc.ccitt(data).to_bytes(2, "big")


def _roc(data: bytes) -> bytes:
    """Length of the data in byte 5, CRC-16 at the end."""
    if len(data) < 8:
        return data
    data = data[:5] + bytes((min(len(data) - 8, 247),)) + data[6:-2][:247]
    return data + crc.arc(data, 0xFFFF).to_bytes(2, "little")


def _genisys(data: bytes) -> bytes:
    """CRC-16 before the end character 0xF6, where neither needs an escape."""
    if len(data) < 5 or data[-1] != 0xF6 or 0xF0 in data:
        return data
    return data[:-3] + crc.arc(data[:-3], 0xFFFF).to_bytes(2, "little") + b"\xf6"


def _dlms(data: bytes) -> bytes:
    """The frame check sequence of an HDLC frame, inverted."""
    if data[:1] != b"\x7e" or len(data) < 9:
        return data
    data = data[:1] + (0xA000 | (len(data) - 2) & 0x7FF).to_bytes(2, "big") + data[3:]
    return data[:-3] + crc.x25(data[1:-3]).to_bytes(2, "little") + b"\x7e"


def _bsap(data: bytes) -> bytes:
    """The check of a serial frame behind DLE ETX."""
    if data[:2] != b"\x10\x02" or len(data) < 8:
        return data
    inner = data[2:-4].replace(b"\x10", b"")
    return b"\x10\x02" + inner + b"\x10\x03" + (crc.x25(inner + b"\x03") ^ 0xFFFF).to_bytes(2, "little")


def _sl651(data: bytes) -> bytes:
    """Length and CRC of a frame in HEX/BCD (SL 651-2014, 6.2)."""
    if data[:2] != b"\x7e\x7e" or not 18 <= len(data) <= 4_000:
        return data
    data = data[:11] + (len(data) - 17 | (data[11] & 0x80) << 8).to_bytes(2, "big") + data[13:-2]
    return data + crc.arc(data, 0xFFFF).to_bytes(2, "big")


def _szy206(data: bytes) -> bytes:
    """Length, CRC-8 and end of a frame."""
    if data[:1] != b"h" or not 12 <= len(data) <= 260:
        return data
    inner, value = data[3:-2], 0
    for octet in inner:
        value ^= octet
        for _ in range(8):
            value = (value << 1 ^ 0xE5 if value & 0x80 else value << 1) & 0xFF
    return b"h" + bytes((len(inner),)) + b"h" + inner + bytes((value, 0x16))


def _hj212(data: bytes) -> bytes:
    """Length in four digits, and the check of annex A before CR LF."""
    if data[:2] != b"##" or len(data) < 20 or data[-2:] != b"\r\n":
        return data
    inner = data[6:-6][:1_024]
    return b"##%04d%s%04X\r\n" % (len(inner), inner, crc.hj212(inner))


def _summed(data: bytes, head: int) -> bytes:
    """Length, sum and end of a frame of meters whose length stands before ``head``."""
    place = len(data) - len(data.lstrip(b"\xfe"))
    frame = data[place:]
    if frame[:1] != b"h" or not head + 2 <= len(frame) <= head + 257:
        return data
    frame = frame[: head - 1] + bytes((len(frame) - head - 2,)) + frame[head:-2]
    return data[:place] + frame + bytes((sum(frame) & 0xFF, 0x16))


def _dlt645(data: bytes) -> bytes:
    """Second start, length and sum of a frame of DL/T 645."""
    place = len(data) - len(data.lstrip(b"\xfe")) + 7
    return _summed(data[:place] + b"h" + data[place + 1 :] if len(data) > place + 5 else data, 10)


def _cjt188(data: bytes) -> bytes:
    """Length and sum of a frame of CJ/T 188."""
    return _summed(data, 11)


def _dlt698(data: bytes) -> bytes:
    """Length, header check, frame check and end of a frame of DL/T 698.45."""
    head = 7 + (data[4] & 15) if len(data) > 4 else 0
    if data[:1] != b"h" or not 12 <= head + 5 <= len(data) <= 16_000:
        return data
    front = (len(data) - 2).to_bytes(2, "little") + data[3:head]
    front += crc.x25(front).to_bytes(2, "little")
    front += data[head + 2 : -3]
    return b"h" + front + crc.x25(front).to_bytes(2, "little") + b"\x16"


def _gbt20999(data: bytes) -> bytes:
    """Length, CRC and end of a frame of GB/T 20999, without escapes."""
    if data[:1] != b"~" or not 17 <= len(data) <= 4_000:
        return data
    body = (len(data) - 4).to_bytes(2, "big") + data[3:-3]
    return b"~" + body + crc.ccitt(body).to_bytes(2, "big") + b"}"


def _jt808(data: bytes) -> bytes:
    """Length in the attributes, exclusive or at the end, marks; escapes put anew."""
    plain = data.strip(b"~").replace(b"\x7d\x02", b"~").replace(b"\x7d\x01", b"\x7d")
    if data[:1] != b"~" or not 13 <= len(plain) <= 1_050:
        return data
    attributes = int.from_bytes(plain[2:4], "big")
    head = (17 if attributes & 0x4000 else 12) + (4 if attributes & 0x2000 else 0)
    if len(plain) <= head:
        return data
    attributes = attributes & 0xFC00 | min(len(plain) - head - 1, 1_023)
    plain = plain[:2] + attributes.to_bytes(2, "big") + plain[4:-1]
    plain += bytes((crc.parity(plain),))
    return b"~" + plain.replace(b"\x7d", b"\x7d\x01").replace(b"~", b"\x7d\x02") + b"~"


def _jt809(data: bytes) -> bytes:
    """Length, CRC and marks; escapes put anew."""
    if data[:1] != b"[" or not 28 <= len(data) <= 4_000:
        return data
    plain = data[1:-1]
    escapes = ((b"\x5a\x01", b"["), (b"\x5e\x01", b"]"), (b"\x5e\x02", b"^"), (b"\x5a\x02", b"Z"))
    for escaped, octet in escapes:
        plain = plain.replace(escaped, octet)
    plain = (len(plain) + 2).to_bytes(4, "big") + plain[4:-2]
    plain += crc.ccitt(plain).to_bytes(2, "big")
    for escaped, octet in ((b"Z\x02", b"Z"), (b"^\x02", b"^"), (b"Z\x01", b"["), (b"^\x01", b"]")):
        plain = plain.replace(octet, escaped)
    return b"[" + plain + b"]"


def _websocket(data: bytes) -> bytes:
    """Length of one frame (RFC 6455, 5.2)."""
    if len(data) < 6 or data[:1] not in (b"\x81", b"\x82", b"\xc1"):
        return data
    masked = data[1] & 0x80
    wide = {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
    body = data[2 + wide :]
    size = len(body) - (4 if masked else 0)
    if size < 126:
        return data[:1] + bytes((masked | max(size, 0),)) + body
    return data[:1] + bytes((masked | 126,)) + min(size, 65_535).to_bytes(2, "big") + body[:65_539]


MENDERS: dict[str, Mender] = {
    "wire-dnp3": _dnp3,
    "wire-c37118": _c37118,
    "wire-roc_plus": _roc,
    "wire-genisys": _genisys,
    "wire-dlms": _dlms,
    "wire-bsap": _bsap,
    "wire-hj212": _hj212,
    "wire-jt808": _jt808,
    "wire-jt809": _jt809,
    "wire-websocket": _websocket,
    "wire-cjt188": _cjt188,
    "wire-dlt645": _dlt645,
    "wire-dlt698": _dlt698,
    "wire-gbt20999": _gbt20999,
    "wire-sl651": _sl651,
    "wire-szy206": _szy206,
}
