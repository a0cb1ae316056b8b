"""The sets of many datagrams at once: where each one begins, what it is and how long."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cityguard import fast
from cityguard.decoders.exports import loops

Words = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]
_FEW = 16  # datagrams left, from which on a plain loop is quicker than another round


def u16(buffer: Octets, at: Words) -> Words:
    """Big-endian words at any places, all inside the buffer."""
    return buffer[at].astype(np.int64) << 8 | buffer[at + 1]


def u32(buffer: Octets, at: Words) -> Words:
    return u16(buffer, at) << 16 | u16(buffer, at + 2)


def sets(buffer: Octets, begin: Words, end: Words) -> tuple[Words, Words, Words, Words]:
    """Walk the sets of each datagram; a set's length is believed as far as its datagram goes.

    Args:
        buffer: uint8, all datagrams.
        begin: int64[n], where the first set of each stands.
        end: int64[n], where each ends; ``begin`` where there is nothing to walk.

    Returns:
        Of each set: which datagram it belongs to, its id, where its body begins and the bytes of it; in order.
    """
    if fast.ON:
        found = loops.sets(buffer, begin, end)
        return found[0], found[1], found[2], found[3]
    parts: list[tuple[Words, Words, Words, Words]] = []
    place = begin.astype(np.int64)
    live = np.flatnonzero(place + 4 <= end)
    while len(live) > _FEW:
        at, stop = place[live], end[live]
        kind, length = u16(buffer, at), u16(buffer, at + 2)
        good = length >= 4
        live, at, kind, length, stop = live[good], at[good], kind[good], length[good], stop[good]
        parts.append((live, kind, at + 4, np.minimum(at + length, stop) - at - 4))
        place[live] = at + length
        live = live[place[live] + 4 <= stop]
    parts.append(_rest(buffer, place, end, live))
    owner, kind, at, size = (np.concatenate([part[nth] for part in parts]) for nth in range(4))
    order = np.argsort(owner, kind="stable")
    return owner[order], kind[order], at[order], size[order]


def _rest(buffer: Octets, place: Words, end: Words, live: Words) -> tuple[Words, Words, Words, Words]:
    view, found = buffer.data, list[tuple[int, int, int, int]]()
    for one in live.tolist():
        at, stop = int(place[one]), int(end[one])
        while at + 4 <= stop:
            length = view[at + 2] << 8 | view[at + 3]
            if length < 4:
                break
            found.append((one, view[at] << 8 | view[at + 1], at + 4, min(at + length, stop) - at - 4))
            at += length
    table = np.array(found, np.int64).reshape(-1, 4)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]
