"""Synchrophasors: commands, configurations, and data read with them."""

from __future__ import annotations

import struct

from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.c37118 import PROTOCOLS
from cityguard.decoders.wire import crc

C37 = PROTOCOLS[0]


def frame(kind: int, body: bytes, code: int = 7) -> bytes:
    head = struct.pack(">BBHHII", 0xAA, kind << 4 | 1, 16 + len(body), code, 1_700_000_000, 0)
    return head + body + crc.ccitt(head + body).to_bytes(2, "big")


def configuration(*names: str, floating: bool = False) -> bytes:
    body = struct.pack(">IH", 1_000_000, len(names))
    for name in names:
        body += name.encode().ljust(16) + struct.pack(">5H", 7, 8 if floating else 0, 1, 0, 1)
        body += bytes(16 * 17) + bytes(8) + struct.pack(">HH", 1, 1)
    return body + b"\0\x32"


COMMAND = frame(4, b"\0\2")
CONFIG = frame(3, configuration("Substation A", "Substation B"))
DATA = frame(0, struct.pack(">HHHhhH", 0x0000, 1, 2, -20, 0, 0) + struct.pack(">HHHhhH", 0x8000, 1, 2, 15, 0, 0))


def test_a_command_says_what_is_wanted() -> None:
    on, cfg = said(C37, (0, COMMAND + frame(4, b"\0\5")))
    assert some(on, "function.code", "function.name", "function.class") == (4, "Data Transmission On", "control")
    assert some(cfg, "value", "function.class", "unit_id") == ("5", "read", "7")


def test_data_is_read_with_the_configuration_before_it() -> None:
    _, config, data = said(C37, (0, COMMAND), (1, CONFIG), (1, DATA))
    assert some(config, "address", "quantity") == ("Substation A,Substation B", 2)
    assert some(data, "value", "status", "quantity") == ("49.98,50.015", "0000,8000", 2)


def test_data_without_a_configuration_gives_its_status_alone() -> None:
    (row,) = sent(C37, (1, DATA))
    assert some(row, "value", "status") == (None, "0000")


def test_a_wrong_check_is_flagged_and_changes_no_configuration() -> None:
    bad = CONFIG[:-1] + bytes((CONFIG[-1] ^ 1,))
    config, data = said(C37, (1, bad), (1, DATA))
    assert config["event.flags"] == ["bad_checksum"]
    assert data["ot.value"] is None


def test_floating_frequencies() -> None:
    config = frame(3, configuration("X", floating=True))
    data = frame(0, struct.pack(">HHHffH", 0, 1, 2, 50.25, 0.0, 0))
    assert said(C37, (1, config), (1, data))[1]["ot.value"] == "50.25"


def test_it_is_known_on_any_port_by_its_check() -> None:
    assert C37.starts(COMMAND, False)
    assert not C37.starts(COMMAND[:-1] + b"\0", False)
    assert not C37.starts(b"\xaa\x99\0\x10", True)
