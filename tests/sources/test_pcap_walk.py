"""The chain of records: one by one, many chains at once, compiled; all find the same."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.sources import walk

some_record = st.builds(
    lambda size, second, lie, fill: struct.pack("<IIII", 1_700_000_000 + second, 5, size + lie, size) + fill * size,
    st.integers(0, 90),
    st.sampled_from([0, 1, 70_000]),
    st.sampled_from([0] * 40 + [1, -1, 300_000, 40]).map(lambda lie: max(lie, 0)),
    st.sampled_from([b"\0", b"x", struct.pack("<H", 1_700_000_000 >> 16)[:1]]),
)


def chain(raw: bytes, compiled: bool, patch: pytest.MonkeyPatch, window: int = 700) -> tuple[list[int], int, bool]:
    buffer = np.frombuffer(raw, np.uint8)
    patch.setattr(walk.fast, "ON", compiled)
    patch.setattr(walk, "WINDOW", window)
    place, broken, found = 24, False, list[int]()
    while place < len(raw) and not broken:
        records, place, broken = walk.chain(buffer, place, "<", 16)
        starts = (records.offset - 16).tolist()
        found += starts
        told = [struct.unpack_from("<IIII", raw, at) for at in starts]
        assert records.length.tolist() == [length for _, _, length, _ in told]
        assert records.wire.tolist() == [max(length, wire) for _, _, length, wire in told]
        assert records.time.tolist() == [second * 1_000_000_000 + part * 1_000 for second, part, _, _ in told]
    return found, place, broken


@settings(max_examples=80, deadline=None)
@given(st.lists(some_record, min_size=1, max_size=150), st.integers(0, 60), st.integers(100, 5_000))
def test_every_way_along_the_chain_finds_the_same_records(body: list[bytes], cut: int, window: int) -> None:
    raw = bytes(24) + b"".join(body)
    raw = raw[: len(raw) - cut]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "_PART", 64)
        patch.setattr(walk, "_LOOK", 200)
        one = chain(raw, True, patch, window)
        assert chain(raw, False, patch, window) == one
        patch.setattr(walk, "_together", walk._one_by_one)
        assert chain(raw, False, patch, 1 << 20) == one


def test_a_guess_that_was_wrong_is_walked_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Payloads made of what looks like records, so that every guess lies inside of a packet."""
    fake = struct.pack("<IIII", 1_700_000_000, 5, 4, 4) + b"fake"
    record = struct.pack("<IIII", 1_700_000_000, 5, len(fake) * 9 + 3, len(fake) * 9 + 3) + b"..." + fake * 9
    raw = bytes(24) + record * 400
    monkeypatch.setattr(walk, "_PART", 256)
    monkeypatch.setattr(walk, "_LOOK", 512)
    found, place, broken = chain(raw, False, monkeypatch, 1 << 20)
    assert found == list(range(24, len(raw), len(record)))
    assert (place, broken) == (len(raw), False)


some_block = st.builds(
    lambda kind, size, odd: struct.pack("<II", kind, size + 12 + odd) + bytes(size) + struct.pack("<I", size + 12),
    st.sampled_from([6, 6, 6, 3, 2, 5, 1, 0x0A0D0D0A, 99]),
    st.sampled_from([0, 4, 20, 24, 40]),
    st.sampled_from([0] * 30 + [1, 4, 900]),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(some_block, min_size=1, max_size=60), st.integers(0, 30), st.integers(1, 9))
def test_blocks_are_found_the_same_way(body: list[bytes], cut: int, count: int) -> None:
    raw = b"".join(body)
    buffer = np.frombuffer(raw[: len(raw) - cut], np.uint8)

    def all_of(compiled: bool, patch: pytest.MonkeyPatch) -> list[Any]:
        patch.setattr(walk.fast, "ON", compiled)
        place, out = 0, list[Any]()
        while True:
            starts, kinds, place, why = walk.blocks(buffer, place, "<", count)
            out.append((starts.tolist(), kinds.tolist(), place, why))
            if why != walk.FULL:
                return out

    with pytest.MonkeyPatch.context() as patch:
        assert all_of(True, patch) == all_of(False, patch)
