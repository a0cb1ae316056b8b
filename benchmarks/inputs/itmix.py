"""A large capture made of small ones: every Ethernet packet of a folder, interleaved, in copies with shifted addresses.

``python benchmarks/inputs/itmix.py FOLDER OUT [--copies 48]`` writes it. The n-th packets of all captures come before
their n+1-th; the copies follow each other in blocks, so that all are under way together; packets are 5 µs apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.decoders import link, tunnel
from cityguard.decoders.layers import Layers
from cityguard.errors import DecodeError
from cityguard.sources import pcap

BLOCK = 2_000
STEP = 5  # µs between packets
_MAX_LENGTH = 65_535


def gather(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64], Any]:
    """Records of all captures: bytes, where each starts, its length, twice its IP header's place (+ 1 for IPv6)."""
    chunks, sizes, wires, nths, places, versions = [], [], [], [], [], []
    for path in sorted(one for one in folder.rglob("*") if one.suffix in (".pcap", ".pcapng", ".cap")):
        nth = 0
        try:
            for piece in pcap.frames(np.fromfile(path, np.uint8)):
                rows = np.flatnonzero((piece.link == 1) & (piece.length >= 14) & (piece.length <= _MAX_LENGTH))
                piece = piece.take(rows)
                work = Layers(piece, link.STEPS, tunnel.Carriers(()))
                work.run(link.start(work))
                places.append(np.where(work.found, work.ip - piece.offset, -1))
                versions.append(work.v6)
                chunks += [piece.item(at) for at in range(len(piece))]
                sizes.append(piece.length)
                wires.append(piece.wire)
                nths.append(np.arange(nth, nth + len(piece)))
                nth += len(piece)
        except DecodeError:
            continue
    order = np.argsort(np.concatenate(nths), kind="stable")
    size, wire = np.concatenate(sizes)[order], np.concatenate(wires)[order]
    place, six = np.concatenate(places)[order], np.concatenate(versions)[order]
    starts = np.cumsum(size + 16) - (size + 16)
    buffer = np.zeros(int((size + 16).sum()), np.uint8)
    for start, nth in zip(starts.tolist(), order.tolist(), strict=True):
        buffer[start + 16 : start + 16 + len(chunks[nth])] = np.frombuffer(chunks[nth], np.uint8)
    for column, at in ((size, 8), (wire, 12)):
        buffer[(starts + at)[:, None] + np.arange(4)] = column.astype("<u4").view(np.uint8).reshape(-1, 4)
    return buffer, starts, size + 16, np.where(place < 0, -1, place * 2 + six)


def write(folder: Path, out: Path, copies: int) -> int:
    """Write the mix; returns its packets."""
    buffer, starts, sizes, places = gather(folder)
    number = 0
    with out.open("wb") as file:
        file.write(np.array([0xA1B2C3D4, 4 << 16 | 2, 0, 0, 262_144, 1], "<u4").tobytes())
        for first in range(0, len(starts), BLOCK):
            stop = min(first + BLOCK, len(starts))
            begin, end = int(starts[first]), int(starts[stop - 1] + sizes[stop - 1])
            part, at = buffer[begin:end], starts[first:stop] - begin
            known = places[first:stop]
            four = (at + 16 + (known >> 1))[(known >= 0) & (known & 1 == 0)]
            six = (at + 16 + (known >> 1))[(known >= 0) & (known & 1 == 1)]
            octets = np.concatenate([four + 13, four + 17, six + 9, six + 25])  # the same shift for both ends
            octets = octets[octets < len(part)]
            for copy in range(copies):
                shifted = part.copy()
                shifted[octets] += np.uint8(copy * 5)
                micros = (number + np.arange(len(at))) * STEP
                for column, offset in ((1_700_000_000 + micros // 1_000_000, 0), (micros % 1_000_000, 4)):
                    raw = column.astype("<u4").view(np.uint8).reshape(-1, 4)
                    shifted[(at + offset)[:, None] + np.arange(4)] = raw
                file.write(shifted.tobytes())
                number += len(at)
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--copies", type=int, default=48)
    given = parser.parse_args()
    print(write(given.folder, given.out, given.copies), "packets")


if __name__ == "__main__":
    main()
