"""State of correlations as bytes: numbers and texts in Arrow's own format, compressed; checked when read back."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
import polars as pl

from cityguard.errors import InputError
from cityguard.sigma.correlate.held import Held, Told
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.plan import Plan
from cityguard.sigma.correlate.rows import ABOUT, NAMED
from cityguard.sigma.correlate.slab import Slab

_VERSION = 2
_COUNTERS = ("evicted", "expired", "late", "overflow", "known_from")
_MAX_ROWS = 1 << 24
_LENGTH = 8  # bytes of the number before every part


def pack(held: Mapping[str, Held], names: Names, about: Mapping[str, int | None]) -> bytes:
    """All state of a Correlator."""
    live = np.unique(np.concatenate([one.codes() for one in held.values()])) if held else np.zeros(0, dtype=np.int32)
    place = np.full(names.size + 1, -1, dtype=np.int32)
    place[live] = np.arange(len(live), dtype=np.int32)
    parts = [b"", _table(pl.DataFrame({"text": names.texts(live)}))]
    index: dict[str, Any] = {}
    for name, one in held.items():
        if not one.slab.rows and not one.told and not any(getattr(one, counter) for counter in _COUNTERS[:-1]):
            continue
        index[name] = {
            "part": len(parts),
            "shape": _shape(one.asked),
            "counters": {counter: int(getattr(one, counter)) for counter in _COUNTERS},
        }
        parts += [_rows(one, place), _groups(one), _told(one)]
    parts[0] = orjson.dumps({"version": _VERSION, "about": dict(about), "held": index})
    return b"".join(len(part).to_bytes(_LENGTH, "big") + part for part in parts)


def unpack(raw: bytes, plans: Sequence[Plan]) -> tuple[dict[str, Held], Names, dict[str, Any]]:
    """The state of the correlations that are still what they were; the others begin anew.

    Raises:
        InputError: the bytes are not such a state.
    """
    try:
        parts = _parts(raw)
        head = orjson.loads(parts[0])
        if head["version"] != _VERSION:
            raise InputError("a state of another version", remedy="start without it")
        texts = _read(parts[1])["text"]
        names = Names(texts.cast(pl.String))
        if names.size != len(texts):
            raise ValueError("texts stand twice")
        held = {plan.one.id: Held.of(plan) for plan in plans}
        for plan in plans:
            entry = head["held"].get(plan.one.id)
            if entry is not None and entry["shape"] == _shape(plan):
                at = int(entry["part"])
                held[plan.one.id] = _held(plan, parts[at : at + 3], entry["counters"], names)
        received = head["about"]["received"]
        about = {"untimed": int(head["about"]["untimed"]), "received": None if received is None else int(received)}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"not a snapshot of correlations: {error}", remedy="start without it") from None
    return held, names, about


def _shape(plan: Plan) -> str:
    """What must be equal for kept hits to mean the same."""
    one = plan.one
    return repr((one.kind, plan.rules, one.group_by, one.fields, one.timespan_s, one.aliases, one.grows))


def _parts(raw: bytes) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + _LENGTH], "big")
        at += _LENGTH
        if size > len(raw) - at:
            raise ValueError("it is cut off")
        parts.append(raw[at : at + size])
        at += size
    return parts


def _table(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_ipc(out, compression="lz4")
    return out.getvalue()


def _read(raw: bytes) -> pl.DataFrame:
    return pl.read_ipc(io.BytesIO(raw))


def _rows(one: Held, code: np.ndarray[Any, Any]) -> bytes:
    place, columns = one.slab.places(), one.slab.columns
    table = {name: columns[name][place] for name in columns if name != "about"}
    if "value" in table:
        table["value"] = code[table["value"]]
    named = table["high"] == NAMED
    table["low"][named] = code[table["low"][named].astype(np.int64)].astype(np.uint64)
    about = code[columns["about"][place]]
    table |= {f"about.{index}": about[:, index] for index in range(len(ABOUT))}
    _, group = np.unique(one.slab.owners(), return_inverse=True)
    return _table(pl.DataFrame({"group": group, **table}))


def _groups(one: Held) -> bytes:
    return _table(pl.DataFrame({"text": one.groups.texts(np.flatnonzero(one.slab.size))}))


def _told(one: Held) -> bytes:
    told = [{"alert": name, **asdict(each)} for name, each in one.told.items()]
    kinds = {"alert": pl.String, "count": pl.Int64, "until": pl.Int64, "at_until": pl.Int64, "measured": pl.Float64}
    return _table(pl.DataFrame(told, schema=kinds, orient="row"))


def _held(plan: Plan, parts: Sequence[bytes], counters: Mapping[str, Any], names: Names) -> Held:
    one = Held.of(plan)
    rows, groups, told = (_read(part) for part in parts)
    if rows.height > _MAX_ROWS or any(rows[name].null_count() for name in rows.columns):
        raise ValueError("rows are not sound")
    kinds = {name: column.dtype for name, column in one.slab.columns.items() if name != "about"}
    table = {name: rows[name].to_numpy().astype(kind, casting="same_kind") for name, kind in kinds.items()}
    about = np.column_stack([rows[f"about.{index}"].to_numpy() for index in range(len(ABOUT))]).astype(np.int32)
    codes = [about.ravel(), *([table["value"]] if "value" in table else [])]
    codes.append(table["low"][table["high"] == NAMED].astype(np.int64))
    group = rows["group"].to_numpy().astype(np.int64)
    if any(len(some) and (some.min() < -1 or some.max() >= names.size) for some in codes):
        raise ValueError("a text is missing")
    if len(group) and (group.min() < 0 or group.max() >= groups.height):
        raise ValueError("a group is missing")
    own = one.groups.codes(groups["text"].cast(pl.String)).astype(np.int64)
    one.slab = _filled(one.slab, own[group], {**table, "about": about})
    one.see_all()
    for alert, *entry in told.select("alert", *Told.__slots__).iter_rows():
        one.told[str(alert)] = Told(*entry)
    for name in _COUNTERS:
        setattr(one, name, int(counters[name]))
    return one


def _filled(slab: Slab, group: np.ndarray[Any, Any], table: dict[str, np.ndarray[Any, Any]]) -> Slab:
    if len(group):
        slab.add(group, table)
    return slab
