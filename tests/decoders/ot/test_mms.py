"""MMS on session, presentation and ACSE, and directly on transport."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.ot import talk

from cityguard import columns
from cityguard.decoders.ot import mms, mms_pdu
from cityguard.decoders.wire import ber

BLANK: dict[str, Any] = dict.fromkeys(columns.names("ot"))


def tlv(tag: int | bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    head = bytes((tag,)) if isinstance(tag, int) else tag
    size = bytes((len(body),)) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    return head + size + body


def tpkt(unit: bytes, cotp: bytes = b"\x02\xf0\x80") -> bytes:
    return struct.pack(">BBH", 3, 0, 4 + len(cotp) + len(unit)) + cotp + unit


def data(pdu: bytes) -> bytes:
    return tpkt(b"\1\0\1\0" + tlv(0x61, tlv(0x30, b"\2\1\3", tlv(0xA0, pdu))))


def connect(pdu: bytes, session: int = 0x0D, acse: int = 0x60) -> bytes:
    external = tlv(0x28, b"\2\1\3", tlv(0xA0, pdu))
    association = tlv(acse, tlv(0xA1, b"\6\1\x28"), tlv(0xBE, external))
    user = tlv(0x61, tlv(0x30, b"\2\1\1", tlv(0xA0, association)))
    presentation = tlv(0x31, tlv(0xA0, b"\x80\1\1"), tlv(0xA2, b"\x81\4\0\0\0\1", user))
    return tpkt(
        bytes((session,))
        + b"\xff"
        + struct.pack(">H", len(presentation) + 4)
        + b"\xc1\xff"
        + presentation_size(presentation)
    )


def presentation_size(presentation: bytes) -> bytes:
    return struct.pack(">H", len(presentation)) + presentation


def asked(service: bytes, invoke: int = 1) -> bytes:
    return data(tlv(0xA0, tlv(2, struct.pack(">H", invoke)), service))


def answer(service: bytes, invoke: int = 1) -> bytes:
    return data(tlv(0xA1, tlv(2, struct.pack(">H", invoke)), service))


def name(domain: bytes, item: bytes) -> bytes:
    return tlv(0xA1, tlv(0x1A, domain), tlv(0x1A, item))


def variable(domain: bytes, item: bytes) -> bytes:
    return tlv(0x30, tlv(0xA0, name(domain, item)))


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1) -> list[dict[str, Any]]:
    talker = wire.Talker(102).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return [BLANK | row for row in wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()]


INITIATE = tlv(0xA8, b"\x80\2\x7d\0", b"\x81\1\5", b"\x82\1\5", b"\x83\1\x0a", tlv(0xA4, b"\x80\1\1"))
READ = asked(tlv(0xA4, tlv(0xA1, tlv(0xA0, variable(b"LD0", b"MMXU1$MX$A")))))
VALUES = answer(tlv(0xA4, tlv(0xA1, tlv(0xA2, b"\x83\1\xff", b"\x85\1\xfb", b"\x87\5\x08" + struct.pack(">f", 2.5)))))
OPERATE = asked(tlv(0xA5, tlv(0xA0, variable(b"LD0", b"CSWI1$CO$Pos$Oper")), tlv(0xA0, tlv(0xA2, b"\x83\1\1"))), 2)


def test_an_association_carries_initiate() -> None:
    accept = tlv(0xA9, b"\x80\2\x7d\0", b"\x81\1\5", b"\x82\1\5")
    one, two = rows((0, connect(INITIATE)), (1, connect(accept, 0x0E, 0x61)))
    assert [row["ot.message.type"] for row in (one, two)] == ["initiate-request", "initiate-response"]
    assert [row["ot.function.code"] for row in (one, two)] == [None, None]
    assert [row["ot.is_request"] for row in (one, two)] == [True, False]
    assert json.loads(one["event.fields"])["nesting"] == 10


def test_a_read_and_its_values_know_each_other() -> None:
    one, two = rows((0, READ), (1, VALUES))
    for row in (one, two):
        assert (row["ot.function.code"], row["ot.function.name"], row["ot.function.class"]) == (4, "read", "read")
        assert (row["ot.address"], row["ot.transaction_id"], row["ot.protocol"]) == ("LD0/MMXU1$MX$A", 1, "mms")
    assert (one["ot.message.type"], two["ot.message.type"]) == ("confirmed-request", "confirmed-response")
    assert two["ot.value"] == "true,-5,2.5"


def test_a_write_to_an_operate_object_is_control() -> None:
    one, two = rows((0, OPERATE), (1, answer(tlv(0xA5, b"\x81\0"), 2)))
    assert (one["ot.function.class"], one["ot.value"], one["ot.address"]) == (
        "control",
        "true",
        "LD0/CSWI1$CO$Pos$Oper",
    )
    assert (two["ot.function.class"], two["ot.address"]) == ("control", "LD0/CSWI1$CO$Pos$Oper")
    (plain,) = rows((0, asked(tlv(0xA5, tlv(0xA0, variable(b"LD0", b"LLN0$BR$rcb")), tlv(0xA0, b"\x83\1\1")))))
    assert plain["ot.function.class"] == "write"


def test_refusals_are_errors_with_their_reason() -> None:
    refused = data(tlv(0xA2, b"\x80\2\0\1", tlv(0xA2, tlv(0xA0, b"\x87\1\2"))))
    denied = answer(tlv(0xA5, b"\x80\1\3"), 2)
    _, one, _, two = rows((0, READ), (1, refused), (0, OPERATE), (1, denied))
    assert (one["ot.status"], one["ot.function.code"], one["ot.address"]) == (
        "access/object-non-existent",
        4,
        "LD0/MMXU1$MX$A",
    )
    assert (two["ot.status"], two["ot.function.class"]) == ("object-access-denied", "error")
    assert one["ot.function.class"] == "error"


def test_a_report_is_named_by_its_own_id() -> None:
    results = tlv(0xA0, tlv(0x8A, b"LD0/LLN0$RP$rcb01"), b"\x84\2\6\x40", b"\x83\1\0")
    (row,) = rows((1, data(tlv(0xA3, tlv(0xA0, tlv(0xA1, b"\x80\3RPT"), results)))))
    assert (row["ot.function.name"], row["ot.function.code"]) == ("informationReport", None)
    assert (row["ot.address"], row["ot.quantity"], row["ot.message.type"]) == ("LD0/LLN0$RP$rcb01", 3, "unconfirmed")


@pytest.mark.parametrize(
    ("service", "code", "kind", "address"),
    [
        (tlv(0xBA, b"\x80\3dom", tlv(0xA1, tlv(0x1A, b"cap")), b"\x82\1\0"), 26, "program", "dom"),
        (tlv(b"\x9f\x24", b"dom"), 36, "program", "dom"),
        (tlv(b"\xbf\x28", b"\x80\4prog"), 40, "control", "prog"),
        (tlv(b"\xbf\x48", tlv(0xA0, tlv(0x19, b"COMTRADE/a.cfg")), b"\x81\1\0"), 72, "read", "COMTRADE/a.cfg"),
        (tlv(b"\xbf\x4c", tlv(0x19, b"a.cfg")), 76, "program", "a.cfg"),
        (tlv(0xA1, tlv(0xA0, b"\x80\1\0"), tlv(0xA1, b"\x81\3LD0")), 1, "read", "LD0"),
        (tlv(0xA6, tlv(0xA0, name(b"LD0", b"LLN0"))), 6, "read", "LD0/LLN0"),
        (b"\x82\0", 2, "diagnostic", None),
    ],
)
def test_services_are_classed_and_named(service: bytes, code: int, kind: str, address: str | None) -> None:
    (row,) = rows((0, asked(service)))
    assert (row["ot.function.code"], row["ot.function.class"], row["ot.address"]) == (code, kind, address)


def test_the_end_of_an_association_is_seen() -> None:
    release = tpkt(b"\x09\x10\xc1\x0e" + tlv(0x61, tlv(0x30, b"\2\1\1", tlv(0xA0, tlv(0x62, b"\x80\1\0")))))
    conclude = (data(b"\x8b\0"), data(b"\x8c\0"))
    found = rows((0, conclude[0]), (1, conclude[1]), (0, release), (1, tpkt(b"\x19\3\x11\1\3")))
    assert [row["ot.message.type"] for row in found] == [
        "conclude-request",
        "conclude-response",
        "release-request",
        "abort",
    ]


def test_messages_directly_on_transport_are_read() -> None:
    pdu = tlv(0xA0, b"\2\1\1", tlv(0xB3, tlv(0xA0, b"\x80\3sem")))
    found = rows((0, tpkt(INITIATE)), (0, tpkt(pdu)))
    assert [row["ot.function.name"] for row in found] == ["initiate", "takeControl"]


def test_what_is_no_mms_is_left_alone() -> None:
    assert not rows((0, tpkt(b"\x0d" + bytes(range(60)))))
    assert not rows((0, tpkt(b"\xa0\5hello")))


@pytest.mark.parametrize("mss", [30, 45, 77])
@pytest.mark.parametrize("pieces", [1, 3])
def test_borders_of_segments_and_pieces_change_nothing(mss: int, pieces: int) -> None:
    said = ((0, READ), (1, VALUES), (0, OPERATE))

    def told(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: one for key, one in row.items() if key.startswith("ot.")} for row in found]

    talkers = [wire.Talker(102).shake() for _ in range(2)]
    for talker, size in zip(talkers, (1400, mss), strict=True):
        talker.say(0, READ)
        for side, payload in (*said[1:],):
            talker.say(side, payload, mss=size)
    whole, split = (wire.table(wire.decode(one.packets, pieces=pieces), "ot").to_dicts() for one in talkers)
    assert told(whole) == told(split)
    assert len(whole) == 3


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 13), st.integers(0, 80))
def test_no_bytes_raise(raw: bytes, kind: int, service: int) -> None:
    (protocol,) = mms.PROTOCOLS
    mms.starts(raw, True)
    mms.starts(tpkt(raw), True)
    mms_pdu.is_pdu(raw)
    tag = bytes((0xA0 | service,)) if service < 31 else bytes((0xBF, service))
    talk.said(
        protocol,
        (0, asked(tlv(tag, raw))),
        (1, answer(tlv(tag, raw))),
        (0, data(tlv(0xA0 | kind, raw))),
        (1, tpkt(raw or b"\0")),
        (1, connect(raw)),
        (0, tpkt(b"\1\0\1\0" + raw)),
    )


def test_nesting_is_bounded() -> None:
    deep = b"\x83\1\1"
    for _ in range(60):
        deep = tlv(0xA2, deep)
    (row,) = rows((1, answer(tlv(0xA4, tlv(0xA1, deep)))))
    assert row["ot.value"] is None
    assert ber.item(b"\x30\x84\xff\xff\xff\xff", 0, 6) is None
    assert ber.item(b"\x1f\xff\xff\xff\xff\xff\1\0", 0, 8) is None
