"""UDP and TCP receivers on real loopback sockets."""

from __future__ import annotations

import socket
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.sources import tcp, udp


def wait_for(done: threading.Event, got: list[bytes], count: int) -> None:
    limit = time.monotonic() + 10
    while len(got) < count and time.monotonic() < limit:
        done.wait(0.02)


def test_datagrams_arrive_whole_with_their_peer() -> None:
    got: list[tuple[int, str, bytes]] = []
    stop, drops = threading.Event(), udp.Drops()
    with udp.bind("127.0.0.1", 0) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        thread = threading.Thread(target=udp.receive, args=(sock, got.extend, stop, drops))
        thread.start()
        for n in range(500):
            sender.sendto(b"%d" % n, sock.getsockname())
        sender.sendto(b"", sock.getsockname())
        wait_for(stop, got, 501)  # type: ignore[arg-type]
        stop.set()
        thread.join(5)
    assert [raw for _, _, raw in got] == [*(b"%d" % n for n in range(500)), b""]
    assert {peer for _, peer, _ in got} == {"127.0.0.1"}
    assert drops.kernel == 0


def test_lines_arrive_however_they_were_cut() -> None:
    got: list[tuple[int, str, bytes]] = []
    stop = threading.Event()
    server = tcp.bind("127.0.0.1", 0)
    address = server.getsockname()
    thread = threading.Thread(target=tcp.receive, args=(server, got.extend, stop))
    thread.start()
    with socket.create_connection(address) as client:
        for piece in (b"one\ntw", b"o\n\nth", b"ree\n", b"y" * 70_000, b"\nfour\nlast"):
            client.sendall(piece)
            time.sleep(0.03)
    wait_for(stop, got, 6)  # type: ignore[arg-type]
    stop.set()
    thread.join(5)
    server.close()
    assert [raw for _, _, raw in got] == [b"one", b"two", b"three", b"y" * tcp.MAX_LINE, b"four", b"last"]


@given(
    st.lists(st.binary(min_size=1, max_size=30).filter(lambda b: not {10, 0} & set(b) and b.strip()), max_size=20),
    st.data(),
)
def test_splitting_never_loses_or_invents_a_line(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    peer, got = tcp.Peer("p"), []
    while text:
        size = data.draw(st.integers(1, len(text)))
        peer.buffer += text[:size]
        text = text[size:]
        got += tcp.split(peer)
    assert got == lines


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.sampled_from(["\n", "\0", "count"])), max_size=6),
    st.integers(1, 9),
)
def test_messages_come_out_whole_however_they_are_framed_and_cut(given_: list[tuple[bytes, str]], step: int) -> None:
    messages, stream = [], b""
    for body, framing in given_:
        message = b"<13>" + body.replace(b"\n", b"x").replace(b"\0", b"x").replace(b"\r", b"x")
        messages.append(message)
        stream += b"%d %s" % (len(message), message) if framing == "count" else message + framing.encode()
    peer, out = tcp.Peer("x"), list[bytes]()
    for start in range(0, len(stream), step):
        peer.buffer += stream[start : start + step]
        out += tcp.split(peer)
    assert out == messages


def test_a_counted_message_that_is_too_long_is_cut_and_the_next_one_read() -> None:
    peer = tcp.Peer("x")
    stream = b"%d <13>" % (tcp.MAX_LINE + 104) + b"a" * (tcp.MAX_LINE + 100) + b"5 <13>b"
    out = list[bytes]()
    for start in range(0, len(stream), 1000):
        peer.buffer += stream[start : start + 1000]
        out += tcp.split(peer)
    assert [len(one) for one in out] == [tcp.MAX_LINE, 5]
