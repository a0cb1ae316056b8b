"""drill: really restore a backup and judge it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cityguard.cli.output import ERROR, language, pick, table
from cityguard.cli.state import actor, application

if TYPE_CHECKING:
    from cityguard.model import DrillRun

app = typer.Typer(no_args_is_help=True, help="备份恢复演练 / Backup drills")


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(help="演练计划 / drill plan", exists=True, dir_okay=False)],
    out: Annotated[Path | None, typer.Option("--out", help="报告目录 / report folder")] = None,
    formats: Annotated[list[str] | None, typer.Option("--format", help="html pdf docx json")] = None,
) -> None:
    """恢复、比对、下结论；失败时退出码为 1 / Restore, compare, conclude; exit 1 when it failed."""
    from cityguard.app import DRILL_FORMATS
    from cityguard.cli.output import fail

    wanted = [one for given in formats or DRILL_FORMATS for one in given.split(",")]
    if unknown := sorted(set(wanted) - set(DRILL_FORMATS)):
        fail(f"--format {unknown[0]}: {' | '.join(DRILL_FORMATS)}", 2)
    with application() as one:
        one.audit(actor(), "drill.run", str(plan))
        done = one.drill(plan, operator=actor())
        files = one.report_drill(done, out, wanted) if out else []
    show(done)
    for file in files:
        typer.echo(file)
    if done.conclusion == "失败":
        raise typer.Exit(ERROR)


@app.command("list")
def list_(system: Annotated[str | None, typer.Option("--system")] = None) -> None:
    """列出演练 / List drills."""
    with application() as one:
        found = one.store.records.find_drills(system)
    table(
        pick("演练", "Drills"),
        ["id", pick("系统", "system"), pick("时间", "started"), pick("结论", "conclusion"), pick("依据", "reason")],
        ((d.id, d.system, d.started.strftime("%Y-%m-%d %H:%M"), d.conclusion, d.reason.get(language())) for d in found),
    )


def show(done: DrillRun) -> None:
    """Checks and conclusion on the terminal."""
    from cityguard.model import Text

    table(
        f"{Text.both(done.title).get(language())}: {done.conclusion}",
        [pick("校验", "check"), pick("期望", "expected"), pick("实际", "actual"), ""],
        (
            (*(Text.both(one).get(language()) for one in (c.name, c.expected, c.actual)), "✓" if c.passed else "✗")
            for c in done.checks[:50]
        ),
    )
    typer.echo(done.reason.get(language()))
