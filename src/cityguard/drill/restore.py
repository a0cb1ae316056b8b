"""Starts the restoring process, bounds it in time and output, and reads what it says about its steps."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from cityguard.drill.plan import Plan
from cityguard.drill.quota import Quota
from cityguard.drill.scratch import Scratch

MAX_OUTPUT = 1 << 20
MAX_COMPLAINT = 500
STEPS = ("isolate", "manifest", "restore", "compare", "probe")


@dataclass(frozen=True, slots=True)
class Step:
    """One step as the child told it; times are on the monotonic clock."""

    name: str
    started: float
    ended: float
    outcome: str
    detail: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Restored:
    """Everything the child told, and how it ended."""

    steps: dict[str, Step] = field(default_factory=dict)
    fault: str = ""  # why the child itself came to no proper end

    def ok(self, name: str) -> bool:
        return name in self.steps and self.steps[name].outcome == "ok"

    def data(self, name: str) -> dict[str, Any]:
        return self.steps[name].data if name in self.steps else {}


def restore(plan: Plan, scratch: Scratch) -> Restored:
    """Restore, compare and probe in a process of its own; never raises for what the backup does."""
    wall = plan.limits.wall(plan.rto_s)
    complaints = scratch.path / "stderr"
    with complaints.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "cityguard.drill.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=scratch.path,
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            pass_fds=(scratch.lock,),
            start_new_session=True,
        )
    try:
        quota = Quota(scratch.work, plan.limits.bytes, plan.limits.files)
        steps, fault = _follow(process, _job(plan, scratch, wall), wall, quota)
    finally:
        _kill(process)
    said = complaints.read_bytes()[-MAX_COMPLAINT:].decode("utf-8", "replace").strip().splitlines()
    return Restored(steps, f"{fault}: {said[-1]}" if fault and said else fault)


def _job(plan: Plan, scratch: Scratch, wall: int) -> bytes:
    limits = plan.limits
    job = {"work": str(scratch.work), "backup": str(plan.backup), "manifest": str(plan.manifest)}
    bounds = {"bytes": limits.bytes, "files": limits.files, "ratio": limits.ratio, "memory": limits.memory}
    bounds["processes"] = limits.processes
    probe = {"probe": plan.probe, "probe_seconds": plan.probe_seconds, "reads": [str(one) for one in plan.probe_reads]}
    return json.dumps(job | bounds | probe | {"cpu": wall}).encode()


def _follow(process: subprocess.Popen[bytes], job: bytes, wall: int, quota: Quota) -> tuple[dict[str, Step], str]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the child was started without pipes")
    try:
        with process.stdin as stdin:
            stdin.write(job)
    except BrokenPipeError:
        pass  # it died at once; its exit is told below
    raw, fault = _read(process.stdout, time.monotonic() + wall, quota)
    if not fault:
        try:
            code = process.wait(10)
            fault = f"restoring process ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            fault = "restoring process did not end"
    else:
        fault = fault.replace("{wall}", str(wall))
    return {step.name: step for step in _steps(raw)}, fault


def _read(stream: Any, deadline: float, quota: Quota) -> tuple[bytes, str]:
    """Everything the child says until it closes its output, the deadline, or a bound."""
    raw = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return bytes(raw), "stopped after {wall} s"
            ready = selector.select(min(left, quota.wait()))
            if too_much := quota.fault():
                return bytes(raw), too_much
            if not ready:
                continue
            block = os.read(stream.fileno(), 1 << 16)
            if not block:
                return bytes(raw), ""
            raw += block
            if len(raw) > MAX_OUTPUT:
                return bytes(raw), "restoring process said too much"


def _steps(raw: bytes) -> list[Step]:
    found: list[Step] = []
    for line in raw.splitlines():
        try:
            one = json.loads(line)
            step = Step(
                str(one["step"]),
                float(one["start"]),
                float(one["end"]),
                str(one["outcome"]),
                str(one["detail"])[:1000],
                dict(one["data"]),
            )
        except (ValueError, KeyError, TypeError):
            continue  # a line cut short by a kill
        if step.name in STEPS:
            found.append(step)
    return found


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
