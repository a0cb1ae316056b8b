"""Protocols of a city's own field equipment beside vectors of them: ``municipal/vectors.json``.

A vector is a message's bytes and what they say. Each is put on the wire as it is, cut at every byte, and among bytes
of no meaning; the capture decoder reads it. A protocol's reader is the module ``municipal_NAME.py`` of this package::

    def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]

All we say of a vector, in the words of its ``expect``: ``data`` are its bytes, ``rows`` what the decoder made of them
(every dataset but flows, with the key ``dataset``; ``event.fields`` parsed). ``ot`` and ``detect`` are answered here.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cityguard import content
from cityguard.collect import collect
from cityguard.detectors.rules import RuleDetector
from cityguard.model import EventBatch
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset, load
from truth import base, websocket
from truth.base import Line
from truth.packets import CLIENT, Part, Wire
from truth.secret import MASKED, Secret

Row = dict[str, Any]
SECOND = 1_793_581_200
"""When every packet was taken: 2026-11-02 09:00 in the city's time zone, the day the vectors tell of."""
PORT = 21_217
"""A port that says nothing of a protocol, where a vector does not name one."""
UNTOLD = frozenset(("note",))
"""Keys of ``expect`` that are remarks."""
_PENDING = re.compile(r" \(from the pending call\)$")
_PLACES = frozenset(
    (
        *("log.offset", "log.file.path", "@timestamp", "event.id", "event.ingested", "event.start", "event.end"),
        "event.sequence",
        *("source.ip", "source.port", "destination.ip", "destination.port", "client.ip", "server.ip"),
        "network.community_id",
    )
)
"""Columns that tell where and when bytes were seen, not what they say."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One message and what it says."""

    id: str
    protocol: str
    data: bytes
    transport: str
    """``tcp``, ``udp`` or ``websocket``."""
    port: int
    expect: dict[str, Any]
    before: tuple[Part, ...] = ()
    """What is said before it in the same conversation."""
    side: int = CLIENT

    @property
    def part(self) -> Part:
        """The message as it goes on the wire."""
        return websocket.message(self.side, self.data) if self.transport == "websocket" else Part(CLIENT, self.data)


def vectors(data: Path) -> list[Vector]:
    """The vectors of a data folder, in order; none where it has no file of them."""
    path = data / "municipal" / "vectors.json"
    if not path.is_file():
        return []
    given = json.loads(path.read_text(encoding="utf-8"))
    return [_vector(one, given) for one in given]


def _vector(one: dict[str, Any], given: list[dict[str, Any]]) -> Vector:
    transport = one.get("transport", "tcp")
    before: list[Part] = []
    side = CLIENT
    if transport == "websocket":
        before, side = websocket.conversation(one, given)
    return Vector(
        one["id"], one["protocol"], payload(one), transport, one.get("port", PORT), one["expect"], tuple(before), side
    )


def payload(one: dict[str, Any]) -> bytes:
    """The bytes of a vector, written in hexadecimal or as text."""
    if "hex" in one:
        return bytes.fromhex(one["hex"])
    text: str = one["text"]
    if one.get("text_newlines") == "CRLF":
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    return text.encode()


# ---------------------------------------------------------------- on the wire, and what we make of it


def decoded(wire: Wire) -> list[EventBatch]:
    """What the product makes of the conversations."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vector.pcap"
        wire.write(path)
        chunks = collect.read(path, base.collectors(), collector="capture", now=base.NOW)
        return [batch for chunk in chunks for batch in chunk.decoded.batches if batch.table.height]


def told_rows(batches: Iterable[EventBatch]) -> dict[str, list[Row]]:
    """Rows of every dataset but flows by the conversation's client, in order; only what they have."""
    found: dict[str, list[tuple[int, Row]]] = {}
    for batch in batches:
        if batch.dataset == "flow":
            continue
        for row in batch.table.to_dicts():
            row = {name: value for name, value in row.items() if value is not None} | {"dataset": batch.dataset}
            if isinstance(row.get("event.fields"), str):
                row["event.fields"] = json.loads(row["event.fields"])
            ends = (row.get("source.ip", ""), row.get("destination.ip", ""))
            client = next((end for end in ends if end.startswith("10.77.")), "")
            found.setdefault(client, []).append((row.get("log.offset", 0), row))
    return {client: [row for _, row in sorted(rows, key=lambda pair: pair[0])] for client, rows in found.items()}


def send(wire: Wire, vector: Vector, parts: list[Part]) -> str:
    """A conversation in which the parts stand for the vector's message."""
    conversation = [*vector.before, *parts]
    return wire.udp(conversation) if vector.transport == "udp" else wire.tcp(conversation)


def ways(vector: Vector) -> Iterator[tuple[str, list[Part]]]:
    """The ways a message is sent besides as a whole: where it is cut, and among what."""
    whole = vector.part
    side, data = whole.side, whole.data
    if vector.transport == "udp":
        for noise in NOISE:
            yield f"after a datagram {noise.hex()}", [Part(side, noise), whole, Part(side, noise)]
        return
    for at in range(1, len(data)):
        yield f"cut at {at}", [Part(side, data[:at]), Part(side, data[at:])]
    if vector.transport == "websocket":
        return  # whoever loses a WebSocket's frames has no way back to them
    for noise in (*NOISE, data[:1] + b"\0", data[:2] * 2):
        yield f"between {noise.hex()}", [Part(side, noise + data + noise)]
        yield f"between segments {noise.hex()}", [Part(side, noise), whole, Part(side, noise)]


NOISE = (b"\x00\xff\x13\x0d\x0a", b"\xaa\x55" * 9)


@dataclass(slots=True)
class Answer:
    """What we say of a vector."""

    rows: list[Row]
    """Of its conversation as a whole, without the ``ot`` rows of what was said before it."""
    differing: list[str]
    """Ways of sending it that give other rows."""
    sent: int
    batches: list[EventBatch]


def answer(vector: Vector) -> Answer:
    """Send a vector in every way."""
    whole = Wire(vector.port, SECOND)
    client = send(whole, vector, [vector.part])
    batches = decoded(whole)
    rows = told_rows(batches).get(client, [])
    every = Wire(vector.port, SECOND)
    named = {send(every, vector, parts): way for way, parts in ways(vector)}
    other = told_rows(decoded(every)) if named else {}
    plain = _plain(rows)
    differing = [way for client, way in named.items() if _plain(other.get(client, [])) != plain or not rows]
    return Answer(_after(vector, rows), differing, len(named), batches)


def _after(vector: Vector, rows: list[Row]) -> list[Row]:
    """Without the rows of earlier messages."""
    if not vector.before:
        return rows
    earlier = Wire(vector.port, SECOND)
    client = earlier.tcp(list(vector.before))
    passed = sum(row["dataset"] == "ot" for row in told_rows(decoded(earlier)).get(client, []))
    mine = [row for row in rows if row["dataset"] == "ot"][passed:]
    return [*mine, *(row for row in rows if row["dataset"] != "ot")]


def _plain(rows: list[Row]) -> list[str]:
    """Rows without where and when, whatever their order."""
    kept = [{name: value for name, value in row.items() if name not in _PLACES} for row in rows]
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in kept)


@cache
def rules() -> tuple[Ruleset, Engine]:
    """The rules the project ships."""
    ruleset = load([content.root() / "rules"])
    return ruleset, Engine.compile(ruleset)


def fired(batches: list[EventBatch]) -> list[str]:
    """Names of the rules that these rows raise."""
    ruleset, engine = rules()
    detector = RuleDetector(ruleset, engine=engine)
    alerts = [alert for batch in batches for alert in detector.detect(batch)] + detector.finish()
    heads = [ruleset.head(alert.rule_id) for alert in alerts]
    return sorted({head.name for head in heads if head and head.name})


# ---------------------------------------------------------------- beside what it says


def said(vector: Vector, found: Answer) -> dict[str, Any]:
    """All we say of a vector."""
    every = reader(vector.protocol)(vector.data, found.rows, vector.transport)
    mine = next((row for row in found.rows if row["dataset"] == "ot" and row["ot.protocol"] == vector.protocol), None)
    if mine is not None:
        every["ot"] = {name[3:]: value for name, value in mine.items() if name.startswith("ot.")}
    if "detect" in vector.expect:
        every["detect"] = [name.rpartition(".")[2].replace("_", "-") for name in fired(found.batches)]
    return every


Reader = Callable[[bytes, list[Row], str], dict[str, Any]]


def reader(protocol: str) -> Reader:
    """The reader of a protocol; one without says nothing."""
    name = f"truth.municipal_{protocol}"
    if importlib.util.find_spec(name) is None:
        return lambda data, rows, transport: {}
    told: Reader = importlib.import_module(name).told
    return told


def units(expect: Any, have: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """What is expected, leaf by leaf: its path, its value, and ours there."""
    if isinstance(expect, dict) and expect and path != "detect":
        for key, value in expect.items():
            if key not in UNTOLD:
                given = have.get(key) if isinstance(have, dict) else None
                yield from units(value, given, f"{path}.{key}" if path else key)
    elif isinstance(expect, list) and expect and isinstance(expect[0], dict):
        same = isinstance(have, list) and len(have) == len(expect)
        for at, value in enumerate(expect):
            yield from units(value, have[at] if same else None, f"{path}[{at}]")
    elif path == "detect":
        for slug in expect:
            yield f"detect {slug}", "fires", "fires" if slug in (have or ()) else "is silent"
    else:
        wanted = _PENDING.sub("", expect) if isinstance(expect, str) else expect
        hidden = wanted == MASKED and isinstance(have, Secret)
        yield path, _text(wanted), _text(MASKED if hidden else have)


def _text(value: Any) -> str:
    return json.dumps(_plainly(value), ensure_ascii=False, sort_keys=True, default=str)


def _plainly(value: Any) -> Any:
    """Whole numbers as such, however they are written, in lists too."""
    if isinstance(value, list | tuple):
        return [_plainly(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def compare(data: Path) -> Iterable[Line]:
    """Two lines per protocol: what a message says, leaf by leaf, and the ways of sending it that change nothing."""
    return compared(vectors(data))


def compared(given: Iterable[Vector]) -> Iterable[Line]:
    """The lines of some vectors."""
    lines: dict[str, tuple[Line, Line]] = {}
    for vector in given:
        name = vector.protocol
        fields, sent = lines.setdefault(
            name,
            (
                Line(name, "vectors", "expected fields", floor=1.0),
                Line(name, "vectors", "cut at every byte, among noise", floor=1.0),
            ),
        )
        found = answer(vector)
        leaves = list(units(vector.expect, said(vector, found)))
        wanted: list[Hashable] = [(path, value) for path, value, _ in leaves]
        ours: list[Hashable] = [(path, value) for path, _, value in leaves]
        before = fields.extra
        fields.add(vector.id, wanted, ours)
        fields.extra = before  # a leaf that differs is missing, not more
        sent.compared += found.sent
        sent.equal += found.sent - len(found.differing)
        sent.missing += len(found.differing)
        if found.differing:
            sent.notes.append(f"{vector.id}: {len(found.differing)} of {found.sent}, first {found.differing[:2]}")
    for pair in lines.values():
        yield from (line for line in pair if not line.empty)


def main() -> None:
    """``python -m truth.municipal DATA_DIR PROTOCOL…``: every difference of some protocols."""
    folder, *names = sys.argv[1:]
    given = [vector for vector in vectors(Path(folder)) if vector.protocol in names or not names]
    for vector in given:
        found = answer(vector)
        for path, wanted, have in units(vector.expect, said(vector, found)):
            if wanted != have:
                print(f"{vector.id} {path}: expected {wanted}, told {have}")
        if found.differing:
            print(f"{vector.id} {len(found.differing)} of {found.sent} ways differ: {', '.join(found.differing[:12])}")
    for line in compared(given):
        print(f"{line.name}: {line.equal} of {line.compared}")


if __name__ == "__main__":
    main()
