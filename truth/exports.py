"""Exported flows against pmacct (JSON of nfacctd), the logstash codec, tcpdump (sFlow counters) and goflow2."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cityguard.collect import collect
from cityguard.decoders.base import Decoder
from truth import base
from truth.base import Line

from . import exports_names as names

Row = dict[str, Any]
_COUNTERS = ("packets", "bytes")
_OWN = {"label", "writer_id", "flows", "peer_ip_src", "mpls_vpn_rd_origin"}
"""pmacct's own: marks of its maps, its process, and the exporter's address, which its test bench replaces."""
_ROUTED = {"net_src", "net_dst", "mask_src", "mask_dst", "comms", "ecomms", "lcomms", "as_path"}
_ROUTED |= {"comms_src", "ecomms_src", "lcomms_src", "as_path_src"}


def compare(data: Path) -> Iterable[Line]:
    """One line per peer."""
    yield from _pmacct(data)
    yield from _logstash(data)
    yield from _tcpdump(data)
    yield from _goflow(data)
    yield from _ndpi(data)


# ---------------------------------------------------------------- reading


def datagrams(paths: list[Path]) -> list[Row]:
    """Rows of files of one datagram each, read in order by one decoder."""
    kept: dict[str, Decoder] = {}
    out: list[Row] = []
    for path in paths:
        for chunk in collect.read(path, base.collectors(), collector="netflow", now=base.NOW, decoders=kept):
            for batch in chunk.decoded.batches:
                out += batch.table.sort("log.offset", maintain_order=True).to_dicts()
    return out


# ---------------------------------------------------------------- pmacct


def _pmacct(data: Path) -> Iterator[Line]:
    records = Line("netflow/ipfix", "pmacct", "aggregated record", floor=1.0, most_extra=0.0)
    fields = Line("netflow/ipfix", "pmacct", "field of a record", floor=1.0, most_extra=0.0)
    for conf in sorted(data.glob("netflow/*/*/pmacct/*.conf")):
        told = conf.read_text(encoding="utf-8")
        folder = conf.parent.parent
        if not any(base.captures(folder)):
            continue
        found = [row for path in base.captures(folder) for row in base.rows(path, "flow", "netflow-capture").to_dicts()]
        for answer in sorted(conf.parent.glob("output-flow-*.json*")):
            case = f"{folder.name}/{answer.name}"
            theirs = [json.loads(line) for line in base.text(answer).splitlines() if line.strip()]
            asked = _asked(theirs, told)
            scaled = "sampling_map" in told and "nfacctd_renormalize: true" in told
            wanted = _summed([_spelled(row, asked) for row in theirs], scaled=scaled)
            ours = _summed([_ours(row, asked) for row in found], scaled=scaled)
            records.add(case, _keys(wanted), _keys(ours))
            fields.add(case, _units(wanted), _units(ours))
    yield records
    yield fields


def _asked(rows: list[Row], conf: str) -> set[str]:
    """Keys to compare. What comes from a routing session or a map of pmacct is no part of the capture."""
    asked = (
        {key for row in rows for key in (*row, *(row.get("custom_primitives") or {}))} - _OWN - {"custom_primitives"}
    )
    if re.search(r"^nfacctd_(net|as): (bgp|bmp)", conf, re.MULTILINE):
        asked -= _ROUTED
    if any(row.get("mpls_vpn_rd_origin") == "map" for row in rows):
        asked -= {"mpls_vpn_rd"}
    if "timestamp_start" in asked and "timestamp_end" not in asked:
        asked -= {"timestamp_start"}  # given as the time of export where the record tells uptime alone (IPFIX)
    return asked


def _spelled(row: Row, asked: set[str]) -> Row:
    own = row.get("custom_primitives") or {}
    out = {key: str(own[key]) if key in own else row.get(key) for key in asked}
    for key in ("timestamp_start", "timestamp_end"):
        if key in out:
            out[key] = int(float(str(out[key])))
    if row.get("ip_proto") in ("icmp", "ipv6-icmp") and "port_dst" in out:
        port = int(row["port_dst"])
        out["port_dst"] = port << 8 if 0 < port < 256 else port
    return {key: _frozen(value) for key, value in out.items()}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _ours(row: Row, asked: set[str]) -> Row:
    """One of our rows in pmacct's words; what the record did not tell is 0 or empty there."""
    icmp = (row.get("icmp.type") or 0) << 8 | (row.get("icmp.code") or 0)
    labels = row.get("mplsLabelStack")
    main = (
        "egress" if row.get("mplsVpnRouteDistinguisher") is None and row.get("egressMplsVpnRouteDistinguisher") else ""
    )
    prefix = "IPv6" if ":" in str(row["source.ip"]) else "IPv4"
    told: dict[str, Any] = {
        "iface_in": row.get("observer.ingress.interface.id") or 0,
        "iface_out": row.get("observer.egress.interface.id") or 0,
        "iface_name_in": row.get("observer.ingress.interface.name") or "",
        "iface_name_out": row.get("observer.egress.interface.name") or "",
        "ip_src": row["source.ip"] or "0.0.0.0",
        "ip_dst": row["destination.ip"] or "0.0.0.0",
        "mask_src": row.get(f"source{prefix}PrefixLength") or 0,
        "mask_dst": row.get(f"destination{prefix}PrefixLength") or 0,
        "port_src": row["source.port"] or 0,
        "port_dst": row["destination.port"] or icmp,
        "tcp_flags": tuple(name for bit, name in names.FLAGS if (row["tcp.flags"] or 0) & bit),
        "fwd_status": names.forwarding(row.get("forwardingStatus") or 0),
        "mpls_label_stack": tuple(f"{nth}-{one}" for nth, one in enumerate(labels.split(","))) if labels else (),
        "ip_proto": names.PROTOCOLS.get(row["network.transport"], row["network.transport"]),
        "tos": row.get("ipClassOfService") or 0,
        "mac_src": row["source.mac"] or "00:00:00:00:00:00",
        "mac_dst": row["destination.mac"] or "00:00:00:00:00:00",
        "vlan_in": row["network.vlan.id"] or 0,
        "cos": row.get("dot1qPriority") or 0,
        "etype": f"{row.get('ethernetType') or _ether(row):x}",
        "mpls_vpn_rd": _distinguisher(row, main),
        "vrf_name": row.get("egressVRFName" if main else "ingressVRFName") or "",
        "ingress_vrf_name": row.get("ingressVRFName") or "",
        "egress_vrf_name": row.get("egressVRFName") or "",
        "vrf_id_ingress": str(row.get("ingressVRFID") or 0),
        "vrf_id_egress": str(row.get("egressVRFID") or 0),
        "mpls_tl_ipv4_address": row.get("mplsTopLabelIPv4Address") or "0.0.0.0",
        "mpls_tl_prefix_length": str(row.get("mplsTopLabelPrefixLength") or 0),
        "mpls_tl_type": str(row.get("mplsTopLabelType") or 0),
        "srv6_seg_ipv6_list": tuple((row.get("srhSegmentIPv6ListSection") or "").split(","))
        if row.get("srhSegmentIPv6ListSection")
        else (),
        "tunnel_ip_src": row.get("outer.source.ip") or "",
        "tunnel_ip_dst": row.get("outer.destination.ip") or "",
        "tunnel_ip_proto": names.NUMBERS.get(
            row.get("outerProtocolIdentifier") or 0, str(row.get("outerProtocolIdentifier") or 0)
        ),
        "tunnel_tos": row.get("outerIpClassOfService") or 0,
        # Told once, it is the inner packet's for pmacct, even where that is IPv4 and has none.
        "tunnel_flow_label": (row.get("outerFlowLabelIPv6") or 0) if prefix == "IPv6" else 0,
        "tunnel_port_src": row.get("outerSourceTransportPort") or 0,
        "tunnel_port_dst": row.get("outerDestinationTransportPort") or 0,
        "tunnel_tcp_flags": tuple(name for bit, name in names.FLAGS if (row.get("outerTcpControlBits") or 0) & bit),
        "timestamp_start": _second(row["event.start"]),
        "timestamp_end": _second(row["event.end"]),
        "packets": row["network.packets"] or 0,
        "bytes": row["network.bytes"] or 0,
    }
    told["net_src"], told["net_dst"] = (
        _network(told["ip_src"], told["mask_src"]),
        _network(told["ip_dst"], told["mask_dst"]),
    )
    return {key: told.get(key, "?") for key in asked}


def _ether(row: Row) -> int:
    outer = row.get("outer.source.ip") or row["source.ip"]
    return 0x86DD if ":" in str(outer) else 0x0800


def _distinguisher(row: Row, main: str) -> str:
    told = row.get("egressMplsVpnRouteDistinguisher" if main else "mplsVpnRouteDistinguisher")
    if told:
        return str(told)
    named = row.get("ingressVRFName") or row.get("egressVRFName")
    return "0:0:0" if named or not row.get("ingressVRFID") else f"vrfid:{row['ingressVRFID']}"


def _network(address: str, mask: int) -> str:
    return str(ipaddress.ip_network(f"{address}/{mask}", strict=False).network_address)


def _second(time: Any) -> int:
    """pmacct takes whole seconds of age off the time of export: our time, rounded up."""
    return math.ceil(time.timestamp()) if time is not None else 0


def _summed(rows: list[Row], *, scaled: bool) -> dict[tuple[Any, ...], Counter[str]]:
    """Counters by everything else. Rates of a map that is not there scale both alike: then bytes per packet count."""
    out: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        key = tuple(sorted((name, value) for name, value in row.items() if name not in (*_COUNTERS, "tcp_flags")))
        out[key].update({name: row[name] for name in _COUNTERS})
        for flag in row.get("tcp_flags", ()):
            out[key][flag] = 1  # pmacct joins the flags of what it adds up
    if scaled:
        for found in out.values():
            size, packets = found.pop("bytes"), found.pop("packets")
            found["bytes per packet"] = size // max(packets, 1)
    return out


def _keys(found: dict[tuple[Any, ...], Counter[str]]) -> list[Any]:
    return [(key, tuple(sorted(counters.items()))) for key, counters in found.items()]


def _units(found: dict[tuple[Any, ...], Counter[str]]) -> list[Any]:
    out: list[Any] = []
    for key, counters in found.items():
        one = dict(key)
        flow = tuple(one.get(name) for name in ("ip_src", "ip_dst", "port_src", "port_dst", "ip_proto"))
        out += [(flow, name, value) for name, value in (*key, *counters.items())]
    return out


# ---------------------------------------------------------------- logstash


def _logstash(data: Path) -> Iterator[Line]:
    counts = Line("netflow/ipfix", "logstash codec", "case with its flow records", floor=1.0, most_extra=0.0)
    fields = Line("netflow/ipfix", "logstash codec", "asserted field", floor=1.0, most_extra=0.0)
    known = _option_records(data)
    for path in sorted(data.glob("netflow/*/*/expected.json")):
        told = json.loads(base.text(path))
        if not _whole(path.parent, told):
            continue
        case = path.parent.name
        found = datagrams([path.parent / name for name in told["inputs_in_order"]])
        expected = told["expected_event_count"]
        options = _options(told)
        inputs = [(path.parent / name).read_bytes() for name in told["inputs_in_order"]]
        records = sum(known.get(hashlib.sha256(one).digest(), 0) for one in inputs) if not options else 1
        if expected is not None:
            wanted = 0 if options == "all" else expected - records
            counts.add(case, [(case, wanted)], [(case, len(found))])
        for nth, event in enumerate(_asserted(told, options)):
            best = max(found, key=lambda row: sum(names.same(row, *one) for one in event), default=None)
            units = [(nth, name, str(value)) for name, value in event]
            right = [
                unit for unit, one in zip(units, event, strict=True) if best is not None and names.same(best, *one)
            ]
            fields.add(case, units, right)
    yield counts
    yield fields


def _whole(folder: Path, told: Row) -> bool:
    """Whether the answer is one of this codec, and every datagram it is about is there."""
    names = told.get("inputs_in_order", ())
    return bool(names) and all((folder / name).is_file() for name in names)


def _option_records(data: Path) -> dict[bytes, int]:
    """Files of which another case says that they hold option records: SHA-256 and how many."""
    out = {}
    for path in data.glob("netflow/*/*/expected.json"):
        told = json.loads(base.text(path))
        if _whole(path.parent, told) and len(told["inputs_in_order"]) == 1 and _options(told) == "all":
            raw = (path.parent / told["inputs_in_order"][0]).read_bytes()
            out[hashlib.sha256(raw).digest()] = told["expected_event_count"] or len(told["expected_events"])
    return out


def _is_option(event: Row) -> bool:
    """Option data must never become flows: an event with a scope, or without any address or MAC, tells of options."""
    return any(name.startswith("scope_") for name in event) or not any(
        re.search("addr|Addr|mac|Mac", name) for name in event
    )


def _options(told: Row) -> str:
    """Whether events of an answer are option records: ``all``, ``some`` or ''."""
    marked = [_is_option(event["netflow"]) for event in told["expected_events"]]
    return "all" if marked and all(marked) else "some" if any(marked) else ""


def _asserted(told: Row, options: str) -> Iterator[list[tuple[str, Any]]]:
    """Fields that are asserted of one event, event by event; those of option records are left out."""
    if options == "all":
        return
    events = [event["netflow"] for event in told["expected_events"]]
    marked = [nth for nth, event in enumerate(events) if _is_option(event)]
    single: dict[int, list[tuple[str, Any]]] = {}
    for nth, place, value in told["field_assertions"]:
        name = re.findall(r"\[(\w+)\]", place)[-1]
        if name not in names.ENVELOPE | names.SECRET and not (options and nth in marked):
            single.setdefault(nth, []).append((name, _plain(value)))
    yield from single.values()
    for nth, event in enumerate(events):
        if nth not in marked:
            yield [(name, value) for name, value in event.items() if name not in names.ENVELOPE | names.SECRET]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip("'").replace("#{nanos}", "")
    return value


# ---------------------------------------------------------------- sFlow


_HEAD = re.compile(r"sFlowv5, IPv[46] agent (\S+), agent-id (\d+), seqnum \d+, uptime \d+, samples (\d+)")
_SAMPLE = re.compile(r"(expanded )?counter sample \(\d\), length \d+, seqnum (\d+), type (\d+), idx (\d+), records")
_NUMBERS = {
    "ifindex": "ifIndex",
    "iftype": "ifType",
    "ifspeed": "ifSpeed",
    "ifdirection": "ifDirection",
    "ifstatus": "ifStatus",
    "promisc mode": "ifPromiscuousMode",
    "unknown protos": "ifInUnknownProtos",
}
_SIDED = {"octets": "Octets", "unicast pkts": "UcastPkts", "multicast pkts": "MulticastPkts"}
_SIDED |= {"broadcast pkts": "BroadcastPkts", "discards": "Discards", "errors": "Errors"}
_ETHER = {
    "align errors": "dot3StatsAlignmentErrors",
    "fcs errors": "dot3StatsFCSErrors",
    "single collision": "dot3StatsSingleCollisionFrames",
    "multiple collision": "dot3StatsMultipleCollisionFrames",
    "test error": "dot3StatsSQETestErrors",
    "deferred": "dot3StatsDeferredTransmissions",
    "late collision": "dot3StatsLateCollisions",
    "excessive collision": "dot3StatsExcessiveCollisions",
    "mac trans error": "dot3StatsInternalMacTransmitErrors",
    "carrier error": "dot3StatsCarrierSenseErrors",
    "frames too long": "dot3StatsFrameTooLongs",
    "mac receive errors": "dot3StatsInternalMacReceiveErrors",
    "symbol errors": "dot3StatsSymbolErrors",
}


def _tcpdump(data: Path) -> Iterator[Line]:
    line = Line("sflow", "tcpdump", "counter", floor=1.0, most_extra=0.0)
    for answer in sorted(data.glob("netflow/*/*/tcpdump/*.out*")):
        wanted = list(_printed(base.text(answer)))
        if not wanted or not any(base.captures(answer.parent.parent)):
            continue
        found = [
            row
            for path in base.captures(answer.parent.parent)
            for row in base.rows(path, "host", "netflow-capture").to_dicts()
        ]
        named = {name for _, name, _ in wanted}
        ours = [
            ((row["sflow.agent"], row["sflow.sequence"], row["sflow.source"]), name, row[name])
            for row in found
            for name in named
            if row.get(name) is not None
        ]
        line.add(answer.parent.parent.name, wanted, ours)
    yield line


def _printed(text: str) -> Iterator[tuple[tuple[str, int, int], str, int]]:
    """(sample, counter, value) of every counter tcpdump prints."""
    agent, sample = "", ("", 0, 0)
    for row in text.splitlines():
        if head := _HEAD.search(row):
            agent = head[1]
        elif found := _SAMPLE.search(row):
            sample = (agent, int(found[2]), int(found[4]))
            yield sample, "sflow.sourceType", int(found[3])
        elif sample[0] and "0x" not in row:
            side = "In" if row.strip().startswith("In ") else "Out"
            for name, value in re.findall(r"(?:^|, |In |Out |\s{3,})([a-z ]+?) (\d+)", row):
                known = (
                    _NUMBERS.get(name) or _ETHER.get(name) or (f"if{side}{_SIDED[name]}" if name in _SIDED else None)
                )
                if known:
                    yield sample, known, int(value)


def _goflow(data: Path) -> Iterator[Line]:
    line = Line("sflow", "goflow2", "case", floor=1.0, most_extra=0.0)
    for path in sorted(data.glob("netflow/goflow2-sflow/*/expected.json")):
        told = json.loads(base.text(path))["expect"]
        if not any(path.parent.glob("*.dat")):
            continue
        kept: dict[str, Decoder] = {}
        rows, rejected = list[Row](), 0
        for one in sorted(path.parent.glob("*.dat")):
            for chunk in collect.read(one, base.collectors(), collector="netflow", now=base.NOW, decoders=kept):
                rejected += chunk.decoded.rejected + len(chunk.decoded.notes)
                rows += [row for batch in chunk.decoded.batches for row in batch.table.to_dicts()]
        right = bool(rows) and not rejected
        if drops := re.match(r"(\d+) drop sample", told):
            right &= sum(row.get("event.action") == "dropped" for row in rows) == int(drops[1])
        if field := re.search(r"record ([a-z ]+?)(?: symbol)?=(\w+)", told):
            name = {"egress queue": "sflow.egressQueue", "extended function": "sflow.function"}[field[1]]
            right &= str(rows[0].get(name)) == field[2] if rows else False
        line.add(path.parent.name, [told], [told] if right else [])
    yield line


def _ndpi(data: Path) -> Iterator[Line]:
    """nDPI names the carrying flow, not the records: its packets are NetFlow for us, too."""
    line = Line("netflow", "nDPI", "packet of NetFlow", floor=1.0, most_extra=0.0)
    for answer in sorted(data.glob("netflow/*/*/ndpi/*.out")):
        told = re.search(r"^(?:NetFlow|sFlow)\t(\d+)\t", base.text(answer), re.MULTILINE)
        if told is None or not any(base.captures(answer.parent.parent)):
            continue
        total = 0
        for path in base.captures(answer.parent.parent):
            flows = base.rows(path, "flow")
            if "network.protocol" in flows.columns:
                total += int(flows.filter(pl.col("network.protocol") == "netflow")["network.packets"].sum())
        line.add(answer.parent.parent.name, ["packet"] * int(told[1]), ["packet"] * total)
    yield line
