"""NetFlow v5, v9 (RFC 3954) and IPFIX (RFC 7011) datagrams to flow records.

Templates belong to (exporter, version, domain, id). The data sets of one template are decoded together, as one numpy
record array; sets that come before their template wait for it, bounded. A count in a header is never believed.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

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
MAX_PENDING = 4 << 20
"""Bytes of data sets that wait for their template."""
MAX_SAMPLES = 20

_SOURCE = LogSource(("network",), (), ("connection",))
_V5_RECORD = 48
_SINCE, _UNTIL = 820_454_400, 4_102_444_800  # 1996, 2100
_PEN = 0x8000

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
        self._sampling: OrderedDict[tuple[str, int, int], int] = OrderedDict()
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
            datagram = Datagram(number, time, peer, 9, domain, exported, uptime, raw=raw)
            self._sequence(datagram, sequence)
            self._sets(raw, 20, len(raw), datagram)
            self._expected[peer, 9, domain] = (sequence + 1) & 0xFFFFFFFF
        elif version == 10 and len(raw) >= 16:
            _, length, exported, sequence, domain = _v10(raw)
            datagram = Datagram(number, time, peer, 10, domain, exported, 0, raw=raw)
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
        for body, waiting in self._pending.sets.pop((datagram.peer, key), ()):
            self._pending.size -= len(body)
            self._accept(template, body, waiting)

    def _withdraw(self, number: int, datagram: Datagram) -> None:
        mine = self._templates.get(datagram.peer)
        if mine is None:
            return
        for key in [key for key in mine if key[:2] == (10, datagram.domain) and number in (2, 3, key[2])]:
            del mine[key]
            self._count -= 1
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
        self._pending.sets.setdefault((datagram.peer, key), []).append((body, datagram))
        self._pending.size += len(body)
        while self._pending.size > MAX_PENDING and self._pending.sets:
            self._forget_pending()

    def _forget_pending(self) -> None:
        _, waiting = self._pending.sets.popitem(last=False)
        self._notes["data set whose template never came"] += len(waiting)
        for body, datagram in waiting:
            self._pending.size -= len(body)
            if not datagram.used:
                datagram.used = True  # once, however many sets it held
                self._reject(datagram.number, "its template never came", datagram.raw)

    def _learn_sampling(self, template: Template, body: bytes, datagram: Datagram) -> None:
        for sampler, rate in elements.sampling(template, body):
            self._sampling[datagram.peer, datagram.domain, sampler] = rate
        while len(self._sampling) > MAX_ALL_TEMPLATES:
            self._sampling.popitem(last=False)

    def _sampled(self, datagram: Datagram) -> Datagram:
        """The rate its exporter announced, where the records do not carry one themselves."""
        if datagram.sampling < 0 and self._sampling:
            rates = {rate for (peer, domain, _), rate in self._sampling.items() if peer == datagram.peer}
            if len(rates) == 1:
                datagram.sampling = rates.pop()
        return datagram


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
