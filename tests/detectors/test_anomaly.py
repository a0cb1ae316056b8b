"""The forest finds what is odd, says why, keeps its budget, and cannot be fed or fooled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from tests.detectors.flows import START, batch, scan, usual

from cityguard.config import Anomaly
from cityguard.detectors import anomaly, baseline, features
from cityguard.detectors.anomaly import AnomalyDetector, contributions
from cityguard.errors import InputError
from cityguard.store.embedded import EmbeddedStore

ZONE = ZoneInfo("Asia/Shanghai")
DAYS = 2
TRAIN = usual(DAYS)
LATER = START + timedelta(days=DAYS)


def detector(folder: Path | None = None, *, fit_on_input: bool = True, budget: float = 2.0) -> AnomalyDetector:
    return AnomalyDetector(Anomaly(budget_per_day=budget), models=folder, zone=ZONE, fit_on_input=fit_on_input)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    done = detector(folder).fit([TRAIN])
    assert list(done.models) == ["office"]
    return folder


def day(seed: int = 5) -> pl.DataFrame:
    return pl.concat([usual(0.5, seed=seed, start=LATER), scan("10.1.0.13", LATER + timedelta(hours=2))])


def test_a_scan_is_found_and_explained(fitted: Path) -> None:
    found = detector(fitted)
    assert list(found.detect(batch(day()))) == []
    alerts = list(found.finish())
    hit = next(alert for alert in alerts if alert.entities["source.ip"] == "10.1.0.13")
    assert hit.first_seen == LATER + timedelta(hours=2)
    assert hit.rule_id == "anomaly.office"
    assert hit.source == "anomaly"
    assert hit.segment == "office"
    assert hit.department == "bureau"
    assert hit.score is not None
    assert hit.score >= baseline.FLOOR
    named = {one.field: one for one in hit.explanation}
    assert {"destinations", "new_destinations", "failed"} & set(named)
    assert list(hit.explanation) == sorted(hit.explanation, key=lambda one: -one.contribution)
    assert "10.1.0.13 在 03-04 10:00–10:05" in hit.reason.zh
    assert "unlike its segment" in hit.reason.en
    assert 200 <= hit.count <= 220
    assert len(hit.event_ids) == 100
    assert list(hit.event_ids) == sorted(hit.event_ids)
    assert hit.advice.zh


@pytest.mark.parametrize(
    "odd",
    [
        {"bytes_out": 2e9, "out_share": 0.99, "packets": 1e6},
        {"destinations": 60, "flows": 60},
        {"failed": 1, "flows": 100},
        {"ports": 1000, "flows": 1000, "failed": 1},
    ],
    ids=["exfiltration", "sweep", "refused", "port scan"],
)
def test_values_far_beyond_all_training_are_found(fitted: Path, odd: dict[str, float]) -> None:
    model = baseline.load(fitted)["office"]
    values = model.median[None, :].copy()
    for name, value in odd.items():
        values[0, features.NAMES.index(name)] = value
    assert model.score_values(values)[0] >= model.threshold
    assert model.score_values(model.median[None, :])[0] < model.threshold - 0.05


def test_doing_less_than_usual_is_no_alarm(fitted: Path) -> None:
    model = baseline.load(fitted)["office"]
    quiet = np.zeros((1, len(features.NAMES)))
    assert model.score_values(quiet) == model.score_values(model.median[None, :])


def test_quiet_days_stay_within_a_few_times_the_budget(fitted: Path) -> None:
    found = detector(fitted)
    found.detect(batch(usual(1, seed=9, start=LATER)))
    assert len(list(found.finish())) <= 6  # budget 2 a day; unseen data may be a little noisier


@pytest.mark.parametrize("budget", [0.4, 2.0, 10.0])
def test_the_budget_holds_on_the_training_window(budget: float) -> None:
    rows = features.reduce(TRAIN)
    windows = features.windows(rows, ZONE)
    model = baseline.learn(rows, windows, budget_per_day=budget, min_rows=200)["office"]
    kept = baseline.cap(baseline._settled(windows, 200))
    alarms = int((model.score(kept) >= model.threshold).sum())
    assert alarms <= budget * DAYS


def test_alert_ids_do_not_depend_on_the_order_of_batches(fitted: Path) -> None:
    rows = day()
    parts = [rows[start : start + 500] for start in range(0, rows.height, 500)]

    def ids(order: list[int]) -> set[str]:
        found = detector(fitted)
        for index in order:
            found.detect(batch(parts[index], part=f"p{index}"))
        return {alert.id for alert in found.finish()}

    forward = ids(list(range(len(parts))))
    assert forward
    assert forward == ids(list(range(len(parts)))[::-1])


def test_a_batch_taken_twice_counts_once(fitted: Path) -> None:
    found = detector(fitted)
    for _ in range(2):
        found.detect(batch(day()))
    hit = next(alert for alert in found.finish() if alert.entities["source.ip"] == "10.1.0.13")
    assert hit.count < 250


def test_after_finish_nothing_is_held_and_the_same_input_gives_the_same_alerts(fitted: Path) -> None:
    found = detector(fitted)
    found.detect(batch(day()))
    first = list(found.finish())
    assert list(found.finish()) == []
    found.detect(batch(day()))
    assert list(found.finish()) == first


def test_without_a_model_the_input_itself_is_the_measure_and_the_alert_says_so() -> None:
    found = detector(None)
    found.detect(batch(pl.concat([usual(0.25), scan("10.1.0.13", START + timedelta(hours=3))])))
    alerts = list(found.finish())
    assert [alert.entities["source.ip"] for alert in alerts] == ["10.1.0.13"]
    assert "无已训练模型" in alerts[0].reason.zh
    assert "no fitted model" in alerts[0].reason.en
    assert not found.models


def test_without_a_model_and_with_too_few_windows_nothing_is_claimed() -> None:
    found = detector(None)
    found.detect(batch(pl.concat([usual(0.02), scan("10.1.0.13", START)])))
    assert list(found.finish()) == []
    quiet = detector(None, fit_on_input=False)
    quiet.detect(batch(day()))
    assert list(quiet.finish()) == []


def test_other_datasets_and_empty_batches_are_let_pass(fitted: Path) -> None:
    found = detector(fitted)
    found.detect(batch(day(), dataset="dns"))
    found.detect(batch(day()[:0]))
    assert list(found.finish()) == []


def test_closed_windows_are_settled_once_and_late_flows_are_counted(fitted: Path) -> None:
    rows = day().sort("@timestamp")
    found, alerts = detector(fitted), []
    for number, start in enumerate(range(0, rows.height, 1000)):
        found.detect(batch(rows[start : start + 1000], part=str(number)))
        alerts += found.settle()
    assert "10.1.0.13" in {alert.entities["source.ip"] for alert in alerts}
    assert len({alert.id for alert in alerts}) == len(alerts)
    whole = detector(fitted)
    whole.detect(batch(rows))
    assert {a.id for a in alerts} | {a.id for a in found.finish()} == {a.id for a in whole.finish()}
    found.detect(batch(rows, part="x"))
    found.settle()
    found.detect(batch(scan("10.1.0.14", LATER), part="late"))
    found.settle()
    assert found.late == 200


def test_state_comes_back_as_it_was(fitted: Path) -> None:
    rows, split = day(), 3000
    one = detector(fitted)
    one.detect(batch(rows[:split], part="a"))
    other = detector(fitted)
    other.restore(one.snapshot())
    assert other.snapshot() == one.snapshot()
    for each in (one, other):
        each.detect(batch(rows[split:], part="b"))
        each.detect(batch(rows[:split], part="a"))
    assert list(one.finish()) == list(other.finish())


@pytest.mark.parametrize("raw", [b"", b"{}", b"PK\x03\x04"])
def test_rubbish_is_no_state(raw: bytes, fitted: Path) -> None:
    with pytest.raises(InputError):
        detector(fitted).restore(raw)


def test_a_flood_from_one_source_gains_no_weight_in_training() -> None:
    rows = features.reduce(TRAIN)
    windows = features.windows(rows, ZONE)
    one = windows.filter(pl.col("source") == "10.1.0.10")
    flood = pl.concat(
        [
            one.with_columns(source=pl.lit("10.1.0.66"), window=pl.col("window") + 300 * one.height * i)
            for i in range(20)
        ]
    )
    kept = baseline.cap(pl.concat([windows, flood]))
    counts = dict(kept.group_by("source").len().iter_rows())
    assert counts["10.1.0.66"] == 2 * one.height
    assert counts["10.1.0.11"] == windows.filter(pl.col("source") == "10.1.0.11").height
    mine = kept.filter(pl.col("source") == "10.1.0.66")["window"]
    assert mine.max() - mine.min() > 0.9 * 300 * one.height * 20  # type: ignore[operator]


def test_fitting_is_deterministic_and_models_come_back_whole(tmp_path: Path, fitted: Path) -> None:
    again = detector(tmp_path).fit([TRAIN[5000:], TRAIN[:5000]])
    one, other = baseline.load(fitted)["office"], baseline.load(tmp_path)["office"]
    assert again.models == {"office": one.version}
    assert one.pack() == other.pack()
    assert one.known.to_list() == [f"10.9.0.{i}" for i in range(1, 6)]
    assert (one.low <= one.median).all()
    assert (one.median <= one.high).all()
    assert one.sources == 12


def test_a_newer_model_in_the_folder_is_picked_up(tmp_path: Path) -> None:
    found = detector(tmp_path)
    assert found.models == {}
    detector(tmp_path).fit([TRAIN])
    first = found.models["office"].version
    detector(tmp_path).fit([usual(2, seed=3)])
    assert found.models["office"].version != first
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_a_changed_model_file_is_refused(tmp_path: Path) -> None:
    detector(tmp_path).fit([TRAIN])
    path = next(tmp_path.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="not the one that was fitted"):
        _ = detector(tmp_path).models
    (tmp_path / baseline.INDEX).write_text("[]")
    with pytest.raises(InputError, match="index"):
        _ = detector(tmp_path).models


@pytest.mark.parametrize("field", ["median", "known", "meta", "feature"])
def test_a_crafted_model_is_refused(fitted: Path, field: str) -> None:
    from cityguard.detectors import forest

    arrays = forest.unpack(baseline.load(fitted)["office"].pack(), "x")
    arrays[field] = np.array([-1.0])
    with pytest.raises(InputError):
        baseline.unpack(forest.pack(arrays), "x")


def test_a_contribution_is_the_drop_of_the_score_at_the_median(fitted: Path) -> None:
    model = baseline.load(fitted)["office"]
    values = model.median[None, :].copy()
    values[0, features.NAMES.index("destinations")] = 500
    scores = model.score_values(values)
    share = contributions(model, values, scores)
    assert share.shape == (1, len(features.NAMES))
    assert np.argmax(share) == features.NAMES.index("destinations")
    assert np.count_nonzero(share) == 1


def test_a_segment_that_went_quiet_keeps_its_model(tmp_path: Path) -> None:
    found = detector(tmp_path)
    found.fit([TRAIN])
    other = usual(2, net="10.2.0").with_columns(pl.lit("lab").alias("source.segment"))
    assert list(found.fit([other]).models) == ["lab"]
    assert sorted(found.models) == ["lab", "office"]
    few = usual(0.01).with_columns(pl.lit("tiny").alias("source.segment"))
    assert "tiny" in found.fit([few]).skipped


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path_factory.mktemp("store"))
    millis = TRAIN["@timestamp"].dt.epoch("ms").to_list()
    ids = pl.Series("event.id", [f"{moment:012x}{i:020x}" for i, moment in enumerate(millis)])
    store.events.append(batch(TRAIN.with_columns(ids)))
    yield store
    store.close()


def test_a_refit_reads_the_stored_flows_and_learns_the_same(
    stored: EmbeddedStore, fitted: Path, tmp_path: Path
) -> None:
    done = detector(tmp_path).refit(stored.events, LATER)
    assert done.models == {"office": baseline.load(fitted)["office"].version}


def test_a_refit_on_too_many_flows_reads_whole_windows_only(
    stored: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomaly, "MAX_TRAIN", TRAIN.height // 3 + 1)
    monkeypatch.setattr(anomaly, "PAGE", 25)
    tables = list(anomaly._chosen(stored.events, START, LATER))
    assert max(table.height for table in tables) <= 25
    part = features.windows(features.add([features.reduce(table) for table in tables]), ZONE)
    whole = features.windows(features.reduce(TRAIN), ZONE)
    assert 0.3 < part.height / whole.height < 0.36
    both = part.join(whole, on=features.WINDOW_KEYS, suffix=".whole")
    assert both.height == part.height
    assert (both["flows"] == both["flows.whole"]).all()
