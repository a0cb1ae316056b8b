"""Passwords and keys that a vector tells to be there."""

from __future__ import annotations

MASKED = "<masked>"
"""What a vector writes where it does not tell which."""


class Secret(str):
    """A password or key met in clear; a vector may write it or mask it."""

    __slots__ = ()
