"""Event logs: what is none is refused; real files are read in tests/thirdparty."""

from __future__ import annotations

import numpy as np
import pytest

from cityguard.errors import DecodeError
from cityguard.sources import evtx


@pytest.mark.parametrize("raw", [b"", evtx.MAGIC, evtx.MAGIC + bytes(100), evtx.MAGIC + b"\xff" * 5000])
def test_a_broken_header_is_refused_and_nothing_hangs(raw: bytes) -> None:
    try:
        items = list(evtx.frames(np.frombuffer(raw, np.uint8)))
    except DecodeError as error:
        assert "not an event log" in error.message
    else:
        assert all(not frames.item(i).startswith(b"{") for frames in items for i in range(len(frames)))
