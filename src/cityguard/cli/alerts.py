"""alerts: list, show and close what was found."""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer

from cityguard.cli.output import USAGE, document, fail, jsonl, say
from cityguard.cli.reading import alert_row, end, show_alerts
from cityguard.cli.state import actor, application

app = typer.Typer(no_args_is_help=True, help="告警 / Alerts")


@app.command("list")
def list_(
    query: Annotated[str, typer.Argument(help="查询，如 level:>=high status:open / a query")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 1000,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="逐行 JSON / one JSON object a line")] = False,
    fail_on: Annotated[str | None, typer.Option("--fail-on", help="退出码 3 的级别 / exit 3 at this level")] = None,
) -> None:
    """列出告警 / List alerts."""
    from dataclasses import replace

    from cityguard.store.query import parse

    with application() as one:
        asked = replace(parse(query, now=one.clock(), zone=one.settings.zone), limit=limit)
        found = one.store.alerts.find(asked)
    jsonl(alert_row(alert) for alert in found) if as_jsonl else show_alerts(found)
    end(found, fail_on)


@app.command()
def show(alert_id: Annotated[str, typer.Argument(help="告警编号 / alert id")]) -> None:
    """显示一条告警及其事件 / Print one alert and its events."""
    from cityguard.cli.reading import rows
    from cityguard.model import EventBatch

    with application() as one:
        alert = one.store.alerts.get(alert_id)
        if alert is None:
            fail(f"{alert_id}: no such alert", 1)
        events = one.store.events.get(alert.event_ids)
    document({**alert_row(alert), "events": list(rows(EventBatch("", "", events)))})


@app.command()
def close(
    alert_id: Annotated[str, typer.Argument(help="告警编号 / alert id")],
    verdict: Annotated[str, typer.Option("--verdict", help="true | false | benign")],
    note: Annotated[str, typer.Option("--note", help="处置说明 / note")] = "",
    by: Annotated[str | None, typer.Option("--as", help="处置人 / who decides")] = None,
) -> None:
    """给出结论并关闭 / Close with a verdict."""
    from cityguard import triage
    from cityguard.model import Verdict

    if verdict not in get_args(Verdict):
        fail("--verdict: true | false | benign", USAGE)
    with application() as one:
        alert = one.store.alerts.get(alert_id)
        if alert is None:
            fail(f"{alert_id}: no such alert", 1)
        triage.close(
            one.store, alert.id, alert.version, cast("Verdict", verdict), note, actor=by or actor(), at=one.clock()
        )
    say("已关闭", "closed")
