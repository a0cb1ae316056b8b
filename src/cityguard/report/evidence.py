"""Evidence as report rows: numbered, with its hashes, so that every line of a report can be walked back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cityguard.checks.base import discover
from cityguard.compliance.assess import present
from cityguard.compliance.verdicts import tally
from cityguard.model import Evidence, EvidenceVerdict, Text

DRILL_CHECK = "backup_drill"
_OTHER = {DRILL_CHECK: Text("备份恢复演练", "Backup restore drill")}
MAX_RECORD = 400  # characters of a raw record on paper; the whole record stays in the store and the JSON


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One piece of evidence; ``ref`` is its number in this report."""

    ref: str
    id: str
    check: str
    check_name: Text
    object: str
    object_name: str
    controls: tuple[str, ...]
    verdict: EvidenceVerdict  # what it says now: expired evidence is 未判定
    reason: Text
    observed_at: datetime
    collected_at: datetime
    valid_until: datetime
    method: str
    tool_version: str
    record: str
    record_short: str
    sha256: str
    sm3: str
    attachments: str  # names with SHA-256
    about: Text  # object, check and tool version in one cell
    times: Text  # observed, collected, valid until in one cell
    hashes: str  # SHA-256 and SM3 in one cell


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object of the assessment, with how much evidence there is and what it says."""

    number: int
    object: str
    object_name: str
    checks: tuple[Text, ...]
    pieces: int
    met: int
    partly: int
    unmet: int
    exempt: int
    undecided: int


def numbered(
    evidence: Sequence[Evidence], now: datetime, zone: ZoneInfo, sealed: Mapping[str, str] | None = None
) -> list[EvidenceRow]:
    """Rows E001, E002 … by object, check and id.

    Args:
        sealed: ``Assessment.manifest``; gives hashes where a piece of evidence brought none of its own.
    """
    ordered = sorted(evidence, key=lambda one: (one.object_name, one.check, one.id))
    return [_row(f"E{number:03d}", one, now, zone, sealed or {}) for number, one in enumerate(ordered, 1)]


def title(check: str) -> Text:
    """What a check is called; its id where it is not one of ours."""
    found = discover().get(check)
    return found.info.title if found else _OTHER.get(check, Text(check, check))


def names(rows: Sequence[EvidenceRow]) -> tuple[Text, ...]:
    """The checks behind some rows, each once, by id."""
    return tuple(named for _, named in sorted({row.check: row.check_name for row in rows}.items()))


def objects(rows: Sequence[EvidenceRow]) -> tuple[ObjectRow, ...]:
    """The objects evidence was taken of."""
    found: dict[str, list[EvidenceRow]] = {}
    for row in rows:
        found.setdefault(row.object, []).append(row)
    return tuple(
        ObjectRow(
            number,
            name,
            members[0].object_name,
            names(members),
            len(members),
            *tally(row.verdict for row in members).values(),
        )
        for number, (name, members) in enumerate(sorted(found.items()), 1)
    )


def _row(ref: str, one: Evidence, now: datetime, zone: ZoneInfo, sealed: Mapping[str, str]) -> EvidenceRow:
    verdict, reason = present(one, now)
    sha256, sm3 = one.sha256, one.sm3
    if not sha256 and (seal := sealed.get(f"evidence/{one.id}")):
        sha256, sm3 = (part.partition(":")[2] for part in seal.split(" "))
    observed, collected, until = (
        moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
        for moment in (one.observed_at, one.collected_at, one.valid_until)
    )
    name = one.object_name or one.object
    check = title(one.check)
    return EvidenceRow(
        ref=ref,
        id=one.id,
        check=one.check,
        check_name=check,
        object=one.object,
        object_name=name,
        controls=one.controls,
        verdict=verdict,
        reason=reason,
        observed_at=one.observed_at,
        collected_at=one.collected_at,
        valid_until=one.valid_until,
        method=one.method,
        tool_version=one.tool_version,
        record=one.record,
        record_short=one.record if len(one.record) <= MAX_RECORD else f"{one.record[:MAX_RECORD]}…",
        sha256=sha256,
        sm3=sm3,
        attachments="\n".join(f"{item.name} {item.sha256}" for item in one.attachments),
        about=Text(
            f"{name}\n{check.zh}\n{one.check} {one.tool_version}", f"{name}\n{check.en}\n{one.check} {one.tool_version}"
        ),
        times=Text(
            f"观察 {observed}\n采集 {collected}\n有效至 {until}",
            f"seen {observed}\ntaken {collected}\nvalid to {until}",
        ),
        hashes=f"id {one.id}\nSHA-256 {sha256}\nSM3 {sm3}",
    )
