"""Receivers: network in, spool out. No parsing beyond framing, no credentials, nothing else in the process."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread

from cityguard.config import Limits, Listener
from cityguard.sources import tcp, udp
from cityguard.spool import Received, SpoolWriter

COUNTERS = "counters.json"


def spool_folder(home: Path, listener: Listener) -> Path:
    """Where a listener's records wait: ``spool/<name>``. Names come from the configuration, never from the wire."""
    return home / "spool" / listener.name


def serve(listener: Listener, home: Path, limits: Limits, stop: Event) -> None:
    """Receive one listener until ``stop`` is set.

    Raises:
        OSError: the address cannot be bound.
        StoreLockedError: another process receives into the same spool.
    """
    folder = spool_folder(home, listener)
    writer = SpoolWriter(folder, max_bytes=limits.spool_mb << 20)
    drops = udp.Drops()

    def keep(group: list[tuple[int, str, bytes]]) -> None:
        before = writer.dropped
        writer.append([Received(*one) for one in group])
        if writer.dropped != before or drops.kernel:
            _count(folder, writer.dropped, drops.kernel)

    try:
        if listener.kind == "udp":
            with udp.bind(listener.host, listener.port) as sock:
                udp.receive(sock, keep, stop, drops)
        else:
            with tcp.bind(listener.host, listener.port) as server:
                tcp.receive(server, keep, stop)
    finally:
        writer.close()


def serve_all(listeners: tuple[Listener, ...], home: Path, limits: Limits, stop: Event) -> list[Thread]:
    """One thread per listener; returns them started."""
    threads = [Thread(target=serve, args=(one, home, limits, stop), name=one.name, daemon=True) for one in listeners]
    for thread in threads:
        thread.start()
    return threads


def counters(home: Path, listener: Listener) -> dict[str, int]:
    """Drops of a listener since it started: ``spool`` (spool full) and ``kernel`` (receive buffer full)."""
    path = spool_folder(home, listener) / COUNTERS
    return json.loads(path.read_text()) if path.is_file() else {"spool": 0, "kernel": 0}


def _count(folder: Path, spool: int, kernel: int) -> None:
    temporary = folder / (COUNTERS + ".new")
    temporary.write_text(json.dumps({"spool": spool, "kernel": kernel}))
    temporary.rename(folder / COUNTERS)
