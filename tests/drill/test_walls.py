"""What a probe may not do, tried by probes that do it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cityguard.drill import drill
from cityguard.drill import scratch as drill_scratch
from cityguard.model import DrillRun

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def plan(folder: Path, probe: list[str] | None = None, more: str = "") -> Path:
    """A plan in ``folder`` whose backup is right; a probe is all that can go wrong."""
    (folder / "backup").mkdir(exist_ok=True)
    (folder / "backup" / "a.txt").write_text("x\n")
    digest = hashlib.sha256(b"x\n").hexdigest()
    taken = (NOW - timedelta(hours=1)).isoformat()
    (folder / "sums").write_text(f"# taken: {taken}\n{digest}  a.txt\n")
    path = folder / "plan.yml"
    path.write_text(
        "id: t\ntitle: t\nsystem: web\nbackup: {path: backup, manifest: sums}\nrto: 1\nrpo: 24\n"
        + (f"probe: {json.dumps(probe)}\n" if probe else "")
        + more
    )
    return path


def run(folder: Path, probe: list[str], more: str = "") -> DrillRun:
    found = drill.run(plan(folder, probe, more), scratch=folder / "scratch", clock=lambda: NOW)
    assert found.residue_removed
    assert [path.name for path in (folder / "scratch").iterdir()] == [".lock"]
    return found


def said(run: DrillRun, step: str) -> str:
    return next(one.detail for one in run.steps if one.name.en.startswith(step))


def needs(run: DrillRun, *walls: str) -> None:
    missing = [wall for wall in walls if f"{wall}: on" not in said(run, "walled")]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"this machine has no wall for {missing}")
    assert not missing


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every account gets to, as /var/lib is; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="walls-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_probe_reads_the_restored_data_and_no_file_of_the_account(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP-SECRET-TOKEN")
    run_ = run(tmp_path, ["sh", "-c", f"cat a.txt; cat {secret}; cat /etc/shadow; cat /etc/hostname; ls {tmp_path}; :"])
    needs(run_, "landlock")
    assert said(run_, "application").startswith("exit 0\nx\n")
    assert said(run_, "application").count("ermission denied") == 4
    assert "TOP-SECRET" not in run_.reason.zh + str(run_)


def test_what_a_plan_names_under_probe_reads_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "expected.csv").write_text("x\n")
    probe = ["cmp", "a.txt", str(tmp_path / "expected.csv")]
    needs(closed := run(tmp_path, probe), "landlock")
    assert closed.conclusion == "失败"
    assert run(tmp_path, probe, "probe_reads: [expected.csv]\n").conclusion == "成功"


def test_a_probe_sees_no_environment_of_another_process(tmp_path: Path) -> None:
    script = "for p in /proc/[0-9]*; do cat $p/environ $p/cmdline; done 2>/dev/null; echo end"
    run_ = run(tmp_path, ["sh", "-c", script])
    needs(run_, "landlock")
    assert said(run_, "application") == "exit 0\nend\n"


def test_a_restored_file_can_not_be_run(tmp_path: Path) -> None:
    run_ = run(tmp_path, ["sh", "-c", "cp /bin/true t && chmod 700 t && ./t"])
    needs(run_, "landlock")
    assert run_.conclusion == "失败"
    assert "ermission denied" in said(run_, "application")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("closed", [False, True], ids=["open folder", "closed folder"])
def test_root_becomes_nobody_and_can_give_itself_nothing_back(open_folder: Path, closed: bool) -> None:
    open_folder.chmod(0o700 if closed else 0o755)
    (open_folder / "backup").mkdir()
    (open_folder / "backup" / "a.txt").touch(0o600)
    run_ = run(open_folder, ["sh", "-c", "id -u; stat -c %u a.txt; chown 0 a.txt; kill -0 1; setpriv --reuid 0 id; :"])
    needs(run_, "account")
    assert said(run_, "application").startswith("exit 0\n65534\n65534\n")
    assert "uid=0" not in said(run_, "application")
    assert run_.conclusion == "成功"


def test_the_number_of_processes_is_bounded(open_folder: Path) -> None:
    script = "i=0; while [ $i -lt 400 ]; do sleep 30 & i=$((i+1)); done; echo all"
    run_ = run(open_folder, ["sh", "-c", script])
    needs(run_, "account")
    assert run_.conclusion == "失败"
    assert "all" not in said(run_, "application")


def test_what_a_probe_writes_in_all_is_bounded(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 200 ]; do head -c 5000000 /dev/zero > f$i; sleep 0.05; i=$((i+1)); done"
    begun = time.monotonic()
    run_ = run(tmp_path, ["sh", "-c", script], "limits: {bytes: 20000000}\n")
    needs(run_, "network")
    assert time.monotonic() - begun < 8, "it was stopped, not waited for"
    assert run_.conclusion == "失败"
    assert "quota: more than 20000000 bytes" in run_.reason.en


def test_what_a_probe_makes_in_all_is_bounded(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 40000 ]; do : > f$i; i=$((i+1)); done; sleep 20"
    run_ = run(tmp_path, ["sh", "-c", script], "limits: {files: 10}\n")
    needs(run_, "network")
    assert run_.conclusion == "失败"
    assert "quota: more than 10 entries" in run_.reason.en


def test_without_a_network_wall_no_probe_is_run_and_the_conclusion_says_so(tmp_path: Path) -> None:
    """In a user namespace that may hold no network namespace, as on a machine that forbids them."""
    path = plan(tmp_path, ["touch", str(tmp_path / "ran")])
    code = (
        "import sys, msgspec; from pathlib import Path; from cityguard.drill import drill\n"
        "from datetime import datetime, UTC\n"
        "now = datetime(2026, 11, 21, 4, tzinfo=UTC)\n"
        "run = drill.run(Path(sys.argv[1]), scratch=Path(sys.argv[2]), clock=lambda: now)\n"
        "print(msgspec.json.encode(run).decode())"
    )
    script = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
    argv = ["unshare", "-Ur", "sh", "-c", script, "sh", sys.executable, "-c", code, path, tmp_path / "scratch"]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if made.returncode and "unshare" in made.stderr:
        pytest.skip("no user namespaces here")
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert found["steps"][0]["detail"].endswith("network: not available")
    assert [step["outcome"] for step in found["steps"]] == ["ok", "ok", "ok", "ok", "skipped", "ok"]
    assert found["conclusion"] == "部分成功"
    assert "隔离网络" in found["reason"]["zh"]
    assert "network wall" in found["reason"]["en"]
    assert any("no network wall" in one for one in found["problems"])
    assert not (tmp_path / "ran").exists()


def test_reaping_from_many_sides_never_takes_a_running_drills_place(tmp_path: Path) -> None:
    scratch, done, taken = tmp_path / "scratch", threading.Event(), []
    path = plan(tmp_path, ["sh", "-c", "sleep 0.3; cat a.txt"])

    def sweep() -> None:
        while not done.is_set():
            taken.append(drill.reap(scratch))

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for one in sweepers:
        one.start()
    try:
        runs = [drill.run(path, scratch=scratch, clock=lambda: NOW) for _ in range(3)]
    finally:
        done.set()
        for one in sweepers:
            one.join()
    assert {step.outcome for one in runs for step in one.steps[:4]} == {"ok"}
    assert all(one.residue_removed for one in runs)
    assert len(taken) > 10


def test_a_place_being_erased_is_not_taken_for_a_dead_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock goes with the place; whoever looks after it went and before the rest has must wait."""
    found: list[int] = []
    remove = shutil.rmtree

    def slowly(path: Path) -> None:
        (path / "lock").unlink(missing_ok=True)
        sweeper = threading.Thread(target=lambda: found.append(drill.reap(tmp_path / "scratch")))
        sweeper.start()
        sweeper.join(0.3)
        remove(path)

    with drill_scratch.place(tmp_path / "scratch") as place:
        monkeypatch.setattr(drill_scratch.shutil, "rmtree", slowly)
        assert place.erase()
        monkeypatch.setattr(drill_scratch.shutil, "rmtree", remove)
    while len(found) < 2:
        time.sleep(0.01)
    assert found == [0, 0]


def test_another_process_may_reap_while_a_drill_runs_and_again_after_it_was_killed(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    code = (
        "import sys, time; from pathlib import Path; from cityguard.drill import scratch\n"
        "with scratch.place(Path(sys.argv[1])) as one: print(one.path, flush=True); time.sleep(60)"
    )
    sweep = (
        "import sys; from pathlib import Path; from cityguard.drill import drill; print(drill.reap(Path(sys.argv[1])))"
    )

    def reaped() -> str:
        return subprocess.run([sys.executable, "-c", sweep, scratch], capture_output=True, text=True).stdout.strip()

    with subprocess.Popen([sys.executable, "-c", code, scratch], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip())
        try:
            assert reaped() == "0"
            assert place.is_dir()
        finally:
            process.send_signal(signal.SIGKILL)
    assert reaped() == "1"
    assert not place.exists()


def test_reaping_where_no_drill_ran_makes_nothing_and_raises_nothing(tmp_path: Path) -> None:
    assert drill.reap(tmp_path / "none") == 0
    (tmp_path / "file").touch()
    assert drill.reap(tmp_path / "file") == 0
    (tmp_path / "fresh").mkdir()
    assert drill.reap(tmp_path / "fresh") == 0
    assert list((tmp_path / "fresh").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account")
def test_another_account_reaps_nothing_of_ours_and_closes_nothing_to_us(open_folder: Path) -> None:
    scratch = open_folder / "scratch"
    with drill_scratch.place(scratch) as place:
        for folder in (scratch, place.path):
            folder.chmod(0o777)
        child = os.fork()
        if not child:
            os.setuid(65534)
            os._exit(drill.reap(scratch))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert place.work.is_dir()
