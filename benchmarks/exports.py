"""Flow exports over loopback UDP to Parquet, against nfcapd, goflow2 and the ``netflow`` package in the same run.

``python benchmarks/exports.py [--packets N] [--copies N] [--json OUT]`` prints one JSON object. softflowd exports a
synthetic capture as NetFlow v9 and IPFIX (its own small template groups); the datagrams are kept and sent again,
``copies`` times with going-on sequence numbers, to each collector in turn. Counted: flow records kept per CPU second
(user and system) of the receiving process, from the first datagram to the last file. cityguard receives with
``sources.block``, decodes and writes Parquet with ``store.quick`` (not compressed, like nfcapd's files; columns that
hold something) without spool and store; the Community ID, which no peer makes, is counted apart. The interpreter's
start and end are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import flows

VERSIONS = {9: "NetFlow v9", 10: "IPFIX"}
PACE = 10_000  # datagrams per second: what every peer can take without losing many
BLOCK = 4_000  # datagrams decoded together: about the 100,000 rows from which on the store writes a file


def exported(capture: Path, version: int) -> list[bytes]:
    """What softflowd sends for a capture."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.5)
        port = sock.getsockname()[1]
        command = ["softflowd", "-r", str(capture), "-v", str(version), "-n", f"127.0.0.1:{port}"]
        made = subprocess.Popen(
            [*command, "-c", "none", "-d", "-m", "2000000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        found = []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            ended = made.poll() is not None
            try:
                while True:
                    found.append(sock.recv(65_535))
            except TimeoutError:
                if ended:
                    break
    return found


def repeated(found: list[bytes], version: int, copies: int) -> list[bytes]:
    """The datagrams several times over, their sequence numbers going on."""
    at = 12 if version == 9 else 8
    numbers = [struct.unpack_from(">I", one, at)[0] for one in found]
    step = len(found) if version == 9 else (numbers[-1] - numbers[0]) & 0xFFFFFFFF
    return [
        one[:at] + struct.pack(">I", (number + step * nth) & 0xFFFFFFFF) + one[at + 4 :]
        for nth in range(copies)
        for one, number in zip(found, numbers, strict=True)
    ]


def send(datagrams: list[bytes], port: int, pace: int) -> None:
    """Send at an even pace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        begin = time.perf_counter()
        for nth, one in enumerate(datagrams):
            sock.sendto(one, ("127.0.0.1", port))
            if nth % 50 == 49:
                wait = begin + (nth + 1) / pace - time.perf_counter()
                if wait > 0:
                    time.sleep(wait)


def _cpu(pid: int) -> float:
    """User and system seconds of a process so far, its threads and waited-for children included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def collect(
    command: list[str], port: int, datagrams: list[bytes], pace: int, env: dict[str, str] | None = None
) -> float:
    """Run a collector, send it everything, end it; CPU seconds it took, its start left out."""
    with tempfile.TemporaryFile() as errors:
        made = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, **(env or {})})
        try:
            deadline = time.monotonic() + 60
            while f":{port:04X} " not in Path("/proc/net/udp").read_text() + Path("/proc/net/udp6").read_text():
                if made.poll() is not None or time.monotonic() > deadline:
                    errors.seek(0)
                    raise OSError(errors.read().decode("utf-8", "replace")[-500:] or "it did not start")
                time.sleep(0.05)
            time.sleep(1.0)
            before = _cpu(made.pid)
            send(datagrams, port, pace)
            _settle(made.pid)
            used = _cpu(made.pid)
            made.send_signal(signal.SIGINT)
            while made.poll() is None:
                with suppress(OSError, IndexError):
                    used = max(used, _cpu(made.pid))
                time.sleep(0.01)
        finally:
            if made.poll() is None:
                made.kill()
    return used - before


def _settle(pid: int) -> None:
    """Wait until a process has nothing more to do."""
    last = -1.0
    while (now := _cpu(pid)) != last:
        last = now
        time.sleep(1.0)


# ---------------------------------------------------------------- collectors


def serve(port: int, out: Path, *, community_id: bool) -> None:
    """cityguard: receive, decode, write Parquet; ends with SIGINT and writes what it counted."""
    from threading import Event

    import polars as pl

    from cityguard.decoders import netflow
    from cityguard.sources import block, udp
    from cityguard.store import quick

    stop, drops = Event(), udp.Drops()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    exports, told = netflow.Exports(community_id=community_id), {"datagrams": 0, "rows": 0}

    def work(frames: Any, peers: list[str]) -> None:
        for nth, batch in enumerate(exports.decode_from(frames, peers).batches):
            table = pl.DataFrame([column for column in batch.table if column.null_count() < len(column)])
            with (out / f"{told['datagrams']}-{nth}.parquet").open("wb") as file:
                quick.write(table, file)
            told["rows"] += table.height
        told["datagrams"] += len(frames)

    for _ in range(3):  # loops loaded, memory grown: a collector runs for months
        for batch in netflow.Exports(community_id=community_id).decode(_warm(BLOCK)).batches:
            with (out / "warm.parquet").open("wb") as file:
                quick.write(batch.table, file)
    with udp.bind("127.0.0.1", port) as sock:
        block.receive(sock, work, stop, drops, size=BLOCK)
    (out / "told.json").write_text(json.dumps({**told, "dropped": drops.kernel}))
    os._exit(0)  # what taking the interpreter down costs is no part of it, like its start


def _warm(count: int) -> Any:
    """v9 datagrams of every kind of field, so that compiled loops are loaded before the clock runs."""
    import numpy as np

    from cityguard.model import Frames

    rest = ((7, 2), (11, 2), (4, 1), (1, 4), (2, 4), (21, 4), (22, 4))
    raw = struct.pack(">HHIIII", 9, 2, 1000, 1_700_000_000, 0, 99)
    for number, ends in ((300, ((8, 4), (12, 4))), (301, ((27, 16), (28, 16)))):
        fields = ends + rest
        learn = b"".join(struct.pack(">HH", *field) for field in fields)
        size = sum(length for _, length in fields)
        raw += struct.pack(">HHHH", 0, 8 + len(learn), number, len(fields)) + learn
        raw += struct.pack(">HH", number, 4 + 14 * size) + b"\1" * size * 14
    names = struct.pack(">HHHHHHHHHHH", 1, 22, 400, 4, 8, 1, 4, 34, 4, 82, 8)  # an options template, and its data
    raw += names + struct.pack(">HHII8s", 400, 20, 0, 1, b"eth0")
    length = np.full(count, len(raw), np.int64)
    nth = np.arange(count)
    wide = np.zeros(count, np.int32)
    return Frames(np.frombuffer(raw * count, np.uint8), nth * len(raw), length, nth, nth, length, wide)


def cityguard(
    datagrams: list[bytes], pace: int, *, fast: bool, community_id: bool
) -> tuple[int, float, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        command = [sys.executable, __file__, "--serve", str(port), "--out", folder]
        command += ["--community-id"] if community_id else []
        used = collect(command, port, datagrams, pace, {"CITYGUARD_FAST": "1" if fast else "0"})
        told = json.loads((Path(folder) / "told.json").read_text())
    return told["rows"], used, told


def nfcapd(datagrams: list[bytes], pace: int) -> tuple[int, float, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        used = collect(
            ["nfcapd", "-w", folder, "-p", str(port), "-b", "127.0.0.1", "-B", str(32 << 20)], port, datagrams, pace
        )
        files = [one for one in Path(folder).rglob("nfcapd.*") if one.stat().st_size]
        rows = 0
        for one in files:
            text = subprocess.run(["nfdump", "-r", str(one), "-I"], check=False, capture_output=True, text=True).stdout
            rows += sum(int(line.split()[-1]) for line in text.splitlines() if line.startswith("Flows:"))
    return rows, used, {}


def goflow2(datagrams: list[bytes], pace: int) -> tuple[int, float, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        port, out = _free_port(), Path(folder) / "flows.bin"
        where = f"netflow://127.0.0.1:{port}"
        command = [_goflow2(), "-listen", where, "-format", "bin", "-transport", "file", "-transport.file", str(out)]
        used = collect(
            [*command, "-transport.file.sep", "", "-addr", "127.0.0.1:0", "-loglevel", "error"], port, datagrams, pace
        )
        rows = _messages(out.read_bytes())
    return rows, used, {}


def _goflow2() -> str:
    return shutil.which("goflow2") or str(Path.home() / "go" / "bin" / "goflow2")


def _messages(data: bytes) -> int:
    """Length-delimited protobuf messages."""
    count = at = 0
    while at < len(data):
        size = shift = 0
        while at < len(data):
            octet = data[at]
            at += 1
            size |= (octet & 127) << shift
            shift += 7
            if octet < 128:
                break
        at += size
        count += 1
    return count


_NETFLOW = """
import pickle, resource, sys
from netflow import parse_packet
datagrams = pickle.load(open(sys.argv[1], "rb"))
templates = {"netflow": {}, "ipfix": {}}
begin = resource.getrusage(resource.RUSAGE_SELF)
rows = []
for raw in datagrams:
    try:
        for flow in parse_packet(raw, templates).flows:
            rows.append(flow.data)
    except Exception:
        pass
end = resource.getrusage(resource.RUSAGE_SELF)
used = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
print(len(rows), used)
"""


def netflow_package(datagrams: list[bytes], python: str) -> tuple[int, float, dict[str, Any]]:
    """The ``netflow`` package, from memory to dictionaries: neither receiving nor writing is counted against it."""
    import pickle

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "datagrams.pkl"
        path.write_bytes(pickle.dumps(datagrams))
        told = subprocess.run([python, "-c", _NETFLOW, str(path)], check=True, capture_output=True, text=True).stdout
    rows, used = told.split()
    return int(rows), float(used), {"from": "memory", "to": "dictionaries"}


# ---------------------------------------------------------------- the run


def _best(work: Any, runs: int) -> tuple[int, float, dict[str, Any]]:
    found: list[tuple[int, float, dict[str, Any]]] = [work() for _ in range(runs)]
    return max(found, key=lambda one: one[0] / max(one[1], 1e-9))


def run(packets: int, copies: int, runs: int, pace: int, python: str) -> dict[str, Any]:
    """Export, send, compare."""
    rates: dict[str, dict[str, Any]] = {}
    missing = [name for name in ("softflowd", "nfcapd") if shutil.which(name) is None]
    missing += [] if Path(_goflow2()).is_file() else ["goflow2"]
    if "softflowd" in missing:
        return {"missing": missing, "error": "without softflowd there is no real exporter"}
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "in.pcap"
        flows.PACKETS_PER_FLOW = 3
        flows.generate(capture, packets)
        for version, name in VERSIONS.items():
            found = exported(capture, version)
            many = repeated(found, version, copies)
            few = many[: len(found)]
            works: dict[str, Any] = {
                "cityguard [fast]": lambda many=many: cityguard(many, pace, fast=True, community_id=False),
                "cityguard": lambda many=many: cityguard(many, pace, fast=False, community_id=False),
                "cityguard [fast], Community ID": lambda many=many: cityguard(many, pace, fast=True, community_id=True),
                "nfcapd": lambda many=many: nfcapd(many, pace),
                "goflow2": lambda few=few: goflow2(few, 4_000),
                "netflow": lambda few=few: netflow_package(few, python),
            }
            for who, work in works.items():
                if who in missing:
                    continue
                try:
                    rows, used, more = _best(work, runs if who.startswith(("cityguard", "nfcapd")) else 1)
                except (OSError, subprocess.SubprocessError, ValueError) as error:
                    missing.append(f"{who}: {error}"[:300])
                    continue
                rates[f"{name}, {who}"] = {
                    "records": rows,
                    "cpu_seconds": round(used, 3),
                    "records_per_cpu_s": round(rows / used) if used else None,
                    **more,
                }
    return {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()},
        "rates": rates,
        "ratios": {
            f"{one} / {name}, {peer}": round(rates[f"{name}, {one}"]["records_per_cpu_s"] / rate, 2)
            for name in VERSIONS.values()
            for one in ("cityguard [fast]", "cityguard")
            for peer in ("nfcapd", "goflow2", "netflow")
            if (rate := rates.get(f"{name}, {peer}", {}).get("records_per_cpu_s")) and f"{name}, {one}" in rates
        },
        "missing": missing,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--copies", type=int, default=16)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--pace", type=int, default=PACE, help="datagrams per second")
    parser.add_argument("--netflow-python", default=sys.executable, help="a Python that has the netflow package")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--community-id", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve, arguments.out, community_id=arguments.community_id)
        return
    found = run(arguments.packets, arguments.copies, arguments.runs, arguments.pace, arguments.netflow_python)
    text = json.dumps(found, indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
