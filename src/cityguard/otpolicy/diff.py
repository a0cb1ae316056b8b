"""A proposal against the policy in force, for people who read no YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cityguard.model import Text
from cityguard.otpolicy import words
from cityguard.otpolicy.policy import Line, Policy
from cityguard.otpolicy.propose import HELD
from cityguard.otpolicy.words import Names

Kind = Literal["new", "wider", "renew"]
KINDS = {
    "new": Text("新增允许", "newly allowed"),
    "wider": Text("放宽", "wider"),
    "renew": Text("到期续签", "to renew"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One proposed line and what it would change. ``held``: nobody accepts it without naming it."""

    kind: Kind
    line: Line
    before: Line | None
    place: Text
    master: Text
    deed: Text
    addresses: Text
    hours: Text
    text: Text  # the whole as one sentence
    must: Text  # why it has to be named
    remark: Text  # what else to note; the line is taken with its place all the same
    held: bool


def diff(proposal: Policy, policy: Policy, names: Names) -> list[Change]:
    """Every proposed line, in the proposal's order: what a person should look at twice comes first."""
    before = {one.id: one for one in policy.lines}
    return [_change(one, before.get(one.id), names) for one in proposal.lines]


def _change(line: Line, before: Line | None, names: Names) -> Change:
    kind: Kind = "new" if before is None else "renew" if "renew" in line.flags else "wider"
    said, told = words.sentence(line, names), KINDS[kind]
    more = _moved(line, before) if before is not None else Text("", "")
    return Change(
        kind=kind,
        line=line,
        before=before,
        place=names.place(line.scope),
        master=names.master(line.master),
        deed=words.deed(line.protocol, line.klass, line.codes, line.name),
        addresses=words.where(line.addresses),
        hours=words.when(line.windows),
        text=Text(f"{told.zh}：{said.zh}{more.zh}", f"{told.en}: {said.en}{more.en}"),
        must=words.flags(one for one in line.flags if one in HELD),
        remark=words.flags(one for one in line.flags if one not in HELD),
        held=bool(HELD & set(line.flags)),
    )


def _moved(line: Line, before: Line) -> Text:
    zh, en = "", ""
    if before.addresses != line.addresses:
        was = words.where(before.addresses)
        zh, en = f"（原为{was.zh}）", f" (was {was.en})"
    if before.windows != line.windows:
        hours = words.when(before.windows)
        zh, en = f"{zh}（原时间：{hours.zh}）", f"{en} (hours were {hours.en})"
    return Text(zh, en)


def summary(changes: Sequence[Change], proposal: Policy) -> Text:
    """How much is proposed, from how much, and how much of it wants a look."""
    count = {kind: sum(one.kind == kind for one in changes) for kind in KINDS}
    held, about = sum(one.held for one in changes), proposal.about
    zh = "、".join(f"{KINDS[kind].zh} {n} 行" for kind, n in count.items() if n) or "没有变化"
    en = ", ".join(f"{n} {KINDS[kind].en}" for kind, n in count.items() if n) or "nothing changes"
    zh += f"；其中 {held} 行须逐条确认" if held else ""
    en += f"; {held} of them must be named to be accepted" if held else ""
    noted = sum(bool(one.remark.zh) and not one.held for one in changes)
    zh += f"；其中 {noted} 行请注意，随范围接受" if noted else ""
    en += f"; {noted} of them have a note and are taken with their place" if noted else ""
    zh += f"；已拒绝的 {about['refused']} 行不再提出" if about.get("refused", "0") != "0" else ""
    en += f"; {about['refused']} rejected before are not proposed again" if about.get("refused", "0") != "0" else ""
    zh += f"；另有 {about['left_out']} 项放不下，未提出" if about.get("left_out", "0") != "0" else ""
    en += f"; {about['left_out']} more did not fit and are not proposed" if about.get("left_out", "0") != "0" else ""
    return Text(zh + "。" + words.NEVER_BLOCKS.zh, f"{en}. {words.NEVER_BLOCKS.en}")
