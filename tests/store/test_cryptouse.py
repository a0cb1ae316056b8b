"""The inventory of cryptography is the same on either store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.cryptouse.handshakes import NOW, batch, day, ordinary, seen, tlcp

from cityguard.cryptouse import gathering
from cityguard.cryptouse.inventory import Owner
from cityguard.store.elastic import ElasticStore
from cityguard.store.embedded import EmbeddedStore

ROWS = [
    tlcp("10.0.0.7"), tlcp("10.0.0.7", "s2", server__certificate_pair="swapped", server__not_after=day(-2)),
    ordinary("10.0.0.8", offered=True), ordinary("10.0.0.9"), seen("10.0.0.10", version="tlcp1.1", guomi=True),
    seen("10.0.0.11", 500, version="ike1.0", exchange="aggressive", authentication=["psk"], cipher="3DES-CBC/MD5/psk"),
]  # fmt: skip


def test_both_stores_tell_the_same_inventory(elastic: Callable[..., ElasticStore], tmp_path: Path) -> None:
    found = []
    for store in (EmbeddedStore(tmp_path / "embedded"), elastic()):
        store.events.append(batch("tls", ROWS))
        found.append(gathering.gather(store.events, lambda ip: Owner(ip), NOW - timedelta(days=1), NOW))
    assert found[0] == found[1]
    assert len(found[0].services) == 5 and len(found[0].certificates) == 5
    assert [one.problems for one in found[0].services if one.port == 500] == [("weak_suite", "aggressive")]
