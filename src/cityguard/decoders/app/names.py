"""Protocols that are only named: their flows get a label by port, nothing of their payload is read."""

from __future__ import annotations

from cityguard.decoders.protocol import Protocol

PROTOCOLS = (
    Protocol("netflow"),
    Protocol("syslog", udp=(514,), tcp=(6514,)),
    Protocol("tftp", udp=(69,)),
    Protocol("bgp", tcp=(179,)),
    Protocol("ldaps", tcp=(636,)),
    Protocol("rtsp", tcp=(554,)),
    Protocol("mongodb", tcp=(27017,)),
    Protocol("memcached", tcp=(11211,), udp=(11211,)),
    Protocol("elasticsearch", tcp=(9200, 9300)),
    Protocol("oracle", tcp=(1521,)),
    Protocol("dameng", tcp=(5236,)),
    Protocol("vnc", tcp=(5900, 5901)),
    Protocol("socks", tcp=(1080,)),
    Protocol("winrm", tcp=(5985, 5986)),
    Protocol("openvpn", udp=(1194,), tcp=(1194,)),
    Protocol("wireguard", udp=(51820,)),
    Protocol("amqp", tcp=(5672,)),
    Protocol("ssdp", udp=(1900,)),
    Protocol("niagara_fox", tcp=(1911, 4911)),
    Protocol("ethersbus", udp=(5050,)),
    Protocol("c1222", tcp=(1153,), udp=(1153,)),
)
