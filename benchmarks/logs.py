"""Logs to tables, each against the plain Python way in the same run, over the same synthesised lines.

``python benchmarks/logs.py [--lines N] [--evtx FILE] [--json OUT]`` prints one JSON object: versions, machine, rates
(lines per second, wall and CPU; the median of some rounds) and ratios. Baselines, each over the same lines:

- *to columns*: the same work. Line by line to objects, cells or groups, then typed columns of every field and the raw
  line. This is what a ratio is measured against.
- *to 9 columns*: objects, of which nine named fields become columns. Less work than ours, which keeps all.
- *dicts only*, *text only*: objects or texts and nothing more. Less work than ours.

``eve, to events`` is the whole way: decoded, mapped to the collector's columns, ids minted. An event log cannot be
synthesised here: ``--evtx``, or one of those beside the checkout, whose fullest chunk is repeated; without one that
part says so. ``compiled`` tells whether the extra [fast] is on (``CITYGUARD_FAST=0`` turns it off).
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import platform
import random
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
import polars as pl

from cityguard import fast
from cityguard.collect.chunks import Chunks
from cityguard.collect.collect import Live
from cityguard.collect.collectors import Collectors
from cityguard.decoders import json as json_lines
from cityguard.decoders import syslog, table, windows
from cityguard.decoders.base import Decoder
from cityguard.model import Frames
from cityguard.sources import evtx, lines

BLOCK = 20_000
ROUNDS = 3
HEADER = re.compile(
    r"^<(?P<pri>\d+)>(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (?P<host>\S+) (?P<program>[^\s:\[]+)"
    r"(?:\[(?P<pid>\d+)\])?: (?P<message>.*)$"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--evtx", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    log_file = given.evtx or fullest(SHARED)
    eve, zeek, log = eve_lines(given.lines), zeek_lines(given.lines), syslog_lines(given.lines)
    out: dict[str, Any] = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "compiled": fast.ON,
        "versions": {name: version(name) for name in ("polars", "duckdb", "orjson", "pyarrow")},
        "lines": given.lines,
        "eve": compare(
            given.lines,
            ours(json_lines.decoder, eve),
            {
                "stdlib json to columns": lambda: flattened(eve, json.loads),
                "orjson to columns": lambda: flattened(eve, orjson.loads),
            },
            {
                "stdlib json to 9 columns": lambda: nine(eve, json.loads),
                "orjson to 9 columns": lambda: nine(eve, orjson.loads),
                "stdlib json, dicts only": lambda: [json.loads(one) for one in eve],
                "orjson, dicts only": lambda: [orjson.loads(one) for one in eve],
            },
        ),
        "eve, to events": compare(
            given.lines,
            to_events("suricata-eve", eve),
            {},
            {
                "stdlib json to columns": lambda: flattened(eve, json.loads),
                "orjson to columns": lambda: flattened(eve, orjson.loads),
            },
        ),
        "zeek": compare(given.lines, ours(table.decoder, zeek), {"python split to columns": lambda: split(zeek)}, {}),
        "syslog": compare(given.lines, ours(syslog.decoder, log), {"python re to columns": lambda: matched(log)}, {}),
        "syslog port": {f"{count} senders": median_of(port(log, count), given.lines) for count in (1, 100, 500)},
        "evtx": event_log(log_file) if log_file is not None else "no --evtx FILE given",
    }
    text = json.dumps(out, indent=1, ensure_ascii=False)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


def compare(
    count: int, ours: Callable[[], Any], peers: dict[str, Callable[[], Any]], others: dict[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Rates of both sides and how many times as fast ours is. ``others`` do less work than we do."""
    mine = median_of(ours, count)
    out: dict[str, Any] = {"cityguard": mine}
    for name, peer in (peers | others).items():
        out[name] = median_of(peer, count)
        out[f"times {name}"] = round(mine["per_second"] / out[name]["per_second"], 2)
        out[f"times {name}, CPU"] = round(mine["per_cpu_second"] / out[name]["per_cpu_second"], 2)
    return out


def median_of(run: Callable[[], Any], count: int) -> dict[str, float]:
    """The median of some rounds; the first, which may compile, is not counted."""
    run()
    wall, cpu = list[float](), list[float]()
    for _ in range(ROUNDS):
        gc.collect()
        began, spent = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    return {"per_second": round(count / median(wall)), "per_cpu_second": round(count / median(cpu))}


def ours(make: Callable[[dict[str, Any]], Decoder], text: list[str]) -> Callable[[], Any]:
    """Our decoder over the lines, in blocks as files are read."""
    raw = "\n".join(text).encode() + b"\n"
    blocks = [raw[at : at + (8 << 20)] for at in range(0, len(raw), 8 << 20)]
    return lambda: [decoder.decode(piece) for decoder in [make({})] for piece in framed(blocks)]


def port(text: list[str], senders: int) -> Callable[[], Any]:
    """A port of syslog: lines of many kinds, in the blocks a worker takes, from so many senders in turn."""
    collectors, now = Collectors.load(), datetime(2026, 3, 6, tzinfo=UTC)
    items = [line.encode() for line in text]
    blocks = [lines.one_each(items[at : at + BLOCK], first=at) for at in range(0, len(items), BLOCK)]
    names = [f"10.0.{n // 250}.{n % 250}" for n in range(senders)]

    def run() -> None:
        live = Live(collectors["syslog"], source="port", key="port", collectors=collectors)
        for block in blocks:
            list(live.block(block, [names[n % senders] for n in range(len(block))], now=now))

    return run


def to_events(name: str, text: list[str]) -> Callable[[], Any]:
    """The whole way of a collector: decoded, mapped, ids minted."""
    collector = Collectors.load()[name]
    raw = "\n".join(text).encode() + b"\n"
    blocks = [raw[at : at + (8 << 20)] for at in range(0, len(raw), 8 << 20)]
    now = datetime(2026, 3, 6, tzinfo=UTC)

    def run() -> None:
        decoder, finish = collector.decoder(), Chunks(collector, name, "eve.json", "key", now, None)
        for piece in framed(blocks):
            finish.chunk(piece, decoder.decode(piece))

    return run


NINE = ("timestamp", "event_type", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "flow_id", "app_proto")


def nine(text: list[str], loads: Callable[[str], Any]) -> pl.DataFrame:
    rows = [loads(one) for one in text]
    return pl.DataFrame([pl.Series(name, [row.get(name) for row in rows], strict=False) for name in NINE])


def framed(blocks: list[bytes]) -> list[Frames]:
    return list(lines.frames(blocks, line_bytes=64 << 10))


def flattened(text: list[str], loads: Callable[[str], Any]) -> pl.DataFrame:
    rows = [flat(loads(one), "", {"event.original": one}) for one in text]
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([pl.Series(name, [row.get(name) for row in rows], strict=False) for name in names])


def flat(value: dict[str, Any], prefix: str, out: dict[str, Any]) -> dict[str, Any]:
    for key, one in value.items():
        if isinstance(one, dict):
            flat(one, f"{prefix}{key}.", out)
        else:
            out[prefix + key] = json.dumps(one) if isinstance(one, list) else one
    return out


def split(text: list[str]) -> pl.DataFrame:
    names = text[FIELDS].split("\t")[1:]
    kinds = [KINDS.get(kind, str) for kind in text[FIELDS + 1].split("\t")[1:]]
    body = [one for one in text if not one.startswith("#")]
    turned = zip(*(one.split("\t") for one in body), strict=True)
    columns = [
        pl.Series(name, [None if cell == "-" else kind(cell) for cell in cells])
        for name, kind, cells in zip(names, kinds, turned, strict=True)
    ]
    return pl.DataFrame([*columns, pl.Series("event.original", body)])


def matched(text: list[str]) -> pl.DataFrame:
    rows = []
    for one in text:
        found = HEADER.match(one)
        assert found
        row = found.groupdict()
        pri = int(row["pri"])
        rows.append({**row, "pri": pri, "severity": pri % 8, "facility": pri // 8, "event.original": one})
    return pl.DataFrame({name: [row[name] for row in rows] for name in rows[0]})


FIELDS = 2
KINDS: dict[str, Callable[[str], Any]] = {
    "time": float,
    "interval": float,
    "count": int,
    "port": int,
    "bool": lambda cell: cell == "T",
    "set[string]": lambda cell: [] if cell == "(empty)" else cell.split(","),
}


SHARED = Path(__file__).parents[2] / "shared" / "data" / "evtx"
HEAD, CHUNK, REPEATED = 4096, 65_536, 300


def fullest(folder: Path) -> bytes | None:
    """An event log made of the chunk with most records among the files of a folder, many times over."""
    files = sorted(folder.rglob("*.evtx")) if folder.is_dir() else []
    found: tuple[int, bytes, bytes] = (0, b"", b"")
    for path in files:
        whole = path.read_bytes()
        for at in range(HEAD, len(whole) - CHUNK + 1, CHUNK):
            chunk = whole[at : at + CHUNK]
            first, last = struct.unpack_from("<QQ", chunk, 8)
            if chunk.startswith(b"ElfChnk\0") and last - first < CHUNK:
                found = max(found, (last - first, whole[:HEAD], chunk))
    if not found[0]:
        return None
    head = bytearray(found[1])
    struct.pack_into("<QQ", head, 8, 0, REPEATED - 1)
    struct.pack_into("<H", head, 42, REPEATED)
    struct.pack_into("<I", head, 124, zlib.crc32(head[:120]))
    return bytes(head) + found[2] * REPEATED


def event_log(given: Path | bytes) -> dict[str, Any]:
    """Records of an event log, read by the library alone, to objects, and by us."""
    import evtx as library

    whole = given if isinstance(given, bytes) else given.read_bytes()
    buffer = np.frombuffer(whole, np.uint8)

    def texts() -> Iterator[str]:
        parser = library.PyEvtxParser(io.BytesIO(whole), number_of_threads=1)
        return (record["data"] for record in parser.records_json() if record is not None)

    count = sum(1 for _ in texts())
    rates = compare(
        count,
        lambda: [windows.decoder({}).decode(piece) for piece in evtx.frames(buffer)],
        {"evtx library and json, to columns": lambda: flattened(list(texts()), json.loads)},
        {
            "evtx library and json, dicts only": lambda: [json.loads(one) for one in texts()],
            "evtx library, text only": lambda: sum(1 for _ in texts()),
        },
    )
    return {"records": count, **rates}


def syslog_lines(count: int) -> list[str]:
    """RFC 3164 lines of logins."""
    rng = random.Random(1)
    return [
        f"<{rng.randrange(192)}>Mar  5 14:{n // 60 % 60:02d}:{n % 60:02d} web{n % 50:02d} sshd[{rng.randrange(9999)}]: "
        f"Failed password for root from 203.0.113.{n % 256} port {rng.randrange(65535)} ssh2"
        for n in range(count)
    ]


def zeek_lines(count: int) -> list[str]:
    """A conn.log with its head."""
    rng = random.Random(2)
    names = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state "
    names += "local_orig local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents"
    kinds = (
        "time string addr port addr port enum string interval count count string bool bool count string count count "
    )
    kinds += "count count set[string]"
    head = [
        "#separator \\x09",
        "#path\tconn",
        "\t".join(["#fields", *names.split()]),
        "\t".join(["#types", *kinds.split()]),
    ]
    return head + [
        f"{1772691129 + n}.25\tC{n}a\t10.0.{n % 256}.1\t{rng.randrange(65535)}\t192.0.2.{n % 256}\t443\ttcp\tssl\t"
        f"{rng.random():.6f}\t{rng.randrange(9999)}\t{rng.randrange(9999)}\tSF\tT\tF\t0\t"
        f"ShADadFf\t{n % 99}\t{n % 9999}\t"
        f"{n % 77}\t{n % 8888}\t(empty)"
        for n in range(count)
    ]


def eve_lines(count: int) -> list[str]:
    """Flows, DNS, HTTP, TLS and alerts, as a sensor writes them."""
    rng = random.Random(3)
    return [json.dumps(eve_event(rng, n), separators=(",", ":")) for n in range(count)]


def eve_event(rng: random.Random, n: int) -> dict[str, Any]:
    stamp = f"2026-03-05T14:{n // 6000 % 60:02d}:{n // 100 % 60:02d}.{n % 1_000_000:06d}+0800"
    event: dict[str, Any] = {
        "timestamp": stamp,
        "flow_id": rng.getrandbits(50),
        "in_iface": "eth0",
        "event_type": "flow",
    }
    event |= {"src_ip": f"10.0.{rng.randrange(256)}.{rng.randrange(256)}", "src_port": rng.randrange(1024, 65536)}
    event |= {"dest_ip": f"192.0.2.{rng.randrange(256)}", "dest_port": rng.choice([53, 80, 443]), "proto": "TCP"}
    kind = rng.random()
    if kind < 0.45:
        flow: dict[str, Any] = {
            name: rng.randrange(9999)
            for name in ("pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient", "age")
        }
        flow |= {"start": stamp, "end": stamp, "state": "closed", "reason": "timeout", "alerted": False}
        tcp = {
            "tcp_flags": "1b",
            "tcp_flags_ts": "1b",
            "tcp_flags_tc": "1b",
            "syn": True,
            "fin": True,
            "state": "closed",
        }
        return event | {"app_proto": "tls", "flow": flow, "tcp": tcp}
    if kind < 0.7:
        answer = {"rrname": "h.example.org", "rrtype": "A", "ttl": 60, "rdata": f"192.0.2.{n % 256}"}
        dns = {"version": 2, "type": "answer", "id": rng.randrange(65536), "flags": "8180", "qr": True, "rd": True}
        dns |= {"rrname": f"h{rng.randrange(999)}.example.org", "rrtype": "A", "rcode": "NOERROR", "answers": [answer]}
        return event | {"event_type": "dns", "proto": "UDP", "dns": dns}
    if kind < 0.85:
        http: dict[str, Any] = {
            "hostname": "portal.example.org",
            "url": f"/a/{rng.randrange(9999)}?x=1",
            "http_user_agent": "curl/8.5.0",
        }
        http |= {"http_method": "GET", "protocol": "HTTP/1.1", "status": 200, "length": rng.randrange(9999)}
        return event | {"event_type": "http", "tx_id": 0, "http": http}
    if kind < 0.95:
        tls: dict[str, Any] = {
            "subject": "CN=a.example.org",
            "issuerdn": "CN=ca",
            "sni": "a.example.org",
            "version": "TLS 1.2",
        }
        tls |= {"notbefore": "2026-01-01T00:00:00", "ja3": {"hash": "a" * 32, "string": "771,1-2-3"}}
        return event | {"event_type": "tls", "tls": tls}
    alert = {
        "action": "allowed",
        "gid": 1,
        "signature_id": 2100498,
        "signature": "own test",
        "category": "Bad",
        "severity": 2,
    }
    return event | {"event_type": "alert", "app_proto": "http", "alert": alert}


if __name__ == "__main__":
    main()
