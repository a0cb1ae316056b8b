"""Delimited lines by position, and W3C extended logs under their directives."""

from __future__ import annotations

import csv as stdlib
import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import csv, w3c
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)
cell = st.text(st.sampled_from(list('ab," ;中')), max_size=6)


def rows(decoder: Any, *pieces: list[str]) -> list[dict[str, Any]]:
    done = [decoder.decode(one_each([line.encode() for line in piece], first=9 * n)) for n, piece in enumerate(pieces)]
    found = [row for one in done for batch in one.batches for row in batch.table.to_dicts()]
    return sorted(found, key=lambda row: row["log.offset"])


@unhurried
@given(st.lists(st.lists(cell, min_size=1, max_size=5), min_size=1, max_size=5), st.sampled_from(",;|\t"))
def test_cells_come_back_by_position(given_: list[list[str]], separator: str) -> None:
    lines = []
    for row in given_:
        out = io.StringIO()
        stdlib.writer(out, delimiter=separator, lineterminator="").writerow(row)
        lines.append(out.getvalue())
    found = rows(csv.decoder({"names": [], "separator": separator}), lines)
    for row, written in zip(found, given_, strict=True):
        assert [row[f"c{n + 1}"] for n in range(len(written))] == [one or None for one in written]


def test_named_positions_allow_fewer_and_more_cells_behind_a_header() -> None:
    made = csv.decoder({"names": ["_", "time", "kind"], "starts": r"\d,"})
    found = rows(made, ["<14>Mar  5 14:12:09 fw01 1,10:00,TRAFFIC,x", "2,11:00", "no cells"])
    assert [(row["time"], row["kind"], row["c4"], row["syslog.host"]) for row in found] == [
        ("10:00", "TRAFFIC", "x", "fw01"),
        ("11:00", None, None, None),
    ]
    assert "_" not in found[0]


def test_a_repeated_line_of_names_is_no_row() -> None:
    assert [row["a"] for row in rows(csv.decoder({}), ["a,b", "1,2"], ["a,b", "3,4"])] == ["1", "3"]


IIS = ["#Software: x", "#Fields: date time cs-method cs(User-Agent) sc-status"]


def test_w3c_rows_follow_their_directives_from_piece_to_piece() -> None:
    found = rows(
        w3c.decoder({}),
        [*IIS, "2026-03-05 06:12:09 GET curl/8 200", "short"],
        ["2026-03-05 06:12:10 POST - 500", "#Fields: date-time,sender,subject", 'x,y,"a, b"'],
    )
    assert [row.get("stamp") for row in found] == ["2026-03-05 06:12:09", "2026-03-05 06:12:10", None]
    assert (found[0]["cs(User-Agent)"], found[1]["cs(User-Agent)"], found[2]["subject"]) == ("curl/8", None, "a, b")


@unhurried
@given(st.lists(st.sampled_from([*IIS, "a b c d e", "#Fields:", "x"]) | st.text(max_size=20), max_size=8))
def test_any_lines_are_rows_directives_or_rejected(lines: list[str]) -> None:
    done = w3c.decoder({}).decode(one_each([line.encode("utf-8", "replace") for line in lines]))
    assert sum(len(batch) for batch in done.batches) + done.rejected + done.ignored == len(lines)
