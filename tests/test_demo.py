"""The whole mission on the sample city, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cityguard import config, content
from cityguard.app import App
from cityguard.model import Query


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "city"
    argv = [sys.executable, "-m", "cityguard.cli.main", "--lang", "en", "demo", "--once", "--out", str(out)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_intrusion_is_found_with_its_chain(demo: tuple[Path, str]) -> None:
    _, told = demo
    chain = told[told.index("Chain 1") :]
    for host in ("203.0.113.66", "172.16.10.130", "10.66.0.20", "10.66.10.12"):
        assert host in chain, told
    assert int(chain.split()[2]) >= 4


PLANTED_OT = {
    "correlation.ot_foothold_then_command",
    "correlation.ot_remote_admin_then_command",
    "ot.modbus_diagnostics",
    "ot.modbus_exception_burst",
    "ot.modbus_probe",
    "ot.modbus_write_after_probe",
    "ot.modbus_write_off_hours",
    "ot.remote_admin_inside",
}


def test_industrial_rules_fire_where_the_intruder_acts_and_nowhere_else(demo: tuple[Path, str]) -> None:
    settings = config.load(content.root() / "examples" / "city" / "cityguard.yml", {})
    one = App(replace(settings, home=str((demo[0] / "var").absolute()), listen=()))
    try:
        alerts = one.store.alerts.find(Query(limit=10_000))
        named = [
            (head.name.removeprefix("cityguard."), alert)
            for alert in alerts
            if (head := one.ruleset.head(alert.rule_id))
        ]
    finally:
        one.close()
    found = {name: alert.entities for name, alert in named if name.startswith(("ot.", "correlation.ot_"))}
    assert set(found) == PLANTED_OT
    cast = {"10.99.0.20", "10.66.0.10", "10.66.0.20", "10.66.10.12"}
    assert {ip for entities in found.values() for key, ip in entities.items() if key.endswith(".ip")} <= cast


def test_every_report_is_there_in_every_format(demo: tuple[Path, str]) -> None:
    out, _ = demo
    for system in ("sys-gov-service", "sys-water-scada"):
        names = {path.suffix for path in (out / "reports" / system).iterdir()}
        assert names == {".html", ".pdf", ".docx", ".xlsx", ".json"}
    drills = sorted(path.name for path in (out / "reports").glob("drill-*"))
    assert drills == ["drill-exchange-config", "drill-gov-service-db", "drill-water-history"]


def test_the_broken_backup_fails_and_the_others_do_not(demo: tuple[Path, str]) -> None:
    out, told = demo
    assert told.count("成功") == 2
    assert told.count("失败") == 1
    manifest = json.loads((out / "reports" / "drill-water-history" / "manifest.json").read_text())
    assert manifest


def test_a_second_demo_replaces_the_first_but_no_other_folder(demo: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    argv = [sys.executable, "-m", "cityguard.cli.main", "demo", "--once", "--out", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (tmp_path / "mine.txt").read_text() == "keep"
