"""Are the audit records whole? Logins should say who, from where and whether it worked."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.model import Evidence, System, Term, Text

INFO = CheckInfo(
    id="log_fields",
    title=Text("审计记录字段完整", "Audit records are whole"),
    controls=("L2-CES1-09", "L3-CES1-13", "L4-CES1-13", "L2-ABS1-09", "L3-ABS1-17", "L4-ABS1-19"),
    method="核查",
    valid_days=LOG_DAYS,
)
WANTED = ("user.name", "event.outcome", "event.action")
ENOUGH = 0.95


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """By asset: 符合 when 95 % of its login records carry every field, 不符合 when none does for some field."""
    assets = ctx.register.assets_of(system)
    records = events.written(ctx, assets, days=LOG_DAYS, dataset="auth")
    whole = {
        name: events.written(ctx, assets, days=LOG_DAYS, dataset="auth", where=Term(name, "exists", True))
        for name in WANTED
    }
    for asset in assets:
        number = events.total(records.get(asset.id, ()))
        if not number:
            reason = Text("最近 7 天没有该资产的登录日志", "no login record of the asset in the last 7 days")
            yield evidence(INFO, ctx, system, asset, OPEN, reason, {"records": 0})
            continue
        share = {name: events.total(found.get(asset.id, ())) / number for name, found in whole.items()}
        poor = [f"{name} {value:.0%}" for name, value in share.items() if value < ENOUGH]
        verdict = MET if not poor else UNMET if min(share.values()) == 0 else PART
        reason = (
            Text(f"字段缺失：{names(poor)}", f"fields missing: {names(poor)}")
            if poor
            else Text(f"{number} 条登录记录字段完整", f"{number} login records are whole")
        )
        yield evidence(INFO, ctx, system, asset, verdict, reason, {"records": number, "share": share})
