"""Frames of municipal protocols to rows: captures of HJ 212, SL 651 and DL/T 645, one frame a segment.

``python benchmarks/municipal.py [--only hj212,sl651,dlt645] [--frames N] [--runs N] [--json OUT]`` prints one JSON
object: versions, machine, and of each protocol frames per second (wall and CPU) through the whole capture decoder.
Stations keep their connections open, as they do in the field; half of the frames of a meter are answers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import struct
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cityguard import fast
from cityguard.decoders import capture
from cityguard.decoders.wire import crc
from cityguard.model import Frames

STATIONS = 200
PIECE = 100_000
PORTS = {"hj212": 9000, "sl651": 5060, "dlt645": 4001}
WANTED = {"hj212": 150_000, "sl651": 200_000, "dlt645": 200_000}
"""Frames per second and core asked for."""
_SECOND = 1_000_000_000
_BEGIN = 1_793_581_200 * _SECOND
_CITY = _BEGIN // _SECOND + 8 * 3600
"""The clock on the wall of the city, as if it were UTC."""
Said = tuple[int, bytes]
"""Side (0 = who opened the connection) and a frame."""


def hj212(station: int, turn: int) -> Said:
    """Realtime data of six factors; every tenth exchange minute data that want an answer, and the answer."""
    mn = f"A1B2C3D4E5F6{station:012X}"
    answers = turn % 10 == 9
    at = time.strftime("%Y%m%d%H%M%S", time.gmtime(_CITY + (turn - answers) * 30))
    if answers:
        head = f"QN={at}{station % 1000:03};ST=91;CN=9014;PW=k3Vq9x;MN={mn};Flag=4;CP=&&&&"
        return 1, _hj212(head)
    number, flag = (2051, 5) if turn % 10 == 8 else (2011, 4)
    kind = "Avg" if number == 2051 else "Rtd"
    factors = (
        ("w01018", 23.7),
        ("w21003", 1.482),
        ("w00000", 56.2),
        ("w01001", 7.31),
        ("w21011", 0.122),
        ("w21001", 9.9),
    )
    values = ";".join(
        f"{name}-{kind}={value + (turn * 7 + station) % 100 / 100:.3f},{name}-Flag=N" for name, value in factors
    )
    head = f"QN={at}{station % 1000:03};ST=32;CN={number};PW=k3Vq9x;MN={mn};Flag={flag};CP=&&DataTime={at};{values}&&"
    return 0, _hj212(head)


def _hj212(text: str) -> bytes:
    data = text.encode()
    return b"##%04d%s%04X\r\n" % (len(data), data, crc.hj212(data))


def sl651(station: int, turn: int) -> Said:
    """A timed report of rain, total rain, water level and battery (HEX), as of the river stations of a province."""
    address = bytes.fromhex(f"00{61_200_000 + station:08}")
    at = bytes.fromhex(time.strftime("%y%m%d%H%M%S", time.gmtime(_CITY + turn * 300)))
    elements = bytes.fromhex(
        f"2019{turn % 1000:06}2619{turn % 10_000_000 // 10:06}3923{turn % 1_000_000:08}3812{1200 + turn % 99:04}"
    )
    body = struct.pack("!H", turn & 0xFFFF) + at + b"\xf1\xf1" + address + b"\x48\xf0\xf0" + at[:5] + elements
    head = b"\x7e\x7e\x12" + address + b"\x5a\x3c\x32" + struct.pack("!H", len(body)) + b"\x02" + body + b"\x03"
    return 0, head + struct.pack("!H", crc.modbus(head))


def dlt645(station: int, turn: int) -> Said:
    """A concentrator reads the voltage of meters behind a serial server; the meter answers."""
    exchange, answers = divmod(turn, 2)
    meter = bytes.fromhex(f"{260_407_000_000 + station * 64 + exchange % 64:012}")[::-1]
    data = bytes.fromhex("00010102")
    control = 0x11
    if answers:
        data, control = data + bytes.fromhex(f"{2200 + exchange % 150:04}")[::-1], 0x91
    frame = b"\x68" + meter + bytes((0x68, control, len(data))) + bytes((one + 0x33) & 0xFF for one in data)
    return answers, b"\xfe\xfe\xfe\xfe" + frame + bytes((sum(frame) & 0xFF, 0x16))


SPEAKERS: dict[str, Callable[[int, int], Said]] = {"hj212": hj212, "sl651": sl651, "dlt645": dlt645}


def pieces(name: str, frames: int) -> Iterator[Frames]:
    """A capture: stations in turn, each on one connection that was opened before it begins."""
    speak, port = SPEAKERS[name], PORTS[name]
    seq = [[1_000, 2_000] for _ in range(STATIONS)]
    for start in range(0, frames, PIECE):
        parts, sizes = [], []
        for number in range(start, min(start + PIECE, frames)):
            station, turn = number % STATIONS, number // STATIONS
            side, said = speak(station, turn)
            parts.append(_packet(station, side, port, seq[station], said))
            sizes.append(len(parts[-1]))
        size = np.array(sizes, np.int64)
        numbers = np.arange(start + 1, start + 1 + len(size))
        times = _BEGIN + numbers * 10_000
        buffer = np.frombuffer(b"".join(parts), np.uint8)
        yield Frames(buffer, np.cumsum(size) - size, size, numbers, times, size.copy(), np.ones(len(size), np.int32))


def _packet(station: int, side: int, port: int, seq: list[int], said: bytes) -> bytes:
    ends = (0x0A42_1E00 + station, 0x0A14_000A)
    ports = (40_000 + station, port)
    head = struct.pack(
        "!BBHHHBBHII", 0x45, 0, 40 + len(said), 0, 0, 64, 6, 0, ends[side], ends[1 - side]
    ) + struct.pack("!HHIIBBHHH", ports[side], ports[1 - side], seq[side], seq[1 - side], 0x50, 0x18, 8192, 0, 0)
    seq[side] = (seq[side] + len(said)) % 2**32
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + head + said


def decode(given: list[Frames], name: str) -> tuple[float, float, int]:
    """Wall and CPU seconds, and rows of the protocol: packets, flows, recognition, rows."""
    decoder, rows, wall, cpu = capture.decoder({}), 0, 0.0, 0.0
    for piece in given:
        begin, used = time.perf_counter(), time.process_time()
        found = decoder.decode(piece)
        wall, cpu = wall + time.perf_counter() - begin, cpu + time.process_time() - used
        tables = [batch.table for batch in found.batches if batch.dataset == "ot"]
        rows += sum(int((table["ot.protocol"] == name).sum()) for table in tables)
    return wall, cpu, rows


def run(only: list[str], frames: int, runs: int) -> dict[str, Any]:
    """The median of some runs of each protocol."""
    rates = {}
    for name in only:
        given = list(pieces(name, frames))
        decode(given[:1], name)  # what is compiled and cached at the first use is not what is measured
        wall, cpu, rows = sorted(decode(given, name) for _ in range(runs))[runs // 2]
        rates[name] = {
            "frames": frames,
            "rows": rows,
            "octets_per_frame": round(sum(int(piece.length.sum()) for piece in given) / frames - 54),
            "seconds": round(wall, 3),
            "frames_per_s": round(frames / wall),
            "frames_per_cpu_s": round(frames / cpu),
            "wanted": WANTED[name],
        }
    return {
        "versions": {name: version(name) for name in ("cityguard", "numpy", "polars")}
        | {"python": platform.python_version(), "numba": version("numba") if fast.ON else None},
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg(), "processor": platform.machine()},
        "rates": rates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SPEAKERS), help="protocols, comma separated")
    parser.add_argument("--frames", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write it there too")
    options = parser.parse_args()
    result = json.dumps(run(options.only.split(","), options.frames, options.runs), indent=1)
    if options.json:
        options.json.write_text(result)
    sys.stdout.write(result + "\n")


if __name__ == "__main__":
    main()
