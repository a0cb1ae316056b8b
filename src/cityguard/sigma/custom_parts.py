"""Parts of the ``custom.cityguard`` block: texts, names, spans and numbers, each bounded, faults with their lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from cityguard.errors import InputError
from cityguard.sigma.reader import Lists, Reader, nearest, shown, timespan

MAX_FIELDS = 8  # that name a group or a combination
MAX_TEXT = 1000  # characters of a reason, an owner, a response
HERE = ("custom", "cityguard")
T = TypeVar("T", int, float)


class Parts:
    """One block; what is wrong with a part becomes a fault, and the part takes a harmless value."""

    def __init__(self, reader: Reader, ours: Mapping[str, Any], lists: Lists) -> None:
        self.reader = reader
        self.ours = ours
        self.lists = lists

    def fault(self, message: str, *where: str | int, remedy: str) -> None:
        self.reader.fault(message, *HERE, *where, remedy=remedy)

    def part(self, key: str, known: tuple[str, ...]) -> Mapping[str, Any] | None:
        if key not in self.ours:
            return None
        value = self.ours[key]
        if not isinstance(value, dict):
            self.fault(f"'{key}' must be a map", key, remedy=f"of {', '.join(known)}")
            return None
        self.known(value, known, key)
        return value

    def known(self, given: Mapping[str, Any], names: tuple[str, ...], *where: str | int) -> None:
        self.reader.known(given, names, *HERE, *where)

    def said(self, given: Mapping[str, Any], key: str, *where: str | int) -> str:
        value = given.get(key)
        text = value.strip() if isinstance(value, str) else ""
        if not text:
            self.fault(f"'{key}' is missing", *where, remedy=f"add '{key}:'")
        if len(text) > MAX_TEXT:
            self.fault(f"'{key}' is longer than {MAX_TEXT} characters", *where, key, remedy="say it shorter")
        return text[:MAX_TEXT]

    def names(
        self, given: Mapping[str, Any], key: str, kind: str, *, empty: bool = False, most: int = MAX_FIELDS
    ) -> tuple[str, ...]:
        value = given.get(key)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if any(not isinstance(one, str) or not one for one in values):
            self.fault(f"'{key}' is a list of names", kind, key, remedy=f"write for example {key}: [source.ip]")
            return ()
        if not values and not empty:
            self.fault(f"'{key}' is missing", kind, remedy=f"add '{key}: [...]'")
        if len(values) > most or len(set(values)) < len(values):
            self.fault(f"'{key}' has more than {most} names, or one twice", kind, key, remedy="take some out")
        return tuple(dict.fromkeys(values))[:most]

    def span(
        self,
        given: Mapping[str, Any],
        key: str,
        kind: str,
        *,
        default: str | None = None,
        least: int = 1,
        most: int = 366 * 86_400,
    ) -> int:
        value = given.get(key, default)
        if value is None:
            self.fault(f"'{key}' is missing", kind, remedy=f"add for example '{key}: 1h'")
            return least
        try:
            seconds = timespan(value)
        except InputError as error:
            self.fault(error.message, kind, key, remedy=error.remedy)
            return least
        if not least <= seconds <= most:
            remedy = f"write a time span between {least} and {most} seconds"
            self.fault(f"'{key}' is too short or too long", kind, key, remedy=remedy)
        return min(max(seconds, least), most)

    def number(self, given: Mapping[str, Any], key: str, kind: str, form: type[T], default: T, least: T, most: T) -> T:
        value = given.get(key, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        sound = whole or (form is float and isinstance(value, float) and math.isfinite(value))
        if not sound or not least <= value <= most:
            remedy = f"write a number from {least:g} to {most:g}"
            self.fault(f"'{key}' cannot be {shown(value)}", kind, key, remedy=remedy)
            return default
        return form(value)

    def choice(self, given: Mapping[str, Any], key: str, known: tuple[Any, ...], default: Any) -> Any:
        value = given.get(key, default)
        if value not in known:
            self.fault(f"'{key}' cannot be {shown(value)}", "baseline", key, remedy=nearest(str(value), known))
            return default
        return value
