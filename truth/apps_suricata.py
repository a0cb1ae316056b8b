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


def compare(data: Path, ours: Callable[[Iterable[Path], str], list[Row]]) -> Iterator[Line]:
    lines = {kind: Line(kind, "suricata", "filters", floor=0.95) for kind in DATASETS}
    lines["http2"] = Line("http2", "suricata", "filters")
    left_out = dict.fromkeys(lines, 0)
    for path in sorted(data.glob("*-pcap/*/*/suricata_expect.json*")):
        paths = [one for one in captures(path.parent) if one.parent == path.parent]
        for test in json.loads(text(path)).get("tests", []):
            for check in test["test_yaml"].get("checks") or ():
                asked = check.get("filter")
                kind = (asked or {}).get("match", {}).get("event_type")
                if kind not in DATASETS or "lt-version" in asked.get("requires", {}):
                    continue
                old = asked["match"].get("dns.type") in ("query", "answer")
                mine = [one for one in events(kind, ours(paths, DATASETS[kind])) if one.get("old", old) == old]
                wanted = {
                    name: _address(value) if name in ("src_ip", "dest_ip") else value
                    for name, value in asked["match"].items()
                    if not name.startswith(BOOKS)
                }
                known = {name: value for name, value in wanted.items() if _has(kind, name)}
                cut = len(known) < len(asked["match"]) - 1  # a key is left out: at least as many must fit
                left_out[kind] += cut
                if not known or "count" not in asked or (cut and not asked["count"]) or _stopped(test["test_yaml"]):
                    continue
                count = sum(all(_equal(event.get(name), value) for name, value in known.items()) for event in mine)
                line = lines["http2" if _second(kind, ours(paths, "flow"), ours(paths, "http")) else kind]
                line.compared += 1
                if count == asked["count"] or (cut and count > asked["count"]):
                    line.equal += 1
                else:
                    line.missing += 1
                    line.notes.append(f"{test['test']} {known}: suricata {asked['count']}, we {count}"[:400])
    every = Line("dns http tls ssh quic", "suricata", "filters, all together", floor=0.99)
    for kind in DATASETS:
        every.compared += lines[kind].compared
        every.equal += lines[kind].equal
        every.missing += lines[kind].missing
    yield every
    for kind, line in lines.items():
        line.notes.append(
            f"{left_out[kind]} filters name keys without a column or Suricata's own: as many rows or more must fit"
        )
        yield line


def _second(kind: str, flows: list[Row], rows: list[Row]) -> bool:
    """Whether the capture speaks HTTP/2, whose frames are not read; it may carry DNS."""
    upgraded = any("h2c" in (row["event.fields"] or "") for row in rows)
    return kind in ("http", "dns") and (upgraded or any(row["network.protocol"] == "http2" for row in flows))


def _stopped(test: dict[str, Any]) -> bool:
    """Whether the test has Suricata drop traffic, so that it logs less than is there."""
    return any(word in " ".join(test.get("args") or ()) for word in ("--simulate-ips", "exception-policy", "memcap"))


def _address(value: Any) -> Any:
    """IPv6 as it is written short."""
    return str(ipaddress.ip_address(value)) if isinstance(value, str) and value.count(":") > 1 else value


def _equal(mine: Any, theirs: Any) -> bool:
    return str(mine).lower() == str(theirs).lower() if mine is not None else False


def _has(kind: str, name: str) -> bool:
    return name in _KEYS or name in _OF[kind]


_KEYS = {"src_ip", "src_port", "dest_ip", "dest_port", "proto"}
_OF = {
    "dns": {"dns.type", "dns.rrname", "dns.rrtype", "dns.id", "dns.tx_id_", "dns.rcode", "dns.queries[0].rrname",
            "dns.queries[0].rrtype", "dns.answers[0].rdata", "dns.answers[0].ttl", "dns.answers[0].rrtype",
            "dns.answers[1].rdata", "dns.answers[1].ttl", "dns.answers[1].rrtype", "dns.answers[0].rrname",
            "dns.answers[1].rrname", "dns.opcode", "dns.grouped.A[0]", "dns.grouped.A[1]"},
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
        more: Row = {"dns.rcode": row["dns.response_code"]}
        data, ttls, kinds = (row[f"dns.answers.{part}"] or [] for part in ("data", "ttl", "type"))
        owners = row["dns.answers.name"] or []
        for place, (value, ttl, sort, owner) in enumerate(zip(data, ttls, kinds, owners, strict=False)):
            more |= {
                f"dns.answers[{place}].rdata": value,
                f"dns.answers[{place}].ttl": ttl,
                f"dns.answers[{place}].rrtype": sort,
                f"dns.answers[{place}].rrname": owner,
            }
        for place, value in enumerate(v for v, sort in zip(data, kinds, strict=False) if sort == "A"):
            more[f"dns.grouped.A[{place}]"] = value
        back = {
            "src_ip": ends["dest_ip"],
            "src_port": ends["dest_port"],
            "dest_ip": ends["src_ip"],
            "dest_port": ends["src_port"],
        }
        yield ends | asked | more | {"dns.type": "answer", "old": True}
        yield ends | back | asked | more | {"dns.type": "response", "old": False}


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
