"""Addresses, protocols and flow ids as text, whole columns at a time."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import socket
import struct

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard import fast
from cityguard.decoders import address_fast

Words = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
U64s = npt.NDArray[np.uint64]

_MAPPED = 0xFFFF  # ::ffff:0:0/96, the upper half of the low 64 bits
_TRANSPORT = {
    1: "icmp",
    2: "igmp",
    4: "ipv4",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    46: "rsvp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    88: "eigrp",
    89: "ospf",
    103: "pim",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
    136: "udplite",
}
_WITH_PORTS = (1, 6, 17, 58, 132)


def text(high: U64s, low: U64s) -> pl.Series:
    """Addresses in canonical form (RFC 5952); IPv4 is given, and IPv4-mapped unwrapped, from ::ffff:0:0/96."""
    if fast.ON and len(low):
        data = np.empty(len(low) * 39, np.uint8)
        ends = np.empty(len(low), np.int64)
        address_fast.addresses(high, low, data, ends)
        return _strings(data, ends)
    four = (high == 0) & (low >> np.uint64(32) == _MAPPED)
    if four.all():
        values, inverse = np.unique(low, return_inverse=True)
        return pl.Series("", _four(values), pl.String)[inverse]
    pairs = np.empty((len(high), 2), ">u8")
    pairs[:, 0], pairs[:, 1] = high, low
    whole, inverse = np.unique(pairs.view("S16").ravel(), return_inverse=True)
    raw = whole.tobytes()
    names = [one(raw[at : at + 16]) for at in range(0, len(raw), 16)]
    return pl.Series("", names, pl.String)[inverse.ravel()]


def one(packed: bytes) -> str:
    """One address of 4 or 16 bytes in canonical form."""
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    if packed[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    if packed[:8] == bytes(8):  # the C library writes ::1.2.3.4 where the RFC does not
        return str(ipaddress.IPv6Address(packed))
    return socket.inet_ntop(socket.AF_INET6, packed)


def _four(values: U64s) -> list[str]:
    raw = values.astype(">u4").tobytes()
    return [socket.inet_ntoa(raw[at : at + 4]) for at in range(0, len(raw), 4)]


def mac(values: Words) -> pl.Series:
    """48-bit numbers as aa:bb:cc:dd:ee:ff; negative becomes null."""
    if fast.ON and len(values):
        data = np.empty(len(values) * 17, np.uint8)
        address_fast.stations(values, data)
        return _strings(data, np.arange(17, len(data) + 1, 17), values < 0)
    known, inverse = np.unique(values, return_inverse=True)
    names = [None if value < 0 else value.to_bytes(6, "big").hex(":") for value in known.tolist()]
    return pl.Series("", names, pl.String)[inverse]


def transport(proto: Words) -> pl.Series:
    """Names of IP protocols as IANA writes them, lower case; the number where there is none."""
    names = [_TRANSPORT.get(number, str(number)) for number in range(256)]
    return pl.Series("", names, pl.String)[proto]


def community_id(keys: pl.DataFrame, proto: Words, v6: Bools, ports: Words) -> pl.Series:
    """Community ID v1, seed 0 (github.com/corelight/community-id-spec).

    Args:
        keys: columns a_high a_low b_high b_low, the ends already in the order the spec asks for.
        proto: int64[n], IP protocol.
        v6: bool[n], whether the addresses are 16 bytes long.
        ports: int64[n], (port a + 1) << 32 | (port b + 1); 0 = none.
    """
    n = len(proto)
    if fast.ON and n:
        a_high, a_low, b_high, b_low = (keys[name].to_numpy() for name in ("a_high", "a_low", "b_high", "b_low"))
        text = np.empty(n * 30, np.uint8)
        ported = np.zeros(256, np.bool_)
        ported[list(_WITH_PORTS)] = True
        address_fast.community_ids(a_high, a_low, b_high, b_low, proto, v6, ports, ported, text)
        return _strings(text, np.arange(30, n * 30 + 1, 30))
    data = np.zeros((n, 40), np.uint8)
    for index, name in enumerate(("a_high", "a_low", "b_high", "b_low")):
        data[:, 2 + index * 8 : 10 + index * 8] = keys[name].to_numpy().astype(">u8").view(np.uint8).reshape(n, 8)
    data[:, 34] = proto
    both = np.empty((n, 2), ">u2")
    both[:, 0], both[:, 1] = ((ports >> 32) - 1) & 0xFFFF, ((ports & 0xFFFFFFFF) - 1) & 0xFFFF
    data[:, 36:40] = both.view(np.uint8).reshape(n, 4)
    with_ports = np.isin(proto, _WITH_PORTS) & (ports > 0)
    ids = np.empty((n, 20), np.uint8)
    short = np.concatenate([np.arange(2), np.arange(14, 18), np.arange(30, 40)])
    for is_six in (False, True):
        for has_ports in (False, True):
            rows = np.flatnonzero((v6 == is_six) & (with_ports == has_ports))
            columns = np.arange(40) if is_six else short
            columns = columns if has_ports else columns[:-4]
            ids[rows] = _sha1(np.ascontiguousarray(data[rows][:, columns]))
    return _base64(ids)


def _sha1(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    raw, width = data.tobytes(), data.shape[1]
    sha1 = hashlib.sha1  # the spec's choice: a name for a flow, nothing is secured by it
    digests = [sha1(raw[at : at + width], usedforsecurity=False).digest() for at in range(0, len(raw), width)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 20)


def _base64(ids: npt.NDArray[np.uint8]) -> pl.Series:
    # 20 bytes and one of padding are exactly 28 characters, so one call encodes the whole column.
    padded = np.zeros((len(ids), 21), np.uint8)
    padded[:, :20] = ids
    text = np.empty((len(ids), 30), np.uint8)
    text[:, :2] = np.frombuffer(b"1:", np.uint8)
    text[:, 2:] = np.frombuffer(base64.b64encode(padded.tobytes()), np.uint8).reshape(-1, 28)
    text[:, 29] = ord("=")
    return _strings(text.ravel(), np.arange(30, text.size + 1, 30))


def _strings(data: npt.NDArray[np.uint8], ends: Words, null: Bools | None = None) -> pl.Series:
    """Text from its characters and where each ends."""
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null is not None and null.any() else None
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(data)]
    array = pa.Array.from_buffers(pa.large_string(), len(ends), buffers)
    return pl.Series("", pl.from_arrow(array))


def packed(name: str) -> tuple[int, int]:
    """High and low half of an address given as text; IPv4 as ::ffff:a.b.c.d.

    Raises:
        ValueError: it is no address.
    """
    value = ipaddress.ip_address(name)
    raw = value.packed if value.version == 6 else bytes(10) + b"\xff\xff" + value.packed
    high, low = struct.unpack(">QQ", raw)
    return high, low
