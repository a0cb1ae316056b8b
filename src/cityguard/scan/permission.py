"""May this address be probed? The one place that decides, for the plan and again before every connection."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cityguard.checks.ports import OT, OT_PROTOCOLS, PRINTING, USUAL
from cityguard.clock import Clock
from cityguard.config import Settings
from cityguard.model import And, Asset, Node, Not, Or, Query, System, Term, Text
from cityguard.register import asset_kinds
from cityguard.register.register import Register
from cityguard.scan.probe import Job
from cityguard.store.base import Store

log = logging.getLogger(__name__)

MAX_PORTS = 128  # of one address
OT_SEEN_DAYS = 30
MAX_SEEN = 5000  # addresses asked of the store at a time
WELL_KNOWN, EPHEMERAL = 1024, 32768  # below are services; from here on ports are usually a client's own
_ONE_WAY = Not(Term("destination.packets", "exists", True))


class Application(Protocol):
    """What a scan needs of the application."""

    @property
    def store(self) -> Store: ...
    @property
    def register(self) -> Register:
        """As it stands now: a scan reads it again before every connection."""
        ...

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


def target_of(register: Register, system: System, text: str, seen_ot: frozenset[str]) -> Target:
    """Judge one target of a plan."""
    address = parse(text)
    if address is None:
        why = Text("不是规范的 IP 地址，或地址段过大", "not a plain IP address, or too large a range")
        return Target(text[:80], "", "", (), why)
    asset, segment = register.find_asset(address), register.segment_of(address)
    names = asset.id if asset else "", segment.id if segment else ""
    reason = _why_not(register, system, address, asset, seen_ot)
    return Target(address, *names, () if reason or asset is None else _ports(asset), reason)


def parse(text: str) -> str | None:
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


def _why_not(
    register: Register, system: System, address: str, asset: Asset | None, seen_ot: frozenset[str]
) -> Text | None:
    for segment in register.segments_of(address):
        if segment.ot:
            return Text(
                f"位于工控网段 {segment.id}，禁止主动扫描", f"in OT segment {segment.id}: never scanned actively"
            )
    if asset is None or asset.system != system.id:
        return Text(f"不是系统 {system.id} 的登记地址", f"not a registered address of system {system.id}")
    if (why := _is_industrial(register, asset)) is not None:
        return why
    if not seen_ot.isdisjoint((address, *_singles(asset))):
        return Text("流量中见其使用工控协议", "seen in industrial traffic")
    narrowest = register.segment_of(address)
    if narrowest is None:
        return Text("不在任何登记网段内", "in no registered segment")
    if narrowest.scan != "active":
        return Text(
            f"网段 {narrowest.id} 的扫描策略为 {narrowest.scan}", f"segment {narrowest.id} has scan: {narrowest.scan}"
        )
    return None


def _is_industrial(register: Register, asset: Asset) -> Text | None:
    """Why the asset as a whole is left alone, whichever of its addresses is meant."""
    if not asset.kind:
        return Text(f"资产 {asset.id} 未登记类型", f"asset {asset.id} has no registered kind")
    if asset_kinds.normal(asset.kind) in asset_kinds.PROCESS:
        return Text(f"资产 {asset.id} 是工控设备（{asset.kind}）", f"asset {asset.id} is a controller ({asset.kind})")
    if ports := sorted({int(port.split("/")[0]) for port in asset.ports} & OT.keys()):
        named = f"{ports[0]} ({OT[ports[0]]})"
        return Text(f"资产 {asset.id} 登记有工控端口 {named}", f"asset {asset.id} has the industrial port {named}")
    own = [ipaddress.ip_network(text) for text in asset.addresses]
    for segment in register.segments:
        nets = [ipaddress.ip_network(text) for text in segment.cidrs] if segment.ot else []
        if any(one.version == net.version and one.overlaps(net) for one in own for net in nets):
            return Text(
                f"资产 {asset.id} 另有地址位于工控网段 {segment.id}",
                f"asset {asset.id} has another address in OT segment {segment.id}",
            )
    return None


def _ports(asset: Asset) -> tuple[int, ...]:
    registered = {int(port.split("/")[0]) for port in asset.ports if port.endswith("/tcp")}
    asked = {*sorted(registered)[:MAX_PORTS], *USUAL} - OT.keys() - PRINTING
    return tuple(sorted(asked))[:MAX_PORTS]


def _singles(asset: Asset) -> list[str]:
    return [str(net.network_address) for net in map(ipaddress.ip_network, asset.addresses) if net.num_addresses == 1]


def with_siblings(register: Register, texts: Sequence[str]) -> list[str]:
    """The addresses among the texts, and the other single addresses of their assets."""
    addresses = [address for text in texts if (address := parse(text)) is not None]
    assets = {asset.id: asset for address in addresses if (asset := register.find_asset(address)) is not None}
    return list(dict.fromkeys((*addresses, *(text for asset in assets.values() for text in _singles(asset)))))


# ---------------------------------------------------------------- what traffic knows before the register does


def seen_in_traffic(app: Application, addresses: Sequence[str]) -> frozenset[str]:
    """Those of the addresses that took part in industrial traffic, on either side, in the last ``OT_SEEN_DAYS``."""
    found: set[str] = set()
    for start in range(0, len(addresses), MAX_SEEN):
        some = tuple(addresses[start : start + MAX_SEEN])
        server, client = Term("destination.ip", "in", some), Term("source.ip", "in", some)
        found |= _column(app, "destination.ip", server, "ot", len(some))
        found |= _column(app, "source.ip", client, "ot", len(some))
        found |= _column(app, "destination.ip", And((server, _served())), "flow", len(some))
        found |= _column(app, "source.ip", And((client, _answering())), "flow", len(some))
    return frozenset(found)


def _column(app: Application, column: str, where: Node, dataset: str, top: int) -> set[str]:
    now = app.clock()
    query = Query(where=where, dataset=dataset, start=now - timedelta(days=OT_SEEN_DAYS), end=now)
    return set(app.store.events.aggregate(query, [column], top=top)[column].drop_nulls())


def _served() -> Node:
    """Flows whose destination answered on an industrial port, or spoke an industrial protocol."""
    ports = Term("destination.port", "in", tuple(OT))
    both_ways = And((ports, Term("destination.packets", "gt", 0)))
    one_way = And((ports, _ONE_WAY, Not(_by_chance("destination.port", "source.port"))))
    return Or((both_ways, one_way, Term("network.protocol", "in", OT_PROTOCOLS)))


def _answering() -> Node:
    """One-way records of the answers of such a service: its port stands on the source's side."""
    ports = Term("source.port", "in", tuple(OT))
    return And((ports, _ONE_WAY, Not(_by_chance("source.port", "destination.port"))))


def _by_chance(port: str, other: str) -> Node:
    # A client's own port may look industrial; then a service that is not industrial is at the other end.
    well_known = Term(other, "lt", WELL_KNOWN)
    usual = And((Term(port, "gte", EPHEMERAL), Term(other, "lt", EPHEMERAL)))
    return And((Or((well_known, usual)), Not(Term(other, "in", tuple(OT)))))


class Judge:
    """Asks the register as it stands at this moment; what cannot be judged is forbidden."""

    def __init__(self, app: Application, system: System, seen_ot: frozenset[str]) -> None:
        self._app = app
        self._system = system
        self._seen_ot = seen_ot
        self._register: Register | None = None
        self._told: dict[str, Text | None] = {}

    def __call__(self, job: Job) -> Text | None:
        try:
            if (register := self._app.register) is not self._register:
                self._register, self._told = register, {}
            if job.address not in self._told:
                self._told[job.address] = self._ask(register, job)
            return self._told[job.address]
        except Exception as error:  # whatever the reason: nobody says that it may be probed
            log.warning("the register cannot be read while scanning: nothing is sent", exc_info=True)
            kind = type(error).__name__
            return Text(
                f"无法读取台账（{kind}），停止探测", f"the register cannot be read ({kind}): nothing more is sent"
            )

    def _ask(self, register: Register, job: Job) -> Text | None:
        asset = register.find_asset(job.address)
        return _why_not(register, self._system, job.address, asset, self._seen_ot)
