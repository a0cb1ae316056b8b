"""Suricata's ``filter`` checks on dns, http, tls, ssh and quic events, asked of our rows."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from truth.base import Line, captures, text

Row = dict[str, Any]
DATASETS = {"dns": "dns", "http": "http", "tls": "tls", "ssh": "ssh", "quic": "tls"}
BOOKS = (
    "pcap_cnt",
    "pkt_src",
    "tx_id",
    "ether.",
    "event_type",
    "metadata",
    "flow_id",
    "vlan",
    "community_id",
    "in_iface",
)
"""Suricata's own bookkeeping."""
CONSTANT = frozenset({"event_type", "dns.version"})
"""Keys that are the same in every event of a kind: the kind itself, the version of the log."""


class Asked:
    """Filters of one test that come down to the same keys of ours, and how many rows must fit at least."""

    def __init__(self) -> None:
        self._told: list[tuple[Row, int]] = []

    def add(self, match: Row, count: int) -> None:
        self._told.append((match, count))

    @property
    def least(self) -> int:
        """Filters that differ in a value of one key speak of different events, others may speak of the same."""
        keys = {key for match, _ in self._told for key in match}
        return max(self._apart(key) for key in keys)

    def _apart(self, key: str) -> int:
        most: dict[str, int] = {}
        for match, count in self._told:
            value = str(match.get(key))
            most[value] = max(most.get(value, 0), count)
        return sum(most.values())


def compare(data: Path, ours: Callable[[Iterable[Path], str], list[Row]]) -> Iterator[Line]:
    """A line per kind of event, one of the filters that name keys we have no column for, one of HTTP/2."""
    lines = {kind: Line(kind, "suricata", "filter: rows that fit", floor=0.99) for kind in DATASETS}
    cut = Line("dns http tls ssh quic", "suricata", "filter short of keys: rows that fit at least", floor=0.99)
    second = Line("http2", "suricata", "filter: rows that fit")
    for path in sorted(data.glob("*-pcap/*/*/suricata_expect.json*")):
        paths = [one for one in captures(path.parent) if one.parent == path.parent]
        if not paths:
            continue
        for test in json.loads(text(path)).get("tests", []):
            if _other(test["test_yaml"]):
                continue
            short: dict[tuple[str, str], tuple[Asked, Row]] = {}
            for kind, match, count in _filters(test):
                wanted = {name: value for name, value in match.items() if not name.startswith(BOOKS)}
                known = {name: _address(name, value) for name, value in wanted.items() if _has(kind, name)}
                if not known:
                    continue
                if _second(test):
                    _count(second, test["test"], known, count, _fitting(kind, match, known, ours, paths))
                elif len(known) == len(match) - len(CONSTANT & match.keys()):
                    _count(lines[kind], test["test"], known, count, _fitting(kind, match, known, ours, paths))
                elif count:
                    short.setdefault((kind, repr(known)), (Asked(), known))[0].add(match, count)
            for (kind, _), (asked, known) in short.items():
                found = _fitting(kind, known, known, ours, paths)
                _count(cut, test["test"], known, asked.least, min(asked.least, found))
    every = Line("dns http tls ssh quic", "suricata", "filters, all together", floor=0.99)
    for line in (*lines.values(), cut):
        every.compared += line.compared
        every.equal += line.equal
        every.missing += line.missing
    yield from (every, *lines.values(), cut, second)


def _filters(test: dict[str, Any]) -> Iterator[tuple[str, Row, int]]:
    """Kind of event, what is asked and how many must fit; those for other versions are left out."""
    for check in test["test_yaml"].get("checks") or ():
        asked = check.get("filter") or {}
        kind = asked.get("match", {}).get("event_type")
        if kind in DATASETS and "count" in asked and "lt-version" not in asked.get("requires", {}):
            yield kind, asked["match"], asked["count"]


def _fitting(kind: str, match: Row, known: Row, ours: Callable[..., list[Row]], paths: list[Path]) -> int:
    """How many of our events fit; a message is one event in the words the filter uses, old or new."""
    old = match.get("dns.type") in ("query", "answer")
    mine = (one for one in events(kind, ours(paths, DATASETS[kind])) if one.get("old", old) == old)
    return sum(all(_equal(event.get(name), value) for name, value in known.items()) for event in mine)


def _count(line: Line, test: str, known: Row, theirs: int, mine: int) -> None:
    line.compared += 1
    line.equal += theirs == mine
    line.missing += theirs != mine
    if theirs != mine:
        line.notes.append(f"{test} {known}: suricata {theirs}, we {mine}"[:400])


def _second(test: dict[str, Any]) -> bool:
    """Whether the test is one of HTTP/2 by its own words; its frames are not read."""
    return "http2" in json.dumps([test["test"], test["test_yaml"], test.get("rules")]).lower()


def _other(test: dict[str, Any]) -> bool:
    """Whether the test has Suricata drop traffic, so that it logs less than is there, or join VLANs against habit."""
    words = ("--simulate-ips", "exception-policy", "memcap", "vlan.use-for-tracking=false")
    return any(word in " ".join(test.get("args") or ()) for word in words)


def _address(name: str, value: Any) -> Any:
    """IPv6 as it is written short."""
    return str(ipaddress.ip_address(value)) if name in ("src_ip", "dest_ip") else value


def _equal(mine: Any, theirs: Any) -> bool:
    return str(mine).lower() == str(theirs).lower() if mine is not None else False


def _has(kind: str, name: str) -> bool:
    return name in _KEYS or name in _OF[kind]


_KEYS = {"src_ip", "src_port", "dest_ip", "dest_port", "proto"}
_OF = {
    "dns": {"dns.type", "dns.rrname", "dns.rrtype", "dns.id", "dns.tx_id_", "dns.rcode", "dns.queries[0].rrname",
            "dns.queries[0].rrtype", "dns.answers[0].rdata", "dns.answers[0].ttl", "dns.answers[0].rrtype",
            "dns.answers[1].rdata", "dns.answers[1].ttl", "dns.answers[1].rrtype", "dns.answers[0].rrname",
            "dns.answers[1].rrname", "dns.opcode", "dns.grouped.A[0]", "dns.grouped.A[1]", "dns.flags", "dns.qr",
            "dns.aa", "dns.rd", "dns.ra"},
    "http": {"http.hostname", "http.url", "http.http_method", "http.status", "http.length", "http.http_user_agent",
             "http.http_content_type", "http.protocol"},
    "tls": {"tls.sni", "tls.version", "tls.subject", "tls.issuerdn", "tls.fingerprint", "tls.serial", "tls.ja3.hash",
            "tls.ja4", "tls.notbefore", "tls.notafter", "tls.session_resumed", "tls.client_alpns[0]",
            "tls.client_alpns[1]", "tls.server_alpns[0]", "tls.client.serial", "tls.client.notbefore",
            "tls.client.notafter", "tls.subjectaltname[0]"},
    "ssh": {"ssh.client.software_version", "ssh.client.proto_version", "ssh.server.software_version",
            "ssh.server.proto_version", "ssh.client.hassh.hash", "ssh.server.hassh.hash"},
    "quic": {"quic.ja4"},
}  # fmt: skip


def events(kind: str, rows: list[Row]) -> Iterator[Row]:
    """Our rows as Suricata's events: a transaction of DNS is a query and an answer."""
    for row in rows:
        if kind in ("tls", "quic") and (row["network.protocol"] == "quic") != (kind == "quic"):
            continue
        if kind == "tls" and not row["tls.version"]:
            continue
        ends = {
            "src_ip": row["source.ip"],
            "src_port": row["source.port"],
            "dest_ip": row["destination.ip"],
            "dest_port": row["destination.port"],
            "proto": (row["network.transport"] or "").upper(),
        }
        yield from _MAKERS[kind](row, ends)


def _dns(row: Row, ends: Row) -> Iterator[Row]:
    asked = {
        "dns.id": row["dns.id"],
        "dns.rrname": row["dns.question.name"],
        "dns.rrtype": row["dns.question.type"],
        "dns.queries[0].rrname": row["dns.question.name"],
        "dns.queries[0].rrtype": row["dns.question.type"],
        "dns.opcode": _OPCODES.get(row["dns.op_code"] or "QUERY"),
    }
    if "query" in (row["dns.type"] or "") or row["event.duration"] is not None:
        yield ends | asked | {"dns.type": "query", "old": True}
        yield ends | asked | {"dns.type": "request", "old": False}
    if row["dns.response_code"] is not None:
        more: Row = {"dns.rcode": row["dns.response_code"], "dns.qr": True} | _flags(row)
        data, ttls, kinds = (row[f"dns.answers.{part}"] or [] for part in ("data", "ttl", "type"))
        owners = row["dns.answers.name"] or []
        for place, (value, ttl, sort, owner) in enumerate(zip(data, ttls, kinds, owners, strict=True)):
            more |= {
                f"dns.answers[{place}].rdata": value,
                f"dns.answers[{place}].ttl": ttl,
                f"dns.answers[{place}].rrtype": sort,
                f"dns.answers[{place}].rrname": owner,
            }
        for place, value in enumerate(v for v, sort in zip(data, kinds, strict=True) if sort == "A"):
            more[f"dns.grouped.A[{place}]"] = value
        back = {
            "src_ip": ends["dest_ip"],
            "src_port": ends["dest_port"],
            "dest_ip": ends["src_ip"],
            "dest_port": ends["src_port"],
        }
        yield ends | asked | more | {"dns.type": "answer", "old": True}
        yield ends | back | asked | more | {"dns.type": "response", "old": False}


def _flags(row: Row) -> Row:
    """Flags of an answer; what is not set is not written. ``dns.flags`` are the two octets in hexadecimal."""
    names = row["dns.header_flags"] or ()
    bits = sum(bit for name, bit in _BITS.items() if name in names)
    code = _RCODES.get(row["dns.response_code"])
    told: Row = {f"dns.{name.lower()}": True for name in ("AA", "RD", "RA") if name in names}
    if code is not None:
        told["dns.flags"] = f"{0x8000 | bits | _OPCODES.get(row['dns.op_code'] or 'QUERY', 0) << 11 | code:x}"
    return told


_BITS = {"AA": 0x400, "TC": 0x200, "RD": 0x100, "RA": 0x80, "AD": 0x20, "CD": 0x10}
_RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
_OPCODES = {"QUERY": 0, "IQUERY": 1, "STATUS": 2, "NOTIFY": 4, "UPDATE": 5, "DSO": 6}


def _http(row: Row, ends: Row) -> Iterator[Row]:
    yield ends | {
        "http.hostname": row["url.domain"],
        "http.url": row["url.original"],
        "http.http_method": row["http.request.method"],
        "http.status": row["http.response.status_code"],
        "http.length": row["http.response.body.bytes"] or 0,
        "http.http_user_agent": row["user_agent.original"],
        "http.http_content_type": row["http.response.mime_type"],
        "http.protocol": f"HTTP/{row['http.version']}",
    }


def _tls(row: Row, ends: Row) -> Iterator[Row]:
    version = row["tls.version"]
    family = (
        "TLS " if version not in ("1.0", "3.0", "2.0") else {"1.0": "TLSv1", "3.0": "SSLv3", "2.0": "SSLv2"}[version]
    )
    told = f"{family}{version}" if family == "TLS " else family
    sha1 = row["tls.server.hash.sha1"]
    event = ends | {
        "tls.sni": row["tls.client.server_name"],
        "tls.version": told.replace("-draft", " draft-"),
        "tls.subject": _forward(row["tls.server.subject"]),
        "tls.issuerdn": _forward(row["tls.server.issuer"]),
        "tls.fingerprint": ":".join(sha1[at : at + 2] for at in range(0, 40, 2)) if sha1 else None,
        "tls.serial": _serial(row["tls.server.x509.serial_number"]),
        "tls.ja3.hash": row["tls.client.ja3"],
        "tls.ja4": row["tls.client.ja4"],
        "quic.ja4": row["tls.client.ja4"],
        "tls.notbefore": _time(row["tls.server.not_before"]),
        "tls.notafter": _time(row["tls.server.not_after"]),
        "tls.client.notbefore": _time(row["tls.client.not_before"]),
        "tls.client.notafter": _time(row["tls.client.not_after"]),
        "tls.client.serial": _serial(row["tls.client.x509.serial_number"]),
        "tls.session_resumed": row["tls.resumed"],
        "tls.subjectaltname[0]": (row["tls.server.x509.alternative_names"] or [None])[0],
        "tls.server_alpns[0]": row["tls.next_protocol"],
    }
    yield event | {f"tls.client_alpns[{place}]": name for place, name in enumerate(row["tls.client.alpn"] or ())}


def _ssh(row: Row, ends: Row) -> Iterator[Row]:
    event = dict(ends)
    for side in ("client", "server"):
        banner = (row[f"ssh.{side}"] or "").removeprefix("SSH-")
        version, _, software = banner.partition("-")
        event[f"ssh.{side}.proto_version"], event[f"ssh.{side}.software_version"] = version, software.split(" ")[0]
    yield event | {"ssh.client.hassh.hash": row["ssh.hassh"], "ssh.server.hassh.hash": row["ssh.hassh_server"]}


_MAKERS = {"dns": _dns, "http": _http, "tls": _tls, "quic": _tls, "ssh": _ssh}


def _forward(name: str | None) -> str | None:
    """Suricata writes the parts as they come, with a blank."""
    if name is None:
        return None
    parts, last = [], ""
    for part in name.split(","):
        last = f"{last},{part}" if last else part
        if not last.endswith("\\"):
            parts.append(last.replace("\\,", ","))
            last = ""
    return ", ".join(reversed(parts)).replace("emailAddress=", "Email=")


def _serial(value: str | None) -> str | None:
    if value is None:
        return None
    number = int(value, 16)
    raw = abs(number).to_bytes(abs(number).bit_length() // 8 + 1, "big")
    raw = raw[1:] if raw[0] == 0 and len(raw) > 1 and not raw[1] & 0x80 else raw
    return ":".join(f"{octet:02X}" for octet in raw)


def _time(value: Any) -> str | None:
    return value.strftime("%Y-%m-%dT%H:%M:%S") if value else None
