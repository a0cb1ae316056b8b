"""The rulebook's commands from outside: a city imports rules, switches them, asks what they cover, tests one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.rulebook.make import rule, uuid, zipped

ROOT = Path(__file__).parents[2]
BAD = rule(4, detection="{one: {a|contain: 1}, condition: one}")


class City:
    """A data folder, a content folder, and commands over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.content = folder, folder / "content"
        self.content.mkdir()

    def run(self, *argv: str | Path, code: int = 0, content: bool = True) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CITYGUARD_")}
        if content:
            environ["CITYGUARD_CONTENT"] = str(self.content)
        command = [sys.executable, "-m", "cityguard.cli.main", "--lang", "en", "--home", str(self.folder / "home")]
        done = subprocess.run(
            [*command, "rules", *map(str, argv)], capture_output=True, text=True, timeout=120, cwd=ROOT, env=environ
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, f"{done.returncode}: {done.stderr}"
        return done


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return City(tmp_path_factory.mktemp("city"))


def test_rules_are_imported_switched_covered_and_tested(city: City) -> None:
    files = {
        "LICENSE": "Detection Rule License (DRL) 1.1",
        "rules/a.yml": rule(1),
        "rules/b.yml": rule(2),
        "rules/c.yml": BAD,
    }
    path = zipped(city.folder / "up.zip", files)
    tried = city.run("import", path, "--name", "up", "--dry-run", code=4)
    assert "+ rules/a.yml  Rule 1" in tried.stdout
    assert "rules/c.yml:" in tried.stderr
    assert "contains" in tried.stderr
    assert not (city.content / "rules").exists()
    done = json.loads(city.run("import", path, "--name", "up", "--json", code=4).stdout)
    assert (done["counts"], done["license"]) == ({"new": 2, "faulty": 1}, "DRL 1.1")
    assert (city.content / "rules" / "imported" / "up" / "rules" / "a.yml").is_file()

    said = city.run("disable", "--path", "imported/up/*/a.yml", "--why", "scanner noise", "--as", "li").stderr
    assert "at their next checkpoint" in " ".join(said.split())
    found = json.loads(city.run("coverage", "--json").stdout)
    states = {one["id"]: one for one in found["rules"]}
    assert states[uuid(1)]["state"] == "off"
    assert "li" in states[uuid(1)]["reason"]["en"]
    assert "scanner noise" in states[uuid(1)]["reason"]["zh"]
    assert (states[uuid(2)]["state"], states[uuid(2)]["license"]) == ("no_source", "DRL 1.1 (up)")
    assert states[uuid(2)]["origin"] == "up"
    listed = city.run("list").stderr
    assert "switched off by li" in listed
    tested = json.loads(city.run("backtest", uuid(2), "--json").stdout)
    assert (tested["hits"], tested["complete"]) == (0, True)


def test_without_a_content_folder_nothing_is_imported(city: City) -> None:
    path = zipped(city.folder / "one.zip", {"a.yml": rule(1)})
    assert "content" in city.run("import", path, code=2, content=False).stderr


def test_an_archive_that_is_none_is_one_message(city: City) -> None:
    path = city.folder / "x.zip"
    path.write_bytes(b"PK\x03\x04 not")
    assert str(path) in city.run("import", path, code=1).stderr


def test_a_layer_is_written_to_a_file(city: City) -> None:
    out = city.folder / "layer.json"
    city.run("navigator", "--domain", "ics", "--out", out)
    assert json.loads(out.read_text())["domain"] == "ics-attack"


ALONE = """
title: Watched
id: 00000000-0000-4000-8000-0000000000a1
logsource: {product: windows}
detection: {one: {DestinationPort: 4444}, condition: one}
custom: {cityguard: {threat_match: {list: watched, field: [destination.ip]}}}
---
title: First
id: 00000000-0000-4000-8000-0000000000a2
logsource: {product: windows}
detection: {one: {DestinationPort: 4444}, condition: one}
custom: {cityguard: {new_terms: {fields: [DestinationPort], history: 7d}}}
"""


def test_files_are_matched_with_the_citys_threat_lists_and_named_where_there_are_several(tmp_path: Path) -> None:
    city, own = City(tmp_path), tmp_path / "own.yml"
    own.write_text(ALONE)
    event = {"EventID": 3, "Channel": "Microsoft-Windows-Sysmon/Operational", "SystemTime": "2026-03-05T06:12:09Z"}
    event |= {"DestinationPort": 4444, "DestinationIp": "198.51.100.7"}
    files = [tmp_path / "a.ndjson", tmp_path / "b.ndjson"]
    for file in files:
        file.write_text(json.dumps(event) + "\n")
    assert city.run("match", "--rules", own, *files).stdout == ""
    (city.content / "lists").mkdir()
    (city.content / "lists" / "watched.txt").write_text("198.51.100.7\n")
    for processes in ("1", "2"):
        done = city.run("match", "--rules", own, *files, "--processes", processes)
        hits = done.stdout.splitlines()
        assert len(hits) == 2
        assert all(str(file) in hit and "Watched" in hit for file, hit in zip(files, hits, strict=True))
        assert done.stderr.count("1 rule that hangs on earlier events is left out") == 1
    assert "a.ndjson" not in city.run("match", "--rules", own, files[0]).stdout


def test_rules_are_listed_and_tested_by_path_with_the_lists_of_their_folder(tmp_path: Path) -> None:
    city, part = City(tmp_path), tmp_path / "rules" / "host"
    part.mkdir(parents=True)
    (tmp_path / "rules" / "placeholders.yml").write_text("hosts: [n1]\n")
    text = rule(1, detection="{one: {host.name|expand: '%hosts%'}, condition: one}")
    (part / "one.yml").write_text(text)
    for words in (["test", part], ["test", "--rules", part], ["list", part / "one.yml"], ["check", "--rules", part]):
        done = city.run(*words)
        assert "has no list" not in done.stderr, done.stderr
    assert "1 files, 0 errors" in done.stderr
