"""Longest-prefix lookup: which of many nested networks an address belongs to, for one address or a whole column."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_OCTET = "(0|[1-9][0-9]{0,2})"
_V4 = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"


def parse(text: str) -> Address | None:
    """An address from its text, a v4-mapped one unwrapped; None when it is not an address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class PrefixTable:
    """Nested prefixes flattened once into disjoint intervals; then every question is one binary search."""

    def __init__(self, prefixes: Iterable[tuple[Network, int]]) -> None:
        """Take (network, owner) pairs; owners are indices >= 0. Of two equal networks the first one owns."""
        items = list(prefixes)
        self._starts4, self._owners4 = _flatten([item for item in items if item[0].version == 4], 32)
        self._starts6, self._owners6 = _flatten([item for item in items if item[0].version == 6], 128)
        self._v4 = np.array(self._starts4, dtype=np.int64), np.array(self._owners4, dtype=np.int64)

    def find(self, address: str) -> int:
        """Owner of the most specific network that holds the address, or -1."""
        parsed = parse(address)
        if parsed is None:
            return -1
        if parsed.version == 4:
            return _search(self._starts4, self._owners4, int(parsed))
        return _search(self._starts6, self._owners6, int(parsed))

    def find_all(self, addresses: pl.Series) -> npt.NDArray[np.int64]:
        """The same for a column of (preferably distinct) addresses: int64[n], -1 = none, null or no address.

        IPv4 is parsed and searched without a Python loop; other texts are looked at one by one.
        """
        numbers, is_v4 = _ipv4(addresses)
        starts, owners = self._v4
        found = owners[np.searchsorted(starts, numbers, side="right") - 1]
        found[~is_v4] = -1
        for index in np.flatnonzero(~is_v4 & addresses.is_not_null().to_numpy()).tolist():
            found[index] = self.find(addresses[index])
        return found


def _search(starts: Sequence[int], owners: Sequence[int], number: int) -> int:
    return owners[bisect_right(starts, number) - 1]


def _flatten(prefixes: list[tuple[Network, int]], bits: int) -> tuple[list[int], list[int]]:
    # Sweep outer before inner; a stack holds the networks that are still open at the current address.
    starts, owners = [0], [-1]
    open_: list[tuple[int, int]] = []  # (end, owner)

    def begin(at: int, owner: int) -> None:
        if starts[-1] == at:
            owners[-1] = owner
        else:
            starts.append(at)
            owners.append(owner)

    def close(until: int) -> None:
        while open_ and open_[-1][0] < until:
            end, _ = open_.pop()
            if end + 1 < 1 << bits:
                begin(end + 1, open_[-1][1] if open_ else -1)

    unique: dict[Network, int] = {}
    for network, owner in prefixes:
        unique.setdefault(network, owner)
    for network, owner in sorted(unique.items(), key=lambda item: (int(item[0].network_address), item[0].prefixlen)):
        start, end = int(network.network_address), int(network.broadcast_address)
        close(start)
        begin(start, owner)
        open_.append((end, owner))
    close(1 << bits)
    return starts, owners


def _ipv4(addresses: pl.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    # Canonical dotted quads only; what is not one is left to the slow path, which refuses it like ipaddress does.
    clean = addresses.to_frame("ip").select(pl.when(pl.col("ip").str.contains(_V4)).then(pl.col("ip")))
    parts = clean.select(pl.col("ip").str.splitn(".", 4).struct.unnest())
    octets = [parts[name].cast(pl.Int64, strict=False).fill_null(256).to_numpy() for name in parts.columns]
    good = np.logical_and.reduce([octet <= 255 for octet in octets])
    number = (octets[0] << 24) | (octets[1] << 16) | (octets[2] << 8) | octets[3]
    return np.where(good, number, 0), good
