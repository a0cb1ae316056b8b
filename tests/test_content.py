"""YAML is read as data, bounded, with the line of every key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cityguard import content
from cityguard.errors import InputError

HERE = Path("x.yml")


def test_every_key_and_item_knows_its_line() -> None:
    (document,) = content.parse_all(b"a: 1\nb:\n  - c: 2\n  - d: 3\n", HERE)
    assert document.data == {"a": 1, "b": [{"c": 2}, {"d": 3}]}
    assert document.place("b", 1, "d") == "x.yml:4"
    assert document.place("b", 7) == "x.yml:2"  # the nearest parent that is there


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"a: &x [1]\nb: *x", "x.yml:2: YAML aliases"),
        (b"[" * 100, "deeper than 20"),
        (b"a: !!python/object/apply:os.system ['id']", "x.yml:1"),
        (b"a: 1\nb: !!bool x", "x.yml:2: YAML tags"),
        (b"a: !!int ''", "x.yml:1: YAML tags"),
        (b"a: !!timestamp x", "x.yml:1: YAML tags"),
        (b"a: !!set {b}", "x.yml:1: YAML tags"),
        (b"a: ! b", "x.yml:1: YAML tags"),
        (b"a: [", "not YAML"),
        (b"a: 0b_", "bad value"),
        (b"a: 2024-99-99", "bad value"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"- 1\n" * 100_001, "more than 100000"),
    ],
)
def test_hostile_or_broken_yaml_is_refused_with_its_place(raw: bytes, words: str) -> None:
    with pytest.raises(InputError, match=r"x\.yml") as caught:
        content.parse_all(raw, HERE)
    assert words in str(caught.value)


def test_a_file_that_is_too_large_or_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "big.yml"
    path.write_bytes(b"a" * 2000)
    with pytest.raises(InputError, match="larger than 1000"):
        content.load(path, max_bytes=1000)
    with pytest.raises(InputError, match="cannot be read"):
        content.load(tmp_path / "none.yml")


words = st.sampled_from(
    [b"!!", b"!", b"int", b"bool", b"set", b"timestamp", b" ", b"x", b"1", b"0b_", b": ", b"- ", b"\n"]
)


@given(st.binary(max_size=400) | st.lists(words, max_size=12).map(b"".join))
def test_any_bytes_give_documents_or_an_input_error(raw: bytes) -> None:
    try:
        content.parse_all(raw, HERE)
    except InputError as error:
        assert "x.yml" in str(error)
