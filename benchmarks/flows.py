"""Packets to flows on disk, against tshark and a dpkt loop in the same run.

``python benchmarks/flows.py [--packets N] [--json OUT]`` prints one JSON object: versions, machine, rates
(packets per second, wall and CPU) and ratios. The peers get a smaller capture of the same kind; rates are per packet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIZES = (78, 90, 150, 590, 1300, 1514)  # bytes of a frame, with the shares below
SHARES = (0.42, 0.14, 0.14, 0.1, 0.1, 0.1)
PACKETS_PER_FLOW = 12
BLOCK = 100_000


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


def cityguard(path: Path, out: Path, *, only: str = "flow") -> int:
    """Capture in, flows (and with ``only`` empty every other dataset) as Parquet out. Returns flow rows."""
    from cityguard.decoders import capture
    from cityguard.sources import pcap

    decoder = capture.decoder({"only": only})
    rows = 0
    pieces = pcap.frames(np.memmap(path, np.uint8, "r"))
    for nth, found in enumerate([*(decoder.decode(piece) for piece in pieces), decoder.flush()]):
        for batch in found.batches:
            batch.table.write_parquet(out / f"{batch.dataset}-{nth}.parquet", compression="zstd")
            rows += len(batch) if batch.dataset == "flow" else 0
    return rows


def tshark(path: Path, out: Path) -> int:
    """IP conversations, as text."""
    command = ["tshark", "-r", str(path), "-q", "-z", "conv,ip"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (out / "conv.txt").write_text(found)
    return found.count("<->")


def dpkt_loop(path: Path, out: Path) -> int:
    """Flows by five-tuple, counted in a dictionary, as text."""
    import dpkt

    reader: Any = dpkt.pcap.Reader
    ethernet: Any = dpkt.ethernet.Ethernet

    flows: dict[tuple[bytes, bytes, int, int, int], list[int]] = {}
    with path.open("rb") as file:
        for _, raw in reader(file):
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
    return len(flows)


def measure(work: Callable[[Path, Path], int], path: Path, packets: int, runs: int) -> dict[str, Any]:
    """Median wall and the CPU seconds of its run, children's included."""
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as out:
            begin, cpu = time.perf_counter(), _cpu()
            rows = work(path, Path(out))
            found.append((time.perf_counter() - begin, _cpu() - cpu, rows))
    wall, cpu, rows = sorted(found)[len(found) // 2]
    return {
        "packets": packets,
        "rows": rows,
        "seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "packets_per_s": round(packets / wall),
        "packets_per_cpu_s": round(packets / cpu),
    }


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("cityguard", "numpy", "polars")} | {"python": platform.python_version()}
    if shutil.which("tshark"):
        told = subprocess.run(["tshark", "--version"], check=True, capture_output=True, text=True).stdout
        found["tshark"] = told.split("\n")[0].split()[2]
    with contextlib.suppress(PackageNotFoundError):
        found["dpkt"] = version("dpkt")
    return found


def run(packets: int, runs: int) -> dict[str, Any]:
    """Generate, measure, compare."""
    versions, small = _versions(), max(packets // 5, 1)
    with tempfile.TemporaryDirectory() as folder:
        big, few = Path(folder) / "big.pcap", Path(folder) / "few.pcap"
        generate(big, packets)
        generate(few, small, seed=2)
        megabytes = big.stat().st_size / 1e6
        rates = {"cityguard": measure(cityguard, big, packets, runs)}
        rates["cityguard, payloads too"] = measure(lambda path, out: cityguard(path, out, only=""), big, packets, 1)
        if "tshark" in versions:
            rates["tshark conv,ip"] = measure(tshark, few, small, 1)
        if "dpkt" in versions:
            rates["dpkt"] = measure(dpkt_loop, few, small, 1)
    ours = rates["cityguard"]
    return {
        "versions": versions,
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()},
        "input": {"packets": packets, "megabytes": round(megabytes, 1)},
        "rates": rates,
        "ratios": {
            f"{name}, {unit}": round(ours[unit] / peer[unit], 1)
            for name, peer in rates.items()
            if not name.startswith("cityguard")
            for unit in ("packets_per_s", "packets_per_cpu_s")
        },
        "missing": [name for name in ("tshark", "dpkt") if name not in versions],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    text = json.dumps(run(arguments.packets, arguments.runs), indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
