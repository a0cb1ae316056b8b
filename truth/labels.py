"""Protocol labels of flows beside nDPI's and Arkime's: informative, for their taxonomies are their own."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from truth.apps import cases, decoded
from truth.base import Line, text

_FLOW = re.compile(r"^\s+\d+\s+(?:TCP|UDP) (\S+):(\d+) (?:<->|->) (\S+):(\d+) .*?\[proto: [0-9.]+/([A-Za-z0-9_.+-]+)\]")
_OURS = {
    "DNS": "dns",
    "MDNS": "mdns",
    "LLMNR": "llmnr",
    "NetBIOS": "nbns",
    "HTTP": "http",
    "TLS": "tls",
    "DTLS": "dtls",
    "QUIC": "quic",
    "SSH": "ssh",
    "STUN": "stun",
}
"""nDPI's master protocols that this family reads -> our names."""


def compare(data: Path) -> Iterable[Line]:
    """Both peers."""
    yield from _ndpi(data)
    yield from _arkime(data)


def _ndpi(data: Path) -> Iterator[Line]:
    line = Line("labels", "ndpi", "flows")
    wrong: Counter[tuple[str, str | None]] = Counter()
    for _, paths, path in cases(data, "*-pcap/*/*/ndpi/*.out*"):
        mine: dict[tuple[str, ...], str | None] = {}
        for one in paths:
            table = decoded(one)
            if not table.height:
                continue
            flows = table.filter(pl.col("dataset") == "flow")
            names = ("source.ip", "source.port", "destination.ip", "destination.port", "network.protocol")
            for a, b, c, d, label in flows.select(names).iter_rows():
                mine[tuple(sorted((f"{a}:{b}", f"{c}:{d}")))] = label
        for flow in text(path).splitlines():
            found = _FLOW.match(flow)
            wanted = _OURS.get(found.group(5).split(".")[0]) if found else None
            if not found or wanted is None:
                continue
            source, port, destination, other, _ = found.groups()
            ends = tuple(sorted((f"{_ip(source)}:{port}", f"{_ip(destination)}:{other}")))
            line.compared += 1
            if mine.get(ends) == wanted:
                line.equal += 1
            else:
                line.missing += 1
                wrong[wanted, mine.get(ends)] += 1
    line.notes = [f"ndpi {theirs}, we {ours}: {count}" for (theirs, ours), count in wrong.most_common(12)]
    yield line


def _ip(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value.strip("[]")))
    except ValueError:  # nDPI's own shortening
        return value.strip("[]")


def _arkime(data: Path) -> Iterator[Line]:
    line = Line("labels", "arkime", "sessions")
    ours = set(_OURS.values())
    for case, paths, path in cases(data, "*-pcap/*/*/arkime/*.json*"):
        mine: set[tuple[str, str]] = set()
        for one in paths:
            table = decoded(one)
            if table.height:
                flows = table.filter(pl.col("dataset") == "flow")
                mine |= set(flows.select("network.community_id", "network.protocol").iter_rows())
        for session in json.loads(text(path)).get("sessions3", []):
            body = session["body"]
            key = body.get("network", {}).get("community_id")
            theirs = {(key, name) for name in body.get("protocol", []) if name in ours}
            line.add(case, theirs, theirs & mine)
    yield line
