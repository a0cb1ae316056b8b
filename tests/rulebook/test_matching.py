"""Files past the rules: what reading leaves out changes no hit, pieces and processes change no record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from msgspec import to_builtins

from cityguard.collect import collect
from cityguard.collect.narrow import Narrow, Span
from cityguard.config import Limits
from cityguard.detectors.custom.lists import ThreatLists
from cityguard.detectors.screen import Screen
from cityguard.matching import pool
from cityguard.matching.matching import Matching, Records, alone
from cityguard.register.register import Register
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset, load

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SYSMON = "Microsoft-Windows-Sysmon/Operational"
RULES = """
title: Encoded
id: 00000000-0000-4000-8000-000000000001
author: 网络安全科
license: DRL 1.1
logsource: {category: process_creation, product: windows}
detection:
  one: {CommandLine|contains: ' -enc '}
  condition: one
level: high
---
title: Account
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, service: security}
detection:
  one: {user.name: li01, source.ip|cidr: 203.0.113.0/24}
  failed: {event.outcome: failure}
  condition: one and not failed
---
title: Word
id: 00000000-0000-4000-8000-000000000003
logsource: {product: windows, service: powershell}
detection:
  keywords: [mimikatz]
  condition: keywords
---
title: Zone
id: 00000000-0000-4000-8000-000000000004
logsource: {category: network_connection, product: windows}
detection:
  one: {calendar.hour|gte: 0, DestinationPort: 4444}
  condition: one
"""


def flat(channel: str, number: int, **data: object) -> str:
    return json.dumps({"EventID": number, "Channel": channel, "SystemTime": "2026-03-05T06:12:09Z", **data})


def lines(times: int) -> list[str]:
    kinds = [
        flat(SYSMON, 1, CommandLine="powershell -enc AAAA", Image="C:\\Windows\\p.exe", Noise="x"),
        flat(SYSMON, 1, CommandLine="cmd /c dir", Image="C:\\Windows\\cmd.exe"),
        flat("Security", 4624, TargetUserName="li01", IpAddress="203.0.113.9"),
        flat("Security", 4625, TargetUserName="li01", IpAddress="203.0.113.9"),
        flat("Microsoft-Windows-PowerShell/Operational", 4104, ScriptBlockText="Invoke-Mimikatz 工具"),
        flat(SYSMON, 3, DestinationPort=4444, DestinationIp="198.51.100.7"),
        '{"EventID": 1, "Channel": "broken"',
        "",
        json.dumps(
            {"Event": {"System": {"EventID": 4688, "Channel": "Security"}, "EventData": {"CommandLine": "a -enc b"}}}
        ),
    ]
    return kinds * times


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "all.yml").write_text(RULES, encoding="utf-8")
    return folder


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(lines(40)) + "\n", encoding="utf-8")
    return path


def matching(ruleset: Ruleset, *folders: Path) -> Matching:
    known, screen = collect.Collectors.load(), Screen(ThreatLists(folders), UTC)
    return Matching(Engine.compile(ruleset), known, limits=Limits(), now=NOW, register=Register.empty(), screen=screen)


def told(records: list[Records]) -> list[dict[str, object]]:
    return [json.loads(line) for part in records for line in part.lines.splitlines()]


def test_what_is_left_out_changes_no_hit(rules: Path, events: Path) -> None:
    ruleset = load([rules])
    assert not ruleset.faults
    records = list(matching(ruleset).file(events))
    found = {(one["rule_id"], one["event_index"]) for one in told(records)}
    engine, register, whole = Engine.compile(ruleset), Register.empty(), set()
    for chunk in collect.read(events, collect.Collectors.load(), now=NOW):
        for batch in chunk.decoded.batches:
            enriched = register.enrich(batch)
            places = enriched.table["event.sequence"].to_numpy()
            whole |= {(rule.id, int(places[row])) for rule, rows in engine.rows(enriched) for row in rows}
    assert found == whole
    assert {rule: sum(1 for one, _ in found if one == rule) for rule, _ in found} == {
        "00000000-0000-4000-8000-000000000001": 80,
        "00000000-0000-4000-8000-000000000002": 40,
        "00000000-0000-4000-8000-000000000003": 40,
        "00000000-0000-4000-8000-000000000004": 40,
    }


def test_a_record_names_rule_author_licence_and_event(rules: Path, events: Path) -> None:
    one = told(list(matching(load([rules])).file(events)))[0]
    assert one["file"] == str(events)
    first = next(one for one in told(list(matching(load([rules])).file(events))) if one["title"] == "Encoded")
    assert (first["author"], first["license"], first["level"], first["event_index"]) == (
        "网络安全科",
        "DRL 1.1",
        "high",
        0,
    )


def test_a_bad_line_costs_itself_alone_and_is_counted_with_its_place(rules: Path, events: Path) -> None:
    records = list(matching(load([rules])).file(events))
    assert sum(part.rejected for part in records) == 40
    assert sum(part.events for part in records) == 40 * 7
    raw = events.read_bytes()
    assert all(
        raw[letter.place :].startswith(b'{"EventID": 1, "Channel": "broken"')
        for part in records
        for letter in part.dead
    )


@pytest.mark.parametrize(("block", "least"), [(40_000, 30), (90_000, 1000), (1 << 20, 2)])
def test_lines_of_small_classes_that_wait_give_the_same_records(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, least: int
) -> None:
    rare = ['{"EventID": 1, "Channel": "broken"', flat("Security", 4688, CommandLine="a -enc b", SubjectUserName="x")]
    text = [line for number in range(60) for line in (*lines(4), *rare[: number % 3])]
    path = tmp_path / "many.ndjson"
    path.write_text("\n".join(text) + "\n", encoding="utf-8")

    def read(size: int, rows: int) -> tuple[list[str], int, int]:
        monkeypatch.setattr("cityguard.matching.matching.Narrow", partial(Narrow, block=size))
        monkeypatch.setattr("cityguard.collect.carry.LEAST", rows)
        monkeypatch.setattr("cityguard.collect.carry.FULL", size // 2)
        parts = list(matching(load([rules])).file(path))
        records = sorted(json.dumps(record) for record in told(parts))
        return records, sum(part.events for part in parts), sum(part.rejected for part in parts)

    assert read(block, least) == read(32 << 20, 0)


def test_any_span_of_lines_gives_the_records_of_its_lines(rules: Path, events: Path) -> None:
    task = pool.Task([str(rules)], None, to_builtins(Limits()), "Asia/Shanghai", NOW)
    one = matching(load([rules]))
    whole = told(list(one.file(events)))
    pieces = list(pool.units([events], task, piece=2_000))
    assert len(pieces) > 5
    found: list[dict[str, object]] = []
    for unit in pieces:
        assert unit.span is not None
        found += told(list(one.file(Path(unit.path), Span(*unit.span), unit.collector)))

    def ordered(records: list[dict[str, object]]) -> list[str]:
        return sorted(json.dumps(record) for record in records)

    assert ordered(found) == ordered(whole)


def test_two_processes_write_what_one_writes(rules: Path, events: Path, tmp_path: Path) -> None:
    task = pool.Task([str(rules)], None, to_builtins(Limits()), "Asia/Shanghai", NOW, cache=str(tmp_path / "cache"))
    one = list(matching(load([rules])).file(events))
    two = list(pool.run([events], task, processes=2))
    assert b"".join(part.lines for part in two) == b"".join(part.lines for part in one)
    assert sum(part.rejected for part in two) == 40


OWN = r"""
title: Excepted
id: 00000000-0000-4000-8000-000000000005
logsource: {category: process_creation, product: windows}
detection:
  one: {CommandLine|contains: ' -enc '}
  condition: one
custom:
  cityguard:
    allow:
    - {fields: {Image: 'C:\Windows\p.exe'}, owner: 运维, reason: 备份, expires: 2026-03-05}
---
title: Expired
id: 00000000-0000-4000-8000-000000000006
logsource: {category: process_creation, product: windows}
detection:
  one: {CommandLine|contains: ' -enc '}
  condition: one
custom:
  cityguard:
    allow:
    - {fields: {Image: 'C:\Windows\p.exe'}, owner: 运维, reason: 备份, expires: 2026-03-04}
---
title: Known bad
id: 00000000-0000-4000-8000-000000000007
logsource: {product: windows}
detection:
  one: {EventID: [3, 4624]}
  condition: one
custom:
  cityguard:
    threat_match: {list: city_intel, field: [destination.ip, source.ip]}
---
title: First
id: 00000000-0000-4000-8000-000000000008
logsource: {product: windows}
detection:
  one: {EventID: 3}
  condition: one
custom:
  cityguard:
    new_terms: {fields: [DestinationIp], history: 7d}
---
title: Many
id: 00000000-0000-4000-8000-000000000009
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-000000000007]
  group-by: [host.name]
  timespan: 1h
  condition: {gte: 2}
"""


def counted(records: list[Records]) -> dict[object, int]:
    found = [one["title"] for one in told(records)]
    return {title: found.count(title) for title in found}


def test_exceptions_and_threat_lists_hold_and_rules_that_remember_are_left_out(tmp_path: Path, events: Path) -> None:
    rule, lists = tmp_path / "own.yml", tmp_path / "lists"
    rule.write_text(OWN, encoding="utf-8")
    lists.mkdir()
    ruleset = load([rule])
    assert not ruleset.faults and not ruleset.inactive
    kept, out = alone(ruleset)
    assert (len(kept.rules), out) == (3, 2)
    assert counted(list(matching(kept, lists).file(events))) == {"Excepted": 40, "Expired": 80}
    (lists / "city_intel.txt").write_text("198.51.100.0/24\n", encoding="utf-8")
    given = {"Excepted": 40, "Expired": 80, "Known bad": 40}
    assert counted(list(matching(kept, lists).file(events))) == given
    task = pool.Task([str(rule)], None, to_builtins(Limits()), "Asia/Shanghai", NOW, lists=[str(lists)])
    assert counted(list(pool.run([events], task, processes=1))) == given
