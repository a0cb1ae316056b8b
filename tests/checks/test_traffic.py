"""Checks that read flows, firewall verdicts and handshakes: each verdict from real stored events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.checks.world import NOW, World, register, world

from cityguard.checks import events
from cityguard.model import Asset, Segment

WEB, OTHER, OFFICE, OUT = "127.10.0.1", "127.10.0.2", "127.20.0.5", "203.0.113.7"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


def flow(source: str, destination: str, port: int, answered: int | None = 3, **more: Any) -> dict[str, Any]:
    row = {"source.ip": source, "destination.ip": destination, "destination.port": port, "network.transport": "tcp"}
    return {**row, "destination.packets": answered, **more}


TRAFFIC_CHECKS = [
    "cleartext_protocols", "high_risk_ports", "internet_exposure", "outbound_internet", "unregistered_assets",
    "firewall_policy", "certificate_inventory",
]  # fmt: skip


@pytest.mark.parametrize("check", TRAFFIC_CHECKS)
def test_silence_on_the_wire_is_undecided_not_met(city: World, check: str) -> None:
    assert city.ask_one(check).verdict == "未判定"


@pytest.mark.parametrize(
    ("check", "rows", "verdict", "said"),
    [
        ("cleartext_protocols", [flow(OFFICE, WEB, 443)], "符合", "no cleartext"),
        ("cleartext_protocols", [flow(OFFICE, WEB, 80)], "部分符合", "http 127.10.0.1 ×1"),
        ("cleartext_protocols", [flow(OFFICE, WEB, 23), flow(OFFICE, WEB, 80)], "不符合", "telnet 127.10.0.1 ×1"),
        ("cleartext_protocols", [flow(OFFICE, WEB, 23, answered=0)], "符合", "no cleartext"),  # nobody answered
        ("cleartext_protocols", [flow(OFFICE, WEB, 21, answered=None)], "不符合", "ftp"),  # one-way export
        ("cleartext_protocols", [flow(OFFICE, WEB, 443), flow(OFFICE, "127.10.0.50", 23)], "符合", "no cleartext"),
        (
            "cleartext_protocols",
            [flow(OFFICE, WEB, 443), flow(OFFICE, WEB, 23, at=NOW - timedelta(days=8))],
            "符合",
            "no cleartext",
        ),
        ("high_risk_ports", [flow(OTHER, WEB, 445)], "符合", "no high-risk"),  # within its own segment
        ("high_risk_ports", [flow(OFFICE, WEB, 6379)], "部分符合", "office -> 127.10.0.1:redis"),
        ("high_risk_ports", [flow("127.20.0.99", WEB, 3389)], "不符合", "office -> 127.10.0.1:rdp"),
        ("internet_exposure", [flow(OUT, WEB, 443)], "符合", "1 ports, all registered"),
        ("internet_exposure", [flow(OUT, WEB, 8443)], "部分符合", "unregistered ports reached"),
        ("internet_exposure", [flow(OUT, WEB, 22)], "不符合", "administration or high-risk ports"),
        ("internet_exposure", [flow("10.1.2.3", WEB, 22)], "符合", "0 ports"),  # private: not the Internet
        ("internet_exposure", [flow("2001:db8::1", WEB, 3389)], "不符合", "web-1:3389"),
        ("outbound_internet", [flow(WEB, OUT, 443)], "部分符合", "web-1 -> 203.0.113.7:443"),
        ("outbound_internet", [flow(WEB, OFFICE, 443)], "符合", "no host of the system"),
        ("unregistered_assets", [flow("127.10.0.200", OFFICE, 443)], "部分符合", "addresses: 127.10.0.200"),
        (
            "unregistered_assets",
            [flow(WEB, OFFICE, 443), flow(OFFICE, WEB, 443), flow("127.66.0.9", WEB, 443)],
            "符合",
            "no unregistered",
        ),
        ("unregistered_assets", [flow(WEB, OFFICE, 443)], "未判定", "in some segments: office, ot"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_the_flows(
    city: World, check: str, rows: list[dict[str, Any]], verdict: str, said: str
) -> None:
    city.add("flow", rows)
    (found,) = (one for one in city.ask(check) if one.object == "web")
    assert found.verdict == verdict
    assert said in found.reason.en and found.reason.zh
    assert found.valid_until == NOW + timedelta(days=7)


def test_assets_nothing_was_seen_of_are_not_spoken_for_by_others(city: World) -> None:
    city.add("flow", [flow(OTHER, WEB, 443)])
    found = {one.object: one.verdict for one in city.ask("cleartext_protocols")}
    silent = {asset.id for asset in city.register.assets_of("web")} - {"web-1", "web-2"}
    assert found == {"web": "符合", **dict.fromkeys(silent, "未判定")}


@pytest.mark.parametrize(
    ("cidrs", "address", "outside"),
    [
        (("0.0.0.0/0", "::/0"), "203.0.113.7", True),
        (("0.0.0.0/1", "128.0.0.0/1"), "203.0.113.7", True),
        (("2000::/3",), "2001:db8::1", True),
        (("203.0.113.0/24",), "203.0.113.7", False),
        (("2001:db8::/32",), "2001:db8::1", False),
        (("0.0.0.0/0",), "203.0.113.200", False),  # an asset of its own
        (("0.0.0.0/0",), "10.1.2.3", False),
    ],
)
def test_who_registers_the_whole_internet_does_not_make_it_his_own(
    tmp_path: Path, cidrs: tuple[str, ...], address: str, outside: bool
) -> None:
    base = register()
    more = {
        "segments": (*base.segments, Segment("net", "互联网区", cidrs, zone="互联网")),
        "assets": (*base.assets, Asset("pub", "公网地址", "web", ("203.0.113.200",), kind="server")),
    }
    with world(tmp_path, register(**more)) as city:
        assert events.is_outside(address, city.context()) is outside


@pytest.mark.parametrize(
    ("rows", "isolation", "services"),
    [
        ([flow("127.66.0.11", "127.66.0.10", 502)], "符合", "符合"),  # within the zone
        ([flow("127.10.0.50", "127.66.0.10", 502)], "部分符合", "符合"),  # a registered station outside it
        ([flow("127.10.0.50", "127.66.0.10", 23)], "部分符合", "不符合"),
        ([flow("127.20.0.77", "127.66.0.10", 502)], "不符合", "符合"),
        ([flow(OUT, "127.66.0.10", 80)], "不符合", "不符合"),
        ([flow("127.66.0.11", "127.66.0.10", 502), flow(OUT, "127.66.0.10", 80, answered=0)], "符合", "符合"),
        ([flow(OFFICE, WEB, 443)], "未判定", "未判定"),  # nothing seen of the plant
        *(
            ([flow("127.20.0.77", "127.66.0.10", port)], "不符合", "不符合")
            for port in (20, 21, 22, 25, 69, 139, 445, 513, 873, 2049, 3389, 5900, 5985, 8443)
        ),
        ([flow("127.20.0.77", "127.66.0.10", 13389, **{"network.protocol": "rdp"})], "不符合", "不符合"),
        ([flow("127.20.0.77", "127.66.0.10", 502, **{"network.protocol": "http"})], "不符合", "不符合"),
        ([flow("127.20.0.77", "127.66.0.10", 502, **{"network.protocol": "modbus"})], "不符合", "符合"),
    ],
)
def test_the_industrial_zone_is_judged_by_what_crosses_its_border(
    city: World, rows: list[dict[str, Any]], isolation: str, services: str
) -> None:
    city.add("flow", rows)
    assert city.ask_one("ot_isolation", "plant").verdict == isolation
    assert city.ask_one("ot_general_services", "plant").verdict == services


def test_one_remote_login_is_not_hidden_by_a_thousand_busy_pairs(city: World) -> None:
    busy = [flow(f"127.20.{n // 200}.{n % 200 + 1}", "127.66.0.10", 502) for n in range(1100)]
    city.add("flow", busy * 2)
    city.add("flow", [flow("127.20.9.9", "127.66.0.10", 3389)])
    found = city.ask_one("ot_general_services", "plant")
    assert found.verdict == "不符合" and "127.20.9.9 -> 127.66.0.10 rdp" in found.reason.en


def test_a_firewall_is_judged_by_denials_and_by_rules_that_let_everything_through(city: World) -> None:
    def verdict(action: str, port: int, rule: str) -> dict[str, Any]:
        return flow(OFFICE, WEB, port) | {"event.action": action, "rule.name": rule}

    city.add("firewall", [verdict("permit", port, "any-any") for port in range(1000, 1020)])
    found = city.ask_one("firewall_policy")
    assert found.verdict == "不符合" and "any-any (20 ports); 0 denials" in found.reason.en
    city.add("firewall", [verdict("deny", 23, "default")])
    assert city.ask_one("firewall_policy").verdict == "部分符合"


def test_a_firewall_that_only_denies_what_it_should_is_met(city: World) -> None:
    rows = [
        flow(OFFICE, WEB, 443) | {"event.action": "permit", "rule.name": "web"},
        flow(OUT, WEB, 22) | {"event.action": "DENY", "rule.name": "default"},
    ]
    city.add("firewall", rows)
    assert city.ask_one("firewall_policy").verdict == "符合"


@pytest.mark.parametrize(("days", "verdict"), [(-1, "不符合"), (10, "部分符合"), (200, "符合")])
def test_the_newest_certificate_of_each_server_counts(city: World, days: int, verdict: str) -> None:
    old = flow(OFFICE, WEB, 443) | {"tls.server.not_after": NOW - timedelta(days=2), "tls.server.subject": "CN=old"}
    new = {**old, "tls.server.not_after": NOW + timedelta(days=days), "tls.server.subject": "CN=new"}
    city.add("tls", [{**old, "at": NOW - timedelta(days=3)}, {**new, "tls.server.x509.public_key_algorithm": "SM2"}])
    (found,) = (one for one in city.ask("certificate_inventory") if one.object == "web")
    assert found.verdict == verdict and '"sm2":1' in found.record and "CN=old" not in found.record


def test_an_empty_system_asks_nothing_it_cannot_know(tmp_path: Path) -> None:
    with world(tmp_path, register(assets=(), segments=())) as city:
        for check in TRAFFIC_CHECKS:
            assert [one.verdict for one in city.ask(check)] == ["未判定"]
        assert city.ask_one("ot_isolation", "plant").verdict == "未判定"
        for check in ("open_ports", "linux_audit", "log_coverage"):
            assert city.ask(check) == []
