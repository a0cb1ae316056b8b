"""Templates, rates and what waits for a template as JSON, to outlive the process."""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.exports import waiting
from cityguard.decoders.exports.pending import Pending
from cityguard.decoders.exports.sampling import Sampling
from cityguard.decoders.exports.store import MAX_ALL_TEMPLATES, MAX_TEMPLATES, Templates
from cityguard.decoders.exports.template import MAX_FIELDS, Template

MAX_STATE = 16 << 20
"""Bytes of templates and rates in a snapshot; ``waiting.MAX_WAITING`` come on top."""
_VERSION = 2


def dump(templates: Templates, sampling: Sampling, held: Pending) -> bytes:
    """At most ``MAX_STATE`` bytes of templates and rates: those used last are kept."""
    room, exporters = MAX_STATE // 2, list[tuple[str, list[Any]]]()
    for peer, mine in reversed(templates.by_peer.items()):
        kept = list[Any]()
        for key, one in reversed(mine.items()):
            line = [*key, one.scopes, one.fields]
            room -= len(json.dumps(line, separators=(",", ":"))) + 1
            if room < 0:
                break
            kept.append(line)
        exporters.append((peer, kept[::-1]))
        room -= len(json.dumps(peer)) + 8
        if room < 0:
            break
    state = {"version": _VERSION, "templates": exporters[::-1], "sampling": sampling.rows(MAX_STATE // 2 - 64)}
    if held.sets:
        state["waiting"] = waiting.dump(held)
    return json.dumps(state, separators=(",", ":")).encode()


def load(raw: bytes) -> tuple[Templates, Sampling, Pending]:
    """Read a snapshot.

    Raises:
        ValueError, TypeError, KeyError: ``dump`` would not have written it.
    """
    if len(raw) > MAX_STATE + waiting.MAX_WAITING:
        raise ValueError(f"more than {MAX_STATE + waiting.MAX_WAITING} bytes")
    state = json.loads(raw)
    if not isinstance(state, dict) or state["version"] != _VERSION:
        raise ValueError("of another version")
    templates, sampling = Templates(), Sampling()
    if len(state["templates"]) > MAX_ALL_TEMPLATES:
        raise ValueError(f"more than {MAX_ALL_TEMPLATES} exporters")
    for name, mine in state["templates"]:
        peer = _peer(name)
        if len(mine) > MAX_TEMPLATES:
            raise ValueError(f"more than {MAX_TEMPLATES} templates of one exporter")
        for version, domain, number, scopes, fields in mine:
            key = (_within(version, 9, 10), _within(domain, 0, 0xFFFFFFFF), _within(number, 256, 65_535))
            templates.learn(peer, key, _template(fields, scopes, version))
    for peer, domain, sampler, rate in state["sampling"]:
        place = _within(domain, 0, 0xFFFFFFFF), _within(sampler, -1, (1 << 63) - 1)
        sampling.learn(_peer(peer), *place, _within(rate, 1, (1 << 31) - 1))
    held = waiting.load(state["waiting"]) if "waiting" in state else Pending()
    return templates, sampling, held


def _template(fields: list[list[int]], scopes: object, version: int) -> Template:
    if not 0 < len(fields) <= MAX_FIELDS:
        raise ValueError("a template without sense")
    read = tuple(
        (_within(one, 0, 0xFFFFFFFF), _within(number, 0, 65_535), _within(length, 0, 65_535))
        for one, number, length in fields
    )
    made = Template(version, read, _within(scopes, 0, len(fields)))
    if not made.least:
        raise ValueError("a template of no bytes")
    return made


def _within(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"a number from {least} to {most} was expected")
    return value


def _peer(value: object) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise ValueError("an exporter's address was expected")
    return value
