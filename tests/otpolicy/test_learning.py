"""From stored messages to a baseline, a proposal in plain sentences, and a person's decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.otpolicy.messages import (
    CITY,
    ENGINEER,
    MN,
    SCADA,
    START,
    STATION,
    STRANGER,
    batch,
    message,
    register,
    report,
    write,
)

from cityguard.errors import ContentErrors, InputError
from cityguard.otpolicy import baseline, decide, diff, policy, propose
from cityguard.otpolicy.baseline import Baseline, Learner
from cityguard.otpolicy.decide import Decided, Decision
from cityguard.otpolicy.policy import Line, Policy
from cityguard.otpolicy.words import Names, deed
from cityguard.register.register import Register

END = START + timedelta(days=30)
SIGNED: dict[str, Any] = {"by": "li", "owner": "王工", "reason": "基线", "at": "2026-03-12T00:00:00Z"}


def learned(rows: list[dict[str, Any]], book: Register | None = None, pieces: int = 1) -> Baseline:
    book = book or register()
    learner, step = Learner(CITY), max(1, -(-len(rows) // pieces))
    for at in range(0, len(rows), step):
        learner.add(batch(rows[at : at + step], book, str(at)).table)
    return learner.finish(START, END)


def proposed(seen: Baseline, before: Policy | None = None, book: Register | None = None, **more: Any) -> Policy:
    given: dict[str, Any] = {"alerted": (), "by": "li", "now": END} | more
    return propose.propose(seen, before or Policy(), book or register(), **given)


def decided(proposal: Policy, before: Policy | None = None, **told: Any) -> Decided:
    return decide.decide(proposal, before or Policy(), Decision(**(SIGNED | told)), segments={"plc-2/1": "seg-water"})


def polls(days: int = 1, hours: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    return [message(day * 86_400 + hour * 3_600 + n * 10) for day in range(days) for hour in hours for n in range(30)]


def test_a_baseline_says_who_did_what_to_whom_where_and_how_often() -> None:
    seen = learned(
        [*polls(), *(message(n * 10 + 1, ot__address="120") for n in range(30)), write(7, ot__address="400")]
    )
    rows = {(row["klass"], row["code"]): row for row in seen.deeds.iter_rows(named=True)}
    read = rows["read", "3"]
    assert (read["station"], read["segment"], read["master"], read["count"]) == ("plc-2/1", "seg-water", SCADA, 60)
    assert read["addresses"] == ["100-109", "120-129"]
    assert read["period_s"] == 10.0
    assert rows["write", "6"]["addresses"] == ["400"]
    assert rows["write", "6"]["period_s"] is None


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([SCADA, ENGINEER]), st.booleans()), min_size=1, max_size=30)
)
def test_what_is_learned_does_not_depend_on_how_it_is_cut(seen: list[tuple[int, str, bool]]) -> None:
    rows = [
        (write if changes else message)(n, ot__address=str(address), source__ip=master)
        for n, (address, master, changes) in enumerate(seen)
    ]
    whole, cut = learned(rows), learned(rows, pieces=4)
    keys = ["station", "master", "klass", "code", "count", "first", "last", "addresses", "days"]
    assert whole.deeds.select(keys).equals(cut.deeds.select(keys))
    assert baseline.unpack(baseline.pack(whole)).deeds.equals(whole.deeds)


def test_bytes_that_are_no_baseline_are_refused() -> None:
    for raw in (b"", b"x", baseline.pack(learned(polls()))[:-9]):
        with pytest.raises(InputError, match="not a baseline"):
            baseline.unpack(raw)


def test_a_proposal_is_read_as_sentences() -> None:
    made = proposed(learned(polls()))
    (change,) = diff.diff(made, Policy(), Names(register()))
    assert change.text.zh == (
        "新增允许：10.66.10.5（监控主机） 对 水厂控制器2 单元 1 读保持寄存器（Modbus 3），"
        "地址 100-109，全天；30 次，约每 10 秒"
    )
    assert change.text.en == (
        "newly allowed: 10.66.10.5 (监控主机) to 水厂控制器2 unit 1: Read Holding Registers (Modbus 3), "
        "addresses 100-109, at any time; 30 times, about every 10 s"
    )
    assert "新增允许 1 行" in diff.summary([change], made).zh
    assert "不阻断" in diff.summary([change], made).zh


@pytest.mark.parametrize(
    ("protocol", "klass", "codes", "name", "zh", "en"),
    [
        ("modbus", "write", ("16", "6"), "", "写多个寄存器、写单个寄存器（Modbus 16、6）",
         "write registers (16), write register (6) (Modbus)"),
        ("gb28181", "control", ("Control/DeviceControl/GuardCmd",), "Control/DeviceControl/GuardCmd",
         "布防撤防（GB/T 28181 GuardCmd）", "arm or disarm (GB/T 28181 GuardCmd)"),
        ("ocpp", "program", ("UpdateFirmware",), "UpdateFirmware", "升级固件（OCPP UpdateFirmware）",
         "update firmware (OCPP UpdateFirmware)"),
        ("ocpp", "control", ("SetDERControl",), "SetDERControl", "控制 set DER control（OCPP SetDERControl）",
         "set DER control (OCPP SetDERControl)"),
        ("sl651", "program", ("64",), "write_basic_config", "修改基本配置（SL 651 64）",
         "write basic configuration (SL 651 64)"),
        ("jt808", "control", ("33029", "33030"), "", "控制（JT/T 808 33029、33030）",
         "control (JT/T 808 33029, 33030)"),
        ("*", "*", (), "", "任何操作", "do anything to"),
    ],
)  # fmt: skip
def test_a_deed_is_told_in_plain_words(
    protocol: str, klass: str, codes: tuple[str, ...], name: str, zh: str, en: str
) -> None:
    told = deed(protocol, klass, codes, name)
    assert (told.zh, told.en) == (zh, en)


def test_lines_keep_their_ids_whatever_addresses_are_seen() -> None:
    one, other = proposed(learned(polls())), proposed(learned([message(ot__address="7")]))
    assert [line.id for line in one.lines] == [line.id for line in other.lines]
    assert one.lines[0].id.startswith("ot-")


def test_what_looks_wrong_is_told_first_and_taken_only_by_name() -> None:
    rows = [*polls(), *(write(n, source__ip=ENGINEER) for n in range(5)), write(9, source__ip=STRANGER)]
    made = proposed(learned(rows), alerted={ENGINEER})
    flags = {line.master: set(line.flags) for line in made.lines}
    assert {"alerted", "changes"} <= flags[ENGINEER]
    assert {"unregistered", "rare"} <= flags[STRANGER]
    assert flags[SCADA] == set()
    assert made.lines[-1].master == SCADA
    done = decided(made, places=("segment:seg-water",))
    assert [line.master for line in done.accepted] == [SCADA]
    assert {line.master for line in done.held} == {ENGINEER, STRANGER}
    named = next(line.id for line in made.lines if line.master == ENGINEER)
    both = decided(made, places=("plc-2/1",), accept=(named,))
    assert {line.master for line in both.accepted} == {SCADA, ENGINEER}
    assert both.accepted[0].owner == "王工"
    assert all(line.flags == () for line in both.accepted)


def test_only_what_must_be_named_is_marked_so_and_a_note_is_another_word() -> None:
    made = proposed(learned([*polls(), write(), message(5, source__ip=STRANGER)]))
    changes = diff.diff(made, Policy(), Names(register()))
    for change in changes:
        assert bool(change.must.zh) == bool(change.must.en) == change.held
    (strange,) = [one for one in changes if one.line.master == STRANGER]
    assert (strange.must.en, strange.remark.en) == ("the master is not in the register", "seen once or twice only")
    noted = next(one for one in changes if one.line.klass == "write")
    assert not noted.must.zh
    assert "写入" in noted.remark.zh
    taken = decided(made, places=("*",))
    assert noted.line.id in {line.id for line in taken.accepted}, "a note holds nothing back"
    assert [line.id for line in taken.held] == [strange.line.id]
    said = diff.summary(changes, made)
    assert "1 of them must be named" in said.en
    assert "1 of them have a note" in said.en


def test_hours_are_narrowed_for_writes_once_a_week_was_seen() -> None:
    rows = [write(day * 86_400 + n * 60) for day in range(9) for n in range(3)]
    (line,) = proposed(learned(rows)).lines
    assert line.windows == ("workday 10:00-11:00", "restday 10:00-11:00")
    (short,) = proposed(learned(rows[:9])).lines
    assert short.windows == ()
    (read,) = proposed(learned(polls(9))).lines
    assert read.windows == ()


def test_a_line_in_force_is_widened_renewed_or_left_alone() -> None:
    first = decided(proposed(learned(polls())), places=("*",)).policy
    assert proposed(learned(polls()), first).lines == ()
    wider = proposed(learned([*polls(), message(ot__address="110")]), first)
    (change,) = diff.diff(wider, first, Names(register()))
    assert (change.kind, change.line.id) == ("wider", first.lines[0].id)
    assert "原为地址 100-109" in change.text.zh
    assert change.line.addresses == ("100-119",)
    over = replace(first, lines=tuple(replace(one, expires=START.date()) for one in first.lines))
    (again,) = diff.diff(proposed(learned(polls()), over), over, Names(register()))
    assert again.kind == "renew"


def test_a_line_written_by_hand_spares_a_proposal() -> None:
    mine = Line("by-hand", segment="seg-water", master="10.66.10.0/24", klass="read")
    assert proposed(learned(polls()), Policy((mine,))).lines == ()


def test_many_stations_of_a_segment_share_a_line() -> None:
    rows = [message(n, ot__unit_id=str(n % 12), ot__address=str(100 + n % 12)) for n in range(36)]
    (line,) = proposed(learned(rows)).lines
    assert (line.segment, line.station, line.count) == ("seg-water", "", 36)
    assert line.addresses == ("100-120",)


def test_a_rejected_line_is_not_proposed_again() -> None:
    made = proposed(learned(polls()))
    done = decided(made, reject=(made.lines[0].id,))
    assert done.policy.rejected[0].reason == "基线"
    assert done.proposal.lines == ()
    again = proposed(learned(polls()), done.policy)
    assert again.lines == ()
    assert again.about["refused"] == "1"


def test_stations_with_ids_of_their_own_are_learned_by_them_with_their_platform() -> None:
    book = register(STATION)
    rows = [report(n * 600) for n in range(12)]
    ends = {
        "source__ip": "10.69.0.5",
        "destination__ip": "10.69.10.21",
        "source__port": 9_000,
        "destination__port": 40_000,
    }
    rows += [report(n * 600 + 1, ot__is_request=False, ot__function__code=9014, **ends) for n in range(12)]
    for known in (book, register()):
        seen = learned(rows, known)
        assert set(seen.deeds["station"]) == {MN}
        assert set(seen.deeds["master"]) == {"10.69.0.5"}
        assert seen.deeds.filter(code="2051")["period_s"].to_list() == [600.0]
    (flagged,) = proposed(
        learned([report(source__ip="10.69.0.99", destination__ip="10.69.0.98")], book), book=book
    ).lines
    assert "not_platform" in flagged.flags


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"places": ("*",), "reason": " "}, "why"),
        ({"places": ("*",), "owner": ""}, "who answers"),
        ({}, "what is decided"),
        ({"accept": ("nothing",)}, "no line"),
        ({"remove": ("nothing",)}, "no line"),
        ({"places": ("*",), "expires": date(2026, 3, 1)}, "has passed"),
    ],
)
def test_a_decision_that_says_too_little_is_refused(told: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        decided(proposed(learned(polls())), **told)


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"reason": "x" * 600}, "reason: 600 characters"),
        ({"owner": "x" * 501}, "owner: 501 characters"),
        ({"reason": "a\x00b"}, r"reason: a control character \(U\+0000\)"),
        ({"by": "\x1b[31m"}, r"by: a control character \(U\+001B\)"),
        ({"owner": "\ud800"}, "owner: a control character"),
        ({"places": ("x" * 600,)}, "place: 600 characters"),
    ],
)
def test_what_a_policys_file_cannot_hold_is_refused_by_its_name(told: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        decided(proposed(learned(polls())), **({"places": ("*",)} | told))


def test_a_reason_pasted_over_several_lines_becomes_one_line(tmp_path: Path) -> None:
    made = decided(proposed(learned(polls())), places=("*",), reason="一、\t轮询\r\n二、\n\n基线\n").policy
    assert {line.reason for line in made.lines} == {"一、 轮询 二、 基线"}
    path = tmp_path / "p.yml"
    policy.put(path, policy.dump(made, "x"))
    assert policy.read(path) == made


def test_a_policy_that_could_not_be_read_again_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    policy.put(path, policy.dump(Policy((Line("a", station="s"),)), "x"))
    before = path.read_bytes()
    with pytest.raises(InputError, match="could not be read again"):
        policy.put(path, policy.dump(Policy((Line("a", station="s", reason="a\tb"),)), "x"))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["p.yml"]


def test_what_is_written_can_be_read_again_however_much_it_is(tmp_path: Path) -> None:
    spots = tuple(str(2 * n) for n in range(32))
    rows = [
        Line(f"l{n}", station=f"s{n}", master=SCADA, klass="read", addresses=spots, name="x", count=n)
        for n in range(4_000)
    ]
    bounded = propose._bounded(rows)
    assert 500 < len(bounded) < 4_000
    path = tmp_path / "big.yml"
    policy.put(path, policy.dump(Policy(bounded, about={"by": "li"}), "x"))
    assert policy.read(path).lines == bounded
    with pytest.raises(InputError, match="too much"):
        decided(Policy(tuple(rows)), accept=tuple(line.id for line in rows))


def test_a_place_goes_back_to_learning_and_a_line_is_removed() -> None:
    before = decided(proposed(learned(polls())), places=("*",)).policy
    assert before.scopes[0].place == "segment:seg-water"
    after = decided(Policy(), before, places=("segment:seg-water",), mode="learning", remove=(before.lines[0].id,))
    assert after.policy.scopes[0].mode == "learning"
    assert after.policy.lines == ()
    assert after.removed == before.lines


# ---------------------------------------------------------------- the file


def test_a_policy_comes_back_from_its_file(tmp_path: Path) -> None:
    made = decided(proposed(learned([*polls(), write()])), places=("*",), expires=date(2027, 3, 1)).policy
    path = tmp_path / "ot-policy.yml"
    policy.put(path, policy.dump(made, "说明\nwords"))
    assert policy.read(path) == made
    assert path.read_text(encoding="utf-8").startswith("# 说明\n# words\n")


def test_a_policy_a_person_writes_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(
        """\
lines:
  - id: a
    segment: seg-water
    master: 10.66.10.0/24
    class: read
    codes: [3, 4]
    addresses: [100, 120-129]
    expires: 2027-01-31
  - {id: b, station: plc-2/1, class: "*", windows: [周六 22:00-04:00]}
scopes:
  - {place: "segment:seg-water", mode: enforced}
""",
        encoding="utf-8",
    )
    found = policy.read(path)
    assert found.lines[0].codes == ("3", "4")
    assert found.lines[0].addresses == ("100", "120-129")
    assert found.lines[0].expires == date(2027, 1, 31)
    assert found.scopes[0].mode == "enforced"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{id: a}", "one of 'station' and 'segment'"),
        ("{id: a, station: x, segment: y}", "one of 'station' and 'segment'"),
        ("{id: a, station: x, master: nobody}", "master"),
        ("{id: a, station: x, class: delete}", "class"),
        ("{id: a, station: x, addresses: [9-1]}", "ends before"),
        ("{id: a, station: x, windows: [sometimes]}", "windows"),
        ("{id: a, station: x, colour: red}", "colour"),
        ("{id: a, station: x, expires: soon}", "expires"),
        ("{id: b, station: x}", "twice"),
        ("7", "no mapping"),
    ],
)
def test_a_fault_of_the_file_is_told_with_its_line(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "p.yml"
    path.write_text(f"lines:\n  - {{id: b, station: x}}\n  - {line}\n", encoding="utf-8")
    with pytest.raises(ContentErrors) as caught:
        policy.read(path)
    assert fault in str(caught.value)
    assert "p.yml:3" in str(caught.value)


def test_no_file_is_an_empty_policy(tmp_path: Path) -> None:
    assert policy.read(tmp_path / "none.yml") == Policy()
    assert datetime(2026, 1, 1, tzinfo=UTC) < START


_TEXT = st.text(max_size=160)


@settings(max_examples=40, deadline=None)
@given(_TEXT, _TEXT, _TEXT, st.sampled_from(["modbus", "hj212", "gb28181"]))
def test_whatever_a_message_calls_itself_the_policy_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, unit: str, name: str, address: str, protocol: str
) -> None:
    row = write(ot__unit_id=unit, ot__function__name=name, ot__address=address, ot__protocol=protocol)
    row |= {"ot.function.code": None} if len(name) % 2 else {}
    made = proposed(learned([row]))
    path = tmp_path_factory.getbasetemp() / "hostile.yml"
    policy.put(path, policy.dump(made, "x"))
    assert policy.read(path) == made
    scopes = {line.scope for line in made.lines}
    assert not any(scope.startswith("segment:") for scope in scopes)
