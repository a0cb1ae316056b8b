"""Manifests and names: whatever bytes come, only plain relative paths come out."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cityguard.drill.manifest import Entry, ManifestError, parse, safe_name

DIGEST = "0" * 64


@given(st.text(st.sampled_from("./\\ab\x00:é"), max_size=40) | st.text(max_size=40))
def test_a_safe_name_never_leads_out(name: str) -> None:
    try:
        safe = PurePosixPath(safe_name(name))
    except ValueError:
        return
    assert not safe.is_absolute()
    assert safe.parts
    assert not {"..", ".", ""} & set(safe.parts)
    assert safe_name(str(safe)) == str(safe)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: ('{"files": {' + text).encode()))
def test_any_bytes_are_a_manifest_or_a_manifest_error(raw: bytes) -> None:
    try:
        found = parse(raw)
    except ManifestError:
        return
    assert all(safe_name(name) == name for name in found.files)


@given(
    st.dictionaries(
        st.text(
            st.characters(blacklist_categories=("Cs",), blacklist_characters="\n\r\x00"), min_size=1, max_size=20
        ).filter(lambda name: "\\" not in name and "/" not in name and name not in (".", "..") and name[1:2] != ":"),
        st.binary(min_size=32, max_size=32).map(bytes.hex),
        max_size=8,
    )
)
def test_what_sha256sum_writes_is_read_back(files: dict[str, str]) -> None:
    text = "# taken: 2026-01-01T00:00:00Z\n" + "".join(f"{digest}  {name}\n" for name, digest in files.items())
    found = parse(text.encode())
    assert found.taken == "2026-01-01T00:00:00Z"
    assert found.files == {name: Entry(digest) for name, digest in files.items()}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (f"{DIGEST}  ../../etc/passwd\n", "'..' in path"),
        (f"{DIGEST}  /etc/passwd\n", "absolute"),
        (f"{DIGEST}  a\n{DIGEST} *./a\n", "stands twice"),
        ("abc  a\n", "line 1 is not"),
        ('{"files": {"a": {"sha256": "xyz"}}}', "no SHA-256"),
        (f'{{"files": {{"a": {{"sha256": "{DIGEST}", "size": -1}}}}}}', "bad size"),
        (f'{{"files": {{"a": {{"sha256": "{DIGEST}"}}, "a": 1}}}}', "twice"),
        ('{"taken": 5, "files": {}}', "'taken'"),
        ("{}", "'files' is missing"),
        ("[" * 100_000, "line 1 is not"),
        ('{"files":' + "[" * 100_000, "not JSON"),
    ],
)
def test_faults_of_a_manifest_are_named(text: str, word: str) -> None:
    with pytest.raises(ManifestError, match=word):
        parse(text.encode())
