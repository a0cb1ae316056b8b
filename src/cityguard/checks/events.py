"""Shared by the passive checks: questions about a system's traffic and logs, in the store's one query form."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cityguard.checks.base import OPEN, CheckInfo, Context, evidence
from cityguard.model import And, Asset, Evidence, Node, Not, Or, Query, System, Term, Text
from cityguard.register.register import Register

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

OWN_PREFIX = {4: 8, 6: 16}


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


def silent(ctx: Context, system: System) -> list[Asset]:
    """Assets of the system that no flow of the last days began or ended at: nothing was seen of them."""
    seen = {
        row["source.asset"] for row in groups(ctx, from_system(system), ["source.asset"], dataset="flow", top=50_000)
    }
    rows = groups(ctx, to_system(system), ["destination.asset"], dataset="flow", top=50_000)
    seen |= {row["destination.asset"] for row in rows}
    return [asset for asset in ctx.register.assets_of(system) if asset.id not in seen]


def unseen(info: CheckInfo, ctx: Context, system: System) -> Iterable[Evidence]:
    """未判定 for every asset nothing was seen of, so that those that were seen do not decide for it."""
    reason = Text(
        f"最近 {TRAFFIC_DAYS} 天未采集到该资产的流量",
        f"no traffic of the asset was collected in the last {TRAFFIC_DAYS} days",
    )
    for asset in silent(ctx, system):
        yield evidence(info, ctx, system, asset, OPEN, reason, {"addresses": asset.addresses})


def is_outside(address: str | None, ctx: Context) -> bool:
    """On the Internet: no private range, and in no registered asset or segment.

    A range shorter than /8 (IPv6: /16) is no place of the city's: who registers 0.0.0.0/0 names the Internet itself.
    """
    if not address:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if any(parsed.version == network.version and parsed in network for network in INSIDE):
        return False
    asset = ctx.register.find_asset(address)
    own = (*(asset.addresses if asset else ()), *(t for one in ctx.register.segments_of(address) for t in one.cidrs))
    return not any(
        network.version == parsed.version and parsed in network and network.prefixlen >= OWN_PREFIX[network.version]
        for network in map(ipaddress.ip_network, own)
    )


def said(row: dict[str, Any], *columns: str) -> str:
    """One group in a sentence: the columns' values, then how often."""
    return " ".join(str(row[column]) for column in columns) + f" ×{row['count']}"


# ---------------------------------------------------------------- who wrote a log

LOGS = ("audit", "auth", "file", "firewall", "host", "ids", "network", "process", "registry", "web")
"""Datasets somebody wrote down; the others are seen on the wire."""

WRITER = ("observer.ip", "host.ip", "host.name")  # transport peer, claimed address, host name
MOST_GROUPS = 50_000
AT_ONCE = 500  # assets asked of at once; fewer where each has a group per interval


def written(
    ctx: Context,
    assets: Sequence[Asset],
    *,
    days: float,
    where: Node | None = None,
    dataset: str | None = None,
    interval_s: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Counts of the events each asset wrote in the last ``days``, by asset id; assets that wrote none are not there.

    A log is of the asset whose address it came from or names. Only where no registered asset has that address does the
    host name count, and only a name that no two assets of the whole register share.

    Args:
        dataset: None = every log, without what was seen on the wire.
        interval_s: also by ``bucket``, the start of such an interval.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    names = _unique_names(ctx.register)
    step = AT_ONCE if interval_s is None else AT_ONCE // 5
    for first in range(0, len(assets), step):
        some = assets[first : first + step]
        if (own := _by_writer(some, names)) is None:
            continue
        parts = (own, *(() if where is None else (where,)), *(() if dataset else (Term("event.dataset", "in", LOGS),)))
        query = Query(where=And(parts), dataset=dataset, start=ctx.ago(days), end=ctx.now)
        rows = ctx.store.events.aggregate(query, list(WRITER), interval_s=interval_s, top=MOST_GROUPS).to_dicts()
        wanted = {asset.id for asset in some}
        for row in rows:
            for author in sorted(_authors(row, ctx.register, names) & wanted):
                found.setdefault(author, []).append(row)
    return found


def total(rows: Iterable[dict[str, Any]]) -> int:
    """How many events these groups hold."""
    return sum(row["count"] for row in rows)


def _unique_names(register: Register) -> dict[str, str]:
    owners: dict[str, set[str]] = {}
    for asset in register.assets:
        for name in {asset.id.lower(), asset.name.lower()} - {""}:
            owners.setdefault(name, set()).add(asset.id)
    return {name: next(iter(ids)) for name, ids in owners.items() if len(ids) == 1}


def _by_writer(assets: Sequence[Asset], names: Mapping[str, str]) -> Node | None:
    addresses = sorted({text for asset in assets for text in asset.addresses if "/" not in text})[:TOP]
    ids = {asset.id for asset in assets}
    called = {text for asset in assets for text in (asset.id, asset.name) if names.get(text.lower()) in ids}
    spelled = sorted({each for text in called for each in (text, text.lower(), text.upper())})[:TOP]
    terms: list[Node] = []
    if addresses:
        terms += [Term("observer.ip", "in", addresses), Term("host.ip", "in", addresses)]
    if spelled:
        terms.append(Term("host.name", "in", spelled))
    return Or(tuple(terms)) if terms else None


def _authors(row: dict[str, Any], register: Register, names: Mapping[str, str]) -> set[str]:
    addresses = {row["observer.ip"], row["host.ip"]} - {None}
    owners = {asset.id for address in addresses if (asset := register.find_asset(address)) is not None}
    if owners or not row["host.name"]:
        return owners
    return {names[name]} if (name := row["host.name"].lower()) in names else set()
