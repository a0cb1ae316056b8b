"""Alerts of silences: one each, or one for many stations that fell silent together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cityguard.ids import alert_id
from cityguard.model import Alert, Explanation, Text
from cityguard.otpolicy import words
from cityguard.otpolicy.silence import Silence
from cityguard.register.register import Register

RULE = "cityguard.ot_policy"
FOLD = 10  # silences of one kind at one time that are told one by one
FOLD_S = 3_600
_SILENT = Text("登记站点静默", "A registered station is silent")
_BROKEN = Text("登记站点的上报周期中断", "A registered station's report is overdue")
_ADVICE = Text(
    "先看采集链路与同网段其他站点是否正常，再联系运维核查站点供电、通信与是否被改向其他平台。",
    "See first whether capture and other stations of the segment are well, then have power and line of the station "
    "checked, and whether it was pointed at another platform.",
)


def alerts(found: Sequence[Silence], register: Register, zone: ZoneInfo, through: datetime | None) -> Iterator[Alert]:
    """An alert per silence; of many at once that are alike, one."""
    groups: dict[tuple[str, str, bool], list[Silence]] = defaultdict(list)
    for one in found:
        groups[one.station.protocol, owner(one, register)[0] or "", one.whole].append(one)
    for (protocol, department, _), members in sorted(groups.items()):
        if len(members) > FOLD:
            yield _many(members, protocol, department, register, through)
        else:
            yield from (_silent(one, register, zone, through) for one in members)


def owner(one: Silence, register: Register) -> tuple[str | None, str | None]:
    """Department and system that answer for a station."""
    system = register.system(one.station.system) if one.station.system else None
    return one.station.department or (system.department if system else None), one.station.system


def _silent(one: Silence, register: Register, zone: ZoneInfo, through: datetime | None) -> Alert:
    rule = f"{RULE}.{'silent' if one.whole else 'overdue'}"
    department, system = owner(one, register)
    every, station = words.span(one.period_s), one.station
    heard = words.stamp(one.last, zone) if one.last else ""
    what_zh = "任何报文" if one.whole else f"{one.code} 类报文"
    what_en = "nothing was heard" if one.whole else f"message {one.code} is missing"
    last_zh = f"最后一次 {heard}" if heard else "登记后从未收到"
    last_en = f"last at {heard}" if heard else "never since it is watched"
    spoken = words.PROTOCOLS.get(station.protocol, station.protocol)
    return Alert(
        id=alert_id(rule, "1", (station.id, one.code), int(one.since.timestamp())),
        rule_id=rule,
        title=_SILENT if one.whole else _BROKEN,
        level="medium" if one.whole else "low",
        source="silence",
        first_seen=one.since,
        last_seen=through or one.since,
        reason=Text(
            f"{station.name}（{spoken} {station.id}）应至少每 {every.zh} 上报一次，未收到{what_zh}；{last_zh}",
            f"{station.name} ({spoken} {station.id}) should report every {every.en}; {what_en}, {last_en}",
        ),
        tags=("ot.silence",),
        author="cityguard",
        advice=_ADVICE,
        department=department,
        system=system,
        dataset="ot",
        explanation=(Explanation("ot.station.id", station.id), Explanation("ot.function.code", one.code or "*")),
        part=f"silence-{int(one.since.timestamp())}",
    )


def _many(
    found: Sequence[Silence], protocol: str, department: str, register: Register, through: datetime | None
) -> Alert:
    since, until = min(one.since for one in found), through or max(one.since for one in found)
    rule = f"{RULE}.silent_many"
    spoken = words.PROTOCOLS.get(protocol, protocol)
    named = "、".join(one.station.name for one in found[: words.SHOWN])
    known = register.department(department)
    return Alert(
        id=alert_id(rule, "1", (protocol, department), int(until.timestamp()) // FOLD_S * FOLD_S),
        rule_id=rule,
        title=Text("多个登记站点同时静默", "Many registered stations are silent at once"),
        level="high",
        source="silence",
        first_seen=since,
        last_seen=until,
        reason=Text(
            f"{known.name if known else ''}{len(found)} 个 {spoken} 站点同时未按周期上报（{named} 等）；"
            "多为平台、专线或采集中断",
            f"{len(found)} {spoken} stations are overdue at once ({named} …): most often platform, line or capture",
        ),
        count=len(found),
        tags=("ot.silence",),
        author="cityguard",
        advice=_ADVICE,
        department=department or None,
        dataset="ot",
        explanation=tuple(Explanation("ot.station.id", one.station.id) for one in found[:20]),
        part=f"silence-{int(until.timestamp())}",
    )
