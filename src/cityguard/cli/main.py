"""The command line: every command is thin (parse, call, print), and every error ends in its own exit code."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cityguard.cli import (
    alerts,
    assess,
    asset,
    collectors,
    crypto,
    demo,
    doctor,
    drill,
    jobs,
    ot,
    reading,
    report,
    rules,
    scan,
    settings,
    store,
    up,
    user,
)
from cityguard.cli.output import CANCELLED, ERROR, NO_STORE, USAGE, err, pick, safe
from cityguard.cli.state import STATE
from cityguard.errors import CityguardError, ContentErrors

FAULTS = 20  # of a file, told to a person; mended, the next are told

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="城市网络安全态势感知与等级保护自查 / Situational awareness and 等保 self-check for one city",
)


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="配置文件 / settings file", exists=True, dir_okay=False)
    ] = None,
    home: Annotated[Path | None, typer.Option("--home", help="数据目录 / data folder")] = None,
    lang: Annotated[str | None, typer.Option("--lang", help="zh-CN | en")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="不输出进度 / no progress messages")] = False,
) -> None:
    """Options of every command; they come before the command's name."""
    if lang not in (None, "zh-CN", "en"):
        raise typer.BadParameter("zh-CN | en", param_hint="--lang")
    STATE.config, STATE.home, STATE.language, STATE.quiet = config, home, lang, quiet


@app.command()
def version() -> None:
    """显示版本 / Print the version."""
    from cityguard import __version__

    typer.echo(__version__)


app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("decode")(reading.decode)
app.command("look")(reading.look)
app.command("ingest")(reading.ingest)
app.command("doctor")(doctor.doctor)
for name, group in (
    ("alerts", alerts.app),
    ("rules", rules.app),
    ("collectors", collectors.app),
    ("asset", asset.app),
    ("scan", scan.app),
    ("assess", assess.app),
    ("drill", drill.app),
    ("crypto", crypto.app),
    ("ot", ot.app),
    ("jobs", jobs.app),
    ("report", report.app),
    ("store", store.app),
    ("config", settings.app),
    ("user", user.app),
):
    app.add_typer(group, name=name)


def main() -> None:
    """Run a command; a fault a person can mend is one message and an exit code, never a traceback."""
    sys.exit(_run())


def _run() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.Exit as end:
        return end.exit_code
    except ContentErrors as errors:
        more = len(errors.faults) - FAULTS
        rest = "\n" + pick(f"另有 {more} 处错误", f"{more} more") if more > 0 else ""
        return _told("\n".join(str(one) for one in errors.faults[:FAULTS]) + rest, errors.exit_code)
    except CityguardError as error:
        return _told(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _told(pick("已取消；已保存的结果保留", "cancelled; what was stored is kept"), CANCELLED, error=False)
    except BrokenPipeError:
        sys.stderr.close()
        return ERROR
    except sqlite3.Error as error:
        remedy = pick("检查磁盘空间与数据目录权限", "check free space and the data folder's rights")
        return _told(f"SQLite: {error}; {remedy}", NO_STORE)
    except OSError as error:
        return _told(str(error), ERROR)
    except TyperException as error:  # wrong usage: it knows how to show itself
        error.show()  # type: ignore[attr-defined]
        return USAGE


def _told(message: str, code: int, *, error: bool = True) -> int:
    lead = f"{pick('错误', 'error')}: " if error else ""
    err.print(f"{lead}{safe(message)}", style="red" if error else None, markup=False)
    return code


if __name__ == "__main__":
    main()
