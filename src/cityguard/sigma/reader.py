"""What reading any Sigma document needs: faults gathered with their lines, texts and maps taken with care."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from cityguard.content import Document
from cityguard.errors import InputError

Lists: TypeAlias = Mapping[str, Sequence[str]]
"""Placeholder name -> its values."""

MAX_FAULTS = 100  # of one document; the others show when these are mended
MAX_TIMESPAN_S = 366 * 86_400
MAX_SHOWN = 100  # characters of a wrong value that a fault repeats
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_629_746, "y": 31_556_952}
_SPAN = re.compile(r"([0-9]{1,9})([smhdwMy])")


class Reader:
    """One document; collects faults on its way, so that they can be mended in one go."""

    def __init__(self, document: Document) -> None:
        self.doc = document
        self.faults: list[InputError] = []

    def fault(self, message: str, *where: str | int, remedy: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(InputError(message, place=self.doc.place(*where), remedy=remedy))

    def blame(self, error: InputError, *where: str | int) -> None:
        """A fault found by something that does not know where it stands."""
        self.fault(error.message, *where, remedy=error.remedy)

    def missing(self, data: Mapping[str, Any], key: str, *where: str | int) -> None:
        near = difflib.get_close_matches(key, [str(name) for name in data], 1)
        remedy = f"did you mean '{key}' where it says '{near[0]}'?" if near else f"add '{key}:'"
        self.fault(f"'{key}' is missing", *where, *near, remedy=remedy)

    def map(self, data: Mapping[str, Any], key: str, *where: str | int) -> dict[str, Any]:
        """A map that must be there; empty, with a fault, when it is not."""
        value = data.get(key)
        if isinstance(value, dict):
            return value
        if key in data:
            self.fault(f"'{key}' must be a map", *where, key, remedy=f"write '{key}:' and its keys indented below")
        else:
            self.missing(data, key, *where)
        return {}

    def texts(self, data: Mapping[str, Any], key: str, *where: str | int) -> tuple[str, ...]:
        """A text or a list of texts; ``none`` and nothing at all are none."""
        value = data.get(key)
        if value is None or value == "none":
            return ()
        values = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list | None) for item in values):
            self.fault(f"'{key}' must be a list of texts", *where, key, remedy="write one text after each '-'")
            return ()
        return tuple(str(item) for item in values)

    def known(self, data: Mapping[str, Any], keys: Sequence[str], *where: str | int) -> None:
        """A fault for every key that is not one of ``keys``."""
        for key in data:
            if key not in keys:
                self.fault(f"unknown key '{shown(key)}'", *where, str(key), remedy=nearest(str(key), keys))


def timespan(text: Any) -> int:
    """Seconds of ``30s 5m 1h 7d 2w 1M 1y`` (months and years by their mean length, as pySigma has them).

    Raises:
        InputError: another form, nothing, or more than a year.
    """
    found = _SPAN.fullmatch(str(text))
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= MAX_TIMESPAN_S:
        raise InputError(
            f"'{shown(text)}' is no time span", remedy="write a number and s, m, h, d, w, M or y; at most a year"
        )
    return seconds


def identifier(text: str) -> str:
    """A name as it is; a UUID in its canonical form."""
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else text
    except ValueError:
        return text


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy: the word that was probably meant, else all there are."""
    names = list(known)
    near = difflib.get_close_matches(word[:MAX_SHOWN], names, 1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"


def shown(value: Any) -> str:
    """A wrong value as a fault may repeat it: short, on one line."""
    text = str(value)
    text = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
