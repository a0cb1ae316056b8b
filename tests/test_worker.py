"""The worker: spooled records end in the store once, whatever happens to the process."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import polars as pl
import pytest

from cityguard import pipeline, worker
from cityguard.app import App
from cityguard.config import Limits, Listener, Settings
from cityguard.errors import StoreError
from cityguard.model import Chunk, EventBatch, Query
from cityguard.receive import counters, serve, spool_folder
from cityguard.spool import Received, SpoolWriter
from cityguard.worker import Worker

LISTENER = Listener(name="gateway", collector="linux-auth", kind="udp", port=0)
LINE = "2026-03-11T22:{:02d}:{:02d}+08:00 vpn-gw-01 sshd[{}]: Failed password for root from 203.0.113.66 port {} ssh2"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings(), home=str(tmp_path), listen=(LISTENER,))


@pytest.fixture
def app(settings: Settings) -> Iterator[App]:
    one = App(settings)
    yield one
    one.close()


def spooled(app: App, start: int, count: int, peer: str = "10.0.0.9") -> None:
    writer = SpoolWriter(spool_folder(app.settings.home_path, LISTENER), max_bytes=1 << 30)
    rows = [LINE.format(30 + n // 60 % 30, n % 60, n, 40_000 + n).encode() for n in range(start, start + count)]
    writer.append([Received(1_773_239_400_000_000_000 + n, peer, row) for n, row in enumerate(rows)])
    writer.close()


def seen(app: App) -> tuple[list[str], list[tuple[str, int]]]:
    events = app.store.events.query(Query(limit=100_000))["event.id"].sort().to_list()
    return events, sorted((a.id, a.count) for a in app.store.alerts.find(Query(limit=1000)))


def test_records_become_events_and_the_ledger_balances(app: App) -> None:
    spooled(app, 0, 100)
    one = Worker(app)
    (before,) = worker.ledger(app)
    assert (before.received, before.spooled, before.balance) == (100, 100, 0)
    assert one.turn() == 100
    one.checkpoint()
    (after,) = worker.ledger(app)
    assert (after.received, after.stored, after.spooled, after.balance) == (100, 100, 0, 0)
    events = app.store.events.query(Query(limit=1000))
    assert events["observer.ip"].unique().to_list() == ["10.0.0.9"]
    assert app.store.alerts.count(Query()) > 0


def played(app: App, listener: Listener, items: list[bytes]) -> None:
    writer = SpoolWriter(spool_folder(app.settings.home_path, listener), max_bytes=1 << 30)
    writer.append([Received(1_773_239_400_000_000_000, "10.0.0.9", item) for item in items])
    writer.close()


@pytest.mark.parametrize("way", ["stopped", "silent"])
def test_what_a_decoder_held_is_stored_before_its_records_are_freed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    audit = Listener(name="audit", collector="auditd", kind="udp", port=0)
    app = App(replace(settings, listen=(audit,)))
    head = b"msg=audit(1773239400.123:77): "
    items = [b'type=SYSCALL %bpid=10 exe="/bin/sh"' % head, b'type=EXECVE %bargc=2 a0="sh" a1="-c"' % head]
    played(app, audit, items)
    one = Worker(app)
    if way == "stopped":
        stop = Event()
        one.turn()
        stop.set()
        one.run(stop)
    else:
        one.turn()
        monkeypatch.setattr(worker, "SILENT_S", 0.0)
        one.checkpoint()
    joined = app.store.events.query(Query(limit=100)).filter(pl.col("event.dataset") == "process")
    assert "sh -c" in joined["process.command_line"].to_list()
    (booked,) = worker.ledger(app)
    assert (booked.received, booked.stored, booked.balance) == (2, 2, 0)
    app.close()


def test_exports_wait_for_their_template_over_a_restart(settings: Settings) -> None:
    flows = Listener(name="flows", collector="netflow", kind="udp", port=0)
    app = App(replace(settings, listen=(flows,)))
    header, later = (bytes.fromhex(f"00090001 00000001 69b17c00 {n:08x} 00000001") for n in (1, 2))
    played(app, flows, [header + bytes.fromhex("0100 000c 0a140301 c0000250")])
    one, stop = Worker(app), Event()
    one.turn()
    stop.set()
    one.run(stop)
    played(app, flows, [later + bytes.fromhex("0000 0010 0100 0002 0008 0004 000c 0004")])
    Worker(app).turn()
    (row,) = app.store.events.query(Query(limit=10)).to_dicts()
    assert (row["source.ip"], row["destination.ip"], row["log.offset"]) == ("10.20.3.1", "192.0.2.80", 1)
    (booked,) = worker.ledger(app)
    assert (booked.received, booked.dead, booked.balance) == (2, 0, 0)
    app.close()


def test_each_sender_keeps_its_own_address(app: App) -> None:
    spooled(app, 0, 10, "10.0.0.1")
    spooled(app, 10, 10, "10.0.0.2")
    Worker(app).turn()
    counts = app.store.events.query(Query(limit=1000))["observer.ip"].value_counts(sort=True)["count"].to_list()
    assert counts == [10, 10]


def test_a_worker_that_died_after_storing_takes_the_same_block_again(app: App, settings: Settings) -> None:
    spooled(app, 0, 60)
    Worker(app).turn()  # stored, but never checkpointed: as after kill -9
    first = seen(app)
    spooled(app, 60, 40)  # more has come in the meantime
    again = Worker(app)
    assert seen(app) == first
    again.turn()
    again.checkpoint()
    assert len(seen(app)[0]) == 100
    fresh = Worker(app)
    assert fresh.turn() == 0


def test_a_record_that_kills_the_worker_is_buried_alone(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled(app, 0, 16)
    real = pipeline.take

    def dies(chunk: Chunk, way: pipeline.Way) -> object:
        if b"port 40005" in b"".join(
            b.table["event.original"].str.join("").item().encode() for b in chunk.decoded.batches
        ):
            raise SystemExit("killed")
        return real(chunk, way)

    monkeypatch.setattr(pipeline, "take", dies)
    deaths = 0
    for _ in range(60):
        try:
            one = Worker(app)
            while one.turn():
                one.checkpoint()
            one.checkpoint()
            break
        except SystemExit:
            deaths += 1
    assert deaths >= 3
    (letter,) = app.store.records.find_dead()
    assert b"port 40005" in letter.raw
    assert len(seen(app)[0]) == 15
    (entry,) = worker.ledger(app)
    assert (entry.received, entry.stored, entry.dead, entry.balance) == (16, 15, 1, 0)


def test_a_store_that_is_full_for_a_while_loses_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled(app, 0, 30)
    real, refusals = app.store.events.append, iter(range(3))

    def full(batch: EventBatch) -> int:
        if next(refusals, None) is not None:
            raise StoreError("disk full")
        return real(batch)

    monkeypatch.setattr(app.store.events, "append", full)
    assert Worker(app, Hurried()).turn() == 30
    assert app.store.records.find_dead() == []
    assert len(seen(app)[0]) == 30


def test_the_drop_counters_go_on_after_a_restart_and_a_full_disk_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: SpoolWriter, records: list[Received]) -> int:
        raise StoreError("disk full")

    monkeypatch.setattr(SpoolWriter, "append", refuses)
    for total in (3, 6):
        stop = Event()
        listener = replace(LISTENER, port=free_port())
        thread = Thread(target=serve, args=(listener, tmp_path, Limits(), stop))
        thread.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            until = time.monotonic() + 10
            while counters(tmp_path, listener)["spool"] < total and time.monotonic() < until:
                if counters(tmp_path, listener)["spool"] == total - 3:
                    for _ in range(3):
                        sender.sendto(b"x", ("127.0.0.1", listener.port))
                time.sleep(0.2)
        stop.set()
        thread.join(5)
        assert counters(tmp_path, listener)["spool"] >= total


class Hurried(Event):
    """A stop that nobody sets and nobody waits for."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
