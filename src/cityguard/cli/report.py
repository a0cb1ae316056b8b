"""report: verify reports that were handed out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cityguard.cli.output import ERROR, say, table

app = typer.Typer(no_args_is_help=True, help="报告 / Reports")


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="报告目录 / report folder", exists=True, file_okay=False)],
) -> None:
    """按清单核对文件摘要 / Hold the files against the manifest's SHA-256 and SM3."""
    from cityguard.report import report as reporting

    results = reporting.verify(folder)
    table("manifest", ["file", ""], ((name, "✓" if good else "✗") for name, good in results))
    if not results or not all(good for _, good in results):
        say("有文件与清单不符", "a file differs from the manifest")
        raise typer.Exit(ERROR)
