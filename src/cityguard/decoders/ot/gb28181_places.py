"""Where messages of GB/T 28181 send a device or its pictures: hosts, addresses, and whether they are far from it."""

from __future__ import annotations

import ipaddress

from cityguard.decoders import secrets
from cityguard.decoders.app import sip_message
from cityguard.decoders.events import End, Talk
from cityguard.decoders.ot import gb28181_sdp
from cityguard.decoders.ot.gb28181_commands import Command
from cityguard.decoders.ot.gb28181_message import Frame
from cityguard.decoders.ot.gb28181_sdp import Media

_PRIVATE = tuple(
    ipaddress.ip_network(one)
    for one in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)


def place(ip: str | None, port: int | None) -> End | None:
    """An address and port as the ends of ``Talk``; None where one is missing."""
    if ip is None or not port:
        return None
    address = ipaddress.ip_address(ip)
    number = int(address) if address.version == 6 else 0xFFFF_0000_0000 | int(address)
    return number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF, port


def target(one: Command, media: Media | None) -> tuple[str | None, str | None]:
    """Where a command sends the device, or its pictures: text, and the address if it names one."""
    if media is not None and media.ip:
        text = f"[{media.ip}]" if ":" in media.ip else media.ip
        return f"{text}:{media.port}" if media.port else text, media.ip
    if not one.target:
        return None, None
    text = secrets.url(one.target)[:512]
    rest = text.partition("://")[2] or text
    return text, gb28181_sdp.literal(sip_message.host("x:" + rest.partition("/")[0]))


def public(text: str) -> bool:
    """Whether an address is none of a private network."""
    address = ipaddress.ip_address(text)
    return not any(address in network for network in _PRIVATE)


def media_flags(media: Media, frame: Frame, talk: Talk) -> list[str]:
    """Whether the receiver of the media stands in another network (/16, /48) than the device that is to send them."""
    if media.ip is None:
        return []
    host = gb28181_sdp.literal(sip_message.host(frame.head.uri))
    device = ipaddress.ip_address(host) if host is not None else _address(talk.destination)
    receiver = ipaddress.ip_address(media.ip)
    flags = ["media_public"] if public(media.ip) else []
    size = 16 if receiver.version == 4 else 48
    if receiver.version != device.version or receiver not in ipaddress.ip_network(f"{device}/{size}", strict=False):
        flags.append("media_other_network")
    return flags


def _address(end: End) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.IPv6Address(end[0] << 64 | end[1])
    return address.ipv4_mapped or address
