"""Applications beside other tools' answers: the comparators' lines hold the level asked of them."""

from __future__ import annotations

from pathlib import Path

from truth import apps, labels


def test_zeek_and_suricata_see_the_same_fields(shared: Path) -> None:
    """All at 99 % and more beside Zeek; HTTP/2 is what Suricata sees and we do not."""
    lines = {(line.protocol, line.peer, line.unit): line for line in apps.compare(shared)}
    for key, line in lines.items():
        if key[1] == "zeek":
            assert line.compared > 0
            assert line.share >= 0.99, (key, line.notes)
    assert lines["dns", "suricata", "filters"].share >= 0.99
    assert lines["http", "suricata", "filters"].share >= 0.96
    assert lines["tls", "suricata", "filters"].share >= 0.99
    assert lines["ssh", "suricata", "filters"].share == 1
    assert lines["ja3c", "ndpi", "flows"].share >= 0.97
    assert lines["ja3s", "ndpi", "flows"].share >= 0.99
    assert lines["ssh", "arkime", "fields"].share == 1


def test_flows_bear_the_labels_of_ndpi_and_arkime(shared: Path) -> None:
    for line in labels.compare(shared):
        assert line.share >= 0.85, line.notes
