"""The embedded store under crashes, damage, full disks and crowds."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from tests.store import make
from tests.store.make import HOUR, NOW

from cityguard.errors import StoreError, StoreLockedError
from cityguard.model import Alert, DeadLetter, EventBatch, Query
from cityguard.store import compacting, embedded_records, parquet
from cityguard.store.embedded import DATABASE, EmbeddedStore
from cityguard.store.manifest import Manifest, Part

WRITER = """
import sys
from pathlib import Path
from datetime import timedelta
from cityguard.store.embedded import EmbeddedStore
from tests.store import make
store = EmbeddedStore(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10_000):
    part = f"part-{number}"
    store.events.append(make.flows(part, 200, make.NOW, timedelta(minutes=1)))
    store.alerts.merge([make.alert("all", part, count=200)])
    print(number, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def opened(home: Path, **options: object) -> EmbeddedStore:
    return EmbeddedStore(home, **options)  # type: ignore[arg-type]


def files(home: Path) -> list[Path]:
    return sorted((home / "events").glob("*/*/*"))


def kept(store: EmbeddedStore) -> set[str]:
    """Paths that are read, or were until they were merged a moment ago."""
    with store._database.read() as con:
        return {path for (path,) in con.execute("SELECT path FROM parts UNION SELECT path FROM retired")}


def writer(home: Path, start: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, home, str(start)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_killed_at_any_moment_it_keeps_what_it_acknowledged_and_no_more_than_once(home: Path) -> None:
    chance, done = random.Random(7), -1
    for _ in range(6):
        child = writer(home, max(done, 0))  # the last part is sent again
        assert child.stdout is not None
        acknowledged = int(child.stdout.readline())
        timer = threading.Timer(chance.uniform(0.02, 0.5), os.kill, (child.pid, signal.SIGKILL))
        timer.start()
        for line in child.stdout:
            acknowledged = int(line)
        child.wait()
        child.stdout.close()
        timer.join()
        done = acknowledged
        store = opened(home)
        try:
            count = store.events.aggregate(Query(), ["event.id"], top=100_000)
            assert count["count"].max() == 1
            assert count.height % 200 == 0  # whole parts only
            assert count.height >= 200 * (done + 1)
            merged = store.alerts.get(make.alert("all").id)
            assert merged is not None
            assert merged.count in (200 * (done + 1), 200 * (done + 2))
            assert {str(path.relative_to(home / "events")) for path in files(home)} == kept(store)
        finally:
            store.close()
    assert done >= 6


def test_files_that_a_crash_left_unlisted_are_removed_and_never_answered_from(home: Path) -> None:
    store = opened(home)
    store.events.append(make.flows())
    (listed,) = files(home)
    for stray in (listed.with_name("08-0123456789abcdef.parquet"), listed.with_name(".0123.tmp")):
        shutil.copy(listed, stray)
    assert store.events.query(Query()).height == 20
    store.close()
    again = opened(home)
    assert files(home) == [listed]
    assert again.events.query(Query()).height == 20
    again.close()


def test_another_process_at_work_is_not_healed_away(home: Path) -> None:
    store = opened(home)
    store.events.append(make.flows())
    stray = files(home)[0].with_name("08-0123456789abcdef.parquet")
    shutil.copy(files(home)[0], stray)
    with store.events._writing("flow"):
        opened(home).close()
        assert stray.exists()
    opened(home).close()
    assert not stray.exists()
    store.close()


def test_an_interrupt_after_the_commit_leaves_what_is_listed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, add = opened(home), Manifest.add

    def interrupted(manifest: Manifest, *given: object) -> None:
        add(manifest, *given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.events.append(make.flows())
    monkeypatch.undo()
    assert store.events.query(Query()).height == 20
    assert store.events.append(make.flows()) == 0
    assert store.events.append(make.flows("p2", 5, NOW + timedelta(seconds=3))) == 5
    assert store.events.damaged == 0
    store.close()


def test_an_interrupt_before_the_commit_leaves_nothing_that_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(home)
    monkeypatch.setattr(Manifest, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.events.append(make.flows())
    monkeypatch.undo()
    assert store.events.query(Query()).height == 0
    store.close()
    store = opened(home)
    assert files(home) == []
    assert store.events.append(make.flows()) == 20
    store.close()


def grown(store: EmbeddedStore, count: int, rows: int = 50) -> list[EventBatch]:
    """Appends whose ids all lie between one another's, each with a column the one before does not have."""
    batches = [
        make.flows(f"p{n}", rows, NOW + timedelta(milliseconds=n), **{"message" if n % 2 else "tcp__flags": n})
        for n in range(count)
    ]
    for batch in batches:
        assert store.events.append(batch) == rows
    return batches


def test_small_files_of_an_hour_are_merged_and_what_was_sent_is_still_known(home: Path) -> None:
    store = opened(home)
    batches = grown(store, 100)
    assert len(store._events._manifest.within("flow", None, None)) <= compacting.MANY
    rows = store.events.query(Query(limit=10_000))
    assert rows.height == rows["event.id"].n_unique() == 5_000
    assert rows["tcp.flags"].is_not_null().sum() == rows["message"].is_not_null().sum() == 2_500
    for batch in batches[::9]:
        assert store.events.append(batch) == 0
        assert store.events.append(replace(batch, part=f"other {batch.part}")) == 0
    more = make.flows("p3", 60, NOW + timedelta(milliseconds=3), message=3)
    assert store.events.append(more) == 10
    assert store.events.aggregate(Query(), []).rows() == [(5_010,)]
    assert store.events.damaged == 0
    store.close()


def test_what_was_sent_before_is_known_without_opening_a_file(home: Path) -> None:
    store = opened(home)
    batches = grown(store, 3)
    for path in files(home):
        path.write_bytes(b"")
    assert [store.events.append(batch) for batch in batches] == [0, 0, 0]
    store.close()


def test_a_question_that_began_before_a_merging_still_finds_its_files(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, within = opened(home), Manifest.within
    grown(store, compacting.MANY)
    other = opened(home)

    def slow(manifest: Manifest, *given: object) -> list[Part]:
        parts = within(manifest, *given)  # type: ignore[arg-type]
        monkeypatch.undo()
        assert other.events.append(make.flows("last")) == 20
        return parts

    monkeypatch.setattr(Manifest, "within", slow)
    assert store.events.query(Query(limit=10_000)).height == 50 * compacting.MANY
    assert store.events.damaged == 0
    assert len(store._events._manifest.within("flow", None, None)) == 1
    other.close()
    store.close()
    opened(home).close()
    assert len(files(home)) > compacting.MANY  # too early to remove them
    monkeypatch.setattr(compacting, "GRACE_S", -1.0)
    store = opened(home)
    assert len(files(home)) == 1
    assert store.events.query(Query(limit=10_000)).height == 50 * compacting.MANY + 20
    store.close()


@pytest.mark.parametrize("is_listed", [False, True])
def test_an_interrupted_merging_loses_and_doubles_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, is_listed: bool
) -> None:
    store, swap = opened(home), Manifest.replace
    grown(store, compacting.MANY)

    def interrupted(manifest: Manifest, *given: object) -> None:
        if is_listed:
            swap(manifest, *given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.events.append(make.flows("last"))
    monkeypatch.undo()
    store.close()
    store = opened(home)
    assert {str(path.relative_to(home / "events")) for path in files(home)} == kept(store)
    assert store.events.append(make.flows("last")) == 0
    counts = store.events.aggregate(Query(), ["event.id"], top=10_000)["count"]
    assert (counts.len(), counts.max()) == (50 * compacting.MANY + 20, 1)
    store.close()


def test_what_cannot_be_merged_stays_apart_and_is_told(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = opened(home)
    grown(store, compacting.MANY)
    files(home)[0].write_bytes(b"damaged")
    later = make.flows("later", 5, NOW + timedelta(minutes=30))
    assert store.events.append(later) == 5
    assert "stay apart" in caplog.text
    assert len(files(home)) == compacting.MANY + 1
    assert store.events.append(later) == 0
    store.close()


def test_what_is_deleted_by_age_may_be_sent_again(home: Path) -> None:
    store = opened(home)
    batch = make.flows("p", 4, NOW, HOUR)
    assert store.events.append(batch) == 4
    assert store.events.purge(NOW + 2 * HOUR) == 2
    assert store.events.append(batch) == 2
    store.close()


def test_a_store_of_the_version_before_is_brought_up(home: Path) -> None:
    store = opened(home)
    store.events.append(make.flows())
    with store._database.write() as con:
        con.execute("DROP TABLE appended")
        con.execute("DROP TABLE retired")
        con.execute("DROP TABLE sightings")
        con.execute("PRAGMA user_version=1")
    store.close()
    store = opened(home)
    assert store.events.append(make.flows()) == 0
    assert store.events.append(make.flows("p2")) == 20
    store.close()


def test_a_damaged_wal_gives_a_committed_prefix(home: Path, tmp_path: Path) -> None:
    store = opened(home)
    with store._database.write() as con:  # keep what follows in the WAL
        con.execute("CREATE TABLE seen (n INTEGER)")
    reader = sqlite3.connect(home / DATABASE)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM seen").fetchone()
    for number in range(40):
        with store._database.write() as con:
            con.execute("INSERT INTO seen VALUES (?)", (number,))
            con.execute("INSERT INTO seen VALUES (?)", (number,))
    chance, wal = random.Random(3), home / f"{DATABASE}-wal"
    size, prefixes = wal.stat().st_size, set()
    for round_ in range(60):
        copy = tmp_path / f"copy{round_}"
        copy.mkdir()
        shutil.copy(home / DATABASE, copy)
        data = bytearray(wal.read_bytes())
        at = chance.randrange(size)
        if round_ % 2:
            del data[at:]
        else:
            data[at : at + 64] = chance.randbytes(len(data[at : at + 64]))
        (copy / wal.name).write_bytes(data)
        con = sqlite3.connect(copy / DATABASE)
        rows = [n for (n,) in con.execute("SELECT n FROM seen ORDER BY rowid")] if _has_table(con) else []
        con.close()
        assert rows == [n for n in range(len(rows) // 2) for _ in "ab"]
        prefixes.add(len(rows))
    assert len(prefixes) > 10
    reader.close()
    store.close()


def _has_table(con: sqlite3.Connection) -> bool:
    return con.execute("SELECT count(*) FROM sqlite_master WHERE name = 'seen'").fetchone() == (1,)


def test_two_writers_of_the_same_input_store_it_once(home: Path) -> None:
    opened(home).close()
    children = [writer(home, 0) for _ in range(2)]
    done = []
    for child in children:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 5:
                break
        child.kill()
        child.wait()
        child.stdout.close()
        done.append(int(line))
    store = opened(home)
    counts = store.events.aggregate(Query(), ["event.id"], top=100_000)
    assert counts["count"].max() == 1
    assert counts.height >= 200 * 6
    merged = store.alerts.get(make.alert("all").id)
    assert merged is not None
    assert merged.count % 200 == 0
    store.close()


def test_readers_read_while_a_writer_writes_and_a_purger_purges(home: Path) -> None:
    store, faults, stop = opened(home), list[BaseException](), threading.Event()
    store.events.append(make.flows("keep", 50))

    def read() -> None:
        try:
            while not stop.is_set():
                assert store.events.query(Query(start=NOW, limit=1_000)).height >= 50
                assert len(store.alerts.find(Query())) <= 1
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(12):
        store.events.append(make.flows(f"old{number}", 50, NOW - timedelta(days=30)))
        store.alerts.merge([make.alert(part=str(number))])
        assert store.events.purge(NOW - timedelta(days=1)) == 50
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert store.events.damaged == 0
    store.close()


def test_a_damaged_file_is_left_out_and_counted(home: Path) -> None:
    store = opened(home)
    store.events.append(make.flows("good", 20))
    store.events.append(make.flows("bad", 20, NOW - HOUR))
    bad = next(path for path in files(home) if path.name.startswith("07-"))
    bad.write_bytes(bad.read_bytes()[:300])
    assert store.events.query(Query()).height == 20
    assert store.events.damaged > 0
    assert store.events.aggregate(Query(), []).rows() == [(20,)]
    bad.unlink()
    assert store.events.query(Query()).height == 20
    assert store.events.query(Query(end=NOW)).height == 0
    with pytest.raises(StoreError, match="cannot compare"):
        store.events.append(make.flows("bad", 21, NOW - HOUR))  # the same ids and one more
    store.close()


def test_a_malformed_row_does_not_break_a_list(home: Path) -> None:
    store = opened(home)
    store.alerts.merge([make.alert("a"), make.alert("b"), make.alert("c")])
    store.records.put_evidence([make.evidence("e1"), make.evidence("e2")])
    for number in range(3):
        store.records.append_audit("li", "", "x", str(number), "", NOW)
    with store._database.write() as con:
        con.execute("UPDATE alerts SET doc = ? WHERE id = ?", (b'{"id": 3', make.alert("b").id))
        con.execute("UPDATE documents SET doc = '[]' WHERE id = ?", (make.evidence("e1").id,))
        con.execute("UPDATE audit SET doc = x'ff00' WHERE seq = 2")
    assert {alert.id for alert in store.alerts.find(Query())} == {make.alert("a").id, make.alert("c").id}
    assert store.alerts.groups(Query())["alerts"].to_list() == [3]
    assert store.alerts.get(make.alert("b").id) is None
    assert store.alerts.merge([make.alert("b", "p2")]) == []
    assert store.records.find_evidence() == [make.evidence("e2")]
    assert [entry.seq for entry in store.records.find_audit()] == [3, 1]
    assert store.malformed >= 4
    assert store.records.verify_audit() == 2
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False)
    if os.getuid() != 0 or done.returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)


def test_a_full_disk_is_told_and_nothing_is_half_written(small_disk: Path) -> None:
    store, stored = opened(small_disk / "home"), 0
    with pytest.raises(StoreError, match="free some disk space"):
        for number in range(100):
            noise = [random.Random(number * 2_000 + n).randbytes(400).hex() for n in range(2_000)]
            stored += store.events.append(
                make.flows(f"p{number}", 2_000, NOW - number * HOUR, url__original=noise, message=noise)
            )
    assert stored > 0
    assert store.events.aggregate(Query(), []).rows() == [(stored,)]
    with store._database.read() as con:
        assert {p for (p,) in con.execute("SELECT path FROM parts")} == {
            str(path.relative_to(small_disk / "home" / "events")) for path in files(small_disk / "home")
        }
    (small_disk / "filler").write_bytes(b"")
    with pytest.raises(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4_096))
    with pytest.raises(StoreError, match="free some disk space"):
        store.alerts.merge([make.alert(str(n)) for n in range(2_000)])
    assert store.events.purge(NOW - HOUR) > 0
    (small_disk / "filler").unlink()
    assert len(store.alerts.merge([make.alert("x")])) == 1
    assert store.events.append(make.flows("after")) == 20
    store.close()


def test_a_read_only_folder_is_told(small_disk: Path) -> None:
    opened(small_disk / "home").close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match=r"permissions|owner"):
        opened(small_disk / "home")
    with pytest.raises(StoreError, match="cannot make the folder"):
        opened(small_disk / "other")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


def test_a_missing_newer_locked_or_damaged_store_is_told(home: Path) -> None:
    with pytest.raises(StoreError, match="there is no store here"):
        opened(home, create=False)
    opened(home).close()
    opened(home, create=False).close()
    holder = sqlite3.connect(home / DATABASE, isolation_level=None)
    store = opened(home, busy_s=0.05)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError) as locked:
        store.alerts.merge([make.alert()])
    assert locked.value.exit_code == 11
    assert store.alerts.find(Query()) == []
    holder.execute("PRAGMA user_version = 999")
    holder.execute("COMMIT")
    holder.close()
    store.close()
    with pytest.raises(StoreError, match="newer than this cityguard"):
        opened(home)
    (home / DATABASE).write_bytes(b"no database " * 1_000)
    with pytest.raises(StoreError, match="damaged"):
        opened(home)


def test_the_question_engine_reads_nothing_but_events(home: Path, tmp_path: Path) -> None:
    store = opened(home)
    store.events.append(make.flows())
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    lake = store._lake
    for statement in (
        f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
        "SELECT * FROM read_text('/etc/passwd')",
        f"SELECT * FROM read_parquet('{home}/events/../cityguard.db')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/x.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
    ):
        with pytest.raises(duckdb.Error):
            lake.ask(statement)
    assert not (tmp_path / "out.csv").exists()
    store.close()


def test_a_question_that_takes_too_long_is_stopped(home: Path) -> None:
    store = opened(home)
    store._lake._timeout_s = 0.3
    with pytest.raises(StoreError, match="took longer"):
        store._lake.ask("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE hash(a.range + b.range) % 7 = 0")
    store.close()


def test_a_log_of_many_years_makes_few_files(home: Path) -> None:
    store = opened(home)
    store.events.append(make.flows("hours", 48, step=HOUR))
    assert len(files(home)) == 48
    store.events.append(make.flows("years", 300, NOW - timedelta(days=9_000), timedelta(days=30)))
    assert len(files(home)) <= 48 + parquet.MAX_PIECES
    store.events.append(make.flows("forged", 3, NOW, timedelta(days=400_000)))
    assert store.events.aggregate(Query(), []).rows() == [(351,)]
    # a file stays as long as one of its rows must
    cut = NOW - timedelta(days=3_000)
    gone = store.events.purge(cut)
    assert 0 < gone <= 200
    assert store.events.aggregate(Query(start=cut), []).rows() == [(351 - 200 - (300 - 200 - 100),)]
    store.close()


def test_rows_of_unknown_time_are_kept_under_their_id(home: Path) -> None:
    store = opened(home)
    batch = make.flows(rows=3)
    table = batch.table.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("@timestamp"))
    assert store.events.append(replace(batch, table=table)) == 3
    assert store.events.query(Query()).height == 3
    assert store.events.query(Query(start=NOW - HOUR)).height == 0
    assert store.events.append(replace(batch, table=table)) == 0
    store.close()


def test_the_oldest_dead_letters_go_when_there_are_too_many(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_records, "MAX_DEAD", 5)
    store = opened(home)
    store.records.add_dead([DeadLetter("s", n, "bad", b"x" * n) for n in range(8)])
    assert [item.place for item in store.records.find_dead()] == [7, 6, 5, 4, 3]
    assert store.records.dead_dropped == 3
    monkeypatch.setattr(embedded_records, "MAX_DEAD_BYTES", 13)
    store.records.add_dead([])
    assert [item.place for item in store.records.find_dead()] == [7, 6]
    store.close()


ATTACKS = {
    "edit": ("UPDATE audit SET doc = replace(CAST(doc AS TEXT), '\"x\"', '\"y\"') WHERE seq = 150", 150),
    "delete": ("DELETE FROM audit WHERE seq = 150", 150),
    "reorder": (
        "UPDATE audit SET doc = (SELECT doc FROM audit o WHERE o.seq = 21 - audit.seq) WHERE seq IN (10, 11)",
        10,
    ),
    "truncate": ("DELETE FROM audit WHERE seq > 220", 221),
    "truncate to an anchor": ("DELETE FROM audit WHERE seq > 200; DELETE FROM audit_head", 101),
    "truncate with head": ("DELETE FROM audit WHERE seq > 220; UPDATE audit_head SET seq = 220", 201),
    "empty": ("DELETE FROM audit; DELETE FROM audit_anchors; DELETE FROM audit_head", 1),
}


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose audit log has 250 rows."""
    folder = tmp_path_factory.mktemp("audit") / "home"
    audited(folder).close()
    return folder


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_audit_log_shows_where_it_was_touched(home: Path, attack: str, long_log: Path) -> None:
    shutil.copytree(long_log, home)
    store = opened(home)
    statements, bad = ATTACKS[attack]
    with store._database.write() as con:
        for statement in statements.split("; "):
            con.execute(statement)
    found = store.records.verify_audit()
    assert found is not None
    assert bad <= found <= bad + 100 if attack == "truncate to an anchor" else found == bad
    store.close()


def test_a_rewritten_audit_log_shows_without_the_key(home: Path, tmp_path: Path) -> None:
    store = audited(home, rows=120)
    forger = audited(tmp_path / "forger", rows=120, detail="forged")
    rows = forger.records.find_audit(1_000)
    with store._database.write() as con:
        for row in rows:
            con.execute("UPDATE audit SET doc = ? WHERE seq = ?", (embedded_records.codec.encode(row), row.seq))
    assert store.records.verify_audit() == 1
    forger.close()
    store.close()


def test_an_older_database_put_back_shows(home: Path, tmp_path: Path) -> None:
    audited(home, rows=20).close()
    shutil.copy(home / DATABASE, tmp_path / "old.db")
    store = opened(home)
    for number in range(5):
        store.records.append_audit("li", "", "x", str(number), "", NOW)
    store.close()
    for suffix in ("-wal", "-shm"):
        (home / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "old.db", home / DATABASE)
    store = opened(home)
    assert store.records.verify_audit() == 21
    store.close()


def test_the_audit_key_is_for_its_owner_only(home: Path) -> None:
    audited(home, rows=1).close()
    assert (home / "audit.key").stat().st_mode & 0o777 == 0o400
    os.chmod(home / "audit.key", 0o600)
    (home / "audit.key").write_bytes(b"short")
    store = opened(home)
    with pytest.raises(StoreError, match="audit key is damaged"):
        store.records.append_audit("li", "", "x", "", "", NOW)
    store.close()


def audited(home: Path, rows: int = 250, detail: str = "x") -> EmbeddedStore:
    store = opened(home)
    with store._database.read() as con:
        con.execute("PRAGMA synchronous=OFF")  # 250 synced commits are not what is tested
    for number in range(rows):
        store.records.append_audit("li", "10.0.0.1", "alert.close", str(number), detail, NOW)
    assert store.records.verify_audit() is None
    return store


def test_many_alerts_are_merged_in_batches(home: Path) -> None:
    store = opened(home)
    alerts = [make.alert(f"a{n}", at=NOW + timedelta(seconds=n)) for n in range(2_500)]
    assert len(store.alerts.merge(alerts)) == 2_500
    assert store.alerts.merge(alerts) == []
    assert store.alerts.count(Query()) == 2_500
    found: list[Alert] = store.alerts.find(Query(limit=1))
    assert found == [alerts[-1]]
    store.close()
