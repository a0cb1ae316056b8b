"""decode, look, ingest: files in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cityguard.cli.output import ERROR, FINDINGS, PARTIAL, document, err, fail, jsonl, pick, safe, say, table
from cityguard.cli.state import STATE, actor, application

if TYPE_CHECKING:
    from cityguard.errors import InputError
    from cityguard.model import Alert, Chunk, EventBatch
    from cityguard.sigma.rule import Ruleset

Files = Annotated[list[Path], typer.Argument(help="文件或目录 / files or folders")]
Collector = Annotated[str | None, typer.Option("--collector", help="指定采集器 / name the collector")]
Dataset = Annotated[str | None, typer.Option("--dataset", help="指定数据集 / name the dataset")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="逐行 JSON / one JSON object a line")]
FailOn = Annotated[str | None, typer.Option("--fail-on", help="达到该级别时退出码为 3 / exit 3 at this level or above")]


def decode(files: Files, collector: Collector = None, dataset: Dataset = None, as_jsonl: Jsonl = False) -> None:
    """解码文件并输出标准化事件，不写存储 / Decode files and print normalised events; no store."""
    from cityguard.clock import utc_now
    from cityguard.collect import collect
    from cityguard.decoders.base import Decoder
    from cityguard.errors import InputError

    settings = STATE.settings()
    known = collect.Collectors.load(settings.content_path)
    failed: list[InputError] = []
    paths, decoders = collect.walk(files), dict[str, Decoder]()
    for path in paths:
        try:
            for chunk in collect.read(
                path,
                known,
                collector=collector,
                dataset=dataset,
                limits=settings.limits,
                now=utc_now(),
                decoders=decoders,
            ):
                for batch in chunk.decoded.batches:
                    jsonl(rows(batch)) if as_jsonl else _show(batch)
                _report(chunk)
                _note([f"{path}: {note}" for note in chunk.decoded.notes])
        except InputError as error:
            failed.append(error)
    _failures(failed, len(paths))


def rows(batch: EventBatch) -> Iterator[dict[str, Any]]:
    """Events of a batch as flat dicts without nulls; times as ISO 8601 with Z."""
    import polars as pl

    table = batch.table
    times = [name for name, kind in table.schema.items() if isinstance(kind, pl.Datetime)]
    text = table.with_columns(pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ") for name in times)
    for row in text.iter_rows(named=True):
        yield {name: value for name, value in row.items() if value is not None and value != []}


def look(
    files: Files,
    rules: Annotated[
        list[Path] | None, typer.Option("--rules", help="规则文件或目录 / rule files or folders", exists=True)
    ] = None,
    collector: Collector = None,
    dataset: Dataset = None,
    as_jsonl: Jsonl = False,
    fail_on: FailOn = None,
) -> None:
    """一次性查看：解码、富化、检测，用后即删 / One-shot: decode, enrich, detect in a store that vanishes."""
    from cityguard.app import throwaway
    from cityguard.model import Query

    with throwaway(STATE.settings(), rules=rules) as app:
        done = app.ingest(files, collector=collector, dataset=dataset, progress=_report)
        alerts = app.store.alerts.find(Query(limit=10_000))
        if as_jsonl:
            jsonl(alert_row(alert) for alert in alerts)
        else:
            _summary(done.events, alerts, done.received, done.dead)
        _note(done.notes)
        code = rule_faults(app.ruleset, named=bool(rules))
    _failures(done.failed, done.files)
    if code:
        raise typer.Exit(code)
    end(alerts, fail_on)


def ingest(
    files: Files,
    collector: Collector = None,
    dataset: Dataset = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON 结果 / result as JSON")] = False,
    fail_on: FailOn = None,
) -> None:
    """采集文件入库并检测；可重复执行 / Store and detect; running it again changes nothing."""
    with application() as app:
        app.audit(actor(), "ingest", ", ".join(str(path) for path in files)[:500])
        done = app.ingest(files, collector=collector, dataset=dataset, progress=_report)
    if as_json:
        document(
            {
                "schema_version": 1,
                "files": done.files,
                "received": done.received,
                "dead": done.dead,
                "dropped": done.dropped,
                "events": done.events,
                "new_alerts": len(done.fresh),
            }
        )
    else:
        _summary(done.events, done.fresh, done.received, done.dead)
    _note(done.notes)
    _failures(done.failed, done.files)
    end(done.fresh, fail_on)


def _failures(failed: Sequence[InputError], files: int) -> None:
    """Name what could not be read: exit 1 when nothing could, 4 when the rest was."""
    for error in failed:
        err.print(f"{pick('错误', 'error')}: {safe(str(error))}", style="red", markup=False)
    if failed:
        raise typer.Exit(ERROR if len(failed) >= files else PARTIAL)


def rule_faults(ruleset: Ruleset, *, named: bool) -> int:
    """Name what is wrong with rules: the exit code is 1 when none of the named ones is left, 4 when some are bad."""
    for fault in ruleset.faults:
        err.print(f"{pick('规则有误', 'bad rule')}: {safe(str(fault))}", style="red", markup=False)
    if not named or not ruleset.faults:
        return 0
    return PARTIAL if ruleset.rules or ruleset.correlations else ERROR


def end(alerts: Sequence[Alert], fail_on: str | None) -> None:
    """Exit 3 when an alert is at or above ``fail_on``."""
    from cityguard.model import LEVELS

    if fail_on is None:
        return
    if fail_on not in LEVELS:
        fail(f"--fail-on: {' | '.join(LEVELS)}", 2)
    floor = LEVELS.index(fail_on)
    if any(LEVELS.index(alert.level) >= floor for alert in alerts):
        raise typer.Exit(FINDINGS)


def alert_row(alert: Alert) -> dict[str, Any]:
    """An alert as one flat JSON line."""
    from cityguard.clock import iso

    return {
        "message_type": "alert",
        "schema_version": 1,
        "id": alert.id,
        "rule_id": alert.rule_id,
        "title": alert.title.zh,
        "title_en": alert.title.en,
        "level": alert.level,
        "source": alert.source,
        "first_seen": iso(alert.first_seen),
        "last_seen": iso(alert.last_seen),
        "count": alert.count,
        **alert.entities,
        "department": alert.department,
        "system": alert.system,
        "segment": alert.segment,
        "dataset": alert.dataset,
        "reason": alert.reason.zh,
        "reason_en": alert.reason.en,
        "tags": list(alert.tags),
        "author": alert.author,
        "license": alert.license,
        "score": alert.score,
        "event_ids": list(alert.event_ids),
        "explanation": [
            {"field": e.field, "value": e.value, "normal": e.normal, "contribution": e.contribution}
            for e in alert.explanation
        ],
        "status": alert.status,
        "verdict": alert.verdict,
        "owner": alert.owner,
        "note": alert.note,
        "version": alert.version,
    }


def show_alerts(alerts: Sequence[Alert]) -> None:
    """Alerts as a table, worst first."""
    from cityguard.cli.output import language
    from cityguard.model import LEVELS

    worst = sorted(alerts, key=lambda a: (-LEVELS.index(a.level), a.first_seen, a.id))
    table(
        pick("告警", "Alerts"),
        [
            pick("级别", "level"),
            pick("次数", "count"),
            pick("首次（UTC）", "first seen (UTC)"),
            pick("对象", "entities"),
            pick("规则", "rule"),
            "id",
        ],
        (
            (
                a.level,
                a.count,
                a.first_seen.strftime("%Y-%m-%d %H:%M:%S"),
                " → ".join(v for k, v in a.entities.items() if k in ("source.ip", "destination.ip"))
                or " ".join(a.entities.values()),
                a.title.get(language()),
                a.id,
            )
            for a in worst
        ),
    )


def _summary(events: dict[str, int], alerts: Sequence[Alert], received: int, dead: int) -> None:
    table(pick("事件", "Events"), [pick("数据集", "dataset"), pick("数量", "count")], events.items())
    show_alerts(alerts)
    say(
        f"收到 {received} 条，死信 {dead} 条，告警 {len(alerts)} 条",
        f"{received} items, {dead} dead, {len(alerts)} alerts",
    )


SHOWN = 20
TELLING = [
    "@timestamp",
    "source.ip",
    "source.port",
    "destination.ip",
    "destination.port",
    "network.transport",
    "network.bytes",
    "user.name",
    "host.name",
    "event.action",
    "event.outcome",
    "rule.name",
    "dns.question.name",
    "url.original",
    "http.response.status_code",
    "tls.client.server_name",
    "ot.function.name",
    "ot.address",
    "ot.value",
    "process.command_line",
    "message",
]


def _show(batch: EventBatch) -> None:
    """The first rows of a batch in its most telling columns; ``--jsonl`` gives all."""
    import polars as pl

    head = batch.table.sort("@timestamp").head(SHOWN)
    names = [name for name in TELLING if name in head.columns and head[name].null_count() < head.height][:9]
    when = pl.col("@timestamp").dt.strftime("%m-%d %H:%M:%S%.3f")
    more = batch.table.height - head.height
    table(
        f"{batch.dataset} · {batch.collector} · {batch.table.height}",
        names,
        head.select(names).with_columns(when).iter_rows(),
    )
    if more > 0:
        say(f"… 另有 {more} 行；--jsonl 输出全部", f"… {more} more rows; --jsonl prints all")


def _report(chunk: Chunk) -> None:
    """Tell of items that could not be used; the whole ingest's notes come at its end."""
    for letter in chunk.decoded.dead[:3]:
        say(
            f"{chunk.source}: 第 {letter.place} 处未能使用：{letter.reason}",
            f"{chunk.source}: item at {letter.place} not used: {letter.reason}",
        )


def _note(notes: Sequence[str]) -> None:
    for note in list(dict.fromkeys(notes))[:20]:
        say(note, note)
