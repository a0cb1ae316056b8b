"""Records of one template, and the values of their fields as whole columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard import fast
from cityguard.decoders import address
from cityguard.decoders.address import U64s, Words
from cityguard.decoders.exports import loops
from cityguard.decoders.exports.template import VARIABLE, Place, Template
from cityguard.decoders.exports.walk import Octets

_MAPPED = 0xFFFF_0000_0000
_NTP = 2_208_988_800  # seconds from 1900 to 1970
MAX_TEXT = 8_192
"""Characters kept of one text."""


@dataclass(slots=True)
class Records:
    """``len(starts)`` records over one buffer; fields of variable length apart, in the order of the template."""

    template: Template
    buffer: Octets
    starts: Words
    loose: list[list[bytes]] = field(default_factory=list)
    _matrix: Octets | None = None
    _fields: dict[tuple[int, int], Words] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def matrix(self) -> Octets:
        """uint8[n, size]: the records, one after the other."""
        if self._matrix is None:
            size, n = self.template.size, len(self.buffer)
            every = np.ndarray((max(n - size + 1, 0),), np.dtype(f"V{size}"), self.buffer.data, strides=(1,))
            self._matrix = every[self.starts].view(np.uint8).reshape(len(self.starts), size)
        return self._matrix

    def number(self, at: int, size: int) -> Words:
        """A field of at most 8 bytes by the compiled loops, which read all such fields of a record at once."""
        if self._fields is None:
            told = [one for one in self.template.places.values() if one.at >= 0 and one.size <= 8]
            told = [one for one in told if one.what.kind in "uiabmt" or one.what.kind == "tm"]
            offsets, sizes = (np.array([getattr(one, name) for one in told], np.int64) for name in ("at", "size"))
            found = loops.fields(self.buffer, self.starts, offsets, sizes)
            self._fields = {(one.at, one.size): found[nth] for nth, one in enumerate(told)}
        known = self._fields.get((at, size))
        if known is None:
            known = self._fields[at, size] = loops.unsigned(self.buffer, self.starts, at, size)
        return known

    def bytes(self, place: Place) -> list[bytes]:
        """A field's octets, record by record; slow."""
        if place.at < 0:
            return self.loose[-place.at - 1]
        size = place.size
        flat = np.ascontiguousarray(self.matrix[:, place.at : place.at + size]).tobytes()
        return [flat[at : at + size] for at in range(0, len(flat), size)]


def split(template: Template, body: bytes) -> tuple[bytes, list[list[bytes]], int]:
    """Records with fields of variable length (RFC 7011, 7): the fixed bytes joined, the other fields, their number."""
    steps = [size for _, _, size in template.fields if size]
    loose: list[list[bytes]] = [[] for size in steps if size == VARIABLE]
    fixed, place, count, end = list[bytes](), 0, 0, len(body)
    while place + template.least <= end:
        parts, found = list[bytes](), list[bytes]()
        for step in steps:
            size = step
            if step == VARIABLE:
                size, place = body[place] if place < end else 0, place + 1
                if size == 255:
                    size, place = int.from_bytes(body[place : place + 2], "big"), place + 2
            (found if step == VARIABLE else parts).append(body[place : place + size])
            place += size
        if place > end:
            break
        count += 1
        fixed.append(b"".join(parts))
        for column, value in zip(loose, found, strict=True):
            column.append(value)
    return b"".join(fixed), loose, count


def unsigned(records: Records, place: Place) -> Words:
    """Unsigned integers of any width; -1 where 63 bits do not hold them."""
    if place.at < 0:
        found = [int.from_bytes(one, "big") for one in records.bytes(place)]
        return np.array([one if one < 1 << 63 else -1 for one in found], np.int64)
    size = place.size
    if size > 8:
        high = records.matrix[:, place.at : place.at + size - 8].any(axis=1)
        low = unsigned(records, place._replace(at=place.at + size - 8, size=8))
        return np.where(high, -1, low)
    if fast.ON:
        return records.number(place.at, size)
    if size in (1, 2, 4, 8):
        known = np.dtype({"names": ["x"], "formats": [f">u{size}"], "offsets": [place.at], "itemsize": _width(records)})
        return np.maximum(records.matrix.reshape(-1).view(known)["x"].astype(np.int64), -1)
    total = np.zeros(len(records), np.int64)
    for at in range(place.at, place.at + size):
        total = total << 8 | records.matrix[:, at]
    return np.maximum(total, -1)


def _width(records: Records) -> int:
    return records.template.size


def halves(records: Records, place: Place) -> tuple[U64s, U64s]:
    """Addresses as high and low half, IPv4 as ::ffff:a.b.c.d; any other length is the unspecified IPv6 address."""
    n = len(records)
    if place.size == 4 and place.at >= 0:
        return np.zeros(n, np.uint64), unsigned(records, place).astype(np.uint64) | np.uint64(_MAPPED)
    if place.size == 16 and place.at >= 0:
        pair = np.ascontiguousarray(records.matrix[:, place.at : place.at + 16]).view(">u8").astype(np.uint64)
        return pair[:, 0], pair[:, 1]
    packed = [_packed(one) for one in records.bytes(place)] if place.at < 0 else [bytes(16)] * n
    pair = np.frombuffer(b"".join(packed), ">u8").reshape(n, 2).astype(np.uint64)
    return pair[:, 0], pair[:, 1]


def _packed(raw: bytes) -> bytes:
    if len(raw) == 4:
        return b"\0\0\0\0\0\0\0\0\0\0\xff\xff" + raw
    return raw if len(raw) == 16 else bytes(16)


def address_text(high: U64s, low: U64s) -> pl.Series:
    """Addresses as text; the unspecified ones, which stand for "not told" in records, as null."""
    none = (high == 0) & ((low == 0) | (low == _MAPPED))
    if ((high == 0) & (low >> np.uint64(32) == 0xFFFF)).all():
        text = _dotted((low & np.uint64(0xFFFFFFFF)).astype(np.uint32), none)
    else:
        text = address.text(high, low)
        text = text.set(pl.Series(none), None) if none.any() else text
    return text


def _dotted(values: npt.NDArray[np.uint32], none: npt.NDArray[np.bool_]) -> pl.Series:
    data, offsets = loops.dotted(values) if fast.ON else dotted(values)
    valid = pa.py_buffer(np.packbits(~none, bitorder="little")) if none.any() else None
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(data)]
    array = pa.Array.from_buffers(pa.large_string(), len(values), buffers)
    return pl.Series("", pl.from_arrow(array))


def _digits(end: bytes) -> npt.NDArray[np.uint32]:
    return np.frombuffer(b"".join((b"%d" % one + end).ljust(4, b"\0") for one in range(256)), np.uint32)


_DOT, _LAST = _digits(b"."), _digits(b"")
_LENGTH = np.array([len(str(one)) for one in range(256)], np.int64)


def dotted(values: npt.NDArray[np.uint32]) -> tuple[Octets, Words]:
    """IPv4 addresses as text: the characters one after the other, and where each begins (int64[n + 1])."""
    octets = values.astype(">u4").view(np.uint8).reshape(-1, 4)
    wide = np.empty((len(values), 4), np.uint32)
    for nth in range(4):
        wide[:, nth] = (_LAST if nth == 3 else _DOT)[octets[:, nth]]
    text = wide.reshape(-1).view(np.uint8)
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(_LENGTH[octets].sum(axis=1) + 3, out=offsets[1:])
    return text[text != 0], offsets


def ntp(records: Records, place: Place) -> Words:
    """NTP time stamps as ns since 1970; 0 where absurd."""
    high, low = _ntp_parts(records, place)
    seconds = high - _NTP
    whole: Words = np.where(np.abs(seconds) < 1 << 33, seconds, 0) * 1_000_000_000
    return whole + (low * 1_000_000_000 >> 32)


def _ntp_parts(records: Records, place: Place) -> tuple[Words, Words]:
    if place.at < 0 or place.size != 8:
        zero = np.zeros(len(records), np.int64)
        return zero, zero
    return unsigned(records, place._replace(size=4)), unsigned(records, place._replace(at=place.at + 4, size=4))


def series(records: Records, place: Place) -> pl.Series | None:
    """A field under its own name and in the type of its element; None for structured data."""
    kind, size = place.what.kind, place.size
    if kind == "l":
        return None
    made = _special(records, place)
    if made is None and not place.what.known:
        made = _number(records, place) if place.at >= 0 and size <= 8 else _text(records, place, _hex)
    if made is None:
        made = _KINDS[kind](records, place)
    return made.alias(place.what.name)


def _number(records: Records, place: Place) -> pl.Series:
    found = unsigned(records, place)
    out = pl.Series("", found)
    return out.set(pl.Series(found < 0), None) if (found < 0).any() else out


def _signed(records: Records, place: Place) -> pl.Series:
    if place.at < 0 or place.size > 8:
        return pl.Series("", [int.from_bytes(one[-8:], "big", signed=True) for one in records.bytes(place)], pl.Int64)
    found = unsigned(records, place) if place.size < 8 else _wide(records, place)
    shift = 64 - 8 * place.size
    return pl.Series("", (found << shift) >> shift)


def _wide(records: Records, place: Place) -> Words:
    return np.ascontiguousarray(records.matrix[:, place.at : place.at + 8]).view(">i8").reshape(-1).astype(np.int64)


def _real(records: Records, place: Place) -> pl.Series:
    if place.at < 0 or place.size not in (4, 8):
        return pl.Series("", [None] * len(records), pl.Float64)
    raw = np.ascontiguousarray(records.matrix[:, place.at : place.at + place.size])
    found = raw.view(f">f{place.size}").reshape(-1).astype(np.float64)
    return pl.Series("", found).fill_nan(None)


def _truth(records: Records, place: Place) -> pl.Series:
    found = unsigned(records, place)  # 1 = true, 2 = false (RFC 7011, 6.1.5)
    out = pl.Series("", found == 1)
    return out.set(pl.Series((found < 1) | (found > 2)), None)


def _mac(records: Records, place: Place) -> pl.Series:
    found = unsigned(records, place) if place.size == 6 else np.full(len(records), -1, np.int64)
    return address.mac(np.where(found > 0, found, -1))


def _address(records: Records, place: Place) -> pl.Series:
    return address_text(*halves(records, place))


def _time(scale: int) -> Any:
    def read(records: Records, place: Place) -> pl.Series:
        found = unsigned(records, place)
        return _moment(np.where((found > 0) & (found < (1 << 62) // scale), found * scale, 0))

    return read


def _stamp(records: Records, place: Place) -> pl.Series:
    return _moment(ntp(records, place))


def _moment(nanoseconds: Words) -> pl.Series:
    out = pl.Series("", nanoseconds // 1000).cast(pl.Datetime("us", "UTC"))
    none = nanoseconds <= 0
    return out.set(pl.Series(none), None) if none.any() else out


def _plain(raw: bytes) -> str | None:
    return raw.split(b"\0", 1)[0][: MAX_TEXT * 4].decode("utf-8", "replace")[:MAX_TEXT].rstrip() or None


def _hex(raw: bytes) -> str | None:
    return raw[: MAX_TEXT // 2].hex() or None


def _application(raw: bytes) -> str | None:
    """Engine and selector (RFC 6759)."""
    return f"{raw[0]}:{int.from_bytes(raw[1:9], 'big')}" if len(raw) > 1 else _hex(raw)


def distinguisher(raw: bytes) -> str | None:
    """A route distinguisher as type:administrator:number (RFC 4364, 4.2)."""
    if len(raw) != 8:
        return _hex(raw)
    if not any(raw):
        return None
    kind = int.from_bytes(raw[:2], "big")
    if kind == 1:
        return f"1:{address.one(raw[2:6])}:{int.from_bytes(raw[6:], 'big')}"
    cut = 4 if kind == 0 else 6
    return f"{kind}:{int.from_bytes(raw[2:cut], 'big')}:{int.from_bytes(raw[cut:], 'big')}"


def _labels(raw: bytes) -> str | None:
    """MPLS labels of a stack, outermost first."""
    found = [int.from_bytes(raw[at : at + 3], "big") >> 4 for at in range(0, len(raw) - 2, 3)]
    return ",".join(map(str, found[:64])) or None


def _segments(raw: bytes) -> str | None:
    """IPv6 addresses of a segment list."""
    return ",".join(address.one(raw[at : at + 16]) for at in range(0, min(len(raw), 1024) - 15, 16)) or None


_SPECIAL = {(0, 95): _application, (0, 90): distinguisher, (0, 316): _labels, (0, 497): _segments}


def _special(records: Records, place: Place) -> pl.Series | None:
    read = _SPECIAL.get(place.name)
    return _text(records, place, read) if read else None


def _text(records: Records, place: Place, read: Any) -> pl.Series:
    """Texts, each different one read once."""
    if place.at < 0:
        known = {one: read(one) for one in set(records.bytes(place))}
        return pl.Series("", [known[one] for one in records.bytes(place)], pl.String)
    raw = np.ascontiguousarray(records.matrix[:, place.at : place.at + place.size]).view(f"S{place.size}").reshape(-1)
    unique, inverse = np.unique(raw, return_inverse=True)
    names = [read(one.ljust(place.size, b"\0")) for one in unique.tolist()]
    return pl.Series("", names, pl.String)[inverse]


_KINDS: dict[str, Any] = {
    "u": _number,
    "i": _signed,
    "f": _real,
    "b": _truth,
    "a": _address,
    "m": _mac,
    "s": lambda records, place: _text(records, place, _plain),
    "o": lambda records, place: _text(records, place, _hex),
    "t": _time(1_000_000_000),
    "tm": _time(1_000_000),
    "tn": _stamp,
}
