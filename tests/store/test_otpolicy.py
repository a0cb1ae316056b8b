"""What is learned, counted and proposed about OT is the same on either store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.otpolicy.messages import CITY, ENGINEER, MN, SCADA, START, STATION, batch, message, register, report, write

from cityguard.audit import Actor
from cityguard.config import OtPolicy
from cityguard.otpolicy import baseline
from cityguard.otpolicy.desk import Desk
from cityguard.store.elastic import ElasticStore
from cityguard.store.embedded import EmbeddedStore

WHO = Actor("li")
ROWS = [
    *(message(n * 10) for n in range(40)),
    *(write(n * 60, source__ip=ENGINEER, ot__address=str(n)) for n in range(5)),
    *(report(n * 60) for n in range(20)),
]


def desk(store: EmbeddedStore | ElasticStore, home: Path) -> Desk:
    book = register(STATION)
    return Desk(lambda: store, lambda: book, home, home, OtPolicy(), lambda: START + timedelta(hours=2))


@pytest.mark.elasticsearch
def test_both_stores_teach_and_count_the_same(elastic: Callable[..., ElasticStore], tmp_path: Path) -> None:
    learned, counted, proposed, heard = [], [], [], []
    for name, store in (("embedded", EmbeddedStore(tmp_path / "embedded")), ("elastic", elastic())):
        home = tmp_path / f"home-{name}"
        home.mkdir()
        store.events.append(batch(ROWS, register(STATION)))
        one = desk(store, home)
        learned.append(one.learn(START - timedelta(hours=1), START + timedelta(hours=1), WHO).deeds)
        assert one.baseline is not None
        assert one.baseline.deeds.equals(learned[-1])
        counted.append(one.matrix(START - timedelta(hours=1), START + timedelta(hours=1)).cells)
        proposed.append(one.propose(WHO).lines)
        heard.append([(row.station.id, row.silent) for row in one.roll_call()])
    assert learned[0].equals(learned[1])
    assert counted[0] == counted[1]
    assert counted[0]["plc-2/1", SCADA].counts == {"read": 40}
    assert counted[0][MN, "10.69.0.5"].counts == {"read": 20}
    assert proposed[0] == proposed[1]
    assert heard[0] == heard[1] == [(MN, True)]


def test_pages_of_a_store_are_joined_at_their_borders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedStore(tmp_path / "embedded")
    store.events.append(batch(ROWS, register(STATION)))
    whole = baseline.learn(store.events, START, START + timedelta(hours=1), CITY)
    monkeypatch.setattr(baseline, "PAGE", 7)
    cut = baseline.learn(store.events, START, START + timedelta(hours=1), CITY)
    assert cut.events == whole.events == len(ROWS)
    assert cut.deeds.drop("period_s").equals(whole.deeds.drop("period_s"))
    store.close()
