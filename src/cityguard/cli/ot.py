"""ot: who may do what to which station - learned, proposed, signed; stations of the register and their silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cityguard.cli.output import FINDINGS, USAGE, document, fail, language, out, pick, safe, say, table
from cityguard.cli.state import actor, application

if TYPE_CHECKING:
    from cityguard.app import App
    from cityguard.audit import Actor
    from cityguard.otpolicy.diff import Change
    from cityguard.otpolicy.review import Review
    from cityguard.otpolicy.silence import Heard

app = typer.Typer(no_args_is_help=True, help="工控策略（只告警，不阻断）/ OT policy: it tells, it never blocks")
stations = typer.Typer(no_args_is_help=True, help="登记站点 / Registered stations")
app.add_typer(stations, name="stations")

SHOWN = 200
From = Annotated[str, typer.Option("--from", help="起，如 7d 或 2026-03-01T00:00+08:00 / from")]
To = Annotated[str, typer.Option("--to", help="止，默认现在 / until, now by default")]
By = Annotated[str | None, typer.Option("--as", help="操作人 / who decides")]
Json = Annotated[bool, typer.Option("--json", help="JSON")]
Ids = list[str] | None
_ACCEPT = (
    "逐条接受的编号；主站有告警、不在台账或不是登记平台的行（须逐条确认）只能这样接受 / line to accept, by id: the "
    "only way for lines whose master alerts named, the register lacks, or is no platform of the station (must be named)"
)


def _who(by: str | None) -> Actor:
    from cityguard.audit import Actor

    return Actor(by or actor())


@app.command()
def learn(since: From = "7d", until: To = "", by: By = None, as_json: Json = False) -> None:
    """从已存的工控报文学习基线 / Learn the baseline from stored OT messages."""
    from cityguard.app import moment
    from cityguard.otpolicy import words

    with application() as one:
        now = one.clock()
        found = one.ot.learn(moment(since, now), moment(until, now) if until else now, _who(by))
        names = one.ot.names
    rows = found.deeds.sort("count", descending=True)
    if as_json:
        document({"schema_version": 1, "start": found.start, "end": found.end, "events": found.events,
                  "lost": found.lost, "deeds": rows.to_dicts()})  # fmt: skip
        return
    lang = language()
    table(
        pick("学到的基线", "Learned"),
        [pick("站点", "station"), pick("主站", "master"), pick("操作", "deed"), pick("地址", "addresses"),
         pick("周期", "every"), pick("次数", "times")],
        (
            (names.place(r["station"]).get(lang), names.master(r["master"]).get(lang),
             words.deed(r["protocol"], r["klass"], [r["code"]] if r["code"] else [], r["name"] or "").get(lang),
             words.where(r["addresses"]).get(lang), words.span(r["period_s"]).get(lang) if r["period_s"] else "",
             r["count"])
            for r in rows.head(SHOWN).iter_rows(named=True)
        ),
    )  # fmt: skip
    more = found.deeds.height - SHOWN
    if more > 0:
        say(f"另有 {more} 项，见 --json", f"{more} more, see --json")
    say(
        f"{found.events:,} 条报文，{found.deeds.height} 种操作；下一步：cityguard ot propose",
        f"{found.events:,} messages, {found.deeds.height} kinds of deed; next: cityguard ot propose",
    )


@app.command()
def propose(by: By = None) -> None:
    """由基线拟出策略，不生效 / Propose a policy from the baseline; nothing is in force yet."""
    with application() as one:
        one.ot.propose(_who(by))
        _print(one.ot.diff(), one)


@app.command()
def diff(as_json: Json = False) -> None:
    """拟议与现行策略的差别，逐句说明 / The proposal against what is in force, sentence by sentence."""
    with application() as one:
        changes = one.ot.diff()
        proposed = one.ot.proposal_path.is_file()
        if as_json:
            document({"schema_version": 1, "about": one.ot.proposal.about, "changes": [asdict(c) for c in changes]})
        elif not proposed:
            say(
                "还没有拟议：先 cityguard ot learn，再 cityguard ot propose",
                "nothing is proposed yet: first cityguard ot learn, then cityguard ot propose",
            )
        else:
            _print(changes, one)


def _print(changes: list[Change], one: App) -> None:
    from cityguard.otpolicy.diff import KINDS, summary

    lang = language()
    for change in changes[:SHOWN]:
        mark = "!" if change.held else "+" if change.kind == "new" else "~"
        must = f"  ‼ {pick('须逐条确认', 'must be named')}: {change.must.get(lang)}" if change.held else ""
        note = f"  ({pick('请注意', 'note')}: {change.remark.get(lang)})" if change.remark.get(lang) else ""
        out.print(safe(f"{mark} [{change.line.id}] {change.text.get(lang)}{must}{note}"), markup=False, soft_wrap=True)
    table(
        pick("拟议的策略行", "Proposed lines"),
        ["", pick("编号", "id"), pick("站点", "station"), pick("主站", "master"), pick("操作", "deed"),
         pick("地址", "addresses"), pick("时间", "hours"), pick("次数", "times"), pick("须逐条确认", "must be named"),
         pick("请注意", "note")],
        (
            (KINDS[c.kind].get(lang), c.line.id, c.place.get(lang), c.master.get(lang), c.deed.get(lang),
             c.addresses.get(lang), c.hours.get(lang), c.line.count, c.must.get(lang),
             c.remark.get(lang))
            for c in changes[:SHOWN]
        ),
    )  # fmt: skip
    if len(changes) > SHOWN:
        say(f"另有 {len(changes) - SHOWN} 行，见 --json", f"{len(changes) - SHOWN} more, see --json")
    out.print(safe(summary(changes, one.ot.proposal).get(lang)), markup=False, soft_wrap=True)


@app.command()
def enforce(
    reason: Annotated[str, typer.Option("--reason", help="原因，写入审计日志 / reason, kept in the audit log")],
    owner: Annotated[str, typer.Option("--owner", help="责任人 / who answers for it")] = "",
    expires: Annotated[str, typer.Option("--expires", help="到期日 2027-03-01 / last day it counts")] = "",
    segment: Annotated[Ids, typer.Option("--segment", help="网段编号，可重复 / segment id, repeatable")] = None,
    station: Annotated[Ids, typer.Option("--station", help="站点，可重复 / station, repeatable")] = None,
    everything: Annotated[bool, typer.Option("--all", help="拟议涉及的全部范围 / every place proposed")] = False,
    accept: Annotated[Ids, typer.Option("--accept", help=_ACCEPT)] = None,
    reject: Annotated[Ids, typer.Option("--reject", help="逐条拒绝的编号 / line to reject, by id")] = None,
    remove: Annotated[Ids, typer.Option("--remove", help="移除现行策略行 / line in force to remove")] = None,
    learning: Annotated[
        bool, typer.Option("--learning", help="改回学习：不再告警 / back to learning: nothing is told")
    ] = False,
    by: By = None,
) -> None:
    """签署拟议，使其生效；标“须逐条确认”的行须 --accept / Sign the proposal; 'must be named' lines need --accept."""
    from cityguard.otpolicy.desk import Signature

    places = [*(f"segment:{one}" for one in segment or ()), *(station or ()), *(("*",) if everything else ())]
    until = _day(expires)
    with application() as one:
        done = one.ot.decide(
            _who(by),
            Signature(owner, reason, until),
            places=tuple(places),
            accept=tuple(accept or ()),
            reject=tuple(reject or ()),
            remove=tuple(remove or ()),
            mode="learning" if learning else "enforced",
        )
    say(
        f"生效 {len(done.accepted)} 行，拒绝 {len(done.rejected)} 行，移除 {len(done.removed)} 行",
        f"{len(done.accepted)} lines in force, {len(done.rejected)} rejected, {len(done.removed)} removed",
    )
    for line in done.held:
        say(f"须逐条确认，未生效：--accept {line.id}", f"must be named, not in force: --accept {line.id}")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        fail(pick("--expires 写成 2027-03-01", "--expires: write 2027-03-01"), USAGE)


@app.command()
def policy(as_json: Json = False) -> None:
    """现行策略与各范围的状态 / The policy in force, and how each place is treated."""
    from cityguard.otpolicy import review, words

    with application() as one:
        found, names = one.ot.policy, one.ot.names
        today = one.clock().astimezone(one.settings.zone).date()
        rows = [review.row(line, names, today) for line in found.lines]
    if as_json:
        document({"schema_version": 1, "scopes": found.scopes, "lines": found.lines, "rejected": found.rejected})
        return
    lang = language()
    table(
        pick("范围", "Places"),
        [pick("范围", "place"), pick("状态", "state"), pick("责任人", "owner"), pick("原因", "reason")],
        ((names.place(s.place).get(lang), words.MODES[s.mode].get(lang), s.owner, s.reason) for s in found.scopes),
    )
    table(
        pick("现行策略行", "Lines in force"),
        [pick("编号", "id"), pick("内容", "what"), pick("责任人", "owner"), pick("到期日", "expires")],
        ((r.id, r.text.get(lang), r.owner, _until(r.expires, over=r.expired)) for r in rows),
    )
    say(words.NEVER_BLOCKS.zh, words.NEVER_BLOCKS.en)


def _until(day: date | None, *, over: bool) -> str:
    return "" if day is None else f"{day} {pick('已到期', 'expired')}" if over else str(day)


@app.command()
def report(
    since: From = "7d",
    until: To = "",
    folder: Annotated[Path | None, typer.Option("--out", help="写入报告的目录 / folder for the report")] = None,
    formats: Annotated[str, typer.Option("--format", help="html,pdf,docx,xlsx,json")] = "html,pdf",
    as_json: Json = False,
) -> None:
    """违反、到期、未用、未登记与静默 / Violations, lines that expire or are unused, stations unknown or silent."""
    from cityguard.app import moment

    with application() as one:
        now = one.clock()
        asked = tuple(part.strip() for part in formats.split(",") if part.strip()) if folder else ()
        end = moment(until, now) if until else now
        found, files = one.report_ot(moment(since, now), end, folder or Path(), asked)
    if as_json:
        document({"schema_version": 1, **asdict(found)})
    else:
        _print_review(found)
    for path in files:
        say(f"已写入 {path}", f"written: {path}")
    if found.events and (found.violations or found.silent):
        raise typer.Exit(FINDINGS)


def _print_review(found: Review) -> None:
    lang = language()
    if not found.events:
        start, end = f"{found.start:%Y-%m-%d %H:%M}", f"{found.end:%Y-%m-%d %H:%M} UTC"
        say(
            f"这段时间没有采集到任何工控报文（{start} 至 {end}），不能据此判断静默",
            f"nothing was captured in this time ({start} to {end}): it tells nothing of silence",
        )
    if found.violations:
        table(
            pick("违反策略", "Violations"),
            [
                pick("时间（UTC）", "time (UTC)"),
                pick("级别", "level"),
                pick("事实与策略行", "what"),
                pick("次数", "times"),
            ],
            ((f"{a.first_seen:%m-%d %H:%M}", a.level, a.reason.get(lang), a.count) for a in found.violations[:SHOWN]),
        )
    for title, rows in (
        (pick("到期与将到期的策略行", "Lines expired or about to"), found.expiring),
        (pick("未用到的策略行", "Lines nothing needed"), found.unused),
    ):
        if rows:
            table(
                title,
                [pick("编号", "id"), pick("内容", "what"), pick("责任人", "owner"), pick("到期日", "expires")],
                ((r.id, r.text.get(lang), r.owner, _until(r.expires, over=r.expired)) for r in rows[:SHOWN]),
            )
    if found.unknown:
        table(
            pick("出现但未登记的站点", "Stations seen but not registered"),
            [pick("协议", "protocol"), pick("设备标识", "unit"), pick("地址", "address"), pick("次数", "times")],
            ((u.protocol, u.unit, u.ip, u.count) for u in found.unknown[:SHOWN]),
        )
    if found.silent and found.events:
        _print_heard(found.silent)
    say(
        f"{found.events:,} 条报文，{found.lines} 行策略：违反 {len(found.violations)}，到期 {len(found.expiring)}，"
        f"未用 {len(found.unused)}，未登记 {len(found.unknown)}，静默 {len(found.silent)}",
        f"{found.events:,} messages, {found.lines} lines: {len(found.violations)} violations, {len(found.expiring)} "
        f"expiring, {len(found.unused)} unused, {len(found.unknown)} unregistered, {len(found.silent)} silent",
    )


def _print_heard(rows: Sequence[Heard]) -> None:
    from cityguard.otpolicy import words

    lang = language()
    table(
        pick("已登记但静默的站点", "Stations registered but silent"),
        [
            pick("编号", "id"),
            pick("站点", "station"),
            pick("应报周期", "expected every"),
            pick("最近（UTC）", "last (UTC)"),
        ],
        (
            (
                one.station.id,
                one.station.name,
                words.span(one.period_s).get(lang) if one.period_s else "",
                f"{one.last:%Y-%m-%d %H:%M}" if one.last else "—",
            )
            for one in rows[:SHOWN]
        ),
    )


@stations.command("list")
def list_(as_json: Json = False) -> None:
    """列出登记的站点 / List the registered stations."""
    with application() as one:
        found = one.register.stations
    if as_json:
        document({"schema_version": 1, "stations": found})
        return
    table(
        pick("登记站点", "Registered stations"),
        ["id", pick("名称", "name"), pick("协议", "protocol"), pick("平台地址", "platforms"),
         pick("运营商网段", "carriers"), pick("周期（秒）", "period (s)")],
        (
            (s.id, s.name, s.protocol, ", ".join(s.platforms), ", ".join(s.carriers),
             "" if s.period_s is None else f"{s.period_s:g}")
            for s in found
        ),
    )  # fmt: skip


@stations.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="XLSX（工作表“站点”）或 YAML / XLSX or YAML", exists=True)],
    whole: Annotated[bool, typer.Option("--replace", help="替换全部站点 / replace every station")] = False,
    by: By = None,
) -> None:
    """导入站点清单；同编号者更新，表中没有的列保留原值，有错则一条不入 / Import stations; columns it lacks are kept."""
    from cityguard.register import station_lists

    with application() as one:
        before = one.register
        made, fresh, changed = station_lists.merged(before, file, whole=whole)
        one.audit(
            by or actor(), "register.stations", str(file), f"{fresh} new, {changed} changed, {len(made.stations)}"
        )
        station_lists.save(made, one.register_path)
    told = station_lists.changes(before, made)
    for change in told[:SHOWN]:
        values = "; ".join(f"{name}: {_value(was)} -> {_value(now)}" for name, was, now in change.values)
        say(f"更新 {change.id}：{values}", f"changed {change.id}: {values}")
    if len(told) > SHOWN:
        say(f"另有 {len(told) - SHOWN} 个更新", f"{len(told) - SHOWN} more changed")
    say(
        f"新增 {fresh} 个，更新 {changed} 个，共 {len(made.stations)} 个站点",
        f"{fresh} new, {changed} changed, {len(made.stations)} stations",
    )


def _value(value: object) -> str:
    return (", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)) or "—"


@stations.command()
def silent(since: From = "7d", as_json: Json = False) -> None:
    """已登记但静默的站点 / Stations registered but silent."""
    from cityguard.app import moment

    with application() as one:
        now = one.clock()
        found = one.ot.review(moment(since, now), now)
    if as_json:
        document({"schema_version": 1, "silent": list(found.silent)})
    else:
        _print_heard(found.silent)
    if found.silent:
        raise typer.Exit(FINDINGS)
