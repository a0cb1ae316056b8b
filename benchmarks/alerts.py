"""NDJSON -> alerts: events per second of the whole way and of matching alone, beside rsigma where it is installed.

Run: python benchmarks/alerts.py [--events N] [--json OUT]. Peer: ``cargo install rsigma --version 0.23.0 --locked``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RUNS = 3
_IMAGES = ("C:\\Windows\\System32\\svchost.exe", "C:\\Program Files\\App\\app.exe", "C:\\Windows\\System32\\cmd.exe")


def events(path: Path, count: int) -> None:
    """Write ``count`` Windows process events, every command line different, one in five hundred hostile."""
    rng = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            hostile = number % 500 == 0
            command = "whoami /all" if hostile else f"app.exe --session {rng.getrandbits(64):x} --user u{number % 97}"
            row = {
                "TimeCreated": f"2026-03-11T14:{number // 3600 % 60:02d}:{number // 60 % 60:02d}.000Z",
                "EventID": 4688,
                "Channel": "Security",
                "Provider_Name": "Microsoft-Windows-Security-Auditing",
                "Computer": f"HOST-{number % 50:02d}",
                "NewProcessName": "C:\\Windows\\System32\\whoami.exe" if hostile else _IMAGES[number % 3],
                "CommandLine": command,
                "SubjectUserName": f"u{number % 97}",
                "ParentProcessName": _IMAGES[(number + 1) % 3],
                "NewProcessId": f"0x{rng.getrandbits(20):x}",
            }
            file.write(json.dumps(row) + "\n")


def timed(argv: list[str], runs: int = RUNS) -> list[float]:
    """Wall seconds of a command, each run alone."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=900)
        taken.append(time.perf_counter() - began)
    return taken


def ours(path: Path, rules: Path, count: int) -> dict[str, Any]:
    """The whole way into a store that vanishes, and matching alone; start-up on ten events is taken off."""
    small = path.with_name("ten.jsonl")
    events(small, 10)
    cli = [sys.executable, "-m", "cityguard.cli.main", "-q"]
    found: dict[str, Any] = {}
    for name, argv in (
        ("look", ["look", "--rules", str(rules), "--jsonl"]),
        ("match", ["rules", "match", "--rules", str(rules), "--jsonl"]),
    ):
        start = statistics.median(timed([*cli, *argv, str(small)]))
        whole = timed([*cli, *argv, str(path)])
        found[name] = {
            "start_s": round(start, 2),
            "seconds": [round(one, 2) for one in whole],
            "events_per_s": round(count / max(statistics.median(whole) - start, 1e-3)),
        }
    return found


def rsigma(path: Path, rules: Path, count: int) -> dict[str, Any] | str:
    """The peer on the same file and rules, or why it was not run."""
    if not shutil.which("rsigma"):
        return "not installed"
    small = path.with_name("ten.jsonl")
    argv = ["rsigma", "engine", "eval", "-r", str(rules), "-e"]
    start = statistics.median(timed([*argv, f"@{small}"]))
    whole = timed([*argv, f"@{path}"])
    rate = count / max(statistics.median(whole) - start, 1e-3)
    return {"seconds": [round(one, 2) for one in whole], "events_per_s": round(rate)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rules = ROOT / "rules" / "host"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        events(path, options.events)
        mine, peer = ours(path, rules, options.events), rsigma(path, rules, options.events)
    result: dict[str, Any] = {
        "bench": "ndjson-to-alerts",
        "events": options.events,
        "rules": "rules/host",
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "cityguard": mine,
        "rsigma": peer,
    }
    if isinstance(peer, dict):
        result["ratio_match_to_rsigma"] = round(mine["match"]["events_per_s"] / peer["events_per_s"], 2)
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
