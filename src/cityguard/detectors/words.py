"""Sentences that alerts of rules explain themselves with, in both languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from cityguard.model import Explanation, Text
from cityguard.sigma.ast import Correlation
from cityguard.sigma.correlation import Firing
from cityguard.sigma.rule import Ruleset

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ((86_400, "天", "d"), (3600, "小时", "h"), (60, "分钟", "min"), (1, "秒", "s"))


def whom(entities: Mapping[str, str]) -> Text:
    """Who did it to whom, as far as the events say."""
    source, destination = entities.get("source.ip"), entities.get("destination.ip")
    ends = (
        f"{source} → {destination}" if source and destination else source or (f"→ {destination}" if destination else "")
    )
    user, host = entities.get("user.name"), entities.get("host.name")
    zh = [ends, f"账号 {user}" if user else "", f"主机 {host}" if host else ""]
    en = [ends, f"user {user}" if user else "", f"host {host}" if host else ""]
    return Text("，".join(filter(None, zh)), ", ".join(filter(None, en)))


def rule_reason(title: Text, entities: Mapping[str, str], explained: Sequence[Explanation]) -> Text:
    """Whom it is about, what the rule is, and the values it matched."""
    about = whom(entities)
    zh = "、".join(f"{one.field} = {one.value}" for one in explained)
    en = ", ".join(f"{one.field} = {one.value}" for one in explained)
    return Text(
        f"{about.zh + '：' if about.zh else ''}{title.zh}{f'（{zh}）' if zh else ''}",
        f"{about.en + ': ' if about.en else ''}{title.en}{f' ({en})' if en else ''}",
    )


def rest_reason(title: Text, groups: int) -> Text:
    """One sentence for many small groups."""
    return Text(
        f"{title.zh}：另有 {groups} 组对象命中，合并为一条", f"{title.en}: {groups} more groups, folded into one alert"
    )


def correlation_reason(one: Firing, ruleset: Ruleset) -> Text:
    """Who, how much, in what time."""
    asked = one.correlation
    named = [f"{name} {value}" for name, value in zip(asked.group_by, one.group, strict=True) if value is not None]
    about = whom(one.about)
    long = span(asked.timespan_s)
    number = f"{one.measured:g}"
    field = ", ".join(asked.fields)
    titles = _titles(asked.rules, ruleset)
    told = {
        "event_count": (f"{long.zh}内 {number} 次", f"{number} times within {long.en}"),
        "value_count": (f"{long.zh}内 {number} 个不同的 {field}", f"{number} different {field} within {long.en}"),
        "value_sum": (f"{long.zh}内 {field} 合计 {number}", f"{field} adds up to {number} within {long.en}"),
        "value_avg": (f"{long.zh}内 {field} 平均 {number}", f"{field} averages {number} within {long.en}"),
        "value_percentile": (
            f"{long.zh}内 {field} 的第 {asked.percentile:g} 百分位为 {number}" if asked.percentile else "",
            f"percentile {asked.percentile:g} of {field} is {number} within {long.en}" if asked.percentile else "",
        ),
        "value_median": (f"{long.zh}内 {field} 中位数 {number}", f"median of {field} is {number} within {long.en}"),
        "temporal": (
            f"{long.zh}内同时出现：{'；'.join(title.zh for title in titles)}",
            f"within {long.en} all of: {'; '.join(title.en for title in titles)}",
        ),
        "temporal_ordered": (
            f"{long.zh}内先后出现：{'；'.join(title.zh for title in titles)}",
            f"within {long.en} one after the other: {'; '.join(title.en for title in titles)}",
        ),
    }
    zh, en = _combined(asked, ruleset, long) if asked.clauses else told[asked.kind]
    who_zh = about.zh or "，".join(named)
    who_en = about.en or ", ".join(named)
    return Text(
        f"{who_zh + '：' if who_zh else ''}{asked.title.zh}（{zh}）",
        f"{who_en + ': ' if who_en else ''}{asked.title.en} ({en})",
    )


def _titles(rules: Iterable[str], ruleset: Ruleset) -> list[Text]:
    heads = [ruleset.head(rule) for rule in rules]
    return [head.title for head in heads if head is not None]


def _combined(asked: Correlation, ruleset: Ruleset, long: Text) -> tuple[str, str]:
    """A boolean condition over rules: which had hits, or may have had, and which had none."""
    needed = _titles(dict.fromkeys(rule for clause in asked.clauses for rule in clause.needs), ruleset)
    barred = _titles(dict.fromkeys(rule for clause in asked.clauses for rule in clause.bars), ruleset)
    with_zh, with_en = "；".join(one.zh for one in needed), "; ".join(one.en for one in needed)
    without_zh = f"，且无：{'；'.join(one.zh for one in barred)}" if barred else ""
    without_en = f", without: {'; '.join(one.en for one in barred)}" if barred else ""
    return f"{long.zh}内出现：{with_zh}{without_zh}", f"within {long.en}: {with_en}{without_en}"


def span(seconds: int) -> Text:
    """A span of time in its largest whole unit."""
    for size, zh, en in _UNITS:
        if seconds % size == 0:
            return Text(f"{seconds // size} {zh}", f"{seconds // size} {en}")
    return Text(f"{seconds} 秒", f"{seconds} s")


def moment(micros: int) -> datetime:
    """µs since the epoch as aware UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def stamp(micros: int, zone: tzinfo) -> str:
    """The same as people read it, to the second."""
    return moment(micros).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
