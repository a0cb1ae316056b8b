"""Threat lists: addresses, networks, domains with their parents, hashes; read anew, bounded, never half."""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.detectors.custom import lists
from cityguard.detectors.custom.lists import ThreatList, ThreatLists
from cityguard.errors import InputError
from cityguard.sigma.view import Values


def among(entries: list[str], values: list[Any]) -> list[str | None]:
    known = ThreatList.of((one, "") for one in entries)
    found = Values.of(pl.Series(values))
    verdict = known.among(found).gather(found.codes).to_list()
    here: list[str | None] = [None] * len(values)
    for row, one in zip(found.rows.tolist(), verdict, strict=True):
        here[row] = one
    return here


@pytest.mark.parametrize(
    ("entry", "value", "found"),
    [
        ("203.0.113.9", "203.0.113.9", "203.0.113.9"),
        ("203.0.113.9/32", "203.0.113.9", "203.0.113.9"),
        ("203.0.113.0/24", "203.0.113.200", "203.0.113.200"),
        ("203.0.113.7/24", "203.0.113.200", "203.0.113.200"),
        ("203.0.113.0/24", "203.0.114.1", None),
        ("2001:DB8::/32", "2001:db8:1::5", "2001:db8:1::5"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::1"),
        ("2001:db8::/32", "2001:db9::1", None),
        ("::/0", "203.0.113.9", None),
        ("0.0.0.0/0", "2001:db8::1", None),
        ("Bad.Example.", "bad.example", "bad.example"),
        ("bad.example", "a.b.BAD.example.", "bad.example"),
        ("bad.example", "verybad.example", None),
        ("example", "bad.example", None),
        ("3.9", "1.2.3.9", None),
        ("d41d8cd98f00b204e9800998ecf8427e", "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e"),
        (
            "d41d8cd98f00b204e9800998ecf8427e",
            "SHA1=ABC,MD5=D41D8CD98F00B204E9800998ECF8427E",
            "d41d8cd98f00b204e9800998ecf8427e",
        ),
        ("恶意.example", "www.恶意.example", "恶意.example"),
        ("4444", 4444, "4444"),
        ("999.1.1.1/99", "999.1.1.1/99", "999.1.1.1/99"),
    ],
)
def test_a_value_is_found_by_itself_its_network_or_its_parent(entry: str, value: Any, found: str | None) -> None:
    assert among([entry, "other.example"], [value, None]) == [found, None]


@settings(deadline=None, max_examples=100, database=None)
@given(
    st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), min_size=1, max_size=12),
    st.lists(st.ip_addresses(), min_size=1, max_size=12),
)
def test_networks_hold_the_addresses_they_hold(made: Any, asked: Any) -> None:
    networks = [ip_network(f"{one}/{min(bits, one.max_prefixlen)}", strict=False) for one, bits in made]
    edges = (*(one[0] for one in networks), *(one[-1] for one in networks))
    asked = [one for one in (*asked, *edges) if one.version == 4 or one.ipv4_mapped is None]
    wanted = [any(one.version == net.version and one in net for net in networks) for one in asked]
    assert [one is not None for one in among([str(net) for net in networks], [str(one) for one in asked])] == wanted


@settings(deadline=None, max_examples=50, database=None)
@given(st.lists(st.text(max_size=20), max_size=8), st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_any_text_may_stand_in_a_list_or_an_event(entries: list[str], values: list[str]) -> None:
    assert len(among(entries, values)) == len(values)


def test_a_file_is_read_with_remarks_and_read_anew_when_it_changes(tmp_path: Path) -> None:
    now = [0.0]
    known = ThreatLists((tmp_path,), now=lambda: now[0])
    assert known.get("intel") is None
    assert "lists/intel.txt" in str(known.fault("intel"))
    file = tmp_path / "intel.txt"
    file.write_text("# 本市\n203.0.113.0/24  # 通报 12 号\nbad.example # 钓鱼\n", encoding="utf-8")
    now[0] = 11
    found = known.get("intel")
    assert found is not None and known.fault("intel") is None
    assert found.told(pl.Series(["bad.example", None])).to_list() == ["bad.example (钓鱼)", None]
    file.write_text("other.example\n", encoding="utf-8")
    os.utime(file, ns=(1, 1))
    assert known.get("intel") is found  # looked at every ten seconds only
    now[0] = 22
    assert known.get("intel") is not found


def test_a_csv_has_values_and_notes(tmp_path: Path) -> None:
    (tmp_path / "intel.csv").write_text('value,kind,note\nbad.example,domain,"钓鱼, 高"\n', encoding="utf-8-sig")
    found = ThreatLists((tmp_path,)).get("intel")
    assert found is not None and found.notes == {"bad.example": "钓鱼, 高"}


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("intel.csv", b"address,note\n1.2.3.4,x\n", "no column 'value'"),
        ("intel.csv", b'value\n"' + b"x" * 200_000 + b"\n", "not CSV"),
        ("intel.txt", b"\xff\xfe1.2.3.4", "not UTF-8"),
    ],
)
def test_a_broken_file_leaves_the_last_good_list_in_force(tmp_path: Path, name: str, raw: bytes, said: str) -> None:
    now = [0.0]
    known = ThreatLists((tmp_path,), now=lambda: now[0])
    file = tmp_path / name
    file.write_text("value\nbad.example\n" if name.endswith("csv") else "bad.example\n", encoding="utf-8")
    good = known.get("intel")
    assert good is not None
    file.write_bytes(raw)
    now[0] = 11
    assert known.get("intel") is good
    assert said in str(known.fault("intel"))


def test_a_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_VALUES", 3)
    with pytest.raises(InputError, match="more than 3"):
        ThreatList.of((f"{n}.example", "") for n in range(4))
    monkeypatch.setattr(lists, "MAX_BYTES", 10)
    (tmp_path / "intel.txt").write_text("bad.example\nworse.example\n", encoding="utf-8")
    known = ThreatLists((tmp_path,))
    assert known.get("intel") is None and "larger than" in str(known.fault("intel"))


def test_the_city_s_list_goes_before_the_shipped_one(tmp_path: Path) -> None:
    for folder, text in (("shipped", "a.example"), ("city", "b.example")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "intel.txt").write_text(text, encoding="utf-8")
    found = ThreatLists((tmp_path / "shipped", tmp_path / "city")).get("intel")
    assert found is not None and list(found.notes) == ["b.example"]


def test_every_address_of_a_list_is_its_own() -> None:
    assert among([str(ip_address(n)) for n in range(0, 512, 2)], [str(ip_address(n)) for n in range(4)]) == [
        "0.0.0.0",
        None,
        "0.0.0.2",
        None,
    ]
