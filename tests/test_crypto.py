"""Hashes agree with the published test vectors."""

from __future__ import annotations

from pathlib import Path

from cityguard import crypto


def test_both_digests_of_abc_are_the_standards_examples() -> None:
    made = crypto.digest(b"abc")
    assert made.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert made.sm3 == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # GB/T 32905, A.1


def test_a_file_hashes_as_its_bytes_do(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 3_000_000)
    assert crypto.digest_file(path) == crypto.digest(b"x" * 3_000_000)


def test_the_mac_is_rfc_4231_case_2() -> None:
    made = crypto.mac(b"Jefe", b"what do ya want for nothing?")
    assert made == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert crypto.same(made, made)
    assert not crypto.same(made, made[:-1] + "0")
