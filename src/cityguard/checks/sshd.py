"""What sshd really uses, from its own listing (``sshd -T``) or else from its files, as sshd_config(5) reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from cityguard.checks.linux import Collected

FILE, LISTING, FOLDER = "sshd_config", "sshd -T", "/etc/ssh/"
MAX_DEPTH = 4  # of Include; sshd allows 16
_PAIR = re.compile(r"(\w+)[\s=]+(.*)")

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class Sshd:
    """Keywords (lower case) with values, in the order sshd meets them.

    ``unsure_from`` is the place in ``pairs`` of an Include whose files were not collected: what stands behind it may
    have been said otherwise there, and the first value counts.
    """

    pairs: Pairs = field(default_factory=list)
    blocks: list[tuple[str, str, str]] = field(default_factory=list)  # criteria of Match, keyword, value
    unsure_from: int | None = None

    def value(self, keyword: str, default: str) -> tuple[str, bool]:
        """The value in force, and whether that is sure."""
        place = next((n for n, (key, _) in enumerate(self.pairs) if key == keyword), None)
        sure = self.unsure_from is None or (place is not None and place < self.unsure_from)
        return (default if place is None else self.pairs[place][1]), sure

    def values(self, keyword: str) -> list[str]:
        """Every value of a keyword that adds up, such as AllowUsers."""
        return [value for key, value in self.pairs if key == keyword]


def read(text: Collected) -> Sshd | None:
    """What one host's text tells; None when neither listing nor file was collected.

    The listing alone decides where it is there; it knows no Match blocks, so those still come from the files.
    """
    found = Sshd()
    _walk(text, text.lines(FILE), found, "", 0)
    if listed := [pair for line in text.lines(LISTING) if (pair := _pair(line))]:
        return Sshd(listed, found.blocks)
    return found if text.has(FILE) else None


def _walk(text: Collected, lines: Iterable[str], found: Sshd, criteria: str, depth: int) -> None:
    for line in lines:
        if (pair := _pair(line)) is None:
            continue
        key, value = pair
        if key == "match":
            criteria = value
        elif key == "include":
            _include(text, value, found, criteria, depth)
        elif criteria:
            found.blocks.append((criteria, key, value))
        else:
            found.pairs.append(pair)


def _include(text: Collected, value: str, found: Sshd, criteria: str, depth: int) -> None:
    for pattern in value.split():
        path = pattern if pattern.startswith("/") else FOLDER + pattern
        titles = sorted(title for title in text.sections if fnmatchcase(title, path))
        if (not titles or depth >= MAX_DEPTH) and found.unsure_from is None:
            found.unsure_from = len(found.pairs)
        for title in titles if depth < MAX_DEPTH else ():
            _walk(text, text.sections[title], found, criteria, depth + 1)


def _pair(line: str) -> tuple[str, str] | None:
    match = _PAIR.match(line)
    return (match[1].lower(), match[2].strip().replace('"', "")) if match else None
