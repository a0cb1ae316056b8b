"""From bytes to the inventory: servers that show SM2 certificates made by OpenSSL, right and wrong ones."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.decoders import wire
from tests.decoders.app.test_tlcp import BEGINS, ENDS, SEEN, shaken
from tests.sm2 import ENCRYPTION, SIGNING, Authority

from cityguard import columns, ids
from cityguard.cryptouse import gathering
from cityguard.cryptouse.inventory import Inventory, Owner
from cityguard.model import EventBatch
from cityguard.store.embedded import EmbeddedStore


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """The inventory of five gateways that were captured."""
    authority = Authority(tmp_path_factory.mktemp("sm2"))
    over = SEEN - timedelta(days=2)
    right = (authority.issue("right", SIGNING, BEGINS, ENDS), authority.issue("right", ENCRYPTION, BEGINS, ENDS))
    shared = authority.issue("same", ENCRYPTION, BEGINS, ENDS, key=f"right-{ENCRYPTION[:4]}")
    shown = {
        "10.0.0.11": right,
        "10.0.0.12": (authority.issue("lone", SIGNING, BEGINS, ENDS),),
        "10.0.0.13": right[::-1],
        "10.0.0.14": (
            authority.issue("over", SIGNING, BEGINS, over),
            authority.issue("over", ENCRYPTION, BEGINS, over),
        ),
        "10.0.0.15": (authority.issue("same", SIGNING, BEGINS, ENDS), shared),
        "10.0.0.16": (authority.issue("mixed", SIGNING, BEGINS, ENDS, key="rsa"),),
    }
    packets = []
    for address, ders in shown.items():
        talker = wire.Talker(443, destination=address).shake()
        for side, payload in shaken(0xE013, *ders):
            talker.say(side, payload)
        packets += talker.packets
    return stored(tmp_path_factory.mktemp("store"), wire.decode(packets).batches)


def stored(folder: Path, batches: tuple[EventBatch, ...]) -> Inventory:
    """Rows of a capture through a real store."""
    store = EmbeddedStore(folder)
    try:
        for one in batches:
            if one.dataset == "tls":
                number = one.table["log.offset"].to_numpy()
                ms = one.table["@timestamp"].dt.epoch("ms").to_numpy()
                key = ids.source_key("capture", "x")
                table = one.table.with_columns(ids.event_ids(key, ms, number, number * 0))
                store.events.append(EventBatch("tls", "capture", columns.conform("tls", table), part="x"))
        until = SEEN + timedelta(hours=1)
        return gathering.gather(store.events, lambda ip: Owner(ip), SEEN - timedelta(hours=1), until)
    finally:
        store.close()


def test_every_gateway_is_national_and_its_faults_are_told(found: Inventory) -> None:
    assert [one.state for one in found.services] == ["national"] * 6
    assert {one.address[-2:]: one.problems for one in found.services} == {
        "11": ("shared_key", "shared"), "12": ("single",), "13": ("swapped", "shared_key", "shared"),
        "14": ("expired",), "15": ("shared_key",), "16": ("single", "mixed"),
    }  # fmt: skip


def test_certificates_no_library_can_load_are_all_there(found: Inventory) -> None:
    assert len(found.certificates) == 8
    told = [(one.subject, one.key, one.signature) for one in found.certificates]
    assert ("CN=mixed,C=CN", "RSA", "SM2-with-SM3") in told
    assert sum(key == "SM2" for _, key, _ in told) == 7
    over = [one for one in found.certificates if "expired" in one.problems]
    assert [one.subject for one in over] == ["CN=over,C=CN"] * 2 and {one.days_left for one in over} == {-3}
    encryption = next(one for one in found.certificates if one.subject == "CN=same,C=CN" and "encryption" in one.roles)
    assert encryption.usage == ("keyEncipherment", "dataEncipherment", "keyAgreement")
    right = next(
        one for one in found.certificates if one.subject == "CN=right,C=CN" and one.usage[0] == "digitalSignature"
    )
    assert right.systems == ("10.0.0.11", "10.0.0.13") and set(right.roles) == {"server", "encryption"}
