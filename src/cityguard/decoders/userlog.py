"""H3C user logs in binary form (flow log 3.0): NAT44 and NAT66 sessions, many to a datagram.

Layout: H3C configuration guides, "Flow log", tables of the log header and of the NAT and NAT66 flow log 3.0 fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import address
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.text import dead
from cityguard.model import Decoded, EventBatch, Frames

HEADER = np.dtype(
    [
        *(("version", "u1"), ("kind", "u1"), ("count", ">u2"), ("second", ">u4"), ("sequence", ">u4")),
        *(("chassis", ">u2"), ("slot", "u1"), ("cpu", "u1")),
    ]
)
_COUNTS = (("in_packets", ">u4"), ("in_bytes", ">u4"), ("out_packets", ">u4"), ("out_bytes", ">u4"))
_FIRST = (("protocol", "u1"), ("operator", "u1"), ("ip_version", "u1"), ("tos", "u1"))
NAT44 = np.dtype(
    [
        *_FIRST,
        *((name, ">u4") for name in ("src", "src_nat", "dst", "dst_nat")),
        *((name, ">u2") for name in ("sport", "sport_nat", "dport", "dport_nat")),
        *(("start", ">u4"), ("end", ">u4")),
        *_COUNTS,
        *(("in_vpn", "u1"), ("out_vpn", "u1"), ("vsystem", ">u2"), ("app", ">u4"), ("reserved", ">u4")),
    ]
)
NAT66 = np.dtype(
    [
        *_FIRST,
        *((name, ">u8") for name in ("src_high", "src_low", "dst_high", "dst_low")),
        *(("sport", ">u2"), ("dport", ">u2"), ("start", ">u4"), ("end", ">u4")),
        *_COUNTS,
        *(("in_vpn", ">u2"), ("out_vpn", ">u2"), ("context", ">u4"), ("app", ">u4")),
    ]
)
_LAYOUTS = {(3, 4): NAT44, (3, 5): NAT66}
MAX_COUNT = 100
"""Records in one datagram, as the guide has it."""
_MAPPED = np.uint64(0xFFFF << 32)
Words = npt.NDArray[np.int64]


def decoder(options: Options) -> Decoder:
    """No options. Columns: of the header chassis, slot, cpu, exported; of the records the guide's, in lower case."""
    return _UserLog()


def is_export(raw: bytes) -> bool:
    """Whether a datagram is one: a known kind, a sane time, and records that end where it ends."""
    if len(raw) < HEADER.itemsize:
        return False
    head = np.frombuffer(raw, HEADER, 1)[0]
    layout = _LAYOUTS.get((int(head["version"]), int(head["kind"])))
    if layout is None or not 0 < head["count"] <= MAX_COUNT or not 1_000_000_000 < head["second"] < 4_000_000_000:
        return False
    return len(raw) == HEADER.itemsize + int(head["count"]) * layout.itemsize


class _UserLog:
    def decode(self, frames: Frames) -> Decoded:
        kinds: dict[tuple[int, int], list[int]] = {}
        bad: list[int] = []
        for index in range(len(frames)):  # one look per datagram of up to a hundred records
            raw = frames.item(index)
            if is_export(raw):
                kinds.setdefault((raw[0], raw[1]), []).append(index)
            else:
                bad.append(index)
        tables = [_table(frames, rows, _LAYOUTS[kind]) for kind, rows in kinds.items()]
        lost = np.array(bad, np.int64)
        batches = tuple(EventBatch("", "", table) for table in tables)
        return Decoded(batches, dead(frames, lost, "no user log of version 3 for NAT44 or NAT66"), len(bad))

    def flush(self) -> Decoded:
        return Decoded()


def _table(frames: Frames, rows: list[int], layout: np.dtype[np.void]) -> pl.DataFrame:
    raws = [frames.item(row) for row in rows]
    heads = np.concatenate([np.frombuffer(raw, HEADER, 1) for raw in raws])
    records = np.concatenate([np.frombuffer(raw, layout, offset=HEADER.itemsize) for raw in raws])
    of = np.repeat(np.arange(len(raws)), heads["count"])
    columns = {name: pl.Series(name, heads[name].astype(np.int64)[of]) for name in ("chassis", "slot", "cpu")}
    columns["exported"] = pl.Series("exported", heads["second"].astype(np.int64)[of])
    for name in layout.names or ():
        if name not in ("src", "dst", "src_nat", "dst_nat", "reserved") and not name.endswith(("_high", "_low")):
            columns[name] = pl.Series(name, records[name].astype(np.int64))
    columns |= {name: column.alias(name) for name, column in _addresses(records)}
    columns["protocol"] = address.transport(records["protocol"].astype(np.int64)).alias("protocol")
    columns["log.offset"] = pl.Series("log.offset", frames.number[np.array(rows, np.int64)][of])
    return pl.DataFrame(columns)


def _addresses(records: npt.NDArray[np.void]) -> Iterator[tuple[str, pl.Series]]:
    names = records.dtype.names or ()
    if "src_high" in names:
        for side in ("src", "dst"):
            high, low = records[f"{side}_high"].astype(np.uint64), records[f"{side}_low"].astype(np.uint64)
            yield side, address.text(high, low)
        return
    for side in ("src", "dst", "src_nat", "dst_nat"):
        low = records[side].astype(np.uint64) | _MAPPED
        yield side, address.text(np.zeros_like(low), low)
