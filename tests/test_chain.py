"""Chains follow an intruder from host to host, and leave the bystanders out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cityguard.chain import chains
from cityguard.model import Alert, Level, Text

START = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)


def alert(rule: str, minute: int, level: Level = "high", **entities: str) -> Alert:
    when = START + timedelta(minutes=minute)
    named = {key.replace("_", "."): value for key, value in entities.items()}
    return Alert(f"{rule}-{minute}", rule, Text(rule, rule), level, "sigma", when, when, Text("", ""), entities=named)


WAY = [
    alert("spray", 0, source_ip="203.0.113.66", destination_ip="172.16.10.5"),
    alert("sweep", 10, source_ip="172.16.10.5", destination_ip="10.10.1.9"),
    alert("rdp", 15, source_ip="172.16.10.5", destination_ip="10.99.0.20"),
    alert("new-admin", 20, host_name="JUMP-01"),
    alert("ot-access", 30, source_ip="10.99.0.20", destination_ip="10.66.0.10"),
    alert("plc-write", 40, "critical", source_ip="10.66.0.10", destination_ip="10.66.10.12"),
]


def test_the_way_is_found_in_order_through_a_host_the_register_knows() -> None:
    noise = [
        alert("scan", minute, "low", source_ip="10.9.9.9", destination_ip=f"10.40.0.{minute}") for minute in range(50)
    ]
    (first, *_) = chains([*noise, *WAY], lambda name: frozenset(["10.99.0.20"]) if name == "JUMP-01" else frozenset())
    assert [a.rule_id for a in first.alerts] == ["spray", "sweep", "rdp", "new-admin", "ot-access", "plc-write"]
    assert first.hosts[0] == "203.0.113.66"
    assert first.hosts[-1] == "10.66.10.12"


def test_alerts_that_do_not_touch_make_no_chain() -> None:
    apart = [alert(f"r{n}", n, source_ip=f"10.0.0.{n}", destination_ip=f"10.1.0.{n}") for n in range(10)]
    assert chains(apart) == []


def test_an_effect_before_its_cause_is_no_link() -> None:
    assert (
        chains(
            list(
                reversed([alert(f"r{n}", 90 - 10 * n, source_ip=f"h{n}", destination_ip=f"h{n + 1}") for n in range(6)])
            )
        )
        == []
    )


def test_no_alerts_no_chains() -> None:
    assert chains([]) == []
