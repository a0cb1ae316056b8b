"""Exported flows of other projects, damaged: ``test_truth`` compares the whole ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.decoders import wire

from cityguard.decoders import netflow


def test_mutations_of_every_datagram_are_decoded_or_rejected(shared: Path) -> None:
    rng = np.random.default_rng(1)
    for path in sorted((shared / "netflow").rglob("*.dat")):
        raw = np.frombuffer(path.read_bytes(), np.uint8)
        one = netflow.Exports(community_id=False)
        for _ in range(10):
            damaged = raw.copy()
            damaged[rng.integers(0, len(raw), 6)] = rng.integers(0, 256, 6)
            found = wire.merge([one.decode(wire.frames([damaged.tobytes()], link=0)), one.flush()])
            assert found.rejected <= 1
