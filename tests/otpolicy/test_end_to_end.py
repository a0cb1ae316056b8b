"""Learn, propose, read the difference, sign, and be told: on the sample city's water plant, by code and by hand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cityguard import config, pipeline
from cityguard.app import App
from cityguard.audit import Actor
from cityguard.cli import demo
from cityguard.errors import InputError
from cityguard.model import Query, Station, Term
from cityguard.otpolicy.desk import Signature

ROOT = Path(__file__).parents[2]
CAPTURE = ROOT / "pcaps" / "water-plant-intrusion.pcap"
BEGINS, BEFORE, ENDS = (datetime(2026, 3, 11, hour, minute, tzinfo=UTC) for hour, minute in ((14, 0), (15, 5), (16, 0)))
PLANT = ("segment:seg-water",)
WHO = Actor("li", "127.0.0.1")
SIGNED = Signature("水务局 王工", "首次建立基线", date(2026, 12, 31))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir()
    shutil.copy(ROOT / "examples" / "city" / "register.yml", tmp_path / "var" / "register.yml")
    return tmp_path / "var"


def opened(home: Path) -> App:
    settings = config.load(ROOT / "examples" / "city" / "cityguard.yml", {})
    settings = replace(settings, home=str(home), content="", register="", listen=())
    return App(settings, clock=lambda: ENDS, rules=[ROOT / "rules" / "ot" / "modbus_read.yml"])


@pytest.fixture
def plant(home: Path) -> Iterator[App]:
    app = opened(home)
    yield app
    app.close()


def read(home: Path) -> None:
    """Read the capture as ``cityguard ingest`` does, with few rules."""
    app = opened(home)
    app.ingest([CAPTURE])
    app.close()


def told(app: App) -> Counter[str]:
    found = app.store.alerts.find(Query(where=Term("source", "eq", "ot_policy"), limit=1000))
    return Counter(f"{one.rule_id.rpartition('.')[2]} {one.entities['source.ip']}" for one in found)


def test_what_was_learned_before_the_intrusion_tells_exactly_the_intruder(plant: App) -> None:
    plant.ingest([CAPTURE])
    assert told(plant) == {}, "learning is the default: nothing is told"
    plant.ot.learn(BEGINS, BEFORE, WHO)
    plant.ot.propose(WHO)
    sentences = [change.text.zh for change in plant.ot.diff()]
    assert len(sentences) == 4
    assert all(one.startswith("新增允许：10.66.10.5（水厂监控主机） 对 水厂控制器") for one in sentences)
    assert not any(change.held for change in plant.ot.diff())
    done = plant.ot.decide(WHO, SIGNED, places=PLANT)
    assert len(done.accepted) == 4
    assert told(plant) == {}
    plant.ingest([CAPTURE])  # the same traffic again, now held to the policy
    assert told(plant) == {"none 10.66.0.20": 2, "master 10.66.0.20": 1}
    again = told(plant)
    plant.ingest([CAPTURE])
    assert told(plant) == again
    review = plant.ot.review(BEGINS, ENDS)
    assert (len(review.violations), len(review.unused), review.lines) == (3, 0, 4)
    entries = plant.store.records.find_audit(50)
    assert Counter(entry.action for entry in entries if entry.action.startswith("ot.")) == {
        "ot.learn": 1, "ot.propose": 1, "ot.enforced": 1, "ot.accept": 4,
    }  # fmt: skip
    assert plant.store.records.verify_audit() is None


def test_an_intrusion_that_was_learned_too_is_not_accepted_in_passing(plant: App) -> None:
    plant.ingest([CAPTURE])
    plant.ot.learn(BEGINS, ENDS, WHO)
    plant.ot.propose(WHO)
    changes = plant.ot.diff()
    held = [change.line for change in changes if change.held]
    assert {line.master for line in held} == {"10.66.0.20"}
    assert changes[0].held, "what wants a look comes first"
    done = plant.ot.decide(WHO, SIGNED, places=PLANT)
    assert {line.master for line in done.accepted} == {"10.66.10.5"}
    plant.ingest([CAPTURE])
    assert set(told(plant)) == {"none 10.66.0.20", "master 10.66.0.20"}
    refused = plant.ot.decide(WHO, SIGNED, reject=tuple(line.id for line in held))
    assert len(refused.rejected) == len(held)
    assert plant.ot.propose(WHO).lines == ()


def test_nothing_is_proposed_from_nothing(plant: App) -> None:
    with pytest.raises(InputError, match="nothing was learned"):
        plant.ot.propose(WHO)
    with pytest.raises(InputError, match="no OT message"):
        plant.ot.learn(BEGINS, ENDS, WHO)


def test_a_decision_that_could_not_be_written_down_changes_nothing_and_is_not_audited(plant: App) -> None:
    plant.ingest([CAPTURE])
    plant.ot.learn(BEGINS, BEFORE, WHO)
    plant.ot.propose(WHO)
    plant.ot.decide(WHO, SIGNED, places=PLANT)
    before = plant.ot.path.read_bytes()
    for reason in ("x" * 600, "a\x07b"):
        with pytest.raises(InputError, match="reason: "):
            plant.ot.decide(WHO, replace(SIGNED, reason=reason), places=PLANT)
    assert plant.ot.path.read_bytes() == before
    plant.ot.decide(WHO, replace(SIGNED, reason="a\tb\nc"), places=PLANT)
    assert plant.ot.policy.scopes[0].reason == "a b c"


@pytest.mark.parametrize(
    ("place", "near"),
    [("segment:seg-watr", "did you mean seg-water"), ("water-plc-9", "did you mean water-plc-"), ("nope", "see city")],
)
def test_a_place_nobody_knows_is_not_enforced(plant: App, place: str, near: str) -> None:
    plant.ingest([CAPTURE])
    plant.ot.learn(BEGINS, BEFORE, WHO)
    plant.ot.propose(WHO)
    with pytest.raises(InputError, match="is known") as refused:
        plant.ot.decide(WHO, SIGNED, places=(place,))
    assert near in refused.value.remedy
    assert not plant.ot.path.exists()
    assert plant.ot.decide(WHO, SIGNED, places=("water-plc-1", "water-plc-1/1")).policy.scopes


def test_a_matrix_shows_who_wrote_to_what_and_when(plant: App) -> None:
    plant.ingest([CAPTURE])
    found = plant.ot.matrix(BEGINS, ENDS)
    assert found.masters[0] == "10.66.0.20", "who changes things stands first"
    cell = found.cell("water-plc-2/1", "10.66.0.20")
    assert cell is not None
    assert cell.counts["write"] == 5
    assert sum(counts.get("write", 0) for counts in cell.series.values()) == 5
    polled = found.cell("water-plc-1/1", "10.66.10.5")
    assert polled is not None
    assert polled.counts == {"read": 118}


def test_a_silent_station_becomes_an_alert_by_the_main_way_and_the_page_knows_when_it_spoke(plant: App) -> None:
    listed = Station(
        "plc-2", "二号", "modbus", unit="1", addresses=("10.66.10.12",), platforms=("10.66.10.5",), period_s=60
    )
    replace(plant.register, stations=(listed,)).save_yaml(plant.register_path)
    plant.ingest([CAPTURE])
    assert [(one.station.id, one.silent) for one in plant.ot.roll_call()] == [("plc-2", True)], "by what is stored"
    ended = max(plant.ot_detector.watch.last.values())  # type: ignore[attr-defined]
    last = datetime.fromtimestamp(ended / 1e6, UTC)
    for minutes in range(8):
        pipeline.settle(plant, last + timedelta(minutes=minutes))
    (alert,) = plant.store.alerts.find(Query(where=Term("source", "eq", "silence")))
    assert "二号（Modbus plc-2）应至少每 60 秒 上报一次" in alert.reason.zh
    counters = plant.ot_detector.counters()  # type: ignore[attr-defined]
    plant.store.records.put_value("counters:ot_policy", json.dumps(counters).encode())
    (heard,) = plant.ot.roll_call()
    assert heard.last == last, "to the second, as the process that detects tells it"


def run(home: Path, *argv: str, code: int = 0, lang: str = "en") -> str:
    command = [sys.executable, "-m", "cityguard.cli.main", "--lang", lang, "--home", str(home), *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_what_is_decided_in_the_demo_stays_in_the_demos_folder(tmp_path: Path) -> None:
    settings = config.load(ROOT / "examples" / "city" / "cityguard.yml", {})
    app = demo.opened(replace(settings, home=str(tmp_path / "var"), listen=()))
    try:
        app.ot.decide(WHO, SIGNED, places=PLANT)
        assert app.ot.policy.scopes[0].place == PLANT[0]
        assert (tmp_path / "var" / "ot-policy.yml").is_file()
        assert not (ROOT / "examples" / "city" / "ot-policy.yml").exists()
        assert not (ROOT / "examples" / "city" / "content" / "ot-policy.yml").exists()
    finally:
        app.close()


def test_the_same_by_hand(home: Path, tmp_path: Path) -> None:
    assert "nothing is proposed yet" in run(home, "ot", "diff")
    early = ("--from", "2026-02-01", "--to", "2026-02-02")
    assert "nothing was captured in this time" in run(home, "ot", "report", *early)
    assert "is later than to" in run(home, "ot", "report", "--from", "2026-02-02", "--to", "2026-02-01", code=1)
    read(home)
    said = run(home, "ot", "learn", "--from", "2026-03-11T14:00+00:00", "--to", "2026-03-11T15:05+00:00")
    assert "4 kinds of deed" in said
    said = run(home, "ot", "propose", lang="zh-CN")
    assert (
        "新增允许：10.66.10.5（水厂监控主机） 对 水厂控制器1 单元 1 读保持寄存器（Modbus 3），地址 100-109、120-129"
        in said
    )
    assert "不阻断" in said
    line = re.findall(r"\[(ot-[0-9a-f]{10})\]", said)[0]
    assert "why?" in run(home, "ot", "enforce", "--segment", "seg-water", "--owner", "王工", "--reason", " ", code=1)
    signed = ("--owner", "王工", "--reason", "polling", "--expires", "2030-01-01", "--reject", line)
    assert "3 lines in force, 1 rejected" in run(home, "ot", "enforce", "--segment", "seg-water", *signed)
    found = json.loads(run(home, "ot", "policy", "--json"))
    assert [one["place"] for one in found["scopes"]] == ["segment:seg-water"]
    assert {one["owner"] for one in found["lines"]} == {"王工"}
    read(home)
    times = ("--from", "2026-03-11T14:00+00:00", "--to", "2026-03-11T16:00+00:00")
    said = run(home, "ot", "report", *times, "--out", str(tmp_path / "r"), "--format", "html,json", code=3)
    assert "no policy line allows it" in said
    assert len(list((tmp_path / "r").glob("otpolicy-*.html"))) == 1
