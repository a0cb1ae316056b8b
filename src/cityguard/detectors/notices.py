"""What the people who keep the rules should know about the rules' own blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cityguard.detectors import words
from cityguard.detectors.custom.keeper import Keeper
from cityguard.detectors.screen import Screen
from cityguard.model import Text
from cityguard.sigma.ast import Rule
from cityguard.sigma.custom import NewTerms
from cityguard.sigma.rule import Ruleset


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is no alert: a rule works otherwise than its author may think."""

    rule_id: str
    kind: Literal["expired", "list", "learning", "full"]
    place: str
    text: Text


def notices(ruleset: Ruleset, keepers: Mapping[str, Keeper], screen: Screen, now: datetime) -> Iterator[Notice]:
    """Expired exceptions, threat lists that cannot be used, rules that still learn or had to forget."""
    for rule in ruleset.rules:
        if rule.head.custom is None:
            continue
        for number in screen.expired(rule.head.custom, now):
            yield _expired(rule, number)
        threat = rule.head.custom.threat_match
        fault = screen.lists.fault(threat.list) if threat is not None else None
        if fault is not None:
            text = Text(f"威胁名单不可用：{fault}", f"the threat list cannot be used: {fault}")
            yield Notice(rule.id, "list", rule.head.place, text)
    for keeper in keepers.values():
        yield from _kept(keeper, screen)


def _expired(rule: Rule, number: int) -> Notice:
    assert rule.head.custom is not None
    entry = rule.head.custom.allow[number]
    about = f"{entry.owner}：{entry.reason}"
    zh = f"例外已于 {entry.expires} 到期，不再放行（{about}）；续期或删除"
    en = f"an exception expired on {entry.expires} and allows nothing any more ({about}); renew or remove it"
    return Notice(rule.id, "expired", entry.place, Text(zh, en))


def _kept(keeper: Keeper, screen: Screen) -> Iterator[Notice]:
    memory, order = keeper.custom.memory, keeper.order
    if isinstance(memory, NewTerms):
        over = order.since + memory.learn_s * 1_000_000 if order.since is not None else None
        if over is None or order.mark < over:
            until = words.stamp(over, screen.zone) if over is not None else None
            zh = f"学习中，{until} 后开始告警" if until else "学习中，尚未收到其日志源的事件"
            en = f"learning, alerts from {until} on" if until else "learning, no event of its log source yet"
            yield Notice(keeper.rule.id, "learning", keeper.rule.head.place, Text(zh, en))
    if keeper.lost:
        zh = f"对象过多，已放弃 {keeper.lost} 条记忆；收窄规则或分组"
        en = f"too much to remember: {keeper.lost} given up; narrow the rule or its groups"
        yield Notice(keeper.rule.id, "full", keeper.rule.head.place, Text(zh, en))
