"""From the learned baseline to a proposal: lines that what was seen would need, beside those in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import polars as pl

from cityguard.clock import iso
from cityguard.otpolicy import addresses
from cityguard.otpolicy.acts import CHANGES
from cityguard.otpolicy.baseline import Baseline, as_acts
from cityguard.otpolicy.judge import Judge
from cityguard.otpolicy.policy import MAX_LINES, MAX_WEIGHT, Line, Policy, line_id, weight
from cityguard.register import windows
from cityguard.register.register import Register

ROLL_UP = 8  # stations of a segment that are treated alike share one line
WINDOW_DAYS = 7.0  # learned for less, hours say little
HELD = frozenset(("alerted", "unregistered", "not_platform"))
"""Flags of a proposed line that nobody accepts in passing: it has to be named."""
_WORK = range(8, 20)


def propose(
    baseline: Baseline, policy: Policy, register: Register, *, alerted: Collection[str], by: str, now: datetime
) -> Policy:
    """Lines that are new, and lines in force that would have to be wider.

    Args:
        baseline: what was learned.
        policy: what is in force; its lines keep their ids, its rejected lines are not proposed again.
        alerted: addresses that alerts of the learned time name as source.
        by, now: who asked for it and when.

    Returns:
        A policy of proposed lines only, each with the flags a person should see; ``about`` says what it is from.
    """
    refused = {one.id for one in policy.rejected}
    in_force = {one.id: one for one in policy.lines}
    today = now.astimezone(register.zone).date()
    valid = [one for one in policy.lines if one.expires is None or one.expires >= today]
    needed = _uncovered(baseline, Policy(tuple(valid)), register)
    wanted = [
        one for one in _rolled(_lines(needed, narrow=baseline.days >= WINDOW_DAYS), in_force) if one.id not in refused
    ]
    made: list[Line] = []
    for one in wanted:
        before = in_force.get(one.id)
        fresh = one if before is None else _wider(before, one, today)
        if fresh is not None:
            told = dict.fromkeys(_flags(fresh, register, alerted))
            made.append(replace(fresh, flags=tuple(told)))
    made.sort(key=lambda one: (not _risky(one), one.scope, one.master, one.klass, one.codes))
    about = {
        "by": by,
        "at": iso(now),
        "from": iso(baseline.start),
        "to": iso(baseline.end),
        "events": str(baseline.events),
        "seen": str(baseline.deeds.height),
        "refused": str(len(refused)),
        "left_out": str(len(made) - len(chosen := _bounded(made)) + baseline.lost),
    }
    return Policy(lines=chosen, about=about)


def _bounded(made: Sequence[Line]) -> tuple[Line, ...]:
    """As many lines as a file holds, from the first on."""
    room, chosen = MAX_WEIGHT, list[Line]()
    for line in made[:MAX_LINES]:
        room -= weight(line)
        if room < 0:
            break
        chosen.append(line)
    return tuple(chosen)


def _uncovered(baseline: Baseline, policy: Policy, register: Register) -> Baseline:
    """The baseline without deeds that lines in force allow, under whatever name and id."""
    if not policy.lines or baseline.deeds.is_empty():
        return baseline
    spots = as_acts(baseline.deeds)
    told = Judge(policy, register.zone).judge(spots)
    short = spots.select("n").filter(~told["allowed"])["n"].unique()
    deeds = baseline.deeds.with_row_index("n").filter(pl.col("n").is_in(short.implode())).drop("n")
    return replace(baseline, deeds=deeds)


def _risky(line: Line) -> bool:
    return bool(HELD & set(line.flags))


def _lines(baseline: Baseline, *, narrow: bool) -> Iterable[tuple[Line, Mapping[str, Any]]]:
    """A line for everything seen, with the row it is from."""
    for row in baseline.deeds.iter_rows(named=True):
        scope, codes = row["station"], (row["code"],) if row["code"] else ()
        hours = _hours(row) if narrow and row["klass"] in CHANGES else ()
        line = Line(
            id=line_id(scope, row["master"], row["protocol"], row["klass"], row["code"]),
            station=scope,
            master=row["master"],
            protocol=row["protocol"],
            klass=row["klass"],
            codes=codes,
            addresses=tuple(row["addresses"]),
            windows=hours,
            name=row["name"] or "",
            count=row["count"],
            first=row["first"],
            last=row["last"],
            period_s=row["period_s"],
        )
        yield line, row


def _hours(row: Mapping[str, Any]) -> tuple[str, ...]:
    """From the first to the last hour seen, on workdays and on the others."""
    made = []
    for name, bits in (("workday", row["workday_hours"]), ("restday", row["restday_hours"])):
        seen = [hour for hour in range(24) if bits >> hour & 1]
        if seen:
            made.append(f"{name} {seen[0]:02d}:00-{seen[-1] + 1:02d}:00")
    return tuple(made)


def _rolled(found: Iterable[tuple[Line, Mapping[str, Any]]], in_force: Mapping[str, Line]) -> list[Line]:
    """Lines of many stations of one segment that allow the same to the same master become the segment's."""
    groups: dict[tuple[Any, ...], list[tuple[Line, Mapping[str, Any]]]] = defaultdict(list)
    for line, row in found:
        groups[row["segment"], line.master, line.protocol, line.klass, line.codes].append((line, row))
    made: list[Line] = []
    for (segment, *_), members in groups.items():
        alone = segment is None or len(members) < ROLL_UP
        made += _alone(members) if alone else _together(segment, members, in_force)
    return made


def _alone(members: Sequence[tuple[Line, Mapping[str, Any]]]) -> list[Line]:
    return [replace(line, flags=_of_row(row)) for line, row in members]


def _together(
    segment: str, members: Sequence[tuple[Line, Mapping[str, Any]]], in_force: Mapping[str, Line]
) -> list[Line]:
    lines = [line for line, _ in members]
    first = lines[0]
    code = first.codes[0] if first.codes else ""
    key = line_id(f"segment:{segment}", first.master, first.protocol, first.klass, code)
    own = [pair for pair in members if pair[0].id in in_force]  # decided for one by one: it stays so
    rest = [pair for pair in members if pair[0].id not in in_force]
    if len(rest) < ROLL_UP and key not in in_force:
        return _alone(members)
    lines = [line for line, _ in rest]
    spots = lines[0].addresses
    for line in lines[1:]:
        spots = addresses.joined(spots, line.addresses)
    hours = (
        () if any(not line.windows for line in lines) else tuple(sorted({w for line in lines for w in line.windows}))
    )
    whole = replace(
        first,
        id=key,
        station="",
        segment=segment,
        addresses=spots,
        windows=hours,
        count=sum(line.count for line in lines),
        first=min((line.first for line in lines if line.first), default=None),
        last=max((line.last for line in lines if line.last), default=None),
        period_s=None,
        flags=tuple(dict.fromkeys(flag for _, row in rest for flag in _of_row(row))),
    )
    return [*_alone(own), whole]


def _of_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What the row itself says for or against the line."""
    found = ["not_platform"] if row["platform"] is False else []
    early = [hour for hour in range(24) if row["workday_hours"] >> hour & 1 and hour not in _WORK]
    if row["klass"] in CHANGES and (early or row["restday_hours"]):
        found.append("off_hours")
    return tuple(found)


def _flags(line: Line, register: Register, alerted: Collection[str]) -> Iterable[str]:
    if line.master in alerted:
        yield "alerted"
    if register.assets and register.find_asset(line.master) is None and "not_platform" not in line.flags:
        yield "unregistered"
    if line.klass in CHANGES:
        yield "changes"
    if line.count <= 2:
        yield "rare"
    yield from line.flags


def _wider(before: Line, seen: Line, today: date) -> Line | None:
    """The line in force as it would have to be; None when it holds what was seen."""
    spots = before.addresses
    if not addresses.covers(spots, seen.addresses):
        spots = addresses.joined(spots, seen.addresses)
    hours = before.windows if _during(before.windows, seen.windows) else (*before.windows, *seen.windows)
    is_over = before.expires is not None and before.expires < today
    if (spots, hours) == (before.addresses, before.windows) and not is_over:
        return None
    told = ("renew",) if is_over else ("wider",)
    return replace(seen, addresses=spots, windows=tuple(dict.fromkeys(hours)), flags=(*told, *seen.flags))


def _during(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether learned windows are inside; without learned hours nothing speaks against what is in force."""
    if not wide or not narrow:
        return True
    outer = [windows.parse(text) for text in wide]
    inner = [windows.parse(text) for text in narrow]
    return all(any(o.days & i.days == i.days and o.begin <= i.begin and i.end <= o.end for o in outer) for i in inner)
