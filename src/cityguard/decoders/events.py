"""Rows of the application decoders, with the flow's keys as columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard import columns
from cityguard.decoders import address
from cityguard.decoders.flow import Keys, digest
from cityguard.decoders.packet import Bools, U8s, U64s, Words

MAX_ROWS = 100_000
"""Rows gathered one by one before they become a table."""

Halves = tuple[U64s, U64s]


@dataclass(frozen=True, slots=True)
class Ends:
    """When and between whom, one entry per row; as the columns of the same name in ``packet.Packets``."""

    number: Words
    time: Words
    v6: Bools
    proto: U8s
    source: Halves
    destination: Halves
    source_port: Words
    destination_port: Words
    vlan: Words
    icmp: Words


End = tuple[int, int, int]
"""One side: high and low half of its address, port."""


@dataclass(frozen=True, slots=True)
class Talk:
    """The two sides of a connection or exchange, ``source`` first."""

    source: End
    destination: End
    proto: int
    v6: bool
    vlan: int
    opener: int = -1
    """Who opened it with a SYN: 0 = source, 1 = destination, -1 = not seen."""
    link: bool = False
    """Between Ethernet stations: the low half of an end is its MAC, there is no address or port."""

    def turned(self) -> Talk:
        opener = self.opener if self.opener < 0 else 1 - self.opener
        return Talk(self.destination, self.source, self.proto, self.v6, self.vlan, opener, self.link)


@dataclass(slots=True)
class Rows:
    """Rows of one dataset, gathered one by one on the slow paths."""

    dataset: str
    number: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    talk: list[Talk] = field(default_factory=list)
    fields: list[dict[str, Any]] = field(default_factory=list)
    tables: list[pl.DataFrame] = field(default_factory=list)

    def add(self, number: int, time: int, talk: Talk, fields: dict[str, Any]) -> None:
        self.number.append(number)
        self.time.append(time)
        self.talk.append(talk)
        self.fields.append(fields)
        if len(self.number) >= MAX_ROWS:
            self._table()

    def take(self) -> list[pl.DataFrame]:
        """The rows so far in tables of at most ``MAX_ROWS``, each in order of number; the rows start anew."""
        if self.number:
            self._table()
        taken, self.tables = self.tables, []
        return taken

    def _table(self) -> None:
        try:
            table = pl.concat([self._keyed(), self._columns()], how="horizontal")
        finally:  # whatever happens, these rows are not tried again
            self.number, self.time, self.talk, self.fields = [], [], [], []
        self.tables.append(table.sort("log.offset", maintain_order=True))

    def _keyed(self) -> pl.DataFrame:
        ends = self._ends()
        table = keyed(ends)
        link = pl.Series([talk.link for talk in self.talk], dtype=pl.Boolean)
        if not link.any():
            return table
        none = pl.when(~link)
        keys = ("source.ip", "destination.ip", "network.transport", "network.community_id")
        return table.with_columns(
            *(none.then(pl.col(name)).alias(name) for name in keys),
            *(
                pl.when(link).then(address.mac(halves[1].astype(np.int64))).alias(f"{side}.mac")
                for side, halves in (("source", ends.source), ("destination", ends.destination))
            ),
        )

    def _ends(self) -> Ends:
        ends = np.array([(*talk.source[:2], *talk.destination[:2]) for talk in self.talk], np.uint64)
        return Ends(
            np.array(self.number, np.int64),
            np.array(self.time, np.int64),
            np.array([talk.v6 for talk in self.talk], np.bool_),
            np.array([talk.proto for talk in self.talk], np.uint8),
            (ends[:, 0], ends[:, 1]),
            (ends[:, 2], ends[:, 3]),
            np.array([talk.source[2] for talk in self.talk], np.int64),
            np.array([talk.destination[2] for talk in self.talk], np.int64),
            np.array([talk.vlan for talk in self.talk], np.int64),
            np.full(len(self.number), -1, np.int64),
        )

    def _columns(self) -> pl.DataFrame:
        used = dict.fromkeys(name for fields in self.fields for name in fields)
        return pl.DataFrame([_column(name, [fields.get(name) for fields in self.fields]) for name in used])


_LISTS = pl.List(pl.String)


def _column(name: str, values: list[Any]) -> pl.Series:
    """A column of the schema; a value that does not fit it becomes null, alone."""
    dtype = columns.BY_NAME[name].dtype
    try:
        if dtype == pl.String and int in set(map(type, values)):  # a unit is a number here and a name there
            values = [str(value) if type(value) is int else value for value in values]
        if dtype == _LISTS:  # Arrow takes lists of texts many times faster
            return pl.Series(name, pa.array(values, pa.large_list(pa.large_string())), dtype)
        return pl.Series(name, values, dtype)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError, pa.ArrowException):
        return pl.Series(name, [_fitting(value) for value in values], dtype, strict=False)


def _fitting(value: Any) -> Any:
    """Text that UTF-8 can hold; a number that a signed column can."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_fitting(one) for one in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return None
    return value


def keyed(ends: Ends) -> pl.DataFrame:
    """The flow's keys of each row: time, number, addresses, ports, transport, VLAN and Community ID."""
    keys = Keys(ends)
    _, first, inverse = np.unique(digest(keys.columns()), return_index=True, return_inverse=True)
    flows = pl.DataFrame({name: column[first] for name, column in keys.columns().items()})
    ports = keys.ports[first].astype(np.int64)
    ids = address.community_id(flows, ends.proto[first].astype(np.int64), ends.v6[first], ports)
    return pl.DataFrame(
        [
            moment(ends.time).alias("@timestamp"),
            pl.Series("log.offset", ends.number),
            address.text(*ends.source).alias("source.ip"),
            count(ends.source_port).cast(pl.Int32).alias("source.port"),
            address.text(*ends.destination).alias("destination.ip"),
            count(ends.destination_port).cast(pl.Int32).alias("destination.port"),
            address.transport(ends.proto.astype(np.int64)).alias("network.transport"),
            ids[inverse.ravel()].alias("network.community_id"),
            count(ends.vlan).cast(pl.Int32).alias("network.vlan.id"),
        ]
    )


def moment(nanoseconds: Words) -> pl.Series:
    """Times as the schema holds them; 0 (unknown) becomes null."""
    series = pl.Series("", nanoseconds // 1000).cast(pl.Datetime("us", "UTC"))
    return series.set(pl.Series(nanoseconds <= 0), None)


def count(values: npt.NDArray[np.signedinteger]) -> pl.Series:
    """Numbers where negative stands for unknown."""
    series = pl.Series("", values)
    return series.set(series < 0, None)
