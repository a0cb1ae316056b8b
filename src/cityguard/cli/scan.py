"""scan: ask every check of a system; never a packet where the register forbids it."""

from __future__ import annotations

from typing import Annotated

import typer

from cityguard.cli.output import PARTIAL, document, language, pick, say, table
from cityguard.cli.state import actor, application

app = typer.Typer(no_args_is_help=True, help="扫描与检查 / Scans and checks")
System = Annotated[str, typer.Option("--system", help="信息系统编号 / system id")]
Target = Annotated[list[str] | None, typer.Option("--target", help="限定地址 / only these addresses")]


@app.command()
def plan(system: System, target: Target = None) -> None:
    """试运行：列出将探测的目标与拒绝原因 / Dry run: targets, and why any is refused."""
    from cityguard.scan import scan as scanning

    with application() as one:
        one.system(system)
        found = scanning.plan(one, system, targets=target)
    table(
        pick("扫描计划", "Scan plan"),
        [pick("目标", "target"), pick("端口", "ports"), pick("说明", "remark")],
        ((t.address, ", ".join(map(str, t.ports)), t.why.get(language()) if t.why else "") for t in found),
    )


@app.command()
def run(
    system: System,
    target: Target = None,
    check: Annotated[list[str] | None, typer.Option("--check", help="限定检查项 / only these checks")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """执行检查并保存证据 / Run the checks and keep the evidence."""
    with application() as one:
        one.system(system)
        one.audit(actor(), "scan.run", system, ", ".join(target or ["all"])[:500])
        done = one.scan(system, targets=target, checks=check)
    if as_json:
        document({"schema_version": 1, "system": system, "evidence": list(done.evidence)})
    else:
        table(
            pick("证据", "Evidence"),
            [pick("检查", "check"), pick("对象", "object"), pick("结论", "verdict"), pick("依据", "reason")],
            ((e.check, e.object_name, e.verdict, e.reason.get(language())) for e in done.evidence),
        )
    say(f"{len(done.evidence)} 条证据", f"{len(done.evidence)} pieces of evidence")
    if done.failed:
        raise typer.Exit(PARTIAL)
