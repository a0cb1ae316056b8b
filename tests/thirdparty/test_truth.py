"""What other people's tools say of the same bytes: every comparator holds the level that is asked of it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from truth.__main__ import modules


@pytest.mark.parametrize("name", modules())
def test_our_answers_are_those_of_others(name: str, shared: Path) -> None:
    lines = list(importlib.import_module(f"truth.{name}").compare(shared))
    assert any(line.compared for line in lines), f"{name} compared nothing"
    below = [f"{line.protocol} vs {line.peer} ({line.unit}): {line.share:.2%}" for line in lines if not line.holds]
    assert not below, "; ".join(below)
