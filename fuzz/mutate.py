"""Damaged inputs: every seed of a target changed a little, the same way on every run.

``python -m fuzz.mutate [COUNT] [TARGET …]`` runs COUNT of them through each target and prints the slowest and the peak.
"""

from __future__ import annotations

import contextlib
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz import conversation, sound
from fuzz.targets import targets

SEEDS = Path(__file__).parent / "seeds"
SLOW = 5.0
"""Seconds one input may take."""
PEAK = 512
"""MiB the process may have taken."""
_MOST = 65_536
"""Bytes an input may have."""
_EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")


def seeds(target: str) -> list[bytes]:
    """A target's seeds, in order of name; one empty input where there is none."""
    return [path.read_bytes() for path in sorted((SEEDS / target).glob("*"))] or [b""]


def mutations(target: str, count: int) -> Iterator[bytes]:
    """``count`` damaged inputs of a target; every other conversation is changed within its chunks."""
    rng = random.Random(target)
    every, mend = seeds(target), sound.MENDERS.get(target)

    def damaged(data: bytes, _: int) -> bytes:
        changed = bytearray(data)
        _change(changed, parts, rng)
        return bytes(changed)

    parts = [chunk.data for seed in every for chunk in conversation.unpack(seed)] or [b""]
    for index in range(count):
        data = every[index % len(every)]
        if target.startswith("wire-") and index // len(every) % 2:
            for _ in range(rng.choice((1, 1, 2, 4, 16))):
                data = conversation.changed(data, _MOST, rng.randrange(1 << 32), damaged, mend)
            yield data
            continue
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            _change(changed, every, rng)
        yield bytes(changed[:_MOST])


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


def seconds(run: Callable[[bytes], None], data: bytes) -> float:
    """Seconds an input takes; whether it raises is another question."""
    begun = time.perf_counter()
    with contextlib.suppress(Exception):
        run(data)
    return time.perf_counter() - begun


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    names = sys.argv[2:] or list(targets())
    places = set[str]()
    bad = 0
    for name in names:
        run, fell, slowest = targets()[name], 0, 0.0
        for data in mutations(name, count):
            begun = time.perf_counter()
            try:
                run(data)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and the next input tried
                fell += 1
                place = repr(traceback.extract_tb(error.__traceback__)[-1])
                if place not in places:  # each shown once
                    places.add(place)
                    traceback.print_exc(limit=-3)
            spent = time.perf_counter() - begun
            slowest = max(slowest, spent if spent <= SLOW else seconds(run, data))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        bad += fell > 0 or slowest > SLOW or peak > PEAK
        print(f"{name:<26} {count} mutations, {fell} fell, slowest {slowest:.3f} s, peak so far {peak} MiB", flush=True)
    print(f"{len(names)} targets, {bad} of them fell, took over {SLOW:.0f} s or held over {PEAK} MiB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
