"""Rules on meters and signal controllers, from octets on the wire to the alert."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.decoders import wire
from tests.decoders.ot.meter import cjt188, dlt645, dlt698, gbt20999

from cityguard import content
from cityguard.collect import collect
from cityguard.collect.collectors import Collectors
from cityguard.detectors.rules import RuleDetector
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset, load

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILES = ("dlt645_*.yml", "dlt698_*.yml", "cjt188_*.yml", "meter_*.yml", "gbt20999_*.yml")
MASTER, GATEWAY = "10.0.0.1", "10.0.0.2"
ADMITTED = bytes.fromhex("0265432104030201")
VOLTAGE = bytes.fromhex("02010100")[::-1]
FLASH = bytes((18, 1, 0, 1, 1))
Said = tuple[int, bytes]


@pytest.fixture(scope="module")
def rules() -> tuple[Ruleset, Engine]:
    folder = content.root() / "rules"
    paths = [path for pattern in FILES for path in sorted((folder / "ot").glob(pattern))]
    ruleset = load([folder / "placeholders.yml", *paths])
    return ruleset, Engine.compile(ruleset)


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    return Collectors.load()


@pytest.fixture
def raised(tmp_path: Path, rules: tuple[Ruleset, Engine], collectors: Collectors) -> Raised:
    return Raised(tmp_path / "meters.pcap", rules, collectors)


class Raised:
    """What a conversation of a master with a gateway is alerted on."""

    def __init__(self, path: Path, rules: tuple[Ruleset, Engine], collectors: Collectors) -> None:
        self._path, self._rules, self._collectors = path, rules, collectors

    def __call__(self, *said: Said, more: tuple[tuple[str, tuple[Said, ...]], ...] = ()) -> set[str]:
        packets = []
        for source, chunks in ((MASTER, said), *more):
            talker = wire.Talker(10_001, source=source, destination=GATEWAY).shake()
            for side, data in chunks:
                talker.say(side, data)
            packets += talker.packets
        self._path.write_bytes(wire.savefile(packets))
        ruleset, engine = self._rules
        detector = RuleDetector(ruleset, engine=engine)
        found = []
        for chunk in collect.read(self._path, self._collectors, collector="capture", now=NOW):
            for batch in chunk.decoded.batches:
                found += detector.detect(batch)
        heads = [ruleset.head(alert.rule_id) for alert in [*found, *detector.finish()]]
        shown = {head.name for head in heads if head and head.level != "informational"}
        return {name.removeprefix("cityguard.ot.") for name in shown if name}


def meters(count: int) -> list[str]:
    return [f"9901260001{number:02d}" for number in range(1, count + 1)]


def test_an_ordinary_round_alerts_on_nothing(raised: Raised) -> None:
    said = [
        one
        for meter in meters(30)
        for one in (
            (0, dlt645(meter, 0x11, VOLTAGE, wake=b"\xfe" * 4)),
            (1, dlt645(meter, 0x91, VOLTAGE + b"\x98\x22", wake=b"\xfe" * 4)),
        )
    ]
    assert raised(*said) == set()
    said = [(0, cjt188(0x10, "33780026000417", 1, b"\x90\x1f\x01"))] * 3
    assert raised(*said) == set()
    said = [(0, dlt698("260407001533", bytes.fromhex("050101400002 0000".replace(" ", ""))))] * 3
    assert raised(*said) == set()
    said = [(0, gbt20999(0x10, bytes((13, 2, 0, 0)))), (1, gbt20999(0x20, bytes((13, 2, 0, 0, 0x21))))] * 3
    assert raised(*said) == set()


def test_a_street_cut_off(raised: Raised) -> None:
    said = [(0, dlt645(meter, 0x1C, ADMITTED + b"\x1a\0" + bytes(6))) for meter in meters(12)]
    assert raised(*said) == {"dlt645_relay", "meter_supply_many"}
    assert raised(said[0]) == {"dlt645_relay"}
    everybody = dlt645("999999999999", 0x1C, ADMITTED + b"\x1a\0" + bytes(6))
    assert raised((0, everybody)) == {"dlt645_relay", "meter_supply_broadcast"}


@pytest.mark.parametrize(
    ("control", "data", "wanted"),
    [
        (0x1A, ADMITTED, {"dlt645_meter_clear"}),
        (0x1B, ADMITTED + b"\xff" * 4, {"dlt645_records_cleared"}),
        (0x15, bytes(6), {"meter_address_written"}),
        (0x18, bytes.fromhex("050c00040465432104654322"), {"dlt645_password_changed"}),
        (0x11, bytes.fromhex("050c0004"), {"dlt645_password_read"}),
        (0x14, bytes.fromhex("01010004020000000403020101021126"), {"dlt645_weak_password"}),
        (0x08, bytes.fromhex("001509021126"), {"meter_clock_off"}),
    ],
)
def test_what_is_done_to_an_electricity_meter(raised: Raised, control: int, data: bytes, wanted: set[str]) -> None:
    assert raised((0, dlt645("990126000101", control, data))) == wanted


def test_passwords_guessed(raised: Raised) -> None:
    write = bytes.fromhex("01010004")
    said = [
        one
        for number in range(6)
        for one in (
            (0, dlt645("990126000101", 0x14, write + bytes((2, number, 0x43, 0x65)) + bytes(8))),
            (1, dlt645("990126000101", 0xD4, b"\x04")),
        )
    ]
    assert raised(*said) == {"dlt645_password_guessing"}


def test_objects_of_a_meter_and_its_terminal(raised: Raised) -> None:
    trip = bytes.fromhex("070101800081000101020451f20502011100120000030100")
    assert raised((0, dlt698("260407001533", trip))) == {"dlt698_relay", "dlt698_control_in_clear"}
    sealed = bytes((0x10, 0, len(trip))) + trip + bytes(18)
    assert raised((0, dlt698("260407001533", sealed))) == {"dlt698_relay"}
    assert raised((0, dlt698("260407001533", bytes.fromhex("070101430001000000")))) == {"dlt698_terminal"}
    elsewhere = bytes.fromhex("06010145000300010102020904cb0071091213ba00")
    assert raised((0, dlt698("260407001533", elsewhere))) == {"dlt698_redirect"}


def test_water_gas_and_heat(raised: Raised) -> None:
    assert raised((0, cjt188(0x30, "33780026000417", 4, b"\xa0\x17\x06\x99"))) == {"cjt188_valve"}
    assert raised((0, cjt188(0x30, "33780026000417", 4, b"\xa0\x14\x06\x01" + bytes(8)))) == {"cjt188_key"}
    shut = [(0, cjt188(0x30, f"337800260004{number}", 4, b"\xa0\x17\x06\x99")) for number in range(10, 25)]
    assert raised(*shut) == {"cjt188_valve", "meter_supply_many"}


def test_signals(raised: Raised) -> None:
    assert raised((0, gbt20999(0x30, FLASH))) == {"gbt20999_command"}
    assert raised((0, gbt20999(0x30, bytes((7, 1, 2, 1, 0, 1))))) == {"gbt20999_safety"}
    assert raised((0, gbt20999(0x30, bytes((2, 3, 1, 0, 203, 0, 113, 9))))) == {"gbt20999_redirect"}
    query = (0, gbt20999(0x10, bytes((13, 2, 0, 0))))
    assert raised(query, more=(("10.0.0.9", (query,)),)) == {"gbt20999_second_host"}


def test_lines_with_wrong_checks(raised: Raised) -> None:
    said = [(0, dlt645("990126000101", 0x11, VOLTAGE))] + [(0, dlt645("990126000101", 0x11, VOLTAGE, sum_by=1))] * 25
    assert raised(*said) == {"meter_frames_wrong"}
