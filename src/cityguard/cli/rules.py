"""rules: list, test and match Sigma rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cityguard.cli import rulebook, rules_check
from cityguard.cli.output import document, err, jsonl, language, pick, safe, say, table
from cityguard.cli.reading import rule_faults
from cityguard.cli.state import STATE, application

if TYPE_CHECKING:
    from cityguard.errors import CityguardError
    from cityguard.sigma.ast import Rule

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


@app.command("list")
def list_(rules: Rules = None, as_jsonl: Annotated[bool, typer.Option("--jsonl")] = False) -> None:
    """列出规则及停用原因 / List rules, and why any is inactive."""
    with application(rules=rules) as one:
        ruleset = one.ruleset
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
    _faults(ruleset.faults)


@app.command()
def test(rules: Rules = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """运行规则内自带的测试 / Run the tests inside the rules."""
    from cityguard.detectors import trial

    with application(rules=rules) as one:
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
) -> None:
    """逐条列出规则命中的事件 / Print one line per hit of a rule on an event."""
    from cityguard.clock import utc_now
    from cityguard.collect import collect
    from cityguard.register.register import Register
    from cityguard.sigma.engine.engine import Engine
    from cityguard.sigma.rule import load

    settings = STATE.settings()
    ruleset, known = load(rules), collect.Collectors.load(settings.content_path)
    engine, register = Engine.compile(ruleset), Register.empty(zone=settings.zone)
    for path in collect.walk(files):
        for chunk in collect.read(
            path, known, collector=collector, dataset=dataset, limits=settings.limits, now=utc_now()
        ):
            for batch in chunk.decoded.batches:
                enriched = register.enrich(batch)
                for rule, rows in engine.rows(enriched):
                    found = enriched.table["event.sequence"].gather(rows.tolist()).unique().sort().to_list()
                    _print_hits(rule, found, as_jsonl)
    if code := rule_faults(ruleset, named=True):
        raise typer.Exit(code)


def _print_hits(rule: Rule, found: list[int], as_jsonl: bool) -> None:
    if as_jsonl:
        jsonl(
            {"rule_id": rule.id, "title": rule.title.en, "level": rule.head.level, "event_index": index}
            for index in found
        )
        return
    for index in found:
        typer.echo(f"{rule.head.level:13} {index:8} {rule.title.get(language())}")


def _faults(faults: Sequence[CityguardError]) -> None:
    for fault in faults:
        err.print(safe(str(fault)), style="yellow", markup=False)
