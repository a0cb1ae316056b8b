"""Shared by the Linux checks: the text a collector script brings from one host, read into sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cityguard.checks.base import MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.model import Asset, Evidence, System, Text

MAX_BYTES = 2 << 20
MAX_SECTIONS = 500
MAX_LINES = 20_000

NOT_COLLECTED = Text("没有采集到该资产的配置", "no configuration was collected from the asset")

_HEAD = re.compile(r"#{3}\s+(\S.*?)\s*$")
_COLLECTED = re.compile(r"#\s*collected:\s*(\S+)")
_SETTING = re.compile(r"^([A-Za-z][\w.-]*)(?:\s*=\s*|\s+)(.*)$")


@dataclass(frozen=True, slots=True)
class Collected:
    """One host's text: section title -> its lines without blank ones and comments."""

    sections: dict[str, tuple[str, ...]]
    collected: datetime

    def lines(self, *titles: str) -> list[str]:
        """Lines of every section whose title ends with one of these."""
        return [line for title, lines in self.sections.items() if title.endswith(titles) for line in lines]

    def has(self, *titles: str) -> bool:
        """Whether any of these sections was collected."""
        return any(title.endswith(titles) for title in self.sections)

    def settings(self, *titles: str) -> dict[str, str]:
        """``key value`` and ``key = value`` lines, keys in lower case; of equal keys the last one counts."""
        found: dict[str, str] = {}
        for line in self.lines(*titles):
            key, _, value = line.partition("=") if "=" in line.split(" ", 1)[0] else ("", "", "")
            if not key and (match := _SETTING.match(line)):
                key, value = match[1], match[2]
            found[(key or line).strip().lower()] = value.strip()
        return found


def read(ctx: Context, asset: Asset) -> Collected | None:
    """The asset's collected text, ``<asset id>.txt``; None when there is none. Bounded; odd bytes are replaced."""
    if ctx.config_dir is None:
        return None
    path = ctx.config_dir / f"{asset.id}.txt"
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        text = file.read(MAX_BYTES).decode("utf-8", errors="replace")
    return parse(text, _when(text, path, ctx.now))


def parse(text: str, collected: datetime) -> Collected:
    """Split at ``### title`` lines; what stands before the first one is ignored."""
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines()[:MAX_LINES]:
        if match := _HEAD.match(line):
            current = sections.setdefault(match[1], []) if len(sections) < MAX_SECTIONS else None
        elif current is not None and (stripped := line.strip()) and not stripped.startswith(("#", ";")):
            current.append(stripped[:1000])
    return Collected({title: tuple(lines) for title, lines in sections.items()}, collected)


def _when(text: str, path: Path, now: datetime) -> datetime:
    if match := _COLLECTED.search(text[:4096]):
        try:
            told = datetime.fromisoformat(match[1])
            return min(told if told.tzinfo else told.replace(tzinfo=UTC), now)
        except ValueError:
            pass
    return min(datetime.fromtimestamp(path.stat().st_mtime, UTC), now)


def number(value: str | None) -> int | None:
    """The leading integer of a setting, or None."""
    match = re.match(r"-?\d{1,9}", value or "")
    return int(match[0]) if match else None


@dataclass(frozen=True, slots=True)
class Point:
    """One thing looked at: what was found, and whether it is as it should be. ``ok`` None = it cannot be told."""

    name: str
    found: str
    ok: bool | None


def per_host(
    info: CheckInfo, system: System, ctx: Context, look: Callable[[Collected], list[Point]]
) -> Iterator[Evidence]:
    """Ask ``look`` of every asset: all points good, some, or none. 未判定 where nothing was collected.

    An asset is met only when every point was collected and is good.
    """
    for asset in ctx.register.assets_of(system):
        text = read(ctx, asset)
        if text is None:
            yield evidence(info, ctx, system, asset, OPEN, NOT_COLLECTED, {"kind": asset.kind, "os": asset.os})
            continue
        points = look(text)
        known = [point for point in points if point.ok is not None]
        record: dict[str, Any] = {point.name: {"found": point.found, "ok": point.ok} for point in points}
        bad = [point for point in known if not point.ok]
        if not known or (not bad and len(known) < len(points)):
            missing = names((point.name for point in points if point.ok is None), 8)
            reason = (
                Text(f"采集内容不足以判断：{missing}", f"what was collected cannot tell: {missing}")
                if missing
                else Text("采集文件中没有相关内容", "the collected text holds nothing about it")
            )
            yield evidence(info, ctx, system, asset, OPEN, reason, record, observed_at=text.collected)
            continue
        verdict = MET if not bad else UNMET if len(bad) == len(known) else PART
        listed = names((f"{point.name}={point.found or '-'}" for point in (bad or known)), 8)
        reason = (
            Text(f"不符合要求：{listed}", f"not as required: {listed}")
            if bad
            else Text(f"配置符合要求：{listed}", f"configured as required: {listed}")
        )
        yield evidence(info, ctx, system, asset, verdict, reason, record, observed_at=text.collected)
