"""Data sets of one template, gathered over many datagrams, to one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from cityguard import fast
from cityguard.decoders.address import Words
from cityguard.decoders.exports import ordinary, rows, values
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


def gathered(several: Iterable[Sets], facts: Facts) -> Iterator[list[Sets]]:
    """Sets that come to one table: neighbours of one exporter and of ordinary templates, any other alone."""
    run, names = list[Sets](), set[str]()
    for one in several:
        ours = ordinary.fits(one.template, one.datagrams.exported, _boot(one, facts))
        names |= ordinary.names(one.template)
        alike = ours and len(names) <= ordinary.MAX_MORE
        if run and not (alike and one.datagrams is run[0].datagrams and one.stream == run[0].stream):
            yield run
            run, names = [], set(ordinary.names(one.template))
        if ours:
            run.append(one)
        else:
            yield [one]
    if run:
        yield run


def table(several: Sequence[Sets], sampling: Sampling, facts: Facts, *, community_id: bool) -> pl.DataFrame:
    """Rows of the dataset ``flow``, of sets that ``gathered`` put together."""
    first = several[0]
    if fast.ON and ordinary.fits(first.template, first.datagrams.exported, _boot(first, facts)):
        made, owner = _compiled(several, sampling, facts, community_id=community_id)
    else:
        parts = [_plain(one, sampling, facts, community_id=community_id) for one in several]
        parts = [part for part in parts if part[0].height] or parts[:1]
        made = parts[0][0] if len(parts) == 1 else pl.concat([part[0] for part in parts], how="diagonal_relaxed")
        owner = np.concatenate([part[1] for part in parts])
    if not made.height:
        return pl.DataFrame()
    if facts and first.stream is not None:
        made = facts.named(first.stream[0], first.stream[2], made)
    if first.datagrams.flag.any() and (flags := first.datagrams.flag[owner]).any():
        made = made.hstack([pl.Series("event.flags", _FLAGS, pl.List(pl.String))[flags]])
    return made


def _boot(sets: Sets, facts: Facts) -> Words:
    """When the exporter started, by datagram: ms since 1970, 0 = unknown."""
    boot = sets.datagrams.boot
    if sets.stream is None:
        return boot
    return np.where(boot > 0, boot, facts.boot(sets.stream[0], sets.stream[2]))


def _rate(sets: Sets, sampling: Sampling) -> Words:
    """1 of N by datagram."""
    rate = sets.datagrams.rate
    if sets.stream is None:
        return rate
    return np.where(rate > 0, rate, sampling.rate(sets.stream[0], sets.stream[2]))


def _compiled(
    several: Sequence[Sets], sampling: Sampling, facts: Facts, *, community_id: bool
) -> tuple[pl.DataFrame, Words]:
    first = several[0]
    shared, rate, boot = first.datagrams, _rate(first, sampling), _boot(first, facts)
    many = [counted(one.template, one.size) for one in several]
    kept = [nth for nth, one in enumerate(many) if one.any()]
    if not kept:
        return pl.DataFrame(), np.zeros(0, np.int64)
    several, many = [several[nth] for nth in kept], [many[nth] for nth in kept]
    sets = np.empty((4, sum(len(one) for one in many)), np.int64)
    at = 0
    for nth, (one, counts) in enumerate(zip(several, many, strict=True)):
        sets[:, at : at + len(counts)] = one.at, counts, np.full(len(counts), nth), one.owner
        at += len(counts)
    arrived = np.where(shared.exported > 0, shared.exported, shared.received)
    datagrams = np.stack([shared.number, shared.exported, arrived, boot])
    owner = np.repeat(sets[3], sets[1])
    made = ordinary.table(
        [one.template for one in several],
        first.buffer,
        sets,
        datagrams,
        _peers(shared.peer, owner),
        rows.sampling(rate[owner]),
        community_id=community_id,
    )
    return made, owner


def _plain(sets: Sets, sampling: Sampling, facts: Facts, *, community_id: bool) -> tuple[pl.DataFrame, Words]:
    found, many = records(sets.template, sets.buffer, sets.at, sets.size)
    owner = np.repeat(sets.owner, many)
    if not len(found):
        return pl.DataFrame(), owner
    shared, rate, boot = sets.datagrams, _rate(sets, sampling), _boot(sets, facts)
    samplers = dict(sampling.samplers(sets.stream[0], sets.stream[2])) if sets.stream is not None else {}
    origin = Origin(
        shared.number[owner],
        shared.received[owner],
        shared.exported[owner],
        boot[owner],
        rate[owner],
        _peers(shared.peer, owner),
    )
    return rows.table(found, origin, samplers, community_id=community_id), owner


def senders(peers: Sequence[str]) -> tuple[list[str], Words]:
    """The different senders of datagrams, and which of them sent each."""
    if len(peers) and isinstance(peers, list) and peers.count(peers[0]) == len(peers):
        return peers[:1], np.zeros(len(peers), np.int64)
    index: dict[str, int] = {}
    sent = np.array([index.setdefault(peer, len(index)) for peer in peers], np.int64)
    return list(index), sent


def _peers(names: Sequence[str], owner: Words) -> pl.Series:
    different, sent = senders(names)
    if len(different) == 1:
        return pl.Series("", [different[0] or None], pl.String).new_from_index(0, len(owner))
    return pl.Series("", [name or None for name in different], pl.String)[sent[owner]]
