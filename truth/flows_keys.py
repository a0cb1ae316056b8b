"""What the comparators of flows share: our flow records of a capture, and keys that both sides write alike."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import struct
from pathlib import Path

import polars as pl

from truth.base import kept, rows

End = tuple[str, int]
Key = tuple[str, int, str, int, str]
NAMES = {1: "icmp", 2: "igmp", 4: "ipv4", 6: "tcp", 17: "udp", 33: "dccp", 41: "ipv6", 46: "rsvp", 47: "gre"}
NAMES |= {50: "esp", 51: "ah", 58: "ipv6-icmp", 88: "eigrp", 89: "ospf", 103: "pim", 112: "vrrp", 115: "l2tp"}
NAMES |= {132: "sctp", 136: "udplite"}
"""IANA's protocol numbers, as our rows name them."""
DHCP = frozenset({67, 68, 546, 547})
_NUMBERS = {name: number for number, name in NAMES.items()}
_WITH_PORTS = frozenset({"tcp", "udp", "sctp", "icmp", "ipv6-icmp"})
_ICMP = frozenset({"icmp", "ipv6-icmp"})


@kept
def flows(capture: Path) -> pl.DataFrame:
    """Our flow records of a capture, without those of exported flows in it."""
    table = rows(capture, "flow")
    if table.height and "observer.ip" in table.columns:
        table = table.filter(pl.col("observer.ip").is_null())
    return table


def transport(number: int) -> str:
    return NAMES.get(number, str(number))


def key_of(a: str, b: str, a_port: int, b_port: int, proto: str) -> tuple[Key, tuple[End, End]]:
    """A flow's key, the same for both directions, and its ends in the order given; ICMP has no ports in it."""
    bare = proto in _ICMP
    ends = ((a, 0 if bare else a_port), (b, 0 if bare else b_port))
    low, high = sorted(ends)
    return (*low, *high, proto), ends


def with_zero_ports(a: str, b: str, proto: str) -> str:
    """The id as Arkime writes it for ESP and the like: it hashes ports of 0, where the specification has none."""
    number = _NUMBERS.get(proto)
    if proto in _WITH_PORTS or number is None:
        return ""
    ends = sorted(ipaddress.ip_address(one).packed for one in (a, b))
    raw = b"\0\0" + ends[0] + ends[1] + struct.pack(">BBHH", number, 0, 0, 0)
    return "1:" + base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode()
