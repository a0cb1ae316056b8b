"""Rule sets as plain bytes and back: the dataclasses of the Sigma room by name, nothing that could run."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path, PurePath
from typing import Any

import msgspec

from cityguard.errors import CityguardError, InputError

MODULES = ("model", "sigma.ast", "sigma.custom", "sigma.links", "sigma.rule")
"""Where classes may come from; others make a rule set that is not kept."""
_TUPLE, _PATH, _MOMENT, _DAY, _LIST, _FAULT = -1, -2, -3, -4, -5, -6


class StrangeError(Exception):
    """A value that cannot be written, or bytes that were not written by this module."""


def _classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for name in MODULES:
        module = importlib.import_module(f"cityguard.{name}")
        for one in vars(module).values():
            if isinstance(one, type) and dataclasses.is_dataclass(one) and one.__module__ == module.__name__:
                found[f"{name}:{one.__name__}"] = one
    return found


def encode(value: Any) -> bytes:
    """Bytes of a dataclass made of dataclasses, tuples, maps, texts and numbers.

    Raises:
        StrangeError: something else is in it.
    """
    known = {one: name for name, one in _classes().items()}
    names: dict[type, int] = {}

    def told(one: Any) -> Any:
        kind = type(one)
        if one is None or kind in (str, int, float, bool):
            return one
        if kind is tuple:
            return [_TUPLE, *map(told, one)]
        if kind in known:
            number = names.setdefault(kind, len(names))
            return [number, *(told(getattr(one, name)) for name in _fields(kind))]
        if kind is list:
            return [_LIST, *map(told, one)]
        if kind is dict and all(type(key) is str for key in one):
            return {key: told(inner) for key, inner in one.items()}
        return _odd(one)

    try:
        body = told(value)
    except RecursionError:
        raise StrangeError("too deep") from None
    return msgspec.msgpack.encode([[[known[kind], len(_fields(kind))] for kind in names], body])


def _odd(one: Any) -> Any:
    if isinstance(one, PurePath):
        return [_PATH, str(one)]
    if type(one) is datetime:
        return [_MOMENT, one.isoformat()]
    if type(one) is date:
        return [_DAY, one.isoformat()]
    if type(one) is InputError:
        return [_FAULT, one.message, one.place, one.remedy]
    raise StrangeError(f"{type(one).__name__} cannot be kept")


def decode(data: bytes) -> Any:
    """What ``encode`` was given.

    Raises:
        StrangeError: the bytes are not such a value, or its classes have changed.
    """
    known = _classes()
    try:
        names, body = msgspec.msgpack.decode(data)
        classes = [known[name] for name, _ in names]
        if any(len(_fields(one)) != count for one, (_, count) in zip(classes, names, strict=True)):
            raise StrangeError("a class has changed")
        made = _made(body, classes)
        if not dataclasses.is_dataclass(made):
            raise StrangeError("not a record")
        return made
    except StrangeError:
        raise
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise StrangeError(str(error)) from None


def _made(body: Any, classes: list[type]) -> Any:
    def made(one: Any) -> Any:
        kind = type(one)
        if kind is list:
            number = one[0]
            if number >= 0:
                return classes[number](*[made(inner) if type(inner) in nested else inner for inner in one[1:]])
            if number == _TUPLE:
                return tuple([made(inner) if type(inner) in nested else inner for inner in one[1:]])
            return _OTHERS[number](*map(made, one[1:]))
        return {key: made(inner) for key, inner in one.items()} if kind is dict else one

    nested = (list, dict)
    return made(body)


def _fault(message: str, place: str, remedy: str) -> CityguardError:
    return InputError(message, place=place, remedy=remedy)


_OTHERS: dict[int, Callable[..., Any]] = {
    _PATH: Path,
    _MOMENT: datetime.fromisoformat,
    _DAY: date.fromisoformat,
    _LIST: lambda *items: list(items),
    _FAULT: _fault,
}


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in dataclasses.fields(kind))
