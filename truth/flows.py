"""Flows beside Arkime's sessions, nDPI's flows, Zeek's connections and the cases of the Community ID specification.

What is compared is the flow of an address pair with its ports: records that either side has cut by its own timeouts are
summed. The rules by which a peer's answer is read are written at each function, and in ``docs/truth/flows.md``.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from truth.base import Line, captures, text, zeek_logs
from truth.flows_arkime import compare_sessions, recorded
from truth.flows_keys import NAMES, End, Key, flows, key_of

_TUNNELS = {"vxlan", "geneve", "gtpv1", "teredo", "ayiya"}
_NDPI = re.compile(
    r"^\t\d+\t(?P<proto>[A-Z0-9v]+) (?P<a>\S+?):(?P<ap>\d+) <?-> (?P<b>\S+?):(?P<bp>\d+) .*?"
    r"\[(?P<out>\d+) pkts/(?P<outb>\d+) bytes <?-> (?P<back>\d+) pkts/(?P<backb>\d+) bytes\]"
)
_NDPI_NAMES = {"ICMPV6": "ipv6-icmp", "TCP": "tcp", "UDP": "udp", "ICMP": "icmp", "IGMP": "igmp", "SCTP": "sctp"}


def compare(data: Path) -> Iterable[Line]:
    """Every peer that speaks of flows."""
    yield from compare_sessions(data)
    yield community(data)
    yield from ndpi(data)
    yield zeek(data)


def _sums(table: pl.DataFrame) -> dict[Key, list[int]]:
    """Packets, frame bytes and IP bytes by key."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    if not table.height:
        return sums
    names = ("source.ip", "destination.ip", "source.port", "destination.port", "network.transport", "network.packets")
    more = ("network.frame_bytes", "network.bytes")
    for a, b, a_port, b_port, proto, *counts in table.select(*names, *more).iter_rows():
        key, _ = key_of(a, b, a_port or 0, b_port or 0, proto)
        for at, value in enumerate(counts):
            sums[key][at] += value
    return sums


# ------------------------------------------------------------- Community ID


def community(data: Path) -> Line:
    """Every id of the specification's baselines (seed 0), by capture folder."""
    line = Line("flow", "Community ID", "id", floor=1.0, most_extra=0.0)
    for path in sorted(data.glob("*/**/baseline_deflt.json*")):
        wanted = {row["communityid"] for row in json.loads(text(path))}
        found: set[str] = set()
        for capture in captures(path.parent):
            table = flows(capture)
            found |= set(table["network.community_id"]) if table.height else set()
        line.add(path.parent.name, wanted, found)
    return line


# --------------------------------------------------------------------- nDPI


def ndpi(data: Path) -> Iterator[Line]:
    """Flows it lists: packets, and bytes of frames.

    It does not decode every tunnel by default (GTP, GRE, VXLAN stay as they are unless asked), stops counting a flow
    that is over, and names by its own limits: captures whose packets it did not all count are left out.
    """
    line = Line("flow", "nDPI", "flow: packets")
    size = Line("flow", "nDPI", "flow: bytes")
    for path in sorted(data.glob("*/**/ndpi/*.out*")):
        capture = next((one for one in captures(path.parent.parent) if path.name.startswith(one.name)), None)
        if capture is None:
            continue
        theirs: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
        for row in text(path).splitlines():
            found = _NDPI.match(row)
            if found is None:
                continue
            try:
                a, b = (ipaddress.ip_address(found[end].strip("[]")).compressed for end in "ab")
            except ValueError:  # some IPv6 addresses it writes with two ::
                continue
            proto = _NDPI_NAMES.get(found["proto"], found["proto"].lower())
            key, _ = key_of(a, b, int(found["ap"]), int(found["bp"]), proto)
            theirs[key][0] += int(found["out"]) + int(found["back"])
            theirs[key][1] += int(found["outb"]) + int(found["backb"])
        sums = _sums(flows(capture))
        line.add(
            capture.name,
            [(key, one[0]) for key, one in theirs.items()],
            [(key, sums[key][0]) for key in theirs if key in sums],
        )
        mine = [(key, one[1] if sums[key][1] == one[1] else sums[key][2]) for key, one in theirs.items() if key in sums]
        size.add(capture.name, [(key, one[1]) for key, one in theirs.items()], mine)
    yield line
    yield size


# --------------------------------------------------------------------- Zeek


def zeek(data: Path) -> Line:
    """Connections of conn.log: packets of each side, where the log has them and the case one capture.

    Connections that are the outside of a tunnel it has gone into (by its service) are left out, as are those of which
    it counted no packet. It counts a datagram in fragments once, we count every frame.
    """
    line = Line("flow", "Zeek", "connection: packets of each side")
    for path in captures(data):
        if len(list(captures(path.parent))) != 1:
            continue
        mine: dict[Key, tuple[int, int]] | None = None
        for case, records in zeek_logs(path, "conn"):
            theirs: dict[Key, Counter[bool]] = {}
            for row in records:
                if not row.get("orig_pkts") or not row.get("id.orig_h"):
                    continue
                if _TUNNELS & set(row.get("service", "").split(",")) or row["orig_pkts"] == "0" == row["resp_pkts"]:
                    continue
                key, ends = _zeek_key(row)
                turned = ends[0] > ends[1]
                sent = {turned: int(row["orig_pkts"]), not turned: int(row["resp_pkts"] or 0)}
                theirs.setdefault(key, Counter()).update(sent)
            if mine is None:
                mine = _sides(flows(path))
            wanted = [(key, one[False], one[True]) for key, one in theirs.items()]
            line.add(case, wanted, [(key, *mine[key]) for key in theirs if key in mine])
    return line


def _zeek_key(row: dict[str, str]) -> tuple[Key, tuple[End, End]]:
    proto = row["proto"] if row["proto"] != "icmp" or ":" not in row["id.orig_h"] else "ipv6-icmp"
    if proto == "unknown_transport":
        proto = NAMES.get(int(row.get("ip_proto") or 0), row.get("ip_proto", ""))
    ends = [ipaddress.ip_address(row[name]).compressed for name in ("id.orig_h", "id.resp_h")]
    return key_of(ends[0], ends[1], int(row["id.orig_p"]), int(row["id.resp_p"]), proto)


def _sides(table: pl.DataFrame) -> dict[Key, tuple[int, int]]:
    """Packets of the lower and of the higher end by key."""
    return {key: (one.packets[0], one.packets[1]) for key, one in recorded(table).items()}
