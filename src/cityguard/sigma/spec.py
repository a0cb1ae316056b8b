"""What the modifiers of one item ask for: which there are, and which go together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cityguard.errors import InputError
from cityguard.sigma import encodings
from cityguard.sigma.reader import nearest, shown

COMPARE = {"gt", "gte", "lt", "lte"}
TIMES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "week": (1, 53), "month": (1, 12), "year": (1, 9999)}
FLAGS = {"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}
_SIDES = {"contains", "startswith", "endswith"}
ANY = {"all", "neq", "expand"}  # go with every kind of value
_GOES_WITH: dict[str, set[str]] = {
    "re": ANY | _SIDES | set(FLAGS),
    "fieldref": ANY | _SIDES | {"cased"},
    "": ANY | _SIDES | {"cased"} | encodings.KNOWN,
    **dict.fromkeys(("cidr", "exists", *COMPARE, *TIMES), ANY),
}
"""What a value is (at most one such modifier) -> what else may stand beside it."""

KNOWN = frozenset(_GOES_WITH.keys() - {""}).union(*_GOES_WITH.values())


@dataclass(frozen=True, slots=True)
class Spec:
    """What the modifiers of one item ask for."""

    names: frozenset[str]
    kind: str  # what a value is: "" for texts
    steps: tuple[str, ...]  # windash and encodings, in order
    open_start: bool  # anything may stand before a value
    open_end: bool
    cased: bool
    flags: str  # of a regular expression


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a selection: the field (None for keywords) and its modifiers."""

    field: str | None
    spec: Spec


@lru_cache(maxsize=4096)
def spec(modifiers: str | None, *, keyword: bool) -> Spec:
    """Read ``contains|all``; None for no modifier at all.

    Raises:
        InputError: an unknown modifier, or some that do not go together.
    """
    names = modifiers.split("|") if modifiers is not None else []
    for name in names:
        if name not in KNOWN:
            raise InputError(f"unknown modifier '{shown(name)}'", remedy=nearest(name, sorted(KNOWN)))
    kinds = list(dict.fromkeys(name for name in names if name in _GOES_WITH))
    if len(kinds) > 1:
        raise InputError(f"modifiers '{kinds[0]}' and '{kinds[1]}' do not go together", remedy="use two lines")
    kind = kinds[0] if kinds else ""
    for name in names:
        if name != kind and name not in _GOES_WITH[kind]:
            _mismatch(name, kind)
    if keyword and kind not in ("", "re"):
        raise InputError(f"modifier '{kind}' needs a field", remedy="write field|" + kind)
    both = "contains" in names or (keyword and kind == "")
    return Spec(
        names=frozenset(names),
        kind=kind,
        steps=encodings.steps(names),
        open_start=both or "endswith" in names,
        open_end=both or "startswith" in names,
        cased="cased" in names,
        flags="".join(sorted({FLAGS[name] for name in names if name in FLAGS})),
    )


def _mismatch(name: str, kind: str) -> None:
    if name in FLAGS:
        raise InputError(f"modifier '{name}' goes with 're' only", remedy="write field|re|" + name)
    raise InputError(f"modifiers '{kind}' and '{name}' do not go together", remedy=f"leave '{name}' out")
