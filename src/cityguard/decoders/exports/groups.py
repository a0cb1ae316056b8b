"""Data sets of one template, gathered over many datagrams, to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from cityguard.decoders.address import Words
from cityguard.decoders.exports import rows, values
from cityguard.decoders.exports.facts import Facts
from cityguard.decoders.exports.rows import Origin
from cityguard.decoders.exports.sampling import Sampling
from cityguard.decoders.exports.sequence import Stream
from cityguard.decoders.exports.template import Template
from cityguard.decoders.exports.values import Records
from cityguard.decoders.exports.walk import Octets

LEAST = 8
"""A record shorter than this tells next to nothing; many of them would cost far more than their bytes."""
FEW = 64
"""So many of them are let through in one set all the same."""
_FLAGS = (None, ["sequence_gap"], ["out_of_order"])


@dataclass(frozen=True, slots=True)
class Datagrams:
    """What the records of a datagram share, one entry per datagram."""

    number: Words
    received: Words  # ns, 0 = unknown
    exported: Words  # ns
    boot: Words  # ms since 1970, 0 = unknown
    rate: Words  # 1 of N by the header, -1 = not told
    flag: Words  # 0 = nothing, 1 = came after a gap, 2 = came late
    peer: Sequence[str]


@dataclass(frozen=True, slots=True)
class Sets:
    """Data sets of one template; arrays have one entry per set."""

    template: Template
    buffer: Octets
    at: Words
    size: Words
    owner: Words  # the datagram each belongs to
    datagrams: Datagrams
    stream: Stream | None = None  # where rates and names are looked up; None = it told none


def counted(template: Template, size: Words) -> Words:
    """How many records of a template without fields of variable length sets of some sizes hold."""
    return np.minimum(size // template.size, np.maximum(size // LEAST, FEW))


def records(template: Template, buffer: Octets, at: Words, size: Words) -> tuple[Records, Words]:
    """The records of some sets, and how many each holds."""
    if template.variable:
        return _loose(template, buffer, at, size)
    many = counted(template, size)
    before = np.cumsum(many) - many
    starts = np.repeat(at - before * template.size, many) + np.arange(int(many.sum())) * template.size
    return Records(template, buffer, starts), many


def _loose(template: Template, buffer: Octets, at: Words, size: Words) -> tuple[Records, Words]:
    view, fixed, many = buffer.data, list[bytes](), list[int]()
    columns: list[list[bytes]] = []
    for start, length in zip(at.tolist(), size.tolist(), strict=True):
        body, loose, count = values.split(template, bytes(view[start : start + length]))
        fixed.append(body)
        many.append(count)
        if not columns:
            columns = loose
            continue
        for column, more in zip(columns, loose, strict=True):
            column.extend(more)
    joined = np.frombuffer(b"".join(fixed), np.uint8)
    starts = np.arange(sum(many), dtype=np.int64) * template.size
    return Records(template, joined, starts, columns), np.array(many, np.int64)


def table(sets: Sets, sampling: Sampling, facts: Facts, *, community_id: bool) -> pl.DataFrame:
    """Rows of the dataset ``flow``."""
    found, many = records(sets.template, sets.buffer, sets.at, sets.size)
    if not len(found):
        return pl.DataFrame()
    shared, owner = sets.datagrams, np.repeat(sets.owner, many)
    rate, samplers, boot = shared.rate[owner], {}, shared.boot[owner]
    if sets.stream is not None:
        peer, _, domain = sets.stream
        rate = np.where(rate > 0, rate, sampling.rate(peer, domain))
        samplers = dict(sampling.samplers(peer, domain))
        boot = np.where(boot > 0, boot, facts.boot(peer, domain))
    origin = Origin(
        shared.number[owner],
        shared.received[owner],
        shared.exported[owner],
        boot,
        rate,
        _peers(shared.peer, owner),
    )
    made = rows.table(found, origin, samplers, community_id=community_id)
    if facts and sets.stream is not None:
        made = facts.named(sets.stream[0], sets.stream[2], made)
    flags = shared.flag[owner]
    if flags.any():
        made = made.with_columns(pl.Series("event.flags", _FLAGS, pl.List(pl.String))[flags])
    return made


def _peers(names: Sequence[str], owner: Words) -> pl.Series:
    first = names[int(owner[0])]
    if all(name == first for name in names):
        return pl.Series("", [first or None], pl.String).new_from_index(0, len(owner))
    return pl.Series("", [name or None for name in names], pl.String)[owner]
