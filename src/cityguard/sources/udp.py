"""UDP receiver: a blocking loop that groups datagrams and hands them on to be made durable."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from cityguard.sources import mmsg

GROUP = 1000
GROUP_S = 0.02
GATHER_S = 0.001
"""How long datagrams gather in the kernel; at 100,000 a second that is a hundred of them."""
BUFFER = 32 << 20
_SO_RXQ_OVFL = 40  # linux: the kernel's own count of datagrams it had to drop
_MAX = 65_535

Sink = Callable[[list[tuple[int, str, bytes]]], None]
"""Takes (receive time ns, peer address, datagram) and returns when they are durable."""


@dataclass(slots=True)
class Drops:
    """Datagrams the kernel dropped before we saw them, as the kernel counts them."""

    kernel: int = 0


def bind(host: str, port: int) -> socket.socket:
    """A UDP socket with the largest receive buffer the kernel gives and its drop counter on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    sock.bind((host, port))
    sock.settimeout(GROUP_S)
    return sock


def receive(sock: socket.socket, sink: Sink, stop: Event, drops: Drops) -> None:
    """Receive until ``stop`` is set; a group goes to ``sink`` at 1,000 datagrams or after 20 ms."""
    many = mmsg.batches(sock)
    take = _one_by_one(sock, drops) if many is None else _together(sock, many, drops, stop)
    group: list[tuple[int, str, bytes]] = []
    due = time.monotonic() + GROUP_S
    while not stop.is_set():
        group += take()
        if group and (len(group) >= GROUP or time.monotonic() >= due):
            sink(group)
            group = []
        if not group:
            due = time.monotonic() + GROUP_S
    if group:
        sink(group)


def _together(
    sock: socket.socket, many: mmsg.Batches, drops: Drops, stop: Event
) -> Callable[[], list[tuple[int, str, bytes]]]:
    ready = select.poll()
    ready.register(sock, select.POLLIN)

    def take() -> list[tuple[int, str, bytes]]:
        if not ready.poll(GROUP_S * 1000):
            return []  # nothing came within the group's time: what waits is handed on
        stop.wait(GATHER_S)  # one call for many costs less than one for each
        found, now = many.take(), time.time_ns()
        drops.kernel = max(drops.kernel, many.dropped)
        return [(now, peer, data) for peer, data in found]

    return take


def _one_by_one(sock: socket.socket, drops: Drops) -> Callable[[], list[tuple[int, str, bytes]]]:
    def take() -> list[tuple[int, str, bytes]]:
        try:
            data, ancillary, _, address = sock.recvmsg(_MAX, 64)
        except TimeoutError:
            return []
        _count(ancillary, drops)
        return [(time.time_ns(), str(address[0]), data)]

    return take


def _count(ancillary: list[tuple[int, int, bytes]], drops: Drops) -> None:
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
            drops.kernel = max(drops.kernel, struct.unpack("=I", value[:4])[0])
