"""Memory: what is given back comes again when it is needed."""

from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from cityguard import fast
from cityguard.matching import memory


@pytest.mark.skipif(not fast.ON or sys.platform != "linux", reason="needs the extra [fast] and Linux")
def test_the_compiler_gives_its_pages_back_and_still_compiles() -> None:
    def twice(number: int) -> int:
        return 2 * number

    for _ in range(2):  # whatever this process gave back before
        assert fast.numba.njit(twice)(21) == 42
        assert memory.given_back() > 1 << 20


def test_a_library_that_is_not_there_gives_nothing() -> None:
    assert memory.given_back("libof-none") == 0


def test_what_was_ever_written_to_stays() -> None:
    found = list(memory._clean("libpython")) + list(memory._clean("libarrow"))
    assert all(size > 0 and 0 < resident <= size for _, size, resident in found)
    assert found or sys.platform != "linux"


def test_tables_come_from_the_plain_allocator() -> None:
    was = pa.default_memory_pool()
    try:
        memory.plain()
        assert pa.default_memory_pool().backend_name == "system"
    finally:
        pa.set_memory_pool(was)
