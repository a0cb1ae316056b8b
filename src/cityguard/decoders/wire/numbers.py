"""Floating-point numbers as the shortest text that means the same bits (IEEE 754 single and double precision)."""

from __future__ import annotations

import struct

_single = struct.Struct("<f").pack


def single(value: float) -> str:
    """A number that was sent in single precision: ``12345678``, ``0.1``, ``nan``, ``-inf``.

    Any six digits survive single precision, and nine tell every number from the next.
    """
    text = f"{value:.6g}"
    if float(text) == value:
        return text
    bits = _single(value)
    if _single(float(text)) == bits:
        return text
    text = f"{value:.7g}"
    if _single(float(text)) == bits:
        return text
    text = f"{value:.8g}"
    return text if _single(float(text)) == bits else f"{value:.9g}"


def double(value: float) -> str:
    """A number of double precision, without the point of a whole one: ``1``, ``0.1``, ``1e+22``."""
    return repr(value).removesuffix(".0")
