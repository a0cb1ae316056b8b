"""Certificates as served: valid today and for a month, with a key and a signature that hold; SM2 is noted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from cityguard.checks import probed
from cityguard.checks.base import MET, PART, SCAN_DAYS, UNMET, CheckInfo, Context, names
from cityguard.checks.facts import Certificate, Host
from cityguard.model import Asset, Evidence, System, Text

INFO = CheckInfo(
    id="tls_certificate",
    title=Text("服务器证书有效性", "Server certificates"),
    controls=("L2-MMS1-19", "L3-MMS1-29", "L4-MMS1-30", "L4-CNS1-09"),
    method="测试",
    valid_days=SCAN_DAYS,
    active=True,
)
SOON = timedelta(days=30)
LEAST_BITS = {"rsa": 2048, "dsa": 2048, "ec": 224, "sm2": 256}
WEAK_SIGNATURES = frozenset(("md5WithRSA", "sha1WithRSA", "ecdsaWithSHA1"))


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 for an expired or not yet valid certificate; 部分符合 for one that ends soon or is weak."""

    def judge(asset: Asset, hosts: list[Host]) -> probed.Judged | None:
        found = probed.services(hosts, lambda port: port.tls.certificate if port.tls else None)
        if not found:
            return None
        faults = {where: faults_of(certificate, ctx.now) for where, certificate in found.items()}
        record = {where: {"certificate": found[where], "faults": faults[where]} for where in found}
        bad = [f"{where} {names(said)}" for where, said in faults.items() if said]
        sm2 = sum(certificate.key == "sm2" for certificate in found.values())
        if not bad:
            text = Text(f"{len(found)} 张证书有效（SM2 {sm2} 张）", f"{len(found)} certificates in order ({sm2} SM2)")
            return MET, text, record
        invalid = any("expired" in said or "not yet valid" in said for said in faults.values())
        listed = names(bad)
        return UNMET if invalid else PART, Text(f"证书问题：{listed}", f"certificate faults: {listed}"), record

    return probed.per_asset(INFO, system, ctx, judge)


def faults_of(certificate: Certificate, now: datetime) -> list[str]:
    """What is wrong with a certificate at ``now``, in fixed words."""
    found = []
    if certificate.not_after < now:
        found.append("expired")
    elif certificate.not_after < now + SOON:
        found.append("expires within 30 days")
    if certificate.not_before > now:
        found.append("not yet valid")
    if certificate.key_bits < LEAST_BITS.get(certificate.key, 0):
        found.append(f"{certificate.key} key of {certificate.key_bits} bits")
    if certificate.signature in WEAK_SIGNATURES:
        found.append(f"signed with {certificate.signature}")
    return found
