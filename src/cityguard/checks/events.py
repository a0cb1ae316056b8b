"""Shared by the passive checks: questions about a system's traffic and logs, in the store's one query form."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cityguard.checks.base import OPEN, CheckInfo, Context, evidence
from cityguard.model import And, Asset, Evidence, Node, Not, Or, Query, System, Term, Text

TRAFFIC_DAYS = 7
TOP = 1000

INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("0.0.0.0/8", "224.0.0.0/3", "fc00::/7", "fe80::/10", "ff00::/8", "::1/128"),
    )
)
"""Not the Internet, whoever uses it."""


def both(*items: Node) -> And:
    """All of these."""
    return And(items)


def to_system(system: System) -> Term:
    """Traffic towards the system."""
    return Term("destination.system", "eq", system.id)


def from_system(system: System) -> Term:
    """Traffic the system begins."""
    return Term("source.system", "eq", system.id)


def answered() -> Node:
    """The other side answered, as far as the exporter tells: one-way exports leave it open."""
    return Or((Term("destination.packets", "gt", 0), Not(Term("destination.packets", "exists", True))))


def groups(
    ctx: Context, where: Node, by: Sequence[str], *, dataset: str | None, days: float = TRAFFIC_DAYS, top: int = TOP
) -> list[dict[str, Any]]:
    """Counts by columns over the last ``days``, largest first; ties in order of the values."""
    query = Query(where=where, dataset=dataset, start=ctx.ago(days), end=ctx.now)
    rows = ctx.store.events.aggregate(query, list(by), top=top).to_dicts()
    return sorted(rows, key=lambda row: (-row["count"], *(str(row[name]) for name in by)))


def count(ctx: Context, where: Node, *, dataset: str | None, days: float = TRAFFIC_DAYS) -> int:
    """How many events of the last ``days`` match."""
    return sum(row["count"] for row in groups(ctx, where, ["event.dataset"], dataset=dataset, days=days))


def has_traffic(ctx: Context, system: System) -> bool:
    """Whether any flow of the system was seen at all; without it, silence proves nothing."""
    return count(ctx, Or((to_system(system), from_system(system))), dataset="flow") > 0


def no_traffic(info: CheckInfo, ctx: Context, system: System) -> Evidence:
    """The evidence for a system nobody has seen on the wire."""
    reason = Text(
        f"最近 {TRAFFIC_DAYS} 天未采集到该系统的流量，无法判断",
        f"no traffic of the system was collected in the last {TRAFFIC_DAYS} days, so nothing can be said",
    )
    return evidence(info, ctx, system, system, OPEN, reason, {"flows": 0})


def is_outside(address: str | None, ctx: Context) -> bool:
    """On the Internet: no private range and in no registered segment."""
    if not address:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if any(parsed.version == network.version and parsed in network for network in INSIDE):
        return False
    return ctx.register.segment_of(address) is None


def said(row: dict[str, Any], *columns: str) -> str:
    """One group in a sentence: the columns' values, then how often."""
    return " ".join(str(row[column]) for column in columns) + f" ×{row['count']}"


# ---------------------------------------------------------------- who wrote a log


@dataclass(slots=True)
class Writers:
    """Which addresses and host names wrote events, with counts; asked once for all assets of a system."""

    addresses: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def of(self, asset: Asset) -> int:
        """Events the asset itself wrote."""
        by_name = sum(self.names.get(name, 0) for name in _names(asset))
        return by_name + sum(self.addresses.get(address, 0) for address in asset.addresses)


def written_by(assets: Iterable[Asset]) -> Node | None:
    """Events whose writer is one of the assets: by transport peer, claimed address or host name."""
    listed = list(assets)
    singles = sorted({text for asset in listed for text in asset.addresses if "/" not in text})[:TOP]
    terms: list[Node] = []
    if singles:
        terms += [Term("observer.ip", "in", singles), Term("host.ip", "in", singles)]
    if called := sorted({name for asset in listed for name in _names(asset)})[:TOP]:
        terms.append(Term("host.name", "in", called))
    return Or(tuple(terms)) if terms else None


def _names(asset: Asset) -> set[str]:
    return {text for name in (asset.id, asset.name) if name for text in (name, name.lower(), name.upper())}


def writers(ctx: Context, assets: Sequence[Asset], days: float) -> Writers:
    """Count what each asset wrote in the last ``days``."""
    found = Writers()
    if (where := written_by(assets)) is None:
        return found
    for row in groups(ctx, where, ["observer.ip", "host.ip", "host.name"], dataset=None, days=days, top=10_000):
        for address in {row["observer.ip"], row["host.ip"]} - {None}:
            found.addresses[address] = found.addresses.get(address, 0) + row["count"]
        if row["host.name"] and not {row["observer.ip"], row["host.ip"]} & {
            address for asset in assets for address in asset.addresses
        }:
            found.names[row["host.name"]] = found.names.get(row["host.name"], 0) + row["count"]
    return found
