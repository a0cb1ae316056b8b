"""jobs: schedules and their runs."""

from __future__ import annotations

from typing import Annotated

import typer

from cityguard.cli.output import ERROR, PARTIAL, REFUSED, language, pick, say, table
from cityguard.cli.state import actor, application

app = typer.Typer(no_args_is_help=True, help="计划任务 / Scheduled jobs")
_CODES = {"ok": 0, "partial": PARTIAL, "refused": REFUSED}


@app.command("list")
def list_() -> None:
    """列出计划任务与下次时间 / List schedules and when they are next due."""
    from cityguard.jobs.jobs import Runner, next_slots

    with application() as one:
        zone, now = one.settings.zone, one.clock()
        Runner(one, owner="cli").load()
        found = one.store.records.find_schedules()
    table(
        pick("计划任务", "Schedules"),
        ["id", pick("类型", "kind"), pick("触发", "trigger"), pick("下次", "next"), pick("名称", "title")],
        (
            (
                s.id,
                s.kind,
                s.trigger,
                next(
                    (slot.astimezone(zone).strftime("%m-%d %H:%M") for slot in next_slots(s, 1, now=now, zone=zone)), ""
                ),
                s.title.get(language()),
            )
            for s in found
        ),
    )


@app.command()
def run(job: Annotated[str, typer.Argument(help="任务编号 / job id")]) -> None:
    """立即执行一次 / Run one now."""
    from cityguard.audit import Actor
    from cityguard.jobs.jobs import Runner

    with application() as one:
        runner = Runner(one, owner="cli")
        runner.load()
        done = runner.run_now(job, by=Actor(actor()))
    say(f"{done.job}: {done.outcome} {done.detail}", f"{done.job}: {done.outcome} {done.detail}")
    for file in done.files:
        typer.echo(file)
    if code := _CODES.get(done.outcome, ERROR):
        raise typer.Exit(code)


@app.command()
def runs(limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 50) -> None:
    """列出执行记录 / List runs."""
    from cityguard.jobs import jobs as clock

    with application() as one:
        found = clock.runs(one.store.records, limit=limit)
    table(
        pick("执行记录", "Runs"),
        [pick("任务", "job"), pick("时段", "slot"), pick("结果", "outcome"), pick("说明", "detail")],
        ((r.job, r.slot.strftime("%Y-%m-%d %H:%M"), r.outcome, r.detail) for r in found),
    )
