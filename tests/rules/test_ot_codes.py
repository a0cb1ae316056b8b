"""Industrial rules ask for what the decoders write, and what the decoders write reaches them by its log source."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from cityguard import content
from cityguard.decoders import ot
from cityguard.decoders.ot import (
    ads,
    bsap,
    c37118,
    cjt188_frame,
    dlms,
    dlt645_frame,
    dlt698_unit,
    dnp3,
    gbt20999_frame,
    genisys,
    hart_ip,
    hj212_names,
    iec104_types,
    knxip,
    melsec,
    mms_names,
    modbus_names,
    omron_fins,
    opcua_names,
    profinet,
    profinet_io,
    roc_plus,
    s7comm,
    s7comm_plus,
    sl651_names,
    szy206_names,
)
from cityguard.sigma import selftest
from cityguard.sigma.match import hits
from cityguard.sigma.rule import load

LISTS = {
    "ot_engineering_hosts": ["10.66.0.20"],
    "ot_critical_points": ["DB1.DBX0.0"],
    "ot_percent_points": ["ns=2;s=Valve1.Position"],
}
TABLES: dict[str, tuple[dict[int, Any], ...]] = {
    "ads": (ads.FUNCTIONS,),
    "bsap": (bsap.FUNCTIONS, bsap.EXCHANGES),
    "c37118": (c37118.FUNCTIONS,),
    "cjt188": (cjt188_frame.FUNCTIONS,),
    "dlms": (dlms.FUNCTIONS,),
    "dlt645": (dlt645_frame.FUNCTIONS,),
    "dlt698": (dlt698_unit.FUNCTIONS,),
    "dnp3": (dnp3.FUNCTIONS,),
    "gbt20999": (gbt20999_frame.TYPES,),
    "genisys": (genisys.FUNCTIONS,),
    "hart_ip": (hart_ip.FUNCTIONS,),
    "hj212": (hj212_names.COMMANDS,),
    "iec104": (iec104_types.TYPES,),
    "knxip": (knxip.FUNCTIONS,),
    "melsec": (melsec.FUNCTIONS,),
    "mms": (mms_names.SERVICES,),
    "modbus": (modbus_names.FUNCTIONS,),
    "omron_fins": (omron_fins.FUNCTIONS,),
    "opcua": (opcua_names.SERVICES,),
    "profinet_dcp": (profinet.FUNCTIONS,),
    "profinet_io": (profinet_io.FUNCTIONS,),
    "roc_plus": (roc_plus.FUNCTIONS,),
    "s7comm": (s7comm.FUNCTIONS, s7comm.SUBFUNCTIONS),
    "s7comm_plus": (s7comm_plus.FUNCTIONS,),
    "sl651": (sl651_names.FUNCTIONS,),
    "szy206": (szy206_names.FUNCTIONS,),
}
"""Protocols whose codes mean the same in every message; those of CIP and BACnet depend on object and kind."""
INNER = {("modbus", 8), ("modbus", 90)}
"""Functions with functions of their own inside: diagnostics, UMAS."""
NARROWER = {"control", "program", "error"}
"""Classes a message gets by what it carries: a select on a breaker, a factory reset, a refusal."""


def _documents() -> list[dict[str, Any]]:
    folder = content.root() / "rules"
    files = [*sorted((folder / "ot").glob("*.yml")), *sorted((folder / "correlation").glob("ot_*.yml"))]
    return [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def _known(protocol: str, code: int) -> str | bool | None:
    """The class of a code; False where the decoder has none of that number."""
    for table in TABLES[protocol]:
        if code in table:
            value = table[code]
            return value.klass if hasattr(value, "klass") else value[1]
    return False


def _maps(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _maps(inner)


def _codes(one: dict[str, Any]) -> list[int]:
    given = one.get("ot.function.code", [])
    return given if isinstance(given, list) else [given]


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return _documents()


def test_a_rule_asks_for_codes_its_protocol_has(documents: list[dict[str, Any]]) -> None:
    asked = 0
    for rule in documents:
        maps = list(_maps(rule.get("detection", {})))
        spoken = {one["ot.protocol"] for one in maps if isinstance(one.get("ot.protocol"), str)}
        for one in maps:
            protocol = one.get("ot.protocol", next(iter(spoken)) if len(spoken) == 1 else None)
            if isinstance(protocol, str) and protocol in TABLES:
                asked += len(_codes(one))
                assert [code for code in _codes(one) if _known(protocol, code) is False] == [], rule["name"]
    assert asked > 200


def test_examples_carry_the_class_the_decoder_gives(documents: list[dict[str, Any]]) -> None:
    seen = 0
    for rule in documents:
        for one in _maps(rule["custom"]["cityguard"]["tests"]):
            protocol, code, given = (one.get(f"ot.{name}") for name in ("protocol", "function.code", "function.class"))
            if protocol not in TABLES or protocol == "knxip" or not isinstance(code, int) or given is None:
                continue
            seen += 1
            fits = given == _known(protocol, code) or given in NARROWER or (protocol, code) in INNER
            assert fits, f"{rule['name']}: {one}"
    assert seen > 250


def test_what_a_decoder_writes_belongs_to_a_log_source_of_its_name() -> None:
    known = set(TABLES) | {"bacnet", "cip", "enip", "goose", "profinet_rt", "sv"}
    products = set[str]()
    for module in pkgutil.iter_modules(ot.__path__):
        for one in getattr(importlib.import_module(f"{ot.__name__}.{module.name}"), "PROTOCOLS", ()):
            source = one.sources.get("ot")
            products |= {one.name, *(source.product if source else ())}
    assert known <= products


DATASETS = {"ot_command": "ot", "network": "flow", "firewall": "firewall"}


def test_an_example_as_a_row_of_its_dataset_reaches_its_rule() -> None:
    ruleset = load([content.root() / "rules"], LISTS)
    assert not ruleset.faults
    reached = 0
    for rule in ruleset.rules:
        if not rule.head.name.startswith("cityguard.ot.") or rule.category not in DATASETS:
            continue
        for example in rule.head.examples:
            for event in example.events if example.match else ():
                row = replace(selftest.batch([event]), dataset=DATASETS[rule.category])
                alone = replace(ruleset, rules=(rule,))
                assert [found.id for found, _ in hits(alone, row)] == [rule.id], f"{rule.head.name}: {example.name}"
                reached += 1
    assert reached >= 180
