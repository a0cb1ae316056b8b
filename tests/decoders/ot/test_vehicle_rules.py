"""Rules on vehicles, charge points and IoT devices, from octets on the wire to the alert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.decoders import wire
from tests.decoders.app import test_coap as coap
from tests.decoders.app import test_messaging as mqtt
from tests.decoders.ot import test_jt808 as jt808
from tests.decoders.ot import test_jt809 as jt809
from tests.decoders.ot import test_ocpp as ocpp

from cityguard import content
from cityguard.collect import collect
from cityguard.collect.collectors import Collectors
from cityguard.detectors.rules import RuleDetector
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset, load

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLATFORM = "10.0.9.9"
FILES = ("jt808_*.yml", "jt809_*.yml", "ocpp_*.yml", "lwm2m_*.yml", "coap_*.yml", "mqtt_*.yml", "iot_*.yml")


@pytest.fixture(scope="module")
def rules() -> tuple[Ruleset, Engine]:
    folder = content.root() / "rules"
    paths = [path for pattern in FILES for path in sorted(folder.glob(f"*/{pattern}"))]
    ruleset = load([folder / "placeholders.yml", *paths])
    return ruleset, Engine.compile(ruleset)


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    return Collectors.load()


class City:
    """Conversations put into one capture, and what is alerted on."""

    def __init__(self, folder: Path, rules: tuple[Ruleset, Engine], collectors: Collectors) -> None:
        self._folder, self._rules, self._collectors = folder, rules, collectors
        self._packets: list[bytes] = []

    def tcp(self, station: str, *chunks: tuple[int, bytes], port: int = 9_001) -> None:
        talker = wire.Talker(port, source=station, destination=PLATFORM).shake()
        for side, data in chunks:
            talker.say(side, data)
        self._packets += talker.packets

    def udp(self, source: str, destination: str, data: bytes, *, port: int = 5_683) -> None:
        self._packets.append(wire.ether(wire.ip4(source, destination, 17, wire.udp(40_000, port, data))))

    def alerts(self) -> set[str]:
        path = self._folder / "city.pcap"
        path.write_bytes(wire.savefile(self._packets))
        ruleset, engine = self._rules
        detector = RuleDetector(ruleset, engine=engine)
        found = []
        for chunk in collect.read(path, self._collectors, collector="capture", now=NOW):
            for batch in chunk.decoded.batches:
                found += detector.detect(batch)
        heads = [ruleset.head(alert.rule_id) for alert in [*found, *detector.finish()]]
        shown = {head.name for head in heads if head and head.level != "informational"}
        return {name.rpartition(".")[2] for name in shown if name}


@pytest.fixture
def city(tmp_path: Path, rules: tuple[Ruleset, Engine], collectors: Collectors) -> Iterator[City]:
    yield City(tmp_path, rules, collectors)


def stations(count: int, net: int = 0) -> list[str]:
    return [f"10.1.{net}.{n}" for n in range(1, count + 1)]


def test_an_ordinary_hour_alerts_on_nothing(city: City) -> None:
    for n, address in enumerate(stations(12), 1):
        phone = f"0139000000{n:02d}"
        said = [
            (0, jt808.frame(0x0102, b"Zk9x7Q%02d" % n, phone=phone)),
            (1, jt808.frame(0x8001, b"\0\1\1\2\0", phone=phone)),
            (1, jt808.frame(0x8103, jt808.parameters((1, b"\0\0\0\x3c"), (0x55, b"\0\0\0\x50")), phone=phone)),
            (0, jt808.frame(0x0001, b"\0\1\x81\3\0", phone=phone)),
            *((0, jt808.frame(0x0200, jt808.place(f"2611020915{s:02d}"), phone=phone)) for s in range(20)),
        ]
        city.tcp(address, *said)
    for n, address in enumerate(stations(12, 1), 1):
        beat = [(ocpp.call(0, "Heartbeat", {}, f"h{k}"), ocpp.result(1, {}, f"h{k}")) for k in range(5)]
        start = ocpp.call(1, "RemoteStartTransaction", {"idTag": "A", "connectorId": 1}, "r1")
        city.tcp(address, *ocpp.upgrade(path=f"/o/CP{n}"), *(one for pair in beat for one in pair), start, port=9_180)
    for address in stations(9, 2):
        city.udp(address, PLATFORM, coap.message(2, f"rd?ep={address}&lt=300"))
    assert city.alerts() == set()


def test_a_vehicle_is_sent_away_listened_to_and_switched_off(city: City) -> None:
    move = jt808.parameters((0x13, b"203.0.113.50"), (0x48, b"13900000000"), (0x55, b"\0\0\0\xb4"))
    listen, off, upgrade = jt808.frame(0x8400, b"\1139"), jt808.frame(0x8105, b"\3"), jt808.frame(0x8108, bytes(12))
    city.tcp("10.1.0.1", (1, jt808.frame(0x8103, move)), (1, listen), (1, off), (1, upgrade))
    city.tcp("10.1.0.2", (1, jt808.frame(0x8500, b"\1")))
    wanted = "redirect listening_number speed_limit eavesdrop silenced upgrade vehicle_control"
    assert city.alerts() == {f"jt808_{word}" for word in wanted.split()}


def test_terminals_that_share_a_code_a_number_or_a_fate(city: City) -> None:
    for n, address in enumerate(stations(25), 1):
        phone = f"0139000000{n:02d}"
        shown = [(0, jt808.frame(0x0102, b"Zk9x7Q", phone=phone))] if n <= 6 else []
        city.tcp(address, *shown, (1, jt808.frame(0x8105, b"\4", phone=phone)))
    city.tcp("10.1.1.1", (0, jt808.frame(0x0200, jt808.place())), (0, jt808.frame(0x0002)))
    city.tcp("10.1.1.2", (0, jt808.frame(0x0200, jt808.place("261102091510", latitude=20_000_000))))
    city.tcp("10.1.1.2", (0, jt808.frame(0x0200, jt808.place("261102080000"))), port=9_002)
    wanted = "code_shared control_many phone_twice position_jump time_back"
    assert city.alerts() == {f"jt808_{word}" for word in wanted.split()}


def test_platforms_of_vehicles(city: City) -> None:
    city.tcp("10.1.0.1", (0, jt809.frame(0x1001, jt809.login(b"123456", b"10.1.0.7"))), (0, jt809.frame(0x1005)))
    city.tcp("10.1.0.2", *((1, jt809.frame(0x1002, b"\4\0\0\0\0")) for _ in range(6)))
    city.tcp("10.1.0.3", (1, jt809.frame(0x9500, jt809.vehicle(0x9502), key=5)))
    wanted = "clear_password default_password downlink_elsewhere password_guessing monitoring weak_cipher"
    assert city.alerts() == {f"jt809_{word}" for word in wanted.split()}


def test_charge_points_are_misled_one_by_one(city: City) -> None:
    profile = {"connectionData": {"ocppCsmsUrl": "wss://203.0.113.9/x", "securityProfile": 1}}
    orders = (
        ("UpdateFirmware", {"location": "http://203.0.113.9/f"}),
        ("SetNetworkProfile", profile),
        ("GetDiagnostics", {"location": "ftp://203.0.113.9/l"}),
        ("DeleteCertificate", {}),
    )
    more = "Authorization: Basic Q1AgMDAxOkNQIDAwMQ==\r\n"  # its own id
    calls = [ocpp.call(1, action, payload, f"m{n}") for n, (action, payload) in enumerate(orders)]
    city.tcp("10.1.0.1", *ocpp.upgrade(more=more), *calls, ocpp.call(0, "Heartbeat", {}), port=9_180)
    city.tcp("10.1.0.2", *ocpp.upgrade(), ocpp.call(0, "Heartbeat", {}), port=9_180)
    city.tcp("198.51.100.4", *ocpp.upgrade(path="/o/CP9"), ocpp.call(0, "Heartbeat", {}), port=9_180)
    words = "firmware_foreign firmware_clear redirect security_lowered log_foreign certificate basic_default"
    assert city.alerts() == {f"ocpp_{word}" for word in (*words.split(), "id_twice", "clear")}


def test_charge_points_are_misled_together(city: City) -> None:
    none = {"chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0}]}}
    for n, address in enumerate(stations(12), 1):
        orders = (
            ocpp.call(1, "Reset", {"type": "Hard"}, "m1"),
            ocpp.call(1, "SetChargingProfile", {"connectorId": 0, "csChargingProfiles": none}, "m2"),
        )
        city.tcp(address, *ocpp.upgrade(path=f"/o/CP{n}"), *orders, port=9_180)
    assert city.alerts() == {"ocpp_reset_many", "ocpp_profile_many"}


def test_iot_devices(city: City) -> None:
    city.udp("10.1.0.1", PLATFORM, coap.message(2, "rd?ep=imei1"))
    city.udp("10.1.0.2", PLATFORM, coap.message(2, "rd?ep=imei1"))
    for n, (code, path, payload) in enumerate(
        ((3, "5/0/1", b"http://203.0.113.9/f"), (3, "0/1/0", b"coap://203.0.113.9"), (2, "3/0/5", b""))
    ):
        city.udp(PLATFORM, "10.1.0.1", coap.message(code, path, payload, number=n + 5, token=bytes((n,))))
    orders = [(1, mqtt.published(b"city/lamp/%02d/set" % n, b"on", 0x31)) for n in range(40)]
    broker = [(0, mqtt.CONNECT), (1, b"\x20\x02\0\0")]
    city.tcp("10.1.0.3", *broker, *orders, port=1_883)
    city.tcp("10.1.0.4", *broker, port=1_883)
    city.tcp("198.51.100.4", *broker, port=1_883)
    assert city.alerts() == {
        *("lwm2m_device_twice", "lwm2m_firmware_foreign", "lwm2m_bootstrap", "lwm2m_reset"),
        *("mqtt_retained_command", "mqtt_client_twice", "mqtt_clear", "iot_command_many"),
    }
