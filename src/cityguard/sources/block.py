"""Datagrams in blocks: the kernel writes them into one buffer, with no object for each (Linux ``recvmmsg``)."""

from __future__ import annotations

import ctypes
import select
import socket
import time
from collections.abc import Callable
from threading import Event

import numpy as np

from cityguard.model import Frames
from cityguard.sources import mmsg, udp

SLOT = 2_048
"""Bytes of the buffer for each datagram; what is longer is put behind all of them."""
ROOM = 65_536
CALL = 256
"""Datagrams asked for at once."""
RATE = 100_000
"""Datagrams a second at which half of the kernel's buffer may fill while they gather."""
_KERNEL = 2_304  # bytes of its buffer that one of at most 1,500 bytes takes
_HEADER, _NAME, _CONTROL = 64, 28, 64

Sink = Callable[[Frames, list[str]], None]
"""Takes datagrams and their senders; the buffer is written anew afterwards."""


class Receiver:
    """Receives from one socket into a buffer of ``size`` slots."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        """
        Raises:
            OSError, AttributeError: the system has no such call.
        """
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._file, self._six = sock.fileno(), sock.family == socket.AF_INET6
        self.size, self.count, self.dropped = size, 0, 0
        self._data = np.empty(size * SLOT, np.uint8)
        self._more = np.empty((CALL, ROOM - SLOT), np.uint8)  # what does not fit into a slot, during a call
        self._names = np.zeros((size, _NAME), np.uint8)
        self._controls = np.zeros((CALL, _CONTROL), np.uint8)
        self._vectors = np.empty((size, 4), np.uint64)  # two vectors of place and length
        self._headers = np.zeros((size, _HEADER // 8), np.uint64)  # struct mmsghdr of 64-bit Linux
        self._times = np.empty(size, np.int64)
        self._long: list[tuple[int, bytes]] = []
        self._known: dict[bytes, str] = {}
        nth = np.arange(size, dtype=np.uint64)
        self._vectors[:, 0] = nth * np.uint64(SLOT) + np.uint64(self._data.ctypes.data)
        self._vectors[:, 1] = SLOT
        self._vectors[:, 2] = nth % np.uint64(CALL) * np.uint64(ROOM - SLOT) + np.uint64(self._more.ctypes.data)
        self._vectors[:, 3] = ROOM - SLOT
        self._headers[:, 0] = nth * np.uint64(_NAME) + np.uint64(self._names.ctypes.data)
        self._headers[:, 2] = nth * np.uint64(32) + np.uint64(self._vectors.ctypes.data)
        self._headers[:, 3] = 2
        self._headers[:, 4] = nth % np.uint64(CALL) * np.uint64(_CONTROL) + np.uint64(self._controls.ctypes.data)
        self._start = self._headers.ctypes.data
        self._lengths = self._headers.view(np.uint32)[:, 14]

    def take(self) -> int:
        """Take what waits, at most ``CALL`` datagrams and what room there is; how many came.

        Raises:
            OSError: the socket does not work any more.
        """
        first = self.count
        wanted = min(CALL - first % CALL, self.size - first)
        self._headers[first : first + wanted, 1] = _NAME
        self._headers[first : first + wanted, 5] = _CONTROL
        came = int(self._call(self._file, ctypes.c_void_p(self._start + first * _HEADER), wanted, 0x40, None))
        if came < 0:
            code = ctypes.get_errno()
            if code in (4, 11):  # interrupted; nothing there
                return 0
            raise OSError(code, "recvmmsg")
        self.count = end = first + came
        self._times[first:end] = time.time_ns()
        lengths = self._lengths[first:end]
        if came and int(lengths.max()) > SLOT:
            for nth in (np.flatnonzero(lengths > SLOT) + first).tolist():
                body = self._data[nth * SLOT : nth * SLOT + SLOT].tobytes()
                self._long.append((nth, body + self._more[nth % CALL, : int(self._lengths[nth]) - SLOT].tobytes()))
        if came:
            self.dropped = max(self.dropped, mmsg.lost(self._controls[(end - 1) % CALL].tobytes()))
        return came

    def give(self, first: int) -> tuple[Frames, list[str]]:
        """What was taken, numbered from ``first`` on; the buffer is free again with the next ``take``."""
        n, self.count = self.count, 0
        length = self._lengths[:n].astype(np.int64)
        offset = np.arange(n, dtype=np.int64) * SLOT
        data = self._data.view()
        data.flags.writeable = False  # like that of any other source: compiled loops are kept by type
        if self._long:
            at = len(data) + np.cumsum([0] + [len(body) for _, body in self._long])
            offset[[nth for nth, _ in self._long]] = at[:-1]
            data = np.concatenate([data, np.frombuffer(b"".join(body for _, body in self._long), np.uint8)])
            self._long = []
        number = np.arange(first, first + n, dtype=np.int64)
        frames = Frames(data, offset, length, number, self._times[:n].copy(), length, np.zeros(n, np.int32))
        return frames, self._senders(n)

    def _senders(self, n: int) -> list[str]:
        names = self._names[:n, 8:28] if self._six else self._names[:n, 4:8]
        if n and (names == names[0]).all():
            return [self._sender(names[0].tobytes())] * n
        return [self._sender(one.tobytes()) for one in names]

    def _sender(self, key: bytes) -> str:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= mmsg.MAX_KNOWN:
                self._known.clear()
            known = self._known[key] = mmsg.text(key, six=self._six)
        return known


def receive(
    sock: socket.socket, sink: Sink, stop: Event, drops: udp.Drops, *, size: int = 4_000, seconds: float = 1.0
) -> None:
    """Receive until ``stop`` is set; datagrams go to ``sink`` when ``size`` of them came, or after ``seconds``.

    Raises:
        OSError: the socket does not work any more, or the system has no ``recvmmsg``.
    """
    many, first, due = Receiver(sock, size), 0, 0.0
    # One call for many costs less than one for each; a small buffer cannot wait.
    gather = min(udp.GROUP_S, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) / 2 / (_KERNEL * RATE))
    ready = select.poll()
    ready.register(sock, select.POLLIN)
    while not stop.is_set():
        came = many.take()
        drops.kernel = max(drops.kernel, many.dropped)
        now = time.monotonic()
        if came and many.count == came:
            due = now + seconds
        if many.count == size or (many.count and now >= due):
            first = _pass(many, first, sink)
        elif not came:
            ready.poll(udp.GROUP_S * 1000)
        elif came < CALL // 2:
            stop.wait(gather)
    if many.count:
        _pass(many, first, sink)


def _pass(many: Receiver, first: int, sink: Sink) -> int:
    frames, peers = many.give(first)
    sink(frames, peers)
    return first + len(frames)
