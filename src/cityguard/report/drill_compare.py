"""A drill beside the one before it: which measures got better or worse, which problems came back or are new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cityguard.model import DrillRun, Text
from cityguard.report.rows import FAILED, span

BETTER, WORSE = Text("改善", "better"), Text("变差", "worse")
SAME, OTHER, UNKNOWN = Text("持平", "as before"), Text("有变化", "changed"), Text("无法比较", "not comparable")
_RANK = ("失败", "部分成功", "成功")


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One measure, last time and this time."""

    name: Text
    was: str | datetime | None
    now: str | datetime | None
    change: Text


def earlier(run: DrillRun, runs: Iterable[DrillRun]) -> DrillRun | None:
    """The newest of ``runs`` of the same system and plan that began before ``run``; None: it is the first."""
    same = [one for one in runs if (one.system, one.plan) == (run.system, run.plan) and one.started < run.started]
    return max(same, key=lambda one: (one.started, one.id), default=None)


def compared(before: DrillRun | None, now: DrillRun) -> tuple[ComparedRow, ...]:
    """Both runs, measure by measure; nothing without an earlier one."""
    if before is None:
        return ()
    old, new = set(before.problems), set(now.problems)
    return (
        ComparedRow(Text("结论", "Conclusion"), before.conclusion, now.conclusion, _rank(before, now)),
        _seconds(Text("RTO 实际", "Actual RTO"), _rto(before), _rto(now)),
        _seconds(Text("RPO 实际", "Actual RPO"), before.rpo_actual_s, now.rpo_actual_s),
        _plain(Text("恢复文件数", "Files restored"), str(before.files), str(now.files)),
        _plain(Text("恢复字节数", "Bytes restored"), f"{before.bytes:,}", f"{now.bytes:,}"),
        _fewer(Text("未通过的校验", "Checks failed"), _failed(before), _failed(now)),
        _fewer(Text("上次的问题", "Problems of last time"), len(old), len(old & new)),
        _fewer(Text("新出现的问题", "Problems not seen last time"), 0, len(new - old)),
        _plain(Text("备份时间", "Backup taken at"), before.backup_taken, now.backup_taken),
        _plain(Text("备份集 SHA-256", "SHA-256 of the set"), before.backup_sha256, now.backup_sha256),
    )


def _rto(run: DrillRun) -> float | None:
    return None if run.conclusion == FAILED else run.rto_actual_s


def _failed(run: DrillRun) -> int:
    return sum(1 for one in run.checks if not one.passed)


def _rank(before: DrillRun, now: DrillRun) -> Text:
    if before.conclusion not in _RANK or now.conclusion not in _RANK:
        return UNKNOWN
    return _sign(_RANK.index(now.conclusion) - _RANK.index(before.conclusion))


def _seconds(name: Text, before: float | None, now: float | None) -> ComparedRow:
    if before is None or now is None:
        return ComparedRow(name, span(before), span(now), UNKNOWN)
    near = abs(now - before) <= max(1.0, 0.1 * max(abs(before), abs(now)))  # the machine's mood is no change
    return ComparedRow(name, span(before), span(now), SAME if near else _sign(before - now))


def _fewer(name: Text, before: int, now: int) -> ComparedRow:
    return ComparedRow(name, str(before), str(now), _sign(before - now))


def _plain(name: Text, before: str | datetime | None, now: str | datetime | None) -> ComparedRow:
    known = bool(before and now)
    return ComparedRow(name, before, now, UNKNOWN if not known else SAME if before == now else OTHER)


def _sign(gain: float) -> Text:
    return SAME if gain == 0 else BETTER if gain > 0 else WORSE
