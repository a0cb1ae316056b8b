"""Damaged inputs: every seed of a target changed a little, the same way on every run.

``python -m fuzz.mutate [COUNT] [TARGET …]`` runs COUNT of them through each target and prints the slowest and the peak.
"""

from __future__ import annotations

import random
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from fuzz.targets import targets

SEEDS = Path(__file__).parent / "seeds"
SLOW = 5.0
"""Seconds one input may take."""
PEAK = 512
"""MiB the process may have taken."""
_EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")


def seeds(target: str) -> list[bytes]:
    """A target's seeds, in order of name; one empty input where there is none."""
    return [path.read_bytes() for path in sorted((SEEDS / target).glob("*"))] or [b""]


def mutations(target: str, count: int) -> Iterator[bytes]:
    """``count`` damaged inputs of a target."""
    rng = random.Random(target)
    every = seeds(target)
    for index in range(count):
        data = bytearray(every[index % len(every)])
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            _change(data, every, rng)
        yield bytes(data[:65_536])


def _change(data: bytearray, every: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(7)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.randrange(256)
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        del data[at : at + rng.choice((1, 2, 4, 16))]
    elif kind == 4:
        extreme = rng.choice(_EXTREMES)
        data[at : at + len(extreme)] = extreme
    elif kind == 5:
        data[at:at] = data[at : at + rng.choice((1, 8, 64))] * rng.choice((1, 2, 32))
    else:
        other = rng.choice(every)
        data[at:] = other[rng.randrange(len(other) + 1) :]


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    names = sys.argv[2:] or list(targets())
    bad = 0
    for name in names:
        run, fell, slowest = targets()[name], 0, 0.0
        for data in mutations(name, count):
            begun = time.perf_counter()
            try:
                run(data)
            except Exception:  # noqa: BLE001 - whatever it is, it is counted and the next input tried
                fell += 1
                traceback.print_exc(limit=-3)
            slowest = max(slowest, time.perf_counter() - begun)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        bad += fell > 0 or slowest > SLOW or peak > PEAK
        print(f"{name:<26} {count} mutations, {fell} fell, slowest {slowest:.3f} s, peak so far {peak} MiB", flush=True)
    print(f"{len(names)} targets, {bad} of them fell, took over {SLOW:.0f} s or held over {PEAK} MiB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
