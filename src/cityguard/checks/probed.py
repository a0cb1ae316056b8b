"""Shared by the active checks: one verdict per asset out of its probed addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cityguard.checks.base import MAX_LISTED, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.checks.facts import Host, Port
from cityguard.model import Asset, Evidence, EvidenceVerdict, System, Text

NOT_PROBED = Text("本次未探测该资产", "the asset was not probed in this run")
NO_SERVICE = Text("未发现该类服务", "no such service found")
MAX_RANGE = 256  # addresses of one registered range; a larger one is never probed whole

UPGRADABLE = frozenset((20, 80, 389, 8080))
"""Cleartext by usual port, yet maybe only a redirect, a data channel or StartTLS: a person must look."""

Judged = tuple[EvidenceVerdict, Text, Any]


def per_asset(
    info: CheckInfo,
    system: System,
    ctx: Context,
    judge: Callable[[Asset, list[Host]], Judged | None],
    *,
    cleartext: Mapping[int, str] | None = None,
) -> Iterator[Evidence]:
    """Ask ``judge`` of every asset; what could not be probed is 未判定 with the reason.

    An asset is met only when each of its addresses was reached. That no such service was found is 未判定 too:
    GB/T 28448 knows 不适用 only where there is nothing to protect.

    Args:
        judge: gets the hosts that were reached and returns a verdict, or None where it finds no such service.
        cleartext: port -> name of services whose open port speaks against the check's controls.
    """
    for asset in ctx.register.assets_of(system):
        hosts = ctx.hosts_of(asset)
        known = [host for host in hosts if host.is_known]
        if not known:
            record = {"hosts": [host.address for host in hosts]}
            yield evidence(info, ctx, system, asset, OPEN, _why(hosts), record)
            continue
        judged = _beside_cleartext(judge(asset, known), known, cleartext or {})
        yield evidence(info, ctx, system, asset, *_as_far_as_reached(judged, hosts, _unreached(asset, ctx)))


def _beside_cleartext(judged: Judged | None, known: list[Host], cleartext: Mapping[int, str]) -> Judged:
    plain = services(
        known, lambda port: None if port.tls or port.ssh else cleartext.get(port.number)
    )  # fmt: skip
    hard = {where: name for where, name in plain.items() if int(where.rpartition(":")[2]) not in UPGRADABLE}
    listed = names(f"{name} {where}" for where, name in (hard or plain).items())
    if judged is None:
        record = {"open": {host.address: [port.number for port in host.open] for host in known}, "cleartext": plain}
        if hard or "http" in plain.values():
            return UNMET, Text(f"仅有明文服务：{listed}", f"only cleartext services: {listed}"), record
        return OPEN, NO_SERVICE, record
    if not plain:
        return judged
    verdict, reason, record = judged
    said = Text(f"{reason.zh}；另有明文服务：{listed}", f"{reason.en}; besides, in the clear: {listed}")
    worse: EvidenceVerdict = verdict if verdict != MET else PART if hard else OPEN
    return worse, said, {"found": record, "cleartext": plain}


def _as_far_as_reached(judged: Judged, hosts: list[Host], unreached: list[str]) -> Judged:
    if not unreached:
        return judged
    verdict, reason, record = judged
    listed, why = names(unreached), _why(hosts)
    said = Text(
        f"未探测到的地址：{listed}（{why.zh}）；其余：{reason.zh}",
        f"addresses not reached: {listed} ({why.en}); of the others: {reason.en}",
    )
    kept: EvidenceVerdict = verdict if verdict in (PART, UNMET) else OPEN
    return kept, said, {"found": record, "not_reached": unreached[:MAX_LISTED], "number": len(unreached)}


def _unreached(asset: Asset, ctx: Context) -> list[str]:
    """Registered addresses of the asset nothing is known of; a range too large to probe stands for itself."""
    found: list[str] = []
    for text in asset.addresses:
        network = ipaddress.ip_network(text)
        if network.num_addresses > MAX_RANGE:
            found.append(text)
            continue
        for address in map(str, network.hosts()):
            host = ctx.hosts.get(address)
            if host is None or (host.asset == asset.id and not host.is_known):
                found.append(address)
    return found


def _why(hosts: list[Host]) -> Text:
    for host in hosts:
        if host.refused:
            return Text(f"按策略不探测：{host.refused.zh}", f"not probed by policy: {host.refused.en}")
    for host in hosts:
        if host.failed:
            return Text(f"未能探测：{host.failed}", f"could not be probed: {host.failed}")
    return NOT_PROBED


def services(hosts: Iterable[Host], pick: Callable[[Port], Any]) -> dict[str, Any]:
    """``address:port`` -> what ``pick`` finds on the port, where it finds something."""
    found: dict[str, Any] = {}
    for host in hosts:
        for port in host.open:
            if (value := pick(port)) is not None:
                where = f"[{host.address}]" if ":" in host.address else host.address
                found[f"{where}:{port.number}"] = value
    return found
