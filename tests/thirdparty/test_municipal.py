"""Municipal protocols beside vectors of them, and where none of them is spoken: captures of everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from truth import base, municipal
from truth.base import Line

PROTOCOLS = frozenset(
    "hj212 sl651 szy206 gb28181 dlt645 dlt698 cjt188 jt808 jt809 gbt20999 ocpp".split()  # noqa: SIM905 - one line
)
NAMES = sorted({*PROTOCOLS, "isakmp", "tlcp", "tls"})
FOLDERS = ("it-pcap", "ot-pcap")


@pytest.fixture(scope="module")
def lines(shared: Path) -> dict[str, list[Line]]:
    """The lines of each protocol of the vectors."""
    found: dict[str, list[Line]] = {}
    for line in municipal.compare(shared):
        found.setdefault(line.protocol, []).append(line)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_vector_says_what_is_expected_however_it_is_sent(name: str, lines: dict[str, list[Line]]) -> None:
    assert lines[name], "no vectors"
    assert not [(line.name, line.equal, line.compared, line.notes[:3]) for line in lines[name] if not line.holds]


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
