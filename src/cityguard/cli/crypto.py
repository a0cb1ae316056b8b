"""crypto: which cryptography is in use, by what was seen on the wire: inventory, calendar, posture."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cityguard.cli.output import USAGE, document, fail, language, pick, safe, say, table
from cityguard.cli.state import application

if TYPE_CHECKING:
    from cityguard.app import App
    from cityguard.cryptouse.inventory import Inventory

app = typer.Typer(
    no_args_is_help=True, help="密码应用：由流量看加密算法与证书 / Cryptography in use, as traffic shows it"
)

SHOWN = 200  # lines of a list for a person
Days = Annotated[float, typer.Option("--days", help="统计最近多少天，0.01 至 3660 / of the last days, 0.01 to 3660")]
Which = Annotated[str, typer.Option("--system", help="只看一个系统 / one system (id)")]
Whose = Annotated[str, typer.Option("--department", help="只看一个部门 / one department (id)")]
Json = Annotated[bool, typer.Option("--json", help="JSON")]


@app.command()
def inventory(
    days: Days = 30,
    system: Which = "",
    department: Whose = "",
    state: Annotated[str, typer.Option("--state", help="national | mixed | turned_down | ordinary | unanswered")] = "",
    problem: Annotated[str, typer.Option("--problem", help="如 expired single weak_suite / e.g. expired")] = "",
    certificates: Annotated[bool, typer.Option("--certificates", help="列证书 / list certificates")] = False,
    as_json: Json = False,
) -> None:
    """算法与证书台账：谁用国密、谁提供而未用、谁薄弱 / Suites and certificates: who is national, turned down, weak."""
    with application() as one:
        found = _asked(one, days, system=system, department=department, state=state, problem=problem)
        if as_json:
            sums = {"clients": found.clients, "states": found.states(), "problems": found.problems()}
            document({"schema_version": 1, **asdict(found), **sums})
        else:
            _print_certificates(found) if certificates else _print_services(one, found)
            _ends(found)


@app.command()
def calendar(days: Days = 30, system: Which = "", department: Whose = "", as_json: Json = False) -> None:
    """证书到期日历：已过期的和未来一年逐月 / When certificates end: those over, then a year by month."""
    from cityguard.cryptouse.calendar import calendar as made_of

    with application() as one:
        found = _asked(one, days, system=system, department=department)
        months = made_of(found, one.clock(), one.settings.zone)
        if as_json:
            document({"schema_version": 1, "months": [asdict(month) for month in months]})
            return
        rows = []
        for month in months:
            name = pick("已过期", "over") if month.first is None else f"{month.first:%Y-%m}"
            for cert in month.ending:
                ends = (
                    cert.not_after.astimezone(one.settings.zone)
                    if cert.not_after and cert.not_after.year < 9999
                    else None
                )
                rows.append(
                    (
                        name,
                        f"{ends:%Y-%m-%d}" if ends else "",
                        cert.days_left,
                        cert.key,
                        _roles(cert),
                        cert.subject,
                        _places(cert),
                    )
                )
        table(
            pick("证书到期日历", "Certificates by their end"),
            [pick("月份", "month"), pick("到期日", "ends"), pick("剩余天数", "days left"), pick("密钥", "key"),
             pick("用途", "role"), pick("主体", "subject"), pick("位置", "shown at")],
            rows[:SHOWN],
        )  # fmt: skip
        _ends(found)


@app.command()
def posture(days: Days = 30, system: Which = "", department: Whose = "", as_json: Json = False) -> None:
    """密码应用现状（对照 GB/T 39786，仅供参考）/ An indicative view along GB/T 39786; no assessment."""
    from cityguard.cryptouse.posture import UNKNOWN
    from cityguard.cryptouse.posture import posture as made_of

    signs = {
        "good": pick("好", "good"),
        "part": pick("部分", "partly"),
        "bad": pick("差", "bad"),
        "unseen": pick("未见", "unseen"),
    }
    with application() as one:
        lines = made_of(_asked(one, days, system=system, department=department))
        if as_json:
            document(
                {
                    "schema_version": 1,
                    "lines": [asdict(line) for line in lines],
                    "unknown": [asdict(text) for text in UNKNOWN],
                }
            )
            return
        table(
            pick("密码应用现状（仅供参考，不是密评）", "Cryptography in use (indicative, no assessment)"),
            [pick("层面", "layer"), pick("方面", "aspect"), pick("表现", "sign"), pick("看到的", "what was seen")],
            (
                (line.layer.get(language()), line.aspect.get(language()), signs[line.sign], line.said.get(language()))
                for line in lines
            ),
        )
        typer.echo(pick("流量看不出的：", "What traffic cannot show:"))
        for text in UNKNOWN:
            typer.echo(f"  - {text.get(language())}")


def _asked(one: App, days: float, **narrow: str) -> Inventory:
    """The part that is asked for; what cannot be asked ends the command."""
    from cityguard.cryptouse.asking import fault

    if wrong := fault(one.register, days=days, **narrow):
        fail(wrong.get(language()), USAGE)
    return one.cryptography(days).narrowed(**narrow)


def _print_services(one: App, found: Inventory) -> None:
    from cityguard.cryptouse.words import STATES

    def names(service: Any) -> tuple[str, str]:
        system, department = (
            one.register.system(service.owner.system),
            one.register.department(service.owner.department),
        )
        return (
            system.name if system else service.owner.system,
            department.name if department else service.owner.department,
        )

    table(
        pick("加密服务", "Encrypted services"),
        [pick("地址", "address"), pick("系统", "system"), pick("部门", "department"), pick("协议", "protocol"),
         pick("状态", "state"), pick("握手", "handshakes"), pick("国密", "national"), pick("常用套件", "most used"),
         pick("问题", "problems")],
        (
            (f"{s.address}:{s.port}", *names(s), s.protocol, STATES[s.state].get(language()), s.handshakes, s.national,
             s.most_used, _problems(s.problems))
            for s in found.services[:SHOWN]
        ),
    )  # fmt: skip


def _print_certificates(found: Inventory) -> None:
    table(
        pick("证书", "Certificates"),
        [pick("到期日", "ends"), pick("剩余天数", "days left"), pick("密钥", "key"), pick("签名", "signature"),
         pick("用途", "role"), pick("主体", "subject"), pick("位置", "shown at"), pick("问题", "problems")],
        (
            (f"{c.not_after:%Y-%m-%d}" if c.not_after else "", c.days_left, c.key, c.signature, _roles(c), c.subject,
             _places(c), _problems(c.problems))
            for c in found.certificates[:SHOWN]
        ),
    )  # fmt: skip


def _problems(codes: tuple[str, ...]) -> str:
    from cityguard.cryptouse.words import problem

    return pick("、", ", ").join(problem(code).get(language()) for code in codes)


def _roles(certificate: Any) -> str:
    from cityguard.cryptouse.words import ROLES

    return "/".join(ROLES[role].get(language()) for role in certificate.roles)


def _places(certificate: Any) -> str:
    shown = [f"{one.address}:{one.port}" if one.port else one.address for one in certificate.places]
    return safe(", ".join(shown[:3]) + (f" … (+{len(shown) - 3})" if len(shown) > 3 else ""))


def _ends(found: Inventory) -> None:
    say(
        f"{len(found.services)} 个服务，{len(found.certificates)} 张证书",
        f"{len(found.services)} services, {len(found.certificates)} certificates",
    )
    if found.outside:
        say(f"另有 {found.outside} 个互联网上的服务未计入", f"{found.outside} services on the Internet are left out")
    if not found.complete:
        say("数量超出上限，清单不完整：请缩短天数", "more than is looked at: the list is not complete; take fewer days")
