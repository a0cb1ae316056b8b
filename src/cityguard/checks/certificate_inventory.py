"""Certificates of the system as traffic shows them: an inventory with expiry, key and algorithm (SM2 noted)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.model import Evidence, Query, System, Term, Text

INFO = CheckInfo(
    id="certificate_inventory",
    title=Text("证书台账", "Certificate inventory"),
    controls=("L2-MMS1-19", "L3-MMS1-29", "L4-MMS1-30"),
    method="测试",
    valid_days=LOG_DAYS,
)
SOON = timedelta(days=30)
MOST_ROWS = 20_000  # the newest handshakes looked at
SERVER = ["destination.ip", "destination.port"]
SHOWN = (
    *("tls.server.subject", "tls.server.issuer", "tls.server.not_after", "tls.server.hash.sha256"),
    *("tls.server.x509.public_key_algorithm", "tls.server.x509.signature_algorithm"),
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """By the newest certificate of each server: 不符合 when one is expired, 部分符合 when one ends within 30 days.

    Assets no flow was seen of are 未判定 each.
    """
    found = _newest(ctx, system)
    if not found:
        reason = Text("流量中未见该系统的证书", "no certificate of the system was seen in traffic")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"certificates": []})
        return
    yield from events.unseen(INFO, ctx, system)
    expired = [row for row in found if row["tls.server.not_after"] < ctx.now]
    soon = [row for row in found if ctx.now <= row["tls.server.not_after"] < ctx.now + SOON]
    sm2 = sum("sm2" in f"{row.get(SHOWN[4])} {row.get(SHOWN[5])}".lower() for row in found)
    record = {"certificates": found[:MAX_LISTED], "number": len(found), "sm2": sm2}
    if expired or soon:
        listed = names(f"{row['destination.ip']}:{row['destination.port']}" for row in (expired or soon))
        what = Text("已过期", "expired") if expired else Text("30 天内到期", "ends within 30 days")
        reason = Text(f"证书{what.zh}：{listed}", f"certificate {what.en}: {listed}")
    else:
        reason = Text(
            f"{len(found)} 张证书均在有效期内（SM2 {sm2} 张）", f"{len(found)} certificates in order ({sm2} SM2)"
        )
    yield evidence(INFO, ctx, system, system, UNMET if expired else PART if soon else MET, reason, record)


def _newest(ctx: Context, system: System) -> list[dict[str, Any]]:
    where = events.both(events.to_system(system), Term("tls.server.not_after", "exists", True))
    start = ctx.ago(events.TRAFFIC_DAYS)
    rows = ctx.store.events.query(Query(where=where, dataset="tls", start=start, end=ctx.now, limit=MOST_ROWS))
    if not rows.height:
        return []
    shown = [name for name in SHOWN if name in rows.columns]
    newest = rows.sort("@timestamp", "event.id", descending=True).unique(SERVER, keep="first", maintain_order=True)
    return newest.sort(SERVER).select(*SERVER, *shown).to_dicts()
