"""Why a rule that remembers fired: what was expected, what was seen, since when it is known; in both languages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from cityguard.detectors import words
from cityguard.detectors.custom.frame import NONE, parts
from cityguard.model import Explanation, Text
from cityguard.sigma import custom
from cityguard.sigma.ast import Rule
from cityguard.sigma.custom import Absence, Allow, Baseline, Custom, NewTerms, Rate

MAX_TERM = 60  # characters of one value in a sentence


@dataclass(frozen=True, slots=True)
class Why:
    """One sentence, and the same as a line of the alert's explanation."""

    sentence: Text
    explanation: Explanation


def why(rule: Rule, row: Mapping[str, Any], titles: Mapping[str, Text], zone: tzinfo) -> list[Why]:
    """All that explains one alert.

    Args:
        rule: whose alert it is.
        row: the group: ``x``, ``limit``, ``origin``, ``by``, ``terms``, ``threat`` …, as far as they are there.
        titles: of all rules, by id.
        zone: in which times are written.
    """
    ours = rule.head.custom
    return [] if ours is None else list(_why(ours, row, titles, zone))


def joined(reason: Text, sentences: Sequence[Text]) -> Text:
    """One reason: the rule's own, then why."""
    return Text(
        "；".join((reason.zh, *(one.zh for one in sentences))), "; ".join((reason.en, *(one.en for one in sentences)))
    )


def _why(ours: Custom, row: Mapping[str, Any], titles: Mapping[str, Text], zone: tzinfo) -> Iterator[Why]:
    memory = ours.memory
    if isinstance(memory, custom.Sequence):
        yield _sequence(memory, row, titles, zone)
    elif memory is not None:
        yield _KINDS[type(memory)](memory, row, zone)
    if ours.threat_match is not None and row.get("threat") is not None:
        yield _threat(ours.threat_match.list, row)
    if row.get("expired") is not None:
        yield _expired(ours.allow[row["expired"]])


def _new(memory: NewTerms, row: Mapping[str, Any], zone: tzinfo) -> Why:
    values = _values(row["by"], memory.fields)
    name = " + ".join(memory.fields)
    long, since = words.span(memory.history_s), words.stamp(row["origin"], zone)
    more = row["terms"] - 1
    last = row["limit"]
    before = Text(
        f"上次见于 {words.stamp(int(last), zone)}" if last is not None else "从未见过",
        f"last seen {words.stamp(int(last), zone)}" if last is not None else "never seen",
    )
    others = Text(f" 等 {more + 1} 种" if more else "", f" and {more} more" if more else "")
    zh = f"近 {long.zh}内首次出现 {name} = {values}{others.zh}（{before.zh}，自 {since} 起观察）"
    en = f"first within {long.en}: {name} = {values}{others.en} ({before.en}, watched since {since})"
    return Why(Text(zh, en), Explanation(name, values, f"{before.zh} / {before.en}; {since} –"))


def _rate(memory: Rate, row: Mapping[str, Any], zone: tzinfo) -> Why:
    per, took = words.span(memory.per_s), f"{row['x']:g}"
    since = words.stamp(row["origin"], zone)
    zh = f"{took} 秒内 {memory.gte} 次（上限为每 {per.zh} {memory.gte} 次，自 {since} 起）"
    en = f"{memory.gte} times within {took} s (the limit is {memory.gte} per {per.en}; since {since})"
    return Why(Text(zh, en), Explanation("count", f"{memory.gte} / {took} s", f"< {memory.gte} / {per.en}"))


def _usual(memory: Baseline, row: Mapping[str, Any], zone: tzinfo) -> Why:
    long, since = words.span(memory.window_s), words.stamp(row["origin"], zone)
    seen, bound = f"{row['x']:.6g}", f"{row['limit']:.6g}"
    above = row["x"] > row["limit"]
    what = Text(f"{memory.field} 合计", f"{memory.field} adds up to") if memory.field else Text("次数", "the count is")
    limit = Text("不超过", "at most") if above else Text("不低于", "at least")
    zh = f"{long.zh}内{what.zh} {seen}，平时{limit.zh} {bound}（{memory.method}，依据 {since} 以来）"
    en = f"within {long.en} {what.en} {seen}, usually {limit.en} {bound} ({memory.method}, known since {since})"
    sign = "≤" if above else "≥"
    share = row["x"] / row["limit"] if row["limit"] else 0.0
    return Why(Text(zh, en), Explanation(memory.field or "count", seen, f"{sign} {bound}; {since} –", share))


def _silent(memory: Absence, row: Mapping[str, Any], zone: tzinfo) -> Why:
    every, last = words.span(memory.every_s), words.stamp(row["origin"], zone)
    zh = f"应至少每 {every.zh}出现一次，{last} 之后未再出现（此前 {row['x']:g} 次）"
    en = f"expected at least every {every.en}; not seen after {last} ({row['x']:g} times before)"
    return Why(Text(zh, en), Explanation("silence", f"> {every.en}", f"≤ {every.en}; – {last}"))


def _sequence(memory: custom.Sequence, row: Mapping[str, Any], titles: Mapping[str, Text], zone: tzinfo) -> Why:
    nobody = Text("", "")
    steps = [titles.get(name, nobody) for name in memory.steps]
    long, since = words.span(memory.maxspan_s), words.stamp(row["origin"], zone)
    end = titles.get(memory.until, nobody) if memory.until else nobody
    zh = f"{long.zh}内依次发生：{' → '.join(one.zh for one in steps)} → 本规则（自 {since} 起"
    en = f"within {long.en} one after the other: {' → '.join(one.en for one in steps)} → this rule (since {since}"
    zh += f"，其间没有“{end.zh}”）" if end.zh else "）"
    en += f", without '{end.en}' between)" if end.en else ")"
    return Why(Text(zh, en), Explanation("sequence", " → ".join(one.en for one in steps), f"{since} –"))


def _threat(name: str, row: Mapping[str, Any]) -> Why:
    value = row["threat"]
    zh, en = f"{row['threat_field']} 命中名单 {name}：{value}", f"{row['threat_field']} is in the list {name}: {value}"
    return Why(Text(zh, en), Explanation(row["threat_field"], value, f"lists/{name}"))


def _expired(entry: Allow) -> Why:
    zh = f"例外已于 {entry.expires} 到期（{entry.owner}：{entry.reason}）"
    en = f"its exception expired on {entry.expires} ({entry.owner}: {entry.reason})"
    return Why(Text(zh, en), Explanation("allow", ", ".join(entry.fields), f"{entry.owner}; {entry.expires}"))


def _values(by: str, fields: tuple[str, ...]) -> str:
    return " + ".join("–" if value == NONE else value[:MAX_TERM] for value in parts(by, fields))


_KINDS: dict[type, Callable[[Any, Mapping[str, Any], tzinfo], Why]] = {
    NewTerms: _new,
    Rate: _rate,
    Baseline: _usual,
    Absence: _silent,
}
