"""Commands as people and other tools call them: output forms, exit codes, messages instead of tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PCAPS = ROOT / "pcaps"
CITY = ROOT / "examples" / "city"


def run(*argv: str | Path, home: Path | None = None, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    options = ["--home", str(home)] if home else []
    done = subprocess.run(
        [sys.executable, "-m", "cityguard.cli.main", "--lang", "en", *options, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert "Traceback" not in done.stderr, done.stderr
    if code is not None:
        assert done.returncode == code, f"{done.returncode}: {done.stderr}"
    return done


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_decode_prints_flat_events_without_nulls() -> None:
    events = lines(run("decode", PCAPS / "heating-maintenance.pcap", "--jsonl"))
    assert {event["event.dataset"] for event in events} >= {"flow", "ot"}
    writes = [event for event in events if event.get("ot.function.code") == 6 and event.get("ot.is_request")]
    assert [(event["ot.address"], event["ot.value"]) for event in writes] == [("44", "550"), ("45", "560")]
    for event in events:
        assert None not in event.values()
        assert str(event["log.file.path"]).endswith("heating-maintenance.pcap")
        assert len(str(event["event.id"])) == 32
        assert str(event["@timestamp"]).endswith("Z")


def test_look_shows_alerts_and_leaves_nothing(tmp_path: Path) -> None:
    done = run("look", PCAPS / "water-plant-intrusion.pcap", "--jsonl", home=tmp_path / "home")
    found = lines(done)
    assert {alert["level"] for alert in found} & {"high", "critical"}
    assert all(alert["message_type"] == "alert" and alert["reason"] and alert["reason_en"] for alert in found)
    assert not (tmp_path / "home").exists()


def test_fail_on_ends_with_3_and_findings_alone_do_not() -> None:
    run("look", PCAPS / "water-plant-intrusion.pcap", "--jsonl", "--fail-on", "high", code=3)
    run("look", PCAPS / "heating-maintenance.pcap", "--jsonl", "--fail-on", "critical", code=0)
    run("look", PCAPS / "heating-maintenance.pcap", "--fail-on", "terrible", code=2)


def test_rules_match_names_rule_and_event(tmp_path: Path) -> None:
    rule = tmp_path / "r.yml"
    rule.write_text(
        "title: T\nid: 5f0f0a1e-0000-4000-8000-000000000001\nlogsource: {category: any}\nlevel: low\n"
        "detection: {s: {user: eve}, condition: s}\n"
    )
    events = tmp_path / "e.jsonl"
    events.write_text('{"user": "adam"}\n{"user": "eve"}\n{"user": "EVE"}\n')
    rule.write_text(rule.read_text().replace("{category: any}", "{product: test}"))
    done = run("rules", "match", "--rules", rule, events, "--collector", "ndjson", "--jsonl", code=None)
    assert done.returncode == 0
    # a generic JSON file says no product: the rule must not apply to it
    assert lines(done) == []


def test_ingest_twice_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = json.loads(run("ingest", CITY / "logs", PCAPS / "office-beacon.pcap", "--json", home=home).stdout)
    alerts = run("alerts", "list", "--jsonl", home=home).stdout
    second = json.loads(run("ingest", CITY / "logs", PCAPS / "office-beacon.pcap", "--json", home=home).stdout)
    assert first["received"] == second["received"] > 6_000
    assert second["new_alerts"] == 0
    assert run("alerts", "list", "--jsonl", home=home).stdout == alerts != ""
    ledger = lines(run("store", "ledger", "--jsonl", home=home))
    assert all(entry["balance"] == 0 for entry in ledger)
    assert sum(int(str(entry["received"])) for entry in ledger) == first["received"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["decode", "/nowhere/at/all.pcap"], 1, "all.pcap"),
        (["decode", "README.md"], 1, "--collector"),
        (["ingest", "README.md", "--collector", "nosuch"], 1, "nosuch"),
        (["alerts", "list", "source.ip:>=("], 1, ""),
        (["alerts", "show", "0" * 32], 1, "no such alert"),
        (["scan", "run", "--system", "nosuch"], 1, "nosuch"),
        (["assess", "report", "--system", "x", "--out", "/tmp/x", "--format", "odt"], 2, "odt"),
        (["drill", "run", "README.md"], 1, "README.md"),
        (["decode"], 2, ""),
    ],
)
def test_wrong_use_is_told_in_a_line(argv: list[str], code: int, words: str, tmp_path: Path) -> None:
    assert words in run(*argv, home=tmp_path, code=code).stderr


def test_a_broken_setting_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "cityguard.yml"
    path.write_text("city: x\nhme: y\n")
    assert f"{path}:2" in run("--config", path, "config", "check", code=1).stderr


def test_doctor_answers_as_json(tmp_path: Path) -> None:
    found = json.loads(run("doctor", "--json", home=tmp_path).stdout)["findings"]
    assert {line["name"] for line in found} >= {"python", "sqlite", "home", "content", "store", "font", "outbound"}
    assert {line["status"] for line in found} <= {"ok", "warn"}


def test_of_very_many_faults_twenty_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.yml"
    path.write_text("stations:\n" + "".join(f"- {{id: n{n}, protocol: hj212}}\n" for n in range(50)))
    done = run("ot", "stations", "import", path, home=tmp_path / "var", code=None)
    assert done.returncode != 0
    told = done.stderr.splitlines()
    assert sum("'name' is missing" in line for line in told) == 20
    assert told[-1] == "30 more"


def test_what_looks_like_a_picture_is_printed_as_written(tmp_path: Path) -> None:
    path = tmp_path / "list.yml"
    path.write_text("stations:\n- {id: n1, name: 'a:100:b', protocol: hj212, department: ':100:'}\n")
    done = run("ot", "stations", "import", path, home=tmp_path / "var", code=None)
    assert "unknown department ':100:'" in done.stderr
    path.write_text("stations:\n- {id: n1, name: 'a:100:b', protocol: hj212}\n")
    run("ot", "stations", "import", path, home=tmp_path / "var")
    assert "a:100:b" in run("ot", "stations", "list", home=tmp_path / "var").stdout


def test_ot_targets_are_refused_with_5(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run("asset", "import", CITY / "register.yml", home=home)
    done = run("scan", "run", "--system", "sys-water-scada", "--target", "10.66.10.12", home=home, code=5)
    assert "seg-water" in done.stderr or "水厂控制网" in done.stderr


def test_interrupt_ends_with_130_and_keeps_what_was_stored(tmp_path: Path) -> None:
    home, big = tmp_path / "home", tmp_path / "big.log"
    row = '192.0.2.7 - - [11/Mar/2026:22:30:0{} +0800] "GET /{} HTTP/1.1" 200 12 "-" "x"\n'
    big.write_text("".join(row.format(n % 10, n) for n in range(600_000)))
    child = subprocess.Popen(
        [sys.executable, "-m", "cityguard.cli.main", "--home", str(home), "ingest", str(big)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 60
    while len(list(home.glob("events/**/*.parquet"))) < 2 and time.monotonic() < limit:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert child.returncode == 130, told
    assert "Traceback" not in told
    assert lines(run("store", "ledger", "--jsonl", home=home))
