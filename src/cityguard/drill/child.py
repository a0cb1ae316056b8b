"""The process that touches the backup: walled in, restores, compares, probes; one JSON line per step on stdout.

It is started by ``drill.run`` with the job as JSON on stdin, and uses the standard library (and zstandard)
only, so that it starts fast and has little to lose.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cityguard.drill import extract, landlock, sandbox
from cityguard.drill import manifest as drill_manifest

_DAMAGE = (tarfile.TarError, EOFError, ValueError, OSError, zlib.error, lzma.LZMAError)
_TAIL = 4096

Outcome = tuple[str, str, dict[str, Any]]  # ok | failed | skipped, detail, data


def main() -> int:
    """Read the job, wall ourselves in, and do the steps; a step that fails ends the job."""
    started = time.monotonic()
    sandbox.die_with_parent()
    job = json.loads(sys.stdin.read())
    work = Path(job["work"])
    walls = {"network": sandbox.isolate()}
    sandbox.die_with_parent()
    if walls["network"] and (child := os.fork()):
        return _wait(child)  # the new process space begins with our child
    sandbox.die_with_parent()
    os.umask(0o077)
    bounds = {"memory": job["memory"], "cpu_s": job["cpu"], "processes": job["processes"]}
    sandbox.limit(**bounds, file_bytes=job["bytes"] + (1 << 20))
    extract.prepare(job["backup"])
    program = _program(job)
    run = [program] if program else []
    walls["landlock"] = landlock.confine(work, read=(job["backup"], job["manifest"], *job["reads"]), run=run)
    walls["account"] = sandbox.lower((work, work / "data", work / "tmp"))
    _say("isolate", started, ("ok", "", dict(walls)))
    state: dict[str, Any] = {"walls": walls, "program": program}
    for name, step in (("manifest", _manifest), ("restore", _restore), ("compare", _compare), ("probe", _probe)):
        if not _step(name, step, job, work, state):
            return 0
    return 0


def _program(job: dict[str, Any]) -> str:
    """Where the probe's program really stands, before the walls hide it; "" = nowhere, or no probe."""
    found = shutil.which(job["probe"][0]) if job["probe"] else None
    return str(Path(found).resolve()) if found else ""


def _wait(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def _step(name: str, step: Callable[..., Outcome], job: dict[str, Any], work: Path, state: dict[str, Any]) -> bool:
    started = time.monotonic()
    try:
        outcome = step(job, work, state)
    except extract.Refused as error:
        outcome = ("failed", str(error), {"kind": error.kind})
    except drill_manifest.ManifestError as error:
        outcome = ("failed", str(error), {"kind": "manifest"})
    except MemoryError:
        outcome = ("failed", "more memory than allowed", {"kind": "memory"})
    except _DAMAGE as error:
        kind = "system" if isinstance(error, OSError) and error.errno else "damaged"
        outcome = ("failed", f"{type(error).__name__}: {error}"[:500], {"kind": kind})
    except Exception as error:  # noqa: BLE001 zstandard has its own error; whatever it is, the backup did not restore
        outcome = ("failed", f"{type(error).__name__}: {error}"[:500], {"kind": "damaged"})
    if name in state:  # SHA-256 of what was read, also of what could not be used
        outcome[2]["sha256"] = state[name]()
    _say(name, started, outcome)
    return outcome[0] != "failed" or name == "probe"


def _say(name: str, started: float, outcome: Outcome) -> None:
    line = {"step": name, "start": started, "end": time.monotonic()}
    line |= {"outcome": outcome[0], "detail": outcome[1], "data": outcome[2]}
    sys.stdout.write(json.dumps(line, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def _manifest(job: dict[str, Any], work: Path, state: dict[str, Any]) -> Outcome:
    path = Path(job["manifest"])
    with path.open("rb") as file:
        raw = file.read(drill_manifest.MAX_BYTES + 1)
    if len(raw) > drill_manifest.MAX_BYTES:
        raise drill_manifest.ManifestError(f"larger than {drill_manifest.MAX_BYTES} bytes")
    state["manifest"] = hashlib.sha256(raw).hexdigest
    manifest = state["expected"] = drill_manifest.parse(raw)
    return "ok", "", {"files": len(manifest.files), "taken": manifest.taken}


def _restore(job: dict[str, Any], work: Path, state: dict[str, Any]) -> Outcome:
    budget = extract.Budget(job["bytes"], job["files"], job["ratio"])
    state["restore"] = lambda: budget.digest
    extract.restore(Path(job["backup"]), work / "data", budget)
    return "ok", "", {"entries": budget.entries}


def _compare(job: dict[str, Any], work: Path, state: dict[str, Any]) -> Outcome:
    found = drill_manifest.compare(work / "data", state["expected"])
    data = {"expected": found.expected, "found": found.found, "bytes": found.bytes, "sized": found.sized}
    return "ok", "", data | {"counts": found.counts, "samples": found.samples}


def _probe(job: dict[str, Any], work: Path, state: dict[str, Any]) -> Outcome:
    if not job["probe"]:
        return "skipped", "", {}
    if not state["walls"]["network"]:
        return "skipped", "no network wall on this machine, so no probe was run", {"kind": "wall"}
    output = os.open(work / "probe.out", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        code = _run(job, work, output, state)
        size = os.lseek(output, 0, os.SEEK_END)
        tail = os.pread(output, _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")
    finally:
        os.close(output)
    if code is None:
        return "failed", f"no end within {job['probe_seconds']} s", {"kind": "timeout", "output": tail}
    return ("ok" if code == 0 else "failed"), f"exit {code}", {"kind": "exit", "code": code, "output": tail}


def _run(job: dict[str, Any], work: Path, output: int, state: dict[str, Any]) -> int | None:
    """Exit code of the probe; None = it did not end in time and was killed with its children."""
    within = sandbox.reaches(work / "data", os.R_OK | os.X_OK)
    within = within and sandbox.reaches(Path(state["program"] or work), os.X_OK)
    keep_reading = state["walls"]["landlock"] and not within

    def wall_in() -> None:  # single-threaded, a few system calls
        sandbox.die_with_parent()
        sandbox.strip(keep_reading=keep_reading)

    here = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    here |= {"HOME": str(work / "tmp"), "TMPDIR": str(work / "tmp")}
    process = subprocess.Popen(  # noqa: S603 the operator's own argv, no shell, inside the walls
        job["probe"],
        cwd=work / "data",
        env=here,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=wall_in,
    )
    try:
        return process.wait(job["probe_seconds"])
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
