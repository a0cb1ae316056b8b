"""Where the third-party captures and logs stand: ``shared/data`` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party data; the test is skipped without it, but never in CI."""
    if not DATA.is_dir() and os.environ.get("CI") != "true":
        pytest.skip(f"no third-party data at {DATA}")
    assert DATA.is_dir(), f"third-party data is missing: {DATA}"
    return DATA
