"""The whole mission on the sample city, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


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
