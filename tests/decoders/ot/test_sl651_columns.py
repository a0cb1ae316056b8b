"""Reports of hydrological stations read as columns: the same rows as one by one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.hydrology import body, frame, report
from tests.decoders.ot.talk import ends

from cityguard.decoders.ot.sl651_columns import Rows
from cityguard.decoders.ot.sl651_octets import checks, seconds
from cityguard.decoders.ot.sl651_rows import moment as utc
from cityguard.decoders.ot.sl651_values import moment
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.gathered import Gathered, Taken


def taken(frames: list[bytes]) -> Taken:
    gathered = Gathered()
    ways = [gathered.begin(ends(5050 + number)) for number in range(3)]
    for number, one in enumerate(frames, 1):
        way = ways[number % 3] + (one[11] >= 0x80)
        gathered.add(one, Moment(number, 1_793_581_200_000_000_000 + number * 123_456_789), way)
    return gathered.take()


def rows(frames: list[bytes], *, fast: bool) -> list[dict[str, Any]]:
    tables = Rows(fast=fast).tables(taken(frames))
    if not tables:
        return []
    return pl.concat(tables, how="diagonal").sort("log.offset").to_dicts()


def some(seed: int, many: int = 900) -> list[bytes]:
    """Frames of a few layouts, some with a thing that is not ordinary."""
    dice = random.Random(seed)

    def digits(octets: int) -> str:
        number = "".join(dice.choice("0123456789") for _ in range(2 * octets))
        odd = dice.random()
        return (
            number
            if odd > 0.06
            else "ff" + number[2:]
            if odd > 0.03
            else "ff" * octets
            if odd > 0.01
            else "0a" + number[2:]
        )

    layouts = (
        lambda: f"2019{digits(3)}2619{digits(3)}3923{digits(4)}3812{digits(2)}",
        lambda: f"f460{dice.randbytes(12).hex()}f5c0{dice.randbytes(24).hex()}2019{digits(3)}3812{digits(2)}",
        lambda: f"2019{digits(3)}4520{dice.choice(['00000480', '00000083', dice.randbytes(4).hex()])}",
        lambda: f"0808{digits(1)}3023{digits(4)}0211{digits(2)}2729{digits(5)}",
        lambda: f"0418000005{dice.choice(['3a23', '3923'])}{digits(4)}{digits(4)}{digits(4)}",
        lambda: f"0418000000{'3923'}{digits(4)}",
        lambda: f"0418010000f460{dice.randbytes(12).hex()}2019{digits(3)}",
        lambda: f"2019{digits(3)}39",
        lambda: f"ff0318{digits(3)}",
    )
    found = []
    for _ in range(many):
        station = f"00990100{dice.randrange(4):02d}" if dice.random() > 0.02 else "990100ffff"
        inner = station if dice.random() > 0.02 else "0099019999"
        sent = "26110209" + f"{dice.randrange(60):02d}" + dice.choice(["03", "03", "03", "73"])
        observed = dice.choice(["2611020900", "2611020900", "2611022359", "2602300000"])
        wrong = 0 if dice.random() > 0.05 else 7
        more: dict[str, Any] = {"station": station, "wrong": wrong, "password": dice.choice(["5a3c", "1234", "0000"])}
        kind = dice.random()
        if kind < 0.75:
            content = report(
                dice.choice(layouts)(),
                station=inner,
                observed=observed,
                sent=sent,
                kind=dice.choice(["48", "50", "99"]),
            )
            found.append(frame(dice.choice([0x32, 0x33, 0x34, 0x30, 0x31, 0x31, 0x37, 0x38, 0x3A]), content, **more))
        elif kind < 0.85:
            found.append(frame(0x2F, body(sent=sent), **more))
        elif kind < 0.97:
            end = dice.choice([5, 6, 0x15, 4, 0x1B])
            found.append(frame(dice.choice([0x32, 0x37, 0x4A, 0x48]), body(sent=sent), up=False, end=end, **more))
        else:
            found.append(frame(0x4C, body("0105", sent=sent), up=False, **more))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_columns_equal_rows_one_by_one(seed: int) -> None:
    frames = some(seed)
    assert rows(frames, fast=True) == rows(frames, fast=False)


def test_most_of_ordinary_traffic_is_read_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [frame(0x32, report(f"2019{number:06d}3812{1200 + number}")) for number in range(100)]
    monkeypatch.setattr("cityguard.decoders.ot.sl651_rows.fields", None)
    found = rows(frames, fast=True)
    assert [row["ot.value"] for row in found[:2]] == ["0.0,12.0", "0.1,12.01"]


def test_lengths_and_layouts_that_few_have_are_read_one_by_one() -> None:
    frames = [frame(0x32, report("2019000015" * (1 + number % 40))) for number in range(120)]
    frames += [frame(0x32, report(f"{number + 1:02x}19000015")) for number in range(100)]
    assert rows(frames, fast=True) == rows(frames, fast=False)


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 90), st.binary(min_size=90, max_size=90))
def test_checks_of_any_length_are_those_of_the_table(size: int, data: bytes) -> None:
    good = data[: size - 2] + crc.arc(data[: size - 2], 0xFFFF).to_bytes(2, "big")
    table = np.frombuffer(good + data[:size], np.uint8).reshape(2, size)
    expected = [True, crc.arc(data[: size - 2], 0xFFFF) == int.from_bytes(data[size - 2 : size], "big")]
    assert checks(table).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 36_500), st.integers(0, 86_399), st.binary(min_size=6, max_size=6))
def test_times_are_those_of_the_calendar(day: int, second: int, other: bytes) -> None:
    when = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=day % 36_524, seconds=second)
    raw = bytes.fromhex(when.strftime("%y%m%d%H%M%S"))
    found = seconds(np.frombuffer(raw + other, np.uint8).reshape(2, 6)).tolist()
    assert found[0] == int(when.timestamp()) - 8 * 3_600
    told = utc(moment(other))
    assert found[1] == (-1 if told is None else int(told.timestamp()))
