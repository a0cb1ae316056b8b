"""The Elasticsearch store on a real server: refusals, blocks, races, and a server that dies in the middle."""

from __future__ import annotations

import json
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import need_server, start_elasticsearch, stop_elasticsearch
from tests.store import make
from tests.store.conftest import wipe
from tests.store.make import NOW

from cityguard.config import Elasticsearch, Settings, StoreSettings
from cityguard.errors import StoreError
from cityguard.model import Chunk, Decoded, Query
from cityguard.store import bulk, templates
from cityguard.store.elastic import ElasticStore
from cityguard.store.embedded import EmbeddedStore
from cityguard.store.open import open_store

pytestmark = pytest.mark.elasticsearch
Open = Callable[..., ElasticStore]


def test_what_the_server_refuses_becomes_a_dead_letter_and_the_rest_is_stored(elastic: Open) -> None:
    store = elastic()
    deep = json.dumps({"a": 1})
    for _ in range(60):
        deep = '{"a":' + deep + "}"
    batch = make.flows(rows=5, event__fields=[None, deep, '{"a": 1}', deep, None], event__sequence=[5, 6, 7, 8, 9])
    assert store.events.append(batch) == 3
    assert store.events.query(Query()).height == 3
    dead = store.records.find_dead("netflow")
    assert sorted(item.place for item in dead) == [6, 8]
    assert all("400" in item.reason and "depth" in item.reason for item in dead)
    assert all(b"10." in item.raw for item in dead)
    assert store.events.append(batch) == 0
    assert len(store.records.find_dead()) == 2


def test_what_the_server_refuses_is_dead_in_the_ledger_too(elastic: Open) -> None:
    store = elastic()
    deep = '{"a":' * 60 + "1" + "}" * 60
    # two events of item 6, one of item 8
    batch = make.flows(rows=5, event__fields=[None, deep, deep, deep, None], event__sequence=[5, 6, 6, 8, 9])
    chunk = Chunk("s", "c1", "line", 6, Decoded((batch,), (), 1), 1)
    for _ in range(2):  # a chunk taken twice is booked as if taken once
        store.events.append(batch)
        store.events.append(batch)
        store.records.account(chunk)
        (line,) = store.records.ledger()
        assert (line.received, line.stored, line.dead, line.dropped, line.events) == (6, 2, 3, 1, 2)
        assert line.balance == 0
    store.records.account(Chunk("t", "c2", "line", 3, Decoded((make.flows("p2", 3),))))
    assert [(line.source, line.dead) for line in store.records.ledger()] == [("s", 3), ("t", 0)]


def test_a_sender_cannot_write_other_fields_or_actions(elastic: Open) -> None:
    store = elastic()
    store.events.append(make.flows("first", 2))
    victim = store.events.query(Query())["event.id"][0]
    (index,) = store._client.indices(f"{store._client.prefix}-events-*")
    forged = [
        '{"a":1},"user.name":"root","b":{}',
        '{"a":1}}\n{"delete":{"_index":"' + index + '","_id":"' + victim + '"}}\n{"x":{}',
        '{"a":\n1}',
    ]
    assert store.events.append(make.flows("second", 3, event__fields=forged)) == 3
    rows = store.events.query(Query())
    assert rows.height == 5
    assert victim in rows["event.id"].to_list()
    kept = {text for text in rows["event.fields"].to_list() if text}
    assert kept == {forged[0], forged[1], '{"a":1}'}
    assert store.records.find_dead() == []


def test_values_that_do_not_fit_are_kept_with_their_row(elastic: Open) -> None:
    store = elastic()
    long = "x" * 40_000
    store.events.append(make.flows(rows=3, source__mac=["a", long, "b"], observer__ip=["10.0.0.1", "not an ip", None]))
    rows = store.events.query(Query(newest_first=False))
    assert rows["source.mac"].to_list() == ["a", long, "b"]
    assert rows["observer.ip"].to_list() == ["10.0.0.1", "not an ip", None]
    assert store.records.find_dead() == []


def test_a_read_only_cluster_is_waited_for_and_nothing_is_stored_twice(
    elastic: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "FIRST_S", 0.05)
    store = elastic(patience_s=0.3)
    store.events.append(make.flows("before", 10))
    client = store._client
    (index,) = client.indices(f"{client.prefix}-events-*")
    client._raw.indices.put_settings(index=index, settings={"index.blocks.read_only_allow_delete": True})
    with pytest.raises(StoreError, match="10 records are not stored yet"):
        store.events.append(make.flows("after", 10))
    patient = elastic(patience_s=20)
    timer = threading.Timer(
        0.5,
        client._raw.indices.put_settings,
        kwargs={"index": index, "settings": {"index.blocks.read_only_allow_delete": None}},
    )
    timer.start()
    assert patient.events.append(make.flows("after", 10)) == 10
    timer.join()
    assert patient.events.append(make.flows("after", 10)) == 0
    assert patient.events.aggregate(Query(), []).rows() == [(20,)]


def test_an_id_is_unique_also_where_its_month_ends(elastic: Open) -> None:
    store = elastic()
    batch = make.flows(rows=6, start=NOW.replace(day=30, hour=23, minute=59, second=57))
    assert store.events.append(batch) == 6
    assert store.events.append(replace(batch, table=batch.table.reverse(), part="again")) == 0
    assert len(store._client.indices(f"{store._client.prefix}-events-flow-*")) == 2
    assert store.events.query(Query()).height == 6


def test_forged_clocks_do_not_make_thousands_of_indices(elastic: Open) -> None:
    store = elastic()
    store.events.append(make.flows("past", 20, NOW - timedelta(days=17_000), timedelta(days=300)))
    store.events.append(make.flows("future", 20, NOW + timedelta(days=40_000), timedelta(days=3_000)))
    assert len(store._client.indices(f"{store._client.prefix}-events-*")) == 2
    assert store.events.aggregate(Query(), []).rows() == [(40,)]


def test_many_mergers_at_once_count_every_part_once(elastic: Open) -> None:
    stores = [elastic() for _ in range(4)]
    faults: list[BaseException] = []

    def merge(number: int) -> None:
        try:
            for part in range(5):
                stores[number].alerts.merge([make.alert(part=f"{number}-{part}"), make.alert("b", part=str(part))])
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    threads = [threading.Thread(target=merge, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    counts = [stores[0].alerts.get(make.alert(name).id) for name in ("a1", "b")]
    assert [alert.count for alert in counts if alert] == [20, 5]


def test_a_slot_is_claimed_by_one_of_many(elastic: Open) -> None:
    stores = [elastic() for _ in range(4)]
    won: list[str] = []

    def claim(number: int) -> None:
        for slot in range(10):
            run = make.run(owner=f"n{number}", slot=NOW + timedelta(hours=slot))
            if stores[number].records.claim(run):
                won.append(f"{slot}")

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(str(slot) for slot in range(10))


def test_audit_writers_at_once_make_one_chain_and_a_touched_row_shows(elastic: Open) -> None:
    stores = [elastic() for _ in range(3)]
    first = stores[0].records.append_audit("li", "", "login", "", "", NOW)
    threads = [
        threading.Thread(
            target=lambda one=one: [one.records.append_audit("li", "", "x", str(n), "", NOW) for n in range(4)]
        )
        for one in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records, client = stores[0].records, stores[0]._client
    assert [entry.seq for entry in records.find_audit()] == list(range(13, 0, -1))
    assert records.verify_audit() is None
    index = client.index("audit")
    found = client.get(index, f"{5:012d}")
    assert found is not None
    forged = {**found[0], "doc": {**found[0]["doc"], "object": "forged"}}
    client.put(index, f"{5:012d}", forged)
    assert records.verify_audit() == 5
    client.put(index, f"{5:012d}", found[0])
    assert records.verify_audit() is None
    client.delete(index, [f"{13:012d}"])
    assert records.verify_audit() == 13
    assert first.seq == 1


def test_a_malformed_document_does_not_break_a_list(elastic: Open) -> None:
    store = elastic()
    store.alerts.merge([make.alert("a"), make.alert("b")])
    found = store._client.get(store._client.index("alerts"), make.alert("b").id)
    assert found is not None
    store._client.put(store._client.index("alerts"), make.alert("b").id, {**found[0], "doc": {"id": 3}})
    assert [alert.id for alert in store.alerts.find(Query())] == [make.alert("a").id]
    assert store.malformed == 1
    assert store.alerts.count(Query()) == 2


def test_templates_are_installed_once_and_again_when_they_change(
    elastic: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = elastic()
    raw, name = store._client._raw, templates.settings(store._client.prefix)[0]

    def mark() -> Any:
        found = raw.cluster.get_component_template(name=name)["component_templates"][0]["component_template"]
        return found["_meta"]["fingerprint"]

    assert mark() == templates.fingerprint(store._client.prefix)
    monkeypatch.setattr(templates, "IGNORE_ABOVE", 8_000)
    monkeypatch.setattr(templates, "_KEYWORD", {"type": "keyword", "ignore_above": 8_000})
    before = mark()
    elastic()
    assert mark() != before
    monkeypatch.undo()
    elastic()
    assert mark() == before


def test_settings_that_cannot_work_are_told(elasticsearch_url: str, tmp_path: Path) -> None:
    def opened(**changes: Any) -> None:
        cluster = Elasticsearch(**{"hosts": (elasticsearch_url,), **changes})
        open_store(Settings(home=str(tmp_path), store=StoreSettings("elasticsearch", cluster)))

    with pytest.raises(StoreError, match="cannot reach") as unreachable:
        opened(hosts=("http://127.0.0.1:9",))
    assert unreachable.value.exit_code == 10
    with pytest.raises(StoreError, match="no index prefix"):
        opened(prefix="*,.security")
    with pytest.raises(StoreError, match="cannot use these settings"):
        opened(hosts=("nonsense",))
    secret = tmp_path / "password"
    with pytest.raises(StoreError, match="cannot read the password"):
        opened(username="elastic", password_file=str(secret))
    secret.write_text("x")
    secret.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 0400"):
        opened(username="elastic", password_file=str(secret))
    with pytest.raises(StoreError, match=r"cannot reach|cannot use these settings"):
        opened(hosts=(elasticsearch_url.replace("http:", "https:"),), ca_file=str(tmp_path / "none.pem"))


def test_the_settings_choose_the_store(elasticsearch_url: str, tmp_path: Path, elastic: Open, prefix: str) -> None:
    settings = Settings(home=str(tmp_path / "e"))
    store = open_store(settings)
    assert isinstance(store, EmbeddedStore)
    store.close()
    with pytest.raises(StoreError, match="no store here"):
        open_store(Settings(home=str(tmp_path / "none")), create=False)
    cluster = Elasticsearch(hosts=(elasticsearch_url,), prefix=prefix)
    other = open_store(replace(settings, store=StoreSettings("elasticsearch", cluster)))
    assert isinstance(other, ElasticStore)
    assert other.events.append(make.flows()) == 20
    other.close()


@pytest.fixture
def own_server(elasticsearch_folder: Path | None) -> Iterator[tuple[Path, str]]:
    """A server that may be killed: the one that was started for these tests, or one more."""
    if elasticsearch_folder is not None:
        yield elasticsearch_folder, start_elasticsearch(elasticsearch_folder)
        return
    need_server()
    folder = Path(tempfile.mkdtemp(prefix="cityguard-es-kill-"))
    folder.chmod(0o755)
    try:
        yield folder, start_elasticsearch(folder)
    finally:
        stop_elasticsearch(folder)


def test_a_server_killed_in_the_middle_of_writing_loses_nothing_and_stores_nothing_twice(
    own_server: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = own_server
    cluster = Elasticsearch(hosts=(url,), prefix=f"kill-{secrets.token_hex(3)}", timeout_s=10)
    store = ElasticStore(cluster, home=tmp_path, patience_s=60)
    acknowledged: list[str] = []
    faults: list[BaseException] = []
    busy, enough = threading.Event(), threading.Event()

    def write() -> None:
        try:
            for number in range(1_000):
                batch = make.flows(f"p{number}", 2_000, step=timedelta(milliseconds=10))
                store.events.append(batch)
                acknowledged.extend(batch.table["event.id"].to_list())
                busy.set()
                if enough.is_set():
                    return
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    thread = threading.Thread(target=write)
    thread.start()
    assert busy.wait(30)
    threading.Event().wait(0.4)
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    before = len(acknowledged)
    threading.Event().wait(1)
    assert start_elasticsearch(folder) == url
    threading.Event().wait(0.5)
    enough.set()
    thread.join(70)
    assert not thread.is_alive()
    assert faults == []
    assert len(acknowledged) > before > 0
    counted = store.events.aggregate(Query(), []).rows()
    assert counted == [(len(acknowledged),)]
    stored = store.events.get(acknowledged)["event.id"]
    assert stored.n_unique() == stored.len() == len(acknowledged)
    wipe(store)
    store.close()
