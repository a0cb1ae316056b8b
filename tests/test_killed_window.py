"""kill -9 of a worker in the middle of correlation windows: the same alerts and counts as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cityguard.app import App
from cityguard.config import Listener, Settings
from cityguard.model import Query
from cityguard.receive import spool_folder
from cityguard.spool import Received, SpoolWriter

KILLS = int(os.environ.get("CITYGUARD_KILLS", "3"))
LISTENERS = tuple(Listener(name=name, collector="linux-auth", kind="udp", port=0) for name in ("one", "two"))
START = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
ID = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b0"
RULES = "\n---\n".join(
    [
        *(
            f"title: {name}\nid: {ID}{n}\nname: {name}\nlogsource: {{product: linux, service: sshd}}\n"
            f"detection: {{s: ['{word}'], condition: s}}"
            for n, (name, word) in enumerate([("failed", "Failed password"), ("ok", "Accepted password")])
        ),
        *(
            f"title: {name}\nid: {ID}{n}\nname: {name}\ncorrelation: {{type: {kind}, rules: [{rules}], {more}, "
            f"group-by: [source.ip]}}"
            for n, (name, kind, rules, more) in enumerate(
                [
                    ("many", "event_count", "failed", "timespan: 5m, condition: {gte: 8}"),
                    ("spray", "value_count", "failed", "timespan: 10m, condition: {field: user.name, gte: 4}"),
                    ("then", "temporal_ordered", "many, ok", "timespan: 15m, generate: true"),
                    ("few", "event_count", "failed, ok", "timespan: 2m, condition: {lt: 3}"),
                    ("lonely", "temporal", "failed, ok", "timespan: 3m, condition: failed and not ok"),
                    ("mixed", "temporal", "lonely, ok", "timespan: 10m, generate: true"),
                ],
                2,
            )
        ),
    ]
)
CHILD = """
import os, signal, sys
from pathlib import Path
from cityguard import worker
from cityguard.app import App
from cityguard.config import Listener, Settings

home, left = Path(sys.argv[1]), int(sys.argv[2])
listen = tuple(Listener(name=name, collector="linux-auth", kind="udp", port=0) for name in ("one", "two"))
worker.BLOCK = 40
app = App(Settings(home=str(home), listen=listen), rules=[home / "rules.yml"])

def dying(call):
    def made(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        found = call(*given, **named)
        return found
    return made

if left:
    for room, name in (("events", "append"), ("alerts", "merge"), ("records", "put_value"), ("records", "account")):
        target = getattr(app.store, room)
        setattr(target, name, dying(getattr(target, name)))
one, turns = worker.Worker(app), 0
while one.turn():
    turns += 1
    if turns % 3 == 0:
        one.settle()
    if turns % 4 == 0:
        one.checkpoint()
one.settle()
one.checkpoint()
app.close()
"""


def prepare(home: Path) -> Settings:
    """Two spools of an hour of logins: five quiet sources, two that guess."""
    home.mkdir()
    (home / "rules.yml").write_text(RULES)
    chance = random.Random(7)
    settings = Settings(home=str(home), listen=LISTENERS)
    for listener in LISTENERS:
        writer = SpoolWriter(spool_folder(settings.home_path, listener), max_bytes=1 << 30)
        writer._db.execute("PRAGMA synchronous=OFF")
        rows: list[Received] = []
        for n in range(360):
            at = START + timedelta(seconds=10 * n)
            source = f"203.0.113.{chance.choice([1, 1, 1, 2, 2, 3, 4, 5, 6, 7])}"
            said = chance.choice(["Failed", "Failed", "Failed", "Failed", "Accepted"])
            local = (at + timedelta(hours=8, seconds=-chance.choice([0, 0, 0, 7, 25]))).strftime(
                "%Y-%m-%dT%H:%M:%S+08:00"
            )
            user = f"user{chance.randint(0, 5)}"
            line = f"{local} vpn-gw-01 sshd[{n}]: {said} password for {user} from {source} port {40000 + n} ssh2"
            rows.append(Received(int(at.timestamp() * 1e9), "10.0.0.9", line.encode()))
        writer.append(rows)
        writer.close()
    return settings


def run(home: Path, die_after: int) -> int:
    argv = [sys.executable, "-c", textwrap.dedent(CHILD), str(home), str(die_after)]
    return subprocess.run(argv, stdout=subprocess.DEVNULL, check=False).returncode


def seen(settings: Settings) -> tuple[list[str], dict[str, tuple[str, int, tuple[str, ...]]]]:
    app = App(settings)
    try:
        events = app.store.events.query(Query(limit=10_000))["event.id"].sort().to_list()
        found = {a.id: (a.title.en, a.count, a.event_ids) for a in app.store.alerts.find(Query(limit=10_000))}
        assert all(entry.balance == 0 for entry in app.store.records.ledger())
    finally:
        app.close()
    return events, found


def test_a_worker_killed_in_the_middle_of_windows_tells_the_same_alerts(tmp_path: Path) -> None:
    plain = prepare(tmp_path / "plain")
    assert run(tmp_path / "plain", 0) == 0
    events, alerts = seen(plain)
    titles = {title for title, _, _ in alerts.values()}
    assert titles == {"ok", "many", "spray", "then", "few", "lonely", "mixed"}
    assert len(events) == 720

    killed = prepare(tmp_path / "killed")
    for listener in LISTENERS:  # ids of events follow from the spool's own
        folders = (spool_folder(one.home_path, listener) for one in (plain, killed))
        source, target = (folder / "uuid" for folder in folders)
        target.write_text(source.read_text())
    chance = random.Random(KILLS)
    died = 0
    for n in range(KILLS):  # later each time: a block that kills its worker three times is taken for poison
        died += run(tmp_path / "killed", 20 * n + chance.randint(10, 40)) == -signal.SIGKILL
    assert died == KILLS
    assert run(tmp_path / "killed", 0) == 0
    assert seen(killed) == (events, alerts)
