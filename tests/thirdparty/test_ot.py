"""Industrial protocols beside other people's answers: every line of the comparators holds what is asked of it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

KNOWN = {("modbus", "Zeek", "PDUs: function, direction, exception"): 0.93}
"""Lines below what is asked, and why: docs/truth/ot.md."""
LEAST = {"ot_modbus": 27_000, "ot_dnp3": 3_500, "ot_s7comm": 19_000, "iec104": 1_700, "ot": 20}
"""Units compared at least, so that a comparison of nothing does not pass."""


@pytest.mark.parametrize("name", sorted(LEAST))
def test_our_answers_are_those_of_others(shared: Path, name: str) -> None:
    lines = list(importlib.import_module(f"truth.{name}").compare(shared))
    assert sum(line.compared for line in lines) >= LEAST[name]
    for line in lines:
        floor = KNOWN.get((line.protocol, line.peer, line.unit), line.floor)
        assert line.share >= floor, (line.unit, line.notes)
