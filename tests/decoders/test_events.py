"""Rows of the application decoders: one value that does not fit its column costs that value alone."""

from __future__ import annotations

from cityguard.decoders.events import Rows, Talk

TALK = Talk((0, 0xFFFF_0A00_0001, 40_000), (0, 0xFFFF_0A00_0002, 502), 6, False, -1)


def test_numbers_too_wide_and_text_that_is_none_become_null_alone() -> None:
    rows = Rows("ot")
    rows.add(1, 10**18, TALK, {"ot.quantity": 2**40, "ot.value": "a", "event.flags": ["x"]})
    rows.add(2, 10**18, TALK, {"ot.quantity": 7, "ot.value": "\ud800", "event.flags": ["\udc00"]})
    rows.add(3, 10**18, TALK, {"ot.quantity": 2**70, "ot.transaction_id": 2**64})
    (table,) = rows.take()
    assert table["ot.quantity"].to_list() == [None, 7, None]
    assert table["ot.value"].to_list() == ["a", "?", None]
    assert table["event.flags"].to_list() == [["x"], ["?"], None]
    assert table["ot.transaction_id"].to_list() == [None, None, None]
