"""Discovery, evidence and the active checks' judgement of what was probed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.checks.world import NOW, World, register, world

from cityguard import crypto
from cityguard.checks.base import MAX_RECORD, choose, discover, evidence
from cityguard.checks.facts import Certificate, Host, Port, Ssh, Tls
from cityguard.errors import InputError
from cityguard.model import Asset, Text


@pytest.fixture
def city(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


# ---------------------------------------------------------------- what every check promises


def test_every_check_is_found_by_its_file_and_says_what_it_is() -> None:
    found = discover()
    assert len(found) >= 30
    for name, check in found.items():
        info = check.info
        assert check.run.__module__ == f"cityguard.checks.{name}" and info.id == name
        assert info.title.zh and info.title.en and info.controls and 0 < info.valid_days <= 365
        assert len(set(info.controls)) == len(info.controls)


def test_every_check_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
    assert [name for name in discover() if f"`{name}`" not in text] == []


def test_no_check_speaks_twice_of_one_object(city: World) -> None:
    for system in city.register.systems:
        for check in discover().values():
            if check.info.applies(system):
                objects = [one.object for one in check.run(system, city.context())]
                assert len(set(objects)) == len(objects)


def test_industrial_checks_apply_to_industrial_systems_only(city: World) -> None:
    web, plant = city.register.systems
    for name in ("ot_isolation", "ot_general_services"):
        applies = discover()[name].info.applies
        assert applies(plant) and not applies(web)


def test_an_unknown_check_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="no check 'nope'; known: alert_handling"):
        choose(["nope"])
    assert [one.info.id for one in choose(["time_sync", "open_ports"])] == ["open_ports", "time_sync"]


# ---------------------------------------------------------------- evidence


def test_evidence_is_a_hash_of_its_content(city: World) -> None:
    info, web = discover()["time_sync"].info, city.register.systems[0]

    def make(record: Any, verdict: Any = "符合") -> Any:
        return evidence(info, city.context(), web, web, verdict, Text("因", "why"), record)

    one = make({"b": 1, "a": [NOW]})
    assert one == make({"a": [NOW], "b": 1})  # canonical: order says nothing
    assert orjson.loads(one.record) == {"a": ["2026-11-21T04:00:00+00:00"], "b": 1}
    digest = crypto.digest(one.record.encode())
    assert (one.sha256, one.sm3) == (digest.sha256, digest.sm3)
    assert len({one.id, make({"b": 2}).id, make({"b": 1, "a": [NOW]}, "不符合").id}) == 3
    assert one.valid_until == NOW + timedelta(days=7)


def test_a_large_record_is_cut_and_stays_json(city: World) -> None:
    web = city.register.systems[0]
    made = evidence(discover()["time_sync"].info, city.context(), web, web, "符合", Text("", ""), ["字" * 50_000])
    assert len(made.record.encode()) <= MAX_RECORD and orjson.loads(made.record)["cut"] is True


# ---------------------------------------------------------------- verdicts over probed hosts


def certificate(days: int = 90, **changes: Any) -> Certificate:
    start, end = NOW - timedelta(days=1), NOW + timedelta(days=days)
    made = Certificate("CN=a", "CN=a", "1", start, end, "rsa", 2048, "sha256WithRSA", (), "00")
    return replace(made, **changes)


def ssh(banner: str = "SSH-2.0-x", **changes: Any) -> Ssh:
    good = Ssh(banner, ("curve25519-sha256",), ("ssh-ed25519",), ("aes256-ctr",), ("hmac-sha2-256",))
    return replace(good, **changes)


@pytest.mark.parametrize(
    ("check", "ports", "verdict"),
    [
        ("open_ports", [], "符合"),
        ("open_ports", [Port(443)], "符合"),
        ("open_ports", [Port(443), Port(8443)], "部分符合"),
        ("open_ports", [Port(443), Port(6379)], "不符合"),
        ("tls_version", [Port(443)], "未判定"),  # nothing to judge is no exemption
        ("tls_version", [Port(389)], "未判定"),  # maybe StartTLS
        ("tls_version", [Port(80), Port(23)], "不符合"),
        ("tls_version", [Port(80)], "不符合"),
        ("tls_version", [Port(80), Port(443, tls=Tls(("1.3",)))], "未判定"),  # maybe only a redirect
        ("tls_version", [Port(21), Port(443, tls=Tls(("1.3",)))], "部分符合"),
        ("tls_version", [Port(8080, tls=Tls(("1.3",)))], "符合"),
        ("tls_version", [Port(443, tls=Tls(("1.2", "1.3")))], "符合"),
        ("tls_version", [Port(443, tls=Tls(("tlcp1.1",)))], "符合"),
        ("tls_version", [Port(443, tls=Tls(("1.0", "1.2")))], "部分符合"),
        ("tls_version", [Port(443, tls=Tls(("1.2",))), Port(8443, tls=Tls(("ssl3",)))], "不符合"),
        ("tls_cipher", [Port(443, tls=Tls(("1.2",), weak=(("static-rsa", "x"),)))], "符合"),
        ("tls_cipher", [Port(443, tls=Tls(("1.2",), weak=(("3des", "x"),)))], "部分符合"),
        ("tls_cipher", [Port(443, tls=Tls(("1.2",), weak=(("null", "x"),)))], "不符合"),
        ("tls_cipher", [Port(80)], "未判定"),
        ("tls_certificate", [Port(443, tls=Tls(("1.2",)))], "未判定"),
        ("tls_certificate", [Port(443, tls=Tls(certificate=certificate()))], "符合"),
        ("tls_certificate", [Port(443, tls=Tls(certificate=certificate(key="sm2", key_bits=256)))], "符合"),
        ("tls_certificate", [Port(443, tls=Tls(certificate=certificate(20)))], "部分符合"),
        ("tls_certificate", [Port(443, tls=Tls(certificate=certificate(key_bits=1024)))], "部分符合"),
        ("tls_certificate", [Port(443, tls=Tls(certificate=certificate(signature="sha1WithRSA")))], "部分符合"),
        ("tls_certificate", [Port(443, tls=Tls(certificate=certificate(-1)))], "不符合"),
        ("tls_certificate", [Port(443, tls=Tls(certificate=certificate(not_before=NOW + timedelta(1))))], "不符合"),
        ("ssh_banner", [Port(22, ssh=ssh())], "符合"),
        ("ssh_banner", [Port(22, ssh=ssh("SSH-1.99-x"))], "部分符合"),
        ("ssh_banner", [Port(22, ssh=ssh("SSH-1.5-x"))], "不符合"),
        ("ssh_banner", [Port(443)], "未判定"),
        ("ssh_banner", [Port(80), Port(23)], "不符合"),
        ("ssh_banner", [Port(22, ssh=ssh()), Port(23)], "部分符合"),
        ("ssh_algorithms", [Port(22, ssh=ssh())], "符合"),
        ("ssh_algorithms", [Port(22, ssh=ssh(host_keys=("ssh-rsa", "ssh-ed25519")))], "部分符合"),
        ("ssh_algorithms", [Port(22, ssh=ssh(ciphers=("aes256-ctr", "none")))], "不符合"),
        ("ssh_algorithms", [Port(22, ssh=Ssh("SSH-2.0-x"))], "未判定"),  # banner only: nothing known of its offers
    ],
)  # fmt: skip
def test_a_verdict_follows_from_what_was_probed(city: World, check: str, ports: list[Port], verdict: str) -> None:
    host = Host("127.10.0.1", "web-1", (22, 443), tuple(ports))
    found = {one.object: one for one in city.ask(check, hosts={host.address: host})}
    assert found["web-1"].verdict == verdict and found["web-1"].reason.zh
    assert found["web-2"].verdict == "未判定" and "was not probed" in found["web-2"].reason.en


@pytest.mark.parametrize(
    ("registered", "found", "verdict", "said"),
    [
        ((443, 27017), (443, 27017), "部分符合", "registered high-risk ports open, to be justified"),
        ((443, 27017), (443,), "符合", "no port is open besides"),
        ((443, 3389), (443, 3389), "部分符合", "3389/rdp"),
        ((443, 23), (443, 23), "不符合", "high-risk ports open: 23/telnet"),  # logins in the clear
        ((443, 3389), (443, 3389, 6379), "不符合", "high-risk ports open: 6379/redis"),
        ((443, 3389), (443, 3389, 8443), "部分符合", "3389/rdp"),
    ],
)
def test_a_high_risk_port_is_judged_whether_registered_or_not(
    tmp_path: Path, registered: tuple[int, ...], found: tuple[int, ...], verdict: str, said: str
) -> None:
    ports = tuple(f"{port}/tcp" for port in registered)
    host = Host("127.10.0.1", "w1", registered, tuple(Port(number) for number in found))
    asset = Asset("w1", "门户", "web", ("127.10.0.1",), kind="server", ports=ports)
    with world(tmp_path, register(assets=(asset,))) as city:
        made = city.ask_one("open_ports", hosts={host.address: host})
        assert made.verdict == verdict and said in made.reason.en


@pytest.mark.parametrize(
    ("port", "verdict"), [(Tls(("1.3",)), "未判定"), (Tls(("1.0",)), "不符合"), (Tls(("1.0", "1.3")), "部分符合")]
)
@pytest.mark.parametrize("second", [("127.20.0.1",), ("127.20.0.0/30",), ("127.20.0.0/16",)])
def test_an_asset_is_met_only_when_each_of_its_addresses_was_reached(
    tmp_path: Path, second: tuple[str, ...], port: Tls, verdict: str
) -> None:
    asset = Asset("w1", "门户", "web", ("127.10.0.1", *second), kind="server")
    reached = Host("127.10.0.1", "w1", (443,), (Port(443, tls=port),))
    refused = Host("127.20.0.1", "w1", refused=Text("不开放扫描", "not open to scans"))
    with world(tmp_path, register(assets=(asset,))) as city:
        found = city.ask_one("tls_version", hosts={host.address: host for host in (reached, refused)})
        assert found.verdict == verdict and "addresses not reached: 127.20.0." in found.reason.en
        assert "not open to scans" in found.reason.en and "127.20.0." in str(orjson.loads(found.record)["not_reached"])


def test_an_asset_whose_addresses_all_answered_is_judged_as_a_whole(tmp_path: Path) -> None:
    asset = Asset("w1", "门户", "web", ("127.10.0.1", "127.10.0.4/30"), kind="server")
    hosts = [Host(f"127.10.0.{n}", "w1", (443,), (Port(443, tls=Tls(("1.3",))),)) for n in (1, 5, 6)]
    with world(tmp_path, register(assets=(asset,))) as city:
        assert city.ask_one("tls_version", hosts={host.address: host for host in hosts}).verdict == "符合"


def test_what_could_not_be_probed_is_undecided_with_the_reason(city: World) -> None:
    hosts = {
        "127.10.0.1": Host("127.10.0.1", "web-1", failed="no answer on any port"),
        "127.66.0.9": Host("127.66.0.9", "web-ot", refused=Text("位于工控网段 ot", "in OT segment ot")),
    }
    found = {one.object: one for one in city.ask("tls_version", hosts=hosts)}
    assert found["web-1"].verdict == found["web-ot"].verdict == "未判定"
    assert found["web-1"].reason.en == "could not be probed: no answer on any port"
    assert found["web-ot"].reason.zh == "按策略不探测：位于工控网段 ot"
