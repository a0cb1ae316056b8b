"""How the system's services encrypt, by the handshakes seen in traffic: versions and suites that were agreed on."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.cryptouse import gathering, owning
from cityguard.cryptouse.inventory import Inventory, Service, Used
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="transport_encryption",
    title=Text("传输加密方式（流量）", "Encryption of traffic in use"),
    controls=(
        *("L1-CNS1-01", "L2-CNS1-03", "L3-CNS1-06", "L4-CNS1-07", "L3-CNS1-07", "L4-CNS1-08"),
        *("L1-CES1-10", "L2-CES1-18", "L3-CES1-25", "L4-CES1-24", "L3-CES1-27", "L4-CES1-27"),
    ),
    method="测试",
    valid_days=LOG_DAYS,
)
_WEAK = frozenset(("weak_version", "weak_suite", "sha1", "aggressive"))


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when all that was agreed on is sound, 不符合 when a service was seen in weak ways only, 部分符合 between.

    Assets no flow was seen of are 未判定 each.
    """
    found = seen(system, ctx)
    agreed = [one for one in found.services if any(use.agreed for use in one.used)]
    if not agreed:
        reason = Text("流量中未见该系统的加密协商", "no encrypted handshake of the system was seen in traffic")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"services": []})
        return
    yield from events.unseen(INFO, ctx, system)
    weak = [one for one in agreed if any(_WEAK & set(use.problems) for use in one.used)]
    only = [one for one in weak if all(_WEAK & set(use.problems) for use in one.used if use.agreed)]
    listed = names(f"{one.address}:{one.port} {_worst(one)}" for one in (only or weak))
    reason = Text(f"协商了不安全的方式：{listed}", f"weak ways were agreed on: {listed}")
    if not weak:
        reason = Text(
            f"{len(agreed)} 个加密服务，均未见不安全的版本或套件", f"{len(agreed)} encrypted services, none weak"
        )
    record = {"days": events.TRAFFIC_DAYS, "services": [_plain(one) for one in (*weak, *agreed)[:MAX_LISTED]]}
    yield evidence(INFO, ctx, system, system, UNMET if only else PART if weak else MET, reason, record)


def seen(system: System, ctx: Context) -> Inventory:
    """The inventory of what went to a system in the last days."""
    where = events.to_system(system)
    start = ctx.ago(events.TRAFFIC_DAYS)
    return gathering.gather(ctx.store.events, owning.by_register(ctx.register), start, ctx.now, where=where)


def _worst(service: Service) -> str:
    weak = next(use for use in service.used if _WEAK & set(use.problems))
    return f"{weak.version} {weak.cipher or ''}".strip()


def _plain(service: Service) -> dict[str, object]:
    return {
        "server": f"{service.address}:{service.port}",
        "state": service.state,
        "problems": service.problems,
        "used": [_said(use) for use in service.used[:10]],
    }


def _said(use: Used) -> str:
    return f"{use.version} {use.cipher or '-'} x{use.count}"
