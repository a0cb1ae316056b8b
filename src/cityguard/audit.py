"""Who did what to what: one call for every act of a person, written to the chained audit log before the act counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cityguard.clock import Clock
from cityguard.model import AuditEntry

MAX_DETAIL = 4_000


@dataclass(frozen=True, slots=True)
class Actor:
    """The person (or token) that acts, and the transport peer the request came from."""

    name: str
    ip: str = ""


class Log(Protocol):
    """Where entries are kept: the store's records."""

    def append_audit(self, actor: str, ip: str, action: str, object: str, detail: str, at: datetime) -> AuditEntry: ...


def note(records: Log, clock: Clock, who: Actor, action: str, object: str, detail: str = "") -> AuditEntry:
    """Append one entry.

    Args:
        records: where the log is kept.
        clock: gives the time of the entry.
        who: the actor and the address.
        action: dotted verb, e.g. ``alert.close``.
        object: id of what was acted upon.
        detail: old and new values, cut at ``MAX_DETAIL`` characters.

    Raises:
        StoreError: the entry cannot be kept; the caller must then not act.
    """
    return records.append_audit(who.name, who.ip, action, object, detail[:MAX_DETAIL], clock())
