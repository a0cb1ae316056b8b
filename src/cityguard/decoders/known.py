"""What conversations were recognised as: by digest of their key, sorted, bounded, asked and told in arrays."""

from __future__ import annotations

import dataclasses

import numpy as np

from cityguard.decoders.packet import Packets, U8s, U64s, Words

MAX_KNOWN = 500_000
"""Conversations remembered; beyond that the older half is forgotten."""
MAX_CARRIED = 65_536
"""Packets of conversations not yet recognised that are kept for the next piece."""
MAX_CARRIED_BYTES = 16 << 20
NOTHING = -1
"""The kind of a conversation that was looked at in vain."""


class Known:
    """Kinds by digest; 0 = never looked at, ``NOTHING`` = in vain."""

    def __init__(self) -> None:
        self._keys: U64s = np.zeros(0, np.uint64)
        self._kinds = self._born = np.zeros(0, np.int64)
        self._next = 0

    def of(self, hashes: U64s) -> Words:
        """int64[n]: kind of each."""
        if not len(self._keys):
            return np.zeros(len(hashes), np.int64)
        place = np.minimum(np.searchsorted(self._keys, hashes), len(self._keys) - 1)
        return np.where(self._keys[place] == hashes, self._kinds[place], 0)

    def tell(self, hashes: U64s, kinds: Words) -> None:
        """Remember kinds, in order; what is known of a conversation stays, unless it was looked at in vain."""
        if not len(hashes):
            return
        born = self._next + np.arange(len(hashes))
        self._next += len(hashes)
        keys = np.concatenate([self._keys, hashes])
        known, births = np.concatenate([self._kinds, kinds]), np.concatenate([self._born, born])
        order = np.lexsort((births, known == NOTHING, keys))
        first = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
        order = order[first]
        if len(order) > MAX_KNOWN:
            order = order[births[order] >= np.partition(births[order], len(order) // 2)[len(order) // 2]]
        self._keys, self._kinds, self._born = keys[order], known[order], births[order]


class Carried:
    """Packets of conversations that may be recognised yet, put before those of the next piece."""

    def __init__(self) -> None:
        self._packets: Packets | None = None
        self._bytes: U8s = np.zeros(0, np.uint8)

    def join(self, buffer: U8s, packets: Packets) -> tuple[U8s, Packets]:
        """The piece with what was kept before it; its own places in the buffer stay."""
        kept, self._packets = self._packets, None
        if kept is None or not len(kept):
            return buffer, packets
        moved = dataclasses.replace(kept, payload=kept.payload + len(buffer))
        return np.concatenate([buffer, self._bytes]), _concat(moved, packets)

    def keep(self, buffer: U8s, packets: Packets, which: Words) -> None:
        """Keep the payloads of some packets; the newest of them where they are too many."""
        sizes = packets.captured[which]
        fits = np.cumsum(sizes[::-1])[::-1] <= MAX_CARRIED_BYTES
        which = which[fits][-MAX_CARRIED:]
        if not len(which):
            return
        kept = packets.take(which)
        sizes = kept.captured
        ends = np.cumsum(sizes)
        view, starts = buffer.data, kept.payload.tolist()
        parts = [view[start : start + size] for start, size in zip(starts, sizes.tolist(), strict=True)]
        self._bytes = np.frombuffer(b"".join(parts), np.uint8)
        none = np.full(len(which), -1, np.int64)
        self._packets = dataclasses.replace(kept, payload=ends - sizes, mac=none)


def _concat(one: Packets, two: Packets) -> Packets:
    both = {}
    for field in dataclasses.fields(Packets):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if field.name == "outers":  # rows of another table; nothing here asks for them
            both[field.name] = right
        elif isinstance(left, tuple):
            both[field.name] = tuple(np.concatenate(pair) for pair in zip(left, right, strict=True))
        else:
            both[field.name] = np.concatenate([left, right])
    return Packets(**both)
