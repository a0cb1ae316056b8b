"""Words of pmacct and of the logstash codec for what our rows say."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

FLAGS = ((0x10, "ACK"), (0x01, "FIN"), (0x08, "PSH"), (0x04, "RST"), (0x02, "SYN"), (0x20, "URG"))
PROTOCOLS = {"ipv4": "ipencap", None: "0", "ipv6": "ipv6"}
NUMBERS = {4: "ipencap", 6: "tcp", 17: "udp", 41: "ipv6", 47: "gre"}
_STATUS = ("UNKNOWN", "FORWARDED", "DROPPED", "CONSUMED")
_REASONS = {
    0: "Unclassified",
    64: "Unknown",
    65: "Fragmented",
    66: "Not Fragmented",
    128: "Unknown",
    129: "ACL deny",
    130: "ACL drop",
    131: "Unroutable",
    132: "Adjacency",
    133: "Fragmentation and DF set",
    134: "Bad header checksum",
    135: "Bad total length",
    136: "Bad header length",
    137: "Bad TTL",
    138: "Policer",
    139: "WRED",
    140: "RPF",
    141: "For us",
    142: "Bad output interface",
    143: "Hardware",
    192: "Unknown",
    193: "Punt Adjacency",
    194: "Incomplete Adjacency",
    195: "For us",
}


def forwarding(value: int) -> str:
    """Forwarding status (RFC 7270, 4.12) in words."""
    return f"{_STATUS[value >> 6 & 3]} {_REASONS.get(value, 'Unknown')}"


# ---------------------------------------------------------------- logstash

ENVELOPE = {"version", "flowset_id", "flow_seq_num", "engine_type", "engine_id", "flow_records"}
"""Of the datagram, not of the record."""
SECRET = {"netscalerHttpReqCookie", "netscalerHttpReqAuthorization"}
"""Keys to other people's sessions: ours leaves them unread on purpose."""

_NINE = {
    "in_bytes": "network.bytes",
    "in_pkts": "network.packets",
    "out_bytes": "postOctetDeltaCount",
    "out_pkts": "postPacketDeltaCount",
    "protocol": "network.transport",
    "src_tos": "ipClassOfService",
    "tcp_flags": "tcp.flags",
    "l4_src_port": "source.port",
    "l4_dst_port": "destination.port",
    "ipv4_src_addr": "source.ip",
    "ipv4_dst_addr": "destination.ip",
    "src_mask": "sourceIPv4PrefixLength",
    "dst_mask": "destinationIPv4PrefixLength",
    "input_snmp": "observer.ingress.interface.id",
    "output_snmp": "observer.egress.interface.id",
    "ipv4_next_hop": "ipNextHopIPv4Address",
    "bgp_ipv4_next_hop": "bgpNextHopIPv4Address",
    "src_as": "source.as.number",
    "dst_as": "destination.as.number",
    "first_switched": "event.start",
    "last_switched": "event.end",
    "flow_start_msec": "event.start",
    "event_time_msec": "observationTimeMilliseconds",
    "ip_protocol_version": "ipVersion",
    "direction": "network.direction",
    "ipv4_src_prefix": "sourceIPv4Prefix",
    "ipv4_dst_prefix": "destinationIPv4Prefix",
    "in_src_mac": "source.mac",
    "in_dst_mac": "destination.mac",
    "src_vlan": "network.vlan.id",
    "dst_vlan": "postVlanId",
    "application_id": "applicationId",
    "application_name": "network.application",
    "app_id": "network.application",
    "user_id": "user.name",
    "username": "user.name",
    "ip_dscp": "ipDiffServCodePoint",
    "flow_sampler_id": "samplerId",
    "conn_id": "flowId",
    "icmp_type": "icmp.type",
    "icmp_code": "icmp.code",
    "xlate_src_addr_ipv4": "source.nat.ip",
    "xlate_dst_addr_ipv4": "destination.nat.ip",
    "xlate_src_port": "source.nat.port",
    "xlate_dst_port": "destination.nat.port",
    "fw_event": "firewallEvent",
    "fw_ext_event": "firewallExtendedEvent",
    "fwd_flow_delta_bytes": "source.bytes",
    "rev_flow_delta_bytes": "destination.bytes",
    "src_traffic_index": "srcTrafficIndex",
    "dst_traffic_index": "dstTrafficIndex",
    "tcp_src_port": "tcpSourcePort",
    "tcp_dst_port": "tcpDestinationPort",
    "udp_src_port": "udpSourcePort",
    "udp_dst_port": "udpDestinationPort",
    "ipv4_ident": "fragmentIdentification",
    "forwarding_status": "forwardingStatus",
    "sampling_interval": "flow.sampling",
    "sampling_algorithm": "samplingAlgorithm",
    "ipv4_dst_addr ": "destination.ip",
    "nprobe_proto": "nprobeProtocol",
    "nprobe_proto_name": "nprobeProtocolName",
}
_TEN = {
    "octetDeltaCount": "network.bytes",
    "octetTotalCount": "octetTotalCount",
    "packetDeltaCount": "network.packets",
    "protocolIdentifier": "network.transport",
    "tcpControlBits": "tcp.flags",
    "sourceTransportPort": "source.port",
    "destinationTransportPort": "destination.port",
    "sourceIPv4Address": "source.ip",
    "destinationIPv4Address": "destination.ip",
    "sourceIPv6Address": "source.ip",
    "destinationIPv6Address": "destination.ip",
    "ingressInterface": "observer.ingress.interface.id",
    "egressInterface": "observer.egress.interface.id",
    "postNATSourceIPv4Address": "source.nat.ip",
    "postNATDestinationIPv4Address": "destination.nat.ip",
    "postNAPTSourceTransportPort": "source.nat.port",
    "postNAPTDestinationTransportPort": "destination.nat.port",
    "flowStartMilliseconds": "event.start",
    "flowEndMilliseconds": "event.end",
    "flowStartSeconds": "event.start",
    "flowEndSeconds": "event.end",
    "flowStartMicroseconds": "event.start",
    "flowEndMicroseconds": "event.end",
    "flowDirection": "network.direction",
    "flowEndReason": "flow.state",
    "bgpSourceAsNumber": "source.as.number",
    "bgpDestinationAsNumber": "destination.as.number",
    "sourceMacAddress": "source.mac",
    "destinationMacAddress": "destination.mac",
    "vlanId": "network.vlan.id",
    "applicationName": "network.application",
    "userName": "user.name",
    "ixiaRevOctetDeltaCount": "destination.bytes",
    "ixiaRevPacketDeltaCount": "destination.packets",
    "icmpTypeCodeIPv4": "icmp.code",
    "staMacAddress": "source.mac",
    "staIPv4Address": "source.ip",
    "vmwareUnknown890": "vmwareIngressInterfaceAttr",
    "vmwareUnknown888": "vmwareEgressInterfaceAttr",
    "vmwareUnknown889": "vmwareVxlanExportRole",
}
_CUT = {"reamcore_id_rule_1": "streamcore_id_rule_1"}
"""Cut by a line break in the answer file."""
_WRAP = 2**32 / 1000
"""The codec adds the rest of a second without taking the second off, so it is 1 s late, and takes uptime for no number
that begins anew after 49.7 days; .999 stands in the answers for "some part of this second"."""
_TRANSPORT = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 2: "igmp", 47: "gre"}
_STATES = ("", "idle_timeout", "active_timeout", "end_of_flow", "forced_end", "lack_of_resources")


def same(row: dict[str, Any], name: str, value: Any) -> bool:
    """Whether a row says of a field what the codec says. 0, 0.0.0.0 and '' stand for nothing told."""
    name = _CUT.get(name, name)
    column = _NINE.get(name) or _TEN.get(name) or name
    if column not in row and name.startswith("streamcore_"):
        column = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
    ours = row.get(column)
    if isinstance(value, str):
        value = value.split("\0")[0]  # text ends with the first NUL; the codec writes all octets of the field
    if column == "network.transport":
        return bool(ours == _TRANSPORT.get(value, str(value)))
    if column == "network.direction":
        return bool(ours == ("inbound", "outbound")[value])
    if column == "flow.state":
        return bool((ours or "") == _STATES[value])
    if column == "forwardingStatus":
        return bool((ours or 0) == value["status"] << 6 | value["reason"])
    if column == "applicationId":
        return bool(str(ours).replace(":", "..") == value)
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        switched, mine, theirs = name.endswith("_switched"), _time(ours), _time(value) or 0.0
        if switched and mine is not None and value.endswith(".999Z"):
            return bool(int(mine) + 1 == int(theirs))
        late = (0.0, 1.0, _WRAP, 1.0 + _WRAP) if switched else (0.0,)
        return mine is not None and any(abs(theirs - mine - one) < 0.0011 for one in late)
    if isinstance(ours, datetime):
        return bool(round(ours.timestamp() * 1000) == value)
    if isinstance(value, float):
        return ours is not None and abs(float(ours) - value) < 1e-6
    if value in (0, "", "0.0.0.0") or (isinstance(value, str) and not value.strip("\0 ")):
        return ours in (None, 0, "", value)
    return bool(ours == value) or str(ours) == str(value)


def _time(value: Any) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp()
    if not isinstance(value, str):
        return None
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value)).timestamp()
