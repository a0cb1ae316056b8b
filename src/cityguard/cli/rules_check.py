"""rules check: the linter for rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cityguard.cli.output import ERROR, document, err, pick, safe, say
from cityguard.cli.state import application

if TYPE_CHECKING:
    from cityguard.app import App
    from cityguard.sigma.findings import Finding
    from cityguard.sigma.vocabulary import Vocabulary

SHOWN = 20  # warnings of one kind that a person is shown


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="规则文件或目录，缺省为全部规则 / rule files or folders, all rules by default"),
    ] = None,
    rules: Annotated[
        list[Path] | None, typer.Option("--rules", help="规则文件或目录 / rule files or folders", exists=True)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """检查规则的写法、字段与逻辑 / Look for faults and doubtful places in rules."""
    from cityguard.sigma import lint

    with application() as one:
        report = lint.check([*(paths or ()), *(rules or ())] or one.rule_folders, one.rule_lists, _vocabulary(one))
    if as_json:
        document(
            {
                "schema_version": 1,
                "files": report.files,
                "rules": len(report.ruleset.rules),
                "correlations": len(report.ruleset.correlations),
                "filters": len(report.ruleset.filters),
                "errors": len(report.errors),
                "warnings": len(report.warnings),
                "findings": [_row(finding) for finding in report.findings],
            }
        )
    else:
        _show(report.findings)
    errors, warnings = len(report.errors), len(report.warnings)
    say(
        f"{report.files} 个文件，{errors} 处错误，{warnings} 处提醒",
        f"{report.files} files, {errors} errors, {warnings} warnings",
    )
    if errors:
        raise typer.Exit(ERROR)


def _row(one: Finding) -> dict[str, str | int]:
    path, _, line = one.place.rpartition(":")
    return {
        "level": one.level,
        "code": one.code,
        "path": path if line.isdigit() else one.place,
        "line": int(line) if line.isdigit() else 0,
        "message": one.message,
        "remedy": one.remedy,
    }


def _show(findings: Iterable[Finding]) -> None:
    told: Counter[str] = Counter()
    for one in findings:
        if one.level == "warning":
            told[one.code] += 1
            if told[one.code] > SHOWN:
                continue
        err.print(safe(str(one)), style="red" if one.level == "error" else "yellow", markup=False)
    for code, count in told.items():
        if count > SHOWN:
            more = count - SHOWN
            err.print(pick(f"{code}：另有 {more} 处，见 --json", f"{code}: {more} more, see --json"), style="yellow")


def _vocabulary(one: App) -> Vocabulary:
    """What rules may speak of here: Sigma's words, and the columns and log sources of this city's collectors."""
    from cityguard.sigma.vocabulary import Vocabulary, on_the_wire

    base = on_the_wire(Vocabulary())
    fields, categories, products, services = (
        set(base.fields),
        set(base.categories),
        set(base.products),
        set(base.services),
    )
    for collector in one.collectors.known.values():
        fields |= collector.fields.wanted()
        kinds = (kind.logsource.model() for kind in collector.fields.classes if kind.logsource)
        for source in (collector.fields.logsource, *kinds):
            if source is None:
                continue
            categories.update(source.category)
            products.update(source.product)
            services.update(source.service)
    return replace(
        base,
        fields=frozenset(fields),
        categories=frozenset(categories),
        products=frozenset(products),
        services=frozenset(services),
    )
