"""Receivers: network in, spool out. No parsing beyond framing, no credentials, nothing else in the process."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from cityguard.config import Limits, Listener
from cityguard.errors import StoreError
from cityguard.sources import tcp, udp
from cityguard.spool import Received, SpoolWriter

COUNTERS = "counters.json"
log = logging.getLogger(__name__)


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
    drops, earlier, told = udp.Drops(), counters(home, listener), -1

    def keep(group: list[tuple[int, str, bytes]]) -> None:
        nonlocal told
        try:
            writer.append([Received(*one) for one in group])
        except StoreError:  # a full disk: what cannot be kept is counted, and receiving goes on
            log.exception("%s: %d records dropped", listener.name, len(group))
            writer.dropped += len(group)
        if told != (told := writer.dropped + drops.kernel):
            _count(folder, earlier["spool"] + writer.dropped, earlier["kernel"] + drops.kernel)

    try:
        if listener.kind == "udp":
            with udp.bind(listener.host, listener.port) as sock:
                udp.receive(sock, keep, stop, drops)
        else:
            with tcp.bind(listener.host, listener.port) as server:
                tcp.receive(server, keep, stop)
    finally:
        writer.close()


def _serve(listener: Listener, home: Path, limits: Limits, stop: Event) -> None:
    try:
        serve(listener, home, limits, stop)
    except (OSError, StoreError) as error:
        log.error("%s (%s:%d): %s", listener.name, listener.host, listener.port, error)


def serve_all(listeners: tuple[Listener, ...], home: Path, limits: Limits, stop: Event) -> list[Thread]:
    """One thread per listener; returns them started."""
    threads = [Thread(target=_serve, args=(one, home, limits, stop), name=one.name, daemon=True) for one in listeners]
    for thread in threads:
        thread.start()
    return threads


def counters(home: Path, listener: Listener) -> dict[str, int]:
    """Drops of a listener since it was first used: ``spool`` (spool or disk full), ``kernel`` (receive buffer full)."""
    path = spool_folder(home, listener) / COUNTERS
    return json.loads(path.read_text()) if path.is_file() else {"spool": 0, "kernel": 0}


def _count(folder: Path, spool: int, kernel: int) -> None:
    temporary = folder / (COUNTERS + ".new")
    with suppress(OSError):  # the disk that refused the records may refuse this too: the next count says it
        temporary.write_text(json.dumps({"spool": spool, "kernel": kernel}))
        temporary.rename(folder / COUNTERS)
