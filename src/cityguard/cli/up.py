"""up: the whole installation as one process tree: receivers, worker, console with its clock."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cityguard.cli.doctor import content_faults
from cityguard.cli.output import ERROR, OK, USAGE, fail, say
from cityguard.cli.state import STATE, application
from cityguard.drill import sandbox
from cityguard.errors import ContentErrors

if TYPE_CHECKING:
    from types import FrameType

ROLES = ("receivers", "worker", "console")
PATIENCE_S = 10.0
RESTART_S = 2.0
QUICK, QUICK_S = 3, 30.0  # so many ends within so many seconds, and the supervisor gives up


def up(
    role: Annotated[
        str | None, typer.Option("--role", help="只运行一个部分 / only one part: receivers | worker | console")
    ] = None,
) -> None:
    """启动全部服务：接收、处理、控制台与计划任务 / Start everything: receivers, worker, console, jobs."""
    if role is None:
        _supervise()
    elif role in _PARTS:
        sandbox.die_with_parent()  # a part without its supervisor would stand beside the next one's
        _PARTS[role](_until_signal())
    else:
        fail(f"--role: {' | '.join(ROLES)}", USAGE)


def _receivers(stop: threading.Event) -> None:
    from cityguard.receive import serve_all

    settings = STATE.settings()
    threads = serve_all(settings.listen, settings.home_path, settings.limits, stop)
    while not stop.wait(1.0):
        if dead := [thread.name for thread in threads if not thread.is_alive()]:
            stop.set()
            fail(f"{', '.join(dead)}: receiver ended", 1)
    for thread in threads:
        thread.join(PATIENCE_S)


def _worker(stop: threading.Event) -> None:
    from cityguard.spool import only_one
    from cityguard.worker import Worker

    with application() as one, only_one(one.settings.home_path / "worker"):
        Worker(one, stop).run(stop)


def _console(stop: threading.Event) -> None:
    from cityguard.drill import drill
    from cityguard.jobs.jobs import Runner
    from cityguard.web import server

    with application() as one:
        drill.reap(one.scratch_path)  # what a killed drill left behind
        runner = Runner(one, owner=f"console-{one.settings.home_path.name}")
        runner.start()
        try:
            server.serve(one, one.settings.web.host, one.settings.web.port, stop=stop)
        finally:
            runner.stop()


_PARTS: dict[str, Callable[[threading.Event], None]] = {
    "receivers": _receivers,
    "worker": _worker,
    "console": _console,
}


def _supervise() -> None:
    """Keep one child per part running; a child that dies is started again, a signal ends them all."""
    settings = STATE.settings()
    with application() as one:
        if faults := content_faults(one):
            raise ContentErrors(faults)
    settings.home_path.mkdir(parents=True, exist_ok=True)
    wanted = [role for role in ROLES if role == "console" or settings.listen]
    stop = _until_signal()
    children = {role: _start(role) for role in wanted}
    say(
        f"已启动 {'、'.join(wanted)}；控制台端口 {settings.web.port}；Ctrl-C 停止",
        f"started {', '.join(wanted)}; console on port {settings.web.port}; Ctrl-C stops",
    )
    deaths: dict[str, list[float]] = {role: [] for role in wanted}
    code = OK
    while not stop.wait(RESTART_S):
        for role, child in list(children.items()):
            if child.poll() is None or stop.is_set():
                continue
            deaths[role] = [*(at for at in deaths[role] if at > time.monotonic() - QUICK_S), time.monotonic()]
            if len(deaths[role]) >= QUICK:
                say(f"{role} 连续退出，停止", f"{role} keeps ending, giving up")
                code = child.returncode if child.returncode > 0 else ERROR
                stop.set()
                break
            say(f"{role} 已退出（{child.returncode}），重新启动", f"{role} ended ({child.returncode}), restarting")
            children[role] = _start(role)
    for child in children.values():
        child.terminate()
    for child in children.values():
        try:
            child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    if code:
        raise typer.Exit(code)


def _start(role: str) -> subprocess.Popen[bytes]:
    options = ["--config", str(STATE.config)] if STATE.config else []
    options += ["--home", str(STATE.home)] if STATE.home else []
    options += ["--lang", STATE.language] if STATE.language else []
    return subprocess.Popen([sys.executable, "-m", "cityguard.cli.main", *options, "up", "--role", role])  # noqa: S603 - own program, fixed words


def _until_signal() -> threading.Event:
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return stop
