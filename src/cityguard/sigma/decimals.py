"""Numbers as text: one way of writing each, whether it stands in a rule, a column or JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

MAX_EXPONENT: Final = 20
"""Numbers of greater exponents keep it: 1e300 is not written out."""


def number_text(value: float) -> str:
    """A number as events' texts are compared with it: 3.0 is ``3``, 1e-05 is ``0.00001``."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return spelled_out(repr(value))


def spelled_out(text: str) -> str:
    """The shortest text of a float without its exponent, if that is within bounds, and without a last ``.0``."""
    _, marked, exponent = text.partition("e")
    if not marked:
        return text.removesuffix(".0")
    return format(Decimal(text), "f") if abs(int(exponent)) <= MAX_EXPONENT else text
