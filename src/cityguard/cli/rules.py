"""rules: list, test and match Sigma rules."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from cityguard.cli import rulebook, rules_check
from cityguard.cli.output import document, err, jsonl, language, pick, safe, say, table
from cityguard.cli.reading import rule_faults
from cityguard.cli.state import application

if TYPE_CHECKING:
    from cityguard.errors import CityguardError

app = typer.Typer(no_args_is_help=True, help="检测规则 / Detection rules")
for name, command in (
    ("import", rulebook.import_),
    ("enable", rulebook.enable),
    ("disable", rulebook.disable),
    ("coverage", rulebook.coverage),
    ("noisy", rulebook.noisy),
    ("navigator", rulebook.navigator),
    ("backtest", rulebook.backtest),
    ("check", rules_check.check),
):
    app.command(name)(command)
Rules = Annotated[
    list[Path] | None, typer.Option("--rules", help="规则文件或目录 / rule files or folders", exists=True)
]

Paths = Annotated[list[Path] | None, typer.Argument(help="规则文件或目录 / rule files or folders", exists=True)]


@app.command("list")
def list_(paths: Paths = None, rules: Rules = None, as_jsonl: Annotated[bool, typer.Option("--jsonl")] = False) -> None:
    """列出规则及停用原因 / List rules, and why any is inactive."""
    from cityguard.detectors.notices import notices
    from cityguard.detectors.screen import Screen

    with application(rules=[*(paths or ()), *(rules or ())]) as one:
        ruleset = one.ruleset
        notes = list(notices(ruleset, {}, Screen(one.threat_lists, one.settings.zone), one.clock()))
    every = [*(one.head for one in ruleset.rules), *(one.head for one in ruleset.correlations)]
    if as_jsonl:
        jsonl(
            {"id": r.id, "title": r.title.en, "title_zh": r.title.zh, "level": r.level, "path": str(r.path)}
            for r in every
        )
    else:
        table(
            pick("规则", "Rules"),
            ["level", "title", "file"],
            ((r.level, r.title.get(language()), r.path.name) for r in every),
        )
    for idle in ruleset.inactive:
        err.print(safe(f"{idle.place}: {idle.title}: {idle.reason}"), style="dim", markup=False)
    for note in notes:
        err.print(safe(f"{note.place}: {note.text.get(language())}"), style="yellow", markup=False)
    _faults(ruleset.faults)


@app.command()
def test(paths: Paths = None, rules: Rules = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """运行规则内自带的测试 / Run the tests inside the rules."""
    from cityguard.detectors import trial

    with application(rules=[*(paths or ()), *(rules or ())]) as one:
        ruleset = one.ruleset
    results = trial.check(ruleset, one.threat_lists)
    bad = [f"{r.place}: {r.name}: {r.expected} != {r.actual}" for r in results if not r.passed]
    if as_json:
        document({"schema_version": 1, "tests": len(results), "failed": bad})
    for line in bad:
        err.print(line, style="red", markup=False)
    _faults(ruleset.faults)
    say(f"{len(results)} 项测试，{len(bad)} 项失败", f"{len(results)} tests, {len(bad)} failed")
    if bad or ruleset.faults:
        raise typer.Exit(1)


@app.command()
def match(
    files: Annotated[list[Path], typer.Argument(help="事件文件 / event files")],
    rules: Annotated[list[Path], typer.Option("--rules", help="规则文件或目录 / rule files or folders", exists=True)],
    collector: Annotated[str | None, typer.Option("--collector")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset")] = None,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="逐行 JSON / one JSON object a line")] = False,
    processes: Annotated[int, typer.Option("--processes", min=1, max=64, help="进程数 / processes")] = 1,
) -> None:
    """逐条列出规则命中的事件：NDJSON、EVTX、Zeek、EVE 等原始文件 / One line per hit on an event of raw files."""
    from msgspec import to_builtins

    from cityguard.clock import utc_now
    from cityguard.collect import collect
    from cityguard.matching import matching, pool
    from cityguard.sigma.engine.cache import load

    paths = collect.walk(files)
    with application() as one:
        settings = one.settings
        task = pool.Task(
            [str(path) for path in rules],
            str(settings.content_path) if settings.content_path else None,
            to_builtins(settings.limits),
            settings.zone.key,
            utc_now(),
            collector,
            dataset,
            str(settings.home_path / "compiled") if settings.home_path.is_dir() else None,
            [str(folder) for folder in one.threat_folders],
            one.rule_lists,
        )
    ruleset = load(rules, task.placeholders, folder=Path(task.cache) if task.cache else None)
    if out := matching.alone(ruleset)[1]:
        say(
            f"{out} 条依赖先前事件的规则（关联、首次出现、基线、速率、缺失、序列）未参与匹配",
            f"{out} {'rules that hang on earlier events are' if out > 1 else 'rule that hangs on earlier events is'} "
            "left out: "
            "correlations, new_terms, baseline, rate, absence, sequence",
        )
    if processes > 1:
        found = pool.run(paths, task, processes=processes)
    else:
        ready = pool.ready(task, ruleset)
        pool.settled()
        found = (records for path in paths for records in ready.file(path))
    for records in found:
        _print_hits(records.lines, as_jsonl, named=len(paths) > 1)
        for letter in records.dead[:3]:
            say(
                f"{letter.source}: 第 {letter.place} 处未能使用：{letter.reason}",
                f"{letter.source}: item at {letter.place} not used: {letter.reason}",
            )
    if code := rule_faults(ruleset, named=True):
        raise typer.Exit(code)


def _print_hits(lines: bytes, as_jsonl: bool, *, named: bool) -> None:
    if as_jsonl:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
        return
    title = "title_zh" if language().startswith("zh") else "title"
    for line in lines.splitlines():
        one = orjson.loads(line)
        file = f"{safe(one['file'])}  " if named else ""
        typer.echo(f"{one['level']:13} {file}{one['event_index']:8} {safe(one[title])}")


def _faults(faults: Sequence[CityguardError]) -> None:
    for fault in faults:
        err.print(safe(str(fault)), style="yellow", markup=False)
