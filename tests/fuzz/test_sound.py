"""A changed message whose checksum was made right again is read by its decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fuzz.conversation import Chunk, changed, pack, unpack
from fuzz.sound import MENDERS

from cityguard.decoders.protocol import protocols
from fuzz import mutate

STARTS = {f"wire-{one.name}": one.starts for one in protocols()}


@pytest.mark.parametrize("name", MENDERS)
def test_what_was_sound_and_is_damaged_is_sound_again(name: str) -> None:
    chunks = [chunk for seed in mutate.seeds(name) for chunk in unpack(seed) if STARTS[name](chunk.data[:512], True)]
    damaged = [
        chunk.data[:-2] + bytes((chunk.data[-2] ^ 1, chunk.data[-1]))
        for chunk in chunks
        if MENDERS[name](chunk.data) == chunk.data
    ]
    assert damaged
    mended = [MENDERS[name](data) for data in damaged]
    assert sum(STARTS[name](data[:512], True) for data in mended) >= len(damaged) // 2


def test_a_change_stays_within_a_chunk_and_is_the_same_again() -> None:
    chunks = [Chunk(b"first"), Chunk(b"second", 1)]
    raw = pack(chunks)
    found = [changed(raw, 100, seed, lambda data, room: data[::-1]) for seed in range(60)]
    assert found == [changed(raw, 100, seed, lambda data, room: data[::-1]) for seed in range(60)]
    assert pack([replace(chunks[0], data=b"tsrif"), chunks[1]]) in found
