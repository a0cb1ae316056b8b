"""Rule collections: ``action: global``, ``reset`` and ``repeat`` among the documents of one file."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from cityguard.content import Document
from cityguard.errors import CityguardError, InputError
from cityguard.sigma.reader import nearest, shown

ACTIONS = ("global", "reset", "repeat")
MAX_VALUES = 200_000  # of all joined documents of one file
MAX_ALSO = 8  # documents looked into for the line of a fault


def joined(documents: Iterable[Document], faults: list[CityguardError]) -> Iterator[Document]:
    """Documents as they are meant: with what the global one says (which wins), or as the one before with changes.

    Correlations and filters take no part in it. Faults are added to ``faults``; what they are about is left out.
    """
    common: Document | None = None
    before: Document | None = None
    left = MAX_VALUES
    for number, one in enumerate(documents):
        data = one.data
        if not isinstance(data, dict) or ("action" not in data and ("correlation" in data or "filter" in data)):
            yield one
            continue
        action = data.get("action")
        if action == "global":
            common = before = replace(one, data=_rest(data))
            continue
        if action == "reset":
            common = None
            continue
        if action is None:
            before = one if common is None else _with_common(one, common, number)
        elif action == "repeat" and before is not None:
            before = _repeated(before, replace(one, data=_rest(data)), number)
        else:
            faults.append(_fault(one, action))
            continue
        if before.also:
            left -= _values(before.data, left)
            if left <= 0:
                faults.append(_too_much(one))
                return
        yield before


def _rest(data: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in data.items() if key != "action"}


def _fault(one: Document, action: Any) -> InputError:
    if action == "repeat":
        return InputError(
            "'action: repeat' has nothing to repeat", place=one.place("action"), remedy="put it after another rule"
        )
    return InputError(
        f"unknown action '{shown(action)}'", place=one.place("action"), remedy=nearest(str(action), ACTIONS)
    )


def _too_much(one: Document) -> InputError:
    return InputError(f"the collection makes more than {MAX_VALUES} values", place=one.place(), remedy="split the file")


def _with_common(one: Document, common: Document, number: int) -> Document:
    data = _named(_update(one.data, common.data), one.data.get("id"), number)
    return replace(one, data=data, also=common.nodes)


def _repeated(before: Document, one: Document, number: int) -> Document:
    data = _named(_update(before.data, one.data), one.data.get("id"), number)
    return replace(one, data=data, also=(*one.also, *before.nodes[:MAX_ALSO]))


def _named(data: dict[Any, Any], own: Any, number: int) -> dict[Any, Any]:
    """Its own id; else one made of the common id and its place in the file, for no two rules may share one."""
    if own is not None:
        data["id"] = own
    elif data.get("id") is not None:
        text = f"{data['id']}/{number}".encode("utf-8", "replace")
        data["id"] = str(uuid.UUID(bytes=hashlib.blake2b(text, digest_size=16).digest()))
    return data


def _update(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    """Both, map by map; ``over`` wins. Neither is changed."""
    made = dict(under)
    for key, value in over.items():
        below = made.get(key)
        made[key] = _update(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return made


def _values(data: Any, most: int) -> int:
    """Number of values in plain data, counted up to ``most``."""
    count, waiting = 0, [data]
    while waiting and count < most:
        one = waiting.pop()
        count += 1
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return count
