"""The few errors whose kind changes what a caller does; everything else is a builtin."""

from __future__ import annotations


class CityguardError(Exception):
    """A fault a person can mend: what is wrong, where, and the remedy.

    ``exit_code`` is what the command line answers with (see ``docs/cli.md``).
    """

    exit_code = 1

    def __init__(self, message: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        return self._told(self.place)

    @property
    def brief(self) -> str:
        """The same for people who do not run this machine: of a path only the file's name."""
        return self._told(self.place.rpartition("/")[2] if self.place.startswith("/") else self.place)

    def _told(self, place: str) -> str:
        where = f"{place}: " if place else ""
        mend = f"; {self.remedy}" if self.remedy else ""
        return f"{where}{self.message}{mend}"


class InputError(CityguardError):
    """Content, a file or a form does not say what it should; nothing of it was used."""


class DecodeError(CityguardError):
    """Bytes do not follow their format. The only error a decoder may raise."""


class RefusedError(CityguardError):
    """A safety policy forbids the act (a scan into an OT segment, out of scope …)."""

    exit_code = 5


class StoreError(CityguardError):
    """The store cannot be reached, is full, or does not exist."""

    exit_code = 10


class StoreLockedError(StoreError):
    """Another process holds the store."""

    exit_code = 11


class ConflictError(CityguardError):
    """Somebody changed the record since it was read (optimistic concurrency)."""


class ContentErrors(CityguardError):
    """All faults found in one pass over content, so that they can be mended in one go."""

    def __init__(self, faults: list[CityguardError]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))

    @property
    def brief(self) -> str:
        return "\n".join(fault.brief for fault in self.faults)
