"""Packets to flow records on disk, against other flow tools on the same file in the same run.

``python benchmarks/flows.py [--data DIR] [--copies N] [--packets N] [--json OUT]`` prints one JSON object: versions,
machine, rates (packets per second, by wall clock and by CPU second) and ratios. With DIR (the folder of third-party
captures) the input is its Ethernet captures interleaved, in N copies with shifted addresses; without, a capture made
here of N packets. Every tool reads the file from the page cache and writes every record; ours with all its columns.
Ours runs in a process of its own, once with numba and once without: ``seconds`` is from the first byte to the last
record, ``process_seconds`` has the start of Python and its imports too. A peer that is not installed is named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import queue
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DATA = Path(__file__).parents[2] / "shared" / "data"
SIZES = (78, 90, 150, 590, 1300, 1514)  # bytes of a frame, with the shares below
SHARES = (0.42, 0.14, 0.14, 0.1, 0.1, 0.1)
PACKETS_PER_FLOW = 12
LONGEST = 300  # seconds a peer may take
BLOCK = 100_000
ROWS = 100_000  # of a Parquet file, as the store writes them


def generate(path: Path, packets: int, seed: int = 1) -> None:
    """Write a capture: Ethernet, 85 % IPv4, 15 % IPv6, 8 % in a VLAN, 70 % TCP, 30 % UDP, both ways."""
    rng = np.random.default_rng(seed)
    flows = max(packets // PACKETS_PER_FLOW, 1)
    tcp, six, vlan = rng.random(flows) < 0.7, rng.random(flows) < 0.15, rng.random(flows) < 0.08
    ends = rng.integers(0x0A000000, 0x0A00FFFF, (flows, 2)).astype(">u4")
    ports = rng.integers(1024, 65535, (flows, 2)).astype(">u2")
    ports[:, 1] = rng.choice(np.array([53, 80, 443, 502, 8080, 22]), flows)
    with path.open("wb") as file:
        file.write(np.array([0xA1B2C3D4, 4 << 16 | 2, 0, 0, 262144, 1], "<u4").tobytes())
        for start in range(0, packets, BLOCK):
            n = min(BLOCK, packets - start)
            flow = rng.integers(0, flows, n)
            size = rng.choice(np.array(SIZES), n, p=SHARES)
            back = rng.random(n) < 0.45
            file.write(_block(start, flow, size, back, tcp, six, vlan, ends, ports).tobytes())


def _block(start: int, flow: Any, size: Any, back: Any, tcp: Any, six: Any, vlan: Any, ends: Any, ports: Any) -> Any:
    offset = np.concatenate([[0], np.cumsum(size + 16)])
    out = np.zeros(offset[-1], np.uint8)
    kind = size * 8 + tcp[flow] * 4 + six[flow] * 2 + vlan[flow]
    for value in np.unique(kind):
        rows = np.flatnonzero(kind == value)
        frame = _frames(start + rows, flow[rows], int(value), back[rows], ends, ports)
        out[offset[rows][:, None] + np.arange(frame.shape[1])] = frame
    return out


def _frames(number: Any, flow: Any, kind: int, back: Any, ends: Any, ports: Any) -> npt.NDArray[np.uint8]:
    """All frames of one shape (size, transport, family, tag), with their record headers."""
    size, tcp, six, tagged = kind >> 3, kind >> 2 & 1, kind >> 1 & 1, kind & 1
    frame = np.zeros((len(flow), 16 + size), np.uint8)

    def put(at: int, values: Any, dtype: str) -> None:
        raw = np.ascontiguousarray(np.broadcast_to(values, (len(flow),)).astype(dtype))
        frame[:, at : at + raw.dtype.itemsize] = raw.view(np.uint8).reshape(len(flow), -1)

    micros = number * 20
    put(0, 1_700_000_000 + micros // 1_000_000, "<u4")
    put(4, micros % 1_000_000, "<u4")
    put(8, size, "<u4")
    put(12, size, "<u4")
    at = 16 + 12
    put(22, flow & 0xFFFF, ">u2")
    put(16, ~flow & 0xFFFF, ">u2")
    if tagged:
        put(at, 0x8100, ">u2")
        put(at + 2, 7, ">u2")
        at += 4
    put(at, 0x86DD if six else 0x0800, ">u2")
    at += 2
    room = size - (at - 16)
    source, destination = ends[flow, back.astype(int)], ends[flow, 1 - back.astype(int)]
    if six:
        put(at, 0x60, "u1")
        put(at + 4, room - 40, ">u2")
        put(at + 6, 6 if tcp else 17, "u1")
        put(at + 8, 0xFD00, ">u2")
        put(at + 24, 0xFD00, ">u2")
        put(at + 20, source, ">u4")
        put(at + 36, destination, ">u4")
        at += 40
    else:
        put(at, 0x45, "u1")
        put(at + 2, room, ">u2")
        put(at + 8, 64, "u1")
        put(at + 9, 6 if tcp else 17, "u1")
        put(at + 12, source, ">u4")
        put(at + 16, destination, ">u4")
        at += 20
    put(at, ports[flow, back.astype(int)], ">u2")
    put(at + 2, ports[flow, 1 - back.astype(int)], ">u2")
    if tcp:
        put(at + 4, number, ">u4")
        put(at + 12, 0x50, "u1")
        put(at + 13, 0x10, "u1")
    else:
        put(at + 4, size + 16 - at, ">u2")
    return frame


# ---------------------------------------------------------------- what is measured


def ahead(items: Iterable[Any], depth: int = 2) -> Iterator[Any]:
    """The same items, made by a thread of its own."""
    waiting: queue.Queue[Any] = queue.Queue(depth)
    end = object()

    def fill() -> None:
        for item in items:
            waiting.put(item)
        waiting.put(end)

    threading.Thread(target=fill, daemon=True).start()
    while (item := waiting.get()) is not end:
        yield item


def cityguard(path: Path, out: Path, *, only: str = "flow") -> tuple[int, int, int]:
    """Capture in, flows (and with ``only`` empty every other dataset) as Parquet out, ``ROWS`` to a file.

    Returns:
        Flow rows, the packets in them, and packets rejected.
    """
    import polars

    from cityguard.decoders import capture
    from cityguard.sources import pcap

    decoder = capture.decoder({"only": only})

    def decoded() -> Iterator[Any]:
        for piece in ahead(pcap.frames(np.memmap(path, np.uint8, "r"))):
            yield decoder.decode(piece)
        yield decoder.flush()

    waiting: dict[str, list[Any]] = {}
    rows = nth = packets = rejected = 0

    def write(dataset: str) -> None:
        nonlocal nth
        table = polars.concat(waiting.pop(dataset), how="diagonal_relaxed")
        table.write_parquet(out / f"{dataset}-{nth}.parquet", compression="zstd", compression_level=1)
        nth += 1

    for found in ahead(decoded()):
        rejected += found.rejected
        for batch in found.batches:
            if len(batch):
                waiting.setdefault(batch.dataset, []).append(batch.table)
            if batch.dataset == "flow":
                rows += len(batch)
                packets += int(batch.table["network.packets"].sum())
            if sum(map(len, waiting.get(batch.dataset, []))) >= ROWS:
                write(batch.dataset)
    for dataset in list(waiting):
        write(dataset)
    return rows, packets, rejected


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _peak() -> float:
    """MB this process has held at most; what getrusage tells includes the process it was forked from."""
    told = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(told[1]) / 1024 if told else 0.0


def child(path: Path, out: Path, only: str) -> None:
    """One measured run in this process, after one over the first packets that loads what is compiled."""
    warm = out / "warm"
    warm.mkdir()
    few = out / "few.pcap"
    with path.open("rb") as file:
        few.write_bytes(file.read(1 << 20))
    cityguard(few, warm, only=only)
    begin, cpu = time.perf_counter(), _cpu(resource.RUSAGE_SELF)
    rows, counted, rejected = cityguard(path, out, only=only)
    found = {
        "rows": rows,
        "counted": counted + rejected,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": _cpu(resource.RUSAGE_SELF) - cpu,
        "peak_mb": _peak(),
    }
    sys.stdout.write(json.dumps(found))


def ours(path: Path, out: Path, *, compiled: bool, only: str = "flow") -> dict[str, float]:
    environment = os.environ | {"CITYGUARD_FAST": "1" if compiled else "0"}
    command = [sys.executable, __file__, "--child", str(path), str(out), only]
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found | {"process_seconds": time.perf_counter() - begin}


def _run(command: list[str], out: Path) -> dict[str, float]:
    begin, cpu = time.perf_counter(), _cpu(resource.RUSAGE_CHILDREN)
    with (out / "said.txt").open("w") as said:
        subprocess.run(command, check=True, stdout=said, stderr=subprocess.STDOUT, cwd=out, timeout=LONGEST)
    return {"seconds": time.perf_counter() - begin, "cpu_seconds": _cpu(resource.RUSAGE_CHILDREN) - cpu}


def softflowd(path: Path, out: Path) -> dict[str, float]:
    """NetFlow v9 over loopback into nfcapd's files."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begin, cpu = time.perf_counter(), _cpu(resource.RUSAGE_CHILDREN)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    told = (out / "said.txt").open("w+")
    listen = ["nfcapd", "-p", str(port), "-b", "127.0.0.1", "-l", str(out)]
    collector = subprocess.Popen(listen, stdout=told, stderr=told)
    try:
        time.sleep(0.3)
        command = ["softflowd", "-r", str(path), "-n", f"127.0.0.1:{port}", "-v", "9", "-c", "none", "-d"]
        subprocess.run(command, check=False, timeout=LONGEST, **quiet)  # type: ignore[call-overload]
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.wait()
    found = {"seconds": time.perf_counter() - begin - 0.3, "cpu_seconds": _cpu(resource.RUSAGE_CHILDREN) - cpu}
    told.seek(0)
    counted = re.findall(r"Packets: (\d+)", told.read())  # fewer than there are: datagrams lost on the way
    told.close()
    return found | ({"counted": float(max(map(int, counted)))} if counted else {})


def nfpcapd(path: Path, out: Path) -> dict[str, float]:
    found = _run(["nfpcapd", "-r", str(path), "-l", str(out)], out)
    counted = re.search(r"Processed: (\d+)", (out / "said.txt").read_text(errors="replace"))
    return found | ({"counted": float(counted[1])} if counted else {})


_NFSTREAM = """
import csv, sys
from nfstream import NFStreamer
with open(sys.argv[2], "w", newline="") as file:
    out = csv.writer(file)
    for flow in NFStreamer(source=sys.argv[1], n_dissections=0, idle_timeout=300, active_timeout=1800):
        out.writerow(flow.values())
"""


def nfstream(path: Path, out: Path) -> dict[str, float]:
    python = os.environ.get("NFSTREAM_PYTHON", sys.executable)
    return _run([python, "-c", _NFSTREAM, str(path), str(out / "flows.csv")], out)


def dpkt_loop(path: Path, out: Path) -> dict[str, float]:
    """Flows by five-tuple, counted in a dictionary, as text."""
    import dpkt

    reader: Any = dpkt.pcap.Reader
    ethernet: Any = dpkt.ethernet.Ethernet
    begin, cpu = time.perf_counter(), _cpu(resource.RUSAGE_SELF)
    flows: dict[tuple[bytes, bytes, int, int, int], list[int]] = {}
    with path.open("rb") as file:
        for _, raw in reader(file):
            with contextlib.suppress(dpkt.dpkt.UnpackError, IndexError, TypeError):
                ip = ethernet(raw).data
                if not isinstance(ip, dpkt.ip.IP | dpkt.ip6.IP6):
                    continue
                layer = ip.data
                ports = (layer.sport, layer.dport) if isinstance(layer, dpkt.tcp.TCP | dpkt.udp.UDP) else (0, 0)
                one, other = (ip.src, ports[0]), (ip.dst, ports[1])
                low, high = (one, other) if one <= other else (other, one)
                proto = ip.p if isinstance(ip, dpkt.ip.IP) else ip.nxt
                counts = flows.setdefault((low[0], high[0], low[1], high[1], proto), [0, 0])
                counts[0] += 1
                counts[1] += len(raw)
    (out / "dpkt.txt").write_text("\n".join(f"{key} {value}" for key, value in flows.items()))
    return {"seconds": time.perf_counter() - begin, "cpu_seconds": _cpu(resource.RUSAGE_SELF) - cpu}


Work = Callable[[Path, Path], dict[str, float]]
PEERS: dict[str, tuple[str, Work]] = {
    "softflowd to nfcapd": ("softflowd", softflowd),
    "nfpcapd": ("nfpcapd", nfpcapd),
    "argus": ("argus", lambda path, out: _run(["argus", "-r", str(path), "-w", str(out / "argus.out")], out)),
    "suricata, flow log": (
        "suricata",
        lambda path, out: _run(
            ["suricata", "-r", str(path), "-l", str(out), "--runmode", "single", "-S", "/dev/null", "-k", "none"], out
        ),
    ),
    "nfstream, nDPI off": ("", nfstream),
    "tshark conv,ip": ("tshark", lambda path, out: _run(["tshark", "-r", str(path), "-q", "-z", "conv,ip"], out)),
    "dpkt": ("", dpkt_loop),
}
"""Name -> program it needs, and how it is run."""
SLOW = ("cityguard[fast], payloads too", "nfstream, nDPI off", "tshark conv,ip", "dpkt")
"""Measured on a small part of the same input; rates are per packet."""


def there(name: str) -> bool:
    program, _ = PEERS[name]
    if program:
        return shutil.which(program) is not None
    python = os.environ.get("NFSTREAM_PYTHON", sys.executable) if name.startswith("nfstream") else sys.executable
    module = name.split(",")[0]
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def measure(work: Work, path: Path) -> dict[str, float]:
    """One run."""
    with tempfile.TemporaryDirectory() as out:
        return work(path, Path(out))


def median(found: list[dict[str, float]], packets: int) -> dict[str, Any]:
    """Of some runs: by wall clock, and by CPU second."""
    merged = {name: statistics.median(one[name] for one in found) for name in found[0]}
    rates = {
        f"packets_per_{unit}": round(packets / merged[f"{name}seconds"])
        for unit, name in (("s", ""), ("cpu_s", "cpu_"))
    }
    return {"packets": packets} | {name: round(value, 3) for name, value in merged.items()} | rates


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("cityguard", "numpy", "polars", "numba", "dpkt"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    for name, flag in (("tshark", "--version"), ("nfpcapd", "-V"), ("argus", "-h"), ("suricata", "-V")):
        if shutil.which(name):
            told = subprocess.run([name, flag], check=False, capture_output=True, text=True)
            lines = [line.strip() for line in (told.stdout + told.stderr).splitlines() if any(map(str.isdigit, line))]
            found[name] = lines[0][:80] if lines else ""
    return found


def make(folder: Path, data: Path | None, copies: int, packets: int) -> tuple[Path, int, Path, int, str]:
    """A large input and a small one of the same kind, with their packets."""
    big, few = folder / "big.pcap", folder / "few.pcap"
    if data is None:
        generate(big, packets)
        generate(few, max(packets // 10, 1), seed=2)
        return big, packets, few, max(packets // 10, 1), "generated"
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from benchmarks.inputs.itmix import write

    return big, write(data / "it-pcap", big, copies), few, write(data / "it-pcap", few, 1), f"itmix, {copies} copies"


def run(data: Path | None, copies: int, packets: int, runs: int) -> dict[str, Any]:
    """Make the input, measure, compare."""
    with tempfile.TemporaryDirectory() as name:
        big, packets, few, fewer, kind = make(Path(name), data, copies, packets)
        megabytes = big.stat().st_size / 1e6
        big.read_bytes()  # into the page cache
        missing = [peer for peer in PEERS if not there(peer)]
        tools: dict[str, Work] = {
            "cityguard[fast]": lambda path, out: ours(path, out, compiled=True),
            "cityguard": lambda path, out: ours(path, out, compiled=False),
            "cityguard[fast], payloads too": lambda path, out: ours(path, out, compiled=True, only=""),
        } | {peer: work for peer, (_, work) in PEERS.items() if peer not in missing}
        found: dict[str, list[dict[str, float]]] = {}
        for nth in range(runs):  # in turn, so that all meet the same other load
            for tool, work in tools.items():
                if tool in SLOW and nth:
                    continue
                try:
                    found.setdefault(tool, []).append(measure(work, few if tool in SLOW else big))
                except (subprocess.SubprocessError, OSError) as error:
                    missing.append(f"{tool}: {error}"[:200])
        rates = {tool: median(one, fewer if tool in SLOW else packets) for tool, one in found.items() if one}
    for tool in ("cityguard[fast]", "cityguard"):
        if rates[tool]["counted"] != packets:
            raise SystemExit(f"{tool} counted {rates[tool]['counted']} of {packets} packets")
    units = ("packets_per_s", "packets_per_cpu_s")
    return {
        "versions": _versions(),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()},
        "input": {"kind": kind, "packets": packets, "megabytes": round(megabytes, 1)},
        "rates": rates,
        "ratios": {
            f"{mine} / {peer}, {unit}": round(rates[mine][unit] / other[unit], 2)
            for mine in ("cityguard[fast]", "cityguard")
            for peer, other in rates.items()
            if not peer.startswith("cityguard")
            for unit in units
        },
        "missing": missing,
    }


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA if DATA.is_dir() else None)
    parser.add_argument("--copies", type=int, default=16)
    parser.add_argument("--packets", type=int, default=1_000_000, help="of the capture made here, without --data")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the result here too")
    given = parser.parse_args()
    text = json.dumps(run(given.data, given.copies, given.packets, given.runs), indent=2)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
