"""Fields of log lines beside what Wazuh's engine makes of the same lines."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cityguard import columns
from cityguard.errors import InputError
from truth import base
from truth.base import Line

NOTHING = frozenset({"", "-", "none", "null", "(null)", "n/a", "unknown", "0.0.0.0"})
"""Words for an empty field: a null of ours is equal to them, and nothing else is."""
OWN = re.compile(
    r"^(?:wazuh|agent|rsa|fileset|input|tags|related|threat|vulnerability|ecs)(?:\.|$)|^input\.type"
    r"|^event\.(?:kind|category|type|module|dataset|ingested|risk_score)$|^service\.type$|^host\.(?:id|os|architecture|mac)"
    r"|^~(?:request|request_fields|destination_address)$|\.(?:geo|as)\.|@xmlns$|^log\.file\.path$|^observer\.type$"
    r"|^fortinet\.firewall\.ip$|^~aws_elb\.(?:related_ports|bucket)$"
)
"""Wazuh's bookkeeping and what it adds from tables of its own: docs/truth/logs.md gives the reason of each."""
WORDED = frozenset({"event.action", "message", "event.reason", "rule.description", "observer.product"})
"""Fields a decoder words itself: compared only where the peer's words stand in the input."""
NATIVE = re.compile(
    r"^(?:sophos\.xg|fortinet\.firewall|suricata|~?mysql\.slowlog|redis\.log|nginx\.access|sysmon|~aws_\w+?"
    r"|windows\.(?:EventData|System|UserData\.\w+|logon))\.(.+)$"
)
"""Names of the source itself below a prefix of the peer's."""
BALANCERS = frozenset({"alb", "elb", "clb", "nlb"})
SWAPPED = frozenset({"source.ip", "source.port", "source.bytes", "destination.bytes"})
"""Of a load balancer the peer takes the address in the URL for the source, and received bytes for sent ones."""
NGINX = re.compile(r"^destination\.|^source\.address$|remote_ip_list$")
"""Of nginx the peer calls the first address of a line its destination, and the second, if any, its source."""
ALIASES = {
    "@timestamp": ("@timestamp",),
    "event.start": ("event.start", "@timestamp"),
    "event.end": ("event.end", "@timestamp"),
    "event.created": ("@timestamp",),
    "event.id": ("eventID",),
    "source.address": ("source.ip", "source.domain"),
    "source.domain": ("source.domain", "source.ip"),
    "destination.address": ("destination.ip", "destination.domain", "url.domain"),
    "destination.domain": ("destination.domain", "url.domain"),
    "client.ip": ("client.ip", "source.ip"),
    "client.address": ("client.ip", "source.ip"),
    "network.forwarded_ip": ("client.ip",),
    "client.port": ("source.port",),
    "source.user.name": ("user.name",),
    "host.hostname": ("host.name", "observer.hostname"),
    "host.name": ("host.name", "observer.hostname"),
    "observer.name": ("observer.hostname",),
    "log.level": ("log.level", "Level"),
    "windows.logon.id": ("SubjectLogonId", "TargetLogonId", "LogonId"),
    "windows.logon.record_id": ("EventRecordID",),
    "windows.logon.computer_name": ("Computer",),
    "url.full": ("url.full", "url.original"),
}
TIMES = frozenset({"@timestamp", "event.start", "event.end", "event.created"})
ZONE = timedelta(hours=8)
"""A stamp without an offset is read in the collector's zone, Asia/Shanghai by default; the peers read it as UTC."""
OFFSET = re.compile(r"\d\d:\d\d(?::\d\d(?:[.,]\d+)?)? ?(?:Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b)")
EPOCH = re.compile(r"(?<![\w.])(1\d{9})(?:\d{3}|\d{6}|\d{9}|\.\d+)?\b")
"""A stamp that tells its zone, and one that is a count of seconds: a line with such has no zone to be unsure of."""
FOLDED = re.compile(
    r"^(?:log\.level|network\.(?:protocol|transport)|url\.scheme|observer\.vendor|event\.action)$"
    r"|\.(?:hash\.\w+|x509\.serial_number|domain)$"
)
"""Fields whose case tells nothing: words of a fixed list, names of hosts, hexadecimal numbers."""
PREFIXED = {"http.version": "http/", "tls.version": "tls "}
"""Fields before whose value some write the protocol."""
Flat = dict[str, Any]


@dataclass(slots=True)
class Passed:
    """Fields of the peer that are not compared, by the reason."""

    words: int = 0
    host: int = 0
    odd: int = 0
    placeless: int = 0

    def __str__(self) -> str:
        return (
            f"not compared: {self.words} fields in the peer's own words, {self.placeless} whose name no row and no "
            f"column of ours has, {self.host} of the agent's host, {self.odd} that the peer takes for something else"
        )


@dataclass(slots=True)
class Case:
    """A case: what is told of each of its lines, and our rows."""

    name: str
    whole: str
    told: list[Flat]
    given: list[Flat]

    def pairs(self) -> Iterator[tuple[int, Flat, Flat, str]]:
        """Place, event, row and line; a row that is not there is empty. Answers to lines the input lacks are none."""
        for nth, event in enumerate(self.told):
            original = str(event.get("event.original") or self.whole)
            if original.splitlines()[0].strip() in self.whole:
                yield nth, event, _partner(self.given, nth, event, len(self.told)), original


def engine(folder: Path) -> Line:
    """Fields of events, one unit each."""
    line = Line("logs", "wazuh-engine", "field", floor=0.95)
    cases = [_case(path.parent) for path in sorted(folder.glob("*/expected.json")) if any(path.parent.glob("input.*"))]
    known = {name for case in cases for row in case.given for name in row} | columns.BY_NAME.keys()
    passed = Passed()
    for case in cases:
        for nth, event, row, original in case.pairs():
            for name, value in event.items():
                told = field(name, value, row, original, known, passed)
                if told is None:
                    continue
                line.compared += 1
                line.equal += told
                line.missing += not told
                if not told:
                    ours = [row.get(one) for one in ALIASES.get(_ecs(name), (name,))]
                    line.notes.append(f"{case.name}[{nth}] {name}: {str(value)[:60]!r}, ours {str(ours)[:80]}")
    line.notes.insert(0, str(passed))
    return line


def _case(folder: Path) -> Case:
    path = next(folder.glob("input.*"))
    told = [dict(flat(event)) for event in json.loads(base.text(folder / "expected.json"))]
    return Case(folder.name, base.text(path), told, _read(path))


def _read(path: Path) -> list[Flat]:
    try:
        table = base.rows(path, collector=None)
    except InputError:
        return []
    rows = table.to_dicts()
    for row in rows:
        if row.get("event.fields"):
            row.update({name: value for name, value in flat(json.loads(row["event.fields"])) if row.get(name) is None})
    return rows


def _partner(rows: list[Flat], nth: int, event: Flat, count: int) -> Flat:
    if len(rows) == count:
        return rows[nth]
    original = str(event.get("event.original", ""))
    return next((row for row in rows if original and row.get("event.original") == original), {})


def field(name: str, value: Any, row: Flat, original: str, known: Collection[str], passed: Passed) -> bool | None:
    """Whether we say the same; None = not compared, which ``passed`` counts unless it is the peer's bookkeeping."""
    name = _ecs(name)
    if OWN.search(name):
        return None
    if name in WORDED and str(value) not in original:
        passed.words += 1
        return None
    told = value if isinstance(value, list) else [value]
    if name.startswith("host.") and not any(str(one) in original for one in told):
        passed.host += 1  # the agent's own host, out of the envelope
        return None
    if _odd(name, value, row):
        passed.odd += 1
        return None
    inner = NATIVE.match(name)
    if inner and name not in ALIASES:
        return any(same(name, value, one) for one in _natives(row, inner[1]))
    places = ALIASES.get(name, (name,))
    if name == "user.name" and row.get(name) is None:
        places = (name, "user.target.name")  # where a line tells of one account only, the one acted upon
    if not any(one in known for one in places):
        passed.placeless += 1
        return None
    if name in TIMES or any(isinstance(row.get(one), datetime) for one in places):
        return any(same_time(str(value), row.get(one), original) for one in places)
    return any(same(name, value, row.get(one)) for one in places)


def _odd(name: str, value: Any, row: Flat) -> bool:
    """What the peer takes for something else, or has no word of ECS for."""
    if name == "event.outcome" and value not in ("success", "failure", "unknown"):
        return True
    if row.get("aws.source") in BALANCERS and name in SWAPPED:
        return True
    return row.get("observer.name") == "nginx-access" and bool(NGINX.search(name))


def _ecs(name: str) -> str:
    return name.lstrip("\\/") if name.lstrip("\\/").startswith("@") else name.rstrip('"')


def _natives(row: Flat, name: str) -> Iterator[Any]:
    """Values of the native field, whatever joins its parts: ``Provider.@Name`` is ``Provider_Name`` here."""
    wanted = letters(name.replace("#text", ""))
    last = letters(name.split(".")[-1].replace("#text", "")) or wanted
    ends = {key: [letters("".join(key.split(".")[at:])) for at in range(key.count(".") + 1)] for key in row}
    known = [(key, row[key]) for key, one in ends.items() if wanted in one]
    known = known or [(key, row[key]) for key, one in ends.items() if last in one]
    yield from (value for _, value in known)
    if not known:
        yield None


def letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def same(name: str, wanted: Any, ours: Any) -> bool:
    """Equal but for spelling: quotes, kind of number, order of a list, words for nothing, case of some fields."""
    return _set(name, wanted) == _set(name, ours)


def _set(name: str, value: Any) -> set[str]:
    fold, prefix = bool(FOLDED.search(name)) or name in PREFIXED, PREFIXED.get(name, "")
    values = value if isinstance(value, list) else [value]
    found = {plain(str(one).lower().removeprefix(prefix) if prefix else one, fold=fold) for one in values}
    return {text for text in found if text.lower() not in NOTHING}


def plain(value: Any, *, fold: bool = True) -> str:
    """A value in its plainest spelling.

    Args:
        value: the value.
        fold: in lower case.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    text = " ".join(str(value).replace('\\"', '"').replace("\\\\", "\\").strip().strip("\"'").split())
    lower = text.lower()
    if re.fullmatch(r"0x[0-9a-f]{1,15}", lower):
        return str(int(lower, 16))
    if re.fullmatch(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2})+", lower):
        return re.sub("[:-]", "", lower)
    if re.fullmatch(r"[0-9a-f:]*:[0-9a-f:.]+", lower):
        with contextlib.suppress(ValueError):
            address = ipaddress.IPv6Address(lower)
            return str(address.ipv4_mapped or address)
    if re.fullmatch(r"[+-]?\d{1,18}(?:\.\d{1,9})?", text):
        return f"{float(text):.6f}"
    return lower if fold else text


def same_time(wanted: str, ours: Any, original: str) -> bool:
    """The same moment to the second; a stamp without a year or zone is compared without what it lacks."""
    if not isinstance(ours, datetime):
        return False
    text = re.sub(r"(\.\d{6})\d+", r"\1", wanted.strip())
    text = re.sub(r"-(\d)-", r"-0\1-", text)
    text = re.sub(r"-(\d)T", r"-0\1T", text)
    try:
        theirs = datetime.fromisoformat(text)
    except ValueError:
        return False
    theirs = (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    mine = ours.astimezone(UTC).replace(microsecond=0)
    for moment in (mine,) if _zoned(original, theirs) else (mine, mine + ZONE):
        if moment == theirs:
            return True
        if str(theirs.year) not in original and moment.replace(year=theirs.year) == theirs:
            return True
    return False


def _zoned(original: str, moment: datetime) -> bool:
    """Whether the line leaves no doubt of its zone; a count of seconds far from the moment is of another time."""
    near = any(abs(int(seconds) - moment.timestamp()) < 86_400 for seconds in EPOCH.findall(original))
    return near or bool(OFFSET.search(original))


def flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested objects under dotted names."""
    for name, one in value.items():
        if isinstance(one, dict):
            yield from flat(one, f"{prefix}{name}.")
        else:
            yield prefix + name, one
