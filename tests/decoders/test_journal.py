"""The journal's own formats: what journald wrote comes back, also bytes and empty lines inside a value."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import journal
from cityguard.sources import documents
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)
fields = st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True), st.text(max_size=12), max_size=5)


def exported(entry: dict[str, str]) -> bytes:
    out = b""
    for name, value in {"__CURSOR": "s=1", **entry}.items():
        raw = value.encode("utf-8", "replace")
        plain = all(byte >= 32 for byte in raw)
        size = len(raw).to_bytes(8, "little")
        out += name.encode() + (b"=" + raw if plain else b"\n" + size + raw) + b"\n"
    return out + b"\n"


@unhurried
@given(st.lists(fields, min_size=1, max_size=4))
def test_entries_in_export_form_come_back(entries: list[dict[str, str]]) -> None:
    text = b"".join(map(exported, entries))
    items = [
        made.item(n) for made in documents.frames(np.frombuffer(text, np.uint8), line_bytes=1) for n in range(len(made))
    ]
    assert [journal.entry(item) for item in items] == [{"__CURSOR": "s=1", **entry} for entry in entries]


@unhurried
@given(st.lists(st.binary(max_size=60) | st.just(b'{"MESSAGE":"x"}'), min_size=1, max_size=6))
def test_any_bytes_are_rows_or_rejected(items: list[bytes]) -> None:
    done = journal.decoder({}).decode(one_each(items))
    assert sum(len(batch) for batch in done.batches) + done.rejected == len(items)


def test_a_length_beyond_the_end_ends_the_entry() -> None:
    raw = b"__CURSOR=1\nMESSAGE\n" + (2**63).to_bytes(8, "little") + b"x"
    assert journal.entry(raw) == {"__CURSOR": "1"}
    assert [len(made) for made in documents.frames(np.frombuffer(raw, np.uint8), line_bytes=1)] == [1]


def test_a_field_given_twice_keeps_both_values() -> None:
    assert journal.entry(b"__CURSOR=1\nA=x\nA=y\n")["A"] == ["x", "y"]
