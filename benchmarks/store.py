"""Stores: events appended and asked per second, embedded and Elasticsearch, beside ``elasticsearch.helpers.bulk``.

Run: python benchmarks/store.py [--rows N] [--json OUT]. The server is started by ``scripts/elasticsearch`` and
stopped at the end, or is the one ``CITYGUARD_TEST_ELASTICSEARCH`` names. Both ways write the same rows to the same
server in turns, into fresh indices made from the same templates.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import elasticsearch
import numpy as np
import polars as pl
from elasticsearch import helpers

from cityguard import ids
from cityguard.config import Elasticsearch
from cityguard.model import Alert, EventBatch, Query, Text
from cityguard.store import pack, templates
from cityguard.store.elastic import ElasticStore
from cityguard.store.embedded import EmbeddedStore
from cityguard.store.query import parse

ROOT = Path(__file__).parents[1]
START = datetime(2026, 11, 20, tzinfo=UTC)
BATCH = 100_000
RUNS = 3
QUESTIONS = {
    "newest 50": "",
    "newest 50 of one address": "source.ip:10.7.7.7",
    "newest 50 of a network, not one port": "source.ip:10.3.0.0/16 -destination.port:443",
    "nothing found": "network.protocol:nonesuch",
}


def flows(number: int, rows: int = BATCH) -> EventBatch:
    """A batch of flows over one day, the same on every run."""
    rng = np.random.default_rng(number)
    base = int(START.timestamp() * 1_000)
    ms = np.sort(base + rng.integers(0, 86_400_000, rows))
    own = ids.event_ids(ids.source_key(f"bench-{number}"), ms, np.arange(rows), np.zeros(rows, dtype=np.int64))
    octets = rng.integers(0, 16, (rows, 3))
    table = pl.DataFrame(
        {
            "@timestamp": pl.from_epoch(pl.Series(ms), time_unit="ms").dt.replace_time_zone("UTC"),
            "event.id": own,
            "source.ip": pl.DataFrame(octets)
            .select(pl.format("10.{}.{}.{}", "column_0", "column_1", "column_2"))
            .to_series(),
            "source.port": rng.integers(1_024, 65_535, rows, dtype=np.int32),
            "destination.ip": pl.Series(rng.integers(1, 255, rows))
            .cast(pl.String)
            .map_elements(lambda last: f"192.0.2.{last}", return_dtype=pl.String),
            "destination.port": rng.choice(np.array([22, 53, 80, 443, 502], dtype=np.int32), rows),
            "network.transport": pl.Series(np.where(rng.random(rows) < 0.8, "tcp", "udp")),
            "source.bytes": rng.integers(40, 1 << 20, rows),
            "destination.bytes": rng.integers(40, 1 << 24, rows),
            "network.bytes": rng.integers(40, 1 << 24, rows),
            "network.packets": rng.integers(1, 1 << 12, rows),
            "event.duration": rng.integers(0, 1 << 36, rows),
            "tcp.flags": rng.integers(0, 64, rows, dtype=np.int32),
        }
    )
    return EventBatch("flow", "netflow", table, part=f"bench-{number}")


def embedded(rows: int) -> dict[str, Any]:
    """Append ``rows`` flows, append the last batch again, ask, and merge alerts; seconds and rates."""
    folder = Path(tempfile.mkdtemp(prefix="cityguard-bench-"))
    store = EmbeddedStore(folder / "home")
    try:
        batches = [flows(number) for number in range(rows // BATCH)]
        taken = [timed(partial(store.events.append, batch)) for batch in batches]
        again = timed(partial(store.events.append, batches[-1]))
        answers = {name: best(partial(ask, store, text)) for name, text in QUESTIONS.items()}
        talkers = best(lambda: store.events.aggregate(Query(), ["source.ip"], top=10))
        hours = best(lambda: store.events.aggregate(Query(), ["destination.port"], interval_s=3_600))
        one = store.events.query(Query(limit=1))["event.id"][0]
        size = sum(path.stat().st_size for path in (folder / "home" / "events").rglob("*.parquet"))
        found = alerts(20_000)
        merged = timed(lambda: store.alerts.merge(found))
        return {
            "rows": rows,
            "append_rows_per_s": round(rows / sum(taken)),
            "append_batch_rows": BATCH,
            "append_again_rows_per_s": round(BATCH / again),
            "bytes_per_row": round(size / rows, 1),
            "seconds": {
                **answers,
                "top 10 talkers": talkers,
                "by port and hour": hours,
                "by id": best(lambda: store.events.get([one])),
            },
            "alerts_merged_per_s": round(len(found) / merged),
            "alert_search_s": best(lambda: store.alerts.find(Query(text="横向", limit=50))),
        }
    finally:
        store.close()
        shutil.rmtree(folder)


def ask(store: EmbeddedStore | ElasticStore, text: str) -> pl.DataFrame:
    """The newest 50 rows that answer."""
    query = parse(text, now=START, zone=UTC, subject="events")
    return store.events.query(Query(where=query.where, dataset="flow", limit=50))


def alerts(count: int) -> list[Alert]:
    """Distinct alerts."""
    return [
        Alert(
            f"{number:032x}",
            f"rule-{number % 97}",
            Text("口令爆破", "Password guessing"),
            "high",
            "sigma",
            START + timedelta(seconds=number),
            START + timedelta(seconds=number),
            Text("同一地址多次登录失败，疑似横向移动", "many failed logins from one address"),
            entities={"source.ip": f"10.0.{number >> 8 & 255}.{number & 255}", "user.name": "root"},
            part=f"p{number}",
        )
        for number in range(count)
    ]


def elastic(rows: int) -> dict[str, Any]:
    """The same rows into the same server: this store, helpers.bulk as it comes, and helpers.bulk with orjson."""
    with server() as (url, about):
        batches = [flows(number) for number in range(rows // BATCH)]
        ways: dict[str, Callable[[str, list[EventBatch]], Run]] = {
            "cityguard": ours,
            "helpers.bulk": theirs,
            "helpers.bulk with orjson": theirs_with_orjson,
        }
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        ours(url, batches)  # the server's first minute is slower; nobody is charged for it
        for _ in range(RUNS):
            for name, way in ways.items():
                runs[name].append(way(url, batches))
        rates = {name: round(statistics.median(run.rows_per_s for run in found)) for name, found in runs.items()}
        cpu = {name: statistics.median(run.cpu_us_per_row for run in found) for name, found in runs.items()}
        return {
            "server": about,
            "rows": rows,
            "rows_per_s": rates,
            "runs": {name: [round(run.rows_per_s) for run in found] for name, found in runs.items()},
            "client_cpu_us_per_row": {name: round(value, 2) for name, value in cpu.items()},
            "times_as_fast_as_helpers_bulk": round(rates["cityguard"] / rates["helpers.bulk"], 2),
            "times_less_client_cpu": round(cpu["helpers.bulk"] / cpu["cityguard"], 2),
            "seconds": runs["cityguard"][-1].answers,
        }


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of one way took."""

    rows_per_s: float
    cpu_us_per_row: float  # of this process, both ways
    answers: dict[str, float]


def measured(batches: list[EventBatch], write: Callable[[EventBatch], object]) -> Run:
    """Write all batches one after the other."""
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        write(batch)
    rows = sum(len(batch) for batch in batches)
    return Run(rows / (time.perf_counter() - began), (time.process_time() - cpu) / rows * 1e6, {})


def ours(url: str, batches: list[EventBatch]) -> Run:
    """Rows per second through ``ElasticStore``, and answers' seconds."""
    folder = Path(tempfile.mkdtemp(prefix="cityguard-bench-"))
    store = ElasticStore(Elasticsearch(hosts=(url,), prefix=f"bench-{secrets.token_hex(4)}"), home=folder)
    try:
        run = measured(batches, store.events.append)
        ask(store, "")
        answers = {name: best(partial(ask, store, text)) for name, text in QUESTIONS.items()}
        ports = partial(store.events.aggregate, Query(), ["destination.port"], interval_s=3_600)
        return replace(run, answers={**answers, "by port and hour": best(ports)})
    finally:
        wipe(store)
        store.close()
        shutil.rmtree(folder)


def theirs_with_orjson(url: str, batches: list[EventBatch]) -> Run:
    """As ``theirs``, with the faster encoder the client offers."""
    return theirs(url, batches, serializer=elasticsearch.OrjsonSerializer())


def theirs(url: str, batches: list[EventBatch], **options: Any) -> Run:
    """Rows per second through ``helpers.bulk`` with chunks of 5,000; making the dicts is part of the work."""
    folder = Path(tempfile.mkdtemp(prefix="cityguard-bench-"))
    prefix = f"bench-{secrets.token_hex(4)}"
    store = ElasticStore(Elasticsearch(hosts=(url,), prefix=prefix), home=folder)  # same templates
    client = elasticsearch.Elasticsearch(url, request_timeout=60, **options)
    try:
        return measured(batches, lambda batch: helpers.bulk(client, actions(prefix, batch), chunk_size=5_000))
    finally:
        client.close()
        wipe(store)
        store.close()
        shutil.rmtree(folder)


def actions(prefix: str, batch: EventBatch) -> Iterator[dict[str, Any]]:
    """What ``helpers.bulk`` wants: one dict per row."""
    table = pack.pack(batch).with_columns(templates.index(prefix, batch.dataset).alias("\0index"))
    for row in table.iter_rows(named=True):
        index = row.pop("\0index")
        yield {"_op_type": "create", "_index": index, "_id": row["event.id"], "_source": row}


def wipe(store: ElasticStore) -> None:
    """Delete what a run wrote."""
    store._client.refresh()
    for name in store._client.indices(f"{store._client.prefix}-*"):
        store._client.delete_index(name)


class server:  # noqa: N801 - used as a statement
    """A running server and what it says of itself."""

    def __enter__(self) -> tuple[str, str]:
        self.folder: Path | None = None
        url = os.environ.get("CITYGUARD_TEST_ELASTICSEARCH", "")
        if not url:
            self.folder = Path(tempfile.mkdtemp(prefix="cityguard-bench-es-"))
            self.folder.chmod(0o755)
            url = self.script("start", "--heap", "1g").split()[-1]
        with elasticsearch.Elasticsearch(url) as client:
            nodes = client.nodes.info(node_id="_local")["nodes"]
        return url, f"Elasticsearch {next(iter(nodes.values()))['version']}"

    def __exit__(self, *_: object) -> None:
        if self.folder:
            self.script("stop")

    def script(self, command: str, *more: str) -> str:
        program = [sys.executable, str(ROOT / "scripts" / "elasticsearch"), command, "--dir", str(self.folder), *more]
        return subprocess.run(program, check=True, capture_output=True, text=True).stdout


def timed(act: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def best(act: Callable[[], object]) -> float:
    """Median wall seconds of five calls, to the tenth of a millisecond."""
    return round(statistics.median(timed(act) for _ in range(5)), 4)


def machine() -> dict[str, Any]:
    """Where this was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    packages = ("polars", "duckdb", "pyarrow", "elasticsearch", "orjson")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def main() -> None:
    """Command line: ``store.py [--rows N] [--elastic-rows N] [--json OUT]``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--elastic-rows", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told = {"machine": machine(), "embedded": embedded(given.rows), "elasticsearch": elastic(given.elastic_rows)}
    text = json.dumps(told, indent=2, ensure_ascii=False)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
