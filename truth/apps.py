"""DNS, HTTP, TLS, SSH and QUIC beside Zeek's logs, Suricata's filters, Arkime's sessions and nDPI's fingerprints."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from truth import apps_suricata
from truth.base import CAPTURES, Line, kept, rows, text, zeek
from truth.spelling import (
    alpn,
    distinguished,
    dns_type,
    number,
    seconds,
    tls_version,
    zeek_answer,
    zeek_answers,
    zeek_uri,
)

Row = dict[str, Any]
Unit = Callable[[Row], str | None]

DNS: dict[str, Unit] = {
    "proto": lambda row: row["network.transport"],
    "trans_id": lambda row: str(row["dns.id"]),
    "query": lambda row: row["dns.question.name"] or None,
    "qtype_name": lambda row: row["dns.question.type"],
    "qclass": lambda row: {"IN": "1", "CH": "3", "HS": "4", "NONE": "254", "ANY": "255"}.get(
        row["dns.question.class"] or ""
    ),
    "rcode_name": lambda row: row["dns.response_code"],
    "AA": lambda row: _flag(row, "AA"),
    "TC": lambda row: _flag(row, "TC"),
    "RD": lambda row: _flag(row, "RD"),
    "RA": lambda row: _flag(row, "RA"),
    "rejected": lambda row: "T" if row["dns.rejected"] else "F",
    "rtt": lambda row: seconds(row["event.duration"]),
    "opcode_name": lambda row: (row["dns.op_code"] or "").lower() or None,
    "answers": lambda row: _answers(row),
    "TTLs": lambda row: ",".join(row["dns.answers.ttl"] or ()) or None,
    "addresses": lambda row: ",".join(sorted(row["dns.resolved_ip"] or ())) or None,
}
HTTP: dict[str, Unit] = {
    "method": lambda row: row["http.request.method"],
    "host": lambda row: _host(row),
    "uri": lambda row: zeek_uri(row["url.original"]),
    "referrer": lambda row: row["http.request.referrer"],
    "version": lambda row: json.loads(row["event.fields"] or "{}").get("response_version", row["http.version"]),
    "user_agent": lambda row: row["user_agent.original"],
    "request_body_len": lambda row: number(row["http.request.body.bytes"] or 0),
    "response_body_len": lambda row: _body(row),
    "status_code": lambda row: number(row["http.response.status_code"]),
    "status_msg": lambda row: row["http.response.status_text"],
    "username": lambda row: row["user.name"],
    "resp_mime_types": lambda row: row["http.response.body.mime_type"],
    "filename": lambda row: ",".join(row["http.file.names"] or ()) or None,
}
SSL: dict[str, Unit] = {
    "version": tls_version,
    "cipher": lambda row: row["tls.cipher"],
    "curve": lambda row: row["tls.curve"],
    "server_name": lambda row: row["tls.client.server_name"],
    "resumed": lambda row: "T" if row["tls.resumed"] else "F",
    "last_alert": lambda row: row["tls.alert"],
    "next_protocol": lambda row: row["tls.next_protocol"],
    "established": lambda row: "T" if row["tls.established"] else "F",
    "cert_chain_fps": lambda row: ",".join(row["tls.server.certificate_chain"] or ()) or None,
    "client_cert_chain_fps": lambda row: ",".join(row["tls.client.certificate_chain"] or ()) or None,
    "subject": lambda row: distinguished(row["tls.server.subject"]),
    "issuer": lambda row: distinguished(row["tls.server.issuer"]),
    "client_subject": lambda row: distinguished(row["tls.client.subject"]),
    "client_issuer": lambda row: distinguished(row["tls.client.issuer"]),
}
SSH: dict[str, Unit] = {
    "version": lambda row: number(row["ssh.version"]),
    "auth_success": lambda row: None if row["ssh.auth_success"] is None else "T" if row["ssh.auth_success"] else "F",
    "client": lambda row: row["ssh.client"],
    "server": lambda row: row["ssh.server"],
    "cipher_alg": lambda row: row["ssh.cipher_alg"],
    "mac_alg": lambda row: row["ssh.mac_alg"],
    "compression_alg": lambda row: row["ssh.compression_alg"],
    "kex_alg": lambda row: row["ssh.kex_alg"],
    "host_key_alg": lambda row: row["ssh.host_key_alg"],
    "host_key_fingerprint": lambda row: (row["ssh.host_key"] or "")[:39] or None,  # Zeek writes 24 of the 32 bytes
}
QUIC: dict[str, Unit] = {
    "version": lambda row: _quic(row, "version"),
    "client_initial_dcid": lambda row: _quic(row, "client_initial_dcid"),
    "client_scid": lambda row: _quic(row, "client_scid"),
    "server_scid": lambda row: _quic(row, "server_scid"),
    "server_name": lambda row: row["tls.client.server_name"],
    "client_protocol": lambda row: (row["tls.client.alpn"] or [None])[0],
}
LOGS = (("dns", "dns", DNS), ("http", "http", HTTP), ("ssl", "tls", SSL), ("ssh", "ssh", SSH), ("quic", "tls", QUIC))


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> None:
        return None


@kept
def decoded(path: Path) -> pl.DataFrame:
    return rows(path)


def ours(paths: Iterable[Path], dataset: str) -> list[Row]:
    """Our rows of some captures, unknown columns as None."""
    found: list[Row] = []
    for path in paths:
        table = decoded(path)
        if table.height:
            found += [_Blank(row) for row in table.filter(pl.col("dataset") == dataset).to_dicts()]
    return found


def compare(data: Path) -> Iterable[Line]:
    """Every comparison of this family."""
    for log, dataset, fields in LOGS:
        yield from _zeek(data, log, dataset, fields)
    yield from _certificates(data)
    yield from apps_suricata.compare(data, ours)
    yield from _arkime(data)
    yield from _ndpi(data)


def cases(data: Path, pattern: str) -> Iterator[tuple[str, list[Path], Path]]:
    """Files of answers below the captures of a case: its name, its captures, the file."""
    for path in sorted(data.glob(pattern)):
        above = (one for one in path.parents if data in one.parents)
        folder = next((one for one in above if captures_in(one)), None)
        if folder is not None:
            yield f"{folder.name}/{path.parent.name}", captures_in(folder), path


@lru_cache(4_096)
def captures_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.name.lower().endswith(CAPTURES)]


def _zeek(data: Path, log: str, dataset: str, fields: dict[str, Unit]) -> Iterator[Line]:
    rows_line, line = Line(log, "zeek", "rows", floor=0.99, most_extra=0.02), Line(log, "zeek", "fields", floor=0.99)
    per: dict[str, list[int]] = {name: [0, 0] for name in fields}
    for case, paths, path in cases(data, f"*-pcap/*/*/zeek/*/{log}.log*"):
        theirs = [row for row in _log(path) if not _retried(log, row) and not _empty(log, row)]
        mine = [row for row in ours(paths, dataset) if log != "quic" or row["network.protocol"] == "quic"]
        rows_line.add(case, (_zeek_ends(row) for row in theirs), map(_ends, mine))
        wanted: Counter[Any] = Counter(unit for row in theirs for unit in _zeek_units(log, row, fields))
        if log == "quic" and len(_log(path)) > len(theirs):  # after a Retry Zeek's first id is that of the second try
            wanted = Counter({unit: count for unit, count in wanted.items() if unit[1] != "client_initial_dcid"})
        if log == "http":  # bodies that cannot be compared
            blind = {(_ends(row), zeek_uri(row["url.original"]) or "") for row in mine if _body(row) == "encoded"}
            for row in theirs:
                if (_zeek_ends(row), row.get("uri", "")) in blind:
                    for name in ("response_body_len", "resp_mime_types"):
                        wanted[_zeek_ends(row), name, row.get(name, "")] -= 1
            wanted = +wanted
        given: Counter[Any] = Counter((_ends(row), name, say(row)) for row in mine for name, say in fields.items())
        missing = wanted - given
        line.compared += wanted.total()
        line.missing += missing.total()
        line.equal += wanted.total() - missing.total()
        for unit, count in wanted.items():
            per[unit[1]][0] += count
            per[unit[1]][1] += missing[unit]
        for unit in missing:
            said = [
                say(row) for row in mine for name, say in fields.items() if name == unit[1] and _ends(row) == unit[0]
            ]
            line.notes.append(f"{case} {unit[0]} {unit[1]}: zeek {unit[2]!r}, we {said[:3]}"[:400])
    line.notes.append(" ".join(f"{name} {had - lost}/{had}" for name, (had, lost) in per.items() if had))
    yield rows_line
    yield line


def _log(path: Path) -> list[dict[str, str]]:
    """A log's records; tests cut some down to columns without a head."""
    lines = text(path).splitlines()
    if not any(line.startswith("#fields") for line in lines) and any("id.orig_h\t" in line for line in lines):
        head = next(line for line in lines if "id.orig_h\t" in line)
        told = [line for line in lines if line != head and not line.startswith("#")]
        values = [["" if one in ("-", "-,-", "(empty)") else one for one in line.split("\t")] for line in told]
        return [dict(zip(head.split("\t"), one, strict=False)) for one in values]
    return [row for row in zeek(path) if "id.orig_h" in row]


def _retried(log: str, row: dict[str, str]) -> bool:
    """Zeek writes a row for the attempt a Retry answers, and another for the connection."""
    return log == "quic" and row.get("history", "").endswith("r") and not row.get("server_scid")


def _empty(log: str, row: dict[str, str]) -> bool:
    """After HTTP/0.9 Zeek writes a row that says nothing."""
    return log == "http" and not row.get("method") and not row.get("status_code")


def _zeek_ends(row: dict[str, str]) -> tuple[str, ...]:
    ends = tuple(row[name] for name in ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"))
    flipped = row.get("ssl_history", "").startswith("^")  # the TLS client is the one who answered
    return (*ends[2:], *ends[:2]) if flipped else ends


def _ends(row: Row) -> tuple[str, ...]:
    return tuple(str(row[f"{side}.{name}"]) for side in ("source", "destination") for name in ("ip", "port"))


def _zeek_units(log: str, row: dict[str, str], fields: dict[str, Unit]) -> Iterator[tuple[Any, str, str]]:
    ends = _zeek_ends(row)
    for name in fields:
        value = _said(log, name, row)
        if value:
            yield ends, name, value


def _said(log: str, name: str, row: dict[str, str]) -> str | None:
    """Zeek's value in our spelling; None where it says nothing."""
    value = row.get(name, "")
    if log == "dns" and name == "addresses":
        found = [
            one for one in row.get("answers", "").split(",") if re.fullmatch(r"[0-9.]{7,}|[0-9a-f:]*:[0-9a-f:.]*", one)
        ]
        return ",".join(sorted(found)) or None
    if log == "dns" and name == "answers":
        return zeek_answers(row["answers"]) if row.get("answers") else "none" if "answers" in row else None
    if name == "filename":
        both = [row.get(one, "") for one in ("orig_filenames", "resp_filenames")]
        return ",".join(one for one in both if one) or None
    if not value:
        return None
    if log == "dns" and ((name in ("AA", "RA") and not row.get("TTLs")) or (name == "RD" and not row.get("qclass"))):
        return None  # Zeek notes AA and RA with an answer's records alone, RD with the query
    if log == "quic":
        value = "" if value == "(empty)" else value.removeprefix("quicv")
    if name == "host_key_fingerprint":
        value = value[:39]
    if log == "dns":
        value = dns_type(value) if name == "qtype_name" else value
        value = ",".join(one.split(".")[0] for one in value.split(",")) if name == "TTLs" else value
        return value.lower() if name == "query" else value
    if name in ("subject", "issuer", "client_subject", "client_issuer"):
        return distinguished(value)
    if log == "http" and (value == "<empty>" or (name == "status_code" and value == "0")):
        return None
    if name in ("server_name", "host"):
        return value.lower().rstrip(".")
    return alpn(value) if name == "resp_mime_types" else value


def _answers(row: Row) -> str:
    kinds, data = row["dns.answers.type"] or (), row["dns.answers.data"] or ()
    return ",".join(zeek_answer(kind, value) for kind, value in zip(kinds, data, strict=True)) or "none"


def _host(row: Row) -> str | None:
    port = row["url.port"]
    return ((row["url.domain"] or "").lower() + (f":{port}" if port is not None else "")) or None


def _body(row: Row) -> str | None:
    """Zeek counts bodies after their Content-Encoding is undone, we count them on the wire."""
    encoded = json.loads(row["event.fields"] or "{}").get("response", {}).get("content-encoding")
    return "encoded" if encoded else number(row["http.response.body.bytes"] or 0)


def _flag(row: Row, name: str) -> str:
    return "T" if name in (row["dns.header_flags"] or ()) else "F"


def _quic(row: Row, name: str) -> str | None:
    value = json.loads(row["event.fields"] or "{}").get("quic", {}).get(name)
    return value or None


def _certificates(data: Path) -> Iterator[Line]:
    """x509.log: what certificates say, by SHA-256."""
    line = Line("x509", "zeek", "fields", floor=0.99)
    for case, paths, path in cases(data, "*-pcap/*/*/zeek/*/x509.log*"):
        mine: dict[str, Row] = {}
        for row in ours(paths, "tls"):
            extra = json.loads(row["event.fields"] or "{}")
            for chain in ("server_chain", "client_chain"):
                mine |= {one["hash.sha256"]: one for one in extra.get(chain, ())}
            for side in ("server", "client"):
                if row[f"tls.{side}.hash.sha256"]:
                    own = {name.removeprefix(f"tls.{side}."): value for name, value in row.items()}
                    mine[row[f"tls.{side}.hash.sha256"]] = {**own, "whole": side == "server"}
        if not mine:  # they came in RDP's own messages, not in TLS
            continue
        for theirs in zeek(path):
            if "certificate.serial" in theirs:
                one = mine.get(theirs["fingerprint"], {})
                line.add(case, _certified(theirs), _own(one, theirs))
    yield line


def _certified(row: dict[str, str]) -> list[tuple[str, str]]:
    names = (
        "certificate.serial",
        "certificate.subject",
        "certificate.issuer",
        "certificate.sig_alg",
        "certificate.key_length",
        "certificate.not_valid_before",
        "certificate.not_valid_after",
        "certificate.version",
        "certificate.curve",
    )
    found = [(name, row[name]) for name in names if row.get(name)]
    return [(name, _plain(name, value)) for name, value in found]


def _plain(name: str, value: str) -> str:
    if name.endswith(("subject", "issuer")):
        return distinguished(value) or ""
    if name.endswith("serial"):
        return f"{int(value.replace('-', ''), 16):x}"
    return value.split(".")[0] if "valid" in name else value


def _own(row: Row, theirs: dict[str, str]) -> list[tuple[str, str]]:
    said = {
        "certificate.serial": str(row.get("x509.serial_number") or "").lstrip("-"),
        "certificate.subject": distinguished(row.get("subject")) or "",
        "certificate.issuer": distinguished(row.get("issuer")) or "",
        "certificate.sig_alg": str(row.get("x509.signature_algorithm")),
        "certificate.key_length": str(row.get("x509.public_key_size")),
        "certificate.not_valid_before": seconds_of(row.get("not_before")),
        "certificate.not_valid_after": seconds_of(row.get("not_after")),
        "certificate.version": str(row.get("x509.version_number")),
        "certificate.curve": str(row.get("x509.public_key_curve")),
    }
    return [(name, value) for name, value in said.items() if theirs.get(name)]


def seconds_of(value: Any) -> str:
    from datetime import datetime

    moment = datetime.fromisoformat(value) if isinstance(value, str) and value not in ("", "None") else value
    return str(int(moment.timestamp())) if isinstance(moment, datetime) else ""


def _arkime(data: Path) -> Iterator[Line]:
    """Lists of values of each session; Arkime keeps a value once."""
    wanted_of: dict[str, dict[str, Callable[[Row], Any]]] = {
        "tls": {
            "ja3": lambda row: row["tls.client.ja3"],
            "ja3s": lambda row: row["tls.server.ja3s"],
            "ja4": lambda row: row["tls.client.ja4"],
            "cipher": lambda row: row["tls.cipher"],
        },
        "http": {
            "method": lambda row: row["http.request.method"],
            "statuscode": lambda row: row["http.response.status_code"],
            "useragent": lambda row: row["user_agent.original"],
            "path": lambda row: row["url.path"],
        },
        "ssh": {
            "hassh": lambda row: row["ssh.hassh"],
            "hasshServer": lambda row: row["ssh.hassh_server"],
        },
    }
    lines = {name: Line(name, "arkime", "values of a connection") for name in wanted_of}
    for case, paths, path in cases(data, "*-pcap/*/*/arkime/*.json*"):
        for ends, bodies in _by_ends(json.loads(text(path)).get("sessions3", [])).items():
            for name, fields in wanted_of.items():
                mine = [row for row in ours(paths, name) if frozenset((_ends(row)[:2], _ends(row)[2:])) == ends]
                for field, say in fields.items():
                    theirs = {str(value) for body in bodies for value in body.get(name, {}).get(field, [])}
                    if theirs:
                        said = {str(say(row)) for row in mine if say(row) is not None}
                        lines[name].add(case, ((field, one) for one in theirs), ((field, one) for one in said))
    yield from lines.values()


def _by_ends(sessions: list[dict[str, Any]]) -> dict[frozenset[tuple[str, ...]], list[Row]]:
    """Sessions by their two ends: it cuts a connection into several."""
    found: dict[frozenset[tuple[str, ...]], list[Row]] = {}
    for body in (session["body"] for session in sessions):
        if "ip" in body.get("source", {}):
            ends = [
                (str(ipaddress.ip_address(body[side]["ip"])), str(body[side].get("port")))
                for side in ("source", "destination")
            ]
            found.setdefault(frozenset(ends), []).append(body)
    return found


_MARKED = re.compile(r" \((?:WEAK|INSECURE)\)$")
_FLOW = re.compile(r"^\s+\d+\s+(?:TCP|UDP) (\S+):(\d+) (?:<->|->) (\S+):(\d+) ")
_PRINTS = re.compile(r"\[(JA3C|JA3S|JA4): ([^\]]+)\]")


def _plain_ip(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value.strip("[]")))
    except ValueError:  # nDPI's own shortening
        return value.strip("[]")


def _ja4(value: str | None) -> str | None:
    """nDPI writes d wherever it knows a name by any way, and other letters for ALPN than the specification."""
    return value and f"{value[:3]}_{value[4:8]}_{value[10:]}"


def _ndpi(data: Path) -> Iterator[Line]:
    """Fingerprints per flow; the flow's last one where a connection was reused."""
    columns = {"JA3C": "tls.client.ja3", "JA3S": "tls.server.ja3s", "JA4": "tls.client.ja4"}
    lines = {name: Line(name.lower(), "ndpi", "flows") for name in columns}
    for case, paths, path in cases(data, "*-pcap/*/*/ndpi/*.out*"):
        mine: dict[tuple[str, ...], list[Row]] = {}
        said = text(path)
        if not _PRINTS.search(said):
            continue
        for row in ours(paths, "tls"):
            mine.setdefault(tuple(sorted((":".join(_ends(row)[:2]), ":".join(_ends(row)[2:])))), []).append(row)
        for flow in said.splitlines():
            found = _FLOW.match(flow)
            if not found:
                continue
            source, port, destination, other = found.groups()
            ends = tuple(sorted((f"{_plain_ip(source)}:{port}", f"{_plain_ip(destination)}:{other}")))
            for name, said_of in _PRINTS.findall(flow):
                value = _MARKED.sub("", said_of)
                given = [row[columns[name]] for row in mine.get(ends, ())]
                if name == "JA4":
                    value, given = _ja4(value) or "", [_ja4(one) for one in given]
                lines[name].add(f"{case} {ends}", [value], [value] if value in given else given[-1:])
    yield from lines.values()
