"""Modifiers that spell a text anew: dashes of options, UTF-16, Base64; applied in the order written."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Iterator

from cityguard.errors import InputError
from cityguard.sigma import wildcard
from cityguard.sigma.reader import shown
from cityguard.sigma.wildcard import Pattern, Wild

MAX_SPELLINGS = 20_000
UTF16 = {"wide": "utf-16-le", "utf16le": "utf-16-le", "utf16be": "utf-16-be", "utf16": "utf-16-le"}
BASE64 = ("base64", "base64offset")
KNOWN = {"windash", *UTF16, *BASE64}
_MARK = "\ufeff"  # what utf16 puts first


def steps(modifiers: Iterable[str]) -> tuple[str, ...]:
    """The modifiers of this kind, in order.

    Raises:
        InputError: an encoding after ``contains`` …, which would be asked to encode a wildcard.
    """
    found: list[str] = []
    sided = ""
    for name in modifiers:
        if name in BASE64 and sided:
            raise InputError(f"'{name}' stands after '{sided}'", remedy=f"write {name}|{sided}")
        if name in ("contains", "startswith", "endswith"):
            sided = name
        # in UTF-16 no dash stands next to a letter, so that windash has nothing to do there
        if name in KNOWN and not (name == "windash" and found and found[-1] in UTF16):
            found.append(name)
    return tuple(found)


def apply(pattern: Pattern, names: tuple[str, ...]) -> Iterator[Pattern]:
    """Every spelling that the modifiers make of a pattern.

    Raises:
        InputError: Base64 of a wildcard; UTF-16, not in Base64, of letters that have no such form as text.
    """
    if not names:
        yield pattern
        return
    name, rest = names[0], names[1:]
    if name == "windash":
        yield from apply(wildcard.windash(pattern), rest)
    elif name in BASE64:
        for text in _spellings(pattern):
            for coded in _base64(text.encode("utf-8", "surrogatepass"), name):
                yield from apply((coded,), rest)
    elif rest and rest[0] in BASE64:  # UTF-16 inside Base64 may be any octets
        for text in _spellings(pattern):
            for coded in _base64(_bytes(text, name), rest[0]):
                yield from apply((coded,), rest[1:])
    else:
        for one in _dashed(pattern):
            mark = (_MARK,) if name == "utf16" else ()
            yield from apply(mark + tuple(_wide(part, name) for part in one), rest)


def _spellings(pattern: Pattern) -> Iterator[str]:
    if wildcard.wild(pattern):
        raise InputError("base64 of a text with wildcards", remedy=r"escape them as \* and \?")
    return itertools.islice(wildcard.spelled(pattern), MAX_SPELLINGS + 1)


def _dashed(pattern: Pattern) -> Iterator[Pattern]:
    """The pattern with each of the dashes it stands for; other wildcards stay."""
    choices = [wildcard.DASHES if part is Wild.DASH else (part,) for part in pattern]
    return itertools.islice(itertools.product(*choices), MAX_SPELLINGS + 1)


def _bytes(text: str, name: str) -> bytes:
    mark = b"\xff\xfe" if name == "utf16" else b""
    return mark + text.encode(UTF16[name], "surrogatepass")


def _wide(part: str | Wild, name: str) -> str | Wild:
    if isinstance(part, Wild):
        return part
    try:
        return part.encode(UTF16[name]).decode("utf-8")
    except UnicodeError:
        raise InputError(
            f"'{shown(part)}' has no UTF-16 form that is text", remedy="add base64 or base64offset"
        ) from None


def _base64(data: bytes, name: str) -> Iterator[str]:
    if name == "base64":
        yield base64.b64encode(data).decode()
        return
    # Only characters that depend on our bytes alone, wherever the text stands in what was encoded.
    for shift in range(3):
        first = (0, 2, 3)[shift]
        last = (None, -3, -2)[(len(data) + shift) % 3]
        found = base64.b64encode(b" " * shift + data).decode()[first:last]
        if not found:
            raise InputError("the text is too short to be found at every offset", remedy="give two octets or more")
        yield found
