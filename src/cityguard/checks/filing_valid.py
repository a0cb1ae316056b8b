"""Is the system filed with the police, and is the certificate valid (three years, to be extended in time)?"""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks.base import CONFIG_DAYS, MET, NOT_APPLICABLE, PART, UNMET, CheckInfo, Context, evidence
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="filing_valid",
    title=Text("备案有效", "Filing is valid"),
    controls=("L2-CMS1-04", "L3-CMS1-04", "L4-CMS1-04"),
    method="核查",
    valid_days=CONFIG_DAYS,
)
SOON_DAYS = 90  # an extension is asked for in the last three months


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 without a filing number or after its end, 部分符合 when the end is unknown or near."""
    record = {"grade": system.grade, "number": system.filing_number, "expires": system.filing_expires}
    if system.grade < 2:
        reason = Text("二级以下无需备案", "no filing below grade 2")
        yield evidence(INFO, ctx, system, system, NOT_APPLICABLE, reason, record)
        return
    if not system.filing_number:
        reason = Text("台账无备案号", "the register has no filing number")
        yield evidence(INFO, ctx, system, system, UNMET, reason, record)
        return
    if system.filing_expires is None:
        reason = Text("已备案，未登记有效期", "filed, the end of validity is not registered")
        yield evidence(INFO, ctx, system, system, PART, reason, record)
        return
    left = (system.filing_expires - ctx.now.astimezone(ctx.settings.zone).date()).days
    verdict = UNMET if left < 0 else PART if left <= SOON_DAYS else MET
    reason = (
        Text(f"备案已过期 {-left} 天", f"the filing ended {-left} days ago")
        if left < 0
        else Text(f"备案有效，剩余 {left} 天", f"the filing is valid for {left} more days")
    )
    yield evidence(INFO, ctx, system, system, verdict, reason, record)
