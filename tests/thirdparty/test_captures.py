"""Captures of other projects: nothing may crash or stall, and every packet is accounted for.

What other people's decoders say of them is compared in ``truth/``, which ``test_truth`` runs.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.decoders import wire

from cityguard import fast
from cityguard.decoders import capture, flow, netflow, packet
from cityguard.errors import DecodeError
from cityguard.model import Decoded, Frames
from cityguard.sources import pcap

CAPTURES = {".pcap", ".pcapng", ".cap"}
SLOWEST = 20.0
"""Seconds of the processor for one capture, generous for slow machines; the limit proper is test_robustness's."""


def run(path: Path) -> tuple[Decoded, int]:
    one, parts, packets = capture.decoder({}), [], 0
    for piece in pcap.frames(np.frombuffer(path.read_bytes(), np.uint8)):
        packets += len(piece)
        parts.append(one.decode(piece))
    return wire.merge([*parts, one.flush()]), packets


def datagrams(paths: list[Path]) -> Frames:
    return wire.frames([path.read_bytes() for path in paths], link=0)


def test_every_capture_is_decoded_in_time_and_every_packet_accounted_for(shared: Path) -> None:
    paths = sorted(path for path in shared.rglob("*") if path.suffix in CAPTURES)
    assert len(paths) > 1200
    for path in paths:
        started = time.process_time()
        try:
            found, packets = run(path)
        except DecodeError:
            continue
        assert time.process_time() - started < SLOWEST, path
        flows = wire.table(found, "flow")
        counted = int(flows["network.packets"].sum()) if flows.height else 0
        assert counted + found.rejected + _without_ip(found) == packets, path


def _without_ip(found: Decoded) -> int:
    """Ethernet frames that are understood without IP: GOOSE, PROFINET, BACnet over LLC. They are in no flow."""
    rows = wire.table(found, "ot")
    return rows.filter(pl.col("source.ip").is_null())["log.offset"].n_unique() if rows.height else 0


def test_every_datagram_is_decoded_or_rejected(shared: Path) -> None:
    paths = sorted(shared.rglob("*.dat"))
    assert len(paths) > 30
    for path in paths:
        one = netflow.decoder({})
        wire.merge([one.decode(datagrams([path])), one.flush()])


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
def test_compiled_and_numpy_paths_say_the_same_of_every_capture(shared: Path) -> None:
    for path in sorted(path for path in shared.rglob("*") if path.suffix in CAPTURES):
        try:
            pieces = list(pcap.frames(np.frombuffer(path.read_bytes(), np.uint8)))
        except DecodeError:
            continue
        tables = []
        for compiled in (False, True):
            reader, table = packet.Reader(compiled=compiled), flow.Open(compiled=compiled)
            for read in [*map(reader.decode, pieces), reader.flush()]:
                table.add(flow.group(read.frames, read.packets, flow.Keys(read.packets)))
            tables.append(table.rest())
        reader, table = packet.Reader(payloads=False, compiled=True), flow.Open(compiled=True)
        assert all(table.read(reader, piece) is not None for piece in pieces)
        read = reader.flush()
        table.add(flow.group(read.frames, read.packets, flow.Keys(read.packets)))
        assert tables[0].equals(tables[1]), path
        assert tables[0].equals(table.rest()), f"{path}, straight from its frames"
