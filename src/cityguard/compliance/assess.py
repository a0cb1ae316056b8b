"""Hold a system against a catalogue with the evidence of a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import orjson

from cityguard import __version__, crypto
from cityguard.clock import iso
from cityguard.compliance import grading
from cityguard.compliance.catalogue import Catalogue, Item
from cityguard.compliance.grading import Selected
from cityguard.compliance.scoring import Scoring
from cityguard.compliance.verdicts import UNDECIDED, UNMET, aggregate, tally
from cityguard.ids import content_id
from cityguard.model import Assessment, Evidence, EvidenceVerdict, Risk, System, Text, UnitResult

NO_EVIDENCE = Text("无证据，待人工确认", "no evidence, to be confirmed by a person")
EXPIRED = Text("证据已过期，待确认", "evidence has expired, to be confirmed")
FUTURE = Text("证据采集时间晚于评估时间，待确认", "evidence is dated after the assessment, to be confirmed")
DRAFT = Text("自动取证，待人工确认", "from tool evidence, to be confirmed")


def assess(
    system: System, evidence: Sequence[Evidence], catalogue: Catalogue, scoring: Scoring, *, now: datetime
) -> Assessment:
    """Judge every item of a system's set by the evidence that speaks for it.

    Args:
        evidence: what is known; evidence of other systems is ignored. Pass one piece per check and object
            (the newest): all that is passed counts.
        now: aware UTC; evidence whose ``valid_until`` is before it no longer decides anything.

    Returns:
        One result per selected item. An item without evidence is 未判定, never 符合.

    Raises:
        InputError: the system is not graded, or its grade or an extension is not in the catalogue.
    """
    own = sorted((one for one in evidence if one.system == system.id), key=lambda one: one.id)
    speaking = _speaking(own, catalogue)
    chosen = grading.of_system(catalogue, system)
    views = [_View(one, speaking.get(one.item.id, []), now) for one in chosen]
    results = tuple(view.result(catalogue) for view in views)
    risks = tuple(risk for view in views for risk in view.risks(catalogue))
    rates = scoring.rates(
        [one.verdict for one in results], [verdict for view in views for verdict in view.objects.values()]
    )
    triggers = {risk.trigger for risk in risks if risk.trigger}
    conclusion, notes = scoring.conclude(rates, len(triggers))
    used = tuple(one.id for one in own)
    return Assessment(
        id=_id(system, catalogue, scoring, now, own),
        system=system.id,
        system_name=system.name,
        department=system.department,
        s_grade=system.s_grade,
        a_grade=system.a_grade,
        catalogue=catalogue.name,
        scoring=scoring.name,
        made_at=now,
        results=results,
        counts=tally(one.verdict for one in results),
        rate={one.name: one.rate for one in rates},
        conclusion=conclusion,
        evidence=used,
        manifest=_manifest(own, results, catalogue),
        rates=rates,
        risks=risks,
        notes=notes,
        expired=tuple(one.id for one in own if one.valid_until < now),
        catalogue_title=catalogue.title,
        tool_version=__version__,
    )


def present(evidence: Evidence, now: datetime) -> tuple[EvidenceVerdict, Text]:
    """What a piece of evidence still says at ``now``, and why."""
    if evidence.valid_until < now:
        return UNDECIDED, EXPIRED
    if evidence.collected_at > now:
        return UNDECIDED, FUTURE
    return evidence.verdict, evidence.reason


class _View:
    """One item with the evidence that speaks for it."""

    def __init__(self, chosen: Selected, evidence: Sequence[Evidence], now: datetime) -> None:
        self.chosen = chosen
        self.evidence = evidence
        self.now = now
        verdicts: dict[str, list[EvidenceVerdict]] = {}
        for one in evidence:
            verdicts.setdefault(one.object, []).append(present(one, now)[0])
        # An item nothing speaks for still counts once, as undecided.
        self.objects = {name: aggregate(found) for name, found in verdicts.items()} or {"": UNDECIDED}
        self.verdict = aggregate(self.objects.values())

    def result(self, catalogue: Catalogue) -> UnitResult:
        item = self.chosen.item
        point, layer = catalogue.point_of(item), catalogue.class_of(item)
        reason = self._reason(item)
        failed = self._failed()
        return UnitResult(
            unit=self.chosen.unit,
            clause=self.chosen.clause,
            control_point=point.zh,
            class_name=layer.zh,
            extension=item.point[0],
            text=item.zh,
            verdict=self.verdict,
            evidence=tuple(one.id for one in self.evidence),
            reason=reason.zh,
            high_risk=tuple(case for case in self._cases() if failed),
            major_trigger=next((catalogue.case(case).trigger for case in self._cases()), None) if failed else None,
            reason_en=reason.en,
            text_en=item.en,
            control_point_en=point.en,
            class_en=layer.en,
            group=layer.group,
            grade=self.chosen.grade,
            sag=self.chosen.sag,
            methods=item.methods,
            auto=item.auto,
            optional=item.optional,
        )

    def risks(self, catalogue: Catalogue) -> Iterable[Risk]:
        """Cases of the high-risk guide that evidence of 不符合 points to, at the grade the item is taken at."""
        failed = self._failed()
        if not failed:
            return
        for case in (catalogue.case(name) for name in self._cases()):
            yield Risk(
                case=case.id,
                name=Text(case.zh, case.en),
                unit=self.chosen.unit,
                clause=self.chosen.clause,
                trigger=case.trigger,
                condition=case.condition,
                mitigable=case.mitigable,
                objects=tuple(sorted({one.object_name or one.object for one in failed})),
                evidence=tuple(one.id for one in failed),
            )

    def _cases(self) -> tuple[str, ...]:
        return tuple(case.id for case in self.chosen.item.cases if self.chosen.grade in case.grades)

    def _failed(self) -> list[Evidence]:
        return [one for one in self.evidence if present(one, self.now)[0] == UNMET]

    def _reason(self, item: Item) -> Text:
        if not self.evidence:
            return NO_EVIDENCE
        if self.verdict == UNDECIDED:
            return next(
                (why for verdict, why in (present(one, self.now) for one in self.evidence) if verdict == UNDECIDED),
                NO_EVIDENCE,
            )
        return Text("", "") if item.auto == "full" else DRAFT


def _speaking(evidence: Sequence[Evidence], catalogue: Catalogue) -> dict[str, list[Evidence]]:
    """Evidence by requirement. A unit code of any grade names its requirement; unknown codes name none."""
    found: dict[str, list[Evidence]] = {}
    for one in evidence:
        items = {item.id for unit in one.controls if (item := catalogue.item_of(unit)) is not None}
        for item_id in items:
            found.setdefault(item_id, []).append(one)
    return found


def _id(system: System, catalogue: Catalogue, scoring: Scoring, now: datetime, evidence: Sequence[Evidence]) -> str:
    parts = [
        system.id,
        grading.label(system.s_grade, system.a_grade),
        *system.extensions,
        catalogue.name,
        catalogue.sha256,
        scoring.name,
        iso(now),
        *(one.id for one in evidence),
    ]
    return content_id("cg-assessment", orjson.dumps(parts))


def _manifest(evidence: Sequence[Evidence], results: Sequence[UnitResult], catalogue: Catalogue) -> dict[str, str]:
    """Hashes that seal the assessment: each piece of evidence, the results, the catalogue."""
    sealed = {f"evidence/{one.id}": _hashes(orjson.dumps(one, option=orjson.OPT_SORT_KEYS)) for one in evidence}
    sealed["results"] = _hashes(orjson.dumps(list(results), option=orjson.OPT_SORT_KEYS))
    sealed["catalogue"] = f"sha256:{catalogue.sha256}"
    return dict(sorted(sealed.items()))


def _hashes(data: bytes) -> str:
    found = crypto.digest(data)
    return f"sha256:{found.sha256} sm3:{found.sm3}"
