"""Data sets that wait for their template as JSON, so that they are waited for over a restart, too."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final

from cityguard.decoders.exports import pending
from cityguard.decoders.exports.pending import Datagram, Pending

MAX_WAITING: Final = 14 << 20
"""Bytes of all of it; as many as ``pending.MAX_PENDING`` become."""
_LINE: Final = 200
"""What the numbers of a set and of its datagram take, at most."""
_WORD = range(1 << 16)
_LONG = range(-(1 << 63), 1 << 63)


def dump(held: Pending) -> dict[str, Any]:
    """Sets with their datagrams, which several may share."""
    room, sets = MAX_WAITING, list[list[Any]]()
    index, datagrams = dict[int, int](), list[list[Any]]()
    for (peer, key), waiting in held.sets.items():
        for body, one in waiting:
            room -= len(peer) + (len(body) + len(one.raw)) * 4 // 3 + _LINE
            if room < 0:
                return {"datagrams": datagrams, "sets": sets}
            if id(one) not in index:
                index[id(one)] = len(datagrams)
                numbers = [one.number, one.received, one.exported, one.boot, one.flag]
                datagrams.append([*numbers, one.used, b64encode(one.raw).decode()])
            sets.append([peer, *key, index[id(one)], b64encode(body).decode()])
    return {"datagrams": datagrams, "sets": sets}


def load(state: dict[str, Any]) -> Pending:
    """Read what ``dump`` gave.

    Raises:
        ValueError, TypeError, KeyError: it would not have written that.
    """
    held, datagrams = Pending(), list[Datagram]()
    for *numbers, used, raw in state["datagrams"]:
        number, received, exported, boot, flag = (_within(one, _LONG) for one in numbers)
        datagrams.append(Datagram(number, received, exported, boot, flag, used is True, _bytes(raw)))
    for peer, version, domain, number, at, body in state["sets"]:
        if not isinstance(peer, str) or len(peer) > 256:
            raise ValueError("an exporter's address was expected")
        key = (_within(version, range(9, 11)), _within(domain, range(1 << 32)), _within(number, _WORD))
        held.add((peer, key), _bytes(body), datagrams[_within(at, range(len(datagrams)))])
        if held.size > pending.MAX_PENDING:
            raise ValueError(f"more than {pending.MAX_PENDING} bytes wait")
    return held


def _within(value: object, allowed: range) -> int:
    if type(value) is not int or value not in allowed:
        raise ValueError(f"a number from {allowed.start} to {allowed.stop - 1} was expected")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or len(value) > 88_000:
        raise ValueError("bytes of a datagram were expected")
    return b64decode(value, validate=True)
