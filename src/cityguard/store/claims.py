"""Who may run a job's slot: a lease with a fence, decided the same way in every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cityguard.errors import ConflictError
from cityguard.model import JobRun


def claim(held: JobRun | None, wanted: JobRun, now: datetime) -> JobRun | None:
    """The run as claimed, its fence one above the last; None when another holds the slot or has ended it."""
    if held is None:
        return replace(wanted, fence=1, outcome="running", ended=None)
    if held.outcome != "running" or held.lease_until > now:
        return None
    return replace(wanted, fence=held.fence + 1, outcome="running", ended=None)


def check_fence(run: JobRun, stored: int | None) -> None:
    """Refuse to write a run whose slot somebody else holds.

    Raises:
        ConflictError: the slot was never claimed, or a newer fence holds it.
    """
    if stored is None:
        raise ConflictError(f"run of {run.job} was never claimed", remedy="claim it first")
    if stored != run.fence:
        raise ConflictError(
            f"run of {run.job} was taken over (fence {stored}, ours is {run.fence})", remedy="drop this run's results"
        )
