"""Where rsigma 0.23 and we answer otherwise: one rule and one event for each reason, both sides asked.

Without rsigma (in PATH, ``~/.cargo/bin`` or RSIGMA) only our side is. The reasons stand in ``docs/detection.md``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cityguard.collect import collect
from cityguard.config import Limits
from cityguard.detectors.custom.lists import ThreatLists
from cityguard.detectors.screen import Screen
from cityguard.matching.matching import Matching
from cityguard.register.register import Register
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import load

HEAD = "title: t\nid: 00000000-0000-4000-8000-00000000000a\nlogsource: {logsource}\ndetection:\n"
PROCESS, REGISTRY = "{category: process_creation, product: windows}", "{category: registry_event, product: windows}"
SECURITY = "{product: windows, service: security}"
FIELDS = "product=_p,service=_s,category=_c"


@dataclass(frozen=True)
class Case:
    """One reason."""

    name: str
    detection: str
    event: dict[str, object]
    ours: bool
    theirs: bool
    logsource: str = PROCESS
    number: int = 1
    category: str = "process_creation"
    channel: str = "Microsoft-Windows-Sysmon/Operational"
    service: str = "sysmon"


CASES = [
    Case("plain words", "s: {CommandLine|contains: whoami}", {"CommandLine": "whoami /all"}, True, True),
    Case("a question mark in a suffix", r"s: {Image|endswith: '\cm?.exe'}", {"Image": r"C:\W\cmd.exe"}, True, False),
    Case("a question mark in a prefix", r"s: {Image|startswith: 'C:\W?n'}", {"Image": r"C:\Win\cmd.exe"}, True, False),
    Case("windash of a rule with a slash", "s: {CommandLine|windash|contains: ' /all'}", {"CommandLine": "whoami -all"},
         True, False),
    Case("null where a text is empty", "s: {CommandLine: null}", {"CommandLine": ""}, True, False),
    Case("an event of several categories", "s: {TargetObject|contains: run}", {"TargetObject": r"HKU\run"}, True, False,
         REGISTRY, 13, "registry_set"),
    Case("a list of names the site has not given", "s: {User: x}\n  f: {User|expand: '%nobody%'}", {"User": "x"},
         False, True),
    Case("4688 in the words of process_creation", r"s: {Image|endswith: '\whoami.exe'}",
         {"NewProcessName": r"C:\Windows\System32\whoami.exe"}, True, False, PROCESS, 4688, "process_creation",
         "Security", "security"),
    Case("4688 by the name in the event", r"s: {NewProcessName|endswith: '\whoami.exe'}",
         {"NewProcessName": r"C:\Windows\System32\whoami.exe"}, True, True, SECURITY, 4688, "process_creation",
         "Security", "security"),
]  # fmt: skip


def _written(case: Case, folder: Path) -> tuple[Path, Path]:
    rules, events = folder / "rules", folder / "events.ndjson"
    rules.mkdir()
    condition = "s and not f" if "\n  f:" in case.detection else "s"
    text = HEAD.replace("{logsource}", case.logsource) + f"  {case.detection}\n  condition: {condition}\n"
    (rules / "one.yml").write_text(text, encoding="utf-8")
    told = {"_p": "windows", "_s": case.service, "_c": case.category, "EventID": case.number}
    told |= {"Channel": case.channel, "Computer": "PC"}
    events.write_text(json.dumps(told | case.event) + "\n", encoding="utf-8")
    return rules, events


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_answer(case: Case, tmp_path: Path) -> None:
    rules, events = _written(case, tmp_path)
    engine = Engine.compile(load([rules]))
    now = datetime(2026, 11, 1, tzinfo=UTC)
    known = collect.Collectors.load()
    matching = Matching(
        engine, known, limits=Limits(), now=now, register=Register.empty(), screen=Screen(ThreatLists(), UTC)
    )
    assert bool(sum(part.hits for part in matching.file(events))) is case.ours


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answer_of_rsigma(case: Case, tmp_path: Path) -> None:
    named = os.environ.get("RSIGMA") or shutil.which("rsigma") or str(Path.home() / ".cargo" / "bin" / "rsigma")
    if not Path(named).is_file():
        pytest.skip("rsigma is not installed")
    rules, events = _written(case, tmp_path)
    command = [named, "engine", "eval", "-r", str(rules), "--logsource-routing", "--logsource-field-map", FIELDS]
    done = subprocess.run([*command, "-e", f"@{events}"], capture_output=True, text=True, check=True, timeout=60)
    assert bool(done.stdout.strip()) is case.theirs
