"""store: what is kept, and whether it balances."""

from __future__ import annotations

from typing import Annotated

import typer

from cityguard.cli.output import ERROR, jsonl, pick, say, table
from cityguard.cli.state import application

app = typer.Typer(no_args_is_help=True, help="存储 / Store")


@app.command()
def ledger(as_jsonl: Annotated[bool, typer.Option("--jsonl")] = False) -> None:
    """账目：收到 = 入库 + 死信 + 丢弃 + 待处理 / Ledger: received = stored + dead + dropped + spooled."""
    from dataclasses import asdict

    from cityguard import worker

    with application() as one:
        found = worker.ledger(one)
    if as_jsonl:
        jsonl({**asdict(entry), "balance": entry.balance} for entry in found)
    else:
        table(
            pick("账目", "Ledger"),
            [
                pick("来源", "source"),
                pick("单位", "unit"),
                pick("收到", "received"),
                pick("入库", "stored"),
                pick("死信", "dead"),
                pick("丢弃", "dropped"),
                pick("待处理", "spooled"),
                pick("差额", "balance"),
            ],
            ((e.source, e.unit, e.received, e.stored, e.dead, e.dropped, e.spooled, e.balance) for e in found),
        )
    if any(entry.balance for entry in found):
        raise typer.Exit(ERROR)


@app.command()
def events(
    query: Annotated[str, typer.Argument(help="查询 / a query")] = "",
    dataset: Annotated[str | None, typer.Option("--dataset")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000)] = 1000,
) -> None:
    """检索事件，逐行 JSON / Search events, one JSON object a line."""
    from dataclasses import replace

    from cityguard.cli.reading import rows
    from cityguard.model import EventBatch
    from cityguard.store.query import parse

    with application() as one:
        asked = replace(parse(query, now=one.clock(), zone=one.settings.zone), dataset=dataset, limit=limit)
        found = one.store.events.query(asked)
    jsonl(rows(EventBatch(dataset or "", "", found)))


@app.command()
def dead(limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 100) -> None:
    """列出死信 / List dead letters."""
    with application() as one:
        found = one.store.records.find_dead(limit=limit)
    table(
        pick("死信", "Dead letters"),
        [pick("来源", "source"), pick("位置", "place"), pick("原因", "reason"), pick("内容", "raw")],
        ((d.source, d.place, d.reason, d.raw[:60].decode("utf-8", "backslashreplace")) for d in found),
    )


@app.command()
def audit(limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50) -> None:
    """核对审计日志的链与锚，并列出最近的记录 / Verify the audit log's chain and anchors; list the newest."""
    with application() as one:
        broken = one.store.records.verify_audit()
        found = one.store.records.find_audit(limit)
    table(
        pick("审计日志", "Audit log"),
        [
            "#",
            pick("时间", "at"),
            pick("账号", "actor"),
            pick("动作", "action"),
            pick("对象", "object"),
            pick("说明", "detail"),
        ],
        ((e.seq, e.at.strftime("%Y-%m-%d %H:%M:%S"), e.actor, e.action, e.object, e.detail) for e in found),
    )
    if broken is not None:
        say(f"第 {broken} 条起与链不符", f"the chain is broken from entry {broken} on")
        raise typer.Exit(ERROR)
    say("审计链完整", "the audit chain is whole")


@app.command()
def purge() -> None:
    """删除超过保存期的事件 / Delete events past their retention."""
    with application() as one:
        gone = one.retain()
    say(f"删除 {gone} 条事件", f"{gone} events deleted")
