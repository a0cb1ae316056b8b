"""Archives that mean harm: nothing leads outside, nothing fills memory, what is sound is still taken."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rulebook.make import rule, tarred, zipped

from cityguard.errors import InputError
from cityguard.rulebook import archive

GOOD = {"rules/a.yml": rule(1), "rules/deep/b.yaml": rule(2), "rules/README.md": "no", "LICENSE": "MIT License"}
OUTSIDE = (
    "../evil.yml",
    "/etc/evil.yml",
    "a/../../evil.yml",
    "C:/evil.yml",
    "a\\..\\evil.yml",
    "a//b.yml",
    "\u202eevil.yml",
)


def names(path: Path) -> list[str]:
    return list(archive.read(path).files)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_tar_of_any_compression_is_read(tmp_path: Path, mode: str) -> None:
    ending = {"w": ".tar", "w:gz": ".tar.gz", "w:xz": ".tar.xz", "w:bz2": ".tar.bz2"}[mode]
    taken = archive.read(tarred(tmp_path / f"r{ending}", GOOD, mode))
    assert list(taken.files) == ["rules/a.yml", "rules/deep/b.yaml"]
    assert taken.files["rules/a.yml"] == rule(1).encode()
    assert taken.license == b"MIT License"
    assert taken.passed == 1


def test_a_zip_and_a_folder_give_the_same(tmp_path: Path) -> None:
    with zipfile.ZipFile(zipped(tmp_path / "r.zip", GOOD)) as one:
        one.extractall(tmp_path / "r")
    assert archive.read(tmp_path / "r.zip").files == archive.read(tmp_path / "r").files


def test_the_folder_around_a_release_is_taken_off(tmp_path: Path) -> None:
    files = {f"sigma-1.2/{name}": data for name, data in GOOD.items()}
    taken = archive.read(zipped(tmp_path / "r.zip", files))
    assert list(taken.files) == ["rules/a.yml", "rules/deep/b.yaml"]
    assert taken.license == b"MIT License"


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_names_that_lead_outside_are_refused_and_the_rest_is_taken(tmp_path: Path, name: str, kind: str) -> None:
    make = zipped if kind == "zip" else tarred
    taken = archive.read(make(tmp_path / f"r.{kind}", {name: rule(3), "rules/a.yml": rule(1)}))
    assert list(taken.files) == ["rules/a.yml"]
    assert len(taken.refused) == 1
    assert taken.refused[0].remedy


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    odd = []
    for kind, name in ((tarfile.SYMTYPE, "s.yml"), (tarfile.LNKTYPE, "h.yml"), (tarfile.CHRTYPE, "c.yml")):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        odd.append(info)
    taken = archive.read(tarred(tmp_path / "r.tar.gz", {"rules/a.yml": rule()}, "w:gz", *odd))
    assert list(taken.files) == ["rules/a.yml"]
    assert len(taken.refused) == 3
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as made:
        info = zipfile.ZipInfo("l.yml")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, "/etc/passwd")
    assert archive.read(tmp_path / "l.zip").files == {}
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "l.yml").symlink_to("/etc/passwd")
    (tmp_path / "f" / "loop").symlink_to(tmp_path / "f")
    os.mkfifo(tmp_path / "f" / "p.yml")
    (tmp_path / "f" / "a.yml").write_text(rule())
    found = archive.read(tmp_path / "f")
    assert list(found.files) == ["a.yml"]
    assert len(found.refused) == 2


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREE", 1 << 20)
    for make, name in ((zipped, "b.zip"), (tarred, "b.tar.gz")):
        files = {f"rules/{n}.yml": b"#" * archive.MAX_FILE for n in range(8)}
        with pytest.raises(InputError, match="200 times"):
            archive.read(make(tmp_path / name, files))
    with pytest.raises(InputError, match="200 times"):
        archive.read(tarred(tmp_path / "z.tar.xz", {"passed.over": bytes(8 << 20), "a.yml": rule()}, "w:xz"))


def test_counts_and_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"{n}.yml": "a: 1" for n in range(30)}
    big = {"big.yml": "#" * (archive.MAX_FILE + 1), "a.yml": rule()}
    for make, kind in ((zipped, "zip"), (tarred, "tar.gz")):
        taken = archive.read(make(tmp_path / f"big.{kind}", big))
        assert list(taken.files) == ["a.yml"]
        assert "KiB" in taken.refused[0].message
        path = make(tmp_path / f"many.{kind}", many)
        with monkeypatch.context() as patch:
            patch.setattr(archive, "MAX_MEMBERS", 20)
            with pytest.raises(InputError, match="more than 20"):
                archive.read(path)
        with monkeypatch.context() as patch:
            patch.setattr(archive, "MAX_TAKEN", 20)
            with pytest.raises(InputError, match="more than 20"):
                archive.read(path)
        with monkeypatch.context() as patch:
            patch.setattr(archive, "MAX_TOTAL", 100)
            with pytest.raises(InputError, match="unpacked"):
                archive.read(path)
        with monkeypatch.context() as patch:
            patch.setattr(archive, "MAX_ARCHIVE", 100)
            with pytest.raises(InputError, match="larger than"):
                archive.read(path)


def test_headers_and_directories_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_EXTENSION", 1_000)
    monkeypatch.setattr(archive, "MAX_DIRECTORY", 1_000)
    with pytest.raises(InputError, match="header"):
        archive.read(tarred(tmp_path / "h.tar", {"a/" * 1_000 + "a.yml": "x"}, "w"))
    with pytest.raises(InputError, match="directory"):
        archive.read(zipped(tmp_path / "d.zip", {f"rules/{n}.yml": "x" for n in range(50)}))


def test_a_name_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "r.tar", "w") as made:
        for text in ("first", "second"):
            info = tarfile.TarInfo("a.yml")
            info.size = len(text)
            made.addfile(info, io.BytesIO(text.encode()))
    taken = archive.read(tmp_path / "r.tar")
    assert taken.files == {"a.yml": b"first"}
    assert "twice" in taken.refused[0].message


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_what_is_damaged_says_so(tmp_path: Path, cut: int) -> None:
    for make, name in ((zipped, "r.zip"), (tarred, "r.tar.gz")):
        path = make(tmp_path / name, GOOD)
        path.write_bytes(path.read_bytes()[:-cut])
        try:
            archive.read(path)
        except InputError as error:
            assert error.place
            assert error.remedy
        else:
            assert cut == 1  # nothing of a tar is lost with the last byte of its padding


def test_a_tar_that_was_cut_between_members_is_refused_whole(tmp_path: Path) -> None:
    path = tarred(tmp_path / "r.tar", {f"rules/{n}.yml": rule(n) for n in range(9)}, "w")
    whole = path.read_bytes()
    for size in (512, 4 * 512, 8 * 512 + 100):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="damaged"):
            archive.read(path)
    path.write_bytes(whole[: 4 * 512])
    with pytest.raises(InputError, match="it ends in the middle"):
        archive.read(path)
    path.write_bytes(whole[: 4 * 512] + b"x" * 512 + whole[5 * 512 :])
    with pytest.raises(InputError, match="damaged"):
        archive.read(path)


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_streams_one_after_another_are_one_archive(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tarred(tmp_path / "r.tar", {f"rules/{n}.yml": rule(n) for n in range(9)}, "w").read_bytes()
    path = tmp_path / f"r.tar.{ending}"
    path.write_bytes(b"".join(pack(raw[at : at + 3_000]) + bytes(4) for at in range(0, len(raw), 3_000)) + b"tail")
    for block in (archive._BLOCK, 7):
        monkeypatch.setattr(archive, "_BLOCK", block)
        assert len(names(path)) == 9
    path.write_bytes(pack(raw[:3_000]) + b"tail")
    with pytest.raises(InputError, match=r"it ends in the middle|unexpected end"):
        archive.read(path)
    monkeypatch.setattr(archive, "MAX_STREAMS", 3)
    path.write_bytes(b"".join(pack(raw[at : at + 512]) for at in range(0, len(raw), 512)))
    with pytest.raises(InputError, match="more than 3"):
        archive.read(path)


def test_global_records_which_every_member_pays_for_are_few(tmp_path: Path) -> None:
    def made(*comments: str) -> Path:
        tail = tarred(tmp_path / "tail.tar", GOOD, "w").read_bytes()
        heads = [tarfile.TarInfo.create_pax_global_header({"comment": one}) for one in comments]  # type: ignore[attr-defined]
        path = tmp_path / "r.tar"
        path.write_bytes(b"".join(heads) + tail)
        return path

    for _ in range(2):  # what one archive has is not counted against the next
        assert len(names(made("a" * 40, "b" * 3_000))) == 2
    for comments in (["x" * 4_100], ["x"] * 9):
        with pytest.raises(InputError, match="global"):
            archive.read(made(*comments))


def test_long_names_beyond_any_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="header"):
        archive.read(tarred(tmp_path / "h.tar", {"a" * 70_000 + ".yml": "x"}, "w"))


def test_a_path_that_is_file_and_folder_keeps_what_came_first(tmp_path: Path) -> None:
    for names_ in (["x/a.yml", "x/a.yml/b.yml"], ["x/a.yml/b.yml", "x/a.yml"]):
        files = dict.fromkeys(["top.yml", *names_], rule())
        taken = archive.read(tarred(tmp_path / "r.tar.gz", files))
        assert list(taken.files) == ["top.yml", names_[0]]
        assert [fault.place for fault in taken.refused] == [names_[1]]


def test_a_name_with_and_without_a_dot_is_one_name(tmp_path: Path) -> None:
    taken = archive.read(tarred(tmp_path / "r.tar.gz", {"./rules/a.yml": "first", "rules/a.yml": "second"}))
    assert taken.files == {"rules/a.yml": b"first"}
    with tarfile.open(tmp_path / "d.tar", "w") as made:
        for text in ("first", "second"):
            info = tarfile.TarInfo("./rules/a.yml")
            info.size = len(text)
            made.addfile(info, io.BytesIO(text.encode()))
    twice = archive.read(tmp_path / "d.tar")
    assert twice.files == {"rules/a.yml": b"first"}
    assert "twice" in twice.refused[0].message


@pytest.mark.parametrize("order", [1, -1])
def test_the_licence_nearest_the_top_speaks_for_all(tmp_path: Path, order: int) -> None:
    files = {"./LICENSE": "MIT License", "./tools/LICENSE": "another", "./a.yml": rule()}
    for make, kind in ((zipped, "zip"), (tarred, "tar.gz")):
        taken = archive.read(make(tmp_path / f"r.{kind}", dict(list(files.items())[::order])))
        assert taken.license == b"MIT License"
        wrapped = {name.replace("./", "./up-1.2/", 1): data for name, data in files.items()}
        assert archive.read(make(tmp_path / f"w.{kind}", wrapped)).license == b"MIT License"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.sampled_from(["x.zip", "x.tar", "x.tar.gz", "x.tar.xz", "x.tar.bz2"]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, name: str) -> None:
    heads = {"gz": b"\x1f\x8b\x08\x00", "xz": b"\xfd7zXZ\x00", "z2": b"BZh9", "ip": b"PK\x03\x04", "ar": b""}
    path = tmp_path / name
    path.write_bytes(heads[name[-2:]] + data)
    try:
        assert archive.read(path).files == {}
    except InputError as error:
        assert str(path) in str(error)
