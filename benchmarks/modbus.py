"""Modbus/TCP PDUs to rows: a capture of requests and answers, one PDU a segment, through the whole capture decoder.

``python benchmarks/modbus.py [--pdus N] [--runs N] [--json OUT]`` prints one JSON object: versions, machine, PDUs per
second (wall and CPU) of the Modbus reader alone and of the capture decoder with everything else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cityguard.decoders import capture, flow, packet
from cityguard.decoders.ot.modbus import Modbus
from cityguard.decoders.protocol import Out
from cityguard.model import Frames

CONNECTIONS = 200
PIECE = 100_000
_HEAD = 14 + 20 + 20


def frames(pdus: int) -> Iterator[Frames]:
    """Reads of ten registers and their answers, on 200 connections in turn, in pieces."""
    turn = np.arange(pdus)
    exchange, answers = turn // 2, turn % 2 == 1
    for start in range(0, pdus, PIECE):
        rows = slice(start, min(start + PIECE, pdus))
        yield _piece(turn[rows], exchange[rows], answers[rows])


def _piece(turn: Any, exchange: Any, answers: Any) -> Frames:
    size = np.where(answers, _HEAD + 9 + 20, _HEAD + 12)
    offset = np.cumsum(size) - size
    buffer = np.zeros(int(size.sum()), np.uint8)

    def put(at: int, values: Any, width: int, rows: Any = slice(None)) -> None:
        place = offset[rows] + at
        many = np.broadcast_to(values, (len(offset),))[rows]
        for octet in range(width):
            buffer[place + octet] = many >> 8 * (width - 1 - octet) & 0xFF

    link, round_trip = exchange % CONNECTIONS, exchange // CONNECTIONS
    put(12, 0x0800, 2)
    put(14, 0x45, 1)
    put(16, size - 14, 2)
    put(22, 64, 1)
    put(23, 6, 1)
    client, server = 0x0A000001 + link, 0x0A010001 + link % 7
    put(26, np.where(answers, server, client), 4)
    put(30, np.where(answers, client, server), 4)
    put(34, np.where(answers, 502, 40000), 2)
    put(36, np.where(answers, 40000, 502), 2)
    put(38, 1000 + round_trip * np.where(answers, 29, 12), 4)
    put(46, 0x50, 1)
    put(47, 0x18, 1)
    put(54, round_trip & 0xFFFF, 2)
    put(58, np.where(answers, 23, 6), 2)
    put(60, 1, 1)
    put(61, 3, 1)
    ask = np.flatnonzero(~answers)
    put(62, 100, 2, ask)
    put(64, 10, 2, ask)
    answer = np.flatnonzero(answers)
    put(62, 20, 1, answer)
    for register in range(10):
        put(63 + 2 * register, (round_trip * 7 + register) & 0xFFFF, 2, answer)
    times = 1_700_000_000 * 10**9 + turn * 10_000
    return Frames(buffer, offset, size, turn + 1, times, size.copy(), np.ones(len(turn), np.int32))


def reader(pdus: int) -> tuple[float, float, int]:
    """The Modbus reader alone: packets are read and keyed outside of the clock."""
    speaker, rows, wall, cpu = Modbus(Out("modbus")), 0, 0.0, 0.0
    decoder = packet.Reader()
    for piece in frames(pdus):
        read = decoder.decode(piece)
        keys = flow.Keys(read.packets)
        hashes = flow.digest(keys.columns())
        begin, used = time.perf_counter(), time.process_time()
        rows += speaker.table(read.frames.buffer, read.packets, keys, hashes).height
        wall, cpu = wall + time.perf_counter() - begin, cpu + time.process_time() - used
    return wall, cpu, rows


def whole(pdus: int) -> tuple[float, float, int]:
    """The capture decoder: packets, flows, recognition and Modbus."""
    decoder, rows, wall, cpu = capture.decoder({}), 0, 0.0, 0.0
    for piece in frames(pdus):
        begin, used = time.perf_counter(), time.process_time()
        found = decoder.decode(piece)
        wall, cpu = wall + time.perf_counter() - begin, cpu + time.process_time() - used
        rows += sum(len(batch) for batch in found.batches if batch.dataset == "ot")
    return wall, cpu, rows


def run(pdus: int, runs: int) -> dict[str, Any]:
    """The median of some runs of both."""
    rates = {}
    for name, work in (("modbus reader", reader), ("capture decoder", whole)):
        work(PIECE)  # what is compiled and cached at the first use is not what is measured
        wall, cpu, rows = sorted(work(pdus) for _ in range(runs))[runs // 2]
        rates[name] = {
            "rows": rows,
            "seconds": round(wall, 3),
            "pdus_per_s": round(rows / wall),
            "pdus_per_cpu_s": round(rows / cpu),
        }
    return {
        "versions": {name: version(name) for name in ("cityguard", "numpy", "polars")}
        | {"python": platform.python_version()},
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()},
        "input": {"pdus": pdus, "connections": CONNECTIONS},
        "rates": rates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pdus", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the result here too")
    options = parser.parse_args()
    text = json.dumps(run(options.pdus, options.runs), indent=2)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
