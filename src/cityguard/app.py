"""The one place where the rooms are joined: Settings in, a working application out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from cityguard import content, pipeline
from cityguard.clock import Clock, iso, utc_now
from cityguard.config import Settings
from cityguard.errors import InputError, StoreError
from cityguard.model import Alert, Assessment, Chunk, Department, DrillRun, Evidence, Query, System

if TYPE_CHECKING:
    from cityguard.collect.collect import Collectors
    from cityguard.compliance.catalogue import Catalogue
    from cityguard.compliance.scoring import Scoring
    from cityguard.cryptouse.inventory import Inventory
    from cityguard.detectors.anomaly import AnomalyDetector
    from cityguard.detectors.base import Detector
    from cityguard.detectors.custom.lists import ThreatLists
    from cityguard.notify.base import Notifiers
    from cityguard.otpolicy.desk import Desk
    from cityguard.otpolicy.review import Review
    from cityguard.register.register import Register
    from cityguard.report.report import Facts
    from cityguard.rulebook.book import Book, Shelf
    from cityguard.rulebook.coverage import Coverage
    from cityguard.rulebook.noisy import Noise
    from cityguard.rulebook.seen import Tally
    from cityguard.rulebook.switches import Act, Selector
    from cityguard.scan.scan import ScanRun
    from cityguard.sigma.correlation import Correlator
    from cityguard.sigma.rule import Ruleset
    from cityguard.store.base import Store

REPORT_FORMATS = ("html", "pdf", "docx", "xlsx", "json")
DRILL_FORMATS = ("html", "pdf", "docx", "json")
SILENT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did: items, events by dataset, the alerts not seen before, and what could not be read."""

    files: int
    received: int
    dead: int
    dropped: int
    events: dict[str, int]
    fresh: tuple[Alert, ...]
    notes: tuple[str, ...]
    failed: tuple[InputError, ...] = ()


class App:
    """Everything one city's installation holds, opened when first asked for and closed with ``close``."""

    def __init__(self, settings: Settings, *, clock: Clock = utc_now, rules: Sequence[Path] | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self._rules = rules
        self._register: tuple[tuple[int, ...] | None, Register] | None = None
        self._cryptography: dict[float, Inventory] = {}
        self._listed: tuple[Register, dict[str, list[str]]] | None = None

    # -- the rooms ----------------------------------------------------------

    @cached_property
    def store(self) -> Store:
        from cityguard.decoders import passwords
        from cityguard.store import chain
        from cityguard.store.open import open_store

        store = open_store(self.settings, self.clock)
        passwords.use_key(chain.load_key(self.settings.home_path / "passwords.key"))
        return store

    @property
    def register(self) -> Register:
        """The register as its file stands now: a segment marked OT in another process counts at once.

        Raises:
            ContentErrors: the file has faults; nothing of it is used.
            InputError: the file cannot be read.
        """
        from cityguard.register.register import Register

        path, zone = self.register_path, self.settings.zone
        state = _state(path)
        if self._register is None or self._register[0] != state:
            self._register = (state, Register.load(path, zone=zone) if state else Register.empty(zone=zone))
        return self._register[1]

    @property
    def register_path(self) -> Path:
        """The register file: the configured one, else ``register.yml`` in the data folder."""
        named = self.settings.register
        return self.settings.resolve(named) if named else self.settings.home_path / "register.yml"

    @cached_property
    def collectors(self) -> Collectors:
        from cityguard.collect.collect import Collectors

        return Collectors.load(self.settings.content_path)

    @cached_property
    def _shelf(self) -> Shelf:
        from cityguard.rulebook.book import Shelf

        if self._rules:
            return Shelf(list(self._rules), None, lists=self._lists)
        return Shelf(self.rule_folders, self.switches_path, self.compiled_path, self._lists)

    def _lists(self) -> dict[str, list[str]] | None:
        """Placeholder lists that the register gives; None while it has faults, which it tells itself."""
        from cityguard.errors import CityguardError
        from cityguard.sigma import lists

        try:
            register = self.register
        except CityguardError:
            return None
        if self._listed is None or self._listed[0] is not register:
            self._listed = (register, lists.of_register(register))
        return self._listed[1]

    @property
    def compiled_path(self) -> Path:
        """Folder of parsed and compiled rules: safe to delete."""
        return self.settings.home_path / "compiled"

    @property
    def rulebook(self) -> Book:
        """All rules, running or not, as the file of switches stands now."""
        return self._shelf.book

    @property
    def ruleset(self) -> Ruleset:
        """The rules that run."""
        return self.rulebook.ruleset

    @property
    def switches_path(self) -> Path:
        """The file of switched rules: in the city's content folder where there is one, else in the data folder."""
        from cityguard.rulebook import switches

        return (self.settings.content_path or self.settings.home_path) / switches.FILE

    @cached_property
    def seen(self) -> Tally:
        """What sources have sent since it was last written down; rule coverage is told from it."""
        from cityguard.rulebook.seen import Tally

        return Tally({name for rule in self.ruleset.rules for name in rule.fields}, self.clock)

    def switch(self, act: Act, select: Selector, by: str, why: str = "", ip: str = "") -> int:
        """Switch rules off or on: audited first, then written. Returns how many rules the selector fits.

        Raises:
            InputError: the selector says nothing or fits no rule, or a reason is missing.
            ContentErrors: the file of switches has faults.
        """
        from cityguard.rulebook import switches

        select = switches.check(select)
        fitting = self._shelf.fitting(select)
        if not fitting:
            raise InputError(f"no rule fits {select.text}", remedy="see `cityguard rules list`")
        if act == "disable" and not why.strip():
            raise InputError("why?", remedy="say a reason: others will ask")
        self.audit(by, f"rules.{act}", select.text, f"{len(fitting)} rules; {why}", ip)
        switches.write(self.switches_path, switches.Switch(act, select, by, iso(self.clock()), why.strip()))
        return len(fitting)

    def coverage(self, department: str = "", segment: str = "") -> Coverage:
        """Every rule active or not and why, by what was received in the last week, in all or of one place."""
        from cityguard.rulebook import coverage, notes

        now = self.clock()
        return coverage.cover(
            self.rulebook,
            coverage.of(self.store.records.find_sightings(coverage.since(now).date()), department, segment),
            now,
            departments=[one.id for one in self.register.departments],
            segments=[one.id for one in self.register.segments],
            notes=notes.read(self.store.records.get_value(notes.STATE), now),
        )

    def noise(self, query: Query) -> list[Noise]:
        """Rules by their alerts and the verdicts on them, the noisiest first."""
        from cityguard.rulebook import noisy

        heads = {one.id: (one.title, one.head.level) for one in self.rulebook.every}
        return noisy.noise(self.store.alerts.verdicts(query), heads)

    def cryptography(self, days: float = 30) -> Inventory:
        """Who encrypts with what, and which certificates are shown, by the handshakes of the last days.

        What was gathered less than a minute ago is told again.
        """
        from cityguard.cryptouse import gathering, owning

        now = self.clock()
        held = self._cryptography.get(days)
        if held is None or not held.until <= now < held.until + timedelta(minutes=1):
            owners = owning.by_register(self.register)
            held = gathering.gather(self.store.events, owners, now - timedelta(days=days), now)
            self._cryptography = {days: held}
        return held

    @property
    def config_dir(self) -> Path | None:
        """Folder of collected configuration texts, where one is configured."""
        return self.settings.resolve(self.settings.configs) if self.settings.configs else None

    @property
    def rule_lists(self) -> dict[str, list[str]]:
        """Placeholder lists that the register gives; none while it has faults."""
        return self._lists() or {}

    @property
    def rule_folders(self) -> list[Path]:
        """Folders rules are read from: the shipped ones, then the city's own."""
        roots = (content.root(), self.settings.content_path)
        return [base / "rules" for base in roots if base is not None and (base / "rules").is_dir()]

    @cached_property
    def threat_lists(self) -> ThreatLists:
        """Threat lists of ``lists/``: the city's go before shipped ones of the same name."""
        from cityguard.detectors.custom.lists import ThreatLists

        return ThreatLists(self.threat_folders)

    @property
    def threat_folders(self) -> tuple[Path, ...]:
        """Folders of threat lists: the shipped one, then the city's own."""
        roots = (content.root(), self.settings.content_path)
        return tuple(base / "lists" for base in roots if base is not None)

    @cached_property
    def detectors(self) -> tuple[Detector, ...]:
        from cityguard.detectors.rules import RuleDetector
        from cityguard.sigma.engine.engine import Engine

        engine = Engine.compile(self.ruleset, cache=self.compiled_path, budget_ms=self.settings.detection.budget_ms)
        rules = RuleDetector(
            self.ruleset,
            clock=self.clock,
            zone=self.settings.zone,
            lists=self.threat_lists,
            engine=engine,
            correlator=self.correlator,
        )
        forest = (self.forest,) if self.settings.anomaly.enabled else ()
        return (rules, *forest, *((self.ot_detector,) if self.settings.ot_policy.enabled else ()))

    @property
    def correlator(self) -> Correlator:
        """Correlations with nothing seen yet, bounded as the settings say."""
        from cityguard.sigma.correlation import Correlator

        told = self.settings.correlations
        return Correlator(
            self.ruleset.correlations,
            max_hits=told.max_hits_each,
            total=told.max_hits,
            lateness_s=told.lateness_s,
        )

    def refresh_rules(self) -> bool:
        """Run the rules as they are switched now: made ready aside, then exchanged between two batches.

        Returns whether there was anything to exchange.
        """
        from cityguard.detectors.rules import RuleDetector
        from cityguard.sigma.engine.engine import Engine

        ruleset, changed = self.ruleset, False
        for one in self.detectors:
            if isinstance(one, RuleDetector) and one.ruleset is not ruleset:
                budget = self.settings.detection.budget_ms
                engine = Engine.compile(ruleset, cache=self.compiled_path, budget_ms=budget)
                one.exchange(ruleset, engine, self.correlator)
                changed = True
        return changed

    @cached_property
    def forest(self) -> AnomalyDetector:
        from cityguard.detectors.anomaly import AnomalyDetector

        return AnomalyDetector(
            self.settings.anomaly, models=self.settings.home_path / "models", zone=self.settings.zone
        )

    @cached_property
    def ot(self) -> Desk:
        """OT policy: what is learned, proposed and in force, and the acts upon it."""
        from cityguard.otpolicy.desk import Desk

        home = self.settings.home_path
        folder = self.settings.content_path or home
        return Desk(
            lambda: self.store, lambda: self.register, folder, home, self.settings.ot_policy, lambda: self.clock()
        )

    @cached_property
    def ot_detector(self) -> Detector:
        """Holds messages against the policy in force, and waits for registered stations."""
        from cityguard.otpolicy.detector import PolicyDetector

        zone = self.settings.zone
        return PolicyDetector(lambda: self.ot.policy, lambda: self.register, self.settings.ot_policy, zone)

    @cached_property
    def notifiers(self) -> Notifiers:
        from cityguard.notify.base import Notifiers
        from cityguard.notify.mail import Mail
        from cityguard.notify.syslog import Syslog
        from cityguard.notify.webhook import Webhook

        told = self.settings.notify
        return Notifiers(
            (
                *(Syslog(one.host, one.port) for one in told.syslog),
                *(Webhook(one.url, one.form, self._secret(one.secret_file)) for one in told.webhooks),
                *(
                    Mail(
                        one.host,
                        one.sender,
                        one.to,
                        one.port,
                        one.username,
                        self._secret(one.password_file),
                        one.starttls,
                    )
                    for one in told.mail
                ),
            ),
            told.level,
        )

    def _secret(self, name: str) -> str:
        """A secret from its file; empty when none is configured.

        Raises:
            InputError: the file cannot be read, or others may read it.
        """
        if not name:
            return ""
        path = self.settings.resolve(name)
        try:
            if path.stat().st_mode & 0o077:
                raise InputError("others may read this secret", place=str(path), remedy=f"chmod 0400 {path}")
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", place=str(path)) from None

    @cached_property
    def catalogue(self) -> Catalogue:
        from cityguard.compliance import catalogue

        return catalogue.load(self.settings.content_path)

    @cached_property
    def scoring(self) -> Scoring:
        from cityguard.compliance import scoring

        return scoring.load(self.settings.content_path)

    # -- what it does -------------------------------------------------------

    def ingest(
        self,
        paths: Sequence[Path],
        *,
        collector: str | None = None,
        dataset: str | None = None,
        progress: Callable[[Chunk], None] = lambda chunk: None,
    ) -> Ingested:
        """Read files and folders through the main way. Repeating it is harmless.

        A file that cannot be read stops no other: it stands in ``failed``, or in ``notes`` when it was only
        found in a folder.

        Raises:
            InputError: a path does not exist, or there is no collector of that name.
            StoreError: the store is full or gone; what was not booked is read again next time.
        """
        from cityguard.collect import collect
        from cityguard.decoders.base import Decoder

        tally, known, named = _Tally(), self.collectors, set(paths)
        if collector is not None:
            _ = known[collector]
        files, decoders = collect.walk(paths), dict[str, Decoder]()
        for path in files:
            chunks = collect.read(
                path,
                known,
                collector=collector,
                dataset=dataset,
                limits=self.settings.limits,
                now=self.clock(),
                decoders=decoders,
                first=self._first,
            )
            try:
                for chunk in chunks:
                    tally.add(chunk, pipeline.take(chunk, self))
                    progress(chunk)
            except InputError as error:
                tally.refuse(error, named=path in named)
        tally.fresh.extend(pipeline.finish(self))
        return tally.result(len(files))

    def _first(self, sha256: str, now: datetime) -> datetime:
        """When a file was first read: undated lines keep that time, and so their ids, on every re-run."""
        key = f"first:{sha256}"
        if known := self.store.records.get_value(key):
            return datetime.fromisoformat(known.decode())
        self.store.records.put_value(key, now.isoformat().encode())
        return now

    def scan(
        self,
        system_id: str,
        *,
        targets: Sequence[str] | None = None,
        checks: Sequence[str] | None = None,
        stop: Event | None = None,
    ) -> ScanRun:
        """Ask every check of one system and keep the evidence; ``stop`` ends all probes within seconds.

        Raises:
            KeyError: the register has no such system.
            RefusedError: a named target is out of scope or in an OT segment; nothing was sent.
        """
        from cityguard.scan.scan import scan

        done = scan(self, system_id, targets=targets, checks=checks, stop=stop, config_dir=self.config_dir)
        self.store.records.put_evidence(done.evidence)
        return done

    def assess(self, system_id: str) -> Assessment:
        """Hold a system against the catalogue with the evidence of now, and keep the result."""
        from cityguard.compliance.assess import assess

        system = self.system(system_id)
        evidence = self.store.records.find_evidence(system=system_id)
        assets = self.register.assets_of(system)
        result = assess(system, latest(evidence), self.catalogue, self.scoring, now=self.clock(), assets=assets)
        self.store.records.put_assessment(result)
        return result

    @property
    def scratch_path(self) -> Path:
        """Where restored data may stand while a drill runs."""
        return self.settings.home_path / "scratch"

    def drill(self, plan: Path, *, operator: str = "") -> DrillRun:
        """Really restore a backup, judge it, and keep the run and its evidence.

        Raises:
            InputError, ContentErrors: the plan is wrong, or names a system the register does not know.
        """
        from cityguard.drill import drill
        from cityguard.drill import plan as plans

        system = self.register.system(name := plans.load(plan).system)
        if system is None and self.register.systems:
            raise InputError(f"no system '{name}' in the register", place=str(plan), remedy="cityguard asset list")
        run = drill.run(plan, scratch=self.scratch_path, clock=self.clock, system=system, operator=operator)
        self.store.records.put_drill(run)
        self.store.records.put_evidence([drill.evidence(run, system)])
        return run

    def report_assessment(
        self, assessment: Assessment, out: Path, formats: Sequence[str] = REPORT_FORMATS, language: str | None = None
    ) -> list[Path]:
        """Write the 自查报告 of an assessment; returns the files, the manifest last."""
        from cityguard.report import report

        records = self.store.records
        earlier = [one for one in records.find_assessments(assessment.system) if one.made_at < assessment.made_at]
        facts = report.assessment_facts(
            assessment,
            self.system(assessment.system),
            self.department(assessment.department),
            records.find_evidence(ids=assessment.evidence),
            records.find_drills(assessment.system),
            max(earlier, key=lambda one: one.made_at, default=None),
            city=self.settings.city,
            timezone=self.settings.timezone,
            contents=report.contents(self.settings.content_path),
        )
        return self._write("assessment", facts, out, formats, language)

    def report_drill(
        self, run: DrillRun, out: Path, formats: Sequence[str] = DRILL_FORMATS, language: str | None = None
    ) -> list[Path]:
        """Write the 备份恢复演练报告 of a run; returns the files, the manifest last."""
        from cityguard.report import report
        from cityguard.report.drill_compare import earlier

        system = self.register.system(run.system)
        department = self.register.department(system.department) if system else None
        facts = report.drill_facts(
            run,
            system,
            department,
            previous=earlier(run, self.store.records.find_drills(run.system)),
            city=self.settings.city,
            timezone=self.settings.timezone,
        )
        return self._write("drill", facts, out, formats, language)

    def report_ot(
        self, start: datetime, end: datetime, out: Path, formats: Sequence[str], language: str | None = None
    ) -> tuple[Review, list[Path]]:
        """Write the 工控策略报告 of a time range; returns what it says and the files, the manifest last."""
        from cityguard.otpolicy.review import tables
        from cityguard.report import report

        found, settings = self.ot.review(start, end), self.settings
        facts = report.ot_facts(
            tables(found, self.ot.names),
            start,
            end,
            found.events,
            now=self.clock(),
            city=settings.city,
            timezone=settings.timezone,
        )
        return found, self._write("otpolicy", facts, out, formats, language) if formats else []

    def _write(self, kind: str, facts: Facts, out: Path, formats: Sequence[str], language: str | None) -> list[Path]:
        from cityguard.report import report

        chosen = language or self.settings.language
        return report.write(kind, facts, out, formats, chosen, extra=self.settings.content_path)

    def retain(self) -> int:
        """Delete events older than the retention; returns how many. The act is audited before and after.

        Raises:
            InputError: nothing came in for ``SILENT``; a clock that ran ahead would delete everything.
        """
        now = self.clock()
        before = now - timedelta(days=self.settings.retention_days)
        newest = self.store.events.query(Query(limit=1))
        received = newest["event.ingested"].max() if "event.ingested" in newest.columns else None
        if isinstance(received, datetime) and now - received > SILENT:
            raise InputError(
                f"nothing was received since {received:%Y-%m-%d}: the clock may be wrong, so nothing is deleted",
                remedy="set the clock, or receive something first",
            )
        self.audit("system", "events.purge", before.date().isoformat(), "begins")
        gone = self.store.events.purge(before)
        self.audit("system", "events.purged", before.date().isoformat(), f"{gone} events")
        return gone

    # -- small helpers ------------------------------------------------------

    def system(self, system_id: str) -> System:
        """A system of the register.

        Raises:
            InputError: there is none of that id.
        """
        found = self.register.system(system_id)
        if found is None:
            raise InputError(f"no system '{system_id}' in the register", remedy="cityguard asset list")
        return found

    def department(self, department_id: str) -> Department | None:
        return self.register.department(department_id)

    def audit(self, actor: str, action: str, target: str, detail: str = "", ip: str = "") -> None:
        self.store.records.append_audit(actor, ip, action, target, detail, self.clock())

    def close(self) -> None:
        """Close what was opened; safe to call twice."""
        if "store" not in self.__dict__:
            return
        if "seen" in self.__dict__:
            with suppress(StoreError):
                self.store.records.add_sightings(self.seen.take())
        self.store.close()
        del self.__dict__["store"]


@contextmanager
def throwaway(settings: Settings, *, rules: Sequence[Path] | None = None, clock: Clock = utc_now) -> Iterator[App]:
    """An application over a store that vanishes at the end (``cityguard look``)."""
    from cityguard.config import Notify, StoreSettings

    with tempfile.TemporaryDirectory(prefix="cityguard-") as folder:
        register = settings.register and str(settings.resolve(settings.register))
        one = App(
            replace(settings, home=folder, register=register, store=StoreSettings("embedded"), notify=Notify()),
            clock=clock,
            rules=rules,
        )
        try:
            yield one
        finally:
            one.close()


def latest(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The newest evidence per check and object: an assessment looks at the present, not at every earlier pass."""
    newest: dict[tuple[str, str], Evidence] = {}
    for item in sorted(evidence, key=lambda one: (one.collected_at, one.id)):
        newest[item.check, item.object] = item
    return sorted(newest.values(), key=lambda one: one.id)


def _state(path: Path) -> tuple[int, ...] | None:
    """What tells one state of a file from the next; None when there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place=str(path)) from None
    return found.st_mtime_ns, found.st_size, found.st_ino


class _Tally:
    """Counts of an ingest as it goes."""

    def __init__(self) -> None:
        self.received = self.dead = self.dropped = 0
        self.events: dict[str, int] = {}
        self.fresh: list[Alert] = []
        self.notes: list[str] = []
        self.failed: list[InputError] = []

    def refuse(self, error: InputError, *, named: bool) -> None:
        if named:
            self.failed.append(error)
        else:
            self.notes.append(str(error))

    def add(self, chunk: Chunk, fresh: list[Alert]) -> None:
        self.received += chunk.received
        self.dead += chunk.decoded.rejected
        self.dropped += chunk.dropped
        for batch in chunk.decoded.batches:
            self.events[batch.dataset] = self.events.get(batch.dataset, 0) + len(batch)
        self.fresh.extend(fresh)
        self.notes.extend(f"{chunk.source}: {note}" for note in chunk.decoded.notes)

    def result(self, files: int) -> Ingested:
        return Ingested(
            files,
            self.received,
            self.dead,
            self.dropped,
            dict(sorted(self.events.items())),
            tuple(self.fresh),
            tuple(self.notes),
            tuple(self.failed),
        )


def moment(text: str, now: datetime) -> datetime:
    """Read ``24h``, ``7d`` or an ISO time as a moment in the past.

    Raises:
        InputError: neither form.
    """
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdigit() and text[-1:] in units:
        try:
            return now - timedelta(**{units[text[-1]]: int(text[:-1])})
        except (OverflowError, ValueError):
            raise InputError(f"'{text[:40]}' is too long ago", remedy="e.g. 24h or 7d") from None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=now.tzinfo)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"'{text[:40]}' is not a time", remedy="e.g. 24h, 7d or 2026-03-01T08:00+08:00") from None
