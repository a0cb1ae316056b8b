"""``cityguard crypto`` from outside, over the sample city's gateway, in both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crypto")
    cityguard(folder, "asset", "import", str(ROOT / "examples" / "city" / "register.yml"))
    cityguard(folder, "ingest", str(ROOT / "pcaps" / "tlcp-downgrade.pcap"))
    return folder


def cityguard(home: Path, *argv: str, lang: str = "zh-CN", code: int = 0) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CITYGUARD_")}
    command = [sys.executable, "-m", "cityguard.cli.main", "--lang", lang, "--home", str(home), *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environ)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
    return done.stdout


def refused(home: Path, *argv: str, lang: str = "zh-CN") -> str:
    command = [sys.executable, "-m", "cityguard.cli.main", "--lang", lang, "--home", str(home), "crypto", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_the_inventory_tells_who_is_national_and_who_turned_it_down(home: Path) -> None:
    told = json.loads(cityguard(home, "crypto", "inventory", "--days", "3000", "--json"))
    (gateway,) = told["services"]
    assert (gateway["address"], gateway["port"], gateway["state"]) == ("172.16.10.6", 443, "mixed")
    assert gateway["owner"]["system"] == "sys-vpn" and gateway["problems"] == ["sometimes_turned_down"]
    assert {one["cipher"]: (one["count"], one["offered"], one["national"]) for one in gateway["used"]} == {
        "ECC_SM4_GCM_SM3": (15, 15, True), "ECDHE_SM4_CBC_SM3": (7, 7, True),
        "TLS_SM4_GCM_SM3": (7, 7, True), "TLS_AES_128_GCM_SHA256": (5, 5, False),
    }  # fmt: skip
    assert told["clients"] == {"10.20.23.10": 5}
    assert {tuple(one["roles"]) for one in told["certificates"]} == {("server",), ("encryption",), ("client",)}
    assert "国密与其他并用" in cityguard(home, "crypto", "inventory", "--days", "3000")
    assert "National and others" in cityguard(home, "crypto", "inventory", "--days", "3000", lang="en")
    assert "SM2-with-SM3" in cityguard(home, "crypto", "inventory", "--days", "3000", "--certificates")
    assert (
        json.loads(cityguard(home, "crypto", "inventory", "--days", "3000", "--state", "national", "--json"))[
            "services"
        ]
        == []
    )
    assert told["problems"] == {"sometimes_turned_down": 1}
    assert "有时未采用国密" in cityguard(home, "crypto", "inventory", "--days", "3000")


def test_what_is_not_known_is_refused_in_the_language_asked_for(home: Path) -> None:
    for argv in (
        ("inventory", "--state", "good"),
        ("calendar", "--system", "nope"),
        ("posture", "--department", "nope"),
        ("inventory", "--days", "3661"),
    ):
        assert cityguard(home, "crypto", *argv, code=2) == ""
    assert "台账中没有系统 'sys-vpm'；可用：sys-vpn" in refused(home, "inventory", "--system", "sys-vpm")
    assert "has no system 'sys-vpm'; there is: sys-vpn" in refused(home, "posture", "--system", "sys-vpm", lang="en")


def test_the_calendar_and_the_posture_are_told_with_what_cannot_be_known(home: Path) -> None:
    months = json.loads(cityguard(home, "crypto", "calendar", "--days", "3000", "--json"))["months"]
    assert sum(len(month["ending"]) for month in months) == 3
    told = json.loads(cityguard(home, "crypto", "posture", "--days", "3000", "--json"))
    assert [line["sign"] for line in told["lines"]][:2] == ["part", "good"] and len(told["unknown"]) >= 6
    text = cityguard(home, "crypto", "posture", "--days", "3000", lang="en")
    assert "What traffic cannot show:" in text and "no assessment" in text
