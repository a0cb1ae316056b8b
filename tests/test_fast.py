"""The switch of the compiled paths, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cityguard import fast

TELL = """
import sys
from cityguard import fast
from cityguard.decoders import flow
print("numba" in sys.modules, fast.ON)
"""


def told(switch: str) -> str:
    environment = os.environ | {"CITYGUARD_FAST": switch}
    return subprocess.run(
        [sys.executable, "-c", TELL], env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_turned_off_numba_is_not_even_imported() -> None:
    assert told("0") == "False False"


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
def test_turned_on_it_is() -> None:
    assert told("1") == "True True"


def test_a_process_that_matches_does_not_read_what_makes_spreadsheets() -> None:
    tell = "import cityguard.matching.pool, sys; print(sorted({'openpyxl', 'xlsxwriter', 'docx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
