"""rules import, enable, disable, coverage, noisy, navigator, backtest: whose rules run, on what, and how well."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cityguard.cli.output import ERROR, PARTIAL, USAGE, document, err, fail, jsonl, language, pick, safe, say, table
from cityguard.cli.state import actor, application

if TYPE_CHECKING:
    from cityguard.backtest import Outcome
    from cityguard.rulebook.coverage import Coverage, Covered
    from cityguard.rulebook.importing import Plan
    from cityguard.rulebook.switches import Selector

SHOWN = 200  # lines of a list for a person
_MARKS = {"new": "+", "updated": "~", "moved": ">", "conflict": "!", "kept": "=", "older": "<", "deleted": "x"} | {
    "removed": "-",
    "faulty": "?",
}


def import_(
    source: Annotated[Path, typer.Argument(help="SigmaHQ 目录、zip 或 tar / folder, zip or tar", exists=True)],
    name: Annotated[str, typer.Option("--name", help="规则集名称 / name of the collection")] = "sigmahq",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只比对，不写入 / compare only")] = False,
    statuses: Annotated[
        list[str] | None,
        typer.Option("--status", help="只导入这些状态，可重复；默认 stable test experimental / only these, repeatable"),
    ] = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="允许旧版本覆盖 / an older version may replace a newer one")
    ] = False,
    allow_override: Annotated[
        bool,
        typer.Option(
            "--allow-override", help="允许替换已有规则或占用其名称 / rules may replace others of the same id or name"
        ),
    ] = False,
    licence: Annotated[
        str, typer.Option("--license", help="许可（无许可文件时）/ licence, where no file says it")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False,
) -> None:
    """导入外部规则；本地修改保留，有错的规则列出并跳过 / Import rules; local changes stay, faulty ones are told."""
    from cityguard.clock import iso
    from cityguard.rulebook import importing

    with application() as one:
        if one.settings.content_path is None:
            fail(
                pick(
                    "没有本市内容目录；请在 cityguard.yml 设置 content: 或环境变量 CITYGUARD_CONTENT",
                    "no content folder; set content: in cityguard.yml, or CITYGUARD_CONTENT",
                ),
                USAGE,
            )
        rules = one.settings.content_path / "rules"
        made = importing.plan(
            source,
            rules,
            name=name,
            shipped=[folder for folder in one.rule_folders if folder != rules],
            statuses=[*statuses, ""] if statuses else importing.STATUSES,
            allow_older=allow_older,
            allow_override=allow_override,
            license=licence,
        )
        _told(made, dry_run=dry_run, as_json=as_json)
        if not dry_run:
            told = ", ".join(f"{kind} {count}" for kind, count in made.counts.items())
            one.audit(actor(), "rules.import", name, f"{made.taken.name} sha256:{made.taken.sha256} {told}")
            importing.run(made, by=actor(), at=iso(one.clock()))
            say(f"已写入 {made.folder}", f"written to {made.folder}")
    if made.faults or made.taken.refused:
        raise typer.Exit(PARTIAL)


def _told(made: Plan, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document(
            {
                "schema_version": 1,
                "name": made.name,
                "source": made.taken.name,
                "sha256": made.taken.sha256,
                "license": made.license,
                "dry_run": dry_run,
                "counts": made.counts,
                "changes": [
                    {"kind": c.kind, "path": c.path, "title": c.title, "note": c.note, "diff": made.diff(c)}
                    for c in made.changes
                    if c.kind != "unchanged"
                ],
                "faults": [str(fault) for fault in made.faults],
                "refused": [str(fault) for fault in made.taken.refused],
            }
        )
    else:
        _print_changes(made, with_diff=dry_run)
    for fault in (*made.faults, *made.taken.refused)[:SHOWN]:
        err.print(safe(str(fault)), style="yellow", markup=False)


def _print_changes(made: Plan, *, with_diff: bool) -> None:
    typer.echo(safe(f"{made.name} ← {made.taken.name} · {pick('许可', 'licence')}: {made.license or '—'}"))
    table(
        pick("比对", "Compared"),
        [pick("变化", "change"), pick("规则文件", "files")],
        ((_kind(kind), count) for kind, count in made.counts.items()),
    )
    told = [c for c in made.changes if c.kind not in ("unchanged", "skipped", "new")]
    told += [c for c in made.changes if c.kind == "new"][: SHOWN - min(len(told), SHOWN)]
    for change in told[:SHOWN]:
        note = f"  ({change.note})" if change.note and change.kind != "faulty" else ""
        typer.echo(safe(f"{_MARKS.get(change.kind, ' ')} {change.path}  {change.title}{note}"))
        for line in made.diff(change) if with_diff else ():
            typer.echo(safe(f"    {line}"))
    rest = sum(count for kind, count in made.counts.items() if kind not in ("unchanged", "skipped")) - len(told[:SHOWN])
    if rest > 0:
        say(f"另有 {rest} 项，见 --json", f"{rest} more, see --json")


def _kind(kind: str) -> str:
    return {
        "new": pick("新增", "new"),
        "updated": pick("更新", "updated"),
        "moved": pick("移动", "moved"),
        "conflict": pick("冲突，保留本地", "conflict, yours stays"),
        "kept": pick("本地已改，保留", "changed here, kept"),
        "older": pick("来者较旧，未覆盖", "older than what is here, not taken"),
        "deleted": pick("本地已删，不恢复", "removed here, stays so"),
        "removed": pick("上游已删，标记", "gone upstream, marked"),
        "unchanged": pick("无变化", "unchanged"),
        "skipped": pick("状态不在范围，跳过", "of another status, skipped"),
        "faulty": pick("有错，跳过", "faulty, skipped"),
    }[kind]


# ---------------------------------------------------------------- enable, disable

Id = Annotated[str, typer.Option("--id", help="规则编号或 name / rule id or name")]
LevelOf = Annotated[str, typer.Option("--level", help="级别 / level")]
Product = Annotated[str, typer.Option("--product", help="日志源产品 / log source's product")]
Category = Annotated[str, typer.Option("--category", help="日志源类别 / log source's category")]
Status = Annotated[str, typer.Option("--status", help="状态 / status")]
Tag = Annotated[str, typer.Option("--tag", help="标签，可含 * / tag, may hold *")]
PathGlob = Annotated[str, typer.Option("--path", help="rules 目录下的路径，可含 * / path below rules, may hold *")]
Why = Annotated[str, typer.Option("--why", help="原因，写入审计日志 / reason, kept in the audit log")]
By = Annotated[str | None, typer.Option("--as", help="操作人 / who decides")]


def disable(
    why: Why,
    id: Id = "",
    level: LevelOf = "",
    product: Product = "",
    category: Category = "",
    status: Status = "",
    tag: Tag = "",
    path: PathGlob = "",
    by: By = None,
) -> None:
    """停用规则；所给条件须同时满足 / Switch rules off; all that is given must fit."""
    _switch("disable", (id, level, product, category, status, tag, path), why, by)


def enable(
    id: Id = "",
    level: LevelOf = "",
    product: Product = "",
    category: Category = "",
    status: Status = "",
    tag: Tag = "",
    path: PathGlob = "",
    why: Why = "",
    by: By = None,
) -> None:
    """启用规则；对同一规则后写者为准 / Switch rules on; the last word on a rule counts."""
    _switch("enable", (id, level, product, category, status, tag, path), why, by)


def _switch(act: str, parts: tuple[str, ...], why: str, by: str | None) -> None:
    from cityguard.rulebook.switches import Selector

    with application() as one:
        selector: Selector = Selector(*parts)
        count = one.switch("disable" if act == "disable" else "enable", selector, by or actor(), why)
    off = act == "disable"
    say(
        f"{'停用' if off else '启用'} {count} 条规则；运行中的服务在下一个检查点采用，通常在数秒内",
        f"{count} rules switched {'off' if off else 'on'}; "
        "running services take it up at their next checkpoint, usually within seconds",
    )


# ---------------------------------------------------------------- coverage


def coverage(
    query: Annotated[str, typer.Argument(help="标题、编号、标签中的词 / words of title, id, tag")] = "",
    state: Annotated[str, typer.Option("--state", help="只看此状态 / only this state")] = "",
    department: Annotated[
        str, typer.Option("--department", help="只看该部门的数据 / by what this department sends")
    ] = "",
    segment: Annotated[str, typer.Option("--segment", help="只看该网段的数据 / by what this segment sends")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False,
) -> None:
    """规则覆盖：每条规则是否生效及原因 / Each rule active or not, and exactly why."""
    from cityguard.rulebook.coverage import STATES, chosen

    if state and state not in STATES:
        fail(f"--state: {' | '.join(STATES)}", USAGE)
    with application() as one:
        found = one.coverage(department, segment)
    rules = chosen(found, query, state=state)
    if as_json:
        document(
            {"schema_version": 1, "at": found.at, "since": found.since, "counts": found.counts} | _plain(found, rules)
        )
        return
    _print_coverage(found, rules)


def _plain(found: Coverage, rules: list[Covered]) -> dict[str, object]:
    return {"rules": rules, "places": found.places, "sources": found.sources}


def _print_coverage(found: Coverage, rules: list[Covered]) -> None:
    lang = language()
    table(
        pick("规则覆盖", "Rule coverage"),
        [pick("状态", "state"), pick("规则数", "rules")],
        ((state_name(state), count) for state, count in found.counts.items() if count),
    )
    table(
        pick("部门与网段", "Departments and segments"),
        [
            "",
            pick("编号", "id"),
            pick("事件", "events"),
            pick("生效规则", "active rules"),
            pick("缺字段", "lacking fields"),
        ],
        (
            (
                pick("部门", "department") if p.kind == "department" else pick("网段", "segment"),
                p.id or "—",
                p.rows,
                p.active,
                p.blind,
            )
            for p in found.places
            if p.rows
        ),
    )
    table(
        pick("规则", "Rules"),
        [pick("状态", "state"), pick("级别", "level"), pick("规则", "rule"), pick("原因", "why")],
        ((state_name(r.state), r.level, r.title.get(lang), r.reason.get(lang)) for r in rules[:SHOWN]),
    )
    if len(rules) > SHOWN:
        say(f"另有 {len(rules) - SHOWN} 条，见 --json", f"{len(rules) - SHOWN} more, see --json")


def state_name(state: str) -> str:
    """A state of coverage in words."""
    return {
        "active": pick("生效", "active"),
        "no_source": pick("无数据源", "no source"),
        "no_field": pick("缺字段", "field never seen"),
        "part": pick("依赖未生效", "part inactive"),
        "placeholder": pick("缺占位列表", "placeholder missing"),
        "off": pick("已停用", "switched off"),
        "budget": pick("超出预算", "over budget"),
        "faulty": pick("有错误", "faulty"),
    }[state]


def noisy(
    since: Annotated[str, typer.Option("--since", help="时间范围，如 30d / time range")] = "30d",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 50,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="逐行 JSON / one JSON object a line")] = False,
) -> None:
    """噪声规则：告警数与研判结论 / Noisy rules: alerts and what people said of them."""
    from cityguard.app import moment
    from cityguard.model import Query

    with application() as one:
        found = one.noise(Query(start=moment(since, one.clock())))[:limit]
    if as_jsonl:
        jsonl({**_noise_row(n)} for n in found)
        return
    lang = language()
    table(
        pick("噪声规则", "Noisy rules"),
        [
            pick("规则", "rule"),
            pick("告警", "alerts"),
            pick("事件", "events"),
            pick("未结", "open"),
            pick("真实", "true"),
            pick("误报", "false"),
            pick("良性", "benign"),
            pick("准确率", "precision"),
        ],
        ((n.title.get(lang), n.alerts, n.events, n.open, n.true, n.false, n.benign, share(n.precision)) for n in found),
    )


def _noise_row(n: object) -> dict[str, object]:
    from dataclasses import asdict

    from cityguard.rulebook.noisy import Noise

    one = cast("Noise", n)
    return {**asdict(one), "judged": one.judged, "precision": one.precision}


def share(value: float | None) -> str:
    return "—" if value is None else f"{value:.0%}"


def navigator(
    domain: Annotated[str, typer.Option("--domain", help="enterprise | ics")] = "enterprise",
    out: Annotated[Path | None, typer.Option("--out", help="输出文件，默认标准输出 / file; default stdout")] = None,
) -> None:
    """导出 ATT&CK Navigator 图层（4.5）/ Write a layer for ATT&CK Navigator (format 4.5)."""
    import orjson

    from cityguard.rulebook import navigator as layers

    if domain not in layers.DOMAINS:
        fail(f"--domain: {' | '.join(layers.DOMAINS)}", USAGE)
    with application() as one:
        made = layers.layer(one.coverage(), domain, city=one.settings.city, language=one.settings.language)
    text = orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if out is None:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    else:
        out.write_bytes(text)
        say(f"已写入 {out}", f"written to {out}")


# ---------------------------------------------------------------- backtest


def backtest(
    rule: Annotated[str, typer.Argument(help="规则编号、name、标题或文件 / id, name, title or file")],
    start: Annotated[str, typer.Option("--from", help="开始，如 7d 或 ISO 时间 / start")] = "7d",
    end: Annotated[str, typer.Option("--to", help="结束 / end")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False,
) -> None:
    """用已存事件回测规则，不写入任何内容 / Hold a rule against stored events; nothing is stored."""
    from cityguard import backtest as tests
    from cityguard.app import moment

    with application() as one:
        now = one.clock()
        found, ruleset = tests.find(one.rulebook, rule, one.rule_folders, one.rule_lists)
        outcome = tests.run(
            found,
            ruleset,
            one.store.events,
            start=moment(start, now) if start else None,
            end=moment(end, now) if end else None,
            zone=one.settings.zone,
            lists=one.threat_lists,
        )
    document(backtest_row(outcome)) if as_json else _print_backtest(outcome)
    if outcome.stopped:
        say("行数达到上限，结果不完整", "stopped at the limit of rows: this is not all")
        raise typer.Exit(ERROR)


def backtest_row(outcome: Outcome) -> dict[str, object]:
    """An outcome as JSON."""
    return {
        "schema_version": 1,
        "rule_id": outcome.rule.id,
        "title": outcome.rule.title.en,
        "title_zh": outcome.rule.title.zh,
        "from": outcome.start,
        "to": outcome.end,
        "events": outcome.events,
        "passed": outcome.passed,
        "hits": outcome.hits,
        "alerts": outcome.groups + outcome.overflow,
        "alerts_per_day": {day.isoformat(): count for day, count in outcome.per_day.items()},
        "entities": {name: [{"value": v, "hits": n} for v, n in found] for name, found in outcome.entities.items()},
        "largest": [
            {"first_seen": a.first_seen, "last_seen": a.last_seen, "count": a.count, "entities": a.entities}
            for a in outcome.samples
        ],
        "complete": not outcome.stopped and not outcome.overflow,
    }


def _print_backtest(outcome: Outcome) -> None:
    lang = language()
    table(
        f"{pick('回测', 'Backtest')}: {outcome.rule.title.get(lang)}",
        ["", ""],
        (
            (pick("查看的事件", "events looked at"), f"{outcome.events:,}"),
            (pick("其他日志源的事件", "events of other log sources"), f"{outcome.passed:,}"),
            (pick("命中", "hits"), f"{outcome.hits:,}"),
            (pick("将产生的告警", "would-be alerts"), f"{outcome.groups + outcome.overflow:,}"),
        ),
    )
    if outcome.per_day:
        table(
            pick("每日告警", "Alerts per day"),
            [pick("日期（UTC）", "day (UTC)"), pick("告警", "alerts")],
            ((day.isoformat(), count) for day, count in outcome.per_day.items()),
        )
    for name, found in outcome.entities.items():
        table(name, [pick("取值", "value"), pick("命中", "hits")], found)
    if outcome.samples:
        table(
            pick("最大的告警", "Largest alerts"),
            [pick("首次（UTC）", "first (UTC)"), pick("次数", "count"), pick("对象", "entities")],
            (
                (
                    a.first_seen.strftime("%Y-%m-%d %H:%M:%S"),
                    a.count,
                    " ".join(f"{k}={v}" for k, v in a.entities.items()),
                )
                for a in outcome.samples
            ),
        )
