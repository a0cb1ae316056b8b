"""Checks asked of a system. Never a packet where the register forbids it: every target is judged before the first."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol

from cityguard.checks.base import OPEN, Context, Found, choose, evidence
from cityguard.checks.facts import Host
from cityguard.checks.ports import USUAL
from cityguard.clock import Clock
from cityguard.config import Settings
from cityguard.errors import RefusedError
from cityguard.model import And, Asset, Evidence, Query, System, Term, Text
from cityguard.register.register import Register
from cityguard.scan import probe as scan_probe
from cityguard.store.base import Store

log = logging.getLogger(__name__)

MAX_ADDRESSES = 1000  # of one run
MAX_LISTED = 20_000  # of one plan
MAX_RANGE = 256  # addresses of one registered range
MAX_PORTS = 128  # of one address
CONTROLLERS = ("plc", "rtu", "ied", "dcs", "controller")
OT_PROTOCOLS = (
    *("modbus", "s7comm", "s7comm_plus", "dnp3", "iec104", "mms", "enip", "cip", "bacnet", "ads"),
    *("omron_fins", "melsec", "profinet_dcp", "profinet_io", "hart_ip", "genisys", "bsap", "roc_plus"),
)
OT_SEEN_DAYS = 30
TOO_MANY = Text(f"一次扫描最多 {MAX_ADDRESSES} 个地址", f"one run asks at most {MAX_ADDRESSES} addresses")


class Application(Protocol):
    """What a scan needs of the application."""

    @property
    def store(self) -> Store: ...
    @property
    def register(self) -> Register: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...


@dataclass(frozen=True, slots=True)
class Target:
    """One address of a plan: the ports that would be asked, or why it is refused."""

    address: str
    asset: str
    segment: str
    ports: tuple[int, ...]
    why: Text | None = None

    @property
    def refusal(self) -> str:
        """Why nothing is sent there, both languages; empty when it may be probed."""
        return f"{self.why.zh} / {self.why.en}" if self.why else ""


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
    system = _system(app, system_id)
    wanted = targets if targets is not None else islice(_registered(app.register, system), MAX_LISTED)
    texts = list(dict.fromkeys(wanted))
    seen_ot = _seen_ot(app, texts[:MAX_ADDRESSES])
    listed = [_target(app.register, system, text, seen_ot) for text in texts[:MAX_ADDRESSES]]
    return (*listed, *(Target(text[:80], "", "", (), TOO_MANY) for text in texts[MAX_ADDRESSES:]))


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
            Nothing was sent to any target.
    """
    system = _system(app, system_id)
    chosen = [check for check in choose(checks) if check.info.applies(system)]
    started = now or app.clock()
    listed = plan(app, system_id, targets=targets)
    if targets is not None:
        _refuse(listed)
    active = any(check.info.active for check in chosen)
    hosts = _probe(app.settings, listed, stop) if active else {}
    ctx = Context(
        store=app.store,
        register=app.register,
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


def _system(app: Application, system_id: str) -> System:
    system = app.register.system(system_id)
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


# ---------------------------------------------------------------- what may be probed


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


def _target(register: Register, system: System, text: str, seen_ot: set[str]) -> Target:
    address = _parse(text)
    if address is None:
        why = Text("不是规范的 IP 地址，或地址段过大", "not a plain IP address, or too large a range")
        return Target(text[:80], "", "", (), why)
    asset, segment = register.find_asset(address), register.segment_of(address)
    names = asset.id if asset else "", segment.id if segment else ""
    reason = _why_not(register, system, address, asset, seen_ot)
    return Target(address, *names, () if reason or asset is None else _ports(asset), reason)


def _parse(text: str) -> str | None:
    """Canonical text of a plain address: no name, no zone, no IPv4 in IPv6 or in hex, octal or short form."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and (
        address.scope_id or address.ipv4_mapped or address.sixtofour or address.teredo or "." in text
    ):
        return None
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        return None
    return str(address)


def _why_not(register: Register, system: System, address: str, asset: Asset | None, seen_ot: set[str]) -> Text | None:
    for segment in register.segments_of(address):
        if segment.ot:
            return Text(
                f"位于工控网段 {segment.id}，禁止主动扫描", f"in OT segment {segment.id}: never scanned actively"
            )
    if asset is None or asset.system != system.id:
        return Text(f"不是系统 {system.id} 的登记地址", f"not a registered address of system {system.id}")
    if asset.kind.lower() in CONTROLLERS:
        return Text(f"资产 {asset.id} 是控制设备", f"asset {asset.id} is a controller")
    if address in seen_ot:
        return Text("流量中见其应答工控协议", "seen answering an industrial protocol")
    narrowest = register.segment_of(address)
    if narrowest is None:
        return Text("不在任何登记网段内", "in no registered segment")
    if narrowest.scan != "active":
        return Text(
            f"网段 {narrowest.id} 的扫描策略为 {narrowest.scan}", f"segment {narrowest.id} has scan: {narrowest.scan}"
        )
    return None


def _ports(asset: Asset) -> tuple[int, ...]:
    registered = {int(port.split("/")[0]) for port in asset.ports if port.endswith("/tcp")}
    return tuple(sorted({*sorted(registered)[:MAX_PORTS], *USUAL}))[:MAX_PORTS]


def _seen_ot(app: Application, texts: Sequence[str]) -> set[str]:
    # An unregistered controller in an ordinary range: traffic knows it before the register does.
    addresses = [address for text in texts if (address := _parse(text)) is not None]
    if not addresses:
        return set()
    now = app.clock()
    where = And((
        Term("destination.ip", "in", tuple(addresses)),
        Term("ot.protocol", "in", OT_PROTOCOLS),
        Term("ot.is_request", "eq", True),
    ))  # fmt: skip
    query = Query(where=where, dataset="ot", start=now - timedelta(days=OT_SEEN_DAYS), end=now)
    return set(app.store.events.aggregate(query, ["destination.ip"], top=MAX_ADDRESSES)["destination.ip"].drop_nulls())


def _refuse(listed: Sequence[Target]) -> None:
    refused = [f"{target.address}: {target.why.en}" for target in listed if target.why]
    if refused:
        lines = "; ".join(refused[:10])
        raise RefusedError(
            f"refused: {lines}",
            remedy="nothing was sent; see 'scan plan', and the register's segments and assets",
        )


def _probe(settings: Settings, listed: Sequence[Target], stop: threading.Event | None) -> dict[str, Host]:
    refused: dict[str, Host] = {t.address: Host(t.address, t.asset, refused=t.refusal) for t in listed if t.why}
    allowed = [scan_probe.Job(t.address, t.asset, t.ports) for t in listed if t.why is None]
    return {**refused, **scan_probe.survey(allowed, settings.scan, stop)}
