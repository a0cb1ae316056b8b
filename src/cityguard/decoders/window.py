"""Reads at arbitrary places of a buffer, whole columns at a time; the names of array types used with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
U64s = npt.NDArray[np.uint64]
U8s = npt.NDArray[np.uint8]


class Window:
    """Reads at arbitrary places of a buffer, as arrays.

    A place beyond the end, or -1, is moved inside and reads something else; the caller masks it.
    """

    def __init__(self, buffer: U8s) -> None:
        # A buffer shorter than any header is padded, so that every view exists.
        self._buffer = buffer if len(buffer) >= 64 else np.pad(buffer, (0, 64 - len(buffer)))

    @property
    def size(self) -> int:
        """Bytes there are, padding included."""
        return len(self._buffer)

    def rows(self, at: Words, kind: np.dtype[np.void]) -> npt.NDArray[np.void]:
        """One record of ``kind`` per place."""
        width = kind.itemsize
        view: npt.NDArray[np.void] = np.ndarray(
            (len(self._buffer) - width + 1,), f"V{width}", buffer=self._buffer, strides=(1,)
        )
        # Not take(): it would first copy a view that overlaps itself.
        return view[np.minimum(at, len(view) - 1)].view(kind)

    def u8(self, at: Words) -> Words:
        return self._buffer.take(at, mode="clip").astype(np.int64)

    def u16(self, at: Words) -> Words:
        return self._wide(at, ">u2")

    def u32(self, at: Words) -> Words:
        return self._wide(at, ">u4")

    def u16_little(self, at: Words) -> Words:
        return self._wide(at, "<u2")

    def u32_little(self, at: Words) -> Words:
        return self._wide(at, "<u4")

    def _wide(self, at: Words, kind: str) -> Words:
        width = int(kind[2:])
        view: npt.NDArray[np.unsignedinteger] = np.ndarray(
            (len(self._buffer) - width + 1,), kind, buffer=self._buffer, strides=(1,)
        )
        return view[np.minimum(at, len(view) - 1)].astype(np.int64)
