"""assess: hold a system against GB/T 22239 and write the 自查报告."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cityguard.cli.output import pick, say, table
from cityguard.cli.state import actor, application

if TYPE_CHECKING:
    from cityguard.model import Assessment

app = typer.Typer(no_args_is_help=True, help="等级保护自查 / 等保 self-check")
System = Annotated[str, typer.Option("--system", help="信息系统编号 / system id")]


@app.command("list")
def list_(system: Annotated[str | None, typer.Option("--system")] = None) -> None:
    """列出自查 / List self-checks."""
    with application() as one:
        found = one.store.records.find_assessments(system)
    table(
        pick("自查", "Self-checks"),
        ["id", pick("系统", "system"), pick("时间", "made at"), *_HEAD],
        ((a.id, a.system_name, a.made_at.strftime("%Y-%m-%d %H:%M"), *_counts(a)) for a in found),
    )


@app.command()
def run(system: System) -> None:
    """按现有证据自查 / Assess with the evidence there is."""
    with application() as one:
        one.audit(actor(), "assess.run", system)
        made = one.assess(system)
    show(made)


@app.command()
def report(
    system: System,
    out: Annotated[Path, typer.Option("--out", help="输出目录 / output folder")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="html pdf docx xlsx json，可重复 / repeatable")
    ] = None,
    language: Annotated[str | None, typer.Option("--language", help="zh-CN | en")] = None,
) -> None:
    """自查并写出报告 / Assess, and write the report."""
    from cityguard.app import REPORT_FORMATS
    from cityguard.cli.output import fail

    wanted = [one for given in formats or REPORT_FORMATS for one in given.split(",")]
    if unknown := sorted(set(wanted) - set(REPORT_FORMATS)):
        fail(f"--format {unknown[0]}: {' | '.join(REPORT_FORMATS)}", 2)
    with application() as one:
        one.audit(actor(), "assess.report", system, str(out))
        made = one.assess(system)
        files = one.report_assessment(made, out, wanted, language)
    show(made)
    for file in files:
        typer.echo(file)


_HEAD = ["符合", "部分符合", "不符合", "不适用", "未判定"]


def _counts(made: Assessment) -> list[int]:
    return [made.counts.get(name, 0) for name in _HEAD]


def show(made: Assessment) -> None:
    """Counts, and the rate both ways, on the terminal."""
    table(f"{made.system_name} S{made.s_grade}A{made.a_grade}", _HEAD, [_counts(made)])
    for name, value in made.rate.items():
        text = "n/a" if value is None else f"{value:.1f} %"
        say(f"符合率（{name}）: {text}", f"rate ({name}): {text}")
    say(f"结论（仅供参考）: {made.conclusion}", f"conclusion (indicative): {made.conclusion}")
