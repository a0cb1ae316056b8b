"""asset: the register of departments, systems, assets and segments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cityguard.cli.output import pick, say, table
from cityguard.cli.state import actor, application

app = typer.Typer(no_args_is_help=True, help="资产台账 / Register of assets")


@app.command("list")
def list_() -> None:
    """列出信息系统 / List the information systems."""
    with application() as one:
        register = one.register
    table(
        pick("信息系统", "Information systems"),
        ["id", pick("名称", "name"), pick("部门", "department"), pick("等级", "grade"), pick("备案号", "filing")],
        (
            (
                s.id,
                s.name,
                (d.name if (d := register.department(s.department)) else s.department),
                f"S{s.s_grade}A{s.a_grade}",
                s.filing_number,
            )
            for s in register.systems
        ),
    )


@app.command("import")
def import_(file: Annotated[Path, typer.Argument(help="YAML 或 XLSX / YAML or XLSX", exists=True)]) -> None:
    """导入台账；有错则一条不入 / Import the register; with any fault nothing is taken."""
    from cityguard.register.register import Register

    with application() as one:
        register = Register.load(file, zone=one.settings.zone)
        if not register.stations and one.register_path.is_file():
            register = replace(
                register, stations=one.register.stations
            )  # a register without stations says none of them
        one.audit(actor(), "register.import", str(file), f"{len(register.systems)} systems")
        one.register_path.parent.mkdir(parents=True, exist_ok=True)
        register.save_yaml(one.register_path)
    say(
        f"已导入 {len(register.departments)} 个部门、{len(register.systems)} 个系统、{len(register.assets)} 项资产",
        f"{len(register.departments)} departments, {len(register.systems)} systems, {len(register.assets)} assets",
    )


@app.command()
def export(file: Annotated[Path, typer.Argument(help=".yml 或 .xlsx / .yml or .xlsx")]) -> None:
    """导出台账 / Export the register."""
    with application() as one:
        save = one.register.save_xlsx if file.suffix.lower() == ".xlsx" else one.register.save_yaml
        save(file)
    say(f"已写入 {file}", f"written: {file}")
