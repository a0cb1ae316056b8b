"""The spool: durable before acknowledged, read back in order, freed by unlink, bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cityguard import spool
from cityguard.errors import StoreLockedError
from cityguard.spool import Received, SpoolWriter

MB = 1 << 20


def records(start: int, count: int, size: int = 20) -> list[Received]:
    return [Received(n, f"10.0.0.{n % 3}", f"{n:0{size}d}".encode()) for n in range(start, start + count)]


def test_what_was_appended_comes_back_in_order_with_its_peer(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, max_bytes=64 * MB)
    assert writer.append(records(0, 10)) == 10
    frames, peers = spool.read(tmp_path, 3, limit=4)
    assert frames.number.tolist() == [4, 5, 6, 7]
    assert [frames.item(i) for i in range(4)] == [f"{n:020d}".encode() for n in (3, 4, 5, 6)]
    assert peers == ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.0"]
    assert spool.pending(tmp_path, 3) == 7
    writer.close()


def test_numbers_go_on_after_a_restart_and_the_identity_stays(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, max_bytes=64 * MB)
    writer.append(records(0, 3))
    first = writer.uuid
    writer.close()
    writer = SpoolWriter(tmp_path, max_bytes=64 * MB)
    writer.append(records(3, 2))
    frames, _ = spool.read(tmp_path, 0, limit=100)
    assert frames.number.tolist() == [1, 2, 3, 4, 5]
    assert writer.uuid == first
    writer.close()


def test_whole_segments_are_freed_and_reading_goes_on_behind_them(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, max_bytes=64 * MB, segment_bytes=20_000)
    for n in range(20):
        writer.append(records(n * 50, 50, size=100))
    count = len(spool.segments(tmp_path))
    assert count > 3
    assert spool.free(tmp_path, 600) > 0
    frames, _ = spool.read(tmp_path, 600, limit=10_000)
    assert frames.number.tolist() == list(range(601, 1001))
    assert spool.free(tmp_path, 10**9) > 0
    assert len(spool.segments(tmp_path)) == 1
    writer.close()


def test_a_full_spool_drops_and_counts(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, max_bytes=50_000)
    kept = sum(writer.append(records(n * 100, 100, size=200)) for n in range(10))
    assert writer.dropped == 1000 - kept > 0
    assert spool.pending(tmp_path, 0) == kept
    writer.close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, max_bytes=MB)
    with pytest.raises(StoreLockedError):
        SpoolWriter(tmp_path, max_bytes=MB)
    writer.close()


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cityguard.spool import *\n"
        f"w = SpoolWriter(Path({str(tmp_path)!r}), max_bytes=1 << 30)\n"
        "n = spool_last = 0\n"
        "while True:\n"
        "    n += w.append([Received(n + i, 'p', b'x' * 50) for i in range(20)])\n"
        "    sys.stdout.write(f'{n}\\n'); sys.stdout.flush()\n"
    )
    total = 0
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        acknowledged = 0
        for line in child.stdout:
            acknowledged = int(line)
            if acknowledged >= 400:
                break
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split()
        child.stdout.close()
        child.wait()
        total += int(rest[-1]) if rest and rest[-1].isdigit() else acknowledged
        assert spool.pending(tmp_path, 0) >= total
        total = spool.pending(tmp_path, 0)
    frames, _ = spool.read(tmp_path, 0, limit=10**6)
    assert frames.number.tolist() == list(range(1, total + 1))
