"""Shared by the active checks: one piece of evidence per asset out of its probed addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cityguard.checks.base import MET, NOT_APPLICABLE, OPEN, PART, UNMET, CheckInfo, Context, evidence
from cityguard.checks.facts import Host, Port
from cityguard.model import Asset, Evidence, EvidenceVerdict, System, Text

NOT_PROBED = Text("本次未探测该资产", "the asset was not probed in this run")

Judged = tuple[EvidenceVerdict, Text, Any]


def per_asset(
    info: CheckInfo, system: System, ctx: Context, judge: Callable[[Asset, list[Host]], Judged | None]
) -> Iterator[Evidence]:
    """Ask ``judge`` of every asset with an address; what could not be probed is 未判定 with the reason.

    ``judge`` gets the hosts that were reached and returns a verdict, or None when the check has no object there.
    """
    for asset in ctx.register.assets_of(system):
        hosts = ctx.hosts_of(asset)
        known = [host for host in hosts if host.is_known]
        if not known:
            reason = _why(hosts)
            yield evidence(info, ctx, system, asset, OPEN, reason, {"hosts": [host.address for host in hosts]})
            continue
        judged = judge(asset, known)
        if judged is None:
            text = Text("未发现该类服务", "no such service found")
            judged = (
                NOT_APPLICABLE,
                text,
                {"hosts": {host.address: [port.number for port in host.open] for host in known}},
            )
        yield evidence(info, ctx, system, asset, *judged)


def _why(hosts: list[Host]) -> Text:
    for host in hosts:
        if host.refused:
            return Text(f"按策略不探测：{host.refused}", f"not probed by policy: {host.refused}")
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


def graded(bad: int, total: int) -> EvidenceVerdict:
    """All good, some bad, all bad."""
    return MET if bad == 0 else UNMET if bad == total else PART
