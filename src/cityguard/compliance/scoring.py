"""Scoring packs: how verdicts become a 符合率 and an indicative conclusion, read from ``reports/scoring/*.yml``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from cityguard import content
from cityguard.compliance.verdicts import UNDECIDED
from cityguard.errors import InputError
from cityguard.model import EvidenceVerdict, RateResult, Text

DEFAULT = "rate-2025"
Conclusion = Literal["符合", "基本符合", "不符合", "待确认"]
WORDS: dict[Conclusion, str] = {
    "符合": "met",
    "基本符合": "basically met",
    "不符合": "not met",
    "待确认": "to be confirmed",
}
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """``formulas``: one way to count."""

    title: Text
    formula: Text
    count: Literal["item", "object_item"]
    pass_: tuple[EvidenceVerdict, ...]
    leave_out: tuple[EvidenceVerdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """A scoring pack."""

    scoring: str
    version: str
    title: Text
    source: Text
    formulas: dict[str, Formula]
    conclusion_by: str
    compliant: Percent
    basic: Percent

    @property
    def name(self) -> str:
        """Id and version, as printed in a report."""
        return f"{self.scoring}/{self.version}"

    def rates(self, items: Sequence[EvidenceVerdict], objects: Sequence[EvidenceVerdict]) -> tuple[RateResult, ...]:
        """Every formula of the pack, over verdicts per item and per (object, item)."""
        counted = {"item": Counter(items), "object_item": Counter(objects)}
        return tuple(_rate(name, one, counted[one.count]) for name, one in self.formulas.items())

    def conclude(self, rates: Sequence[RateResult], major_risks: int) -> tuple[Conclusion, tuple[Text, ...]]:
        """The indicative conclusion and what a reader must know about it.

        While undecided items could still change the answer it stays 待确认: the lowest and the highest
        possible rate have to agree.
        """
        rate = next(one for one in rates if one.name == self.conclusion_by)
        if rate.rate is None or rate.low is None or rate.high is None:
            return "待确认", (Text("尚无已判定的项，不能得出结论。", "Nothing is judged yet: no conclusion."),)
        low, high = self._word(rate.low, major_risks), self._word(rate.high, major_risks)
        notes = self._boundary(rate) + self._capped(rate, major_risks)
        if low == high:
            return low, notes
        bounds = f"{rate.low:.1f}%–{rate.high:.1f}%"
        open_ = Text(
            f"未判定项尚未确认，符合率可能在 {bounds} 之间，结论可能为“{low}”至“{high}”。",
            f"Undecided items leave the rate between {bounds}: from {WORDS[low]} to {WORDS[high]}.",
        )
        return "待确认", (*notes, open_)

    def _word(self, rate: float, major_risks: int) -> Conclusion:
        if rate > self.compliant and not major_risks:
            return "符合"
        return "基本符合" if rate >= self.basic else "不符合"

    def _boundary(self, rate: RateResult) -> tuple[Text, ...]:
        # Exact comparison on the counts, not on a rounded quotient.
        on = [limit for limit in (self.compliant, self.basic) if rate.passed * 100 == limit * rate.counted]
        return tuple(
            Text(
                f"符合率恰为 {limit:g}%：模板未规定边界归属，此处按“基本符合”处理，请人工确认。",
                f"The rate is exactly {limit:g} %: the template leaves this open; read as basically met here.",
            )
            for limit in on
        )

    def _capped(self, rate: RateResult, major_risks: int) -> tuple[Text, ...]:
        if not major_risks or (rate.high or 0) <= self.compliant:
            return ()
        return (
            Text(
                f"存在 {major_risks} 项重大风险隐患触发项（候选），结论不高于“基本符合”。",
                f"{major_risks} candidate triggers of a major risk: the conclusion is not above basically met.",
            ),
        )


def load(extra: Path | None = None, name: str = DEFAULT) -> Scoring:
    """Read a scoring pack by name; one in the city's own folder takes the place of the shipped one.

    Raises:
        InputError: there is no such pack, or its shape is wrong.
    """
    found = content.files("reports", f"scoring/{name}.yml", extra)
    if not found:
        raise InputError(f"no scoring pack '{name}'", place="reports/scoring", remedy="see docs/compliance.md")
    document = content.load(found[-1])
    try:
        scoring = msgspec.convert(_renamed(document.data), Scoring)
    except msgspec.ValidationError as error:
        raise InputError(str(error), place=str(found[-1]), remedy="see docs/compliance.md") from None
    if scoring.conclusion_by not in scoring.formulas:
        raise InputError(f"no formula '{scoring.conclusion_by}'", place=document.place("conclusion_by"))
    if scoring.basic > scoring.compliant:
        raise InputError("basic is above compliant", place=document.place("basic"))
    return scoring


def _renamed(data: object) -> object:
    """``pass`` is a word of Python: formulas say ``pass``, the dataclass ``pass_``."""
    if not isinstance(data, dict) or not isinstance(data.get("formulas"), dict):
        return data
    formulas = {
        name: {("pass_" if key == "pass" else key): value for key, value in one.items()}
        if isinstance(one, dict)
        else one
        for name, one in data["formulas"].items()
    }
    return {**data, "formulas": formulas}


def _rate(name: str, formula: Formula, verdicts: Mapping[EvidenceVerdict, int]) -> RateResult:
    kept = {verdict: count for verdict, count in verdicts.items() if verdict not in formula.leave_out}
    counted, undecided = sum(kept.values()), kept.get(UNDECIDED, 0)
    passed = sum(kept.get(verdict, 0) for verdict in formula.pass_)
    judged = counted - undecided
    if not judged:
        return RateResult(name, formula.title, formula.formula, 0, counted, None, None, None)
    low, high = 100 * passed / counted, 100 * (passed + undecided) / counted
    return RateResult(name, formula.title, formula.formula, passed, counted, low, low, high)
