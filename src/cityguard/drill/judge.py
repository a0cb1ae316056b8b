"""Judges a drill by rule: the checks, the conclusion and the problems, from what the restore told.

The rule, in this order:

1. no check was made, or a *data* check failed (restore, files compared, missing, extra, size, SHA-256,
   probe): 失败.
2. the data is right but a *time* check failed (time of the backup known, targets known, age, RPO, RTO), the probe
   was not run for want of a network wall, or residue is left: 部分成功.
3. otherwise: 成功.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cityguard.drill.plan import Plan
from cityguard.drill.restore import Restored
from cityguard.model import DrillCheck, Text

SUCCESS, PARTLY, FAILED = "成功", "部分成功", "失败"

REFUSALS = {
    "path": Text("备份条目路径越界", "an entry's path leads outside"),
    "type": Text("备份含链接、设备或稀疏文件", "a link, device or sparse file in the backup"),
    "duplicate": Text("备份条目重名", "an entry stands twice"),
    "bytes": Text("恢复数据量超过上限", "more restored bytes than allowed"),
    "files": Text("恢复文件数超过上限", "more entries than allowed"),
    "ratio": Text("压缩比异常（疑似压缩炸弹）", "expands beyond the ratio allowed (a bomb?)"),
    "kind": Text("备份格式不支持", "the kind of backup is not supported"),
    "memory": Text("恢复所需内存超过上限", "more memory than allowed"),
    "manifest": Text("备份清单不可用", "the manifest cannot be used"),
    "system": Text("读写失败", "reading or writing failed"),
    "damaged": Text("备份已损坏或被截断", "the backup is damaged or cut short"),
    "timeout": Text("校验程序超时", "the probe did not end in time"),
    "wall": Text("本机无法隔离网络，未运行校验程序", "no network wall on this machine, so the probe was not run"),
    "exit": Text("校验程序报告失败", "the probe reported a failure"),
}


@dataclass(frozen=True, slots=True)
class Times:
    """What was measured, seconds; None = not measured."""

    rto_s: float | None
    rpo_s: float | None
    age_s: float | None
    taken: datetime | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict with everything it rests on."""

    data: tuple[DrillCheck, ...]
    time: tuple[DrillCheck, ...]
    conclusion: str
    reason: Text
    problems: tuple[str, ...]

    @property
    def checks(self) -> tuple[DrillCheck, ...]:
        return self.data + self.time


def judge(plan: Plan, restored: Restored, times: Times, *, residue_removed: bool) -> Judgement:
    """Apply the rule above."""
    data = tuple(_data(plan, restored))
    time = (*_unwalled(plan, restored), *_time(plan, times, residue_removed))
    problems = tuple(f"{one.zh} / {one.en}" for one in _problems(plan, restored, times, residue_removed))
    if not data or not all(check.passed for check in data):
        return Judgement(data, time, FAILED, _failed(restored, data), problems)
    if not all(check.passed for check in time):
        missed = "、".join(check.name.split(" / ")[0] for check in time if not check.passed)
        late = ", ".join(check.name.split(" / ")[1] for check in time if not check.passed)
        reason = Text(f"数据完整恢复，但未满足：{missed}", f"the data came back whole, but not met: {late}")
        return Judgement(data, time, PARTLY, reason, problems)
    found = restored.data("compare")
    reason = Text(
        f"{found['found']} 个文件全部恢复且与清单一致；用时 {span(times.rto_s)}，数据距故障点 {span(times.rpo_s)}",
        f"all {found['found']} files came back as in the manifest; usable after {span(times.rto_s)}, "
        f"{span(times.rpo_s)} of data before the failure",
    )
    return Judgement(data, time, SUCCESS, reason, problems)


def span(seconds: float | None) -> str:
    """A duration for people: seconds, minutes or hours."""
    if seconds is None:
        return "?"
    for unit, size in (("h", 3600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _data(plan: Plan, restored: Restored) -> list[DrillCheck]:
    checks: list[DrillCheck] = []
    if "isolate" in restored.steps:  # else the restore never began: nothing was looked at
        state = "完成 / done" if restored.ok("restore") else "未完成 / not done"
        checks.append(DrillCheck("恢复完成 / restored", "完成 / done", state, restored.ok("restore")))
    if restored.ok("compare"):
        checks.extend(_compared(restored.data("compare")))
    if _no_wall(restored):
        return checks  # not asked, so it did not fail either
    if plan.probe and "probe" in restored.steps:
        step = restored.steps["probe"]
        checks.append(DrillCheck("校验程序 / probe", "exit 0", step.detail, step.outcome == "ok"))
    elif plan.probe and restored.ok("compare"):
        checks.append(DrillCheck("校验程序 / probe", "exit 0", "未完成 / not done", passed=False))
    return checks


def _no_wall(restored: Restored) -> bool:
    return restored.data("probe").get("kind") == "wall"


def _unwalled(plan: Plan, restored: Restored) -> tuple[DrillCheck, ...]:
    """A probe wanted and not run keeps a drill from being a success."""
    if not (plan.probe and _no_wall(restored)):
        return ()
    name = "校验程序已在隔离网络中运行 / probe run behind a network wall"
    return (DrillCheck(name, "是 / yes", "否 / no", passed=False),)


def _compared(found: dict[str, Any]) -> list[DrillCheck]:
    counts = found["counts"]
    expected, actual = found["expected"], found["found"]
    checks = [
        DrillCheck(
            "比对文件数 / files compared",
            str(expected),
            str(actual),
            passed=expected == actual > 0,
        ),
        DrillCheck("缺失文件 / missing files", "0", str(counts["missing"]), counts["missing"] == 0),
        DrillCheck("多余文件 / unexpected files", "0", str(counts["extra"]), counts["extra"] == 0),
    ]
    if found["sized"]:
        checks.append(DrillCheck("大小不符 / wrong size", "0", str(counts["size"]), counts["size"] == 0))
    checks.append(DrillCheck("摘要不符 / wrong SHA-256", "0", str(counts["sha256"]), counts["sha256"] == 0))
    return checks


def _time(plan: Plan, times: Times, residue_removed: bool) -> list[DrillCheck]:
    known = times.taken is not None
    checks = [DrillCheck("备份时间已知 / backup time known", "是 / yes", "是 / yes" if known else "否 / no", known)]
    checks.extend(DrillCheck(f"{one.zh} / {one.en}", "是 / yes", "否 / no", passed=False) for one in _untold(plan))
    if plan.max_age_s is not None:
        checks.append(_target("备份年龄 / backup age", plan.max_age_s, times.age_s))
    if plan.rpo_s is not None or (times.rpo_s is not None and times.rpo_s < 0):
        checks.append(_target("恢复点 RPO / recovery point", plan.rpo_s, times.rpo_s))
    if plan.rto_s is not None:
        checks.append(_target("恢复时间 RTO / recovery time", plan.rto_s, times.rto_s))
    state = "是 / yes" if residue_removed else "否 / no"
    checks.append(DrillCheck("残留已清除 / residue removed", "是 / yes", state, residue_removed))
    return checks


def _untold(plan: Plan) -> list[Text]:
    """Targets that stand neither in the plan nor in the register: without them a restore of any age would do."""
    found = [Text("恢复时间目标 RTO 已给出", "RTO target given")] if plan.rto_s is None else []
    if plan.rpo_s is None and plan.max_age_s is None:
        found.append(Text("恢复点目标 RPO 已给出", "RPO target given"))
    return found


def _target(name: str, target: float | None, actual: float | None) -> DrillCheck:
    """Met when known, not negative (a backup from after the failure proves nothing), and within the target."""
    passed = actual is not None and actual >= 0 and (target is None or actual <= target)
    return DrillCheck(name, f"≤ {span(target)}" if target is not None else "≥ 0", span(actual), passed)


def _failed(restored: Restored, data: tuple[DrillCheck, ...]) -> Text:
    if not data:
        return Text("没有完成任何校验，不能视为成功", "no check was made, so it is no success")
    for step in restored.steps.values():
        if step.outcome == "failed":
            why = REFUSALS.get(str(step.data.get("kind")), Text("步骤失败", "a step failed"))
            return Text(f"{why.zh}：{step.detail}", f"{why.en}: {step.detail}")
    if restored.fault:
        return Text(f"恢复过程中断：{restored.fault}", f"the restore broke off: {restored.fault}")
    names = [check.name.split(" / ") for check in data if not check.passed]
    zh, en = "、".join(one[0] for one in names), ", ".join(one[1] for one in names)
    return Text(f"恢复的数据与清单不一致：{zh}", f"the restored data is not what the manifest says: {en}")


_FAULTS = {
    "missing": Text("缺失文件", "missing"),
    "extra": Text("清单外文件", "not in the manifest"),
    "size": Text("大小不符", "wrong size"),
    "sha256": Text("内容摘要不符", "wrong SHA-256"),
}


def _problems(plan: Plan, restored: Restored, times: Times, residue_removed: bool) -> list[Text]:
    found: list[Text] = []
    for step in restored.steps.values():
        if step.data.get("kind") == "wall":
            found.append(REFUSALS["wall"])
        if step.outcome == "failed":
            why = REFUSALS.get(str(step.data.get("kind")), Text("步骤失败", "a step failed"))
            found.append(Text(f"{why.zh}（{step.detail}）", f"{why.en} ({step.detail})"))
    if restored.fault:
        found.append(Text(f"恢复过程中断（{restored.fault}）", f"the restore broke off ({restored.fault})"))
    compared = restored.data("compare")
    for kind, text in _FAULTS.items():
        names, count = compared.get("samples", {}).get(kind, []), compared.get("counts", {}).get(kind, 0)
        found.extend(Text(f"{text.zh}：{name}", f"{text.en}: {name}") for name in names)
        if count > len(names):
            found.append(Text(f"{text.zh}：另有 {count - len(names)} 个", f"{text.en}: {count - len(names)} more"))
    found.extend(_late(plan, times, residue_removed))
    return found


def _late(plan: Plan, times: Times, residue_removed: bool) -> list[Text]:
    found: list[Text] = []
    if times.taken is None:
        found.append(
            Text("备份时间未知，无法计算 RPO；请在计划或清单中写明", "time of the backup unknown: no RPO; state it")
        )
    if _untold(plan):
        found.append(
            Text(
                "未给出恢复目标：请在计划或登记表中写明 RTO 与 RPO（依据业务影响分析）",
                "no target to judge by: state RTO and RPO in the plan or the register (from the impact analysis)",
            )
        )
    for zh, en, target, actual in (
        ("备份年龄", "age of the backup", plan.max_age_s, times.age_s),
        ("恢复点 RPO", "RPO", plan.rpo_s, times.rpo_s),
        ("恢复时间 RTO", "RTO", plan.rto_s, times.rto_s),
    ):
        if target is not None and actual is not None and actual > target:
            over = f"{span(actual)} > {span(target)}"
            found.append(Text(f"{zh}超出目标：{over}", f"{en} beyond its target: {over}"))
    if times.rpo_s is not None and times.rpo_s < 0:
        found.append(
            Text("备份晚于故障时间，不能证明可恢复", "the backup is later than the failure: it proves nothing")
        )
    if not residue_removed:
        found.append(Text("恢复的数据未能清除，请手工处理", "restored data could not be removed: do it by hand"))
    return found
