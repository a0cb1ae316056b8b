"""Municipal protocols: vectors that say something else fail, and nothing of them is seen where none is spoken.

That every vector says what is expected, however it is sent, is held by ``test_truth``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from truth import base, municipal

PROTOCOLS = frozenset(
    "hj212 sl651 szy206 gb28181 dlt645 dlt698 cjt188 jt808 jt809 gbt20999 ocpp".split()  # noqa: SIM905 - one line
)
SPOKEN = PROTOCOLS | {"isakmp", "tlcp", "tls"}
FOLDERS = ("it-pcap", "ot-pcap")


def test_there_are_vectors_of_every_protocol_and_a_reader_of_each(shared: Path) -> None:
    vectors = municipal.vectors(shared)
    assert {vector.protocol for vector in vectors} == SPOKEN
    nothing = municipal.reader("no such protocol")
    assert not [name for name in SPOKEN if municipal.reader(name).__code__ is nothing.__code__]
    assert all(vector.expect for vector in vectors)


def test_a_vector_that_expects_something_else_fails(shared: Path) -> None:
    sound = next(vector for vector in municipal.vectors(shared) if vector.id == "hj212-07")
    wrong = {
        "crc_ok": {"crc_ok": False},
        "fields.QN": {"fields": {"QN": "20261102090107556"}},
        "ot.status": {"ot": {"status": "4"}},
        "ot.function.class": {"ot": {"function.class": None}},
        "cp.QnRtn": {"cp": {"QnRtn": None}},
        "detect hj212-key-in-clear": {"detect": ["hj212-key-in-clear"]},
        "unheard_of": {"unheard_of": 1},
    }
    found = municipal.answer(sound)
    for path, expect in wrong.items():
        vector = replace(sound, expect=expect)
        ((name, wanted, have),) = municipal.units(expect, municipal.said(vector, found))
        assert (name, wanted == have) == (path, False)


def test_bytes_of_no_protocol_say_nothing_and_every_way_of_sending_them_differs(shared: Path) -> None:
    sound = next(vector for vector in municipal.vectors(shared) if vector.id == "hj212-14")
    found = municipal.answer(replace(sound, data=b"\x13\x37" * 30))
    assert not found.rows
    assert len(found.differing) == found.sent > 60


def _rows(capture: Path) -> Iterator[str]:
    """Protocols of the ``ot`` rows, and of the flows."""
    table = base.rows(capture)
    for name in ("ot.protocol", "network.protocol"):
        if name in table.columns:
            yield from table[name].drop_nulls().to_list()


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_municipal_protocol_is_seen_where_none_is_spoken(folder: str, shared: Path) -> None:
    found, count = dict[str, Counter[str]](), 0
    for capture in base.captures(shared / folder):
        count += 1
        if seen := Counter(name for name in _rows(capture) if name in PROTOCOLS):
            found[str(capture.relative_to(shared))] = seen
    assert not found
    assert count >= 100
