"""kill -9 at any moment of an ingest, then a re-run: the same events and alerts as if nothing had happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from cityguard.app import App
from cityguard.config import Elasticsearch, Settings, StoreSettings
from cityguard.model import Query

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("CITYGUARD_KILLS", "1"))
INPUTS = [
    ROOT / "pcaps" / "water-plant-intrusion.pcap",
    ROOT / "pcaps" / "office-beacon.pcap",
    ROOT / "examples/city/flows",
    ROOT / "examples/city/logs",
]
Seen = tuple[list[str], list[tuple[str, int]], list[tuple[str, int, int, int]]]


def settings(home: Path, store: StoreSettings) -> Settings:
    register = str(ROOT / "examples" / "city" / "register.yml")
    return Settings(home=str(home), register=register, store=store)


def config(home: Path, store: StoreSettings) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "cityguard.yml"
    cluster = f"{{hosts: [{store.elasticsearch.hosts[0]}], prefix: {store.elasticsearch.prefix}}}"
    path.write_text(
        f"home: {home}\nregister: {ROOT}/examples/city/register.yml\n"
        f"store: {{kind: {store.kind}, elasticsearch: {cluster}}}\n"
    )
    return path


def start(home: Path, store: StoreSettings) -> subprocess.Popen[bytes]:
    argv = [
        sys.executable,
        "-m",
        "cityguard.cli.main",
        "-q",
        "--config",
        str(config(home, store)),
        "ingest",
        *map(str, INPUTS),
    ]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL)


def whole(home: Path, store: StoreSettings) -> Seen:
    """Ids of events, ids and counts of alerts, and the ledger."""
    app = App(settings(home, store))
    try:
        events: list[str] = []
        page = app.store.events.query(Query(limit=100_000))
        events = page["event.id"].to_list()
        assert len(events) == len(set(events))
        alerts = sorted((alert.id, alert.count) for alert in app.store.alerts.find(Query(limit=10_000)))
        ledger = sorted((e.source, e.received, e.stored, e.dead) for e in app.store.records.ledger())
        assert all(entry.balance == 0 for entry in app.store.records.ledger())
    finally:
        app.close()
    return sorted(events), alerts, ledger


def compare(tmp_path: Path, plain: StoreSettings, killed: StoreSettings) -> None:
    began = time.monotonic()
    assert start(tmp_path / "plain", plain).wait(300) == 0
    took = time.monotonic() - began
    chance = random.Random(KILLS)
    for _ in range(KILLS):
        child = start(tmp_path / "killed", killed)
        time.sleep(chance.uniform(0.3, took))
        child.kill()
        child.wait()
    assert start(tmp_path / "killed", killed).wait(300) == 0
    expected = whole(tmp_path / "plain", plain)
    assert len(expected[0]) > 20_000
    assert len(expected[1]) > 10
    assert whole(tmp_path / "killed", killed) == expected


def test_the_embedded_store_ends_the_same(tmp_path: Path) -> None:
    compare(tmp_path, StoreSettings(), StoreSettings())


@pytest.mark.elasticsearch
def test_elasticsearch_ends_the_same(tmp_path: Path, elasticsearch_url: str) -> None:
    def of() -> StoreSettings:
        return StoreSettings("elasticsearch", Elasticsearch(hosts=(elasticsearch_url,), prefix=f"k{uuid4().hex[:8]}"))

    compare(tmp_path, of(), of())
