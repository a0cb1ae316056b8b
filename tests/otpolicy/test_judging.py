"""A policy held against messages: what is allowed, which line came nearest, and what people are told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.otpolicy.messages import (
    CITY,
    ENGINEER,
    MN,
    PLC,
    SCADA,
    STATION,
    STRANGER,
    batch,
    message,
    register,
    report,
    write,
)

from cityguard.config import OtPolicy
from cityguard.errors import InputError
from cityguard.model import Alert
from cityguard.otpolicy import addresses
from cityguard.otpolicy.acts import acts
from cityguard.otpolicy.detector import PolicyDetector
from cityguard.otpolicy.judge import Judge
from cityguard.otpolicy.policy import Line, Policy, Scope
from cityguard.register.register import Register

READ = Line(
    "ot-read", station="plc-2/1", master=SCADA, protocol="modbus", klass="read", codes=("3",), addresses=("100-119",)
)
HERE = (Scope("segment:seg-water", "enforced"),)


def detector(policy: Policy, book: Register) -> PolicyDetector:
    return PolicyDetector(lambda: policy, lambda: book, OtPolicy(), CITY)


def told(policy: Policy, *rows: dict[str, Any]) -> list[Alert]:
    book = register()
    return list(detector(policy, book).detect(batch(list(rows), book)))


def kinds(policy: Policy, *rows: dict[str, Any]) -> list[str]:
    return sorted(alert.rule_id.rpartition(".")[2] for alert in told(policy, *rows))


def policy(*lines: Line, scopes: tuple[Scope, ...] = HERE) -> Policy:
    return Policy(lines, scopes)


@pytest.mark.parametrize(
    ("line", "row", "kind"),
    [
        (READ, message(), []),
        (READ, message(source__ip=STRANGER), ["master"]),
        (READ, write(), ["code"]),
        (READ, write(source__ip=ENGINEER), ["none"]),
        (READ, message(ot__quantity=21), ["address"]),
        (READ, message(ot__address="99"), ["address"]),
        (replace(READ, windows=("workday 22:00-04:00",)), message(), ["window"]),
        (replace(READ, windows=("workday 9:00-11:00",)), message(), []),
        (replace(READ, expires=date(2026, 3, 10)), message(), ["expired"]),
        (replace(READ, expires=date(2026, 3, 11)), message(), []),
        (replace(READ, codes=()), message(ot__function__code=4), []),
        (replace(READ, klass="*", codes=()), write(), []),
        (replace(READ, protocol="*"), message(), []),
        (replace(READ, master="10.66.10.0/24"), message(), []),
        (replace(READ, master="10.66.0.0/16"), message(source__ip=STRANGER), []),
        (replace(READ, master="10.0.0.0/24"), message(), ["master"]),
        (replace(READ, master="*"), message(source__ip=STRANGER), []),
        (replace(READ, station="", segment="seg-water"), message(), []),
        (replace(READ, station="", segment="seg-env"), message(), ["none"]),
        (replace(READ, station=PLC), message(), []),
        (replace(READ, station="plc-2"), message(ot__unit_id="7"), []),
        (replace(READ, station="plc-2/2"), message(), ["none"]),
        (replace(READ, addresses=()), message(ot__address="65000"), []),
        (replace(READ, addresses=("DB1.*",)), message(ot__address="DB1.DBX0.0"), []),
        (replace(READ, addresses=("DB1.*",)), message(ot__address="DB2.DBX0.0"), ["address"]),
        (replace(READ, addresses=("5-6", "9")), message(ot__address="5,6,9", ot__quantity=3), []),
        (replace(READ, addresses=("5-6", "8")), message(ot__address="5,6,9", ot__quantity=3), ["address"]),
        (READ, message(ot__address=None, ot__quantity=None), []),
        (READ, message(ot__function__class="error", source__ip=STRANGER), []),
        (READ, message(ot__function__class=None, source__ip=STRANGER), []),
    ],
)  # fmt: skip
def test_a_message_is_allowed_by_a_line_or_the_nearest_line_is_told(
    line: Line, row: dict[str, Any], kind: list[str]
) -> None:
    assert kinds(policy(line), row) == kind


def test_a_reply_is_held_to_the_line_of_what_it_answers() -> None:
    reply = message(
        ot__is_request=False, source__ip=PLC, destination__ip=SCADA, source__port=502, destination__port=50_000
    )
    assert kinds(policy(READ), reply) == []
    (alert,) = told(policy(READ), reply | {"destination.ip": STRANGER})
    assert alert.entities == {"source.ip": STRANGER, "destination.ip": PLC}


def test_requests_are_counted_once_though_their_replies_are_seen() -> None:
    rows = [write(n, source__ip=STRANGER) for n in range(5)]
    rows += [
        write(
            n + 0.1,
            ot__is_request=False,
            source__ip=PLC,
            destination__ip=STRANGER,
            source__port=502,
            destination__port=50_000,
        )
        for n in range(5)
    ]
    (alert,) = told(policy(READ), *rows)
    assert alert.count == 5
    assert len(alert.event_ids) == 5


@pytest.mark.parametrize(
    ("scopes", "kind"),
    [
        ((), []),
        ((Scope("segment:seg-water", "learning"),), []),
        ((Scope("segment:seg-env", "enforced"),), []),
        ((Scope("plc-2/1", "enforced"),), ["none"]),
        ((Scope("segment:seg-water", "enforced"), Scope("plc-2/1", "learning")), []),
        ((Scope("segment:seg-water", "learning"), Scope("plc-2", "enforced")), ["none"]),
    ],
)
def test_only_enforced_places_are_told_and_a_station_goes_before_its_segment(
    scopes: tuple[Scope, ...], kind: list[str]
) -> None:
    assert kinds(policy(scopes=scopes), write(source__ip=STRANGER)) == kind


def test_an_alert_names_the_line_the_facts_and_that_nothing_is_blocked() -> None:
    (alert,) = told(policy(READ), message(ot__address="300"))
    assert alert.source == "ot_policy"
    assert alert.level == "low"
    for part in ("ot-read", "100-119", "300-309", "水厂控制器2", "读保持寄存器", "监控主机", "不阻断"):
        assert part in alert.reason.zh
    for part in ("ot-read", "outside the addresses 100-119", "Read Holding Registers", "never blocks"):
        assert part in alert.reason.en
    assert (alert.segment, alert.system, alert.department) == ("seg-water", "scada", "water")
    assert alert.part == "p"
    (worse,) = told(policy(READ), write(source__ip=STRANGER))
    assert worse.level == "high"
    assert "没有任何策略行允许" in worse.reason.zh


def test_an_expired_line_is_told_as_expired_with_its_day() -> None:
    (alert,) = told(policy(replace(READ, expires=date(2026, 3, 10))), message())
    assert "ot-read 已于 2026-03-10 到期" in alert.reason.zh
    assert alert.title.zh == "工控操作依据的策略行已到期"


def test_the_same_messages_in_other_pieces_make_the_same_alerts() -> None:
    rows = [write(n * 60, source__ip=STRANGER, ot__address=str(n)) for n in range(30)]
    book, rules = register(), policy(READ)
    whole = {alert.id: alert.count for alert in detector(rules, book).detect(batch(rows, book))}
    one = detector(rules, book)
    parts: dict[str, int] = {}
    for at in range(0, 30, 7):
        for alert in one.detect(batch(rows[at : at + 7], book, str(at))):
            parts[alert.id] = parts.get(alert.id, 0) + alert.count
    assert parts == whole


def test_a_station_named_by_its_message_is_known_from_whatever_address() -> None:
    line = Line("ot-env", station=MN, master="platform", protocol="hj212", klass="read")
    book = register(STATION)
    one = detector(Policy((line,), (Scope(MN, "enforced"),)), book)
    assert list(one.detect(batch([report(), report(5, source__ip="10.99.1.1")], book))) == []
    order = report(
        9, source__ip=STRANGER, destination__ip="10.69.10.21", ot__function__code=1012, ot__function__class="write",
        ot__is_request=True,
    )  # fmt: skip
    (alert,) = one.detect(batch([order], book))
    assert alert.rule_id.endswith(".none")
    assert alert.entities == {"source.ip": STRANGER, "destination.ip": "10.69.10.21"}
    assert "一号排口" in alert.reason.zh


def test_faults_of_the_file_leave_in_force_what_was(caplog: pytest.LogCaptureFixture) -> None:
    book, state = register(), [policy(READ)]

    def now() -> Policy:
        if not state:
            raise InputError("unknown key")
        return state[0]

    one = PolicyDetector(now, lambda: book, OtPolicy(), CITY)
    assert len(list(one.detect(batch([write()], book)))) == 1
    state.clear()
    assert len(list(one.detect(batch([write()], book)))) == 1
    assert "goes on" in caplog.text


def test_very_many_violations_are_folded_and_all_are_counted() -> None:
    rows = [write(0, source__ip=f"10.66.{n // 200}.{n % 200 + 30}") for n in range(400)]
    alerts = told(policy(READ), *rows)
    assert len(alerts) == 201
    assert sum(alert.count for alert in alerts) == 400


# ---------------------------------------------------------------- held to a plain loop


_LINES = st.builds(
    Line,
    id=st.uuids().map(lambda u: f"l{u.hex[:10]}"),
    station=st.sampled_from(["plc-2/1", "plc-2", PLC, "plc-2/9"]),
    master=st.sampled_from([SCADA, "10.66.0.0/16", "10.66.10.0/24", "*"]),
    protocol=st.sampled_from(["modbus", "*", "iec104"]),
    klass=st.sampled_from(["read", "write", "*"]),
    codes=st.sampled_from([(), ("3",), ("6", "16")]),
    addresses=st.sampled_from([(), ("100-119",), ("5", "100-104")]),
    windows=st.sampled_from([(), ("daily 9:00-11:00",), ("restday 0:00-24:00",)]),
    expires=st.sampled_from([None, date(2026, 3, 10), date(2026, 3, 11)]),
)
_ROWS = st.builds(
    lambda make, source, address, quantity: make(0, source__ip=source, ot__address=address, ot__quantity=quantity),
    st.sampled_from([message, write]),
    st.sampled_from([SCADA, ENGINEER, STRANGER]),
    st.sampled_from(["5", "100", "110"]),
    st.integers(1, 12),
)


def _plainly(line: Line, row: dict[str, Any]) -> bool:
    import ipaddress

    names = {"plc-2/1", "plc-2", PLC}
    lo, hi = int(row["ot.address"]), int(row["ot.address"]) + row["ot.quantity"] - 1
    spans = [addresses.parse(word) for word in line.addresses]
    return (
        line.station in names
        and (line.master == "*" or ipaddress.ip_address(row["source.ip"]) in ipaddress.ip_network(line.master))
        and line.protocol in ("*", "modbus")
        and line.klass in ("*", row["ot.function.class"])
        and (not line.codes or str(row["ot.function.code"]) in line.codes)
        and (not spans or any(s.lo <= lo and hi <= s.hi for s in spans if s.lo is not None and s.hi is not None))
        and line.windows != ("restday 0:00-24:00",)
        and (line.expires is None or line.expires >= date(2026, 3, 11))
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(_LINES, max_size=6), st.lists(_ROWS, min_size=1, max_size=6))
def test_columns_judge_as_a_loop_over_messages_and_lines_does(lines: list[Line], rows: list[dict[str, Any]]) -> None:
    seen = acts(batch(rows, register()).table)
    found = Judge(Policy(tuple(lines)), CITY).judge(seen)
    expected = [any(_plainly(line, row) for line in lines) for row in rows]
    assert found["allowed"].to_list() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9)), max_size=60), st.integers(1, 8))
def test_joined_ranges_hold_every_number_and_never_more_of_them_than_asked(
    pairs: list[tuple[int, int]], most: int
) -> None:
    spans = [(lo, lo + more) for lo, more in pairs]
    made = addresses.spans(spans, most)
    assert len(made) <= most
    assert all(any(a <= lo and hi <= b for a, b in made) for lo, hi in spans)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(made))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=6), st.lists(st.text(max_size=20), max_size=6))
def test_joined_entries_cover_both(one: list[str], other: list[str]) -> None:
    mine, yours = addresses.words((), one), addresses.words((), other)
    both = addresses.joined(mine, yours)
    assert addresses.covers(both, mine)
    assert addresses.covers(both, yours)


@pytest.mark.parametrize(
    "table",
    [
        lambda: pl.DataFrame(),
        lambda: pl.DataFrame({"ot.protocol": [None], "source.ip": [None]}),
        lambda: pl.DataFrame({"ot.protocol": ["x"], "ot.function.class": ["write"]}),
        lambda: pl.DataFrame({"ot.protocol": ["x"], "ot.function.class": ["write"], "ot.address": ["9" * 400 + ",,"]}),
        lambda: pl.DataFrame({"ot.protocol": ["x"], "ot.function.class": ["write"], "ot.quantity": [-5]}),
    ],
)
def test_rows_that_lack_nearly_everything_are_taken(table: Callable[[], pl.DataFrame]) -> None:
    seen = acts(table())
    assert Judge(policy(READ), CITY).judge(seen).height == seen.height
