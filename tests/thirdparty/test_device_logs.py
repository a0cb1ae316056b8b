"""Log lines of devices, systems, servers and clouds beside other people's answers."""

from __future__ import annotations

from pathlib import Path

from truth import logs_fields, logs_headers, logs_vendors


def test_fields_are_those_of_wazuhs_engine(shared: Path) -> None:
    line = logs_fields.engine(shared / "logs" / "wazuh-engine")
    assert line.compared > 4000
    assert line.holds, line.notes[:20]


def test_each_line_of_the_rule_tests_is_given_to_its_maker(shared: Path) -> None:
    line = logs_vendors.recognition(shared / "logs" / "wazuh-ruletest")
    assert line.compared > 700
    assert line.holds, line.notes[:20]


def test_headers_are_those_of_napalm_logs(shared: Path) -> None:
    line = logs_headers.headers(shared / "logs" / "napalm-logs")
    assert line.compared > 600
    assert line.holds, line.notes[:20]
