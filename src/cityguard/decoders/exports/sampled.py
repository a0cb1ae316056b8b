"""Samples of sFlow as tables: headers decoded like captured packets, the agent's own word where there is no header."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from cityguard import columns
from cityguard.decoders import address, packet
from cityguard.decoders.events import Ends, keyed
from cityguard.decoders.exports.groups import _FLAGS
from cityguard.decoders.exports.sflow import Counters, Sample
from cityguard.model import Frames

TCP = 6
_KEYS = ("source.ip", "destination.ip", "source.port", "destination.port", "proto", "vlan", "tcp.flags", "source.bytes")


def flows(frames: Frames, samples: list[Sample]) -> pl.DataFrame:
    """Rows of the dataset ``flow``, one per sample."""
    n = len(samples)
    if not n:
        return pl.DataFrame()
    seen = _seen(frames, samples)
    made = _keys(samples, seen)
    size = np.array(
        [_first(seen, nth, "size", one.told.get("source.bytes")) for nth, one in enumerate(samples)], np.int64
    )
    flags = [_first(seen, nth, "flags", one.told.get("tcp.flags")) for nth, one in enumerate(samples)]
    tcp = made["network.transport"] == "tcp"
    told = _told(samples, set(made.columns))
    rate = np.array([one.rate for one in samples], np.int64)
    return made.with_columns(
        _number("source.bytes", size),
        _number("network.bytes", size),
        pl.Series("source.packets", np.ones(n, np.int64)),
        pl.Series("network.packets", np.ones(n, np.int64)),
        _number("tcp.flags", np.array(flags, np.int64)).cast(pl.Int32).set(~tcp.fill_null(value=False), None),
        _number("flow.sampling", np.where((rate > 0) & (rate < 1 << 31), rate, -1)).cast(pl.Int32),
        _number("observer.ingress.interface.id", np.array([one.input for one in samples], np.int64)),
        _number("observer.egress.interface.id", np.array([one.output for one in samples], np.int64)),
        pl.Series("observer.ip", [one.peer or None for one in samples], pl.String),
        pl.Series("sflow.agent", [one.agent for one in samples], pl.String),
        pl.Series("event.flags", _FLAGS, pl.List(pl.String))[[one.flag for one in samples]],
        *told,
    )


def counters(found: list[Counters]) -> pl.DataFrame:
    """Rows of the dataset ``host``: counters of interfaces under their names in the MIB."""
    names = dict.fromkeys(name for one in found for name in one.told)
    own = [
        pl.Series("@timestamp", [one.time // 1000 or None for one in found], pl.Int64).cast(pl.Datetime("us", "UTC")),
        pl.Series("log.offset", [one.number for one in found], pl.Int64),
        pl.Series("observer.ip", [one.peer or None for one in found], pl.String),
        pl.Series("event.provider", ["sflow"] * len(found)),
        pl.Series("event.action", ["interface_counters"] * len(found)),
    ]
    return pl.DataFrame([*own, *(_native(name, [one.told.get(name) for one in found]) for name in names)])


def _seen(frames: Frames, samples: list[Sample]) -> dict[int, dict[str, Any]]:
    """What the sampled headers say, by sample."""
    rows = [nth for nth, one in enumerate(samples) if one.header is not None]
    if not rows:
        return {}
    heads = np.array([samples[nth].header for nth in rows], np.int64)
    inner = Frames(
        frames.buffer,
        heads[:, 1].copy(),
        heads[:, 2].copy(),
        np.array(rows, np.int64),
        np.array([samples[nth].time for nth in rows], np.int64),
        heads[:, 3].copy(),
        heads[:, 0].astype(np.int32),
    )
    packets, _ = packet.decode(inner)
    names = ("size", "flags", "proto", "source_port", "destination_port", "icmp", "vlan", "v6", "mac")
    lists = {name: getattr(packets, name).tolist() for name in names}
    for side in ("source", "destination"):
        high, low = getattr(packets, side)
        lists[side] = list(zip(high.tolist(), low.tolist(), strict=True))
    out: dict[int, dict[str, Any]] = {}
    for at, nth in enumerate(packets.number.tolist()):
        out.setdefault(nth, {name: one[at] for name, one in lists.items()})
        place = lists["mac"][at]
        if place >= 0:
            raw = frames.buffer[place : place + 12].tobytes()
            samples[nth].told |= {"destination.mac": raw[:6].hex(":"), "source.mac": raw[6:].hex(":")}
    return out


def _keys(samples: list[Sample], seen: dict[int, dict[str, Any]]) -> pl.DataFrame:
    n = len(samples)

    def column(name: str, told: str) -> Any:
        return np.array([_first(seen, nth, name, one.told.get(told)) for nth, one in enumerate(samples)], np.int64)

    ends = {}
    for side in ("source", "destination"):
        pairs = [
            seen[nth][side] if nth in seen else _packed(one.told.get(f"{side}.ip")) for nth, one in enumerate(samples)
        ]
        ends[side] = np.array(pairs, np.uint64).reshape(n, 2)
    proto = column("proto", "proto")
    icmp = np.array([seen[nth]["icmp"] if nth in seen else -1 for nth in range(n)], np.int64)
    ping = np.isin(proto, (1, 58)) | (icmp >= 0)
    six = np.array(
        [
            bool(seen[nth]["v6"]) if nth in seen else ":" in str(one.told.get("source.ip"))
            for nth, one in enumerate(samples)
        ]
    )
    number = np.array([one.number for one in samples], np.int64)
    made = keyed(
        Ends(
            number,
            np.array([one.time for one in samples], np.int64),
            six,
            np.clip(proto, 0, 255).astype(np.uint8),
            (ends["source"][:, 0], ends["source"][:, 1]),
            (ends["destination"][:, 0], ends["destination"][:, 1]),
            np.where(ping, -1, column("source_port", "source.port")),
            np.where(ping, -1, column("destination_port", "destination.port")),
            np.where(column("vlan", "vlan") > 0, column("vlan", "vlan"), -1),
            icmp,
        )
    )
    unknown = pl.Series(proto < 0)
    nowhere = pl.Series([nth not in seen and one.told.get("source.ip") is None for nth, one in enumerate(samples)])
    return made.with_columns(
        *(made[name].set(unknown, None) for name in ("network.transport", "network.community_id")),
        *(made[name].set(nowhere, None) for name in ("source.ip", "destination.ip")),
        _number("icmp.type", np.where(icmp >= 0, icmp >> 8, -1)).cast(pl.Int32),
        _number("icmp.code", np.where(icmp >= 0, icmp & 255, -1)).cast(pl.Int32),
    )


def _first(seen: dict[int, dict[str, Any]], nth: int, name: str, told: Any) -> int:
    if nth in seen:
        return int(seen[nth][name])
    return -1 if told is None else int(told)


def _packed(text: str | None) -> tuple[int, int]:
    return address.packed(text) if text else (0, 0xFFFF_0000_0000)


def _told(samples: list[Sample], have: set[str]) -> list[pl.Series]:
    names = dict.fromkeys(name for one in samples for name in one.told)
    return [
        _native(name, [one.told.get(name) for one in samples])
        for name in names
        if name not in have and name not in _KEYS
    ]


def _native(name: str, values: list[Any]) -> pl.Series:
    column = columns.BY_NAME.get(name)
    kind = column.dtype if column else pl.String() if any(isinstance(one, str) for one in values) else pl.Int64()
    return pl.Series(name, values, kind, strict=False)


def _number(name: str, found: Any) -> pl.Series:
    out, none = pl.Series(name, found, pl.Int64), found < 0
    return out.set(pl.Series(none), None) if none.any() else out
