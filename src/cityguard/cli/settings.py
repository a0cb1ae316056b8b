"""config: check and show the settings."""

from __future__ import annotations

import typer

from cityguard.cli.output import pick, say, table
from cityguard.cli.state import STATE, application

app = typer.Typer(no_args_is_help=True, help="配置 / Settings")


@app.command()
def check() -> None:
    """检查配置与全部内容，指出文件、行与改法 / Check settings and all content: file, line, remedy."""
    from cityguard.cli.doctor import content_faults
    from cityguard.errors import ContentErrors

    with application() as one:
        faults = content_faults(one)
    if faults:
        raise ContentErrors(faults)
    say("配置与内容无误", "settings and content are sound")


@app.command()
def show() -> None:
    """显示生效的配置 / Print the settings in force."""
    from functools import reduce

    from cityguard import config

    found = STATE.settings()
    rows = []
    for key, default, zh, en in config.reference():
        if "[]" in key:
            continue
        value = reduce(getattr, key.split("."), found)
        rows.append((key, value, "" if value == default else "*", pick(zh, en)))
    table(pick("配置", "Settings"), [pick("键", "key"), pick("值", "value"), "", ""], rows)
