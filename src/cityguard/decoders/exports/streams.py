"""NetFlow v9 and IPFIX: many datagrams at once, each set by the template its exporter had taught by then."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cityguard.decoders.address import Words
from cityguard.decoders.exports import groups, pending, template, walk
from cityguard.decoders.exports.facts import Facts
from cityguard.decoders.exports.groups import Datagrams, Sets
from cityguard.decoders.exports.notes import Notes
from cityguard.decoders.exports.pending import Datagram, Pending
from cityguard.decoders.exports.sampling import Sampling, announced
from cityguard.decoders.exports.sequence import Sequences, Stream
from cityguard.decoders.exports.store import Templates
from cityguard.decoders.exports.template import Template
from cityguard.decoders.exports.values import split
from cityguard.decoders.exports.walk import Octets
from cityguard.model import Frames

MAX_SAMPLE = 2_048
"""Bytes kept of a datagram that waits, to show it should its template never come."""
MAX_SEEN = 64
"""Sets of a stream remembered, of templates and of options, so that a repeated one costs nothing."""
MAX_STREAMS = 256
"""Streams of which they are."""
_HEADER = {9: 20, 10: 16}
_OPTIONS = {9: 1, 10: 3}

History = list[tuple[int, Template | None]]
"""From which set of the piece on a template holds; -1 = from before it."""


@dataclass(slots=True)
class _Piece:
    """The datagrams at hand."""

    frames: Frames
    rows: Words  # which items of frames they are
    shared: Datagrams
    numbers: Words  # sequence number, per datagram
    stream: Words  # index into streams, per datagram
    streams: list[Stream]
    owner: Words  # per set: its datagram
    kind: Words  # its id
    at: Words
    size: Words
    used: np.ndarray[tuple[int], np.dtype[np.bool_]]
    changed: dict[tuple[int, int], History] = field(default_factory=dict)  # by stream index and template id
    late: list[tuple[int, Template, list[tuple[bytes, Datagram]], Stream]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Data sets whose template is known, in order."""

    sets: Words
    templates: list[Template]
    which: Words  # per set: which of the templates
    since: Words  # per set: from which set of the piece on it counts; later than itself where it waited


@dataclass(frozen=True, slots=True)
class _Options:
    """A set of option records: of the piece (``each``), or sets that waited."""

    since: int
    template: Template
    bodies: list[tuple[bytes, Datagram]] | None
    stream: Stream | None
    each: int = -1


class Streams:
    """All exporters of one listener."""

    def __init__(self, sequences: Sequences, notes: Notes) -> None:
        self.templates, self.sampling, self.facts = Templates(), Sampling(), Facts()
        self.pending = Pending()
        self._sequences, self._notes = sequences, notes
        self._seen: OrderedDict[Stream, dict[bytes, None]] = OrderedDict()
        self._applied: OrderedDict[Stream, dict[tuple[int, bytes], None]] = OrderedDict()

    def decode(self, frames: Frames, which: Words, version: Words, peers: Sequence[str]) -> Iterator[list[Sets]]:
        """Data sets of flows, in lists that share one state of rates and names.

        Args:
            frames: the datagrams.
            which: int64[n], those of them that are v9 or IPFIX.
            version: int64[n], which of both.
            peers: their senders.
        """
        piece = self._walk(frames, which, version, peers)
        control = self._controls(piece)
        data = np.flatnonzero(piece.kind > 255)
        known = np.zeros(len(which), np.bool_)
        known[piece.owner[data]] = True
        known[piece.owner[control]] = True
        for nth in np.flatnonzero(~known).tolist():
            self._notes.reject(frames, int(which[nth]), "no set in the datagram")
        chosen = self._resolve(piece, data)
        self._follow(piece, chosen)
        self._wait(piece, np.setdiff1d(data, chosen.sets, assume_unique=True))
        yield from self._told(piece, chosen)

    def _walk(self, frames: Frames, which: Words, version: Words, peers: Sequence[str]) -> _Piece:
        buffer, offset, length = frames.buffer, frames.offset[which], frames.length[which]
        nine = version == 9
        begin = offset + np.where(nine, _HEADER[9], _HEADER[10])
        told = walk.u16(buffer, offset + 2)
        end = offset + np.where(nine, length, np.minimum(told, length))
        seconds = walk.u32(buffer, offset + np.where(nine, 8, 4))
        uptime = np.where(nine, walk.u32(buffer, offset + 4), 0)
        numbers = walk.u32(buffer, offset + np.where(nine, 12, 8))
        domain = walk.u32(buffer, offset + np.where(nine, 16, 12))
        names, sender = groups.senders(peers)
        unique, stream = np.unique(sender << 33 | (~nine).astype(np.int64) << 32 | domain, return_inverse=True)
        streams = [(names[one >> 33], 10 if one >> 32 & 1 else 9, one & 0xFFFFFFFF) for one in unique.tolist()]
        shared = Datagrams(
            frames.number[which],
            frames.time[which],
            seconds * 1_000_000_000,
            np.where(nine, np.maximum(seconds * 1000 - uptime, 0), 0),
            np.full(len(which), -1, np.int64),
            np.zeros(len(which), np.int64),
            peers,
        )
        found = walk.sets(buffer, begin, end)
        used = np.zeros(len(which), np.bool_)
        return _Piece(frames, which, shared, numbers, stream.ravel(), streams, *found, used)

    # ---------------------------------------------------------------- templates

    def _controls(self, piece: _Piece) -> Words:
        nine = np.array([version == 9 for _, version, _ in piece.streams], np.bool_)[piece.stream[piece.owner]]
        sets = np.flatnonzero(np.where(nine, piece.kind < 2, (piece.kind == 2) | (piece.kind == 3)))
        forgotten = self.templates.forgotten
        view = piece.frames.buffer.data
        for nth, owner, kind, at, size in zip(
            sets.tolist(), *(one[sets].tolist() for one in (piece.owner, piece.kind, piece.at, piece.size)), strict=True
        ):
            where = int(piece.stream[owner])
            stream = piece.streams[where]
            body = bytes(view[at : at + size])
            mark = bytes([kind]) + body
            if mark in self._seen.get(stream, ()):
                piece.used[owner] = True
                continue
            if self._define(piece, nth, where, body, options=kind == _OPTIONS[stream[1]]):
                piece.used[owner] = True
            self._remember(stream, mark)
            if forgotten != (forgotten := self.templates.forgotten):
                self._seen.clear()  # what was forgotten must be learnt anew
        return sets

    def _remember(self, stream: Stream, mark: bytes) -> None:
        seen = self._seen.setdefault(stream, {})
        self._seen.move_to_end(stream)
        if len(mark) <= MAX_SAMPLE:
            seen[mark] = None
        if len(seen) > MAX_SEEN:
            seen.clear()
        while len(self._seen) > MAX_STREAMS:
            self._seen.popitem(last=False)

    def _define(self, piece: _Piece, nth: int, where: int, body: bytes, *, options: bool) -> bool:
        stream = piece.streams[where]
        peer, version, domain = stream
        place, useful = 0, False
        while place + 4 <= len(body):
            number, count = (
                int.from_bytes(body[place : place + 2], "big"),
                int.from_bytes(body[place + 2 : place + 4], "big"),
            )
            if number == 0 and count == 0:
                return useful  # padding
            if count == 0 and version == 10:
                for key, gone in self.templates.withdraw(peer, domain, number):
                    self._change(piece, nth, where, key[2], None, gone)
                place, useful = place + 4, True
                continue
            if number < 256:
                self._notes.add("template with an id below 256")
                return useful
            place, made = template.read(body, place, version, options=options)
            if made is None:
                self._notes.add("template that cannot be used")
                return useful
            useful = True
            key = (version, domain, number)
            old = self.templates.get(peer, key)
            if old != made:
                self._change(piece, nth, where, number, made, old)
                self.templates.learn(peer, key, made)
            if waiting := self.pending.take((peer, key)):
                piece.late.append((nth, made, waiting, stream))
        return useful

    def _change(
        self, piece: _Piece, nth: int, where: int, number: int, made: Template | None, old: Template | None
    ) -> None:
        """From this set of the piece on, a template is another one. What was seen before may mean something again."""
        self._seen.pop(piece.streams[where], None)
        piece.changed.setdefault((where, number), [(-1, old)]).append((nth, made))

    # ---------------------------------------------------------------- data

    def _resolve(self, piece: _Piece, data: Words) -> _Chosen:
        """The template of each data set; those without one wait."""
        key = piece.stream[piece.owner[data]] << 16 | piece.kind[data]
        unique, inverse = np.unique(key, return_inverse=True)
        order = np.argsort(inverse.ravel(), kind="stable")
        bounds = np.searchsorted(inverse.ravel()[order], np.arange(len(unique) + 1))
        index: dict[Template, int] = {}
        which, since = np.full(len(data), -1, np.int64), data.copy()
        for nth, one in enumerate(unique.tolist()):
            mine = order[bounds[nth] : bounds[nth + 1]]
            peer, version, domain = piece.streams[one >> 16]
            found = self.templates.get(peer, (version, domain, one & 0xFFFF))
            history = piece.changed.get((one >> 16, one & 0xFFFF))
            if history is not None:
                _by_history(history, data, mine, index, which, since)
            elif found is not None:
                which[mine] = index.setdefault(found, len(index))
        taken = np.flatnonzero(which >= 0)
        piece.used[piece.owner[data[taken]]] = True
        return _Chosen(data[taken], list(index), which[taken], since[taken])

    def _wait(self, piece: _Piece, sets: Words) -> None:
        view, shared, known = piece.frames.buffer.data, piece.shared, dict[int, Datagram]()
        for one in sets.tolist():
            owner = int(piece.owner[one])
            datagram = known.get(owner)
            if datagram is None:
                datagram = known[owner] = Datagram(
                    int(shared.number[owner]),
                    int(shared.received[owner]),
                    int(shared.exported[owner]),
                    int(shared.boot[owner]),
                    int(shared.flag[owner]),
                    bool(piece.used[owner]),
                    piece.frames.item(int(piece.rows[owner]))[:MAX_SAMPLE],
                )
            peer, version, domain = piece.streams[int(piece.stream[owner])]
            at, size = int(piece.at[one]), int(piece.size[one])
            body = bytes(view[at : at + size])
            self.pending.add((peer, (version, domain, int(piece.kind[one]))), body, datagram)
            while self.pending.size > pending.MAX_PENDING and self.pending.sets:
                self.forget()

    def forget(self) -> None:
        """Give up the sets that waited for longest; a datagram that was of no use at all is rejected."""
        waiting = self.pending.take(next(iter(self.pending.sets)))
        self._notes.add("data set whose template never came", len(waiting))
        for _, datagram in waiting:
            if not datagram.used:
                datagram.used = True  # once, however many sets it held
                self._notes.refuse(datagram.number, "its template never came", datagram.raw)

    # ---------------------------------------------------------------- numbers

    def _follow(self, piece: _Piece, chosen: _Chosen) -> None:
        """Sequence numbers: v9 counts datagrams, IPFIX data records."""
        numbers = piece.numbers
        units = np.ones(len(piece.rows), np.int64)
        if any(version == 10 for _, version, _ in piece.streams):
            units = self._records(piece, chosen)
        order = np.argsort(piece.stream, kind="stable")
        bounds = np.searchsorted(piece.stream[order], np.arange(len(piece.streams) + 1))
        for nth, stream in enumerate(piece.streams):
            mine = order[bounds[nth] : bounds[nth + 1]]
            step = units[mine] if stream[1] == 10 else np.ones(len(mine), np.int64)
            if not self._sequences.steady(stream, numbers[mine], step):
                told = numbers[mine].tolist(), step.tolist()
                self._notes.follow(self._sequences, stream, mine.tolist(), *told, piece.shared.flag)

    def _records(self, piece: _Piece, chosen: _Chosen) -> Words:
        """How many data records each datagram holds; -1 where a template was not known when it came."""
        many = np.zeros(len(piece.kind), np.int64)
        many[piece.kind > 255] = -1
        view = piece.frames.buffer.data
        for nth, one in enumerate(chosen.templates):
            sets = chosen.sets[chosen.which == nth]
            if not one.variable:
                many[sets] = piece.size[sets] // one.size
                continue
            for each in sets.tolist():
                at = int(piece.at[each])
                many[each] = split(one, bytes(view[at : at + int(piece.size[each])]))[2]
        many[chosen.sets[chosen.since != chosen.sets]] = -1
        unknown = np.zeros(len(piece.rows), np.bool_)
        unknown[piece.owner[many < 0]] = True
        total = np.bincount(piece.owner, np.maximum(many, 0), len(piece.rows)).astype(np.int64)
        return np.where(unknown, -1, total)

    # ---------------------------------------------------------------- what options tell, and flows

    def _told(self, piece: _Piece, chosen: _Chosen) -> Iterator[list[Sets]]:
        """Flows by the rates and names that held when they came: what changes them cuts the piece."""
        late = piece.late
        told = [_Options(nth, one, bodies, stream) for nth, one, bodies, stream in late if one.options]
        options = np.array([one.options for one in chosen.templates], np.bool_)
        for nth in np.flatnonzero(options[chosen.which]).tolist() if len(chosen.sets) else []:
            each = int(chosen.sets[nth])
            told.append(_Options(int(chosen.since[nth]), chosen.templates[chosen.which[nth]], None, None, each))
        done = -1
        for one in sorted(told, key=lambda one: (one.since, one.each)):
            apply = self._change_of(piece, one)
            if apply is None:
                continue
            yield self._flows(piece, chosen, done, one.since)
            done = one.since
            apply()
        yield self._flows(piece, chosen, done, 1 << 62)

    def _change_of(self, piece: _Piece, one: _Options) -> Callable[[], None] | None:
        """What an options set changes, as something to be done; None = nothing."""
        if one.bodies is None:
            buffer = piece.frames.buffer
            at, size = piece.at[one.each : one.each + 1], piece.size[one.each : one.each + 1]
            stream = piece.streams[int(piece.stream[piece.owner[one.each]])]
        else:
            buffer, at, size = _joined(one.bodies)
            stream = one.stream or ("", 0, 0)
        begin = int(at[0])
        mark = (hash(one.template), buffer[begin : begin + int(size[0])].tobytes())
        if len(at) == 1 and mark in self._applied.get(stream, ()):
            return None
        peer, _, domain = stream
        found, _ = groups.records(one.template, buffer, at, size)
        if not len(found):
            return None
        rates = [pair for pair in announced(found) if not self.sampling.knows(peer, domain, *pair)]
        names = self.facts.read(found)
        if not rates and self.facts.knows(peer, domain, names):
            self._repeated(stream, mark)
            return None

        def apply() -> None:
            for sampler, rate in rates:
                self.sampling.learn(peer, domain, sampler, rate)
            self.facts.learn(peer, domain, names)
            self._applied.pop(stream, None)  # others may have something to say again
            self._repeated(stream, mark)

        return apply

    def _repeated(self, stream: Stream, mark: tuple[int, bytes]) -> None:
        """Remember a set that changes nothing, so that it costs nothing when it comes again."""
        seen = self._applied.setdefault(stream, {})
        self._applied.move_to_end(stream)
        if len(seen) >= MAX_SEEN:
            seen.clear()
        if len(mark[1]) <= MAX_SAMPLE:
            seen[mark] = None
        while len(self._applied) > MAX_STREAMS:
            self._applied.popitem(last=False)

    def _flows(self, piece: _Piece, chosen: _Chosen, after: int, before: int) -> list[Sets]:
        """Sets of flows that count from a place between two sets of the piece on, by template."""
        flows = np.array([one.is_flow for one in chosen.templates], np.bool_)
        out = list[Sets]()
        rows = np.flatnonzero(flows[chosen.which] & (chosen.since >= after) & (chosen.since < before))
        if len(rows):
            speaks = [self.sampling.tells(peer) or self.facts.tells(peer, domain) for peer, _, domain in piece.streams]
            stream = piece.stream[piece.owner[chosen.sets[rows]]]
            stream = np.where(np.array(speaks, np.bool_)[stream], stream, -1)
            key = (stream + 1) * len(chosen.templates) + chosen.which[rows]
            order = np.argsort(key, kind="stable")
            starts = np.flatnonzero(np.diff(key[order], prepend=-1))
            for mine in np.split(order, starts[1:]):
                one, sets = int(key[mine[0]]), chosen.sets[rows[mine]]
                where, nth = divmod(one, len(chosen.templates))
                told = piece.streams[where - 1] if where else None
                place = (piece.frames.buffer, piece.at[sets], piece.size[sets], piece.owner[sets])
                out.append(Sets(chosen.templates[nth], *place, piece.shared, told))
        for nth, learnt, bodies, stream_of in piece.late:
            if learnt.is_flow and after <= nth < before:
                out.append(_waited(learnt, bodies, stream_of))
        return sorted(out, key=lambda one: (one.stream or ("", 0, 0), one.template.version, one.template.fields))


def _by_history(
    history: History, data: Words, mine: Words, index: dict[Template, int], which: Words, since: Words
) -> None:
    """A set goes by the template that held when it came, else waits for the next one."""
    later, next_known = [-1] * len(history), -1
    for nth in range(len(history) - 1, -1, -1):
        next_known = nth if history[nth][1] is not None else next_known
        later[nth] = next_known
    starts = np.array([start for start, _ in history], np.int64)
    at = np.array(later, np.int64)[np.searchsorted(starts, data[mine], side="right") - 1]
    for nth in np.unique(at[at >= 0]).tolist():
        made = history[nth][1]
        if made is not None:
            rows = mine[at == nth]
            which[rows] = index.setdefault(made, len(index))
            since[rows] = np.maximum(data[rows], starts[nth])


def _joined(bodies: list[tuple[bytes, Datagram]]) -> tuple[Octets, Words, Words]:
    size = np.array([len(body) for body, _ in bodies], np.int64)
    return np.frombuffer(b"".join(body for body, _ in bodies), np.uint8), np.cumsum(size) - size, size


def _waited(one: Template, bodies: list[tuple[bytes, Datagram]], stream: Stream) -> Sets:
    """Sets that waited for their template."""
    for _, datagram in bodies:
        datagram.used = True
    kept = [datagram for _, datagram in bodies]

    def column(name: str) -> Words:
        return np.array([getattr(datagram, name) for datagram in kept], np.int64)

    shared = Datagrams(
        column("number"),
        column("received"),
        column("exported"),
        column("boot"),
        np.full(len(kept), -1, np.int64),
        column("flag"),
        [stream[0]] * len(kept),
    )
    return Sets(one, *_joined(bodies), np.arange(len(kept)), shared, stream)
