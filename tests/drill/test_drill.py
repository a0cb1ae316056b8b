"""Drills on backups that are really built, damaged and restored."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from cityguard.drill import drill
from cityguard.errors import ContentErrors, InputError
from cityguard.model import DrillRun, System

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
FILES = {
    "db/customers.csv": b"id,name\n" + b"1,a\n" * 5000,
    "db/meters.bin": os.urandom(200_000),
    "readme.txt": b"ok\n",
}

Change = Callable[[tarfile.TarInfo], object]


def archive(files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    """A tar of the files, then of bare entries as given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info, io.BytesIO(b"\0" * info.size))
    return out.getvalue()


def manifest(files: dict[str, bytes], taken: str = "2026-11-21T02:00:00+08:00") -> str:
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    return f"# taken: {taken}\n" + "".join(lines)


class Case:
    """A folder with a backup, its manifest and a plan."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.manifest = manifest(FILES)
        self.name = "water.tar.gz"
        self.raw = gzip.compress(archive(FILES), 1)
        self.targets = "rto: 1\nrpo: 24\nmax_age: 24\n"
        self.more = ""

    def plan(self) -> Path:
        if self.raw is not None:
            (self.folder / self.name).write_bytes(self.raw)
        (self.folder / "water.sums").write_text(self.manifest)
        plan = self.folder / "plan.yml"
        plan.write_text(
            "id: water-restore\ntitle: {zh: 水务数据恢复演练, en: Water restore}\nsystem: water\n"
            f"scenario: 误删除\nbackup: {{path: {self.name}, manifest: water.sums}}\n"
            f"{self.targets}{self.more}"
        )
        return plan

    def run(self, system: System | None = None) -> DrillRun:
        before = sorted(path.relative_to(self.folder) for path in self.folder.rglob("*"))
        plan = self.plan()
        found = drill.run(plan, scratch=self.scratch, clock=lambda: NOW, system=system, operator="zhang")
        allowed = {self.folder / self.name, plan, self.folder / "water.sums", self.scratch, self.scratch / ".lock"}
        new = {p for p in self.folder.rglob("*") if p.relative_to(self.folder) not in before} - allowed
        assert not new, "the drill left something behind"
        assert found.residue_removed
        return found


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def entry(name: str, **changes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(info, key, value)
    return info


def check(run: DrillRun, name: str) -> bool:
    return next(one.passed for one in run.checks if name in one.name)


def test_an_intact_backup_is_a_success_with_every_file_compared(case: Case) -> None:
    run = case.run()
    assert run.conclusion == "成功", run.problems
    assert run.files == 3
    assert run.bytes == sum(map(len, FILES.values()))
    assert run.backup_sha256 == hashlib.sha256(case.raw).hexdigest()
    assert run.rpo_actual_s == timedelta(hours=10).total_seconds()
    assert run.rto_actual_s is not None
    assert 0 < run.rto_actual_s < 60
    assert [step.outcome for step in run.steps] == ["ok", "ok", "ok", "ok", "skipped", "ok"]
    assert all(one.passed for one in run.checks)
    assert not run.problems


@pytest.mark.parametrize("name", ["w.tar", "w.tgz", "w.tar.zst", "folder"])
def test_every_kind_of_backup_restores(case: Case, name: str) -> None:
    tar = archive(FILES)
    case.name = name
    if name == "folder":
        for file, data in FILES.items():
            (case.folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (case.folder / name / file).write_bytes(data)
        case.raw = None  # type: ignore[assignment]
    else:
        case.raw = {"w.tar": tar, "w.tgz": gzip.compress(tar), "w.tar.zst": zstandard.compress(tar)}[name]
    assert case.run().conclusion == "成功"


def test_one_flipped_bit_in_one_file_fails(case: Case) -> None:
    damaged = bytearray(FILES["db/meters.bin"])
    damaged[100_000] ^= 1
    case.raw = gzip.compress(archive({**FILES, "db/meters.bin": bytes(damaged)}))
    run = case.run()
    assert run.conclusion == "失败"
    assert not check(run, "SHA-256")
    assert "内容摘要不符：db/meters.bin / wrong SHA-256: db/meters.bin" in run.problems


def test_one_flipped_bit_in_the_archive_fails(case: Case) -> None:
    damaged = bytearray(case.raw)
    damaged[len(damaged) // 2] ^= 1
    case.raw = bytes(damaged)
    run = case.run()
    assert run.conclusion == "失败"
    assert run.problems


def test_a_missing_file_fails(case: Case) -> None:
    case.raw = gzip.compress(archive({k: v for k, v in FILES.items() if k != "db/customers.csv"}))
    run = case.run()
    assert run.conclusion == "失败"
    assert not check(run, "missing")
    assert any("db/customers.csv" in problem for problem in run.problems)


@pytest.mark.parametrize("name", ["w.tar", "w.tar.gz", "w.tar.zst"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_archive_fails(case: Case, name: str, keep: float) -> None:
    tar = archive(FILES)
    whole = {"w.tar": tar, "w.tar.gz": gzip.compress(tar), "w.tar.zst": zstandard.compress(tar)}[name]
    case.name, case.raw = name, whole[: int(len(whole) * keep)]
    run = case.run()
    assert run.conclusion == "失败"
    assert run.problems


def test_an_old_backup_is_no_success_though_its_data_is_right(case: Case) -> None:
    case.manifest = manifest(FILES, "2026-11-01T02:00:00+08:00")
    run = case.run()
    assert run.conclusion == "部分成功"
    assert not check(run, "age")
    assert not check(run, "RPO")
    assert check(run, "SHA-256")


@pytest.mark.parametrize("raw", [b"", gzip.compress(b""), gzip.compress(archive({}))], ids=["nothing", "gzip", "tar"])
@pytest.mark.parametrize("sums", ["", None])
def test_an_empty_backup_fails_also_when_its_manifest_is_empty(case: Case, raw: bytes, sums: str | None) -> None:
    case.raw = raw
    case.manifest = case.manifest if sums is None else "# taken: 2026-11-21T02:00:00+08:00\n"
    assert case.run().conclusion == "失败"


@pytest.mark.parametrize(
    "bad",
    [
        entry("../../evil.txt"),
        entry("db/../../evil.txt"),
        entry("/tmp/cityguard-drill-evil.txt"),
        entry("db\\..\\evil.txt"),
        entry("c:/evil.txt"),
        entry("readme.txt"),
        entry("/".join("d" * 80)),
        entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("link", type=tarfile.SYMTYPE, linkname="db"),
        entry("hard", type=tarfile.LNKTYPE, linkname="readme.txt"),
        entry("pipe", type=tarfile.FIFOTYPE),
        entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
        entry("readme.txt/below"),
    ],
    ids=lambda info: f"{info.type!r} {info.name[:20]}",
)
def test_hostile_entries_fail_and_write_nothing_outside(case: Case, bad: tarfile.TarInfo) -> None:
    case.raw = gzip.compress(archive(FILES, (bad,)))
    run = case.run()
    assert run.conclusion == "失败"
    assert next(step for step in run.steps if step.name.en.startswith("restore")).outcome == "failed"
    assert not Path("/tmp/cityguard-drill-evil.txt").exists()


def test_a_link_and_then_a_file_through_it_is_refused(case: Case, tmp_path: Path) -> None:
    outside = tmp_path / "live"
    outside.mkdir()
    link = entry("db2", type=tarfile.SYMTYPE, linkname=str(outside))
    case.raw = gzip.compress(archive(FILES, (link, entry("db2/owned", size=10))))
    assert case.run().conclusion == "失败"
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["bomb.tar.gz", "bomb.tar.zst"])
def test_a_bomb_is_stopped_by_the_ratio(case: Case, name: str) -> None:
    bomb = archive({"zeros": bytes(64 << 20)})
    case.name = name
    case.raw = gzip.compress(bomb) if name.endswith("gz") else zstandard.compress(bomb)
    case.manifest = manifest({"zeros": bytes(64 << 20)})
    run = case.run()
    assert run.conclusion == "失败"
    assert "bomb" in run.reason.en


def test_the_limits_on_bytes_and_files_hold(case: Case) -> None:
    case.more = "limits: {bytes: 100000}\n"
    assert "100000 bytes" in case.run().reason.en
    case.more = "limits: {files: 2}\n"
    assert "2 entries" in case.run().reason.en


def test_a_huge_sparse_file_is_refused(case: Case, tmp_path: Path) -> None:
    sparse = tmp_path / "huge.img"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    subprocess.run(["tar", "-C", tmp_path, "-Sczf", tmp_path / case.name, "huge.img"], check=True)
    sparse.unlink()
    case.raw = (tmp_path / case.name).read_bytes()
    run = case.run()
    assert run.conclusion == "失败"
    assert "sparse" in run.reason.en


def test_a_folder_with_a_link_or_a_pipe_is_refused(case: Case) -> None:
    folder = case.folder / "folder"
    folder.mkdir()
    (folder / "readme.txt").write_bytes(FILES["readme.txt"])
    case.name, case.raw = "folder", None  # type: ignore[assignment]
    (folder / "passwd").symlink_to("/etc/passwd")
    assert "link" in case.run().reason.en
    (folder / "passwd").unlink()
    os.mkfifo(folder / "pipe")
    assert case.run().conclusion == "失败"


def test_sizes_of_a_json_manifest_are_checked_on_their_own(case: Case) -> None:
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in FILES.items()}
    case.manifest = json.dumps({"taken": "2026-11-21T02:00:00+08:00", "files": files})
    assert case.run().conclusion == "成功"
    files["readme.txt"]["size"] = 4
    case.manifest = json.dumps({"taken": "2026-11-21T02:00:00+08:00", "files": files})
    run = case.run()
    assert run.conclusion == "失败"
    assert not check(run, "wrong size")
    assert check(run, "SHA-256")


def test_a_file_nobody_listed_fails(case: Case) -> None:
    case.raw = gzip.compress(archive({**FILES, "db/dropper.sh": b"#!"}))
    run = case.run()
    assert run.conclusion == "失败"
    assert any("db/dropper.sh" in problem for problem in run.problems)


def test_without_a_known_time_it_is_no_success(case: Case) -> None:
    case.manifest = case.manifest.partition("\n")[2]
    run = case.run()
    assert run.conclusion == "部分成功"
    assert run.rpo_actual_s is None


def test_a_backup_from_after_the_failure_is_no_success(case: Case) -> None:
    case.more = "incident: 2026-11-20T20:00:00+08:00\n"
    run = case.run()
    assert run.conclusion == "部分成功"
    assert any("later than the failure" in problem for problem in run.problems)


def test_rpo_goes_back_from_the_incident_and_rto_still_runs_from_the_start(case: Case) -> None:
    case.more = "incident: 2026-11-21T03:00:00+08:00\n"
    run = case.run()
    assert run.rpo_actual_s == 3600
    assert run.rto_actual_s is not None
    assert run.rto_actual_s < 60
    assert run.conclusion == "成功"


def test_rto_runs_from_the_declaration(case: Case) -> None:
    case.more = "declared: 2026-11-21T03:00:00+08:00\n"
    run = case.run()
    assert run.rpo_actual_s == 10 * 3600
    assert run.rto_actual_s is not None
    assert run.rto_actual_s > 9 * 3600 - 1
    assert run.conclusion == "部分成功"


def test_a_backup_or_manifest_that_is_not_there_fails(case: Case) -> None:
    plan = case.plan()
    (case.folder / case.name).unlink()
    run = drill.run(plan, scratch=case.scratch, clock=lambda: NOW)
    assert run.conclusion == "失败"
    assert drill.evidence(run).verdict == "不符合"


def test_the_probe_sees_the_data_and_its_answer_counts(case: Case) -> None:
    case.more = "kind: application\nprobe: [grep, -c, '1,a', db/customers.csv]\n"
    run = case.run()
    assert run.conclusion == "成功", run.problems
    assert "5000" in next(step.detail for step in run.steps if step.name.en == "application probe")
    case.more = "probe: [grep, nothing-like-this, readme.txt]\n"
    assert case.run().conclusion == "失败"
    case.more = "probe: [no-such-program]\n"
    assert case.run().conclusion == "失败"


def test_a_hanging_probe_is_killed_with_its_children(case: Case) -> None:
    case.more = "probe: [sh, -c, 'sleep 41.7 & sleep 41.7']\nprobe_seconds: 1\n"
    begun = time.monotonic()
    run = case.run()
    assert time.monotonic() - begun < 15
    assert run.conclusion == "失败"
    assert not running("41.7")


def test_a_probe_can_neither_write_elsewhere_nor_reach_the_network(case: Case, tmp_path: Path) -> None:
    target = tmp_path / "outside.txt"
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        script = f'touch inside && ! {sys.executable} -c "{connect}" && ! touch {target}'
        case.more = f"probe: {json.dumps(['sh', '-c', script])}\n"
        run = case.run()
    walls = next(step.detail for step in run.steps if step.name.en.startswith("walled"))
    if "landlock: on" not in walls:
        pytest.skip("this kernel has no Landlock")
    assert run.conclusion == "成功", run.steps
    assert not target.exists()


def test_the_wall_clock_stops_a_restore(case: Case) -> None:
    case.more = "limits: {seconds: 1}\nprobe: [sleep, '43.9']\n"
    run = case.run()
    assert run.conclusion == "失败"
    assert "stopped after 1 s" in run.reason.en
    assert not running("43.9")


def running(word: str) -> bool:
    """True when a process has ``word`` as an argument; waits a moment for killed ones to go."""
    for _ in range(50):
        lines = [p.read_bytes().split(b"\0") for p in Path("/proc").glob("[0-9]*/cmdline") if readable(p)]
        if not any(word.encode() in line for line in lines):
            return False
        time.sleep(0.1)
    return True


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_kill_9_in_the_middle_leaves_nothing_after_the_next_start(case: Case) -> None:
    case.more = "probe: [sleep, '47.3']\n"
    plan = case.plan()
    code = (
        "import sys; from pathlib import Path; from cityguard.drill import drill\n"
        "drill.run(Path(sys.argv[1]), scratch=Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, plan, case.scratch])
    try:
        for _ in range(200):
            if list(case.scratch.glob("drill-*/work/probe.out")):
                break
            time.sleep(0.05)
        else:
            pytest.fail("the restore never reached its probe")
        assert drill.reap(case.scratch) == 0, "a drill that lives must be left alone"
        assert list(case.scratch.glob("drill-*/work/data/db/*"))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not running("47.3"), "the probe outlived the drill"
    deadline = time.monotonic() + 5  # the kernel ends the restoring process after its probe
    while not (removed := drill.reap(case.scratch)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert removed == 1
    assert [path.name for path in case.scratch.iterdir()] == [".lock"]


WATER = System(id="water", name="智慧水务", department="water-bureau", rto_hours=2, rpo_hours=12)


def test_without_any_target_an_old_backup_is_no_success(case: Case) -> None:
    case.targets, case.manifest = "", manifest(FILES, "2012-01-01T00:00:00+08:00")
    run = case.run()
    assert run.conclusion == "部分成功"
    assert "RTO" in run.reason.zh
    assert "RPO" in run.reason.zh
    assert (run.rto_target_s, run.rpo_target_s, run.rto_from, run.rpo_from) == (None, None, "", "")
    assert any("未给出恢复目标" in problem for problem in run.problems)


@pytest.mark.parametrize(
    ("targets", "conclusion"),
    [
        ("rto: 1\n", "部分成功"),
        ("rpo: 24\n", "部分成功"),
        ("max_age: 24\n", "部分成功"),
        ("rto: 1\nrpo: 24\n", "成功"),
        ("rto: 1\nmax_age: 24\n", "成功"),
    ],
)
def test_a_success_needs_a_target_for_the_time_and_one_for_the_data(case: Case, targets: str, conclusion: str) -> None:
    case.targets = targets
    assert case.run().conclusion == conclusion


def test_the_register_gives_the_targets_the_plan_does_not(case: Case) -> None:
    case.targets = "rto: 1\n"
    run = case.run(WATER)
    assert (run.rto_target_s, run.rto_from) == (3600, "plan")
    assert (run.rpo_target_s, run.rpo_from) == (12 * 3600, "register")
    assert run.conclusion == "成功"
    case.manifest = manifest(FILES, "2012-01-01T00:00:00+08:00")
    old = case.run(WATER)
    assert old.conclusion == "部分成功"
    assert not check(old, "RPO")
    case.targets = ""
    assert case.run(System(id="water", name="智慧水务", department="d", rto_hours=2)).conclusion == "部分成功"


def test_a_plan_of_another_system_is_refused(case: Case) -> None:
    with pytest.raises(InputError, match="not 'oa'"):
        drill.run(case.plan(), scratch=case.scratch, system=System(id="oa", name="OA", department="d"))


def test_a_run_keeps_what_a_report_must_say_of_it(case: Case) -> None:
    case.more = "incident: 2026-11-21T03:00:00+08:00\ndeclared: 2026-11-21T11:30:00+08:00\n"
    run = case.run()
    assert run.title == "水务数据恢复演练 / Water restore"
    assert (run.scenario, run.operator) == ("误删除", "zhang")
    assert run.incident == datetime(2026, 11, 20, 19, 0, tzinfo=UTC)
    assert run.declared == datetime(2026, 11, 21, 3, 30, tzinfo=UTC)
    assert (run.backup_path, run.manifest_path) == (str(case.folder / case.name), str(case.folder / "water.sums"))
    assert run.manifest_sha256 == hashlib.sha256(case.manifest.encode()).hexdigest()
    assert run.plan_sha256 == hashlib.sha256((case.folder / "plan.yml").read_bytes()).hexdigest()


def test_a_manifest_that_cannot_be_used_is_still_known_by_its_hash(case: Case) -> None:
    case.manifest = "not a manifest\n"
    run = case.run()
    assert run.conclusion == "失败"
    assert run.manifest_sha256 == hashlib.sha256(case.manifest.encode()).hexdigest()


def test_evidence_speaks_for_backup_and_drill_controls_and_keeps_its_id(case: Case) -> None:
    run = case.run()
    system = System(id="water", name="智慧水务", department="water-bureau")
    proof = drill.evidence(run, system)
    assert proof == drill.evidence(run, system)
    assert proof.verdict == "符合"
    assert proof.method == "测试"
    assert proof.object_name == "智慧水务 · 水务数据恢复演练"
    assert proof.object == "water:water-restore"
    assert "L3-CES1-29" in proof.controls
    assert hashlib.sha256(proof.record.encode()).hexdigest() == proof.sha256
    assert json.loads(proof.record)["id"] == run.id


@pytest.mark.parametrize(
    ("line", "place", "word"),
    [
        ("colour: red\n", ":9", "unknown key 'colour'"),
        ("kind: database\n", ":9", "'kind' is not one of data, application"),
        ("limits: {bites: 3}\n", ":9", "did you mean 'bytes'"),
        ("probe: rm -rf /\n", ":9", "'probe' is not a list"),
        ("incident: 2026-11-21 03:00:00\n", ":9", "has no time zone"),
        ("kind: application\n", ":9", "needs a probe"),
    ],
)
def test_faults_of_a_plan_name_their_line(case: Case, line: str, place: str, word: str) -> None:
    case.more = line
    with pytest.raises(ContentErrors) as caught:
        drill.run(case.plan(), scratch=case.scratch)
    assert place in str(caught.value)
    assert word in str(caught.value)


def test_all_faults_are_told_at_once_and_a_list_is_no_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text("id: x\nbackup: {taken: soon}\n")
    with pytest.raises(ContentErrors) as caught:
        drill.run(plan, scratch=tmp_path / "scratch")
    assert len(caught.value.faults) == 5  # title, system, path, manifest, taken
    plan.write_text("- id: x\n")
    with pytest.raises(InputError, match="mapping"):
        drill.run(plan, scratch=tmp_path / "scratch")


def test_an_incident_in_the_future_is_refused(case: Case) -> None:
    case.more = "declared: 2030-01-01T00:00:00Z\n"
    with pytest.raises(InputError, match="future"):
        drill.run(case.plan(), scratch=case.scratch, clock=lambda: NOW)
