"""The console as the command line starts it: on loopback, with a first account, until it is told to stop."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from cityguard.app import App
from cityguard.config import Settings
from cityguard.errors import RefusedError
from cityguard.web import server


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_the_console_serves_until_it_is_told_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app, stop, port = App(Settings(home=str(tmp_path))), threading.Event(), free_port()
    thread = threading.Thread(target=server.serve, args=(app, "127.0.0.1", port), kwargs={"stop": stop})
    thread.start()
    try:
        for _ in range(500):
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/health")
                break
            except httpx.ConnectError:
                time.sleep(0.02)
        assert answer.json() == {"status": "ok"}
    finally:
        stop.set()
        thread.join(15)
        app.close()
    assert not thread.is_alive()
    assert re.search(r"一次性口令 \S{16,}", capsys.readouterr().err)


def test_the_console_refuses_a_public_address_without_tls(tmp_path: Path) -> None:
    app = App(Settings(home=str(tmp_path)))
    with pytest.raises(RefusedError, match="without TLS"):
        server.serve(app, "0.0.0.0", 0)
    app.close()
