"""Captures made to break decoders, and all others: nothing falls, nothing is slow, nothing is held for long.

They are read as the product reads files, in two processes; what the boundary around a decoder catches counts as fallen.
"""

from __future__ import annotations

from pathlib import Path

from fuzz.captures import PEAK, SLOW, inputs, run


def test_the_captures_made_to_break_decoders_cost_no_error_little_time_and_memory(shared: Path) -> None:
    found = list(run(inputs(shared / "robustness")))
    assert len(found) >= 173
    assert not [one for one in found if one.refused], "each is a capture"
    assert not [(one.path.name, one.faults) for one in found if one.faults]
    assert max(one.seconds for one in found) < SLOW
    assert max(one.peak for one in found) <= PEAK


def test_every_other_input_costs_no_error_little_time_and_memory(shared: Path) -> None:
    paths = [path for name in ("it-pcap", "ot-pcap", "netflow") for path in inputs(shared / name)]
    found = list(run(paths))
    assert len(found) > 1_100
    assert not [(one.path.name, one.faults) for one in found if one.faults]
    assert not [(one.path.name, one.seconds, one.peak) for one in found if not one.holds]
