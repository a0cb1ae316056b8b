"""DHCP, NTP, SNMP, RADIUS: what a network's own services say."""

from __future__ import annotations

import ipaddress
import json
import struct

from tests.decoders.ot.talk import sent

from cityguard.decoders.app import dhcp, ntp, radius, snmp

DHCP, NTP, SNMP, RADIUS = (module.PROTOCOLS[0] for module in (dhcp, ntp, snmp, radius))
MAC = bytes.fromhex("02aabbccddee")


def lease(kind: int, given: str = "0.0.0.0", *, options: bytes = b"") -> bytes:
    head = struct.pack(">BBBBIHH", 2 if kind in (2, 5, 6) else 1, 1, 6, 0, 77, 0, 0)
    head += bytes(4) + ipaddress.IPv4Address(given).packed + bytes(8) + MAC + bytes(10 + 192)
    return head + b"\x63\x82\x53\x63\x35\x01" + bytes((kind,)) + options + b"\xff"


def test_a_lease_binds_address_mac_and_name() -> None:
    ask, given = sent(
        DHCP,
        (0, lease(3, options=b"\x0c\x04pc-1\x32\x04" + bytes((10, 1, 2, 3)))),
        (1, lease(5, "10.1.2.3", options=b"\x33\x04\0\0\x0e\x10\x36\x04" + bytes((10, 1, 2, 1)))),
    )
    assert (ask["event.action"], ask["host.name"], ask["host.ip"]) == ("request", "pc-1", "10.1.2.3")
    assert ask["source.mac"] == "02:aa:bb:cc:dd:ee"
    more = json.loads(given["event.fields"])["dhcp"]
    assert (given["event.outcome"], more["lease"], more["server"]) == ("success", 3600, "10.1.2.1")


def test_a_lease_of_version_6() -> None:
    client = b"\0\1\0\x0e\0\1\0\1\1\2\3\4" + MAC
    address = b"\0\3\0\x28" + bytes(12) + b"\0\5\0\x18" + ipaddress.ip_address("2001:db8::5").packed + bytes(8)
    (row,) = sent(DHCP, (1, b"\x07\1\2\3" + client + address), port=547)
    assert (row["event.action"], row["host.ip"]) == ("reply", "2001:db8::5")
    assert json.loads(row["event.fields"])["dhcp"]["client_mac"] == "02:aa:bb:cc:dd:ee"


def test_modes_of_ntp() -> None:
    server, private = sent(NTP, (1, b"\x24\x02" + bytes(46)), (0, b"\x17\0\3\x2a" + bytes(4)))
    assert (server["event.action"], json.loads(server["event.fields"])["ntp"]["stratum"]) == ("server", 2)
    assert private["event.action"] == "private"
    assert not NTP.starts(b"\x24\x02" + bytes(10), True)


def tlv(tag: int, body: bytes) -> bytes:
    return bytes((tag, len(body))) + body


def request(tag: int, community: bytes = b"public", error: int = 0) -> bytes:
    bound = tlv(0x30, tlv(0x30, tlv(6, bytes.fromhex("2b06010201010500")) + tlv(5, b"")))
    pdu = tlv(tag, tlv(2, b"\1") + tlv(2, bytes((error,))) + tlv(2, b"\0") + bound)
    return tlv(0x30, tlv(2, b"\1") + tlv(4, community) + pdu)


def test_snmp_tells_objects_and_whether_the_community_is_one_everybody_knows() -> None:
    get, answer, put = sent(SNMP, (0, request(0xA0)), (1, request(0xA2, error=2)), (0, request(0xA3, b"geheim1")))
    more = json.loads(get["event.fields"])["snmp"]
    assert (get["event.action"], more["default_community"]) == ("get", True)
    assert more["objects"] == ["1.3.6.1.2.1.1.5.0"]
    assert (answer["event.outcome"], answer["event.reason"]) == ("failure", "noSuchName")
    assert put["event.action"] == "set"
    assert "geheim1" not in str(put)


def packet(code: int, number: int, attributes: bytes) -> bytes:
    return struct.pack(">BBH", code, number, 20 + len(attributes)) + bytes(16) + attributes


def test_radius_joins_a_request_with_its_answer() -> None:
    ask = packet(1, 9, b"\x01\x06anna\x04\x06" + bytes((10, 0, 0, 9)) + b"\x02\x12" + b"geheim1geheim1ge")
    (row,) = sent(RADIUS, (0, ask), (1, packet(3, 9, b"\x12\x04no")))
    assert (row["user.name"], row["event.outcome"], row["message"]) == ("anna", "failure", "no")
    assert json.loads(row["event.fields"])["radius"]["nas"] == "10.0.0.9"
    (row,) = sent(RADIUS, (0, ask))
    assert row["event.outcome"] == "unknown"
    assert not RADIUS.starts(ask[:-1], True)
