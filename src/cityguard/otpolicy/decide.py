"""A person's decision on a proposal: lines accepted or rejected, places enforced or set back to learning."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

from cityguard.errors import InputError
from cityguard.otpolicy.policy import (
    CONTROL,
    MAX_LINES,
    MAX_TEXT,
    Line,
    Policy,
    Rejected,
    Scope,
    faults,
    fits,
    signed,
)
from cityguard.otpolicy.propose import HELD

_BREAKS = re.compile(r"[\t\r\n\x0b\x0c\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides what. Lines of ``places`` (stations, ``segment:ID``; ``*`` = all) are taken unless they are held."""

    by: str
    owner: str
    reason: str
    at: str
    expires: date | None = None
    places: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()  # lines in force that end
    mode: str = "enforced"  # of ``places``


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of it."""

    policy: Policy
    proposal: Policy
    accepted: tuple[Line, ...]
    rejected: tuple[Line, ...]
    removed: tuple[Line, ...]
    held: tuple[Line, ...]  # of the places, but left for somebody to name


def decide(proposal: Policy, policy: Policy, told: Decision, *, segments: dict[str, str]) -> Decided:
    """Apply a decision.

    Args:
        segments: segment of each proposed station, so that a segment's decision takes its stations' lines.

    Raises:
        InputError: no owner or reason, a text that a policy's file cannot hold, an unknown id, an expiry that has
            passed, or nothing to decide.
    """
    told = plain(told)
    _checked(proposal, policy, told)
    refused = [one for one in proposal.lines if one.id in told.reject]
    here = [one for one in proposal.lines if _is_in(one, told.places, segments) and one.id not in told.reject]
    if told.mode == "learning":
        here = []
    held = [one for one in here if HELD & set(one.flags) and one.id not in told.accept]
    taken = [one for one in proposal.lines if one.id in told.accept or (one in here and one not in held)]
    lines = signed(taken, owner=told.owner, reason=told.reason, expires=told.expires, by=told.by, at=told.at)
    gone = {one.id for one in lines} | set(told.remove)
    kept = [one for one in policy.lines if one.id not in gone]
    put_aside = [Rejected(one.id, told.by, told.reason, told.at) for one in refused]
    names = {one.id for one in put_aside}
    for line in lines:
        for name, message, remedy in faults(line):
            raise InputError(f"line {line.id}: {message}", place=name, remedy=remedy)
    fresh = Policy(
        lines=tuple(sorted((*kept, *lines), key=lambda one: (one.scope, one.master, one.klass, one.codes, one.id))),
        scopes=_scopes(policy.scopes, proposal, told, segments),
        rejected=(*(one for one in policy.rejected if one.id not in names | gone), *put_aside),
    )
    if not fits(fresh):
        remedy = "remove what is not needed; write lines for segments instead of stations"
        raise InputError(f"more than {MAX_LINES} lines, or too much in them", remedy=remedy)
    decided = {one.id for one in (*lines, *refused)}
    left = replace(proposal, lines=tuple(one for one in proposal.lines if one.id not in decided))
    removed = tuple(one for one in policy.lines if one.id in told.remove)
    return Decided(fresh, left, lines, tuple(refused), removed, tuple(held))


def plain(told: Decision) -> Decision:
    """A decision with each text on one line, as the file of a policy holds it.

    Raises:
        InputError: a text is longer than the file may hold, or has control characters; it names which.
    """
    texts = {name: _BREAKS.sub(" ", getattr(told, name)).strip() for name in ("owner", "reason", "by")}
    for name, text in (*texts.items(), *(("place", place) for place in told.places)):
        if len(text) > MAX_TEXT:
            remedy = f"at most {MAX_TEXT} characters"
            raise InputError(f"{name}: {len(text)} characters are too many", remedy=remedy)
        if (found := CONTROL.search(text)) is not None:
            remedy = "write it as plain text"
            raise InputError(f"{name}: a control character (U+{ord(found[0]):04X})", remedy=remedy)
    return replace(told, owner=texts["owner"], reason=texts["reason"], by=texts["by"])


def _checked(proposal: Policy, policy: Policy, told: Decision) -> None:
    if not told.reason.strip():
        raise InputError("why?", remedy="say a reason: others will ask")
    if not told.owner.strip() and (told.accept or (told.places and told.mode == "enforced")):
        raise InputError("who answers for it?", remedy="name an owner")
    if told.mode not in ("enforced", "learning"):
        raise InputError(f"mode '{told.mode[:40]}'", remedy="enforced or learning")
    if told.expires is not None and told.expires.isoformat() < told.at[:10]:
        raise InputError(f"{told.expires} has passed", remedy="choose a day to come")
    if not (told.places or told.accept or told.reject or told.remove):
        raise InputError("what is decided?", remedy="name a station, a segment, or lines to accept or reject")
    known, in_force = {one.id for one in proposal.lines}, {one.id for one in policy.lines}
    for name, ids, there in (
        ("proposed", (*told.accept, *told.reject), known),
        ("in force", told.remove, in_force),
    ):
        if strange := [one for one in ids if one not in there]:
            raise InputError(f"no line '{strange[0][:64]}' is {name}", remedy="see cityguard ot diff")
    if both := set(told.accept) & set(told.reject):
        raise InputError(f"'{min(both)}' is both accepted and rejected")


def _is_in(line: Line, places: Collection[str], segments: dict[str, str]) -> bool:
    own = f"segment:{segments.get(line.station, '')}"
    return "*" in places or line.scope in places or own in places


def _scopes(scopes: Sequence[Scope], proposal: Policy, told: Decision, segments: dict[str, str]) -> tuple[Scope, ...]:
    places = dict.fromkeys(one for one in told.places if one != "*")
    if "*" in told.places:
        places |= dict.fromkeys(_widest(one, segments) for one in proposal.lines)
        places |= dict.fromkeys(one.place for one in scopes)
    mode = "learning" if told.mode == "learning" else "enforced"
    made = [Scope(place, mode, told.owner, told.reason, told.by, told.at) for place in places]  # type: ignore[arg-type]
    kept = [one for one in scopes if one.place not in places]
    return tuple(sorted((*kept, *made), key=lambda one: one.place))


def _widest(line: Line, segments: dict[str, str]) -> str:
    """The segment a line's station stands in, so that stations to come are held to the policy too."""
    segment = segments.get(line.station) if line.station else line.segment
    return f"segment:{segment}" if segment else line.scope
