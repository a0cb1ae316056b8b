"""Checks that read handshakes: how services encrypt, and whether they speak 国密 rightly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.checks.world import World, world
from tests.cryptouse.handshakes import day, ordinary, seen, tlcp

WEB, OTHER = "127.10.0.1", "127.10.0.2"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


@pytest.mark.parametrize("check", ["transport_encryption", "guomi_use"])
def test_silence_on_the_wire_is_undecided(city: World, check: str) -> None:
    assert city.ask_one(check).verdict == "未判定"


OLD = {"version": "1.0", "cipher": "TLS_RSA_WITH_3DES_EDE_CBC_SHA"}


@pytest.mark.parametrize(
    ("check", "rows", "verdict", "said"),
    [
        ("transport_encryption", [ordinary(WEB)], "符合", "1 encrypted services, none weak"),
        (
            "transport_encryption",
            [ordinary(WEB), ordinary(WEB, **OLD)],
            "部分符合",
            "1.0 TLS_RSA_WITH_3DES_EDE_CBC_SHA",
        ),
        ("transport_encryption", [ordinary(WEB), ordinary(OTHER, **OLD)], "不符合", "127.10.0.2:443 1.0"),
        ("transport_encryption", [ordinary("127.10.0.50", **OLD), ordinary(WEB)], "符合", "none weak"),
        ("guomi_use", [tlcp(WEB)], "符合", "1 national"),
        ("guomi_use", [tlcp(WEB), ordinary(OTHER)], "部分符合", "1 without"),
        ("guomi_use", [ordinary(WEB, offered=True)], "部分符合", "1 turned it down"),
        ("guomi_use", [tlcp(WEB, server__certificate_pair="swapped")], "不符合", "Certificates swapped"),
        ("guomi_use", [tlcp(WEB, server__encryption__not_after=day(-9))], "不符合", "Certificate expired"),
        ("guomi_use", [seen(WEB, version="tlcp1.1", guomi=True)], "未判定", "no encrypted handshake"),
    ],
)
def test_the_verdict_follows_what_was_agreed_on(
    city: World, check: str, rows: list[dict[str, Any]], verdict: str, said: str
) -> None:
    city.add("tls", rows)
    mine = [one for one in city.ask(check) if one.object == "web"]
    assert [(one.verdict, said in one.reason.en) for one in mine] == [(verdict, True)], mine[0].reason
    assert mine[0].reason.zh
