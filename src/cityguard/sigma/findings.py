"""Findings of the linter: what, where, how bad, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cityguard.content import Document

Level = Literal["error", "warning"]
MAX_FINDINGS = 200  # of one document


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend (error) or to think about (warning)."""

    level: Level
    code: str  # what kind of finding: fault, field, tag …
    place: str  # path:line
    message: str
    remedy: str

    def __str__(self) -> str:
        mend = f"; {self.remedy}" if self.remedy else ""
        return f"{self.place}: {self.message}{mend}"


class Notes:
    """Findings of one document, on the way."""

    def __init__(self, doc: Document) -> None:
        self.doc = doc
        self.findings: list[Finding] = []

    def error(self, code: str, message: str, *where: str | int, remedy: str) -> None:
        self._add("error", code, message, where, remedy)

    def warn(self, code: str, message: str, *where: str | int, remedy: str) -> None:
        self._add("warning", code, message, where, remedy)

    def _add(self, level: Level, code: str, message: str, where: tuple[str | int, ...], remedy: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(level, code, self.doc.place(*where), message, remedy))
