"""What is said of a password, and that the password is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cityguard.decoders import passwords


@pytest.fixture(autouse=True)
def key() -> Iterator[None]:
    passwords.use_key(b"k" * 32)
    yield
    passwords.use_key(b"z" * 32)


@pytest.mark.parametrize("text", ["123456", "ADMIN", "88888888", "ffff"])
def test_what_makers_deliver_with_is_a_default(text: str) -> None:
    assert passwords.judge(text.encode()).verdict == "default"


def test_an_id_or_its_end_is_a_default() -> None:
    assert passwords.judge(b"CP001", "cp001").verdict == "default"
    assert passwords.judge(b"01320012", "32040201001320000012").verdict == "ok"
    assert passwords.judge(b"20000012", "32040201001320000012").verdict == "default"


@pytest.mark.parametrize("text", ["", "a", "zzzzzzz", "23456", "cdef"])
def test_short_ones_and_runs_are_weak(text: str) -> None:
    assert passwords.judge(text.encode()).verdict == "weak"


def test_the_hash_depends_on_the_key_and_tells_equal_ones() -> None:
    first = passwords.judge(b"7x!Kq2")
    assert first == passwords.judge(b"7x!Kq2") != passwords.judge(b"7x!Kq3")
    passwords.use_key(b"y" * 32)
    assert passwords.judge(b"7x!Kq2").hash != first.hash
    with pytest.raises(ValueError, match="16 octets"):
        passwords.use_key(b"short")


@given(st.binary(max_size=400))
def test_any_bytes_are_judged(secret: bytes) -> None:
    judged = passwords.judge(secret, "id")
    assert judged.length == len(secret)
    assert len(judged.hash) == passwords.HASH_CHARACTERS
