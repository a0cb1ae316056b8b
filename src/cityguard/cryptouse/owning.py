"""Who answers for an address: the register's asset, its system and department."""

from __future__ import annotations

from functools import cache
from typing import Protocol

from cityguard.cryptouse.gathering import Owners
from cityguard.cryptouse.inventory import Owner
from cityguard.model import Asset, System


class Book(Protocol):
    """What of the register is asked."""

    def find_asset(self, ip: str) -> Asset | None:
        """The asset with this address."""

    def system(self, system_id: str) -> System | None:
        """A system by id."""


def by_register(book: Book) -> Owners:
    """Owners by a register, each address looked up once."""

    @cache
    def find(address: str) -> Owner:
        asset = book.find_asset(address)
        if asset is None or not asset.system:
            return Owner()
        system = book.system(asset.system)
        return Owner(asset.system, system.department if system else "")

    return find
