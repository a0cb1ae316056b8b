"""Alerts as RFC 5424 syslog messages over UDP, one datagram each."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from cityguard.clock import iso
from cityguard.model import Alert, Level
from cityguard.notify.base import line

FACILITY = 13  # log audit, RFC 5424 table 1
SEVERITY: dict[Level, int] = {"informational": 6, "low": 5, "medium": 4, "high": 3, "critical": 2}
MAX_DATAGRAM = 2_048  # RFC 5424 section 6.1: receivers should take 2,048 octets


@dataclass(frozen=True, slots=True)
class Syslog:
    """A receiver of syslog over UDP (RFC 5426)."""

    host: str
    port: int = 514
    hostname: str = "cityguard"

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Send one datagram per alert.

        Raises:
            OSError: the receiver's name cannot be resolved or the network refuses.
        """
        family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sock:
            for alert in alerts:
                sock.sendto(message(alert, self.hostname), address)


def message(alert: Alert, hostname: str) -> bytes:
    """One alert as a syslog message, cut at ``MAX_DATAGRAM`` on a character boundary."""
    data = {"id": alert.id, "rule": alert.rule_id, "level": alert.level, "count": str(alert.count)}
    pairs = " ".join(f'{name}="{_escape(value)}"' for name, value in data.items())
    head = f"<{FACILITY * 8 + SEVERITY[alert.level]}>1 {iso(alert.last_seen)} {hostname} cityguard - alert"
    text = f"{head} [alert@32473 {pairs}] \ufeff{line(alert)}"
    return text.encode()[:MAX_DATAGRAM].decode(errors="ignore").encode()


def _escape(value: str) -> str:
    # RFC 5424 section 6.3.3: these three are escaped inside a parameter's value.
    plain = orjson.dumps(value).decode()[1:-1] if not value.isprintable() else value
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
