"""TCP receiver of messages: newline, NUL or octet-counted framing, bounded per connection and in all."""

from __future__ import annotations

import re
import selectors
import socket
import time
from dataclasses import dataclass, field
from threading import Event

from cityguard.sources.udp import GROUP_S, Sink

MAX_LINE = 64 << 10
MAX_CONNECTIONS = 1000
MAX_PER_PEER = 50
IDLE_S = 300.0
_COUNT = re.compile(rb"([1-9][0-9]{0,6}) (?=<)")
_END = re.compile(rb"[\n\0]")


@dataclass(slots=True)
class Peer:
    address: str
    buffer: bytearray = field(default_factory=bytearray)
    last: float = 0.0
    skipping: bool = False  # inside a line that was longer than MAX_LINE
    ignore: int = 0  # bytes left of a counted message that was longer than that


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)


def receive(server: socket.socket, sink: Sink, stop: Event) -> None:
    """Serve until ``stop`` is set. Over-long messages are cut at 64 KiB; idle or surplus connections are closed."""
    server.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        try:
            while not stop.is_set():
                _turn(selector, server, sink)
        finally:
            _close_all(selector, server, sink)


def _turn(selector: selectors.BaseSelector, server: socket.socket, sink: Sink) -> None:
    lines: list[tuple[int, str, bytes]] = []
    for key, _ in selector.select(GROUP_S):
        if key.fileobj is server:
            _accept(selector, server)
        else:
            lines += _read(selector, key)
    if lines:
        sink(lines)
    _expire(selector)


def _accept(selector: selectors.BaseSelector, server: socket.socket) -> None:
    try:
        connection, address = server.accept()
    except OSError:  # out of descriptors, or the caller has gone already: the others go on
        return
    peers = [key.data.address for key in selector.get_map().values() if key.data]
    if len(peers) >= MAX_CONNECTIONS or peers.count(address[0]) >= MAX_PER_PEER:
        connection.close()
        return
    connection.setblocking(False)
    selector.register(connection, selectors.EVENT_READ, Peer(str(address[0]), last=time.monotonic()))


def _read(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> list[tuple[int, str, bytes]]:
    connection, peer = key.fileobj, key.data
    assert isinstance(connection, socket.socket)
    try:
        data = connection.recv(1 << 18)
    except OSError:
        data = b""
    peer.last, now = time.monotonic(), time.time_ns()
    peer.buffer += data
    lines = [(now, peer.address, line) for line in split(peer)]
    if not data:
        selector.unregister(connection)
        connection.close()
        if peer.buffer and not peer.skipping:
            lines.append((now, peer.address, bytes(peer.buffer)))
    return lines


def split(peer: Peer) -> list[bytes]:
    """Take the whole messages out of a peer's buffer; what is longer than MAX_LINE is cut and its rest skipped.

    RFC 6587: messages end with a newline (or NUL, as some senders write), or stand behind their length in octets.
    Each message is looked at on its own, so a sender may change its mind.
    """
    buffer, place, out = bytes(peer.buffer), 0, list[bytes]()
    while place < len(buffer):
        if peer.ignore:
            step = min(peer.ignore, len(buffer) - place)
            peer.ignore, place = peer.ignore - step, place + step
            continue
        counted = None if peer.skipping else _COUNT.match(buffer, place)
        if counted:
            size = int(counted[1])
            start, taken = counted.end(), min(size, MAX_LINE)
            if len(buffer) - start < taken:
                break
            out.append(buffer[start : start + taken].rstrip(b"\r\n\0"))
            peer.ignore, place = size - taken, start + taken
            continue
        end = _END.search(buffer, place)
        if end is None:
            if peer.skipping or len(buffer) - place > MAX_LINE:
                out += [] if peer.skipping else [buffer[place : place + MAX_LINE]]
                peer.skipping, place = True, len(buffer)
            break
        if not peer.skipping:
            out.append(buffer[place : min(end.start(), place + MAX_LINE)])
        peer.skipping, place = False, end.end()
    peer.buffer = bytearray(buffer[place:])
    return [line for line in out if line.strip()]


def _expire(selector: selectors.BaseSelector) -> None:
    oldest = time.monotonic() - IDLE_S
    for key in [key for key in selector.get_map().values() if key.data and key.data.last < oldest]:
        selector.unregister(key.fileobj)
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()


def _close_all(selector: selectors.BaseSelector, server: socket.socket, sink: Sink) -> None:
    for key in [key for key in selector.get_map().values() if key.fileobj is not server]:
        sink_lines = _read(selector, key)
        if sink_lines:
            sink(sink_lines)
        if key.fileobj in selector.get_map():
            selector.unregister(key.fileobj)
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
