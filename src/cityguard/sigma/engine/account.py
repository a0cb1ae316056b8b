"""What each rule costs and finds; a rule that costs too much rests for a while, and it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cityguard.model import Text

WINDOW = 50_000  # events after which costs are judged
REST = 1_000_000  # events a rule over its budget is left out for
BUDGET_MS = 50.0  # per 10,000 events
CALL = 5_000_000  # ns of one evaluation that are not held against a rule: small batches are not its doing


@dataclass(slots=True)
class Cost:
    """One rule so far: time of its exact evaluation, rows it was asked for, rows it held for."""

    nanoseconds: int = 0
    candidates: int = 0
    hits: int = 0
    heavy: int = 0  # nanoseconds beyond ``CALL`` of each evaluation: what the budget is about


@dataclass(frozen=True, slots=True)
class Notice:
    """A rule was switched off for a while."""

    rule_id: str
    title: Text
    place: str
    milliseconds: float  # per 10,000 events

    @property
    def reason(self) -> Text:
        """What happened and what to do."""
        cost = f"{self.milliseconds:.0f}"
        return Text(
            f"规则每万条事件耗时 {cost} 毫秒，超出预算，暂停使用；请为其增加必须出现的固定文字、收窄日志源，或调高预算"
            f"（{self.place}）",
            f"the rule took {cost} ms per 10,000 events, over its budget, and rests for a while; add a text that must "
            f"occur, narrow its log source, or raise the budget ({self.place})",
        )


@dataclass(slots=True)
class Account:
    """Costs by number of the rule; judged after every ``WINDOW`` events."""

    budget_ms: float = BUDGET_MS
    costs: dict[int, Cost] = field(default_factory=dict)
    events: int = 0
    resting: dict[int, int] = field(default_factory=dict)  # rule -> number of the event it comes back at
    _spent: dict[int, int] = field(default_factory=dict)  # heavy nanoseconds at the last judgement
    _judged: int = 0

    def book(self, rule: int, nanoseconds: int, candidates: int, hits: int) -> None:
        """One evaluation of a rule."""
        cost = self.costs.get(rule)
        if cost is None:
            cost = self.costs[rule] = Cost()
        cost.nanoseconds += nanoseconds
        cost.heavy += max(nanoseconds - CALL, 0)
        cost.candidates += candidates
        cost.hits += hits

    def passed(self, events: int) -> Iterator[tuple[int, float]]:
        """So many more events are done; gives rules now over their budget, with their ms per 10,000 events."""
        self.events += events
        since = self.events - self._judged
        if since < WINDOW:
            return
        for rule in [rule for rule, until in self.resting.items() if until <= self.events]:
            del self.resting[rule]
        for rule, cost in self.costs.items():
            each = (cost.heavy - self._spent.get(rule, 0)) / since / 100  # ns per event -> ms per 10,000
            if each > self.budget_ms and rule not in self.resting:
                self.resting[rule] = self.events + REST
                yield rule, each
            self._spent[rule] = cost.heavy
        self._judged = self.events
