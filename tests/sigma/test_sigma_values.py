"""Patterns against values, tens of thousands a run, held against plain regular expressions written apart."""

from __future__ import annotations

import base64
import itertools
import os
import re
from collections.abc import Callable

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.model import EventBatch
from cityguard.sigma import modifiers
from cityguard.sigma.match import Evaluation
from cityguard.sigma.view import View

RUNS = int(os.environ.get("CITYGUARD_VALUE_RUNS", "10"))  # each of 1,500 to 3,000 cases, in each of four tests
ALPHABET = "aAbB*?\\-/ .\n"
PATTERNS = st.lists(st.text(ALPHABET, max_size=5), min_size=10, max_size=10)
VALUES = st.lists(st.text("aAbBc*?\\-/–—― .\n", max_size=7), min_size=50, max_size=50)
SIDES: dict[str, tuple[str, str]] = {
    "": (r"\A", r"\Z"),
    "contains": ("", ""),
    "startswith": (r"\A", ""),
    "endswith": ("", r"\Z"),
}


def holds(key: str, value: object, values: list[str]) -> list[bool]:
    """What the product says: one verdict per value."""
    table = EventBatch("test", "test", pl.DataFrame({"f": values}, schema={"f": pl.String})).table
    return [bool(one) for one in Evaluation(View(table)).node(modifiers.build(key, value, {}))]


def signs(text: str) -> list[str]:
    """A Sigma string as the specification reads it: ``.*`` and ``.`` for wildcards, else a backslash and the sign."""
    out: list[str] = []
    at = 0
    while at < len(text):
        pair = text[at : at + 2]
        if pair in ("\\*", "\\?", "\\\\"):
            out.append(pair)
            at += 2
        else:
            out.append({"*": ".*", "?": "."}.get(text[at], "\\" + text[at]))
            at += 1
    return out


def wild(text: str) -> str:
    """A Sigma string as a regular expression."""
    return "".join(map(wild_sign, signs(text)))


def dashed(text: str) -> str:
    """The same where a dash that begins an option is any of five; beside a wildcard a text ends."""
    said = signs(text)
    out = ""
    for at, sign in enumerate(said):
        option = sign in ("\\-", "\\/") and not _word(said[max(at - 1, 0) : at]) and _word(said[at + 1 : at + 2])
        out += "[-/–—―]" if option else wild_sign(sign)
    return out


def wild_sign(sign: str) -> str:
    return sign if sign in (".*", ".") else re.escape(sign[-1])


def _word(beside: list[str]) -> bool:
    """True for a letter or digit; nothing, and a wildcard, are none."""
    return any(len(sign) == 2 and sign[0] == "\\" and (sign[1].isalnum() or sign[1] == "_") for sign in beside)


def _check(patterns: list[str], values: list[str], modifier: str, translate: Callable[[str], str]) -> None:
    for pattern, (side, (before, after)) in itertools.product(patterns, SIDES.items()):
        key = "|".join(["f", *modifier.split(), *([side] if side else [])])
        asked = re.compile(f"(?s:{before}(?:{translate(pattern)}){after})", 0 if "cased" in modifier else re.IGNORECASE)
        wanted = [asked.search(value) is not None for value in values]
        assert holds(key, pattern, values) == wanted, (key, pattern)


@settings(max_examples=RUNS, deadline=None)
@given(patterns=PATTERNS, values=VALUES, modifier=st.sampled_from(["", "cased"]))
def test_wildcards_and_escapes_answer_as_the_regular_expression_they_stand_for(
    patterns: list[str], values: list[str], modifier: str
) -> None:
    _check(patterns, values, modifier, wild)


@settings(max_examples=RUNS, deadline=None)
@given(patterns=PATTERNS, values=VALUES)
def test_dashes_answer_as_a_class_of_five(patterns: list[str], values: list[str]) -> None:
    _check(patterns, values, "windash", dashed)


# ---------------------------------------------------------------- encodings


def certain(data: bytes, shift: int) -> str:
    """The Base64 signs that ``data`` alone decides, ``shift`` octets into whatever was encoded."""
    spelled = [
        base64.b64encode(before * shift + data + after * 2).decode().rstrip("=")
        for before, after in itertools.product((b"\x00", b"\xff", b"\x5a"), repeat=2)
    ]
    return "".join(signs[0] for signs in zip(*spelled, strict=True) if len(set(signs)) == 1)


TEXTS = st.lists(st.text("abcXYZ 09-_é密", min_size=3, max_size=9), min_size=8, max_size=8, unique=True)
AROUND = st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), min_size=12, max_size=12)


@settings(max_examples=RUNS, deadline=None)
@given(texts=TEXTS, around=AROUND, wide=st.sampled_from(["", "wide|", "utf16be|"]))
def test_base64_at_any_offset_is_found_and_nothing_else(
    texts: list[str], around: list[tuple[bytes, bytes]], wide: str
) -> None:
    coding = {"": "utf-8", "wide|": "utf-16-le", "utf16be|": "utf-16-be"}[wide]
    held = [(text, before + text.encode(coding) + after) for text in texts for before, after in around]
    values = [base64.b64encode(data).decode() for _, data in held]
    for text in texts:
        needles = [certain(text.encode(coding), shift).lower() for shift in range(3)]
        got = holds(f"f|{wide}base64offset|contains", text, values)
        assert got == [any(needle in value.lower() for needle in needles) for value in values]
        # whatever stands around it, a text that is in there is found
        assert all(found for found, (own, _) in zip(got, held, strict=True) if own == text)
        whole = base64.b64encode(text.encode(coding)).decode().lower()
        assert holds(f"f|{wide}base64", text, values) == [value.lower() == whole for value in values]


@settings(max_examples=RUNS, deadline=None)
@given(texts=st.lists(st.text("abc*?\\ ", max_size=4), min_size=10, max_size=10), values=VALUES)
def test_utf16_puts_a_nul_beside_every_letter(texts: list[str], values: list[str]) -> None:
    for key, spell in (("wide", "{}\0"), ("utf16le", "{}\0"), ("utf16be", "\0{}")):
        spread = ["".join(spell.format(sign) for sign in value) for value in values] + values
        for text in texts:
            body = "".join(sign if sign in (".*", ".") else re.escape(spell.format(sign[-1])) for sign in signs(text))
            asked = re.compile(rf"(?si:\A{body}\Z)")
            assert holds(f"f|{key}", text, spread) == [asked.search(one) is not None for one in spread], (key, text)
