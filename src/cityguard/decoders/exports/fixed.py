"""Fixed formats of NetFlow and NetStream as templates: v1, v5, v7, and the fourteen aggregations of v8.

Layouts as Cisco published them ("NetFlow Services Solutions Guide", appendix B); H3C and Huawei send v5 and v8 alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from cityguard.decoders.exports.template import Template

HEADER = {1: 16, 5: 24, 7: 24, 8: 28}
"""Bytes before the first record, by version."""
_PAD = 210  # paddingOctets
_WORDS = {
    "src": (8, 4),
    "dst": (12, 4),
    "hop": (15, 4),
    "in": (10, 2),
    "out": (14, 2),
    "pkts": (2, 4),
    "bytes": (1, 4),
    "first": (22, 4),
    "last": (21, 4),
    "sport": (7, 2),
    "dport": (11, 2),
    "flags": (6, 1),
    "proto": (4, 1),
    "tos": (5, 1),
    "sas": (16, 2),
    "das": (17, 2),
    "smask": (9, 1),
    "dmask": (13, 1),
    "flows": (3, 4),
    "sprefix": (44, 4),
    "dprefix": (45, 4),
    "router": (43, 4),
    "newtos": (55, 1),
    "x1": (_PAD, 1),
    "x2": (_PAD, 2),
    "x4": (_PAD, 4),
    "x8": (_PAD, 8),
}


def _layout(version: int, text: str) -> Template:
    return Template(version, tuple((0, *_WORDS[word]) for word in text.split()))


V1 = _layout(1, "src dst hop in out pkts bytes first last sport dport x2 proto tos flags x1 x2 x8")
V5 = _layout(5, "src dst hop in out pkts bytes first last sport dport x1 flags proto tos sas das smask dmask x2")
V7 = _layout(7, "src dst hop in out pkts bytes first last sport dport x1 flags proto tos sas das smask dmask x2 router")
_SUM = "flows pkts bytes first last "
V8 = {
    kind: _layout(8, text)
    for kind, text in {
        1: _SUM + "sas das in out",
        2: _SUM + "proto x1 x2 sport dport",
        3: _SUM + "sprefix smask x1 sas in x2",
        4: _SUM + "dprefix dmask x1 das out x2",
        5: _SUM + "sprefix dprefix dmask smask x2 sas das in out",
        6: "dst pkts bytes first last out tos newtos x4 router",
        7: "dst src pkts bytes first last out in tos newtos x2 x4 router",
        8: "dst src dport sport pkts bytes first last out in tos proto newtos x1 x4 router",
        9: _SUM + "sas das in out tos x1 x2",
        10: _SUM + "proto tos x2 sport dport in out",
        11: _SUM + "sprefix smask tos sas in x2",
        12: _SUM + "dprefix dmask tos das out x2",
        13: _SUM + "sprefix dprefix dmask smask tos x1 sas das in out",
        14: _SUM + "sprefix dprefix dmask smask tos proto sport dport in out",
    }.items()
}
"""Aggregation scheme -> layout: AS, protocol and port, source and destination prefix, prefix, (6-8) Catalyst's
destination, source-destination and full flow, (9-14) the same with type of service."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a fixed format says."""

    count: int
    uptime: int  # ms
    exported: int  # s
    nanoseconds: int
    sequence: int
    domain: int
    sampling: int  # 1 of N, -1 = not told
    template: Template


def header(raw: bytes) -> Header | None:
    """Header of v1, v5, v7 or v8; None where it is none, or of an aggregation nobody published."""
    version = int.from_bytes(raw[:2], "big")
    if len(raw) < HEADER.get(version, 1 << 30):
        return None
    words = [int.from_bytes(raw[at : at + 4], "big") for at in (4, 8, 12, 16)]
    count = int.from_bytes(raw[2:4], "big")
    rate, domain = -1, 0
    if version in (5, 8):
        domain = int.from_bytes(raw[20:22], "big")
    if version == 5:
        told = int.from_bytes(raw[22:24], "big") & 0x3FFF
        rate = told if told > 1 else -1
    if version == 8:
        found = V8.get(raw[22])
        domain = domain << 8 | raw[22]  # each aggregation counts its own records
    else:
        found = {1: V1, 5: V5, 7: V7}[version]
    if found is None:
        return None
    return Header(count, words[0], words[1], words[2], words[3] if version != 1 else 0, domain, rate, found)
