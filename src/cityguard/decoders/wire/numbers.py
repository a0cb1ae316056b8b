"""Floating-point numbers as the shortest text that means the same bits (IEEE 754 single and double precision)."""

from __future__ import annotations

import struct

_SINGLE = struct.Struct("<f")
_DIGITS = ("{:.6g}", "{:.7g}", "{:.8g}")
"""Six digits always survive single precision; nine always tell one number from the next."""


def single(value: float) -> str:
    """A number that was sent in single precision: ``12345678``, ``0.1``, ``nan``, ``-inf``."""
    for form in _DIGITS:
        text = form.format(value)
        again = float(text)
        if again == value or _SINGLE.unpack(_SINGLE.pack(again))[0] == value:
            return text
    return f"{value:.9g}"


def double(value: float) -> str:
    """A number of double precision, without the point of a whole one: ``1``, ``0.1``, ``1e+22``."""
    return repr(value).removesuffix(".0")
