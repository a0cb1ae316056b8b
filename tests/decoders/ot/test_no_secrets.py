"""What field equipment is told in unusual forms: no password or key of it stands in a row, and no row is lost by it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.decoders.app import test_coap, test_messaging
from tests.decoders.ot import meter, test_dlt645, test_gb28181, test_jt809, test_ocpp
from tests.decoders.ot.talk import said

from cityguard.decoders import secrets
from cityguard.decoders.ot import ocpp_message

SECRET = "Zk9x7Q2w"


def hidden(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The last row, after a look that no row holds the secret, in hexadecimal neither."""
    shown = str(rows).lower()
    assert rows
    assert SECRET.lower() not in shown
    assert SECRET.encode().hex() not in shown
    return rows[-1]


@pytest.mark.parametrize("key", ["AuthorizationKey ", "AuthorizationKey.", "wifi_psk", "APNPass", "SimPin", "Net.pwd"])
def test_settings_of_makers_hold_passwords_too(key: str) -> None:
    row = hidden(test_ocpp.told(test_ocpp.call(1, "ChangeConfiguration", {"key": key, "value": SECRET})))
    assert row["ot.value"] == f"{key}=***"
    assert row["ot.password.verdict"] == "ok"


@pytest.mark.parametrize("key", ["MasterPassGroupId", "Bypass", "WebSocketPingInterval", "LocalAuthListEnabled"])
def test_ordinary_settings_are_shown(key: str) -> None:
    assert not ocpp_message.is_secret(key)
    assert not secrets.named(key)


def test_half_a_character_in_a_key_loses_no_row() -> None:
    set_key = test_ocpp.frame(1, rb'[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"\ud800abcd"}]')
    fetch = test_ocpp.frame(1, rb'[2,"2","UpdateFirmware",{"location":"ftp://u:\ud800abcd@h/x"}]')
    assert [row["ot.password.verdict"] for row in test_ocpp.told(set_key, fetch)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("path", "payload", "form"),
    [
        ("0/0", '[{"bn":"/0/0/","n":"0","vs":"coaps://10.0.0.9"},{"n":"5","vs":"Zk9x7Q2w"}]', b"\x6e"),
        ("0", '{"e":[{"n":"0/0","sv":"coaps://10.0.0.9"},{"n":"0/5","sv":"Zk9x7Q2w"}]}', b"\x2d\x17"),
        ("0/0/0", "coaps://10.0.0.9", b""),
    ],
)
def test_a_bootstrap_in_json_tells_its_server_and_no_key(path: str, payload: str, form: bytes) -> None:
    row = hidden(test_coap.told((0, test_coap.message(3, path, payload.encode(), (12, form)))))
    assert (row["ot.target"], row["ot.value"]) == ("coaps://10.0.0.9", "coaps://10.0.0.9")
    assert row["ot.target_ip"] == "10.0.0.9"


@pytest.mark.parametrize("path", ["11/0/6", "12/0/17", "21/0/0", "11/0", "rd?ep=x&pwd=Zk9x7Q2w"])
def test_what_holds_passwords_of_networks_is_not_shown(path: str) -> None:
    code = 2 if path.startswith("rd") else 3
    row = hidden(test_coap.told((0, test_coap.message(code, path, b"" if code == 2 else SECRET.encode()))))
    assert row.get("ot.value") is None


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (b"lamp/7/password/set", SECRET.encode()),
        (b"lamp/7/set", b'{"name":"wifi_password","value":"Zk9x7Q2w"}'),
        (b"lamp/7/set", b'{"pass":"Zk9x7Q2w"}'),
    ],
)
def test_a_command_of_mqtt_that_sets_a_password_is_masked(topic: bytes, payload: bytes) -> None:
    chunks = [(0, test_messaging.CONNECT), (1, test_messaging.packet(0x20, b"\0\0"))]
    row = hidden(said(test_messaging.MQTT, *chunks, (1, test_messaging.published(topic, payload))))
    assert secrets.HIDDEN in row["ot.value"]


def test_an_emergency_s_code_and_password_are_judged_and_its_server_is_told() -> None:
    parts = (bytes.fromhex("11223344556677889900"), b"cmnet".ljust(20, b"\0"), b"u".ljust(49, b"\0"))
    data = (
        b"".join(parts) + SECRET.encode().ljust(22, b"\0") + b"10.9.9.9".ljust(32, b"\0") + b"\x1f\x90\0\0" + bytes(8)
    )
    row = hidden(test_jt809.told((0, test_jt809.frame(0x9500, test_jt809.vehicle(0x9505, data)))))
    assert "1122334455" not in row["event.fields"]
    assert (row["ot.password.length"], row["ot.target"], row["ot.target_ip"]) == (8, "10.9.9.9:8080", "10.9.9.9")


def test_a_meter_s_write_without_an_operator_shows_no_value() -> None:
    data = bytes.fromhex("0909000402567391") + b"\x05\x06"
    row = test_dlt645.heard((0, meter.dlt645(test_dlt645.METER, 0x14, data)))[-1]
    assert (row["ot.address"], row["ot.value"]) == ("04000909", None)


@pytest.mark.parametrize(
    "element",
    [
        "<Password>Zk9x7Q2w</Password>",
        "<Basic><NewPassword>Zk9x7Q2w</NewPassword></Basic>",
    ],
)
def test_a_camera_s_password_is_judged_wherever_it_stands(element: str) -> None:
    row = hidden([test_gb28181.only(test_gb28181.order(element, "DeviceConfig"))])
    assert (row["ot.value"], row["ot.password.verdict"]) == (None, "ok")


def test_what_a_camera_s_password_element_holds_is_not_shown() -> None:
    element = "<BasicParam><Password><a>Zk9x7Q2w</a></Password><Name>gate</Name></BasicParam>"
    row = hidden([test_gb28181.only(test_gb28181.order(element, "DeviceConfig"))])
    assert row["ot.value"] == "Name=gate"
