"""Who answers for an address: the register's asset, its system and department."""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import Protocol

from cityguard.cryptouse.gathering import Owners
from cityguard.cryptouse.inventory import Owner
from cityguard.model import Asset, Segment, System

INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)
"""Not the Internet, whoever uses it."""


class Book(Protocol):
    """What of the register is asked."""

    def find_asset(self, ip: str) -> Asset | None:
        """The asset with this address."""

    def segment_of(self, ip: str) -> Segment | None:
        """The narrowest segment that holds this address."""

    def system(self, system_id: str) -> System | None:
        """A system by id."""


def by_register(book: Book) -> Owners:
    """Owners by a register, each address looked up once."""

    @cache
    def find(address: str) -> Owner:
        asset = book.find_asset(address)
        if asset is None:
            return Owner(outside=book.segment_of(address) is None and is_public(address))
        if not asset.system:
            return Owner()
        system = book.system(asset.system)
        return Owner(asset.system, system.department if system else "")

    return find


def is_public(address: str) -> bool:
    """In no range that the Internet does not know."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not any(parsed.version == network.version and parsed in network for network in INSIDE)
