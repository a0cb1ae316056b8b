"""Checks asked of a system. Never a packet where the register forbids it: targets are judged before and meanwhile."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path

from cityguard.checks.base import OPEN, Context, Found, choose, evidence
from cityguard.checks.facts import Host
from cityguard.config import Settings
from cityguard.errors import RefusedError
from cityguard.model import Evidence, System, Text
from cityguard.register.register import Register
from cityguard.scan import probe as scan_probe
from cityguard.scan.permission import Application, Judge, Target, seen_in_traffic, target_of, with_siblings

log = logging.getLogger(__name__)

MAX_ADDRESSES = 1000  # of one run
MAX_LISTED = 20_000  # of one plan
MAX_RANGE = 256  # addresses of one registered range
TOO_MANY = Text(f"一次扫描最多 {MAX_ADDRESSES} 个地址", f"one run asks at most {MAX_ADDRESSES} addresses")


@dataclass(frozen=True, slots=True)
class ScanRun:
    """What one run found. ``failed`` names targets that did not answer, checks that broke (``check:id``), a stop."""

    system: str
    started: datetime
    ended: datetime
    evidence: tuple[Evidence, ...]
    targets: tuple[Target, ...]
    hosts: tuple[Host, ...]
    failed: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 = all done, 4 = some targets or checks failed."""
        return 4 if self.failed else 0


def plan(app: Application, system_id: str, *, targets: Sequence[str] | None = None) -> tuple[Target, ...]:
    """The dry run: which addresses and ports a scan would ask, and why any is refused. Sends nothing.

    Raises:
        KeyError: the register has no such system.
    """
    register = app.register
    return _plan(app, register, _system(register, system_id), targets)[0]


def scan(
    app: Application,
    system_id: str,
    *,
    targets: Sequence[str] | None = None,
    checks: Sequence[str] | None = None,
    now: datetime | None = None,
    stop: threading.Event | None = None,
    config_dir: Path | None = None,
) -> ScanRun:
    """Ask checks of a system and return their evidence; the store is read, never written. Blocks.

    Passive checks look at the store, the register and collected files. Active ones probe the system's registered
    addresses that lie in a segment with ``scan: active``; others are left out and become 未判定.

    Args:
        targets: only these addresses, each of which must be allowed; evidence of active checks then speaks of
            their assets alone.
        checks: ids; None = all that apply.
        stop: set it to end all probes within a second.
        config_dir: folder of collected configuration, one file per asset; default is the setting ``configs``, else
            ``<home>/configs``.

    Raises:
        KeyError: the register has no such system.
        InputError: no such check.
        RefusedError: a named target is no address, out of scope, in an OT segment or not open to scans.
            Nothing was sent to any target. What the register forbids only later, while the scan runs, is left out
            from that moment on and told in ``targets``.
    """
    register = app.register
    system = _system(register, system_id)
    chosen = [check for check in choose(checks) if check.info.applies(system)]
    started = now or app.clock()
    listed, seen_ot = _plan(app, register, system, targets)
    if targets is not None:
        _refuse(listed)
    active = any(check.info.active for check in chosen)
    hosts = _probe(app, system, listed, seen_ot, stop) if active else {}
    listed = tuple(_as_it_went(target, hosts.get(target.address)) for target in listed)
    ctx = Context(
        store=app.store,
        register=register,
        settings=app.settings,
        now=started,
        config_dir=config_dir or _configs(app.settings),
        hosts=hosts,
    )
    only = {target.asset for target in listed} if targets is not None else None
    found, broken = _ask(chosen, system, ctx, only)
    silent = [f"{host.address}: {host.failed}" for host in hosts.values() if host.failed]
    return ScanRun(
        system=system.id,
        started=started,
        ended=max(started, app.clock()),
        evidence=tuple(found),
        targets=listed,
        hosts=tuple(hosts.values()),
        failed=(*silent, *(f"check:{name}" for name in broken)),
    )


def _configs(settings: Settings) -> Path:
    return settings.resolve(settings.configs) if settings.configs else settings.home_path / "configs"


def _system(register: Register, system_id: str) -> System:
    system = register.system(system_id)
    if system is None:
        raise KeyError(system_id)
    return system


def _ask(chosen: list[Found], system: System, ctx: Context, only: set[str] | None) -> tuple[list[Evidence], list[str]]:
    found: list[Evidence] = []
    broken: list[str] = []
    for check in chosen:
        try:
            made = list(check.run(system, ctx))
        except Exception as error:  # the one door: a broken check is 未判定, the others go on
            log.warning("check %s broke", check.info.id, exc_info=True)
            broken.append(check.info.id)
            kind = type(error).__name__
            reason = Text(f"检查未能完成：{kind}", f"the check broke: {kind}")
            made = [evidence(check.info, ctx, system, system, OPEN, reason, {"error": f"{kind}: {error}"[:500]})]
        if only is not None and check.info.active:
            made = [item for item in made if item.object in only]
        found.extend(made)
    return sorted(found, key=lambda item: (item.check, item.object)), broken


# ---------------------------------------------------------------- which addresses


def _plan(
    app: Application, register: Register, system: System, targets: Sequence[str] | None
) -> tuple[tuple[Target, ...], frozenset[str]]:
    """The targets, and the addresses of their assets that took part in industrial traffic."""
    wanted = targets if targets is not None else islice(_registered(register, system), MAX_LISTED)
    texts = list(dict.fromkeys(wanted))
    listed, more = texts[:MAX_ADDRESSES], texts[MAX_ADDRESSES:]
    seen_ot = seen_in_traffic(app, with_siblings(register, listed))
    found = [target_of(register, system, text, seen_ot) for text in listed]
    return (*found, *(Target(text[:80], "", "", (), TOO_MANY) for text in more)), seen_ot


def _registered(register: Register, system: System) -> Iterator[str]:
    """Every address of the system's assets; a range beyond ``MAX_RANGE`` comes as itself and will be refused."""
    for asset in register.assets_of(system):
        for text in asset.addresses:
            network = ipaddress.ip_network(text)
            if network.num_addresses == 1:
                yield str(network.network_address)
            elif network.num_addresses <= MAX_RANGE:
                yield from (str(address) for address in network.hosts())
            else:
                yield text


# ---------------------------------------------------------------- sending


def _refuse(listed: Sequence[Target]) -> None:
    refused = [f"{target.address}: {target.why.en}" for target in listed if target.why]
    if refused:
        lines = "; ".join(refused[:10])
        raise RefusedError(
            f"refused: {lines}",
            remedy="nothing was sent; see 'scan plan', and the register's segments and assets",
        )


def _probe(
    app: Application,
    system: System,
    listed: Sequence[Target],
    seen_ot: frozenset[str],
    stop: threading.Event | None,
) -> dict[str, Host]:
    refused = {
        target.address: Host(target.address, target.asset, refused=target.why) for target in listed if target.why
    }
    allowed = [scan_probe.Job(target.address, target.asset, target.ports) for target in listed if target.why is None]
    judge = Judge(app, system, seen_ot)
    return {**refused, **scan_probe.survey(allowed, app.settings.scan, judge, stop)}


def _as_it_went(target: Target, host: Host | None) -> Target:
    if host is None or host.refused is None or target.why is not None:
        return target
    return replace(target, ports=(), why=host.refused)
