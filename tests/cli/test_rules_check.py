"""rules check: what it prints, what it answers, and that the city's register fills lists."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cityguard.app import App
from cityguard.config import Settings

BROKEN = Path(__file__).parents[1] / "broken_rules"
RULE = """title: Write from outside
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
status: test
logsource: {category: network, service: connection}
detection:
  sel: {destination.ip|cidr|expand: '%segments.ot%'}
  condition: sel
level: low
"""
REGISTER = """segments:
  - {id: pump, name: 泵站, cidrs: [10.9.0.0/16], zone: control, ot: true}
"""


def run(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    (home / "cityguard.yml").write_text(f"home: {home / 'var'}\n", encoding="utf-8")
    command = [sys.executable, "-m", "cityguard.cli.main", "--config", str(home / "cityguard.yml"), "--lang", "en"]
    return subprocess.run([*command, "rules", "check", *words], capture_output=True, text=True, check=False, cwd=home)


def test_errors_are_told_by_line_and_end_with_one(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(
        RULE.replace("cidr|expand: '%segments.ot%'", "cidr: 10.0.0.0/8"), encoding="utf-8"
    )
    good = run(str(tmp_path / "good.yml"), home=tmp_path)
    assert (good.returncode, good.stdout) == (0, "")
    assert "1 files, 0 errors, 1 warnings" in good.stderr
    bad = run("--json", str(BROKEN / "condition_unknown_name.yml"), home=tmp_path)
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert (told["errors"], told["rules"]) == (1, 0)
    finding = told["findings"][0]
    assert (finding["level"], finding["line"]) == ("error", 6)
    assert finding["path"].endswith("condition_unknown_name.yml")
    assert "did you mean 'sel'" in finding["remedy"]


def test_rules_take_lists_from_the_register(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yml").write_text(RULE, encoding="utf-8")
    empty = App(Settings(home=str(tmp_path / "one")), rules=[tmp_path / "rules"])
    assert "%segments.ot%" in empty.ruleset.inactive[0].reason
    empty.close()
    (tmp_path / "register.yml").write_text(REGISTER, encoding="utf-8")
    told = App(
        Settings(home=str(tmp_path / "two"), register=str(tmp_path / "register.yml")), rules=[tmp_path / "rules"]
    )
    assert [one.title.en for one in told.ruleset.rules] == ["Write from outside"]
    told.close()
