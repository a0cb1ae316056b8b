"""HJ 212 messages on the wire, decoded from packets, raise the rule meant for them; ordinary ones raise none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from tests.decoders import wire
from tests.decoders.ot.test_hj212 import UPLOAD, ciphered, frame, message

from cityguard import content
from cityguard.decoders import capture
from cityguard.decoders.ot import hj212_frame
from cityguard.detectors.rules import RuleDetector
from cityguard.model import EventBatch
from cityguard.sigma.rule import Ruleset, load

NOW = int(datetime(2026, 11, 2, 1, 0, 1, tzinfo=UTC).timestamp()) * 10**9
"""A second after the messages were numbered."""


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    folder = content.root() / "rules" / "ot"
    return load([*sorted(folder.glob("hj212_*.yml"))])


def raised(ruleset: Ruleset, said: list[tuple[int, bytes]], *, hour: int = 9, step: int = 1) -> set[str]:
    """Names of the rules that a connection raises, packets ``step`` seconds apart."""
    talk = wire.Talker(9000).shake()
    for side, data in said:
        talk.say(side, data)
    times = [NOW + (at - 3) * step * 10**9 for at in range(len(talk.packets))]
    one = capture.decoder({})
    batches = [*one.decode(wire.frames(talk.packets, times=times)).batches, *one.flush().batches]
    detector, alerts = RuleDetector(ruleset), []
    for batch in batches:
        if batch.dataset == "ot":
            table = batch.table.with_columns(pl.lit(hour, pl.Int32).alias("calendar.hour"))
            alerts += detector.detect(EventBatch("ot", "capture", table, logsource=batch.logsource))
    heads = [ruleset.head(alert.rule_id) for alert in alerts + detector.finish()]
    return {head.name.removeprefix("cityguard.ot.hj212_") for head in heads if head}


def later(days: float) -> str:
    """A moment so many days from the messages', in the city's time."""
    return (datetime(2026, 11, 2, 9, tzinfo=UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%S")


@pytest.mark.parametrize(
    ("rule", "side", "data"),
    [
        ("password_rejected", 0, message(9011, "QnRtn=3", flag=4, st=91)),
        ("password_set", 1, message(1072, "NewPW=zQ8kp2")),
        ("password_set_weak", 1, message(1072, "NewPW=666666")),
        ("weak_password", 0, UPLOAD.replace("k3Vq9x", "123456")),
        ("key_in_clear", 1, message(1014, "SKCreateTime=20261102090000;NewSK=3132", flag=9)),
        ("key_old", 0, message(1014, f"SKCreateTime={later(-100)}", flag=9)),
        ("slope_changed", 1, message(3021, "PolId=w01018;InfoId=i13008;i13008-Info=0.82")),
        ("parameter_set", 1, message(3021, "PolId=w01018;InfoId=i13001;i13001-Info=500")),
        ("alarm_limits", 1, message(1022, "PolId=011;011-UpValue=900", flag=None)),
        ("clock_far_off", 1, message(1012, f"SystemTime={later(-0.1)}")),
        ("stale_command", 1, message(3012, "PolId=w01018", qn=f"{later(-1)}000")),
        ("data_late", 0, message(2011, f"DataTime={later(-1)};w01018-Rtd=1,w01018-Flag=N")),
        ("stream_stopped", 1, message(2012)),
        ("interval_stretched", 1, message(1062, "RtdInterval=3600")),
        ("redirect", 1, message(1032, "AlarmTarget=203.0.113.7", flag=None)),
        ("logger_login", 0, message(3020, "DataTime=20261102090000;PolId=w01018;i22002-Info=1")),
    ],
)
def test_a_message_raises_the_rule_meant_for_it(rule: str, side: int, data: str, ruleset: Ruleset) -> None:
    assert rule in raised(ruleset, [(side, frame(data))])


def test_ciphered_data_under_the_published_key_are_told_and_others_are_not(ruleset: Ruleset) -> None:
    cp = b"DataTime=20261102085930;w01018-Rtd=23.7,w01018-Flag=N"
    assert raised(ruleset, [(0, ciphered(cp, hj212_frame.TEST_KEY))]) == {"test_key"}
    assert raised(ruleset, [(0, ciphered(cp, bytes(range(16))))]) == set()


def test_calibration_at_night_and_repeated_refusals(ruleset: Ruleset) -> None:
    calibrates = [(1, frame(message(3011, "PolId=w01018")))]
    assert raised(ruleset, calibrates, hour=2) == {"calibration_off_hours"}
    assert raised(ruleset, calibrates, hour=10) == set()
    refused = [(0, frame(message(9011, "QnRtn=3", flag=4, st=91)))] * 6
    assert raised(ruleset, refused) == {"password_rejected", "password_guessing"}


def test_one_number_with_other_content_is_a_forgery_and_sent_again_is_not(ruleset: Ruleset) -> None:
    first, other = (frame(message(3012, f"PolId={factor}")) for factor in ("w01018", "w21003"))
    assert raised(ruleset, [(1, first), (1, other)]) == {"number_reused"}
    assert raised(ruleset, [(1, first), (1, first)]) == set()


def test_wrong_checks_in_a_row_are_told(ruleset: Ruleset) -> None:
    assert raised(ruleset, [(0, frame(UPLOAD, check=1))] * 25) == {"check_errors"}
    assert raised(ruleset, [(0, frame(UPLOAD, check=1))] * 5) == set()


def test_an_ordinary_day_raises_nothing(ruleset: Ruleset) -> None:
    day = [
        (1, frame(message(1000, "OverTime=5;ReCount=3"))),
        (0, frame(message(9011, "QnRtn=1", flag=4, st=91)) + frame(message(9012, "ExeRtn=1", flag=4, st=91))),
        (1, frame(message(1012, "SystemTime=20261102090001", qn="20261102090001000"))),
        (1, frame(message(1062, "RtdInterval=30", qn="20261102090002000"))),
        (0, frame(UPLOAD.replace("Flag=D", "Flag=N")) * 40),
        (1, frame(message(9014, "", flag=4, st=91))),
        (1, frame(message(2051, "BeginTime=20261101000000;EndTime=20261102000000", qn="20261102090003000"))),
        (0, frame(message(3020, "DataTime=20261102090000;PolId=w01018;i22002-Info=0"))),
        (0, frame(message(9015, "", flag=9, st=91))),
    ]
    assert raised(ruleset, day) == set()
