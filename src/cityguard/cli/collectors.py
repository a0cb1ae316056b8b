"""collectors: list and test what can be read."""

from __future__ import annotations

import typer

from cityguard.cli.output import err, language, pick, say, table
from cityguard.cli.state import application

app = typer.Typer(no_args_is_help=True, help="采集器 / Collectors")


@app.command("list")
def list_() -> None:
    """列出采集器 / List collectors."""
    with application() as one:
        known = list(one.collectors)
    table(
        pick("采集器", "Collectors"),
        [pick("名称", "name"), pick("数据集", "dataset"), pick("说明", "title")],
        ((c.name, c.dataset, c.title.get(language())) for c in known),
    )


@app.command()
def test() -> None:
    """运行采集器内自带的样例 / Run the sample lines inside the collectors."""
    from cityguard.collect import collect

    with application() as one:
        results = collect.check(one.collectors)
    bad = [result for result in results if not result.passed]
    for result in bad:
        err.print(str(result), style="red", markup=False)
    say(f"{len(results)} 项测试，{len(bad)} 项失败", f"{len(results)} tests, {len(bad)} failed")
    if bad:
        raise typer.Exit(1)
