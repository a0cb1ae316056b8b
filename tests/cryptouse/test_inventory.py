"""The inventory: who is national, turned down, weak; certificates expired, shared, swapped; calendar and posture."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.cryptouse.handshakes import NOW, batch, day, ordinary, seen, tlcp

from cityguard.cryptouse import gathering, judging, owning, words
from cityguard.cryptouse.calendar import calendar
from cityguard.cryptouse.inventory import Inventory, Owner, shares
from cityguard.cryptouse.posture import UNKNOWN, posture
from cityguard.model import Asset, Department, Segment, System
from cityguard.register.register import Register
from cityguard.store.embedded import EmbeddedStore

OWNERS = {
    "10.0.0.7": Owner("portal", "data"),
    "10.0.0.8": Owner("portal", "data"),
    "10.66.0.1": Owner("scada", "water"),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    one = EmbeddedStore(tmp_path / "store")
    yield one
    one.close()


def gathered(store: EmbeddedStore, *rows: dict[str, Any], ssh: tuple[dict[str, Any], ...] = ()) -> Inventory:
    if rows:
        store.events.append(batch("tls", rows))
    if ssh:
        store.events.append(batch("ssh", ssh))
    return gathering.gather(store.events, lambda ip: OWNERS.get(ip, Owner()), NOW - timedelta(days=30), NOW)


def test_an_empty_store_has_an_empty_inventory(store: EmbeddedStore) -> None:
    found = gathered(store)
    assert (found.services, found.certificates, found.complete) == ((), (), True)
    assert {line.sign for line in posture(found)} == {"unseen"}


def test_each_server_is_national_mixed_turned_down_or_ordinary(store: EmbeddedStore) -> None:
    found = gathered(
        store,
        tlcp("10.0.0.7"),
        tlcp("10.0.0.8", "s2"), ordinary("10.0.0.8", "r2"),
        ordinary("10.66.0.1", "r3", offered=True),
        ordinary("10.9.9.9", "r4"),
        seen("10.9.9.8", version="tlcp1.1", guomi=True, guomi_offered=True),
        seen("10.9.9.7", version="1.3", cipher="TLS_SM4_GCM_SM3", guomi=True, guomi_offered=True),
    )  # fmt: skip
    states = {one.address: one.state for one in found.services}
    assert states == {
        "10.0.0.7": "national", "10.0.0.8": "mixed", "10.66.0.1": "turned_down", "10.9.9.9": "ordinary",
        "10.9.9.8": "unanswered", "10.9.9.7": "national",
    }  # fmt: skip
    assert found.states() == {"national": 2, "mixed": 1, "turned_down": 1, "ordinary": 1, "unanswered": 1}
    assert found.clients == {"10.0.9.9": 1}
    problems = {one.address: one.problems for one in found.services if one.problems}
    assert problems == {}  # 10.0.0.8 speaks both, and nobody's offer was turned down there
    (down,) = found.narrowed(state="turned_down").services
    assert (down.turned_down, down.national, down.owner.system) == (1, 0, "scada")


def test_a_mixed_server_that_turns_some_offers_down_has_a_problem_of_its_own(store: EmbeddedStore) -> None:
    found = gathered(
        store,
        tlcp("10.0.0.7"), ordinary("10.0.0.7", "r1", offered=True),
        tlcp("10.0.0.8", "s2"), ordinary("10.0.0.8", "r2"),
        ordinary("10.66.0.1", "r3", offered=True, client="10.0.9.8"),
        ordinary("10.66.0.1", "r3", offered=True),
    )  # fmt: skip
    told = {one.address: (one.state, one.turned_down, one.problems) for one in found.services}
    assert told == {
        "10.0.0.7": ("mixed", 1, ("sometimes_turned_down",)), "10.0.0.8": ("mixed", 0, ()),
        "10.66.0.1": ("turned_down", 2, ()),
    }  # fmt: skip
    assert found.problems() == {"sometimes_turned_down": 1}
    assert [one.address for one in found.narrowed(problem="sometimes_turned_down").services] == ["10.0.0.7"]
    said = posture(found)[0].said
    assert (
        "2 个收到国密提议而选了其他（从未采用 1，有时未采用 1）" in said.zh and "(always: 1, sometimes: 1)" in said.en
    )


def test_clients_and_servers_on_the_internet_follow_what_the_inventory_is_narrowed_to(store: EmbeddedStore) -> None:
    rows = [
        ordinary("10.0.0.7", "r1", offered=True),
        ordinary("10.66.0.1", "r2", offered=True, client="10.0.9.8"),
        ordinary("198.51.100.9", "far"),
    ]
    store.events.append(batch("tls", rows))
    far = Owner(outside=True)
    found = gathering.gather(
        store.events, lambda ip: far if ip[:3] == "198" else OWNERS[ip], NOW - timedelta(days=1), NOW
    )
    assert (found.clients, found.outside) == ({"10.0.9.9": 1, "10.0.9.8": 1}, 1)
    for narrow in ({"system": "portal"}, {"department": "data"}):
        mine = found.narrowed(**narrow)
        assert (mine.clients, mine.outside) == ({"10.0.9.9": 1}, 0)
    assert found.narrowed(state="national").clients == {}


def test_certificates_follow_the_state_of_the_services_that_show_them(store: EmbeddedStore) -> None:
    found = gathered(
        store,
        tlcp("10.0.0.7", "s1", client__hash__sha256="c1"), ordinary("10.0.0.7", "r1", server__not_after=day(-1)),
        ordinary("10.0.0.8", "r2", server__not_after=day(-1)),
    )  # fmt: skip
    kept = found.narrowed(state="mixed", problem="expired")
    assert [one.address for one in kept.services] == ["10.0.0.7"]
    assert [one.sha256 for one in kept.certificates] == ["r1"]
    assert {one.sha256 for one in found.narrowed(state="mixed").certificates} == {"s1", "e-s1", "r1"}
    none = found.narrowed(state="national", problem="expired")
    assert (none.services, none.certificates) == ((), ())


def test_the_posture_counts_the_certificates_of_the_inventory_those_of_clients_too(store: EmbeddedStore) -> None:
    found = gathered(store, tlcp("10.0.0.7", client__hash__sha256="c1", client__x509__public_key_algorithm="SM2"))
    assert len(found.certificates) == 3
    line = posture(found)[2]
    assert line.sign == "good"
    assert "3 张证书（其中客户端 1 张），SM2 3 张" in line.said.zh and "Certificates: 3 (of clients: 1)" in line.said.en


def test_certificates_are_judged_once_wherever_they_are_shown(store: EmbeddedStore) -> None:
    found = gathered(
        store,
        *[tlcp("10.0.0.7", "old", server__not_after=day(-1), server__encryption__not_after=day(10))] * 3,
        ordinary("10.0.0.8", "both"), ordinary("10.66.0.1", "both"),
        ordinary("10.9.9.9", "short", server__x509__public_key_size=1024, server__key__sha256="k-both"),
        ordinary("10.9.9.8", "own", server__issuer="CN=www-own", server__x509__signature_algorithm="ecdsa-with-SHA1"),
        ordinary("10.9.9.7", "mix", server__x509__public_key_algorithm="SM2"),
    )  # fmt: skip
    problems = {one.sha256: set(one.problems) for one in found.certificates}
    assert problems["old"] == {"expired"} and problems["e-old"] == {"soon"}
    assert problems["both"] == {"shared", "shared_key"}
    assert problems["short"] == {"weak_key", "shared_key"}
    assert problems["own"] == {"self_signed", "weak_signature"}
    assert problems["mix"] == {"mixed"}
    both = next(one for one in found.certificates if one.sha256 == "both")
    assert both.systems == ("portal", "scada")
    assert [place.address for place in both.places] == ["10.0.0.8", "10.66.0.1"]
    encryption = next(one for one in found.certificates if one.sha256 == "e-old")
    assert (encryption.roles, encryption.days_left, encryption.is_sm2) == (("encryption",), 9, True)
    assert "expired" in next(one for one in found.services if one.address == "10.0.0.7").problems


def test_the_newest_handshake_tells_of_a_certificate_and_many_are_read_page_by_page(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_PAGE", 10)
    rows = [ordinary("10.0.0.7", f"c{n % 37}") | {"at": NOW - timedelta(minutes=n + 1)} for n in range(150)]
    found = gathered(store, *rows)
    assert len(found.certificates) == 37 and found.complete
    assert found.services[0].handshakes == 150
    monkeypatch.setattr(gathering, "MAX_CERTIFICATES", 10)
    assert not gathered(store).complete


@pytest.mark.parametrize(
    ("version", "cipher", "national", "problems", "forward"),
    [
        ("tlcp1.1", "ECC_SM4_CBC_SM3", True, (), False),
        ("tlcp1.1", "ECDHE_SM4_GCM_SM3", True, (), True),
        ("tlcp1.1", "IBSDH_SM4_CBC_SM3", True, (), None),
        ("tlcp1.1", "RSA_SM4_CBC_SHA1", True, ("rsa_suite", "sha1"), False),
        ("tlcp1.1", "ECC_SM1_SM3", True, ("sm1",), False),
        ("1.3", "TLS_SM4_CCM_SM3", True, (), True),
        ("1.3", "TLS_AES_128_GCM_SHA256", False, (), True),
        ("1.2", "TLS_RSA_WITH_AES_128_CBC_SHA", False, (), False),
        ("1.0", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", False, ("weak_version", "weak_suite"), False),
        ("3.0", "TLS_RSA_WITH_RC4_128_MD5", False, ("weak_version", "weak_suite"), False),
        ("ike1.1", "SM4-CBC/SM3/envelope/SM2", True, (), None),
        ("ike1.0", "3DES-CBC/MD5/psk/modp1024", False, ("weak_suite",), True),
        ("ike2.0", "AES-GCM-16-256/PRF-SHA2-256/ecp256", False, (), True),
        ("ssh", "curve25519-sha256/aes256-gcm@openssh.com", False, (), True),
        ("ssh", "diffie-hellman-group1-sha1/3des-cbc/hmac-md5", False, ("weak_suite",), True),
        ("ssh", "sm2-sm3/sm4-ctr/hmac-sm3", True, (), True),
        ("1.2", None, False, (), None),
        ("1.0", None, False, ("weak_version",), None),
    ],
)
def test_a_suite_is_judged_by_its_name(
    version: str, cipher: str | None, national: bool, problems: tuple[str, ...], forward: bool | None
) -> None:
    assert judging.is_national(version, cipher) is national
    assert judging.suite(version, cipher) == problems
    assert judging.is_forward(version, cipher) is forward


def test_the_pair_of_tlcp_and_a_shared_key_in_ike_are_problems_of_the_server(store: EmbeddedStore) -> None:
    ike = {"version": "ike1.0", "version_protocol": "ike", "exchange": "aggressive", "authentication": ["psk"]}
    shell = {"source.ip": "10.0.9.9", "destination.ip": "10.0.0.7", "destination.port": 22}
    weak = {"ssh.kex_alg": "diffie-hellman-group1-sha1", "ssh.cipher_alg": "aes128-ctr", "ssh.mac_alg": "hmac-sha1"}
    found = gathered(
        store,
        tlcp("10.0.0.8", server__certificate_pair="swapped"),
        seen("10.66.0.1", 500, **ike, cipher="AES-CBC-256/SHA2-256/psk/modp2048", guomi=False, guomi_offered=False),
        ssh=(shell | weak,),
    )
    problems = {f"{one.address}:{one.port} {one.protocol}": one.problems for one in found.services}
    assert problems == {
        "10.0.0.7:22 ssh": ("weak_suite",), "10.0.0.8:443 tlcp": ("swapped",), "10.66.0.1:500 ike": ("aggressive",),
    }  # fmt: skip
    signs = [line.sign for line in posture(found)]
    assert signs == ["part", "good", "bad", "bad", "bad", "part"]


def test_shares_are_counted_by_system_and_department(store: EmbeddedStore) -> None:
    found = gathered(store, tlcp("10.0.0.7"), tlcp("10.0.0.7"), ordinary("10.0.0.8"), ordinary("10.9.9.9", "r2"))
    portal, nobody = shares(found, "system")
    assert (portal.key, portal.services, portal.national, portal.ordinary) == ("portal", 2, 1, 1)
    assert (portal.handshakes, portal.national_handshakes, portal.certificates) == (3, 2, 3)
    assert portal.ends_first == day(65) and nobody.key == ""
    assert [one.key for one in shares(found, "department")] == ["data", ""]
    assert [one.address for one in found.narrowed(department="data").services] == ["10.0.0.7", "10.0.0.8"]


def test_the_calendar_begins_with_what_is_over_and_goes_month_by_month(store: EmbeddedStore) -> None:
    found = gathered(
        store,
        ordinary("10.0.0.7", "over", server__not_after=day(-3)),
        ordinary("10.0.0.8", "this", server__not_after=day(5)),
        ordinary("10.9.9.9", "edge", server__not_after=NOW.replace(month=11, day=30, hour=17)),  # December in the city
        ordinary("10.9.9.8", "far", server__not_after=day(5000)),
    )
    months = calendar(found, NOW, ZoneInfo("Asia/Shanghai"))
    assert [one.sha256 for one in months[0].ending] == ["over"] and months[0].first is None
    assert [one.sha256 for one in months[1].ending] == ["this"] and f"{months[1].first:%Y-%m}" == "2026-11"
    assert [one.sha256 for one in months[2].ending] == ["edge"]
    assert len(months) == 14 and f"{months[-1].first:%Y-%m}" == "2027-11"


def test_every_code_has_words_and_what_cannot_be_known_is_said_in_both_languages() -> None:
    assert {*judging.WEAK, *judging.PAIR, *judging.DATED, "shared", "shared_key", "sometimes_turned_down"} == set(
        words.PROBLEMS
    )
    assert len(UNKNOWN) >= 6 and all(text.zh and text.en for text in UNKNOWN)
    assert words.problem("?").zh == "?"


def test_servers_on_the_internet_are_counted_and_left_out(store: EmbeddedStore) -> None:
    register = Register(
        departments=(Department("data", "数据局"),),
        systems=(System("portal", "门户", "data"),),
        assets=(Asset("web", "前端", "portal", ("203.0.113.80",)),),
        segments=(Segment("dmz", "互联网区", ("203.0.113.64/27",), "互联网区"),),
    )
    owners = owning.by_register(register)
    assert owners("203.0.113.80") == Owner("portal", "data")
    asked = ("203.0.113.81", "10.1.1.1", "198.51.100.9", "2001:db8::9", "fd00::1", "?")
    assert [owners(ip).outside for ip in asked] == [False, False, True, True, False, False]
    rows = [ordinary("198.51.100.9", "far", offered=True), ordinary("203.0.113.80", "near", offered=True)]
    store.events.append(batch("tls", rows))
    found = gathering.gather(store.events, owners, NOW - timedelta(days=1), NOW)
    assert [one.address for one in found.services] == ["203.0.113.80"] and found.outside == 1
    assert [one.sha256 for one in found.certificates] == ["near"]
    assert found.clients == {"10.0.9.9": 1}


def test_rows_of_other_sources_that_know_no_suite_are_services_all_the_same(store: EmbeddedStore) -> None:
    found = gathered(store, seen("10.0.0.7", version="1.0"), seen("10.0.0.8", version="1.3"), seen("10.0.0.9"))
    assert [(one.state, one.problems) for one in found.services] == [
        ("ordinary", ("weak_version",)), ("ordinary", ()), ("unanswered", ()),
    ]  # fmt: skip
