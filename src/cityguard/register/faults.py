"""Everything that can be wrong with a register, found in one pass: single values, then how entries fit."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import msgspec

from cityguard.errors import InputError
from cityguard.model import Asset, Department, Segment, Station, System
from cityguard.register import asset_kinds, stations
from cityguard.register.files import KINDS, SEPARATORS, Row, nearest

MAX_TEXT = 500
MAX_LIST = 1000
EXTENSIONS = ("cloud", "mobile", "iot", "ics", "bigdata")
DATA_CLASSES = ("核心", "重要", "一般")
SCAN = ("never", "passive", "active")

_ID = re.compile(r"[\w.-]{1,64}")
_PORT = re.compile(r"(\d{1,5})/(tcp|udp)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

Item = Department | System | Asset | Segment | Station
At = Callable[[str], str]  # field name -> place


def build(row: Row) -> tuple[Item | None, list[InputError]]:
    """Make the record of one row, or say every reason why not."""
    kind = KINDS[row.kind]
    types, values, faults = get_type_hints(kind), {}, []
    for spec in fields(kind):
        raw = row.values.get(spec.name)
        if raw is None:
            if spec.default is MISSING:
                faults.append(InputError(f"{row.kind}: '{spec.name}' is missing", place=row.place))
            continue
        try:
            values[spec.name] = msgspec.convert(_stripped(raw), types[spec.name])
        except msgspec.ValidationError as error:
            remedy = "put it in quotes" if "`str`" in str(error) else ""
            faults.append(InputError(f"{spec.name}: {error}", place=row.at(spec.name), remedy=remedy))
    if "kind" in values:
        values["kind"] = asset_kinds.normal(values["kind"])
    return (None if faults else kind(**values)), faults


def _stripped(raw: Any) -> Any:
    if isinstance(raw, str):
        return raw.strip()
    if isinstance(raw, list):
        return [_stripped(item) for item in raw]
    return raw


def of_item(item: Item, at: At) -> Iterator[InputError]:
    """Faults one record has by itself."""
    yield from _texts(item, at)
    if isinstance(item, System):
        yield from _system(item, at)
    elif isinstance(item, Asset):
        yield from _networks(item.addresses, "addresses", at)
        if item.kind and item.kind not in asset_kinds.ALIASES:
            remedy = _kind_remedy(item.kind)
            yield InputError(f"kind: '{item.kind[:64]}' is no kind of asset", place=at("kind"), remedy=remedy)
        for port in item.ports:
            match = _PORT.fullmatch(port)
            if not match or not 0 < int(match[1]) <= 65535:
                yield InputError(f"ports: '{port}'", place=at("ports"), remedy="write e.g. 443/tcp")
    elif isinstance(item, Segment):
        if not item.cidrs:
            yield InputError("cidrs: at least one network", place=at("cidrs"))
        yield from _networks(item.cidrs, "cidrs", at)
        if item.scan not in SCAN:
            yield InputError(f"scan: '{item.scan}'", place=at("scan"), remedy=nearest(item.scan, SCAN))
        if item.ot and item.scan == "active":
            remedy = "nothing is ever sent into an OT segment: scan: passive"
            yield InputError("scan: active on an ot segment", place=at("scan"), remedy=remedy)
    elif isinstance(item, Station):
        for name in ("addresses", "platforms", "carriers"):
            yield from _networks(getattr(item, name), name, at)
        for name, message, remedy in stations.faults(item):
            yield InputError(message, place=at(name), remedy=remedy)


def _kind_remedy(word: str) -> str:
    named = [name for kind, words in asset_kinds.ALIASES.items() for name in (kind, *words)]
    near = nearest(word.casefold()[:64], named)
    return near if near.startswith("did you mean") else f"known: {' '.join(asset_kinds.KINDS)}"


def _texts(item: Item, at: At) -> Iterator[InputError]:
    if not _ID.fullmatch(item.id):
        yield InputError(f"id: '{item.id[:64]}'", place=at("id"), remedy="1-64 letters, digits, '_', '.' or '-'")
    for spec in fields(item):
        value = getattr(item, spec.name)
        texts = value if isinstance(value, tuple) else (value,)
        if len(texts) > MAX_LIST:
            yield InputError(f"{spec.name}: more than {MAX_LIST} items", place=at(spec.name))
        for text in texts:
            if isinstance(text, str) and (len(text) > MAX_TEXT or _CONTROL.search(text)):
                remedy = f"one line of at most {MAX_TEXT} characters"
                yield InputError(f"{spec.name}: too long, or a control character", place=at(spec.name), remedy=remedy)
            elif isinstance(value, tuple) and (not text or text != text.strip() or set(SEPARATORS) & set(text)):
                yield InputError(f"{spec.name}: '{text}' holds a separator or is empty", place=at(spec.name))


def _system(item: System, at: At) -> Iterator[InputError]:
    for name in ("s_grade", "a_grade"):
        grade = getattr(item, name)
        if not 0 <= grade <= 4:
            yield InputError(f"{name}: {grade}", place=at(name), remedy="0 (not graded) to 4")
    # GB/T 22239 annex A: the higher of the two is the system's grade, the lower is at least 1.
    if (item.s_grade == 0) != (item.a_grade == 0):
        remedy = "both from 1 to 4, or both 0 (not graded)"
        yield InputError(f"S{item.s_grade}A{item.a_grade} is no valid combination", place=at("a_grade"), remedy=remedy)
    for extension in item.extensions:
        if extension not in EXTENSIONS:
            remedy = nearest(extension, EXTENSIONS)
            yield InputError(f"extensions: '{extension}'", place=at("extensions"), remedy=remedy)
    if item.data_class and item.data_class not in DATA_CLASSES:
        remedy = nearest(item.data_class, DATA_CLASSES)
        yield InputError(f"data_class: '{item.data_class}'", place=at("data_class"), remedy=remedy)
    for name in ("rto_hours", "rpo_hours"):
        hours = getattr(item, name)
        if hours is not None and not (math.isfinite(hours) and hours >= 0):
            yield InputError(f"{name}: {hours}", place=at(name), remedy="hours, 0 or more")


def _networks(texts: Sequence[str], name: str, at: At) -> Iterator[InputError]:
    for text in texts:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            remedy = "write an address or a network such as 10.1.2.0/24"
            yield InputError(f"{name}: '{text}' is not an address or network", place=at(name), remedy=remedy)
            continue
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
            yield InputError(f"{name}: '{text}' is IPv4 in IPv6 clothes", place=at(name), remedy="write it as IPv4")
        elif "/" in text and ipaddress.ip_address(text.split("/")[0]) != network.network_address:
            yield InputError(f"{name}: '{text}' has host bits set", place=at(name), remedy=f"did you mean {network}?")


def of_whole(items: Sequence[tuple[str, Item, At]], known: Mapping[str, set[str]]) -> Iterator[InputError]:
    """Faults between records.

    Args:
        items: (kind, record, places) in file order.
        known: ids per kind, also those of records that could not be made, so that one fault makes no others.
    """
    seen: dict[tuple[Any, ...], str] = {}
    for kind, item, at in items:
        if (kind, item.id) in seen:
            place = seen[kind, item.id]
            yield InputError(f"id: '{item.id}' twice in {kind}", place=at("id"), remedy=f"first at {place}")
        seen.setdefault((kind, item.id), at("id"))
        if isinstance(item, Station):
            told = stations.told_by(item)
            if told in seen:
                remedy = f"first at {seen[told]}; give each its own unit or addresses"
                yield InputError(f"'{item.id}' cannot be told from another station", place=at("unit"), remedy=remedy)
            seen.setdefault(told, at("id"))
        yield from _references(item, at, known)
        name, networks = ("cidrs", item.cidrs) if isinstance(item, Segment) else ("addresses", ())
        if isinstance(item, Asset):
            networks = item.addresses
        for text in networks:
            key = kind, _network(text)
            if key[1] is not None and key in seen:
                yield InputError(f"{name}: '{text}' twice", place=at(name), remedy=f"first at {seen[key]}")
            seen.setdefault(key, at(name))
    yield from _circles(items)


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _references(item: Item, at: At, known: Mapping[str, set[str]]) -> Iterator[InputError]:
    wanted: list[tuple[str, str, str | None]] = []
    if isinstance(item, Department):
        wanted.append(("parent", "departments", item.parent))
    elif isinstance(item, (System, Segment)):
        wanted.append(("department", "departments", item.department))
    elif isinstance(item, Station):
        wanted += [("department", "departments", item.department), ("system", "systems", item.system)]
    else:
        wanted.append(("system", "systems", item.system))
    for name, kind, value in wanted:
        if value is not None and value not in known[kind]:
            remedy = nearest(value, sorted(known[kind]))
            yield InputError(f"{name}: unknown {kind[:-1]} '{value}'", place=at(name), remedy=remedy)


def _circles(items: Sequence[tuple[str, Item, At]]) -> Iterator[InputError]:
    departments = {item.id: item for _, item, _ in items if isinstance(item, Department)}
    for _, item, at in items:
        if not isinstance(item, Department):
            continue
        above, steps = item.parent, 0
        while above in departments and above != item.id and steps <= len(departments):
            above, steps = departments[above].parent, steps + 1
        if above == item.id:
            yield InputError(f"parent: '{item.id}' is above itself", place=at("parent"))
