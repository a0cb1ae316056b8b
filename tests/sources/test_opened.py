"""Opening inputs: what is refused, what is bounded, what is kept of a damaged file."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
from pathlib import Path

import pytest
import zstandard

from cityguard.config import Limits
from cityguard.errors import InputError
from cityguard.sources.opened import Opened, walk

LINES = b"".join(b"line %d\n" % number for number in range(5000))


def content(path: Path, limits: Limits | None = None) -> tuple[bytes, list[str]]:
    with Opened(path, limits or Limits()) as opened:
        return b"".join(opened.blocks()), opened.notes


def whole(path: Path) -> None:
    with Opened(path, Limits()) as opened:
        opened.whole()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_plain_gzip_and_zstd_give_the_same_bytes_whatever_the_name(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "some.txt"
    path.write_bytes(pack(LINES))  # type: ignore[operator]
    assert content(path) == (LINES, [])
    with Opened(path, Limits()) as opened:
        assert opened.head(10) == LINES[:10]
        assert opened.whole().tobytes() == LINES
        assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_member_of_a_gzip_and_every_frame_of_a_zstd_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    (tmp_path / "b").write_bytes(b"".join(zstandard.ZstdCompressor().compress(part) for part in (b"one\n", b"two\n")))
    assert content(tmp_path / "a")[0] == content(tmp_path / "b")[0] == b"one\ntwo\n"


def test_a_gzip_cut_in_the_middle_gives_its_beginning_and_a_note(tmp_path: Path) -> None:
    packed = gzip.compress(os.urandom(100_000))
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    data, notes = content(tmp_path / "cut.gz")
    assert 0 < len(data) < 100_000
    assert "gzip ends early" in notes[0]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(level=19).compress])
def test_a_bomb_is_refused_with_its_remedy_before_it_fills_anything(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(pack(bytes(64 << 20)))  # type: ignore[operator]
    for act in (content, whole):
        with pytest.raises(InputError, match=r"more than 200 times") as caught:
            act(path)
        assert "limits.ratio" in caught.value.remedy
        assert str(path) in caught.value.place


def test_a_file_beyond_the_size_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(gzip.compress(os.urandom(2 << 20)))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        content(path, Limits(file_mb=1))


def test_a_pipe_a_folder_and_a_missing_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "pipe", "not a regular"),
        (Path("/dev/zero"), "not a regular"),
        (tmp_path, "regular"),
    ):
        with pytest.raises(InputError, match=said):
            Opened(path, Limits())
    with pytest.raises(InputError, match="No such file"):
        Opened(tmp_path / "none", Limits())


def test_an_archive_is_named_and_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(InputError, match="zip is not read"):
        Opened(tmp_path / "a", Limits())


def test_what_is_appended_while_reading_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(LINES)
    with Opened(path, Limits()) as opened:
        with path.open("ab") as file:
            file.write(b"more\n")
        assert b"".join(opened.blocks()) == LINES


def test_a_walk_is_sorted_and_leaves_out_links_pipes_and_hidden_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.log", "b/a.log", ".hidden"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.log").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    assert walk(tmp_path) == [tmp_path / "b" / "a.log", tmp_path / "z.log"]
    with pytest.raises(InputError, match="more than 1 files"):
        walk(tmp_path, max_files=1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_read_as_utf_8(tmp_path: Path, encoding: str) -> None:
    text = "2026-03-05 登录 failed\r\n" * 3_000
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    path = tmp_path / "wide.log"
    path.write_bytes(mark + text.encode(encoding))
    with Opened(path, Limits()) as input_:
        assert b"".join(input_.blocks()).decode() == text
        assert input_.head().startswith("2026-03-05 登录".encode())
        assert bytes(input_.whole()).decode() == text
