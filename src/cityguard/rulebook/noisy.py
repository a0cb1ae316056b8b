"""Rules by what became of their alerts: how many, and how often people said true, false or benign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from cityguard.model import Text

MIN_JUDGED = 5  # verdicts before a precision is told


@dataclass(frozen=True, slots=True)
class Noise:
    """One rule's alerts of a time."""

    rule_id: str
    title: Text
    level: str
    alerts: int
    events: int
    open: int
    true: int
    false: int
    benign: int
    last_seen: datetime

    @property
    def judged(self) -> int:
        return self.true + self.false + self.benign

    @property
    def precision(self) -> float | None:
        """True verdicts among all, None below ``MIN_JUDGED``: an alert that was benign was noise as well."""
        return self.true / self.judged if self.judged >= MIN_JUDGED else None


def noise(verdicts: pl.DataFrame, titles: Mapping[str, tuple[Text, str]]) -> list[Noise]:
    """Rules with alerts, the noisiest first: most alerts that were not true.

    Args:
        verdicts: ``Alerts.verdicts``: rule_id status verdict alerts count last_seen.
        titles: rule id -> (title, level); rules that are gone keep their id as a title.
    """
    found = [_one(str(rule), rows, titles) for (rule,), rows in verdicts.group_by("rule_id", maintain_order=True)]
    return sorted(found, key=lambda one: (-(one.false + one.benign), -one.alerts, one.rule_id))


def _one(rule: str, rows: pl.DataFrame, titles: Mapping[str, tuple[Text, str]]) -> Noise:
    title, level = titles.get(rule, (Text(rule, rule), ""))
    said = {name: _sum(rows.filter(pl.col("verdict") == name), "alerts") for name in ("true", "false", "benign")}
    last = rows["last_seen"].max()
    assert isinstance(last, datetime)
    return Noise(
        rule,
        title,
        level,
        _sum(rows, "alerts"),
        _sum(rows, "count"),
        _sum(rows.filter(pl.col("status") != "closed"), "alerts"),
        said["true"],
        said["false"],
        said["benign"],
        last,
    )


def _sum(rows: pl.DataFrame, name: str) -> int:
    return int(rows[name].sum())


def by_rule(found: Iterable[Noise]) -> dict[str, Noise]:
    return {one.rule_id: one for one in found}
