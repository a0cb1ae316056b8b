"""Telling the outside about fresh alerts: every notifier once, none of them able to stop the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cityguard.clock import iso
from cityguard.model import LEVELS, Alert, Level

log = logging.getLogger(__name__)

MAX_TEXT = 1_800  # the smallest limit among the receivers: 2,048 bytes for a 企业微信 text, Chinese counted apart


class Notifier(Protocol):
    """One channel. May raise; ``Notifiers`` catches."""

    def tell(self, alerts: Sequence[Alert]) -> None: ...


@dataclass(frozen=True, slots=True)
class Notifiers:
    """Every configured channel, and the level from which they are used."""

    channels: tuple[Notifier, ...] = ()
    at_least: Level = "high"

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Tell every channel; a failure is logged and goes no further."""
        chosen = [alert for alert in alerts if LEVELS.index(alert.level) >= LEVELS.index(self.at_least)]
        if not chosen:
            return
        for channel in self.channels:
            try:
                channel.tell(chosen)
            except Exception:  # a receiver that is down must not stop detection
                log.exception("%s could not be told of %d alerts", type(channel).__name__, len(chosen))


def line(alert: Alert) -> str:
    """One alert as one line of plain text: level, time, title, from, to, system, reason."""
    entities = alert.entities
    way = f"{entities.get('source.ip', '-')} -> {entities.get('destination.ip', '-')}"
    parts = (
        alert.level,
        iso(alert.first_seen),
        alert.title.get("zh"),
        way,
        alert.system or "-",
        alert.reason.get("zh"),
    )
    return " | ".join(_plain(part) for part in parts)


def digest(alerts: Sequence[Alert]) -> str:
    """Several alerts as one bounded text, the gravest first."""
    ordered = sorted(alerts, key=lambda alert: (-LEVELS.index(alert.level), alert.first_seen, alert.id))
    lines: list[str] = []
    size = 0
    for alert in ordered:
        text = line(alert)[:500]
        size += len(text.encode())
        if size > MAX_TEXT:
            lines.append(f"… {len(ordered) - len(lines)} 条未列出，见告警列表")
            break
        lines.append(text)
    return "\n".join([f"cityguard 新告警 {len(ordered)} 条", *lines])


def _plain(text: str) -> str:
    # Attackers choose these strings: no line breaks, no control characters that a receiver might act on.
    return "".join(c if c.isprintable() else " " for c in text)
