# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""A capture in the making: packets by time, whole TCP connections, the YAML beside it that says what to expect."""

import hashlib
import random

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.utils import PcapWriter
from scripts.city import plan

MACS = {}


def mac(address):
    return MACS.setdefault(address, "02:00:" + ":".join(f"{int(part):02x}" for part in address.split(".")))


class Capture:
    """Packets by time, one TCP conversation after another."""

    def __init__(self, vlan=None, rng=None):
        self.packets = []
        self.vlan = vlan
        self.rng = rng or random.Random(f"{plan.SEED}/{vlan}")

    def add(self, when, source, destination, layer):
        ether = Ether(src=mac(source), dst=mac(destination))
        if self.vlan:
            ether /= Dot1Q(vlan=self.vlan)
        packet = ether / IP(src=source, dst=destination, id=len(self.packets) & 0xFFFF, ttl=64) / layer
        packet.time = when
        self.packets.append(packet)

    def udp(self, when, source, destination, sport, dport, payload):
        self.add(when, source, destination, UDP(sport=sport, dport=dport) / payload)

    def tcp(self, when, client, server, sport, dport, turns, gap=0.01):
        """A whole connection: handshake, (side, bytes, pause) turns, close. Returns when it ended."""
        seq = [self.rng.randrange(2**31), self.rng.randrange(2**31)]
        ends = ((client, server, sport, dport), (server, client, dport, sport))

        def send(side, flags, payload=b""):
            nonlocal when
            source, destination, left, right = ends[side]
            layer = TCP(sport=left, dport=right, flags=flags, seq=seq[side], ack=seq[1 - side] if "A" in flags else 0)
            self.add(when, source, destination, layer / payload if payload else layer)
            seq[side] = (seq[side] + len(payload) + ("S" in flags) + ("F" in flags)) % 2**32
            when += gap

        send(0, "S")
        send(1, "SA")
        send(0, "A")
        for side, payload, pause in turns:
            when += pause
            send(side, "PA", payload)
            send(1 - side, "A")
        send(0, "FA")
        send(1, "FA")
        send(0, "A")
        return when

    def write(self, name, title, alerts, exact=False):
        """``alerts``: names of rules that must raise one; ``exact``: and no other rule does."""
        path = plan.PCAPS / f"{name}.pcap"
        self.packets.sort(key=lambda packet: packet.time)
        with PcapWriter(str(path), sync=False, linktype=1, nano=False) as writer:
            for packet in self.packets:
                writer.write(packet)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        text = f"title: {{zh: {title[0]}, en: {title[1]}}}\nmade: python scripts/craft_pcaps.py\n"
        text += "exact: true\n" if exact else ""
        text += f"sha256: {digest}\npackets: {len(self.packets)}\nalerts:\n"
        text = text.rstrip() + "".join(f"\n  - {alert}" for alert in alerts) + ("\n" if alerts else " []\n")
        path.with_suffix(".yml").write_text(text, encoding="utf-8")


def moment(minute):
    return plan.epoch(plan.at(minute))
