"""All that can be asked and decided about OT policy, for the command line, the API and the pages alike."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl

from cityguard import audit
from cityguard.audit import Actor
from cityguard.clock import Clock, iso
from cityguard.config import OtPolicy
from cityguard.errors import InputError
from cityguard.model import Alert, EventBatch, Query, Term
from cityguard.otpolicy import baseline, decide, matrix, policy, propose
from cityguard.otpolicy import diff as differences
from cityguard.otpolicy import review as reviewing
from cityguard.otpolicy.baseline import Baseline
from cityguard.otpolicy.decide import Decided, Decision
from cityguard.otpolicy.diff import Change
from cityguard.otpolicy.matrix import Matrix
from cityguard.otpolicy.policy import Policy
from cityguard.otpolicy.review import Review
from cityguard.otpolicy.silence import Heard, moment, roll_call
from cityguard.otpolicy.words import Names
from cityguard.register.register import Register
from cityguard.store import locks
from cityguard.store.base import Store

MAX_ALERTS = 10_000
MAX_COUNTS = 50_000
MAX_PROTOCOLS = 100
BUCKETS = 24
BY = ("source.ip", "destination.ip", "ot.unit_id", "ot.function.class", "ot.is_request")
HEARD = ((timedelta(days=7), 3_600), (timedelta(hours=3), 60))
_HEAD = """工控策略：谁可以对哪个站点做什么；由 cityguard ot enforce 写入，每行有签署人与到期日。只告警，不阻断。
Who may do what to which station; written by `cityguard ot enforce`, see docs/otpolicy.md. Never blocks."""
_PROPOSED = """拟议的工控策略，尚未生效；用 cityguard ot diff 查看，用 cityguard ot enforce 签署。
Proposed, not in force: read it with `cityguard ot diff`, sign it with `cityguard ot enforce`."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a person adds to a decision."""

    owner: str
    reason: str
    expires: date | None = None


class Desk:
    """Policy and proposal as their files stand now, and the acts upon them; every act is audited before it counts."""

    def __init__(
        self,
        store: Callable[[], Store],
        register: Callable[[], Register],
        folder: Path,
        home: Path,
        settings: OtPolicy,
        clock: Clock,
    ) -> None:
        self._store, self._register, self.settings, self.clock = store, register, settings, clock
        self.path, self.proposal_path = folder / policy.FILE, home / policy.PROPOSAL
        self._read: dict[Path, tuple[tuple[int, ...] | None, Policy]] = {}

    @property
    def policy(self) -> Policy:
        """What is in force; the same object as long as the file is the same.

        Raises:
            InputError, ContentErrors: the file has faults; nothing of it is used.
        """
        return self._of(self.path)

    @property
    def proposal(self) -> Policy:
        """What is proposed; raises as ``policy`` does."""
        return self._of(self.proposal_path)

    def _of(self, path: Path) -> Policy:
        try:
            found = path.stat()
            state = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            state = None
        known = self._read.get(path)
        if known is None or known[0] != state:
            known = self._read[path] = (state, policy.read(path))
        return known[1]

    @property
    def names(self) -> Names:
        """What places are called."""
        return Names(self._register())

    # -- learning and proposing -------------------------------------------------

    def learn(self, start: datetime, end: datetime, who: Actor) -> Baseline:
        """Learn from the stored messages of a time range and keep the result.

        Raises:
            InputError: nothing was received in it, or it ends before it begins.
        """
        _ordered(start, end)
        self._note(who, "ot.learn", f"{iso(start)}/{iso(end)}")
        found = self.look(start, end)
        if found.deeds.is_empty():
            raise InputError("no OT message was received in this time", remedy="choose another range")
        self._store().records.put_value(baseline.STATE, baseline.pack(found))
        return found

    def look(self, start: datetime, end: datetime) -> Baseline:
        """The same without keeping it."""
        return baseline.learn(self._store().events, start, end, self._register().zone)

    @property
    def baseline(self) -> Baseline | None:
        """What was learned last; None before."""
        state = self._store().records.get_value(baseline.STATE)
        return None if state is None else baseline.unpack(state)

    def propose(self, who: Actor) -> Policy:
        """A proposal from what was learned, kept until the next.

        Raises:
            InputError: nothing was learned yet.
        """
        learned = self.baseline
        if learned is None:
            raise InputError("nothing was learned yet", remedy="cityguard ot learn")
        self._note(who, "ot.propose", f"{iso(learned.start)}/{iso(learned.end)}")
        made = propose.propose(
            learned, self.policy, self._register(), alerted=self._alerted(learned), by=who.name, now=self.clock()
        )
        policy.put(self.proposal_path, policy.dump(made, _PROPOSED))
        return self.proposal

    def _alerted(self, learned: Baseline) -> set[str]:
        """Addresses that alerts of the learned time name as their source."""
        asked = Query(where=Term("level", "gte", "medium"), start=learned.start, end=learned.end, limit=MAX_ALERTS)
        found = self._store().alerts.find(asked)
        return {one.entities["source.ip"] for one in found if one.verdict != "false" and "source.ip" in one.entities}

    def diff(self) -> list[Change]:
        """The proposal against what is in force."""
        return differences.diff(self.proposal, self.policy, self.names)

    # -- deciding -----------------------------------------------------------------

    def decide(
        self,
        who: Actor,
        signed: Signature,
        *,
        places: tuple[str, ...] = (),
        accept: tuple[str, ...] = (),
        reject: tuple[str, ...] = (),
        remove: tuple[str, ...] = (),
        mode: str = "enforced",
    ) -> Decided:
        """A person's decision, written to the audit log and then to the policy.

        Raises:
            InputError: what ``decide.decide`` refuses, or a place nobody knows; nothing is written then.
        """
        told = Decision(
            who.name, signed.owner, signed.reason, iso(self.clock()), signed.expires,
            places, accept, reject, remove, mode,
        )  # fmt: skip
        told = decide.plain(told)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(self.path.with_suffix(".lock")):
            self._known(places)
            done = decide.decide(self.proposal, self.policy, told, segments=self.segments())
            files = {
                self.path: policy.draft(self.path, policy.dump(done.policy, _HEAD)),
                self.proposal_path: policy.draft(self.proposal_path, policy.dump(done.proposal, _PROPOSED)),
            }
            self._audit(who, told, done)
            for path, part in files.items():
                policy.settle(part, path)
        return done

    def _known(self, places: Iterable[str]) -> None:
        """Refuse places that the register, what was learned and the policy have never heard of."""
        book, learned = self._register(), self.baseline
        seen = {} if learned is None else self.segments()
        segments = {f"segment:{one}" for one in (*(s.id for s in book.segments), *seen.values())}
        stations = {*(one.id for one in book.stations), *(one.id for one in book.assets)}
        stations |= set() if learned is None else set(learned.deeds["station"].drop_nulls())
        mine = (self.policy, self.proposal)
        named = {one.place for each in mine for one in each.scopes} | {one.scope for each in mine for one in each.lines}
        for place in places:
            head = place.rpartition("/")[0] or place
            if place in {"*", *segments, *stations, *named} or head in stations or book.find_asset(head) is not None:
                continue
            is_segment = place.startswith("segment:")
            near = difflib.get_close_matches(place, sorted(segments if is_segment else stations | named), 3)
            told = " / ".join(one.removeprefix("segment:") for one in near)
            remedy = f"did you mean {told}?" if near else "see cityguard ot policy, ot learn and ot stations list"
            kind = "segment" if is_segment else "station"
            raise InputError(f"no {kind} '{place.removeprefix('segment:')[:64]}' is known", remedy=remedy)

    def segments(self) -> dict[str, str]:
        """Segment of each station that was learned."""
        learned = self.baseline
        if learned is None:
            return {}
        return dict(learned.deeds.select("station", "segment").drop_nulls().unique(maintain_order=True).iter_rows())

    def _audit(self, who: Actor, told: Decision, done: Decided) -> None:
        why = f"owner {told.owner or '—'}; until {told.expires or '—'}; {told.reason}"
        for place in told.places:
            self._note(who, f"ot.{told.mode}", place, why)
        for action, lines in (("accept", done.accepted), ("reject", done.rejected), ("remove", done.removed)):
            for one in lines:
                spots, hours = " ".join(one.addresses) or "*", ", ".join(one.windows) or "*"
                deed = f"{one.scope} {one.master} {one.protocol} {one.klass} {','.join(one.codes) or '*'}"
                self._note(who, f"ot.{action}", one.id, f"{deed} [{spots}] {hours}; {why}"[:1_000])

    def _note(self, who: Actor, action: str, target: str, detail: str = "") -> None:
        audit.note(self._store().records, self.clock, who, action, target, detail)

    # -- looking back ---------------------------------------------------------------

    def violations(self, start: datetime, end: datetime, limit: int = reviewing.MAX_ROWS) -> list[Alert]:
        """Alerts about the policy and about silence, newest first."""
        where = Term("source", "in", ("ot_policy", "silence"))
        return self._store().alerts.find(Query(where=where, start=start, end=end, limit=limit))

    def review(self, start: datetime, end: datetime) -> Review:
        """What a report says of a time range; reads its stored messages.

        Raises:
            InputError: it ends before it begins.
        """
        _ordered(start, end)
        found = [one for one in self.violations(start, end) if one.source == "ot_policy"]
        told = self.settings
        return reviewing.review(
            self.look(start, end),
            self.policy,
            self._register(),
            found,
            now=end,
            missed=told.missed_periods,
            lateness_s=told.lateness_s,
        )

    def matrix(self, start: datetime, end: datetime, buckets: int = BUCKETS) -> Matrix:
        """Who acted on what in a time range, counted by the store.

        Raises:
            InputError: it ends before it begins.
        """
        _ordered(start, end)
        width = max(1, int((end - start).total_seconds()) // buckets)
        events, learned = self._store().events, self.baseline
        spoken = events.aggregate(Query(dataset="ot", start=start, end=end), ["ot.protocol"], top=MAX_PROTOCOLS)
        counted = []
        for protocol in spoken["ot.protocol"].drop_nulls().sort():
            asked = Query(dataset="ot", start=start, end=end, where=Term("ot.protocol", "eq", protocol))
            found = events.aggregate(asked, BY, interval_s=width, top=MAX_COUNTS)
            counted.append(found.with_columns(pl.lit(protocol).alias("ot.protocol")))
        both = pl.concat(counted) if counted else pl.DataFrame()
        known = both if both.is_empty() else self._register().enrich(EventBatch("ot", "", both)).table
        return matrix.matrix(known, None if learned is None else learned.deeds, start, end, width)

    def roll_call(self) -> list[Heard]:
        """Every registered station and when it was last heard, silent ones first."""
        now, told = self.clock(), self.settings
        found = self._register().stations
        heard = self._heard(now) if found else {}
        return roll_call(found, heard, now, missed=told.missed_periods, lateness_s=told.lateness_s)

    def _heard(self, now: datetime) -> dict[str, datetime]:
        """As the process that detects tells it; else from what is stored."""
        raw = self._store().records.get_value("counters:ot_policy")
        try:
            told = orjson.loads(raw)["heard"] if raw else {}
            found = {str(key): moment(int(at)) for key, at in told.items()}
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            found = {}
        for span, width in HEARD if raw is None else ():  # roughly for long, to the minute for what was just now
            asked = Query(dataset="ot", start=now - span, end=now + timedelta(hours=1))
            rows = self._store().events.aggregate(asked, ["ot.station.id"], interval_s=width, top=MAX_COUNTS)
            last = rows.drop_nulls("ot.station.id").group_by("ot.station.id").agg(pl.col("bucket").max())
            found |= {key: min(bucket + timedelta(seconds=width), now) for key, bucket in last.iter_rows()}
        return found


def _ordered(start: datetime, end: datetime) -> None:
    if start > end:
        raise InputError(f"from {iso(start)} is later than to {iso(end)}", remedy="swap --from and --to")
