"""Whether the compiled paths are on: numba is an extra (``[fast]``), and ``CITYGUARD_FAST=0`` turns it off.

Compiled code is kept beside the modules, or where ``NUMBA_CACHE_DIR`` says. Every compiled function has its equal in
numpy; tests hold both to the same results.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

try:
    import numba
except ImportError:  # the extra is not installed
    numba = None

F = TypeVar("F", bound=Callable[..., Any])

ON = numba is not None and os.environ.get("CITYGUARD_FAST", "1") != "0"
"""Compiled paths are used."""


def compiled(function: F) -> F:
    """Compile at the first call; without numba the function stays as it is, slow and right."""
    if numba is None:
        return function
    bounds = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
    try:
        # what is kept does not tell whether bounds are checked: a run that wants them compiles anew and keeps nothing
        made: F = numba.njit(cache=not bounds, nogil=True, boundscheck=bounds)(function)
    except RuntimeError:  # nowhere to keep it
        made = numba.njit(nogil=True, boundscheck=bounds)(function)
    return made
