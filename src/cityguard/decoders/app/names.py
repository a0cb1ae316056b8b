"""Protocols that are only named: their flows get a label by port, nothing of their payload is read."""

from __future__ import annotations

from cityguard.decoders.protocol import Protocol

PROTOCOLS = (
    Protocol("netflow"),
    Protocol("rdp", tcp=(3389,)),
    Protocol("smb", tcp=(445,)),
    Protocol("smtp", tcp=(25,)),
    Protocol("ftp", tcp=(21,)),
    Protocol("snmp", udp=(161,)),
    Protocol("ntp", udp=(123,)),
)
