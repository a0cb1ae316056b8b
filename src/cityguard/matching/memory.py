"""Memory that one process of many need not hold."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

_SMAPS = Path("/proc/self/smaps")
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ [1-9]\d* +(\S.*)")
_DONTNEED = 4  # MADV_DONTNEED of madvise(2)
COMPILER = "libllvmlite"


def plain() -> None:
    """Arrow's memory from the system's allocator: tables of a batch come and go, and what goes is to be given back."""
    pa.set_memory_pool(pa.system_memory_pool())


def given_back(library: str = COMPILER) -> int:
    """Let go of a library's pages; bytes they were.

    What LLVM is needed for ends when the compiled functions are loaded: 60 MB of its code were looked at until then.
    Only pages that are as in the file are let go of (none that were ever written to), so whoever needs one again reads
    it from there.
    """
    freed = 0
    for start, size, resident in _clean(library):
        done = ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED)
        freed += 0 if done else resident
    return freed


def _clean(library: str) -> Iterator[tuple[int, int, int]]:
    """(start, size, resident bytes) of the parts of a library that cannot be written to and never were."""
    try:
        told = _SMAPS.read_text()
    except OSError:  # no Linux
        return
    parts = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", told)
    for part in parts:
        found = _MAPPING.match(part)
        if found is None or "w" in found[3] or not Path(found[4]).name.startswith(library):
            continue
        sizes = {name: int(size) << 10 for name, size in re.findall(r"\n(\w+): +(\d+) kB", part)}
        if sizes.get("Rss") and sizes.get("Anonymous") == 0 and sizes.get("Private_Dirty") == 0:
            start, end = int(found[1], 16), int(found[2], 16)
            yield start, end - start, sizes["Rss"]
