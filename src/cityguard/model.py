"""What flows through the house and what it makes: frozen records and the one table that is an event batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

# ---------------------------------------------------------------- bytes in, tables out


@dataclass(frozen=True, slots=True)
class Frames:
    """Raw items of one source, as one buffer and columns over it (never one object per item).

    All arrays have one entry per item: a line, a packet, a datagram.
    """

    buffer: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]  # where the item starts in buffer
    length: npt.NDArray[np.int64]  # its length in buffer
    number: npt.NDArray[np.int64]  # its place in the source: byte offset, packet or sequence number
    time: npt.NDArray[np.int64]  # ns since the epoch, 0 = unknown
    wire: npt.NDArray[np.int64]  # its original length, where the source cut it
    link: npt.NDArray[np.int32]  # LINKTYPE of a packet, else 0
    peer: str | None = None

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, rows: npt.NDArray[np.int64], peer: str | None = None) -> Frames:
        """Some of the items over the same buffer; ``peer`` names their sender, else it stays as it is."""
        return Frames(
            self.buffer,
            self.offset[rows],
            self.length[rows],
            self.number[rows],
            self.time[rows],
            self.wire[rows],
            self.link[rows],
            self.peer if peer is None else peer,
        )

    def item(self, index: int) -> bytes:
        """One item's bytes; for slow paths and error reports."""
        start = int(self.offset[index])
        return self.buffer[start : start + int(self.length[index])].tobytes()


@dataclass(frozen=True, slots=True)
class LogSource:
    """Sigma's log source, for a whole batch. Each part lists every value the batch answers to."""

    category: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    service: tuple[str, ...] = ()

    def covers(self, category: str | None, product: str | None, service: str | None) -> bool:
        """True when every part a rule gives is among the batch's values."""
        return (
            (category is None or category in self.category)
            and (product is None or product in self.product)
            and (service is None or service in self.service)
        )

    @property
    def text(self) -> str:
        """One line: ``network,firewall||connection``; ``parse`` reads it back."""
        return "|".join(",".join(_plain(word) for word in part) for part in (self.category, self.product, self.service))

    @classmethod
    def parse(cls, text: str) -> LogSource:
        """What ``text`` gave; parts that are not there are empty."""
        parts = [tuple(filter(None, part.split(","))) for part in text.split("|")] + [()] * 3
        return cls(parts[0], parts[1], parts[2])


def _plain(word: str) -> str:
    return word.replace("|", " ").replace(",", " ")


@dataclass(frozen=True, slots=True)
class EventBatch:
    """One table of one dataset; rows in no promised order. Columns as in ``columns.DATASETS`` plus native ones."""

    dataset: str
    collector: str
    table: pl.DataFrame
    segment: str | None = None
    logsource: LogSource | None = None
    part: str = ""  # names the piece of input it came from; the same on every re-run

    def __len__(self) -> int:
        return self.table.height


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One item that could not be used: where it stood, why, and its bytes (cut at 64 KiB)."""

    source: str
    place: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder made of some frames. ``rejected`` counts items; ``dead`` may hold fewer samples."""

    batches: tuple[EventBatch, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    rejected: int = 0
    ignored: int = 0  # items that are no events: headers and comments; not counted as received
    notes: tuple[str, ...] = ()  # warnings a person should see, e.g. "3 sequence gaps"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of input on its way: everything received in it ends in ``batches``, ``dead`` or ``dropped``."""

    source: str
    part: str
    unit: str  # line, packet, datagram, record
    received: int
    decoded: Decoded
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Per source: received = stored + dead + dropped + spooled, in the source's unit. Must balance."""

    source: str
    unit: str
    received: int = 0
    stored: int = 0
    dead: int = 0
    dropped: int = 0
    spooled: int = 0
    events: int = 0
    last_seen: datetime | None = None

    @property
    def balance(self) -> int:
        """0 when nothing is unaccounted for."""
        return self.received - self.stored - self.dead - self.dropped - self.spooled


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one source sent on one day (UTC, by ``event.ingested``), per department and segment it is about."""

    day: date
    dataset: str
    collector: str
    logsource: str  # LogSource.text
    department: str | None
    segment: str | None
    rows: int
    last_seen: datetime
    columns: dict[str, tuple[int, datetime]]  # name -> rows with a value, and when last


# ---------------------------------------------------------------- alerts

Level = Literal["informational", "low", "medium", "high", "critical"]
LEVELS: tuple[Level, ...] = ("informational", "low", "medium", "high", "critical")
AlertSource = Literal["sigma", "correlation", "anomaly", "ot_policy", "intel", "silence"]
AlertStatus = Literal["open", "acknowledged", "escalated", "closed"]
Verdict = Literal["true", "false", "benign"]

MAX_EVENT_IDS = 100


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in both languages."""

    zh: str
    en: str

    @classmethod
    def both(cls, text: str) -> Text:
        """``中文 / English`` in one string, as a drill's checks are named; other text stands for itself."""
        zh, slash, en = text.partition(" / ")
        return cls(zh, en) if slash and zh and en else cls(text, text)

    def get(self, lang: str) -> str:
        return self.en if lang.startswith("en") and self.en else self.zh or self.en


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which field made an alert, and how far from normal it was."""

    field: str
    value: str
    normal: str = ""
    contribution: float = 0.0


@dataclass(frozen=True, slots=True)
class Alert:
    """What an analyst triages. ``id`` is deterministic, so repeats merge instead of piling up."""

    id: str
    rule_id: str
    title: Text
    level: Level
    source: AlertSource
    first_seen: datetime
    last_seen: datetime
    reason: Text
    count: int = 1
    tags: tuple[str, ...] = ()
    author: str = ""
    license: str = ""
    advice: Text = Text("", "")
    entities: dict[str, str] = field(default_factory=dict)  # source.ip, destination.ip, user.name, host.name
    department: str | None = None
    system: str | None = None
    segment: str | None = None
    dataset: str | None = None
    score: float | None = None
    event_ids: tuple[str, ...] = ()  # the first MAX_EVENT_IDS, sorted
    explanation: tuple[Explanation, ...] = ()
    part: str = ""  # EventBatch.part that contributed; makes merging repeatable
    status: AlertStatus = "open"
    verdict: Verdict | None = None
    owner: str | None = None
    note: str = ""
    case_id: str | None = None
    version: int = 1


# ---------------------------------------------------------------- register


@dataclass(frozen=True, slots=True)
class Department:
    """A municipal department: who answers for its systems."""

    id: str
    name: str
    leader: str = ""  # 分管领导
    contact: str = ""  # 安全专员
    phone: str = ""
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class System:
    """An information system as graded and filed under 等级保护."""

    id: str
    name: str
    department: str
    s_grade: int = 0  # 业务信息安全, 0 = not graded
    a_grade: int = 0  # 系统服务安全
    filing_number: str = ""
    filing_expires: date | None = None
    last_assessed: date | None = None
    owner: str = ""
    operator: str = ""  # 运维单位
    importance: str = ""
    extensions: tuple[str, ...] = ()  # cloud mobile iot ics bigdata
    data_class: str = ""  # 核心 重要 一般
    rto_hours: float | None = None
    rpo_hours: float | None = None
    backup: str = ""  # where its backups are described

    @property
    def grade(self) -> int:
        """The system's grade: the higher of S and A (GB/T 22240)."""
        return max(self.s_grade, self.a_grade)


@dataclass(frozen=True, slots=True)
class Asset:
    """A host, device or controller with its addresses."""

    id: str
    name: str
    system: str
    addresses: tuple[str, ...] = ()  # single addresses or CIDR
    kind: str = ""  # server, network, security, terminal, plc, hmi, historian, engineering, database, application
    os: str = ""
    criticality: str = ""
    ports: tuple[str, ...] = ()  # registered open ports: "443/tcp"
    groups: tuple[str, ...] = ()
    oid: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A network range with its zone. ``ot`` means: never send a packet there."""

    id: str
    name: str
    cidrs: tuple[str, ...]
    zone: str = ""
    ot: bool = False
    scan: str = "never"  # never, passive, active
    department: str | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """A field station, meter, vehicle, camera or controller by the id its protocol writes, and how it should speak."""

    id: str
    name: str
    protocol: str  # as in ot.protocol
    unit: str = ""  # as in ot.unit_id; empty = the id (protocols with ids of their own), else any unit
    department: str | None = None
    system: str | None = None
    addresses: tuple[str, ...] = ()  # its own, where they are fixed
    platforms: tuple[str, ...] = ()  # who may direct it and receive its reports
    carriers: tuple[str, ...] = ()  # ranges a mobile operator gives it addresses from
    period_s: float | None = None  # it is heard of at least so often
    periods: tuple[str, ...] = ()  # the same for single codes: 2051=600
    limits: tuple[str, ...] = ()  # what may be written: w01018=0..60
    maintenance: tuple[str, ...] = ()  # workday 09:00-11:00, or 2026-03-11T22:00/2026-03-12T04:00


# ---------------------------------------------------------------- checks, compliance

EvidenceVerdict = Literal["符合", "部分符合", "不符合", "不适用", "未判定"]
VERDICTS: tuple[EvidenceVerdict, ...] = ("符合", "部分符合", "不符合", "不适用", "未判定")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file behind a piece of evidence, by its hashes."""

    name: str
    sha256: str
    sm3: str
    size: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One immutable finding of one check on one object. ``id`` is a hash of the content."""

    id: str
    check: str
    object: str  # asset or system id
    object_name: str
    system: str
    controls: tuple[str, ...]  # unit codes of the catalogue it speaks for
    verdict: EvidenceVerdict
    reason: Text
    observed_at: datetime
    collected_at: datetime
    valid_until: datetime
    method: str  # 访谈 核查 测试
    record: str  # the raw record, text, bounded
    attachments: tuple[Attachment, ...] = ()
    sha256: str = ""
    sm3: str = ""
    tool_version: str = ""


@dataclass(frozen=True, slots=True)
class UnitResult:
    """The verdict of one catalogue item for one system, with the evidence behind it."""

    unit: str  # e.g. L3-CES1-01
    clause: str
    control_point: str
    class_name: str
    extension: str
    text: str
    verdict: EvidenceVerdict
    evidence: tuple[str, ...] = ()
    reason: str = ""
    high_risk: tuple[str, ...] = ()
    major_trigger: str | None = None
    reason_en: str = ""
    text_en: str = ""
    control_point_en: str = ""
    class_en: str = ""
    group: str = ""  # technical, management
    grade: int = 0  # the grade the item was taken at (S, A or the system's)
    sag: str = ""
    methods: tuple[str, ...] = ()  # 访谈 核查 测试
    auto: str = ""  # full, partial, none: how far tool evidence alone carries
    optional: bool = False
    supports: tuple[str, ...] = ()  # of ``evidence``: what passed and may speak for the item
    against: tuple[str, ...] = ()  # of ``evidence``: what failed and counts against it


@dataclass(frozen=True, slots=True)
class RateResult:
    """One 符合率 by one formula, with the bounds that undecided items leave open."""

    name: str
    title: Text
    formula: Text
    passed: int
    counted: int
    rate: float | None  # per cent; None = nothing was judged
    low: float | None  # if everything undecided fails
    high: float | None  # if everything undecided passes


@dataclass(frozen=True, slots=True)
class Risk:
    """A high-risk case that evidence points to; a candidate until a person has judged it."""

    case: str
    name: Text
    unit: str
    clause: str
    trigger: str | None = None
    condition: Text = Text("", "")
    mitigable: bool = True
    objects: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """A system held against a catalogue with the evidence of a moment. Sealed by a manifest of hashes."""

    id: str
    system: str
    system_name: str
    department: str
    s_grade: int
    a_grade: int
    catalogue: str
    scoring: str
    made_at: datetime
    results: tuple[UnitResult, ...]
    counts: dict[str, int]
    rate: dict[str, float | None]  # by formula name
    conclusion: str
    indicative: bool = True
    evidence: tuple[str, ...] = ()
    manifest: dict[str, str] = field(default_factory=dict)
    rates: tuple[RateResult, ...] = ()
    risks: tuple[Risk, ...] = ()
    notes: tuple[Text, ...] = ()  # what a reader must know, e.g. "exactly 90 %"
    expired: tuple[str, ...] = ()  # evidence that was too old to count
    catalogue_title: Text = Text("", "")
    tool_version: str = ""
    risk_guide: Text = Text("", "")  # the edition of the high-risk guide the cases are of


@dataclass(frozen=True, slots=True)
class DrillStep:
    """One step of a drill: what was planned, what happened, when."""

    name: Text
    started: datetime | None
    ended: datetime | None
    outcome: str  # ok, failed, skipped
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DrillCheck:
    """One comparison made on restored data."""

    name: str
    expected: str
    actual: str
    passed: bool


@dataclass(frozen=True, slots=True)
class DrillRun:
    """A backup really restored, compared and judged by rule."""

    id: str
    plan: str
    title: str
    system: str
    kind: str
    backup: str
    backup_sha256: str
    backup_taken: datetime | None
    started: datetime
    ended: datetime
    steps: tuple[DrillStep, ...]
    checks: tuple[DrillCheck, ...]
    rto_target_s: float | None
    rto_actual_s: float | None
    rpo_target_s: float | None
    rpo_actual_s: float | None
    files: int
    bytes: int
    residue_removed: bool
    conclusion: str  # 成功 部分成功 失败
    reason: Text
    problems: tuple[str, ...] = ()
    scenario: str = ""  # what is practised: 误删除, 勒索加密, 存储损坏, 机房失效 ...
    incident: datetime | None = None  # failure point; RPO is reckoned back from it
    declared: datetime | None = None  # RTO runs from it
    rto_from: str = ""  # where the target stands: plan, register, "" = nowhere
    rpo_from: str = ""
    operator: str = ""  # who started the drill; its steps are done by the tool
    backup_path: str = ""
    manifest_path: str = ""
    manifest_sha256: str = ""
    plan_path: str = ""
    plan_sha256: str = ""


# ---------------------------------------------------------------- jobs, audit

JobKind = Literal["scan", "assessment", "drill", "report", "retention", "forest"]
JobOutcome = Literal["running", "ok", "partial", "failed", "refused", "lost"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job runs. ``arguments`` are validated per kind; nothing in them is ever imported or executed."""

    id: str
    kind: JobKind
    title: Text
    trigger: str  # five-field cron in the city's time zone, or "every 5m"
    arguments: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    catch_up: bool = True


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of one job in one slot; (job, slot) is unique."""

    id: str
    job: str
    slot: datetime
    owner: str
    fence: int
    started: datetime
    lease_until: datetime
    ended: datetime | None = None
    outcome: JobOutcome = "running"
    detail: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    by: str = ""  # who started it by hand; empty when it was due


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, when; chained by hash."""

    seq: int
    at: datetime
    actor: str
    ip: str
    action: str
    object: str
    detail: str
    previous: str
    hash: str


# ---------------------------------------------------------------- queries


@dataclass(frozen=True, slots=True)
class Term:
    """``field op value``. op: eq, ne, lt, lte, gt, gte, cidr, contains, prefix, exists, in."""

    field: str
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class And:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    item: Node


Node: TypeAlias = Term | And | Or | Not


@dataclass(frozen=True, slots=True)
class Query:
    """The one question form: compiled to SQL and to the Elasticsearch DSL, never containing text of either."""

    where: Node | None = None
    start: datetime | None = None  # inclusive
    end: datetime | None = None  # exclusive
    dataset: str | None = None  # events only; None = all
    text: str = ""  # full-text words (alerts)
    limit: int = 100
    after: str | None = None  # cursor: the last id of the page before
    newest_first: bool = True
