"""What every document says about itself: title, id, level, tags, and our own block."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

from cityguard.errors import InputError
from cityguard.model import LEVELS, Level, Text
from cityguard.sigma import custom_reading, examples
from cityguard.sigma.ast import Head
from cityguard.sigma.reader import Lists, Reader, identifier, nearest, shown, timespan

STATES = ("stable", "test", "experimental", "deprecated", "unsupported")
MAX_LICENSE = 200
MAX_TITLE = 256  # specification 2.1
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def head(reader: Reader, data: Mapping[str, Any], lists: Lists) -> Head:
    """Read what a document says about itself; a fault for everything that is not so.

    Raises:
        UnresolvedError: an exception of ours names a placeholder that has no list.
    """
    title = _title(reader, data)
    ours = _ours(reader, data)
    advice = ours.get("advice") if isinstance(ours.get("advice"), dict) else {}
    assert isinstance(advice, dict)
    return Head(
        id=_identity(reader, data),
        title=Text(str(ours.get("title_zh") or title), title),
        path=reader.doc.path,
        line=reader.doc.line("title"),
        name=_text(reader, data, "name"),
        level=_level(reader, data),
        status=_status(reader, data),
        description=_text(reader, data, "description"),
        author=_text(reader, data, "author"),
        license=_text(reader, data, "license")[:MAX_LICENSE],
        tags=reader.texts(data, "tags"),
        falsepositives=reader.texts(data, "falsepositives"),
        advice=Text(str(advice.get("zh") or ""), str(advice.get("en") or "")),
        version=str(ours.get("version") or data.get("modified") or data.get("date") or "1"),
        group=reader.texts(ours, "group", "custom", "cityguard") if "group" in ours else None,
        window_s=_window(reader, ours),
        examples=examples.read(reader, ours.get("tests")),
        custom=custom_reading.read(reader, ours, lists) if ours else None,
    )


def _title(reader: Reader, data: Mapping[str, Any]) -> str:
    title = _text(reader, data, "title")
    if not title and not reader.faults:
        reader.missing(data, "title")
    if len(title) > MAX_TITLE:
        reader.fault(f"the title is longer than {MAX_TITLE} characters", "title", remedy="say the rest in description")
    return title[:MAX_TITLE]


def _text(reader: Reader, data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if isinstance(value, dict | list):
        reader.fault(f"'{key}' must be a text", key, remedy="put it in quotes")
        return ""
    return "" if value is None else str(value)


def identity(data: Mapping[str, Any]) -> str:
    """A document's id in its canonical form; one made of its title where it gives none, as it may."""
    given = data.get("id")
    if given is not None:
        return identifier(str(given))
    title = str(data.get("title") or "")[:MAX_TITLE]
    return str(uuid.UUID(bytes=hashlib.blake2b(title.encode("utf-8", "replace"), digest_size=16).digest()))


def _identity(reader: Reader, data: Mapping[str, Any]) -> str:
    given = data.get("id")
    if given is not None and not _UUID.fullmatch(str(given)):
        reader.fault(f"'{shown(given)}' is no UUID", "id", remedy=f"for example {uuid.uuid4()}")
    return identity(data)


def _level(reader: Reader, data: Mapping[str, Any]) -> Level:
    value = str(data.get("level") or "medium").lower()
    if value not in LEVELS:
        reader.fault(f"level '{shown(value)}' is unknown", "level", remedy=nearest(value, LEVELS))
        return "medium"
    return value


def _status(reader: Reader, data: Mapping[str, Any]) -> str:
    value = str(data.get("status") or "")
    if value and value not in STATES:
        reader.fault(f"status '{shown(value)}' is unknown", "status", remedy=nearest(value, STATES))
    return value


# ---------------------------------------------------------------- our own block


def _ours(reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
    custom = data.get("custom")
    ours = custom.get("cityguard") if isinstance(custom, dict) else None
    if ours is None:
        return {}
    if not isinstance(ours, dict):
        remedy = f"known: {', '.join(custom_reading.KEYS)}"
        reader.fault("'custom.cityguard' must be a map", "custom", "cityguard", remedy=remedy)
        return {}
    return ours


def _window(reader: Reader, ours: Mapping[str, Any]) -> int:
    try:
        return timespan(ours.get("window", "1h"))
    except InputError as error:
        reader.blame(error, "custom", "cityguard", "window")
        return 3600
