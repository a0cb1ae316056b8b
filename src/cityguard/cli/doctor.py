"""doctor: is this machine and this installation fit, and what to do where it is not."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer

from cityguard.cli.output import ERROR, SCHEMA_VERSION, document, out, pick
from cityguard.cli.state import application
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.model import Text

if TYPE_CHECKING:
    from cityguard.app import App

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    status: Status
    meaning: Text
    remedy: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False) -> None:
    """检查运行环境与安装 / Check the machine and the installation."""
    with application() as one:
        found = [line for probe in PROBES for line in _guarded(probe, one)]
    if as_json:
        document({"schema_version": SCHEMA_VERSION, "findings": [asdict(line) for line in found]})
    else:
        for line in found:
            style = {"ok": "green", "warn": "yellow", "fail": "red"}[line.status]
            remedy = f"  → {line.remedy}" if line.remedy else ""
            out.print(f"{line.status:5}", style=style, end="")
            out.print(f"{line.name:12} {pick(line.meaning.zh, line.meaning.en)}{remedy}", markup=False)
    if any(line.status == "fail" for line in found):
        raise typer.Exit(ERROR)


def content_faults(one: App) -> list[CityguardError]:
    """Faults of rules, collectors, register, catalogue and OT policy, all of them."""
    faults: list[CityguardError] = list(one.ruleset.faults)
    for room in ("collectors", "register", "catalogue", "scoring", "ot policy"):
        try:
            _ = one.ot.policy if room == "ot policy" else getattr(one, room)
        except ContentErrors as error:
            faults.extend(error.faults)
        except CityguardError as error:
            faults.append(error)
    return [*faults, *_unknown_collectors(one), *_missing(one)]


def _missing(one: App) -> Iterator[CityguardError]:
    """Files and folders the settings name that are not there."""
    settings = one.settings
    for key in ("register", "schedules", "backups", "configs", "content"):
        named = getattr(settings, key)
        if named and not settings.resolve(named).exists():
            yield InputError(f"{key}: '{named}' is not there", place=str(settings.base), remedy="correct cityguard.yml")


def _unknown_collectors(one: App) -> list[CityguardError]:
    try:
        known = {collector.name for collector in one.collectors}
    except CityguardError:
        return []  # told already
    return [
        InputError(f"listen: no collector '{listener.collector}'", remedy="cityguard collectors list")
        for listener in one.settings.listen
        if listener.collector not in known
    ]


def _guarded(probe: Callable[[App], Iterator[Finding]], one: App) -> Iterator[Finding]:
    try:
        yield from probe(one)
    except (CityguardError, OSError, sqlite3.Error) as error:
        yield Finding(probe.__name__.strip("_"), "fail", Text(str(error), str(error)))


def _python(one: App) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    # CVE-2025-4517 and CVE-2025-8194: tarfile before 3.11.14; our own extractor does not use the code at fault
    old = sys.version_info < (3, 11, 14)
    yield Finding(
        "python",
        "warn" if old else "ok",
        Text(
            f"Python {version}" + ("，有已知的 tarfile 缺陷（演练不受影响）" if old else ""),
            f"Python {version}" + (" has known tarfile flaws (drills do not use that code)" if old else ""),
        ),
        "Python >= 3.11.14" if old else "",
    )


def _sqlite(one: App) -> Iterator[Finding]:
    with sqlite3.connect(":memory:") as db:
        options = {row[0] for row in db.execute("PRAGMA compile_options")}
    good = "ENABLE_FTS5" in options
    text = f"SQLite {sqlite3.sqlite_version}"
    yield Finding("sqlite", "ok" if good else "fail", Text(text, text), "" if good else "a Python built with FTS5")


def _home(one: App) -> Iterator[Finding]:
    home = one.settings.home_path
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    writable = os.access(there, os.W_OK)
    free = shutil.disk_usage(there).free >> 30
    yield Finding(
        "home",
        "ok" if writable else "fail",
        Text(f"数据目录 {home}", f"data folder {home}"),
        "" if writable else f"chown or choose another with --home (not writable: {there})",
    )
    yield Finding(
        "disk",
        "ok" if free >= 5 else "warn",
        Text(f"剩余 {free} GiB", f"{free} GiB free"),
        "" if free >= 5 else "free disk space",
    )


def _content(one: App) -> Iterator[Finding]:
    faults = content_faults(one)
    for fault in faults[:20]:
        yield Finding("content", "fail", Text(str(fault), str(fault)), "cityguard config check")
    if not faults:
        rules = len(one.ruleset.rules) + len(one.ruleset.correlations)
        known = len(list(one.collectors))
        yield Finding("content", "ok", Text(f"{rules} 条规则，{known} 个采集器", f"{rules} rules, {known} collectors"))


def _register(one: App) -> Iterator[Finding]:
    count = len(one.register.systems)
    yield Finding(
        "register",
        "ok" if count else "warn",
        Text(f"台账中有 {count} 个信息系统", f"{count} systems in the register"),
        "" if count else "cityguard asset import FILE",
    )


def _store(one: App) -> Iterator[Finding]:
    from cityguard import worker

    entries = worker.ledger(one)
    wrong = ", ".join(entry.source for entry in entries if entry.balance)
    kind, count = one.settings.store.kind, len(entries)
    yield Finding(
        "store",
        "fail" if wrong else "ok",
        Text(
            f"{kind}，{count} 个来源，账目{'不平：' + wrong if wrong else '平衡'}",
            f"{kind}, {count} sources, ledger {'does not balance: ' + wrong if wrong else 'balances'}",
        ),
        "cityguard store ledger" if wrong else "",
    )


def _rules(one: App) -> Iterator[Finding]:
    """What the worker's rules and correlations hold, and what they had to give up."""
    value = one.store.records.get_value("counters:rules")
    if value is None:
        return
    told: dict[str, int] = json.loads(value)
    lost = ("rules.given_up", "correlations.evicted", "correlations.late", "correlations.overflow")
    some = any(told.get(name) for name in lost)
    words = ", ".join(f"{name} {number}" for name, number in told.items() if number)
    yield Finding(
        "rules",
        "warn" if some else "ok",
        Text(f"规则计数：{words or '无'}", f"counters of rules: {words or 'none'}"),
        "correlations.max_hits, correlations.lateness_s (docs/rules.md)" if some else "",
    )


def _audit(one: App) -> Iterator[Finding]:
    broken = one.store.records.verify_audit()
    whole = broken is None
    yield Finding(
        "audit",
        "ok" if whole else "fail",
        Text(
            "审计链完整" if whole else f"审计日志自第 {broken} 条起被改动",
            "audit chain whole" if whole else f"audit log altered from entry {broken} on",
        ),
        "" if whole else "cityguard store audit",
    )


def _scratch(one: App) -> Iterator[Finding]:
    from cityguard.drill import drill

    gone = drill.reap(one.scratch_path)
    zh = f"清除 {gone} 处中断演练留下的恢复数据" if gone else "没有中断演练留下的恢复数据"
    en = f"removed what {gone} killed drills left behind" if gone else "no killed drill left data behind"
    yield Finding("scratch", "warn" if gone else "ok", Text(zh, en))


def _font(one: App) -> Iterator[Finding]:
    from importlib.util import find_spec

    from cityguard.render.pdf import FONT_PACKAGE

    there = find_spec(FONT_PACKAGE) is not None
    yield Finding(
        "font",
        "ok" if there else "fail",
        Text("PDF 中文字体", "Chinese font for PDF"),
        "" if there else "pip install justmytype-intl-cjk",
    )


def _buffers(one: App) -> Iterator[Finding]:
    from pathlib import Path

    path = Path("/proc/sys/net/core/rmem_max")
    if not one.settings.listen or not path.is_file():
        return
    size = int(path.read_text())
    good = size >= 4 << 20
    yield Finding(
        "udp",
        "ok" if good else "warn",
        Text(f"net.core.rmem_max = {size}", f"net.core.rmem_max = {size}"),
        "" if good else "sysctl -w net.core.rmem_max=33554432",
    )


def _outbound(one: App) -> Iterator[Finding]:
    told, store = one.settings.notify, one.settings.store
    reached = [*store.elasticsearch.hosts] if store.kind == "elasticsearch" else []
    reached += [receiver.host for receiver in told.syslog]
    reached += [receiver.host for receiver in told.mail]
    reached += [urlsplit(receiver.url).netloc for receiver in told.webhooks]
    hosts = ", ".join(reached)
    yield Finding("outbound", "ok", Text(f"对外连接：{hosts or '无'}", f"outbound connections: {hosts or 'none'}"))


PROBES = (_python, _sqlite, _home, _content, _register, _store, _rules, _audit, _scratch, _font, _buffers, _outbound)
