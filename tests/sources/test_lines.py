"""Lines out of blocks: the same ones as a plain split, wherever the blocks end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.config import Limits
from cityguard.model import Frames
from cityguard.sources import documents, lines
from cityguard.sources.opened import Opened

unhurried = settings(deadline=None, max_examples=200)

LIMIT = 16


def found(blocks: list[bytes], limit: int = LIMIT) -> list[tuple[int, bytes, int]]:
    out = []
    for frames in lines.frames(blocks, line_bytes=limit):
        out += [(int(frames.number[i]), frames.item(i), int(frames.wire[i])) for i in range(len(frames))]
    return out


@unhurried
@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\x07", b"\n")), max_size=12))
def test_lines_do_not_depend_on_where_blocks_end(blocks: list[bytes]) -> None:
    text = b"".join(blocks)
    wanted, place = [], 0
    for line in text.split(b"\n"):
        kept = line[:LIMIT]
        if line == kept and line.endswith(b"\r"):
            kept = kept[:-1]
        if kept.strip(b"\0\t\v\f\r "):
            wanted.append((place, kept, len(line) if len(line) > LIMIT else len(kept)))
        place += len(line) + 1
    assert found(blocks) == wanted


def test_a_line_longer_than_every_block_is_cut_and_the_next_one_kept() -> None:
    blocks = [b"a" * 10, b"b" * 1000, b"c\nnext", b"\n"]
    assert found(blocks) == [(0, b"a" * 10 + b"b" * 6, 1011), (1012, b"next", 4)]


def test_pieces_are_bounded() -> None:
    text = b"x\n" * (lines.PIECE + 5)
    assert [len(frames) for frames in lines.frames([text], line_bytes=10)] == [lines.PIECE, 5]


def objects(text: bytes) -> list[bytes]:
    buffer = np.frombuffer(text, np.uint8)
    pieces: list[Frames] = list(documents.frames(buffer, line_bytes=1 << 16))
    for piece in pieces:
        for i in range(len(piece)):
            start = int(piece.number[i])
            assert text[start : start + int(piece.length[i])] == piece.item(i)
    return [piece.item(i) for piece in pieces for i in range(len(piece))]


def test_documents_are_split_into_objects_at_their_places() -> None:
    assert objects(b'[{"a":1},\n {"b":[2]}]') == [b'{"a":1}', b'{"b":[2]}']
    assert objects(b'{\n "a": 1\n}\n') == [b'{\n "a": 1\n}\n']
    assert [o.strip() for o in objects(b'\xef\xbb\xbf{\n "a": 1\n}\n{\n "b": 2\n}')] == [
        b'{\n "a": 1\n}',
        b'{\n "b": 2\n}',
    ]
    assert objects(b"[1, broken") == [b"[1, broken"]


def test_one_object_a_line_is_no_document() -> None:
    assert not documents.is_document(b'{"a":1}\n{"b":2}\n')
    assert documents.is_document(b'{\n "a": 1\n}')
    assert documents.is_document(b'  [{"a":1}]')


def test_events_in_one_xml_document_are_items_of_their_own() -> None:
    text = b"<?xml version='1.0'?>\r\n<Events>\n<Event>\n <a/></Event><!-- x --><Event x='1'>2</Event></Events>"
    (made,) = documents.frames(np.frombuffer(text, np.uint8), line_bytes=100)
    assert [made.item(n) for n in range(len(made))] == [b"<Event>\n <a/></Event>", b"<Event x='1'>2</Event>"]
    assert [text[n : n + 6] for n in made.number] == [b"<Event", b"<Event"]
    assert documents.is_document(text)
    assert not documents.is_document(b"<Event>1</Event>\n<Event>2</Event>\n")
    (whole,) = documents.frames(np.frombuffer(b"<Events>" * 3, np.uint8), line_bytes=100)
    assert len(whole) == 1


@unhurried
@given(
    rows=st.lists(st.sampled_from([b"", b"a", b"short\r", b"\0", b"x" * 15, b"y" * 40, b"z" * 300]), max_size=60),
    size=st.integers(80, 700),
)
def test_lines_of_a_file_are_the_same_whether_blocks_are_copied_or_begin_with_a_line(
    rows: list[bytes], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = b"\n".join(rows)
    path = tmp_path_factory.mktemp("lines") / "one.txt"
    path.write_bytes(text)
    with Opened(path, Limits()) as held:
        ahead = list(held.text(size))
        told = [frame for frames in lines.frames(ahead, line_bytes=LIMIT) for frame in _told(frames)]
        span = [
            frame for frames in lines.frames(held.span(0, len(text), size), line_bytes=LIMIT) for frame in _told(frames)
        ]
    assert told == found([text]) == span


def _told(frames: Frames) -> list[tuple[int, bytes, int]]:
    return [(int(frames.number[i]), frames.item(i), int(frames.wire[i])) for i in range(len(frames))]


def test_most_blocks_of_a_file_are_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_bytes(b"".join(b"%d %s\n" % (number, b"x" * 90) for number in range(1000)))
    with Opened(path, Limits()) as held:
        blocks = list(held.text(5_000))
    assert sum(isinstance(one, lines.Ahead) for one in blocks) > len(blocks) / 2
