"""Captures of others: national cryptography is seen nowhere it is not spoken, IKE only where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cityguard.decoders import capture
from cityguard.sources import pcap

MOST = 4 << 20
"""Bytes of a capture that is looked at."""


def test_tlcp_and_ike_are_told_only_where_they_are_spoken(shared: Path) -> None:
    told: dict[str, set[str]] = {}
    for path in sorted(shared.glob("*-pcap/**/*.pcap*")):
        if path.suffix not in (".pcap", ".pcapng") or path.stat().st_size > MOST:
            continue
        one = capture.decoder({})
        parts = [*(one.decode(piece) for piece in pcap.frames(np.fromfile(path, np.uint8))), one.flush()]
        for batch in (batch for part in parts for batch in part.batches if batch.dataset == "tls"):
            families = set(batch.table["tls.version_protocol"].drop_nulls()) & {"tlcp", "ike"}
            if families:
                told.setdefault(path.name, set()).update(families)
            assert not ("tls.guomi" in batch.table.columns and batch.table["tls.guomi"].any()), path.name
    assert {name for name, families in told.items() if "tlcp" in families} == set()
    assert told
    assert all("ike" in name.lower() or name in ("arkime_synthetic.pcap", "input.pcap") for name in told), told
