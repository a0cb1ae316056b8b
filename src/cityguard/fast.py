"""Whether the compiled paths are on: numba is an extra (``[fast]``), and ``CITYGUARD_FAST=0`` turns it off.

Compiled code is kept beside the modules, or where ``NUMBA_CACHE_DIR`` says. Every compiled function has its equal in
numpy; tests hold both to the same results.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

numba: Any = None
if os.environ.get("CITYGUARD_FAST", "1") != "0":  # turned off it is not even read: it takes some 60 MB
    try:
        numba = importlib.import_module("numba")
        importlib.import_module("numba.extending")
    except ImportError:  # the extra is not installed
        numba = None

F = TypeVar("F", bound=Callable[..., Any])

ON = numba is not None
"""Compiled paths are used."""


def compiled(function: F) -> F:
    """Compile at the first call; without numba the function stays as it is, slow and right."""
    if numba is None:
        return function
    return _made(function)


def lean(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop that allocates nothing: references to its arrays are not counted, which costs more than reads."""
    if numba is None:
        return function
    return _made(function, _nrt=False)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a part of such a loop into its callers, where a call with all its arrays would cost more than it does."""
    if numba is None:
        return function
    return _made(function, forceinline=True, _nrt=False)


def _made(function: F, **options: bool) -> F:
    bounds = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
    try:
        # what is kept does not tell whether bounds are checked: a run that wants them compiles anew and keeps nothing
        made: F = numba.njit(cache=not bounds, nogil=True, boundscheck=bounds, **options)(function)
    except RuntimeError:  # nowhere to keep it
        made = numba.njit(nogil=True, boundscheck=bounds, **options)(function)
    return made


def _no_prefetch(array: Any, index: Any) -> None:
    """Ask the processor for the memory of an element that is needed soon, inside the array or not; here: do nothing."""


prefetch: Any = _no_prefetch
if numba is not None:
    ir, cgutils = importlib.import_module("llvmlite.ir"), importlib.import_module("numba.core.cgutils")

    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def _prefetch(context: Any, array: Any, index: Any) -> Any:
        """As ``_no_prefetch``; for arrays of one dimension whose elements lie side by side."""

        def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, values[0]).data
            width = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
            at = builder.mul(values[1], ir.Constant(values[1].type, width))
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            place = builder.gep(builder.bitcast(data, byte), [at])
            kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
            call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            builder.call(call, [place, word(0), word(3), word(1)])
            return context.get_dummy_value()

        return numba.types.void(array, numba.types.int64), write

    prefetch = _prefetch


def views(buffer: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
    """The same bytes for reads of one, two and four at any place, in the order of little-endian machines.

    None can be written to, so that a compiled function has one form for all buffers.
    """
    found: list[npt.NDArray[Any]] = []
    for kind, width in (("u1", 1), ("<u2", 2), ("<u4", 4)):
        view: npt.NDArray[Any] = np.ndarray((max(len(buffer) - width + 1, 0),), kind, buffer=buffer, strides=(1,))
        view.flags.writeable = False
        found.append(view)
    return found
