"""Certificates of the system as traffic shows them: an inventory with expiry, key and algorithm (SM2 noted)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.model import Evidence, System, Term, Text

INFO = CheckInfo(
    id="certificate_inventory",
    title=Text("证书台账", "Certificate inventory"),
    controls=("L2-MMS1-19", "L3-MMS1-29", "L4-MMS1-30"),
    method="测试",
    valid_days=LOG_DAYS,
)
DAYS = 30
SOON = timedelta(days=30)
BY = (
    "destination.ip",
    "destination.port",
    "tls.server.subject",
    "tls.server.not_after",
    "tls.server.x509.public_key_algorithm",
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 for a certificate served after its end, 部分符合 for one that ends within 30 days."""
    where = events.both(events.to_system(system), Term("tls.server.not_after", "exists", True))
    rows = events.groups(ctx, where, BY, dataset="tls", days=DAYS)
    if not rows:
        reason = Text("流量中未见该系统的证书", "no certificate of the system was seen in traffic")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"certificates": []})
        return
    expired = [row for row in rows if row["tls.server.not_after"] < ctx.now]
    soon = [row for row in rows if row not in expired and row["tls.server.not_after"] < ctx.now + SOON]
    sm2 = sum("sm2" in str(row[BY[4]]).lower() for row in rows)
    record = {"certificates": rows[:MAX_LISTED], "number": len(rows), "sm2": sm2}
    if expired or soon:
        listed = names(f"{row['destination.ip']}:{row['destination.port']}" for row in (expired or soon))
        what = Text("已过期", "expired") if expired else Text("30 天内到期", "ends within 30 days")
        reason = Text(f"证书{what.zh}：{listed}", f"certificate {what.en}: {listed}")
    else:
        reason = Text(
            f"{len(rows)} 张证书均在有效期内（SM2 {sm2} 张）", f"{len(rows)} certificates in order ({sm2} SM2)"
        )
    yield evidence(INFO, ctx, system, system, UNMET if expired else PART if soon else MET, reason, record)
