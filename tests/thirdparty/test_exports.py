"""Exported flows of other projects: what pmacct, logstash, tcpdump, goflow2 and nDPI say of them, we say too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.decoders import wire
from truth import exports

from cityguard.decoders import netflow


def test_every_peer_agrees(shared: Path) -> None:
    lines = list(exports.compare(shared))
    assert len(lines) == 7
    assert {line.peer for line in lines} == {"pmacct", "logstash codec", "tcpdump", "goflow2", "nDPI"}
    for line in lines:
        assert line.compared > 0
        assert (line.missing, line.extra) == (0, 0), line


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
