"""NetFlow v5, v9 (RFC 3954) and IPFIX (RFC 7011) datagrams to flow records.

Templates belong to (exporter, version, domain, id). The data sets of one template are decoded together, as one numpy
record array; sets that come before their template wait for it, bounded. A count in a header is never believed.
"""

from __future__ import annotations

import json
import struct
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cityguard.decoders import elements
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.elements import VARIABLE, Datagram, Template
from cityguard.errors import DecodeError, InputError
from cityguard.model import DeadLetter, Decoded, EventBatch, Frames, LogSource

PORTS = (2055, 2056, 4739, 4740, 9025, 9995, 9996)
"""UDP ports exporters usually send to."""
MAX_TEMPLATES = 4_096
"""Templates of one exporter; beyond that the one unused for longest is forgotten."""
MAX_ALL_TEMPLATES = 65_536
MAX_FIELDS = 512
MAX_PENDING = 8 << 20
"""Bytes held for data sets that wait for their template, with what each costs besides its own bytes."""
MAX_SAMPLES = 20
MAX_SAMPLE = 2_048
"""Bytes kept of a datagram that waits, to show it should its template never come."""
MAX_STATE = 16 << 20
"""Bytes of a snapshot."""

_SOURCE = LogSource(("network",), (), ("connection",))
_V5_RECORD = 48
_SINCE, _UNTIL = 820_454_400, 4_102_444_800  # 1996, 2100
_PEN = 0x8000
_WAITING = 512  # bytes a set costs while it waits, besides its own

_pair = struct.Struct(">HH").unpack_from
_v5 = struct.Struct(">HHIIIIBBH").unpack_from
_v9 = struct.Struct(">HHIIII").unpack_from
_v10 = struct.Struct(">HHIII").unpack_from

Key = tuple[int, int, int]
"""Version, domain and template id, within one exporter."""


@dataclass(slots=True)
class _Pending:
    sets: OrderedDict[tuple[str, Key], list[tuple[bytes, Datagram]]] = field(default_factory=OrderedDict)
    size: int = 0

    def add(self, place: tuple[str, Key], body: bytes, datagram: Datagram) -> None:
        self.sets.setdefault(place, []).append((body, datagram))
        self.size += len(body) + _WAITING + (0 if datagram.waiting else len(datagram.raw))
        datagram.waiting += 1

    def take(self, place: tuple[str, Key]) -> list[tuple[bytes, Datagram]]:
        """The sets that wait for one template; they wait no longer."""
        found = self.sets.pop(place, [])
        for body, datagram in found:
            datagram.waiting -= 1
            self.size -= len(body) + _WAITING + (0 if datagram.waiting else len(datagram.raw))
        return found


def decoder(options: Options) -> Decoder:
    """The decoder of one listener or file of datagrams; takes no options.

    Raises:
        InputError: an option was given.
    """
    given = set(options) - {"wanted"}  # the columns wanted: all are cheap here
    if given:
        raise InputError(f"netflow takes no options, got {', '.join(sorted(given))}", remedy="leave them out")
    return Exports()


def is_export(raw: bytes) -> bool:
    """Whether a datagram bears every mark of NetFlow or IPFIX: a sane time, and sets that end where it ends."""
    version = int.from_bytes(raw[:2], "big")
    if len(raw) < 20 or version not in (5, 9, 10):
        return False
    exported = int.from_bytes(raw[4:8] if version == 10 else raw[8:12], "big")
    if not _SINCE < exported < _UNTIL:
        return False
    if version == 5:
        return len(raw) == 24 + int.from_bytes(raw[2:4], "big") * _V5_RECORD
    place = 20 if version == 9 else 16
    while place + 4 <= len(raw):
        number, length = _pair(raw, place)
        if length < 4 or (number < 256 and number not in ((0, 1) if version == 9 else (2, 3))):
            return False
        place += length
    return place == len(raw)


class Exports:
    """All exporters heard by one listener."""

    def __init__(self) -> None:
        self._templates: OrderedDict[str, OrderedDict[Key, Template]] = OrderedDict()
        self._count = 0
        self._sampling = Sampling()
        self._expected: OrderedDict[tuple[str, int, int], int | None] = OrderedDict()
        self._pending = _Pending()
        self._ready: dict[Template, list[tuple[bytes, Datagram]]] = {}
        self._notes: Counter[str] = Counter()
        self._dead: list[DeadLetter] = []
        self._rejected = 0

    def decode(self, frames: Frames) -> Decoded:
        """Datagrams of ``frames.peer``."""
        return self.decode_from(frames, [frames.peer or ""] * len(frames))

    def decode_from(self, frames: Frames, peers: Sequence[str]) -> Decoded:
        """Datagrams of several exporters; ``peers`` names the sender of each."""
        view = frames.buffer.data
        for peer, start, size, number, time in zip(
            peers,
            frames.offset.tolist(),
            frames.length.tolist(),
            frames.number.tolist(),
            frames.time.tolist(),
            strict=True,
        ):
            raw = bytes(view[start : start + size])
            try:
                self._datagram(raw, peer, number, time)
            except DecodeError as error:
                self._reject(number, error.message, raw)
        return self._give()

    def flush(self) -> Decoded:
        while self._pending.sets:
            self._forget_pending()
        return self._give()

    def _reject(self, number: int, reason: str, raw: bytes) -> None:
        self._rejected += 1
        if len(self._dead) < MAX_SAMPLES:
            self._dead.append(DeadLetter("netflow", number, reason, raw))

    def _give(self) -> Decoded:
        ready, self._ready = self._ready, {}
        table = elements.table([(template, sets) for template, sets in ready.items() if not template.options])
        batches = (EventBatch("flow", "netflow", table, logsource=_SOURCE),) if table.height else ()
        notes = tuple(f"{count} × {text}" if count > 1 else text for text, count in self._notes.items())
        out = Decoded(batches, tuple(self._dead), self._rejected, notes=notes)
        self._notes, self._dead, self._rejected = Counter(), [], 0
        return out

    def _datagram(self, raw: bytes, peer: str, number: int, time: int) -> None:
        version = int.from_bytes(raw[:2], "big")
        if version == 5 and len(raw) >= 24:
            self._five(raw, peer, number, time)
        elif version == 9 and len(raw) >= 20:
            _, _, uptime, exported, sequence, domain = _v9(raw)
            datagram = Datagram(number, time, peer, 9, domain, exported, uptime, raw=raw[:MAX_SAMPLE])
            self._sequence(datagram, sequence)
            self._sets(raw, 20, len(raw), datagram)
            self._expected[peer, 9, domain] = (sequence + 1) & 0xFFFFFFFF
        elif version == 10 and len(raw) >= 16:
            _, length, exported, sequence, domain = _v10(raw)
            datagram = Datagram(number, time, peer, 10, domain, exported, 0, raw=raw[:MAX_SAMPLE])
            self._sequence(datagram, sequence)
            records = self._sets(raw, 16, min(length, len(raw)), datagram)
            after = None if records is None else (sequence + records) & 0xFFFFFFFF
            self._expected[peer, 10, domain] = after
        else:
            raise DecodeError("no NetFlow v5, v9 or IPFIX header")
        while len(self._expected) > MAX_ALL_TEMPLATES:
            self._expected.popitem(last=False)

    def _five(self, raw: bytes, peer: str, number: int, time: int) -> None:
        _, count, uptime, exported, _, sequence, kind, engine, sampling = _v5(raw)
        there = min(count, (len(raw) - 24) // _V5_RECORD)
        if there < count:
            self._notes["v5 header counts more records than the datagram holds"] += 1
        if not there:
            raise DecodeError("v5 datagram without records")
        rate = sampling & 0x3FFF
        domain = kind << 8 | engine
        datagram = Datagram(number, time, peer, 5, domain, exported, uptime, rate if rate > 1 else -1, used=True)
        self._sequence(datagram, sequence)
        self._expected[peer, 5, domain] = (sequence + there) & 0xFFFFFFFF
        self._ready.setdefault(elements.V5, []).append((raw[24 : 24 + there * _V5_RECORD], datagram))

    def _sequence(self, datagram: Datagram, sequence: int) -> None:
        expected = self._expected.get((datagram.peer, datagram.version, datagram.domain))
        if expected is not None and 0 < (sequence - expected) & 0xFFFFFFFF < 1 << 31:
            self._notes[f"sequence gap from exporter {datagram.peer or '?'}"] += 1

    def _sets(self, raw: bytes, place: int, end: int, datagram: Datagram) -> int | None:
        """Walk the sets; returns how many data records they hold, None when that is not known."""
        records: int | None = 0
        known = False
        template_id, options_id = (0, 1) if datagram.version == 9 else (2, 3)
        while place + 4 <= end:
            kind, length = _pair(raw, place)
            if length < 4:
                break
            body = raw[place + 4 : min(place + length, end)]
            if kind in (template_id, options_id):
                self._define(body, kind == options_id, datagram)
                known = True
            elif kind > 255:
                found = self._data(kind, body, datagram)
                records = None if records is None or found is None else records + found
                known = True
            place += length
        if not known:
            raise DecodeError("no set in the datagram")
        return records

    def _define(self, body: bytes, options: bool, datagram: Datagram) -> None:
        place = 0
        while place + 4 <= len(body):
            number, count = _pair(body, place)
            if number == 0 and count == 0:
                return  # padding
            if count == 0 and datagram.version == 10:
                self._withdraw(number, datagram)
                place += 4
                continue
            if number < 256:
                self._notes["template with an id below 256"] += 1
                return
            place, template = _template(body, place, options, datagram.version)
            if template is None:
                self._notes["template that cannot be used"] += 1
                return
            datagram.used = True
            self._learn((datagram.version, datagram.domain, number), template, datagram)

    def _learn(self, key: Key, template: Template, datagram: Datagram) -> None:
        mine = self._templates.setdefault(datagram.peer, OrderedDict())
        self._templates.move_to_end(datagram.peer)
        old = mine.get(key)
        if old != template:
            self._count += old is None
            mine[key] = template
        mine.move_to_end(key)
        while len(mine) > MAX_TEMPLATES:
            mine.popitem(last=False)
            self._count -= 1
        while self._count > MAX_ALL_TEMPLATES:
            oldest = next(iter(self._templates))
            self._count -= len(self._templates.pop(oldest))
        for body, waiting in self._pending.take((datagram.peer, key)):
            self._accept(template, body, waiting)

    def _withdraw(self, number: int, datagram: Datagram) -> None:
        mine = self._templates.get(datagram.peer)
        if mine is None:
            return
        for key in [key for key in mine if key[:2] == (10, datagram.domain) and number in (2, 3, key[2])]:
            del mine[key]
            self._count -= 1
        if not mine:
            del self._templates[datagram.peer]
        datagram.used = True

    def _data(self, number: int, body: bytes, datagram: Datagram) -> int | None:
        key = (datagram.version, datagram.domain, number)
        mine = self._templates.get(datagram.peer)
        template = mine.get(key) if mine is not None else None
        if template is None or mine is None:
            self._wait(key, body, datagram)
            return None
        mine.move_to_end(key)
        self._templates.move_to_end(datagram.peer)
        return self._accept(template, body, datagram)

    def _accept(self, template: Template, body: bytes, datagram: Datagram) -> int:
        if template.variable:
            records = list(elements.fixed(template, body))
            body = b"".join(records)
        count = len(body) // template.size
        if template.options:
            self._learn_sampling(template, body, datagram)
        if count:
            body = body[: count * template.size]
            self._ready.setdefault(template, []).append((body, self._sampled(datagram)))
        datagram.used = True
        return count

    def _wait(self, key: Key, body: bytes, datagram: Datagram) -> None:
        self._pending.add((datagram.peer, key), body, datagram)
        while self._pending.size > MAX_PENDING and self._pending.sets:
            self._forget_pending()

    def _forget_pending(self) -> None:
        waiting = self._pending.take(next(iter(self._pending.sets)))
        self._notes["data set whose template never came"] += len(waiting)
        for _, datagram in waiting:
            if not datagram.used:
                datagram.used = True  # once, however many sets it held
                self._reject(datagram.number, "its template never came", datagram.raw)

    def _learn_sampling(self, template: Template, body: bytes, datagram: Datagram) -> None:
        for sampler, rate in elements.sampling(template, body):
            self._sampling.learn(datagram.peer, datagram.domain, sampler, rate)

    def _sampled(self, datagram: Datagram) -> Datagram:
        """The rate its exporter announced, where the records do not carry one themselves."""
        if datagram.sampling < 0:
            datagram.sampling = self._sampling.rate(datagram.peer, datagram.domain)
        return datagram

    def snapshot(self) -> bytes:
        """Templates and sampling rates as JSON, at most ``MAX_STATE`` bytes: those used last are kept.

        Sets that wait for their template are not part of it, nor are sequence numbers.
        """
        room, exporters = MAX_STATE // 2, list[tuple[str, list[Any]]]()
        for peer, mine in reversed(self._templates.items()):
            kept = list[Any]()
            for key, template in reversed(mine.items()):
                one = [*key, template.options, template.fields]
                room -= len(json.dumps(one, separators=(",", ":"))) + 1
                if room < 0:
                    break
                kept.append(one)
            exporters.append((peer, kept[::-1]))
            room -= len(json.dumps(peer)) + 8
            if room < 0:
                break
        state = {"version": 1, "templates": exporters[::-1], "sampling": self._sampling.rows()}
        return json.dumps(state, separators=(",", ":")).encode()

    def restore(self, state: bytes) -> None:
        """Begin with what ``snapshot`` gave, in place of what was learnt so far.

        Raises:
            InputError: it is no such state; nothing has changed then.
        """
        try:
            templates, sampling = _state(state)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(
                f"not a state of the NetFlow decoder: {error}"[:200],
                remedy="start without it: exporters send their templates again within minutes",
            ) from None
        self._templates, self._sampling = templates, sampling
        self._count = sum(map(len, templates.values()))


class Sampling:
    """The rates exporters announced, by sampler; beyond ``MAX_ALL_TEMPLATES`` the oldest is forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, int], int] = OrderedDict()
        self._rates: dict[tuple[str, int], Counter[int]] = {}  # how many samplers have a rate; domain -1 = all

    def learn(self, peer: str, domain: int, sampler: int, rate: int) -> None:
        self._forget((peer, domain, sampler))
        self._known[peer, domain, sampler] = rate
        for place in ((peer, domain), (peer, -1)):
            self._rates.setdefault(place, Counter())[rate] += 1
        while len(self._known) > MAX_ALL_TEMPLATES:
            self._forget(next(iter(self._known)))

    def rate(self, peer: str, domain: int) -> int:
        """The one rate of a domain, else of the whole exporter; -1 where there is none, or several."""
        rates = self._rates.get((peer, domain)) or self._rates.get((peer, -1)) or ()
        return next(iter(rates)) if len(rates) == 1 else -1

    def rows(self) -> list[tuple[str, int, int, int]]:
        """(exporter, domain, sampler, rate) in the order learnt, at most what half a snapshot holds."""
        out, room = list[tuple[str, int, int, int]](), MAX_STATE // 2 - 64
        for key, rate in reversed(self._known.items()):
            room -= len(json.dumps((*key, rate))) + 1
            if room < 0:
                break
            out.append((*key, rate))
        return out[::-1]

    def _forget(self, key: tuple[str, int, int]) -> None:
        rate = self._known.pop(key, None)
        if rate is None:
            return
        for place in ((key[0], key[1]), (key[0], -1)):
            rates = self._rates[place]
            rates[rate] -= 1
            if not rates[rate]:
                del rates[rate]
            if not rates:
                del self._rates[place]


def _state(raw: bytes) -> tuple[OrderedDict[str, OrderedDict[Key, Template]], Sampling]:
    """Read a snapshot; ValueError, TypeError or KeyError on anything that ``snapshot`` would not have written."""
    if len(raw) > MAX_STATE:
        raise ValueError(f"more than {MAX_STATE} bytes")
    state = json.loads(raw)
    if not isinstance(state, dict) or state["version"] != 1:
        raise ValueError("of another version")
    templates: OrderedDict[str, OrderedDict[Key, Template]] = OrderedDict()
    for peer, mine in state["templates"]:
        known = templates[_peer(peer)] = OrderedDict()
        for version, domain, number, options, fields in mine:
            key = (_within(version, 9, 10), _within(domain, 0, 0xFFFFFFFF), _within(number, 256, 65_535))
            known[key] = _known_template(fields, options, version)
        if len(known) > MAX_TEMPLATES:
            raise ValueError(f"more than {MAX_TEMPLATES} templates of one exporter")
    if sum(map(len, templates.values())) > MAX_ALL_TEMPLATES or len(templates) > MAX_ALL_TEMPLATES:
        raise ValueError(f"more than {MAX_ALL_TEMPLATES} templates")
    sampling = Sampling()
    for peer, domain, sampler, rate in state["sampling"]:
        place = _within(domain, 0, 0xFFFFFFFF), _within(sampler, -1, (1 << 63) - 1)
        sampling.learn(_peer(peer), *place, _within(rate, 1, (1 << 31) - 1))
    return templates, sampling


def _known_template(fields: list[list[int]], options: object, version: int) -> Template:
    if not isinstance(options, bool) or not 0 < len(fields) <= MAX_FIELDS:
        raise ValueError("a template without sense")
    read = tuple(
        (_within(one, 0, 0xFFFFFFFF), _within(element, 0, 65_535), _within(length, 0, 65_535))
        for one, element, length in fields
    )
    template = Template(read, options, version == 10 and any(length == VARIABLE for _, _, length in read))
    if not template.size:
        raise ValueError("a template of no bytes")
    return template


def _within(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"a number from {least} to {most} was expected")
    return value


def _peer(value: object) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise ValueError("an exporter's address was expected")
    return value


def _template(body: bytes, place: int, options: bool, version: int) -> tuple[int, Template | None]:
    """One template record and where the next begins; None when it is unusable."""
    _, count = _pair(body, place)
    place += 4
    if options:
        if place + 2 > len(body):
            return place, None
        if version == 9:  # lengths in bytes of the scope and option parts
            count = count // 4 + int.from_bytes(body[place : place + 2], "big") // 4
        place += 2
    if count > MAX_FIELDS:
        return place, None
    fields: list[tuple[int, int, int]] = []
    for _ in range(count):
        if place + 4 > len(body):
            return place, None
        element, length = _pair(body, place)
        place += 4
        enterprise = 0
        if version == 10 and element & _PEN:
            if place + 4 > len(body):
                return place, None
            enterprise, element = int.from_bytes(body[place : place + 4], "big"), element & 0x7FFF
            place += 4
        fields.append((enterprise, element, length))
    template = Template(tuple(fields), options, any(length == VARIABLE for _, _, length in fields) and version == 10)
    return place, template if template.size else None
