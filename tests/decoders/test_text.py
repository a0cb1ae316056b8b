"""Text of items: what is clean stays where it is, and is the same as what is copied together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import text as module
from cityguard.model import Frames
from cityguard.sources import lines

unhurried = settings(deadline=None, max_examples=60)
WORDS = st.sampled_from(
    [b"a", b"line of more than twelve bytes", "科技".encode(), "\ufeffx".encode(), b"\xff\xfe", b"\0", b"\x1b[1m",
     b"\r", b"", "涓枃".encode(), b"\xc3\xa9" * 4, b" ", b"exactly12byt", b"\x0f"]
)  # fmt: skip
ITEMS = st.lists(st.lists(WORDS, max_size=3).map(b"".join), max_size=8)


def copied(frames: Frames) -> module.Text:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_clean", lambda frames: None)
        return module.text(frames)


def same(frames: Frames) -> bool:
    found, other = module.text(frames), copied(frames)
    return all(getattr(found, name).to_list() == getattr(other, name).to_list() for name in ("values", "flags", "raw"))


@unhurried
@given(items=ITEMS)
def test_lines_of_a_text_are_the_same_in_place_as_copied(items: list[bytes]) -> None:
    for frames in lines.frames([b"\n".join(items) + b"\n"], line_bytes=40):
        assert same(frames)


@unhurried
@given(items=ITEMS, data=st.data())
def test_chosen_items_are_the_same_in_place_as_copied(items: list[bytes], data: st.DataObject) -> None:
    frames = lines.one_each(items)
    rows = data.draw(st.lists(st.integers(0, len(items) - 1), max_size=8)) if items else []
    assert same(frames.take(np.array(rows, np.int64)))


def test_clean_lines_are_not_copied() -> None:
    raw = b"".join(b"line %d of a block\n" % n for n in range(200))
    (frames,) = lines.frames([raw], line_bytes=1 << 10)
    assert module._clean(frames) is not None
    assert module._clean(replace(frames, length=frames.length * 0)) is None


def test_a_few_lines_of_a_large_block_do_not_keep_it() -> None:
    raw = b"".join(b"line %d of a block\n" % n for n in range(200))
    (frames,) = lines.frames([raw], line_bytes=1 << 10)
    assert module._clean(frames.take(np.arange(5))) is None


def test_a_letter_that_lies_across_two_items_is_in_neither() -> None:
    read = module.text(lines.one_each([b"\xe0", b"\xa0\x80", b"a"]))
    assert len(read.values) == 3 and read.values[2] == "a"
    assert [bool(flags) for flags in read.flags.to_list()] == [True, True, False]
