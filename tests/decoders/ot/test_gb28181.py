"""GB/T 28181: what a message says, what is joined, what stays out of a row."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.app import sip
from cityguard.decoders.ot import (
    gb28181_commands,
    gb28181_digest,
    gb28181_ids,
    gb28181_message,
    gb28181_ptz,
    gb28181_sdp,
    gb28181_xml,
)

SIP = sip.PROTOCOLS[0]
NVR, CAMERA, PLATFORM = "99010001001180000007", "99010001001320000012", "99010000002000000001"
DOMAIN = "9901000000"


def message(
    first: str,
    body: str | bytes = b"",
    *,
    sender: str = PLATFORM,
    receiver: str = NVR,
    number: int = 20,
    call: str = "c1",
    kind: str = "Application/MANSCDP+xml",
    length: int | None = None,
    **more: str,
) -> bytes:
    raw = body.encode("gb18030") if isinstance(body, str) else body
    method = first.split(" ", 1)[0] if not first.startswith("SIP/") else more.pop("method", "MESSAGE")
    headers = {
        "Via": "SIP/2.0/UDP 10.71.0.5:5060;branch=z9hG4bK1",
        "From": f"<sip:{sender}@{DOMAIN}>;tag=1",
        "To": f"<sip:{receiver}@{DOMAIN}>",
        "Call-ID": call,
        "CSeq": f"{number} {method}",
    }
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    if raw:
        headers["Content-Type"] = kind
    headers["Content-Length"] = str(len(raw) if length is None else length)
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + raw


def xml(root: str, cmdtype: str, rest: str = "", *, device: str = NVR, sn: int = 7) -> str:
    return (
        f'<?xml version="1.0" encoding="GB2312"?>\r\n<{root}>\r\n<CmdType>{cmdtype}</CmdType>\r\n<SN>{sn}</SN>\r\n'
        f"<DeviceID>{device}</DeviceID>\r\n{rest}</{root}>\r\n"
    )


def order(rest: str, cmdtype: str = "DeviceControl", **more: Any) -> bytes:
    device = more.pop("device", NVR)
    sn = more.pop("sn", 7)
    body = xml("Control", cmdtype, rest, device=device, sn=sn)
    return message(f"MESSAGE sip:{NVR}@10.71.10.41:5060 SIP/2.0", body, **more)


def ptz(*octets: int) -> str:
    head = bytes((0xA5, 0x0F, 0x01, *octets))
    return (head + bytes((sum(head) % 256,))).hex().upper()


def video(*datagrams: tuple[int, bytes]) -> list[dict[str, Any]]:
    return [row for row in sent(SIP, *datagrams) if row.get("ot.protocol") == "gb28181"]


def only(data: bytes) -> dict[str, Any]:
    (row,) = video((0, data))
    return row


def fields(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["event.fields"])["gb28181"]
    return found


def test_an_id_tells_place_trade_kind_and_network() -> None:
    found = gb28181_ids.device("32040201091320600012")
    assert found is not None
    assert (found.civil, found.industry, found.type, found.net, found.serial) == (
        "32040201",
        "09",
        "132",
        "0",
        "600012",
    )
    assert (found.kind, found.camera, found.server, found.on_internet) == ("132 ip camera", True, False, False)
    assert gb28181_ids.device("32040201091327000012").on_internet  # type: ignore[union-attr]
    assert gb28181_ids.device("3204020109132060001") is None
    assert gb28181_ids.device("٣2040201091320600012") is None


@pytest.mark.parametrize(
    ("sub", "name", "kind", "value"),
    [
        (f"<PTZCmd>{ptz(0x08, 0, 0x40, 0)}</PTZCmd>", "PTZCmd", "control", ptz(0x08, 0, 0x40, 0)),
        (f"<PTZCmd>{ptz(0x83, 0, 5, 0)}</PTZCmd>", "PTZCmd", "write", ptz(0x83, 0, 5, 0)),
        ("<TeleBoot>Boot</TeleBoot>", "TeleBoot", "control", "Boot"),
        ("<RecordCmd>StopRecord</RecordCmd>", "RecordCmd", "control", "StopRecord"),
        ("<GuardCmd>ResetGuard</GuardCmd>", "GuardCmd", "control", "ResetGuard"),
        (
            "<AlarmCmd>ResetAlarm</AlarmCmd><Info><AlarmMethod>2</AlarmMethod></Info>",
            "AlarmCmd",
            "control",
            "ResetAlarm",
        ),
        ("<IFameCmd>Send</IFameCmd>", "IFameCmd", "control", "Send"),
        ("<iframecmd>Send</iframecmd>", "IFrameCmd", "control", "Send"),
        ("<TargetTrack>Auto</TargetTrack>", "TargetTrack", "control", "Auto"),
        (
            "<HomePosition><Enabled>1</Enabled><PresetIndex>2</PresetIndex></HomePosition>",
            "HomePosition",
            "write",
            "Enabled=1,PresetIndex=2",
        ),
        ("<FormatSDCard>0</FormatSDCard>", "FormatSDCard", "program", "0"),
        (
            "<DeviceUpgrade><FirmWare>V5</FirmWare><FileURL>http://203.0.113.9/fw.bin</FileURL></DeviceUpgrade>",
            "DeviceUpgrade",
            "program",
            "http://203.0.113.9/fw.bin",
        ),
        (
            "<PTZPreciseCtrl><Pan>1.5</Pan><Tilt>2</Tilt></PTZPreciseCtrl>",
            "PTZPreciseCtrl",
            "control",
            "Pan=1.5,Tilt=2",
        ),
    ],
)
def test_every_order_has_its_name_and_class(sub: str, name: str, kind: str, value: str) -> None:
    row = only(order(sub, device=CAMERA))
    assert some(row, "function.name", "function.class", "value", "unit_id", "is_request") == (
        f"Control/DeviceControl/{name}",
        kind,
        value,
        CAMERA,
        True,
    )
    assert row["ot.platform_id"] == PLATFORM


def test_a_configuration_that_moves_the_device_to_another_server_says_where_and_hides_the_password() -> None:
    rest = "<BasicParam><SIPServerIP>10.99.1.5</SIPServerIP><Password>geheim77</Password>"
    row = only(
        order(rest + "<HeartBeatInterval>600</HeartBeatInterval></BasicParam>", "DeviceConfig", number=9, call="c9")
    )
    assert some(row, "function.name", "function.class", "target", "target_ip") == (
        "Control/DeviceConfig/BasicParam",
        "program",
        "10.99.1.5",
        "10.99.1.5",
    )
    assert row["ot.value"] == "SIPServerIP=10.99.1.5,HeartBeatInterval=600"
    assert some(row, "password.verdict", "password.length") == ("ok", 8)
    assert "geheim77" not in str(row)


def test_a_password_in_a_url_is_judged_and_hidden() -> None:
    url = "<FileURL>ftp://up:admin123@203.0.113.9/fw.bin</FileURL>"
    row = only(order(f"<DeviceUpgrade>{url}</DeviceUpgrade>"))
    assert some(row, "value", "target", "target_ip") == (
        "ftp://up:***@203.0.113.9/fw.bin",
        "ftp://up:***@203.0.113.9/fw.bin",
        "203.0.113.9",
    )
    assert row["ot.password.verdict"] == "default"
    assert row["ot.flags"] == ["target_public"]


def test_two_orders_in_one_message_are_two_rows() -> None:
    rows = video((0, order(f"<PTZCmd>{ptz(1, 9, 9, 0)}</PTZCmd><TeleBoot>Boot</TeleBoot>")))
    assert [row["ot.function.name"] for row in rows] == [
        "Control/DeviceControl/PTZCmd",
        "Control/DeviceControl/TeleBoot",
    ]
    assert "further_command" in rows[1]["ot.flags"]


def test_a_wrong_sum_is_told_and_the_class_stays() -> None:
    row = only(order("<PTZCmd>A50F01084040003E</PTZCmd>"))
    assert some(row, "status", "function.class") == ("check_error", "control")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ptz(0x09, 1, 2, 0), (True, "up_right", None)),
        (ptz(0x00, 0, 0, 0), (True, "stop", None)),
        (ptz(0x81, 0, 200, 0), (True, "preset_set", 200)),
        (ptz(0x84, 3, 7, 0), (True, "cruise_add", 7)),
        (ptz(0x8C, 1, 0, 0), (True, "auxiliary_on", None)),
        ("A50F0183000500", (False, None, None)),
        ("no hex at all!!!", (False, None, None)),
        ("FF0F01830005003D", (False, None, None)),
    ],
)
def test_an_instruction_of_eight_octets(text: str, expected: tuple[Any, ...]) -> None:
    found = gb28181_ptz.read(text)
    assert (found.ok, found.instruction, found.preset) == expected


def test_an_answer_is_joined_with_its_question_by_sn() -> None:
    query = message(f"MESSAGE sip:{NVR}@10.71.10.41 SIP/2.0", xml("Query", "Catalog", sn=11), number=1, call="a")
    item = "<Item><DeviceID>{}</DeviceID><Name>路口</Name></Item>"
    body = xml(
        "Response", "Catalog", f"<SumNum>2</SumNum><DeviceList Num='1'>{item.format(CAMERA)}</DeviceList>", sn=11
    )
    answer = message(
        f"MESSAGE sip:{PLATFORM}@10.71.0.5 SIP/2.0", body, sender=NVR, receiver=PLATFORM, number=2, call="b"
    )
    refused = xml("Response", "DeviceConfig", "<Result>ERROR</Result>", sn=12)
    rows = video(
        (0, query),
        (1, message("SIP/2.0 200 OK", number=1, call="a")),
        (1, answer),
        (
            1,
            message(
                f"MESSAGE sip:{PLATFORM}@10.71.0.5 SIP/2.0",
                refused,
                sender=NVR,
                receiver=PLATFORM,
                number=3,
                call="d",
            ),
        ),
    )
    assert [some(row, "function.name", "function.class", "status", "is_request", "request_id") for row in rows] == [
        ("Query/Catalog", "read", None, True, "11"),
        ("Query/Catalog", "read", "200", False, "11"),
        ("Response/Catalog", "read", None, False, "11"),
        ("Response/DeviceConfig", "error", "ERROR", False, "12"),
    ]
    assert rows[2]["ot.quantity"] == 1
    assert [row["ot.message.type"] for row in rows] == ["request", "response", "response", "response"]
    assert fields(rows[2])["items"] == [CAMERA]


def digest(password: str, nonce: str = "6fe9ba44", **more: str) -> str:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    uri = f"sip:{PLATFORM}@{DOMAIN}"
    rest = f"{nonce}:{md5('REGISTER:' + uri)}"
    if more:
        rest = f"{nonce}:{more['nc']}:{more['cnonce']}:auth:{md5('REGISTER:' + uri)}"
    response = md5(f"{md5(f'{NVR}:{DOMAIN}:{password}')}:{rest}")
    extra = "".join(f", {name}={value}" for name, value in more.items()) + (", qop=auth" if more else "")
    return f'Digest username="{NVR}", realm="{DOMAIN}", nonce="{nonce}", uri="{uri}", response="{response}"{extra}'


@pytest.mark.parametrize(
    ("password", "verdict"),
    [("12345678", "default"), (NVR, "default"), (NVR[-8:], "default"), ("admin123", "default"), ("Wq7!mmZ", "ok")],
)
def test_a_default_password_is_told_from_the_digest_and_nothing_else_of_it(password: str, verdict: str) -> None:
    for more in ({}, {"nc": "00000001", "cnonce": "ab12"}):
        ask = message(
            f"REGISTER sip:{PLATFORM}@{DOMAIN} SIP/2.0",
            sender=NVR,
            receiver=NVR,
            number=2,
            Authorization=digest(password, **more),
        )
        row = only(ask)
        assert some(row, "password.verdict", "password.length", "password.hash") == (verdict, None, None)
        response = digest(password, **more).partition('response="')[2][:32]
        assert response not in str(row)


def test_no_more_passwords_are_tried_than_allowed() -> None:
    tried = gb28181_digest.candidates(NVR, DOMAIN)
    assert len(tried) <= gb28181_digest.MAX_TRIED
    assert {"12345678", "admin", "admin123", NVR, NVR[-8:]} <= set(tried)


def test_a_refused_registration_is_an_error_and_a_login() -> None:
    ask = message(
        f"REGISTER sip:{PLATFORM}@{DOMAIN} SIP/2.0", sender=NVR, receiver=NVR, number=2, Authorization=digest("x")
    )
    found = sent(SIP, (0, ask), (1, message("SIP/2.0 403 Forbidden", sender=NVR, number=2, method="REGISTER")))
    rows = [row for row in found if row.get("ot.protocol")]
    assert some(rows[1], "function.name", "function.class", "status") == ("REGISTER", "error", "403")
    assert rows[1]["ot.flags"] == ["credentials_refused"]
    (login,) = (row for row in found if row.get("event.action") == "login")
    assert (login["user.name"], login["event.outcome"]) == (NVR, "failure")


SDP = (
    "v=0\r\no={owner} 0 0 IN IP4 {ip}\r\ns={name}\r\nc=IN IP4 {ip}\r\nt=0 0\r\n"
    "m=video {port} TCP/RTP/AVP 96 98\r\na=recvonly\r\na=setup:passive\r\na=downloadspeed:4\r\ny=1000040007\r\n"
    "f=v/2/6/25/1/4000a/1/8/1\r\n"
)


def invite(ip: str, name: str = "Play", call: str = "i1", port: int = 30_000) -> bytes:
    return message(
        f"INVITE sip:{CAMERA}@10.71.10.41:5060 SIP/2.0",
        SDP.format(owner=PLATFORM, ip=ip, name=name, port=port),
        receiver=CAMERA,
        call=call,
        kind="APPLICATION/SDP",
        Subject=f"{CAMERA}:1000040007,{PLATFORM}:0",
    )


def test_an_invite_says_where_the_pictures_go() -> None:
    near, far, abroad = only(invite("10.71.0.6")), only(invite("10.99.1.5")), only(invite("203.0.113.9"))
    assert some(near, "function.name", "function.class", "unit_id", "target", "target_ip", "flags") == (
        "INVITE/Play",
        "read",
        CAMERA,
        "10.71.0.6:30000",
        "10.71.0.6",
        None,
    )
    assert far["ot.flags"] == ["media_other_network"]
    assert abroad["ot.flags"] == ["media_public", "media_other_network"]
    assert fields(near)["sdp"]["ssrc"] == "1000040007"
    assert only(invite("10.71.0.6", "Talk"))["ot.function.class"] == "write"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("::ffff:10.1.2.3", "10.1.2.3"), ("FE80::1%eth0", None), ("2001:DB8::9", "2001:db8::9"), ("media.city", None)],
)
def test_where_the_pictures_go_may_be_written_in_any_way(text: str, expected: str | None) -> None:
    assert gb28181_sdp.literal(text) == expected
    assert only(invite(text))["ot.target_ip"] == expected


def test_the_two_halves_of_a_format_and_times() -> None:
    found = gb28181_sdp.read(SDP.format(owner="1", ip="10.71.0.6", name="Download", port=4).encode())
    assert found is not None
    assert (found.video, found.audio, found.history, found.stream_id) == ("2/6/25/1/4000", "1/8/1", True, 1000040007)
    assert (found.setup, found.speed, found.codec) == ("passive", 4, "H.264")
    assert gb28181_sdp.read(b"no description") is None


def test_a_command_by_another_than_the_server_the_device_registered_at() -> None:
    register = message(f"REGISTER sip:{PLATFORM}@{DOMAIN} SIP/2.0", sender=NVR, receiver=NVR, number=2, call="r")
    granted = message("SIP/2.0 200 OK", sender=NVR, receiver=NVR, number=2, call="r", method="REGISTER")
    boot = "<TeleBoot>Boot</TeleBoot>"
    rows = video((0, register), (1, granted), (1, order(boot, call="x")), (0, order(boot, call="y")))
    assert rows[2]["ot.flags"] is None
    assert rows[3]["ot.flags"] == ["other_server"]


def test_a_signature_that_stays_away_is_told() -> None:
    note = 'Digest nonce="AbCd==", algorithm=MD5'
    signed = order("<TeleBoot>Boot</TeleBoot>", call="s", Note=note, Date="2023-11-15T06:13:20")
    rows = video((0, signed), (0, order("<TeleBoot>Boot</TeleBoot>", call="t")))
    assert rows[0]["ot.flags"] == ["signed"]
    assert rows[1]["ot.flags"] == ["signature_missing"]
    assert abs(rows[0]["ot.time_offset"]) < 1


def test_plain_digest_where_a_certificate_was_used_is_told() -> None:
    card = 'Capability algorithm="A:SM2;H:SM3;S:SM4/OFB/PKCS5;SI:SM3-SM2", keyversion="2020"'
    first = f"REGISTER sip:{PLATFORM}@{DOMAIN} SIP/2.0"
    rows = video(
        (0, message(first, sender=NVR, receiver=NVR, number=1, Authorization=card)),
        (0, message(first, sender=NVR, receiver=NVR, number=2, Authorization=digest("x"))),
    )
    assert rows[0]["ot.flags"] == ["credentials", "gb35114"]
    assert rows[1]["ot.flags"] == ["credentials", "certificate_dropped"]


def test_a_camera_that_asks_is_told() -> None:
    asks = message(f"MESSAGE sip:{NVR}@10.71.10.41 SIP/2.0", xml("Query", "Catalog"), sender=CAMERA)
    assert only(asks)["ot.flags"] == ["sent_by_camera"]
    fetches_voice = message(f"INVITE sip:{PLATFORM}@10.71.0.5 SIP/2.0", sender=CAMERA, receiver=PLATFORM)
    assert only(fetches_voice)["ot.flags"] is None


def test_playing_is_steered_by_mansrtsp() -> None:
    body = "PLAY MANSRTSP/1.0\r\n".replace("MANSRTSP", "RTSP") + "CSeq: 3\r\nScale: 2.0\r\nRange: npt=now-\r\n"
    row = only(message(f"INFO sip:{CAMERA}@10.71.10.41 SIP/2.0", body, kind="Application/MANSRTSP"))
    assert some(row, "function.name", "function.class", "value") == ("INFO/PLAY", "read", "scale=2.0,range=npt=now-")


def test_the_same_datagram_again_is_no_second_command() -> None:
    assert len(video((0, order("<TeleBoot>Boot</TeleBoot>")), (0, order("<TeleBoot>Boot</TeleBoot>")))) == 1
    other = order("<TeleBoot>Toob</TeleBoot>")  # as long, and in the same transaction
    assert len(video((0, order("<TeleBoot>Boot</TeleBoot>")), (0, other))) == 2


def test_names_are_read_whatever_character_set_is_declared() -> None:
    body = xml("Notify", "Alarm", "<AlarmDescription>联通机房</AlarmDescription>")
    for raw in (body.encode("gb18030"), body.encode()):
        row = only(message(f"MESSAGE sip:{PLATFORM}@10.71.0.5 SIP/2.0", raw, sender=NVR, receiver=PLATFORM))
        assert row["ot.value"] == "AlarmDescription=联通机房"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><Query><CmdType>&b;</CmdType></Query>", "xml_declaration_refused"),
        (b"<Query><CmdType>Catalog</CmdType>" + b"<a>" * 40, "xml_too_deep"),
        (b"<Query><CmdType>Catalog</CmdType><SN>1", "xml_malformed"),
        (b"<Query><CmdType>a&amp;b</CmdType></Query>", ""),
    ],
)
def test_documents_are_read_without_declarations_and_not_deep(body: bytes, fault: str) -> None:
    found = gb28181_xml.read(body)
    assert found is not None
    assert found.fault == fault
    assert found.root.word("CmdType") in (None, "Catalog", "a&b")
    flags = only(message(f"MESSAGE sip:{PLATFORM}@10.71.0.5 SIP/2.0", body))["ot.flags"]
    assert flags == ([fault] if fault else None)


def test_lengths_that_lie_are_told() -> None:
    body = xml("Notify", "Keepalive", "<Status>OK</Status>")
    first = f"MESSAGE sip:{PLATFORM}@10.71.0.5 SIP/2.0"
    for length in (20, 4_000):
        row = only(message(first, body, sender=NVR, receiver=PLATFORM, length=length))
        assert "length_error" in row["ot.flags"]
    assert only(message(first, body, sender=NVR, receiver=PLATFORM))["ot.flags"] is None


def test_telephony_gives_no_row_of_video() -> None:
    call = message(
        "INVITE sip:b@city SIP/2.0", "v=0\r\ns=-\r\n", sender="8613800001111", receiver="0519123", kind="x/sdp"
    )
    assert not video((0, call))
    assert [row["event.action"] for row in sent(SIP, (0, call))] == ["invite"]


def test_a_stream_may_be_cut_anywhere_and_holds_noise() -> None:
    whole = order("<TeleBoot>Boot</TeleBoot>") + b"\0\xff\r\nnoise" + invite("10.71.0.6") + b"\r\n\r\n"

    def told(*chunks: bytes) -> list[Any]:
        found = said(SIP, *((0, chunk) for chunk in chunks))
        return [
            {name: value for name, value in row.items() if name not in ("@timestamp", "log.offset", "ot.time_offset")}
            for row in found
        ]

    expected = told(whole)
    assert [row["ot.function.name"] for row in expected] == ["Control/DeviceControl/TeleBoot", "INVITE/Play"]
    for at in range(1, len(whole), 7):
        assert told(whole[:at], whole[at:]) == expected
    assert told(*(bytes((byte,)) for byte in whole)) == expected


def test_a_stream_that_loses_its_way_too_often_is_given_up_with_one_row() -> None:
    lost = order("<TeleBoot>Boot</TeleBoot>") + b"\0noise\0SIP/2.0 200 OK\r\n\r\n" * 1_100
    rows = said(SIP, *((0, lost[at : at + 1_400]) for at in range(0, len(lost), 1_400)))
    assert [row["ot.status"] for row in rows if row["ot.status"] == "malformed"] == ["malformed"]


def test_a_message_too_long_for_the_standard_is_cut_and_told() -> None:
    body = xml("Response", "Catalog", "<a>x</a>" * 20_000, sn=1)
    long = message(f"MESSAGE sip:{PLATFORM}@10.71.0.5 SIP/2.0", body, sender=NVR, receiver=PLATFORM)
    rows = said(
        SIP, *((0, long[at : at + 1_400]) for at in range(0, len(long), 1_400)), (0, order("<TeleBoot>Boot</TeleBoot>"))
    )
    assert [row["ot.function.name"] for row in rows] == ["Response/Catalog", "Control/DeviceControl/TeleBoot"]
    assert rows[0]["event.flags"] == ["truncated"]


PIECES = (
    order("<TeleBoot>Boot</TeleBoot>"),
    invite("10.71.0.6"),
    message("SIP/2.0 200 OK"),
    message(f"REGISTER sip:{PLATFORM}@{DOMAIN} SIP/2.0", sender=NVR, Authorization=digest("x")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(PIECES)), max_size=6), st.integers(0, 2_000))
def test_any_bytes_are_read_without_raising(parts: list[bytes], place: int) -> None:
    data = bytearray(b"".join(parts))
    if data:
        data[place % len(data)] ^= 0x21
    frame = gb28181_message.read(bytes(data))
    if frame is not None:
        assert gb28181_commands.commands(frame, gb28181_commands.manscdp(frame))
    said(SIP, (0, bytes(data[:place])), (0, bytes(data[place:])))
    gb28181_xml.read(bytes(data))
    gb28181_sdp.read(bytes(data))
