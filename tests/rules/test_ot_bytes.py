"""Industrial rules end to end: messages on the wire, decoded from packets, reach the rule meant for them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.decoders import wire
from tests.decoders.ot import test_ads as ads
from tests.decoders.ot import test_bacnet as bacnet
from tests.decoders.ot import test_bsap as bsap
from tests.decoders.ot import test_c37118 as c37118
from tests.decoders.ot import test_dlms as dlms
from tests.decoders.ot import test_dnp3 as dnp3
from tests.decoders.ot import test_enip as enip
from tests.decoders.ot import test_genisys as genisys
from tests.decoders.ot import test_goose as goose
from tests.decoders.ot import test_hart_ip as hart
from tests.decoders.ot import test_iec104 as iec104
from tests.decoders.ot import test_knxip as knx
from tests.decoders.ot import test_melsec as melsec
from tests.decoders.ot import test_mms as mms
from tests.decoders.ot import test_modbus as modbus
from tests.decoders.ot import test_omron_fins as fins
from tests.decoders.ot import test_opcua as opcua
from tests.decoders.ot import test_profinet as profinet
from tests.decoders.ot import test_roc_plus as roc
from tests.decoders.ot import test_s7comm as s7

from cityguard import content
from cityguard.detectors.rules import RuleDetector
from cityguard.model import EventBatch
from cityguard.sigma.match import hits
from cityguard.sigma.rule import Ruleset, load


def tcp(port: int, *said: bytes) -> list[bytes]:
    """What a client says over TCP."""
    talker = wire.Talker(port).shake()
    for payload in said:
        talker.say(0, payload)
    return talker.packets


def udp(port: int, *said: bytes) -> list[bytes]:
    return [wire.ether(wire.ip4(wire.CLIENT, wire.SERVER, 17, wire.udp(50_000, port, one))) for one in said]


def dcp(*blocks: bytes) -> list[bytes]:
    return [wire.ether(profinet.dcp(0xFEFD, 4, 0, one), 0x8892) for one in blocks]


def s7_talk(*said: bytes) -> list[bytes]:
    talker = wire.Talker(102).shake().say(0, s7.CR).say(1, s7.CC)
    for payload in said:
        talker.say(0, payload)
    return talker.packets


def s7_invocation(name: bytes, argument: bytes = b"") -> bytes:
    head = b"\x28" + bytes(6) + b"\xfd" + struct.pack(">H", len(argument)) + argument
    return s7.job(head + bytes((len(name),)) + name)


def mms_write(item: bytes, value: bytes = b"\x83\1\0") -> bytes:
    return mms.asked(mms.tlv(0xA5, mms.tlv(0xA0, mms.variable(b"LD0", item)), mms.tlv(0xA0, value)))


def umas(function: int) -> bytes:
    return modbus.adu(b"\x5a\1" + bytes((function,)) + bytes(8))


def action(kind: int, method: int, *, tag: int = 0xC3) -> bytes:
    obis = bytes((0, 0, 96, 3, 10, 255))
    return dlms.wrapped(bytes((tag, 1, 0xC3)) + struct.pack(">H", kind) + obis + bytes((method,)) + b"\1\x0f\0")


CASES: tuple[tuple[Sequence[bytes], frozenset[str]], ...] = tuple(
    (packets, frozenset(rules.split()))
    for packets, rules in (
        (tcp(502, umas(0x41)), "modbus_umas_stop act_stop"),
        (tcp(502, umas(0x30)), "modbus_umas_upload act_upload"),
        (tcp(502, modbus.adu(b"\x08\0\4\0\0")), "modbus_listen_only"),
        (s7_talk(s7.job(b"\x29" + bytes(5) + b"\x09P_PROGRAM")), "s7_stop act_stop"),
        (s7_talk(s7_invocation(b"P_PROGRAM")), "s7_start"),
        (s7_talk(s7_invocation(b"_DELE", b"0A00001P")), "s7_delete"),
        (s7_talk(s7_invocation(b"_MODU")), "s7_ram_to_rom"),
        (s7_talk(s7.userdata(4, 7, 2, b"\xff\x09\0\x0a" + bytes(10))), "s7_clock act_clock"),
        (s7_talk(s7.READ, s7.plus(s7.ask(0x056B))), "s7_plus_invoke"),
        (s7_talk(s7.plus(s7.ask(0x056B))), "s7_plus_invoke"),
        (tcp(2404, iec104.frame(iec104.asdu(105, 1, 6, iec104.io(0, b"\1")))), "iec104_reset act_restart"),
        (tcp(2404, iec104.frame(iec104.asdu(110, 1, 6, iec104.io(7, b"\0\1\1")))), "iec104_parameter act_alarm_off"),
        (tcp(2404, bytes((0x68, 4, 0x13, 0, 0, 0))), "iec104_stopdt act_alarm_off"),
        (tcp(20000, dnp3.ask(19)), "dnp3_configuration"),
        (tcp(20000, dnp3.ask(9, bytes((20, 0, 6)))), "dnp3_freeze_clear"),
        (tcp(44818, enip.rr(enip.asked(0x07, enip.place(0x8E, 1)))), "cip_stop act_stop"),
        (tcp(44818, enip.rr(enip.asked(0x10, enip.place(0xF5, 1, 5), b"\1\2"))), "cip_network_settings"),
        (tcp(44818, enip.rr(enip.asked(0x4B, enip.place(0xA1, 1)))), "cip_firmware"),
        (
            tcp(44818, enip.rr(enip.asked(0x4B, enip.place(0x67, 1), b"\7\1\0\1\0\0\0\x0f\0\1\0\x80\1"))),
            "cip_pccc_mode",
        ),
        (udp(47808, bacnet.confirmed(10, b"\x0e" + bacnet.target(2, 7) + b"\x0f")), "bacnet_object_created"),
        (
            udp(47808, bacnet.confirmed(15, bacnet.target(0, 3) + b"\x19\x51\x3e\x11\x3f")),
            "bacnet_alarm_settings bacnet_write act_alarm_off",
        ),
        (udp(47808, bacnet.bvlc(bytes(10), 1)), "bacnet_routing"),
        (tcp(4840, opcua.hello(), opcua.OPENED[1], opcua.msg(opcua.ask(700))), "opcua_history_changed"),
        (tcp(4840, opcua.hello(), opcua.OPENED[1]), "opcua_no_security"),
        (tcp(102, mms_write(b"LLN0$SP$SGCB$ActSG", b"\x86\1\2")), "mms_settings"),
        (tcp(102, mms_write(b"LLN0$GO$gcb01$GoEna")), "mms_reports_off act_alarm_off"),
        (tcp(102, mms.asked(mms.tlv(b"\xbf\x4c", mms.tlv(0x19, b"F.DT")))), "mms_file"),
        (
            [wire.ether(goose.payload(goose.PDU, reserved=0x8000), 0x88B8)],
            "goose_simulation goose_message goose_new_publisher goose_silent goose_configuration_changed",
        ),
        ([wire.ether(goose.payload(goose.SAV), 0x88BA)], "sv_message"),
        (udp(9600, fins.frame(0x0402, b"")), "fins_stop act_stop"),
        (udp(9600, fins.frame(0x0307, b"\0\0\0\0\0\0\0\0\2\1\1")), "fins_program_write act_download"),
        (tcp(5007, melsec.request(0x1002, 0, b"\1\0")), "melsec_stop act_stop"),
        (tcp(5007, melsec.request(0x1001, 0, b"\1\0\0\0")), "melsec_run"),
        (tcp(5007, melsec.request(0x1006, 0, b"\1\0")), "melsec_reset act_restart"),
        (tcp(5007, melsec.request(0x1829, 0, bytes(8))), "melsec_file_write act_download"),
        (tcp(5007, melsec.request(0x1828, 0, bytes(8))), "melsec_file_read act_upload"),
        (dcp(profinet.block(5, 6, b"\0\2")), "profinet_factory_reset"),
        (dcp(profinet.block(2, 2, b"\0\1press-01")), "profinet_name_set"),
        (
            [wire.ether(b"\xc0\1" + bytes(40) + b"\0\1\x25\0", 0x8892)],
            "profinet_provider_stopped",
        ),
        (udp(5094, hart.message(3, hart.token(40, struct.pack(">f", 12)))), "hart_fixed_current"),
        (udp(5094, hart.message(3, hart.token(35, b"\x39" + struct.pack(">ff", 100, 0)))), "hart_configuration"),
        (udp(5094, hart.message(3, hart.token(42))), "hart_device_reset act_restart"),
        (udp(5094, hart.message(3, hart.token(6, b"\5"))), "hart_address"),
        (udp(3671, knx.frame(0x0530, knx.telegram(0x380, group=False))), "knx_restart"),
        (udp(3671, knx.frame(0x0530, knx.telegram(0x280, b"\x10\0\xff", group=False))), "knx_programming"),
        (udp(3671, knx.frame(0x0530, knx.telegram(0x3D3, b"\0\1\2\3\4", group=False))), "knx_programming"),
        (tcp(48898, ads.packet(5, b"\6\0\0\0\0\0\0\0")), "ads_state act_stop"),
        (udp(48899, b"\x71\x14\x66\x03" + struct.pack("<II", 1, 6) + bytes(12)), "ads_route_added"),
        (tcp(4712, c37118.frame(4, b"\0\1")), "c37118_data_off"),
        (tcp(4059, action(70, 1)), "dlms_disconnect dlms_switch"),
        (tcp(4059, action(18, 1)), "dlms_image"),
        (tcp(4059, action(64, 2)), "dlms_keys"),
        (tcp(4059, action(8, 2, tag=0xC1)), "dlms_clock act_clock"),
        (tcp(4000, roc.message(181, b"\1\x66\0\3\x01")), "roc_write"),
        (udp(1234, bsap.local(0x78, 3, 77, bytes(8))), "bsap_download act_download"),
        (tcp(10001, genisys.message(0xFC, 1, b"\2\5")), "act_control"),
    )
)


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    whole = load([content.root() / "rules"])
    return replace(whole, rules=tuple(rule for rule in whole.rules if rule.head.name.startswith("cityguard.ot.")))


def _found(batches: Sequence[EventBatch], ruleset: Ruleset) -> set[str]:
    return {
        rule.head.name.removeprefix("cityguard.ot.")
        for batch in batches
        if batch.dataset == "ot"
        for rule, _ in hits(ruleset, batch)
    }


@pytest.mark.parametrize(("packets", "rules"), CASES, ids=[" ".join(sorted(rules)) for _, rules in CASES])
def test_a_message_on_the_wire_reaches_its_rules(
    packets: Sequence[bytes], rules: frozenset[str], ruleset: Ruleset
) -> None:
    assert rules <= _found(wire.decode(packets).batches, ruleset)


def test_a_name_told_by_two_devices_is_one_alert(ruleset: Ruleset) -> None:
    told = profinet.dcp(0xFEFF, 5, 1, profinet.block(2, 1, b"\0\0PLC") + profinet.block(2, 2, b"\0\0pump-1"))
    macs = [bytes.fromhex("0200000000ff" + one) for one in ("001b1b000007", "000c29112233")]
    detector = RuleDetector(ruleset)
    batches = wire.decode([wire.ether(told, 0x8892, mac) for mac in macs]).batches
    raised = [alert.title.en for batch in batches for alert in detector.detect(batch)]
    assert raised == ["One PROFINET Name Told By Two Devices"]


def test_reads_reach_none_of_the_rules_for_acts(ruleset: Ruleset) -> None:
    acts = {rule for _, rules in CASES for rule in rules if not rule.startswith(("goose", "sv", "opcua_no"))}
    talks = (
        tcp(502, modbus.READ),
        s7_talk(s7.READ, s7.PLUS),
        tcp(2404, iec104.MEASURED),
        tcp(20000, dnp3.ask(1, bytes((60, 2, 6)))),
        tcp(44818, enip.rr(enip.asked(0x0E, enip.place(0xF5, 1, 5)))),
        udp(47808, bacnet.confirmed(12, bacnet.PRESENT)),
        tcp(4840, opcua.hello(), opcua.OPENED[1], opcua.msg(opcua.READ)),
        tcp(102, mms.READ),
        udp(9600, fins.READ),
        tcp(5007, melsec.READ),
        udp(5094, hart.message(3, hart.token(3))),
        udp(3671, knx.frame(0x0530, knx.telegram(0))),
        tcp(48898, ads.READ),
        tcp(4712, c37118.DATA),
        tcp(4059, dlms.wrapped(dlms.GET)),
        tcp(4000, roc.message(180, b"\2\x65\0\1\x67\1\2")),
        udp(1234, bsap.ASK),
        tcp(10001, genisys.message(0xFB, 9)),
    )
    for packets in talks:
        batches = wire.decode(packets).batches
        assert any(batch.dataset == "ot" for batch in batches)
        assert not acts & _found(batches, ruleset)
