# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""The water plant's intrusion, a vendor's maintenance of the heating plant, an office machine that calls home."""

import hashlib
import random
import struct
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scripts.city import plan
from scripts.crafting.capture import Capture, moment

RNG = random.Random(f"{plan.SEED}/captures")


def craft():
    """In this order: they share one run of random numbers."""
    water_plant()
    heating()
    office()


def pdu(transaction, unit, body):
    return struct.pack("!HHHB", transaction & 0xFFFF, 0, len(body) + 1, unit) + body


def read(transaction, function, address, count):
    values = [(address * 7 + n) & 0x3FF for n in range(count)]
    body = struct.pack("!BB", function, 2 * count) + struct.pack(f"!{count}H", *values)
    return pdu(transaction, 1, struct.pack("!BHH", function, address, count)), pdu(transaction, 1, body)


def refused(transaction, function, address, count):
    asked = pdu(transaction, 1, struct.pack("!BHH", function, address, count))
    return asked, pdu(transaction, 1, struct.pack("!BB", function | 0x80, 2))


def write_one(transaction, address, value):
    both = pdu(transaction, 1, struct.pack("!BHH", 6, address, value))
    return both, both


def write_many(transaction, address, values):
    count = len(values)
    asked = struct.pack("!BHHB", 16, address, count, 2 * count) + struct.pack(f"!{count}H", *values)
    return pdu(transaction, 1, asked), pdu(transaction, 1, struct.pack("!BHH", 16, address, count))


def dialogue(pairs, pause):
    return [turn for asked, answer in pairs for turn in ((0, asked, pause), (1, answer, 0.004))]


def water_plant():
    """The plant's polling, then an engineering station that reads what nobody reads and writes setpoints at night."""
    capture = Capture(vlan=66, rng=RNG)
    for number, plc in enumerate(plan.PLCS):
        polls = [read(n, 3, 100 + 20 * (n % 2), 10) for n in range(118)]
        capture.tcp(moment(0.1 + number / 100), plan.SCADA, plc, 49_000 + number, 502, dialogue(polls, 29.9), gap=0.002)
    probing = [read(n, 3 + n % 2, 10 * n, 10) for n in range(60)]
    probing += [refused(60 + n, 4, 5_000 + n * 100, 10) for n in range(12)]
    capture.tcp(moment(40), plan.ENGINEERING, plan.PLC, 51_200, 502, dialogue(probing, 1.5), gap=0.002)
    identify = (pdu(200, 1, bytes((43, 14, 1, 0))), pdu(200, 1, bytes((43, 14, 1, 1, 0, 0, 1, 0, 4)) + b"JL01"))
    writes = [
        identify,
        *(write_one(201 + n, 120 + n, 900 + n) for n in range(4)),
        write_many(210, 400, [0, 0, 0, 0, 0, 0]),
    ]
    capture.tcp(moment(48), plan.ENGINEERING, plan.PLC, 51_300, 502, dialogue(writes, 6), gap=0.002)
    capture.write(
        "water-plant-intrusion",
        ("水厂控制网入侵", "Intrusion into the water plant's control network"),
        [
            "cityguard.ot.modbus_probe",
            "cityguard.ot.modbus_write_after_probe",
            "cityguard.ot.modbus_write_off_hours",
        ],
    )


def heating():
    """A vendor's registered maintenance: reads, and two writes that are allowed."""
    capture = Capture(vlan=67, rng=RNG)
    pairs = [read(n, 3, 40, 8) for n in range(40)] + [write_one(50, 44, 550), write_one(51, 45, 560)]
    capture.tcp(moment(10), plan.HEAT_VENDOR, plan.HEAT_PLC, 50_100, 502, dialogue(pairs, 2), gap=0.002)
    capture.write("heating-maintenance", ("供热厂商维护", "A vendor's maintenance of the heating plant"), [])


def hello(name):
    extension = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name.encode()
    body = b"\x03\x03" + hashlib.sha256(name.encode()).digest() + b"\x00"
    body += struct.pack("!H3H", 6, 0xC02F, 0xC030, 0x009C) + b"\x01\x00" + struct.pack("!H", len(extension)) + extension
    return record(1, body)


def record(kind, body):
    message = bytes((kind,)) + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x03" + struct.pack("!H", len(message)) + message


def certificate(name, start, days):
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{plan.SEED}/{name}".encode()).digest())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key()).serial_number(4711)
    made = made.not_valid_before(start).not_valid_after(start + timedelta(days=days))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return made.sign(key, None).public_bytes(Encoding.DER)


def session(name, der):
    server = b"\x03\x03" + bytes(32) + b"\x00" + struct.pack("!HB", 0xC02F, 0)
    chain = struct.pack("!I", len(der))[1:] + der
    answer = record(2, server) + record(11, struct.pack("!I", len(chain))[1:] + chain) + record(14, b"")
    data = b"\x17\x03\x03\x00\x40" + bytes(64)
    return [(0, hello(name), 0.01), (1, answer, 0.02), (0, data, 0.02), (1, data, 0.05)]


def office():
    """An office machine: a strange name looked up, then a TLS beacon every 60 s +- 10 %; around it ordinary visits."""
    capture = Capture(rng=RNG)
    bad = certificate(plan.C2_NAME, datetime(2026, 3, 8, tzinfo=UTC), 90)
    expired = certificate("oa.jianglan.example", datetime(2024, 1, 1, tzinfo=UTC), 365)
    for minute in range(1, 60):
        when = moment(minute + RNG.uniform(-0.1, 0.1))
        if minute % 15 == 1:
            ask(capture, when - 0.2, plan.PHISHED, plan.C2_NAME, plan.C2)
        capture.tcp(when, plan.PHISHED, plan.C2, 40_000 + minute, 443, session(plan.C2_NAME, bad))
    for n in range(40):
        host = f"10.30.17.{60 + n % 8}"
        when = moment(RNG.uniform(0, 59))
        ask(capture, when, host, "oa.jianglan.example", "10.10.1.20")
        capture.tcp(when + 0.3, host, "10.10.1.20", 42_000 + n, 443, session("oa.jianglan.example", expired))
    for n in range(12):
        text = f"GET /zwgk/list?page={n} HTTP/1.1\r\nHost: www.jianglan.example\r\nUser-Agent: Mozilla/5.0\r\n\r\n".encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"
        capture.tcp(
            moment(RNG.uniform(0, 59)),
            f"10.30.17.{60 + n % 8}",
            "172.16.0.80",
            43_000 + n,
            80,
            [(0, text, 0.01), (1, answer, 0.03)],
        )
    capture.write(
        "office-beacon",
        ("办公终端外联", "An office machine that calls home"),
        [
            "cityguard.network.beacon",
            "cityguard.network.dns_odd_domain",
            "cityguard.network.tls_self_signed_outside",
        ],
    )


def ask(capture, when, host, name, answer):
    number = RNG.randrange(65_536)
    port = RNG.randrange(32_768, 61_000)
    capture.udp(when, host, plan.RESOLVER, port, 53, DNS(id=number, rd=1, qd=DNSQR(qname=name)))
    reply = DNS(
        id=number, qr=1, rd=1, ra=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, type="A", ttl=60, rdata=answer)
    )
    capture.udp(when + 0.02, plan.RESOLVER, host, 53, port, reply)
