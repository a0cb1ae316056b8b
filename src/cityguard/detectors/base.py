"""What a detector is: event batches in, alerts out; its state can be saved and brought back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from cityguard.model import Alert, EventBatch


class Detector(Protocol):
    """Looks at enriched batches. The same batches in any order give the same alert ids."""

    @property
    def name(self) -> str: ...

    def detect(self, batch: EventBatch) -> Iterable[Alert]:
        """Alerts found with this batch; each carries ``part = batch.part``."""

    def finish(self) -> Iterable[Alert]:
        """Alerts that can only be decided when the input ends (a forest over whole windows …)."""

    def settle(self, through: datetime | None = None) -> Iterable[Alert]:
        """The same for inputs that never end: what is certain by now; called about once a minute.

        Args:
            through: everything received until then has been taken; None: as far as the detector has seen itself.
        """

    def snapshot(self) -> bytes:
        """State as JSON or npz bytes; never pickle."""

    def restore(self, state: bytes) -> None:
        """Bring back what ``snapshot`` gave.

        Raises:
            InputError: the bytes are not a valid snapshot.
        """
