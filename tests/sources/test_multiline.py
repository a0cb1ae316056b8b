"""Records of several lines: nothing is lost, whatever the pieces, and what was cut says so."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.model import Frames
from cityguard.sources import lines, multiline

BEGINS = r"^\d\d "
TEXT = b"stray\n01 select *\nfrom t\n\n  where a\n02 one\n03 \xd6\xd0\nx\n"
WANTED = [b"stray", b"01 select *\nfrom t\n\n  where a", b"02 one", b"03 \xd6\xd0\nx"]


def read(blocks: list[bytes], limit: int = 1 << 20) -> list[Frames]:
    return list(multiline.frames(lines.frames(blocks, line_bytes=limit), BEGINS, line_bytes=limit))


def items(pieces: list[Frames]) -> list[bytes]:
    return [piece.item(index) for piece in pieces for index in range(len(piece))]


def test_lines_that_begin_no_record_belong_to_the_one_before() -> None:
    pieces = read([TEXT])
    assert items(pieces) == WANTED
    assert [int(n) for piece in pieces for n in piece.number] == [TEXT.index(one) for one in WANTED]
    assert all((piece.wire == piece.length).all() for piece in pieces)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(TEXT)), max_size=6))
def test_the_borders_of_pieces_change_no_record(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    pieces = read([TEXT[a:b] for a, b in pairwise(edges)])
    squeezed = [b"\n".join(line for line in one.split(b"\n") if line) for one in items(pieces)]
    assert squeezed == [b"\n".join(line for line in one.split(b"\n") if line) for one in WANTED]
    assert [int(n) for piece in pieces for n in piece.number] == [TEXT.index(one) for one in WANTED]
    assert all((piece.wire == piece.length).all() for piece in pieces)


def test_a_record_without_end_is_cut_and_says_so() -> None:
    blocks = [b"01 a\n" + b"xxxxxxxxx\n" * 100 for _ in range(1)] + [b"yyyyyyyyy\n" * 100] * 3 + [b"02 b\n"]
    pieces = read(blocks, limit=64)
    assert [len(one) for one in items(pieces)] == [64, 4]
    wire = [int(n) for piece in pieces for n in piece.wire]
    assert wire == [5 + 4000 - 1, 4]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_records(blocks: list[bytes]) -> None:
    found = b"".join(items(read(blocks)))
    kept = bytes(one for one in b"".join(blocks) if one not in b"\0\t\n\v\f\r ")
    assert bytes(one for one in found if one not in b"\0\t\n\v\f\r ") == kept
