"""Many datagrams with one call to the kernel (Linux ``recvmmsg``); None where there is no such call."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress

BATCH = 128
"""Datagrams asked for at once."""
_SIZE, _CONTROL, _NAME = 65_536, 64, 28
_DONTWAIT = 0x40
_RXQ_OVFL = 40
MAX_KNOWN = 4_096
"""Senders whose addresses are kept as text."""


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    """``struct mmsghdr`` of 64-bit Linux."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("_padding", ctypes.c_int),
        ("received", ctypes.c_uint32),
    ]


class Batches:
    """Receives from one socket; the buffers are kept."""

    def __init__(self, sock: socket.socket) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._call = library.recvmmsg
        self._file, self._six = sock.fileno(), sock.family == socket.AF_INET6
        self._data = ctypes.create_string_buffer(BATCH * _SIZE)
        self._names = ctypes.create_string_buffer(BATCH * _NAME)
        self._controls = ctypes.create_string_buffer(BATCH * _CONTROL)
        self._vectors = (_Vector * BATCH)()
        self._headers = (_Header * BATCH)()
        starts = [ctypes.addressof(one) for one in (self._data, self._names, self._controls)]
        for nth in range(BATCH):
            self._vectors[nth] = _Vector(starts[0] + nth * _SIZE, _SIZE)
            head = self._headers[nth]
            head.name, head.control = starts[1] + nth * _NAME, starts[2] + nth * _CONTROL
            head.vectors, head.count = ctypes.addressof(self._vectors[nth]), 1
        self._view, self._name_view = memoryview(self._data), memoryview(self._names)
        self._known: dict[bytes, str] = {}
        self._used = BATCH  # of the headers, since their lengths were set
        self.dropped = 0

    def take(self) -> list[tuple[str, bytes]]:
        """What waits, at most ``BATCH`` datagrams with their senders; ``dropped`` is the kernel's count of lost ones.

        Raises:
            OSError: the socket does not work any more.
        """
        for nth in range(self._used):
            head = self._headers[nth]
            head.name_length, head.control_length = _NAME, _CONTROL
        self._used = 0
        count = self._call(self._file, self._headers, BATCH, _DONTWAIT, None)
        if count < 0:
            code = ctypes.get_errno()
            if code in (4, 11):  # interrupted; nothing there
                return []
            raise OSError(code, "recvmmsg")
        self._used = count
        out = []
        for nth in range(count):
            start = nth * _SIZE
            out.append((self._sender(nth), bytes(self._view[start : start + self._headers[nth].received])))
        if count:
            self._count(count - 1)
        return out

    def _sender(self, nth: int) -> str:
        raw = bytes(self._name_view[nth * _NAME : nth * _NAME + _NAME])
        key = raw[8:28] if self._six else raw[4:8]
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[key] = text(key, six=self._six)
        return known

    def _count(self, nth: int) -> None:
        self.dropped = max(
            self.dropped, lost(memoryview(self._controls)[nth * _CONTROL : (nth + 1) * _CONTROL].tobytes())
        )


def lost(control: bytes) -> int:
    """What a datagram's control data (64 bytes) tell of those the kernel had to drop before it; 0 = nothing."""
    length, level, kind = struct.unpack_from("@Nii", control)
    if level == socket.SOL_SOCKET and kind == _RXQ_OVFL and length >= 20:
        return int(struct.unpack_from("=I", control, 16)[0])
    return 0


def text(key: bytes, *, six: bool) -> str:
    """An address of the kernel as text, with its interface where it is of one link."""
    if not six:
        return socket.inet_ntop(socket.AF_INET, key)
    text, scope = socket.inet_ntop(socket.AF_INET6, key[:16]), int.from_bytes(key[16:], sys.byteorder)
    if scope:
        with suppress(OSError):
            return f"{text}%{socket.if_indextoname(scope)}"
    return text


def batches(sock: socket.socket) -> Batches | None:
    """A batch receiver, where the system has one."""
    if not sys.platform.startswith("linux") or struct.calcsize("P") != 8:
        return None
    try:
        return Batches(sock)
    except (OSError, AttributeError):
        return None
