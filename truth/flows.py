"""Flows beside Arkime's sessions, nDPI's flows, Zeek's connections and the cases of the Community ID specification.

What is compared is the flow of an address pair with its ports: records that either side has cut by its own timeouts are
summed. The rules by which a peer's answer is read are written at each function, and in ``docs/truth/flows.md``.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import struct
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from truth.base import Line, captures, rows, text, zeek_logs

Key = tuple[Hashable, ...]
_NAMES = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 50: "esp", 51: "ah", 58: "ipv6-icmp", 89: "ospf", 132: "sctp"}
_TUNNELS = {"vxlan", "geneve", "gtpv1", "teredo", "ayiya"}
_WITH_PORTS = {"tcp", "udp", "sctp", "icmp", "ipv6-icmp"}
_DHCP = {67, 68, 546, 547}
_ICMP = {"icmp", "ipv6-icmp"}
_NUMBERS = {name: number for number, name in _NAMES.items()}
_NDPI = re.compile(
    r"^\t\d+\t(?P<proto>[A-Z0-9v]+) (?P<a>\S+?):(?P<ap>\d+) <?-> (?P<b>\S+?):(?P<bp>\d+) .*?"
    r"\[(?P<out>\d+) pkts/(?P<outb>\d+) bytes <?-> (?P<back>\d+) pkts/(?P<backb>\d+) bytes\]"
)
_NDPI_NAMES = {"ICMPV6": "ipv6-icmp", "TCP": "tcp", "UDP": "udp", "ICMP": "icmp", "IGMP": "igmp", "SCTP": "sctp"}


def compare(data: Path) -> Iterable[Line]:
    """Every peer that speaks of flows."""
    yield from arkime(data)
    yield community(data)
    yield from ndpi(data)
    yield zeek(data)


def flows(capture: Path) -> pl.DataFrame:
    """Our flow records of a capture, without those of exported flows in it."""
    table = rows(capture, "flow")
    if table.height and "observer.ip" in table.columns:
        table = table.filter(pl.col("observer.ip").is_null())
    return table


def _key(a: str, b: str, a_port: int, b_port: int, proto: str) -> Key:
    bare = proto in _ICMP
    ends = sorted([(a, 0 if bare else a_port), (b, 0 if bare else b_port)])
    return (*ends[0], *ends[1], proto)


def _ours(table: pl.DataFrame) -> tuple[dict[Key, list[int]], dict[Key, set[str]]]:
    """Packets, frame bytes and IP bytes by key; Community IDs by key."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    ids: dict[Key, set[str]] = defaultdict(set)
    if not table.height:
        return sums, ids
    names = ("source.ip", "destination.ip", "source.port", "destination.port", "network.transport", "network.packets")
    more = ("network.frame_bytes", "network.bytes", "network.community_id")
    for a, b, a_port, b_port, proto, packets, wire, size, told in table.select(*names, *more).iter_rows():
        key = _key(a, b, a_port or 0, b_port or 0, proto)
        for at, value in enumerate((packets, wire, size)):
            sums[key][at] += value
        ids[key].add(told)
        ids[key].add(_with_zero_ports(a, b, proto))
    return sums, ids


def _with_zero_ports(a: str, b: str, proto: str) -> str:
    """The id as Arkime writes it for ESP and the like: it hashes ports of 0, where the specification has none."""
    number = _NUMBERS.get(proto)
    if proto in _WITH_PORTS or number is None:
        return ""
    ends = sorted(ipaddress.ip_address(one).packed for one in (a, b))
    raw = b"\0\0" + ends[0] + ends[1] + struct.pack(">BBHH", number, 0, 0, 0)
    return "1:" + base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode()


# ------------------------------------------------------------------- Arkime


def arkime(data: Path) -> Iterator[Line]:
    """Sessions with a Community ID: the id, packets and bytes of frames.

    ICMP: one session holds all types of an address pair, under the id of its first packet. DHCP: it also has sessions
    per transaction, without an id and with the answers between other addresses; the packets that have none are those
    it may have put there. ``corrupt-ip``: packets it refuses, kept apart under the same addresses.
    """
    line = Line("flow", "Arkime", "session: id, packets, frame bytes", floor=1.0)
    for path in sorted(data.glob("*/**/arkime/*.test.json*")):
        capture = next((one for one in captures(path.parent.parent) if path.name.startswith(one.stem + ".")), None)
        if capture is None:
            continue
        sums, ids = _ours(flows(capture))
        theirs, told = _sessions(json.loads(text(path)).get("sessions3", []))
        for key, one in told.items():
            line.compared += 1
            mine = tuple(sums[key][:2]) if key in sums else None
            dhcp = mine is not None and _DHCP & set(key) and all(map(int.__ge__, mine, theirs[key]))
            if (dhcp or mine == theirs[key]) and one <= ids[key]:
                line.equal += 1
                continue
            line.missing += 1
            missing: Counter[Hashable] = Counter({(key, theirs[key]): 1})
            extra: Counter[Hashable] = Counter({(mine, one <= ids.get(key, set())): 1})
            line.note(capture.name, missing, extra)
    yield line


def _sessions(found: list[dict[str, Any]]) -> tuple[dict[Key, tuple[int, int]], dict[Key, set[str]]]:
    """Packets and bytes by key, and the ids of the keys that have one."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    ids: dict[Key, set[str]] = defaultdict(set)
    refused: list[tuple[frozenset[str], int, int]] = []
    for session in found:
        body = session["body"]
        if "ip" not in body.get("source", {}):
            continue
        a, b = body["source"], body["destination"]
        ends = (ipaddress.ip_address(a["ip"]).compressed, ipaddress.ip_address(b["ip"]).compressed)
        proto = _NAMES.get(body["ipProtocol"], str(body["ipProtocol"]))
        network = body["network"]
        if "corrupt-ip" in body.get("protocol", []):
            refused.append((frozenset(ends), network["packets"], network["bytes"]))
            continue
        key = _key(*ends, a.get("port", 0), b.get("port", 0), proto)
        if "community_id" not in network and _DHCP & set(key):
            continue
        sums[key][0] += network["packets"]
        sums[key][1] += network["bytes"]
        if "community_id" in network:
            ids[key].add(network["community_id"])
    for pair, packets, size in refused:
        same = [key for key in sums if frozenset((key[0], key[2])) == pair]
        if len(same) == 1:
            sums[same[0]][0] += packets
            sums[same[0]][1] += size
    return {key: (one[0], one[1]) for key, one in sums.items()}, ids


# ------------------------------------------------------------- Community ID


def community(data: Path) -> Line:
    """Every id of the specification's baselines (seed 0), by capture folder."""
    line = Line("flow", "Community ID", "id", floor=1.0)
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
    line = Line("flow", "nDPI", "flow: packets", floor=0.0)
    size = Line("flow", "nDPI", "flow: bytes", floor=0.0)
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
            key = _key(a, b, int(found["ap"]), int(found["bp"]), proto)
            theirs[key][0] += int(found["out"]) + int(found["back"])
            theirs[key][1] += int(found["outb"]) + int(found["backb"])
        sums, _ = _ours(flows(capture))
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
    """Connections of conn.log: packets of both sides together, where the log has them and the case one capture.

    Connections that are the outside of a tunnel it has gone into (by its service) are left out, as are those of which
    it counted no packet. It counts a datagram in fragments once, we count every frame.
    """
    line = Line("flow", "Zeek", "connection: packets", floor=0.0)
    for path in captures(data):
        if len(list(captures(path.parent))) != 1:
            continue
        mine: dict[Key, list[int]] | None = None
        for case, records in zeek_logs(path, "conn"):
            theirs: Counter[Key] = Counter()
            for row in records:
                if not row.get("orig_pkts") or not row.get("id.orig_h"):
                    continue
                if _TUNNELS & set(row.get("service", "").split(",")) or row["orig_pkts"] == "0" == row["resp_pkts"]:
                    continue
                ports = (int(row["id.orig_p"]), int(row["id.resp_p"]))
                proto = row["proto"] if row["proto"] != "icmp" or ":" not in row["id.orig_h"] else "ipv6-icmp"
                if proto == "unknown_transport":
                    proto = _NAMES.get(int(row.get("ip_proto") or 0), row.get("ip_proto", ""))
                ends = [ipaddress.ip_address(row[name]).compressed for name in ("id.orig_h", "id.resp_h")]
                theirs[_key(ends[0], ends[1], *ports, proto)] += int(row["orig_pkts"]) + int(row["resp_pkts"] or 0)
            if mine is None:
                mine = _ours(flows(path))[0]
            line.add(case, theirs.items(), [(key, mine[key][0]) for key in theirs if key in mine])
    return line
