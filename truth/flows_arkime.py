"""Flows beside Arkime's sessions: who opened them, their ids, packets of each side, bytes of frames and of IP."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from truth.base import Line, captures, text
from truth.flows_keys import DHCP, End, Key, flows, key_of, transport, with_zero_ports

_COLUMNS = (
    *("source.ip", "destination.ip", "source.port", "destination.port", "network.transport"),
    *("source.packets", "destination.packets", "source.bytes", "destination.bytes"),
    *("network.frame_bytes", "network.community_id"),
)
_ETHERNET, _PADDED, _HEAD = 14, 60, 16
"""Octets before IP, of the shortest frame, and of the record's head, which Arkime counts into ``packetLen``."""
_WRAPPED = frozenset({"gre", "vxlan", "geneve", "gtp", "ppp", "pppoe", "mpls", "erspan", "l2tp", "sll"})


@dataclass(slots=True)
class Session:
    """What either side says of a key, whatever records its timeouts cut.

    ``opener`` began the first record, None where that is not known. ``packets`` and ``octets`` (of IP) are those of the
    lower and the higher end.
    """

    opener: End | None = None
    packets: list[int] = field(default_factory=lambda: [0, 0])
    octets: list[int] = field(default_factory=lambda: [0, 0])
    frames: int = 0
    ids: set[str] = field(default_factory=set)

    def add(self, ends: tuple[End, End], packets: tuple[int, int], octets: tuple[int, int], frames: int) -> None:
        """One record: its two ends in its own order, what each sent, bytes of all frames."""
        self.opener = self.opener or ends[0]
        turned = ends[0] > ends[1]
        for sums, told in ((self.packets, packets), (self.octets, octets)):
            sums[turned] += told[0]
            sums[not turned] += told[1]
        self.frames += frames

    def unit(self, key: Key, ids: Collection[str], opener: End | None) -> Hashable:
        """All of it that is compared."""
        return key, opener, tuple(sorted(ids)), tuple(self.packets), self.frames


def compare_sessions(data: Path) -> Iterator[Line]:
    """Sessions with a Community ID.

    ICMP: one session holds all types of an address pair, under the id of its first packet. DHCP: it also has sessions
    per transaction, without an id, with some packets of the requests and the answers between other addresses: who sent
    how many cannot be told from them, so the id alone is asked, on a line of its own.
    """
    line = Line("flow", "Arkime", "session: opener, id, packets of each side, frame bytes", floor=1.0, most_extra=0.02)
    size = Line("flow", "Arkime", "session, frames neither padded nor wrapped: bytes of IP", floor=1.0)
    leased = Line("flow", "Arkime", "session of DHCP: id", floor=1.0)
    for path in sorted(data.glob("*/**/arkime/*.test.json*")):
        capture = next((one for one in captures(path.parent.parent) if path.name.startswith(one.stem + ".")), None)
        if capture is None:
            continue
        mine, told = recorded(flows(capture)), json.loads(text(path)).get("sessions3", [])
        theirs, octets = _sessions(told), _octets(told)
        named = {key: one for key, one in theirs.items() if one.ids and not DHCP & set(key)}
        nameless = theirs.keys() - named.keys()
        ours = [
            _answer(key, one, named.get(key))
            for key, one in mine.items()
            if key not in nameless and not DHCP & set(key)
        ]
        line.add(capture.name, (one.unit(key, one.ids, one.opener) for key, one in named.items()), ours)
        leases = {key for key in theirs if DHCP & set(key)}
        known = {told for key in leases & mine.keys() for told in mine[key].ids}
        asked = {told for key in leases for told in theirs[key].ids}
        leased.add(capture.name, asked, asked & known)
        plain = {key: size for key, size in octets.items() if key in named}
        size.add(capture.name, plain.items(), [(key, sum(mine[key].octets)) for key in plain if key in mine])
    yield from (line, size, leased)


def _answer(key: Key, one: Session, theirs: Session | None) -> Hashable:
    """Ours in its words: of the ids of an address pair's ICMP it has one; an opener it does not know is not asked."""
    if theirs is None:
        return one.unit(key, one.ids, one.opener)
    return one.unit(key, min(theirs.ids, one.ids), theirs.opener and one.opener)


def recorded(table: pl.DataFrame) -> dict[Key, Session]:
    """Ours by key, in order of their beginnings."""
    found: dict[Key, Session] = {}
    if not table.height:
        return found
    for row in table.sort("event.start", maintain_order=True).select(_COLUMNS).iter_rows():
        a, b, a_port, b_port, proto, sent, answered, out, back, frames, told = row
        key, ends = key_of(a, b, a_port or 0, b_port or 0, proto)
        one = found.setdefault(key, Session())
        one.add(ends, (sent, answered), (out, back), frames)
        one.ids |= {told, with_zero_ports(a, b, proto)} - {"", None}
    return found


def _sessions(told: list[dict[str, Any]]) -> dict[Key, Session]:
    """Arkime's by key. ``corrupt-ip``: packets it refuses, which it keeps apart under the same addresses."""
    found: dict[Key, Session] = {}
    refused: list[dict[str, Any]] = []
    for session in sorted(told, key=lambda one: one["body"].get("firstPacket", 0)):
        body = session["body"]
        if "ip" not in body.get("source", {}):
            continue
        if "corrupt-ip" in body.get("protocol", []):
            refused.append(body)
            continue
        key, _ = _add(found, body)
        if "community_id" in body["network"]:
            found[key].ids.add(body["network"]["community_id"])
        if body["firstPacket"] > body["lastPacket"]:  # the file is not in order of time: it takes the file's, we time's
            found[key].opener = None
    for body in refused:
        pair = {ipaddress.ip_address(body[side]["ip"]).compressed for side in ("source", "destination")}
        same = [key for key in found if {key[0], key[2]} == pair]
        if len(same) == 1:
            ends = tuple((one, port) for one, port in (same[0][:2], same[0][2:4]))
            first = ipaddress.ip_address(body["source"]["ip"]).compressed
            turned = ends[0][0] == first
            order = (ends[0], ends[1]) if turned else (ends[1], ends[0])
            found[same[0]].add(order, _packets(body), (0, 0), body["network"]["bytes"])
    return found


def _add(found: dict[Key, Session], body: dict[str, Any]) -> tuple[Key, Session]:
    a, b = body["source"], body["destination"]
    ends = (ipaddress.ip_address(a["ip"]).compressed, ipaddress.ip_address(b["ip"]).compressed)
    key, order = key_of(*ends, a.get("port", 0), b.get("port", 0), transport(body["ipProtocol"]))
    one = found.setdefault(key, Session())
    one.add(order, _packets(body), (0, 0), body["network"]["bytes"])
    return key, one


def _packets(body: dict[str, Any]) -> tuple[int, int]:
    return body["source"]["packets"], body["destination"]["packets"]


def _octets(told: list[dict[str, Any]]) -> dict[Key, int]:
    """Bytes from the IP header on, where frames tell them: Ethernet without tags or tunnels, each longer than 60."""
    sums: dict[Key, int] = {}
    other: set[Key] = set()
    for session in told:
        body = session["body"]
        if "ip" not in body.get("source", {}):
            continue
        key, _ = _add({}, body)
        lengths, packets = body.get("packetLen", []), sum(_packets(body))
        marked = body.get("ethertype") not in (0x0800, 0x86DD) or "vlan" in body["network"] or "srcOuterIp" in body
        marked |= "mac" not in body["source"] or bool(_WRAPPED & set(body.get("protocol", [])))
        if marked or len(lengths) != packets or min(lengths, default=0) - _HEAD <= _PADDED:
            other.add(key)
            continue
        sums[key] = sums.get(key, 0) + body["network"]["bytes"] - _ETHERNET * packets
    return {key: size for key, size in sums.items() if key not in other}
