"""Hold a system against a catalogue with the evidence of a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import orjson

from cityguard import __version__, crypto
from cityguard.clock import iso
from cityguard.compliance import grading
from cityguard.compliance.catalogue import Catalogue, Item
from cityguard.compliance.claims import Can, Claims
from cityguard.compliance.grading import Selected
from cityguard.compliance.scoring import Scoring
from cityguard.compliance.verdicts import EXEMPT, MET, PARTLY, UNDECIDED, UNMET, aggregate, tally
from cityguard.ids import content_id
from cityguard.model import Assessment, Asset, Evidence, EvidenceVerdict, Risk, System, Text, UnitResult

NO_EVIDENCE = Text("无证据，待人工确认", "no evidence, to be confirmed by a person")
EXPIRED = Text("证据已过期，待确认", "evidence has expired, to be confirmed")
FUTURE = Text("证据采集时间晚于评估时间，待确认", "evidence is dated after the assessment, to be confirmed")
DRAFT = Text("自动取证，待人工确认", "from tool evidence, to be confirmed")
SUPPORTED = Text(
    "工具证据支持该项，但不足以单独判定符合，待人工确认",
    "tool evidence supports the item and does not suffice to call it met; to be confirmed by a person",
)
NOTED = Text(
    "所附证据与该项相关，不据此判定，待人工确认", "the evidence attached is related and decides nothing; for a person"
)
UNSEEN = Text("尚有对象没有有效证据，待人工确认", "some objects have no valid evidence, to be confirmed by a person")


def assess(
    system: System,
    evidence: Sequence[Evidence],
    catalogue: Catalogue,
    scoring: Scoring,
    *,
    now: datetime,
    assets: Sequence[Asset] = (),
) -> Assessment:
    """Judge every item of a system's set by the evidence that speaks for it, as far as ``catalogue.claims`` lets it.

    Args:
        evidence: what is known; evidence of other systems is ignored. Pass one piece per check and object
            (the newest): all that is passed counts.
        now: aware UTC; evidence whose ``valid_until`` is before it no longer decides anything.
        assets: the system's assets. Where evidence speaks of single assets, those it does not reach are undecided
            objects of the item; without the list only objects with evidence are known.

    Returns:
        One result per selected item. 符合 only where a deciding check passed on every object; an item with no
        evidence, or with evidence that merely supports it, is 未判定.

    Raises:
        InputError: the system is not graded, or its grade or an extension is not in the catalogue.
    """
    own = sorted((one for one in evidence if one.system == system.id), key=lambda one: one.id)
    speaking = _speaking(own, catalogue)
    chosen = grading.of_system(catalogue, system)
    known = frozenset(asset.id for asset in assets if asset.system == system.id)
    views = [_View(one, speaking.get(one.item.id, []), catalogue.claims, known, now) for one in chosen]
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
        risk_guide=catalogue.high_risk_guide,
    )


def present(evidence: Evidence, now: datetime) -> tuple[EvidenceVerdict, Text]:
    """What a piece of evidence still says at ``now``, and why."""
    if evidence.valid_until < now:
        return UNDECIDED, EXPIRED
    if evidence.collected_at > now:
        return UNDECIDED, FUTURE
    return evidence.verdict, evidence.reason


class _View:
    """One item with the evidence that speaks for it, and what that evidence may say."""

    def __init__(
        self, chosen: Selected, evidence: Sequence[Evidence], claims: Claims, assets: frozenset[str], now: datetime
    ) -> None:
        self.chosen = chosen
        self.evidence = evidence
        self.now = now
        item = chosen.item
        can = {one.id: claims.of(one.check, item.id) for one in evidence}
        said = {one.id: _said(present(one, now)[0], can[one.id]) for one in evidence}
        self.supports = tuple(one for one in evidence if said[one.id] == MET)
        self.against = tuple(one for one in evidence if said[one.id] in (PARTLY, UNMET))
        self.open = tuple(one for one in evidence if said[one.id] == UNDECIDED)
        deciders = claims.deciding(item.id) if item.decidable else frozenset()
        decided = {one.object for one in self.supports if one.check in deciders}
        # Several checks that decide an item do so together: each has to have passed.
        whole = bool(deciders) and deciders <= {one.check for one in self.supports}
        found: dict[str, list[EvidenceVerdict]] = {}
        for one in evidence:
            verdict = said[one.id]
            found.setdefault(one.object, []).extend([verdict] if verdict is not None else [])
        for unseen in assets if assets & found.keys() else ():
            found.setdefault(unseen, [])
        seen = {name: aggregate(verdicts) for name, verdicts in found.items()}
        # An item nothing speaks for still counts once, as undecided.
        self.objects = {
            name: UNDECIDED if verdict == MET and not (whole and name in decided) else verdict
            for name, verdict in seen.items()
        } or {"": UNDECIDED}
        self.unseen = bool(self.supports) and UNDECIDED in seen.values()
        # A pass that only supports still tells 部分符合 from 不符合; it never makes 符合.
        together = aggregate(seen.values())
        self.verdict = UNDECIDED if together == MET and UNDECIDED in self.objects.values() else together

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
            supports=tuple(one.id for one in self.supports),
            against=tuple(one.id for one in self.against),
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
        return [one for one in self.against if present(one, self.now)[0] == UNMET]

    def _reason(self, item: Item) -> Text:
        if not self.evidence:
            return NO_EVIDENCE
        if self.verdict != UNDECIDED:
            return Text("", "") if item.auto == "full" else DRAFT
        if self.open:
            return present(self.open[0], self.now)[1]
        if self.unseen:
            return UNSEEN
        return SUPPORTED if self.supports else NOTED


def _said(verdict: EvidenceVerdict, can: Can) -> EvidenceVerdict | None:
    """What a piece of evidence says about an item; None where it is only attached.

    不适用 takes an item out of the rate, so no check that merely supports may say it.
    """
    if can == "note" or (can == "refute" and verdict in (MET, EXEMPT)):
        return None
    return UNDECIDED if verdict == EXEMPT and can != "decide" else verdict


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
        catalogue.claims.sha256,
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
    if catalogue.claims.sha256:
        sealed["claims"] = f"sha256:{catalogue.claims.sha256}"
    return dict(sorted(sealed.items()))


def _hashes(data: bytes) -> str:
    found = crypto.digest(data)
    return f"sha256:{found.sha256} sm3:{found.sm3}"
