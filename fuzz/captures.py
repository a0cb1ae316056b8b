"""``python -m fuzz.captures FOLDER …``: every capture, event log and export datagram below, as the product reads them.

Each is recognised and read with ``collect.read`` in a process of its batch, and measured: seconds, the most memory the
process ever held, what fell. The boundary around the decoders keeps faults from the reader; here they are counted.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cityguard.collect import collect
from cityguard.collect.collectors import Collectors
from cityguard.errors import InputError
from cityguard.model import Chunk

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SLOW, PEAK = 5.0, 512
"""Seconds one input may take, and MiB its process may hold."""
KINDS = (".pcap", ".pcapng", ".cap", ".trace", ".pcap.gz", ".pcapng.gz", ".dat", ".evtx")
FAULT = "cannot be used"
"""How the boundary tells of an exception (``collect.boundary.reason``)."""
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Measured:
    """One input: seconds, MiB at the peak, rows by dataset; ``refused`` = no collector takes it, or it is damaged."""

    path: Path
    seconds: float = 0.0
    peak: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    refused: str = ""
    faults: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.faults and self.seconds <= SLOW and self.peak <= PEAK


def inputs(folder: Path) -> list[Path]:
    """Files below a folder that are measured, in order of path."""
    return [one for one in sorted(folder.rglob("*")) if one.is_file() and one.name.lower().endswith(KINDS)]


@cache
def _collectors() -> Collectors:
    return Collectors.load()


def measure(path: Path) -> Measured:
    """Read one input and let its rows go; a slow one again, for loops are compiled when they are first used."""
    collectors = _collectors()
    first = _measured(path, collectors)
    return first if first.seconds <= SLOW else _measured(path, collectors)


def _measured(path: Path, collectors: Collectors) -> Measured:
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")  # the peak starts anew
    rows, faults, refused = dict[str, int](), list[str](), ""
    begun = time.perf_counter()
    try:
        for chunk in collect.read(path, collectors, now=NOW):
            faults += _faults(chunk)
            for batch in chunk.decoded.batches:
                rows[batch.dataset] = rows.get(batch.dataset, 0) + batch.table.height
    except InputError as error:
        refused = error.message
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and the next input read
        faults.append(f"{type(error).__name__}: {error}")
    return Measured(path, time.perf_counter() - begun, _peak(), rows, refused, tuple(faults))


def _faults(chunk: Chunk) -> list[str]:
    told = [letter.reason for letter in chunk.decoded.dead] + list(chunk.decoded.notes)
    return [one for one in told if FAULT in one]


def _peak() -> int:
    """MiB held at most since the peak was last cleared; where that cannot be told, since the process began."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(_STATUS.read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def run(paths: Iterable[Path], processes: int = 2) -> Iterator[Measured]:
    """Measure inputs in fresh processes, in order."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(measure, paths, chunksize=16)


def main() -> int:
    folders = [Path(one) for one in sys.argv[1:]]
    if not folders:
        print(__doc__, file=sys.stderr)
        return 2
    print(f"{'folder':<34} inputs refused fell  slowest s  peak MiB  seconds in all")
    bad = list[Measured]()
    for folder in folders:
        found = list(run(inputs(folder)))
        bad += [one for one in found if not one.holds]
        for peer in sorted({one.path.relative_to(folder).parts[0] for one in found}):
            mine = [one for one in found if one.path.relative_to(folder).parts[0] == peer]
            slowest, peak = max(one.seconds for one in mine), max(one.peak for one in mine)
            refused, fell = sum(bool(one.refused) for one in mine), sum(bool(one.faults) for one in mine)
            name, whole = f"{folder.name}/{peer}", sum(one.seconds for one in mine)
            print(f"{name:<34} {len(mine):6} {refused:7} {fell:4} {slowest:10.2f} {peak:9} {whole:15.1f}", flush=True)
    for one in bad:
        print(f"{one.path}: {one.seconds:.2f} s, {one.peak} MiB, {'; '.join(one.faults)[:300] or 'too slow or large'}")
    print(f"{len(bad)} inputs fell, took over {SLOW:.0f} s or held over {PEAK} MiB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
