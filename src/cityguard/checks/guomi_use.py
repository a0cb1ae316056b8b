"""Whether the system speaks 国密 where it encrypts, and rightly: suites and the pair of certificates, by traffic."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.checks.transport_encryption import seen
from cityguard.cryptouse import judging, words
from cityguard.cryptouse.inventory import Service
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="guomi_use",
    title=Text("国密算法使用（流量）", "Use of national cryptography"),
    controls=("L2-MMS1-19", "L3-MMS1-29", "L4-MMS1-30", "L3-CNS1-07", "L4-CNS1-08", "L3-CES1-27", "L4-CES1-27"),
    method="测试",
    valid_days=LOG_DAYS,
)
_FAULTS = frozenset((*judging.PAIR, "expired", "mixed", "rsa_suite", "sha1", "self_signed"))


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when every service ended in 国密 only, 不符合 when 国密 is spoken with faults, 部分符合 otherwise.

    A system without 国密 is 部分符合: whether it is due is not in the traffic. Assets without flows are 未判定 each.
    """
    found = seen(system, ctx)
    agreed = [one for one in found.services if one.state != "unanswered" and one.protocol != "ssh"]
    if not agreed:
        reason = Text("流量中未见该系统的加密协商", "no encrypted handshake of the system was seen in traffic")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"services": []})
        return
    yield from events.unseen(INFO, ctx, system)
    national = [one for one in agreed if one.state in ("national", "mixed")]
    faulty = [one for one in national if _FAULTS & set(one.problems)]
    counts = found.states()
    record = {"days": events.TRAFFIC_DAYS, "states": counts, "problems": found.problems()}
    if faulty:
        zh, en = (names(_told(one, lang) for one in faulty) for lang in ("zh-CN", "en"))
        reason = Text(f"国密使用有问题：{zh}", f"national cryptography with faults: {en}")
        yield evidence(INFO, ctx, system, system, UNMET, reason, record)
        return
    whole = all(one.state == "national" for one in agreed)
    reason = Text(
        f"{len(agreed)} 个加密服务：只用国密 {counts['national']}，并用 {counts['mixed']}，"
        f"提供未采用 {counts['turned_down']}，非国密 {counts['ordinary']}",
        f"{len(agreed)} encrypted services: {counts['national']} national, {counts['mixed']} also others, "
        f"{counts['turned_down']} turned it down, {counts['ordinary']} without",
    )
    yield evidence(INFO, ctx, system, system, MET if whole else PART, reason, record)


def _told(one: Service, language: str) -> str:
    codes = [code for code in one.problems if code in _FAULTS]
    return f"{one.address}:{one.port} " + "/".join(words.problem(code).get(language) for code in codes[:3])
