"""A drill beside the one before it: which measures got better or worse, which problems came back or went."""

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
class CompareRow:
    """One measure, last time and now. Values are numbers, words of a conclusion, times or texts."""

    name: Text
    before: str | int | datetime | None
    now: str | int | datetime | None
    change: Text


def earlier(run: DrillRun, runs: Iterable[DrillRun]) -> DrillRun | None:
    """The newest of ``runs`` of the same system and plan that began before ``run``; None = this is the first."""
    same = [one for one in runs if (one.system, one.plan) == (run.system, run.plan) and one.started < run.started]
    return max(same, key=lambda one: (one.started, one.id), default=None)


def compared(run: DrillRun, before: DrillRun | None) -> tuple[CompareRow, ...]:
    """Both runs, measure by measure; nothing without an earlier one."""
    if before is None:
        return ()
    old, new = set(before.problems), set(run.problems)
    return (
        _words(Text("结论", "Conclusion"), before.conclusion, run.conclusion),
        _seconds(Text("恢复时间 RTO 实际", "Actual RTO"), _rto(before), _rto(run)),
        _seconds(Text("恢复点 RPO 实际", "Actual RPO"), before.rpo_actual_s, run.rpo_actual_s),
        _count(Text("未通过的校验", "Checks failed"), _failed(before), _failed(run), less_is_better=True),
        _count(Text("恢复文件数", "Files restored"), before.files, run.files),
        _count(Text("恢复字节数", "Bytes restored"), before.bytes, run.bytes),
        _plain(Text("备份时间", "Backup taken at"), before.backup_taken, run.backup_taken),
        _plain(Text("备份集 SHA-256", "SHA-256 of the set"), before.backup_sha256, run.backup_sha256),
        _count(Text("重复出现的问题", "Problems there again"), len(old), len(old & new), less_is_better=True),
        _count(Text("新出现的问题", "Problems not seen last time"), 0, len(new - old), less_is_better=True),
    )


def _rto(run: DrillRun) -> float | None:
    return None if run.conclusion == FAILED else run.rto_actual_s


def _failed(run: DrillRun) -> int:
    return sum(1 for one in run.checks if not one.passed)


def _words(name: Text, before: str, now: str) -> CompareRow:
    if before not in _RANK or now not in _RANK:
        return CompareRow(name, before, now, UNKNOWN)
    return CompareRow(name, before, now, _sign(_RANK.index(now) - _RANK.index(before)))


def _seconds(name: Text, before: float | None, now: float | None) -> CompareRow:
    if before is None or now is None:
        return CompareRow(name, span(before), span(now), UNKNOWN)
    near = abs(now - before) <= 0.1 * max(abs(before), abs(now))  # a tenth is the machine's mood, not a change
    return CompareRow(name, span(before), span(now), SAME if near else _sign(before - now))


def _count(name: Text, before: int, now: int, *, less_is_better: bool = False) -> CompareRow:
    if less_is_better:
        return CompareRow(name, before, now, _sign(before - now))
    return CompareRow(name, before, now, SAME if before == now else OTHER)


def _plain(name: Text, before: str | datetime | None, now: str | datetime | None) -> CompareRow:
    if not before or not now:
        return CompareRow(name, before, now, UNKNOWN)
    return CompareRow(name, before, now, SAME if before == now else OTHER)


def _sign(gain: float) -> Text:
    return SAME if gain == 0 else BETTER if gain > 0 else WORSE
