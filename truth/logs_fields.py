"""Fields of log lines beside what Wazuh's engine makes of the same lines."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterator
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
Flat = dict[str, Any]


def engine(folder: Path) -> Line:
    """Fields of events, one unit each."""
    line = Line("logs", "wazuh-engine", "field", floor=0.95)
    placeless = 0
    for case in sorted(path.parent for path in folder.glob("*/expected.json")):
        wanted = [dict(flat(event)) for event in json.loads(base.text(case / "expected.json"))]
        given = [dict(row) for row in _read(next(case.glob("input.*")))]
        whole = base.text(next(case.glob("input.*")))
        for nth, event in enumerate(wanted):
            original = str(event.get("event.original") or whole)
            if original.splitlines()[0].strip() not in whole:
                continue  # an answer to a line that the input lacks
            row = _partner(given, nth, event, len(wanted))
            for name, value in event.items():
                told = field(name, value, row, original)
                if told is None:
                    placeless += not OWN.search(name)
                    continue
                line.compared += 1
                line.equal += told
                line.missing += not told
                if not told:
                    ours = [row.get(one) for one in ALIASES.get(_ecs(name), (name,))]
                    line.notes.append(f"{case.name}[{nth}] {name}: {str(value)[:60]!r}, ours {str(ours)[:80]}")
    line.notes.insert(0, f"{placeless} fields of the peer have no place in our vocabulary and are not counted")
    return line


def _read(path: Path) -> list[Flat]:
    try:
        table = base.rows(path, collector=None)
    except InputError as error:
        return [{"error": str(error)}]
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


def field(name: str, value: Any, row: Flat, original: str) -> bool | None:
    """Whether we say the same; None = not compared."""
    name = _ecs(name)
    if OWN.search(name) or (name in WORDED and str(value) not in original):
        return None
    if name.startswith("host.") and not any(
        str(one) in original for one in (value if isinstance(value, list) else [value])
    ):
        return None  # the agent's own host, out of the envelope
    if name == "event.outcome" and value not in ("success", "failure", "unknown"):
        return None  # no word of ECS
    if row.get("aws.source") in BALANCERS and name in SWAPPED:
        return None
    if row.get("observer.name") == "nginx-access" and NGINX.search(name):
        return None
    inner = NATIVE.match(name)
    if inner and name not in ALIASES:
        return any(same(value, one) for one in _natives(row, inner[1]))
    places = ALIASES.get(name, (name,))
    if name == "user.name" and row.get(name) is None:
        places = (name, "user.target.name")  # where a line tells of one account only, the one acted upon
    if not any(one in columns.BY_NAME for one in places) and not any(one in row for one in places):
        return None
    if name in TIMES or any(isinstance(row.get(one), datetime) for one in places):
        return any(same_time(str(value), row.get(one), original) for one in places)
    return any(same(value, row.get(one)) for one in places)


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


def same(wanted: Any, ours: Any) -> bool:
    """Equal but for spelling: case, quotes, kind of number, order of a list, words for nothing."""
    if isinstance(wanted, list):
        given = ours if isinstance(ours, list) else [ours]
        return {plain(one) for one in wanted} - NOTHING <= {plain(one) for one in given}
    if isinstance(ours, list):
        return plain(wanted) in {plain(one) for one in ours} or (not ours and plain(wanted) in NOTHING)
    if ours is None:
        return plain(wanted) in NOTHING
    return plain(wanted) == plain(ours)


def plain(value: Any) -> str:
    """A value in its plainest spelling."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    text = " ".join(str(value).replace('\\"', '"').replace("\\\\", "\\").strip().strip("\"'[](){}").lower().split())
    text = text.removeprefix("http/").removeprefix("/common/")
    if re.fullmatch(r"0x[0-9a-f]{1,15}", text):
        return str(int(text, 16))
    if re.fullmatch(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2})+", text):
        return re.sub("[:-]", "", text)
    if re.fullmatch(r"[0-9a-f:]*:[0-9a-f:.]+", text):
        with contextlib.suppress(ValueError):
            address = ipaddress.IPv6Address(text)
            return str(address.ipv4_mapped or address)
    return f"{float(text):.6f}" if re.fullmatch(r"[+-]?\d{1,18}(?:\.\d{1,9})?", text) else text


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
    for moment in (mine, mine + ZONE):
        if moment == theirs:
            return True
        if str(theirs.year) not in original and moment.replace(year=theirs.year) == theirs:
            return True
    return False


def flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested objects under dotted names."""
    for name, one in value.items():
        if isinstance(one, dict):
            yield from flat(one, f"{prefix}{name}.")
        else:
            yield prefix + name, one
