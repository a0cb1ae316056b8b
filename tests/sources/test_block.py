"""Datagrams in blocks, on a real loopback socket."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from cityguard.model import Frames
from cityguard.sources import block, udp

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="recvmmsg is of Linux")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_of_any_length_arrive_whole_in_order_and_numbered(host: str) -> None:
    sent = [bytes([nth % 251]) * length for nth, length in enumerate([1, 0, 2_048, 2_049, 60_000, 5] * 60)]
    got: list[tuple[int, str, bytes]] = []
    sizes: list[int] = []
    stop, drops = threading.Event(), udp.Drops()

    def sink(frames: Frames, peers: list[str]) -> None:
        sizes.append(len(frames))
        got.extend((int(frames.number[nth]), peers[nth], frames.item(nth)) for nth in range(len(frames)))

    def run() -> None:
        block.receive(sock, sink, stop, drops, size=300, seconds=0.05)

    with udp.bind(host, 0) as sock, socket.socket(sock.family, socket.SOCK_DGRAM) as sender:
        thread = threading.Thread(target=run)
        thread.start()
        for nth, one in enumerate(sent):
            sender.sendto(one, sock.getsockname()[:2])
            if nth % 20 == 19:
                time.sleep(0.005)
        limit = time.monotonic() + 10
        while len(got) < len(sent) and time.monotonic() < limit:
            time.sleep(0.02)
        stop.set()
        thread.join(5)
    assert [raw for _, _, raw in got] == sent
    assert [number for number, _, _ in got] == list(range(len(sent)))
    assert {peer for _, peer, _ in got} == {host}
    assert max(sizes) <= 300
    assert drops.kernel == 0


def test_what_came_is_given_before_the_end() -> None:
    got: list[int] = []
    stop = threading.Event()
    with udp.bind("127.0.0.1", 0) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        arguments = (sock, lambda frames, _: got.append(len(frames)), stop, udp.Drops())
        thread = threading.Thread(target=block.receive, args=arguments, kwargs={"seconds": 60.0})
        thread.start()
        sender.sendto(b"one", sock.getsockname())
        time.sleep(0.2)
        stop.set()
        thread.join(5)
    assert got == [1]


def test_senders_are_told_apart() -> None:
    got: list[tuple[str, bytes]] = []
    with udp.bind("127.0.0.1", 0) as sock:
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((host, 0))
                sender.sendto(host.encode(), sock.getsockname())
        many = block.Receiver(sock, 8)
        while many.count < 3:
            many.take()
        frames, peers = many.give(40)
        got = [(peer, frames.item(nth)) for nth, peer in enumerate(peers)]
        assert frames.number.tolist() == [40, 41, 42]
    assert got == [(host, host.encode()) for host in ("127.0.0.2", "127.0.0.3", "127.0.0.2")]
