"""demo: the whole mission on the sample city, from bytes to reports, and then the console."""

from __future__ import annotations

import shutil
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cityguard.cli.output import fail, language, pick, say, table
from cityguard.cli.state import STATE
from cityguard.errors import InputError

if TYPE_CHECKING:
    from cityguard.app import App, Ingested
    from cityguard.chain import Chain
    from cityguard.clock import Clock
    from cityguard.config import Settings

HOUR_ENDS = datetime(2026, 3, 11, 15, 35, tzinfo=UTC)  # five minutes after the sample's last event
SYSTEMS = ("sys-gov-service", "sys-water-scada")
MARK = ".cityguard-demo"


def demo(
    once: Annotated[bool, typer.Option("--once", help="打印汇总后退出 / end after the summary")] = False,
    out: Annotated[Path, typer.Option("--out", help="输出目录 / output folder")] = Path("demo"),
    port: Annotated[int, typer.Option("--port", help="控制台端口 / console port")] = 8443,
) -> None:
    """在样例城市上完成全流程：采集、检测、自查、演练、报告 / The whole mission on the sample city."""
    from cityguard import config, content

    city = content.root() / "examples" / "city"
    if not once:
        with socket.create_server(("127.0.0.1", port)):
            pass  # told now rather than after the work
    _clear(out)
    settings = replace(config.load(city / "cityguard.yml", {}), home=str((out / "var").absolute()), listen=())
    if STATE.language:
        settings = replace(settings, language="en" if STATE.language == "en" else "zh-CN")
    one = opened(settings)
    try:
        _mission(one, city, out)
        if not once:
            _serve(one, port)
    finally:
        one.close()


def opened(settings: Settings) -> App:
    """The sample city with its policy in the demo's folder: what is decided there leaves the sample as it is."""
    from cityguard.app import App
    from cityguard.otpolicy import policy

    one = App(settings, clock=city_clock())
    one.ot.path = settings.home_path / policy.FILE
    return one


def city_clock() -> Clock:
    """A clock that begins when the sample's hour has just ended, and goes on from there."""
    began = time.monotonic()
    return lambda: HOUR_ENDS + timedelta(seconds=time.monotonic() - began)


def inputs(city: Path) -> list[Path]:
    """Everything the sample city sends in, in a fixed order."""
    captures = sorted((city.parents[1] / "pcaps").glob("*.pcap"))
    return [*captures, *sorted((city / "flows").iterdir()), *sorted((city / "logs").iterdir())]


def _mission(one: App, city: Path, out: Path) -> None:
    from cityguard.chain import aliases_of, chains
    from cityguard.model import Query, Text

    began = time.perf_counter()
    say("1/5 采集与检测 …", "1/5 reading and detecting …")
    done = one.ingest(inputs(city))
    reading = time.perf_counter() - began
    say("2/5 备份演练 …", "2/5 backup drills …")
    drills = [one.drill(plan) for plan in sorted((city / "drills").glob("*.yml"))]
    say("3/5 检查 …", "3/5 checks …")
    evidence = sum(len(one.scan(system).evidence) for system in SYSTEMS)
    say("4/5 等保自查 …", "4/5 self-check …")
    assessments = [one.assess(system) for system in SYSTEMS]
    say("5/5 报告 …", "5/5 reports …")
    files = [(made.system_name, one.report_assessment(made, out / "reports" / made.system)) for made in assessments]
    files += [
        (
            f"{Text.both(run.title).get(language())}: {run.conclusion}",
            one.report_drill(run, out / "reports" / f"drill-{run.plan}"),
        )
        for run in drills
    ]
    alerts = one.store.alerts.find(Query(limit=10_000))
    found = chains(alerts, aliases_of(one.register))
    _summary(done, reading, Counter(a.level for a in alerts), evidence, files, time.perf_counter() - began)
    _chains(found)
    wrong = [entry.source for entry in one.store.records.ledger() if entry.balance]
    if wrong:
        fail(f"ledger does not balance: {', '.join(wrong)}", 1)


def _summary(
    done: Ingested,
    reading: float,
    levels: Counter[str],
    evidence: int,
    files: Sequence[tuple[str, Sequence[Path]]],
    whole: float,
) -> None:
    from cityguard.model import LEVELS

    table(pick("事件", "Events"), [pick("数据集", "dataset"), pick("数量", "count")], done.events.items())
    table(
        pick("告警", "Alerts"),
        [pick("级别", "level"), pick("数量", "count")],
        ((level, levels[level]) for level in reversed(LEVELS)),
    )
    table(
        pick("报告", "Reports"),
        [pick("内容", "what"), pick("文件", "files")],
        ((what, "\n".join(str(path) for path in paths)) for what, paths in files),
    )
    items, events = done.received / reading, sum(done.events.values()) / reading
    table(
        pick("用时", "Time"),
        ["", ""],
        (
            (pick("采集与检测", "reading and detecting"), f"{reading:.1f} s"),
            (
                pick("速率", "rate"),
                f"{items:,.0f} {pick('条/秒', 'items/s')}, {events:,.0f} {pick('事件/秒', 'events/s')}",
            ),
            (pick("收到 / 死信", "received / dead"), f"{done.received:,} / {done.dead:,}"),
            (pick("证据", "evidence"), f"{evidence}"),
            (pick("全程", "everything"), f"{whole:.1f} s"),
        ),
    )


def _chains(found: Sequence[Chain]) -> None:
    for number, chain in enumerate(found, 1):
        table(
            pick(
                f"攻击链 {number}：{chain.steps} 类动作，{len(chain.hosts)} 台主机",
                f"Chain {number}: {chain.steps} kinds of act, {len(chain.hosts)} hosts",
            ),
            [pick("时间（UTC）", "time (UTC)"), pick("级别", "level"), pick("规则", "rule"), pick("对象", "entities")],
            (
                (
                    alert.first_seen.strftime("%H:%M:%S"),
                    alert.level,
                    alert.title.get(language()),
                    " → ".join(
                        v for k, v in alert.entities.items() if k in ("source.ip", "destination.ip", "host.name")
                    ),
                )
                for alert in chain.alerts
            ),
        )


def _clear(out: Path) -> None:
    """Empty a folder an earlier demo made; refuse any other that is not empty."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).is_file():
            raise InputError(
                "not empty, and not made by an earlier demo", place=str(out), remedy="choose another with --out"
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def _serve(one: App, port: int) -> None:
    from cityguard.web import server

    say(f"控制台：http://127.0.0.1:{port}（Ctrl-C 停止）", f"console: http://127.0.0.1:{port} (Ctrl-C stops)")
    server.serve(one, "127.0.0.1", port)
