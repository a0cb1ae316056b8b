"""SL 651-2014 between hydrological stations and their centres."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.ot.hydrology import SENT, STATION, body, frame, letters, report
from tests.decoders.ot.talk import ends, said, sent, some
from tests.decoders.ot.talk import rows as told_by

from cityguard.decoders import capture
from cityguard.decoders.ot import sl651_body, sl651_frame, sl651_names
from cityguard.decoders.ot.sl651 import PROTOCOLS, Sl651, starts, within
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.sought import MAX_RUNS

SL651 = PROTOCOLS[0]
ELEMENTS = "201900001526190040253923000104903812" + "1236"


def one(raw: bytes) -> dict[str, Any]:
    (row,) = said(SL651, (0, raw), port=5050)
    return row


def more(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["event.fields"])
    return found


def elements(rest: str, code: int = 0x32) -> dict[str, Any]:
    found = sl651_body.read(code, report(rest), up=True)
    return {element.name: element.value for element in found.elements}


def test_a_timed_report_tells_its_elements_and_when_it_was_sent() -> None:
    row = one(frame(0x32, report(ELEMENTS)))
    assert some(row, "function.code", "function.name", "function.class", "unit_id", "message.type") == (
        50, "timed_report", "read", STATION, "up",
    )  # fmt: skip
    assert some(row, "address", "value", "quantity") == ("PJ,PT,Z,VT", "1.5,402.5,10.49,12.36", 4)
    assert row["ot.time"] == datetime(2026, 11, 2, 1, 0, 3, tzinfo=UTC)
    assert some(row, "station_kind", "platform_id", "transaction_id", "status") == ("48H river", "18", 8, None)
    assert more(row) == {"encoding": "hex", "end": "ETX", "observed": "2026-11-02T09:00"}


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("3923ff001250", {"Z": -1.25}),
        ("3923ffffffff", {"Z": None}),
        ("39230a001250", {"Z": None}),
        ("0210ff15", {"AI": -15}),
        ("45200000008a", {"ZT": "0000008A"}),
        ("ff0318123456", {"FF03": 123456}),
        ("05100130", {"DT": "01.30"}),
        ("f460" + "05" + "00" * 10 + "ff", {"DRP": [0.5, *[0.0] * 10, None]}),
        ("f5c0" + "0419" * 11 + "ffff", {"DRZ1": [10.49] * 11 + [None]}),
        ("fcc0" + "0001" * 12, {"DRZ8": [0.01] * 12}),
        ("f2f2" + "良好".encode("gb18030").hex(), {"RGZS": "良好"}),
        ("f3f3ffd8ffe0", {"PIC": 4}),
    ],
)
def test_elements_of_every_form_are_read(rest: str, told: dict[str, Any]) -> None:
    assert elements(rest) == told


def test_an_element_beyond_the_end_stops_the_body_and_what_is_done_stays() -> None:
    row = one(frame(0x32, report("20190000153923000104")))
    assert some(row, "address", "value", "flags") == ("PJ", "1.5", ["undecoded"])


def test_values_behind_a_time_step_fill_the_rest() -> None:
    found = sl651_body.read(0x31, report("0418000005" + "3a23" + "00010490" * 3), up=True)
    assert (found.step, [tuple(one) for one in found.elements]) == ("DRN05", [("ZB", "3A", [10.49] * 3)])


def test_every_guide_of_the_annex_has_its_symbol() -> None:
    assert [sl651_names.ELEMENTS[code] for code in (0x01, 0x1A, 0x1F, 0x20, 0x26, 0x38, 0x39, 0x45, 0x75)] == [
        "AC", "P1", "PD", "PJ", "PT", "VT", "Z", "ZT", "VIC",
    ]  # fmt: skip


def test_answers_may_tell_a_class_or_a_bare_status_word() -> None:
    pumps = sl651_body.read(0x44, report("7018022005", kind="44"), up=True)
    assert (pumps.kind, pumps.observed, [one.name for one in pumps.elements]) == (0x44, "2026-11-02T09:00", ["VTA"])
    for rest in ("00000001", "452000000001"):
        found = sl651_body.read(0x46, body(f"f1f1{STATION}{rest}"), up=True)
        assert (found.status, [one.name for one in found.elements]) == (1, ["ZT"])
    assert one(frame(0x38, body("2611010026110200041800000539"), up=False))["ot.address"] == "Z"
    events = sl651_body.read(0x50, body(f"f1f1{STATION}" + "0001" * 32), up=True)
    assert events.counts == [1] * 32
    version = sl651_body.read(0x45, body(f"f1f1{STATION}05") + b"V1.20", up=True)
    assert version.text == "V1.20"


def test_pumps_and_gates_are_told_one_by_one() -> None:
    pumps = one(frame(0x4C, body("0105"), up=False))
    assert some(pumps, "value", "function.class", "is_request") == ("05", "control", True)
    assert (more(pumps)["on"], more(pumps)["off"]) == ([1, 3], [2, 4, 5, 6, 7, 8])
    gates = one(frame(0x4E, body("0305" + "0150" + "0000" + "0999"), up=False))
    assert (gates["ot.value"], more(gates)["on"], more(gates)["openings_cm"]) == ("05", [1, 3], [150, 0, 999])


def test_a_stations_own_report_of_an_operation_is_no_request() -> None:
    row = one(frame(0x4C, body(f"f1f1{STATION}0105")))
    assert some(row, "function.class", "is_request", "value") == ("control", False, "05")


@pytest.mark.parametrize(
    ("code", "rest", "told"),
    [
        (0x40, "0450022030001130660" + "05050", ("04", "203.0.113.66:5050", "203.0.113.66:5050", "203.0.113.66")),
        (0x40, "045000139123456789000000", ("04", "off", "off", None)),
        (0x40, "0c0801", ("0C", "M1 report", None, None)),
        (0x42, "301bff1500", ("30", "-1.5", None, None)),
        (0x42, "200801381212" + "50", ("20,38", "1,12.5", None, None)),
        (0x47, "9700", ("97", None, None, None)),
        (0x48, "9800", ("98", None, None, None)),
        (0x4F, "ff", (None, "FF", None, None)),
        (0x4A, "", (None, "2026-11-02T09:00:03", None, None)),
        (0x3A, "39232019", ("Z,PJ", None, None, None)),
        (0x41, "04500c08", ("04,0C", None, None, None)),
    ],
)
def test_orders_and_questions_tell_what_they_are_about(code: int, rest: str, told: tuple[Any, ...]) -> None:
    row = one(frame(code, body(rest), up=False))
    assert some(row, "address", "value", "target", "target_ip") == told
    assert row["ot.is_request"]


def test_a_channel_switched_off_is_marked() -> None:
    assert one(frame(0x40, body("045000" + "0" * 18), up=False))["ot.flags"] == ["channel_off"]


def test_passwords_are_judged_and_no_row_holds_one() -> None:
    plain = one(frame(0x32, report(ELEMENTS), password="d7b1"))
    weak = one(frame(0x32, report(ELEMENTS), password="0000"))
    change = one(frame(0x49, body("0310d7b103101234"), up=False, password="d7b1"))
    config = one(frame(0x40, body("0310ffff"), up=False, password="d7b1"))
    assert [row["ot.password.verdict"] for row in (plain, weak, change, config)] == [
        "ok",
        "default",
        "default",
        "default",
    ]
    assert "d7b1" not in json.dumps([plain, change, config], default=str).lower()
    assert "1234" not in json.dumps(change, default=str).replace(plain["ot.password.hash"], "")


def test_the_centre_confirms_refuses_and_lets_go() -> None:
    rows = said(SL651, *((1, frame(0x32, body(), up=False, end=end)) for end in (0x06, 0x15, 0x04, 0x1B)), port=5050)
    assert [row["ot.is_request"] for row in rows] == [False] * 4
    assert [row["ot.status"] for row in rows] == [None, "nak", None, None]


def test_faults_of_a_station_stand_in_its_flags() -> None:
    assert one(frame(0x32, report("452000000083")))["ot.flags"] == ["mains_lost", "battery_low", "pump_running"]
    assert one(frame(0x32, report("452000000400")))["ot.flags"] == ["door_open"]


def test_what_is_odd_is_marked() -> None:
    late = one(frame(0x32, report(ELEMENTS, observed="2611021000")))
    other = one(frame(0x32, report(ELEMENTS, station="0099010009")))
    every = one(frame(0x4D, body("0100"), up=False, station="990100ffff"))
    assert [row["ot.flags"] for row in (late, other, every)] == [["observed_ahead"], ["station_differs"], ["broadcast"]]


def test_a_wrong_check_and_a_wrong_length_are_told() -> None:
    wrong = one(frame(0x4D, body("0100"), up=False, wrong=1))
    assert some(wrong, "status", "value", "function.class") == ("crc_error", "00", "control")
    short = one(frame(0x32, report(ELEMENTS), length=9))
    assert some(short, "status", "flags", "address") == (None, ["length_error"], "PJ,PT,Z,VT")
    whole = frame(0x32, report(ELEMENTS), length=400)
    rows = said(SL651, (0, whole), (0, frame(0x2F, body())), port=5050)
    second, first = sorted(rows, key=lambda row: row["ot.function.code"])
    assert some(first, "flags", "quantity") == (["length_error"], 4)
    assert second["ot.function.name"] == "link_keepalive"


def test_a_frame_whose_end_never_comes_is_told_as_far_as_it_goes() -> None:
    row = one(frame(0x32, report(ELEMENTS))[:50])
    assert some(row, "status", "unit_id", "function.code") == ("length_error", STATION, 50)
    assert row["event.flags"] == ["truncated"]


def picture() -> list[bytes]:
    first = report("f3f3") + bytes(range(40)) + b"\x7e\x7e\x12\x00\x99"
    return [
        frame(0x36, first, part=(3, 1), end=0x17),
        frame(0x36, bytes(50), part=(3, 2), end=0x17),
        frame(0x36, bytes(9), part=(3, 3)),
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (0, 1, 1, 2), (1, 0, 2)])
def test_a_picture_in_packets_is_one_message(order: tuple[int, ...]) -> None:
    parts = picture()
    (row,) = said(SL651, *((0, parts[at]) for at in order), port=5050)
    assert some(row, "function.code", "address", "flags", "transaction_id") == (54, "PIC", ["m3"], 8)
    assert (more(row)["picture_octets"], more(row)["packets"]) == (45 + 50 + 9, 3)
    (row,) = sent(SL651, *((0, parts[at]) for at in order), port=5050)
    assert more(row)["picture_octets"] == 104


def test_packets_that_stay_away_leave_a_message_that_says_so() -> None:
    (row,) = said(SL651, *((0, part) for part in picture()[:2]), port=5050)
    assert (row["event.flags"], row["ot.function.name"]) == (["truncated"], "picture_report")
    bad = picture()[1][:-1] + b"\0"
    rows = said(SL651, (0, picture()[0]), (0, bad), port=5050)
    assert {row["ot.status"] for row in rows} == {"crc_error", None}


def test_a_group_that_the_length_does_not_count_is_found_by_the_check() -> None:
    content = report("f3f3ffd8")
    (row,) = said(SL651, (0, frame(0x36, content, part=(1, 1), length=len(content))), port=5050)
    assert some(row, "status", "address") == (None, "PIC")


def test_many_messages_under_way_are_bounded() -> None:
    rows = said(SL651, *((0, frame(code, report(""), part=(9, 1), end=0x17)) for code in range(0x30, 0x3B)), port=5050)
    assert len(rows) == 11


def test_text_frames_say_the_same() -> None:
    text = f"0008{SENT}ST {STATION} H TT 2611020900 PJ 1.5 PT 402.5 Z 10.49 VT 12.36 "
    row, hexed = one(letters(0x32, text)), one(frame(0x32, report(ELEMENTS)))
    assert row["ot.flags"] == ["ascii"]
    same = ("address", "value", "quantity", "unit_id", "station_kind", "time", "transaction_id", "platform_id")
    assert some(row, *same) == some(hexed, *same)


@pytest.mark.parametrize("head", ["ST {} 48H TT", "ST {}48 TT", "F1F1 {} 48 F0F0", "ST {}H TT"])
def test_text_frames_name_the_class_in_several_ways(head: str) -> None:
    row = one(letters(0x32, f"0008{SENT}{head.format(STATION)} 2611020900 Z 6.38 "))
    assert some(row, "address", "value", "station_kind", "flags") == ("Z", "6.38", "48H river", ["ascii"])


def test_a_text_may_follow_the_station_without_a_class() -> None:
    row = one(frame(0x35, bytes.fromhex("0008" + SENT + "f1f1" + STATION + "f2f2") + b"OK"))
    assert some(row, "address", "value", "station_kind") == ("RGZS", "OK", None)


def test_a_blank_behind_the_serial_number_is_passed_over() -> None:
    row = one(letters(0x32, f"0008 {SENT} ST {STATION} H TT 2611020900 Z 6.38 VT 12.50 "))
    assert some(row, "address", "value", "transaction_id") == ("Z,VT", "6.38,12.5", 8)


def test_text_frames_have_missing_values_lists_and_commands() -> None:
    row = one(letters(0x34, f"0008{SENT}ST {STATION} P TT 2611020900 DRP " + "05" * 11 + "FF PJ M ZT 00000080 "))
    assert some(row, "address", "value") == ("DRP,PJ,ZT", "0.5 " * 11 + "M,M,00000080")
    steps = one(letters(0x31, f"0008{SENT}ST {STATION} P TT 2611020900 DRN05 Z 1.5 1.6 "))
    assert some(steps, "address", "value") == ("Z", "1.5 1.6")
    channel = one(letters(0x40, f"0000{SENT}04 2203000113066005050 ", up=False))
    assert some(channel, "address", "target_ip") == ("04", "203.0.113.66")
    assert one(letters(0x4C, f"0000{SENT}0105", up=False))["ot.value"] == "05"
    assert one(letters(0x49, f"0000{SENT}5A3C 1234 ", up=False))["ot.password.verdict"] == "default"


def test_text_packets_whose_length_is_all_ones_end_at_their_check() -> None:
    parts = [
        letters(0x38, f"0008{SENT}ST {STATION} H TT 2611020900 DRH01 Z 1.5 ", part=(2, 1), end=0x17, length=0xFFF),
        letters(0x38, "1.6 1.7 ", part=(2, 2), length=0xFFF),
    ]
    (row,) = said(SL651, *((0, part) for part in parts), port=5050)
    assert some(row, "value", "status") == ("1.5 1.6 1.7", None)


STREAM = b"".join(
    [
        frame(0x32, report(ELEMENTS)),
        b"\x00\x7e\x01",
        letters(0x37, f"0000{SENT}", up=False),
        frame(0x4C, body("0105"), up=False, wrong=3),
        *picture(),
        b"~~~~",
        frame(0x34, report("f460" + "01" * 12)),
        frame(0x32, report(ELEMENTS), length=300),
    ]
)


def plain(rows: list[dict[str, Any]]) -> list[str]:
    """Rows without when they were seen, whatever their order."""
    skipped = ("log.offset", "@timestamp", "ot.time_offset")
    told = [{name: one for name, one in row.items() if name not in skipped and one is not None} for row in rows]
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in told)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_where_segments_are_cut_changes_nothing(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    parts = [(0, STREAM[a:b]) for a, b in pairwise(places)]
    assert plain(said(SL651, *parts, port=5050)) == plain(said(SL651, (0, STREAM), port=5050))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 255))
def test_no_bytes_trip_the_readers(data: bytes, code: int) -> None:
    for raw in (data, b"~~" + data, b"\x01" + data):
        sl651_frame.read(raw)
        starts(raw, False)
        within(raw)
        said(SL651, (0, raw), port=5050)
    said(
        SL651,
        (0, frame(max(code, 0x2F), data or b"\0")),
        (1, frame(max(code, 0x2F), data or b"\0", up=False)),
        port=5050,
    )
    said(SL651, (0, letters(max(code, 0x2F), data.decode("latin-1").encode("ascii", "replace").decode())), port=5050)


def test_a_stream_of_noise_is_given_up_once() -> None:
    noise = b"~\0" * (MAX_RUNS + 10)
    good = frame(0x2F, body())
    (*some_, last) = said(SL651, *((0, part) for _ in range(MAX_RUNS + 5) for part in (good, b"~\0")), port=5050)
    assert last["ot.status"] == "malformed" or "malformed" in {row["ot.status"] for row in some_}
    assert said(SL651, (0, noise), port=5050) == []


def test_frames_are_known_anywhere_and_nothing_else_is() -> None:
    whole = frame(0x32, report(ELEMENTS))
    assert starts(whole, False)
    assert within(b"\x00\xff" + whole)
    assert within(b"x" + letters(0x37, f"0000{SENT}", up=False))
    assert starts(frame(0x4D, body("0100"), up=False, wrong=1), False)
    for other in (b"", b"~", b"~~", b"~" * 200, whole[:13], b"\x01" + b"0" * 60, bytes(range(256))):
        assert not starts(other, False)
        assert not within(other)


def test_datagrams_hold_several_frames() -> None:
    rows = sent(SL651, (0, frame(0x2F, body()) + frame(0x32, report(ELEMENTS))), port=5050)
    assert [row["ot.function.code"] for row in rows] == [0x2F, 0x32]


def test_packets_older_than_a_minute_make_no_message_with_new_ones() -> None:

    out = Out("sl651")
    speaker = Sl651(out)
    parser = speaker.stream(ends(5050))
    for number, part in enumerate(picture()):
        parser.feed(0, part, Moment(number + 1, number * 61 * 10**9 + 1))
    parser.close()
    speaker.close()
    assert [row["event.flags"] for row in told_by(out)] == [["truncated"]] * 3


@pytest.mark.parametrize(
    "start",
    [
        b"\x01120099010001" + b"5A3C380FFF\x16002001",
        b"~~\x12" + bytes(5) + b"\0\0\x32\0\x08\x02",
    ],
)
def test_an_end_that_never_comes_is_looked_for_once(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = 0
    arc = crc.arc

    def counted(data: bytes, value: int = 0) -> int:
        nonlocal checked
        checked += len(data)
        return arc(data, value)

    monkeypatch.setattr("cityguard.decoders.wire.crc.arc", counted)
    said(SL651, *((0, bytes([octet])) for octet in start + b"\x03AAAA" * 190), port=5050)
    assert checked < 3_000


def whole_segments() -> list[bytes]:
    """Two connections in which most segments are a whole frame, one of them the head of the next."""
    given = [frame(0x32, report(ELEMENTS)), frame(0x2F, body()), *picture(), letters(0x37, f"0000{SENT}", up=False)]
    parts = [
        *given[:3],
        given[0] + given[1][:9],
        given[1][9:],
        *given[3:],
        given[0],
        frame(0x4C, body("0105"), up=False),
    ]
    found, sequence = list[bytes](), [1_000, 2_000]
    for number, part in enumerate([*parts, *given[:2] * 40]):
        link = number % 2
        segment = wire.tcp(40_000 + link, 5_050, part, seq=sequence[link])
        sequence[link] += len(part)
        found.append(wire.ether(wire.ip4(wire.CLIENT, wire.SERVER, 6, segment)))
    return found


def packets(seed: int) -> list[bytes]:
    """Three connections in turn, segments cut anywhere, some lost and some sent again."""
    if seed == 0:
        return whole_segments()
    dice = random.Random(seed)
    left = [bytearray(b"\xff" * number + STREAM) for number in range(3)]
    sequence = [1_000, 2_000, 3_000]
    found: list[bytes] = []
    while any(left):
        link = dice.choice([number for number in range(3) if left[number]])
        part = bytes(left[link][: dice.choice((20, 60, 60, 300))])
        del left[link][: len(part)]
        segment = wire.tcp(40_000 + link, 5_050, part, seq=sequence[link])
        sequence[link] += len(part)
        packet = wire.ether(wire.ip4(wire.CLIENT, wire.SERVER, 6, segment))
        found += [packet] * dice.choice((0, 1, 1, 1, 1, 1, 1, 1, 2))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_where_a_capture_is_cut_in_pieces_changes_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = packets(seed)
    times = [wire.START + number * 10**6 for number in range(len(given))]

    def read(size: int) -> list[str]:
        decoder = capture.decoder({})
        found = [
            decoder.decode(wire.frames(given[at : at + size], times=times[at : at + size]))
            for at in range(0, len(given), size)
        ]
        tables = [batch.table for one in [*found, decoder.flush()] for batch in one.batches if batch.dataset == "ot"]
        told = [row for table in tables for row in table.to_dicts()]
        assert told
        return plain(told)

    assert read(len(given)) == read(1) == read(7)
    monkeypatch.setattr(Sl651.__init__, "__kwdefaults__", {"fast": False})
    assert read(len(given)) == read(1)
