"""The register: departments, systems, assets, segments, stations; whose an address is, for one or for a whole batch."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard import columns
from cityguard.errors import ContentErrors
from cityguard.model import Asset, Department, EventBatch, Segment, Station, System
from cityguard.register import faults as register_faults
from cityguard.register import files
from cityguard.register.lookup import PrefixTable, parse
from cityguard.register.stations import Directory

CITY = ZoneInfo("Asia/Shanghai")


Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Index:
    """What lookups need, made once: rows by id, addresses as prefix tables over indices, and columns to pick from."""

    departments: Mapping[str, Department]
    systems: Mapping[str, System]
    assets: PrefixTable
    segments: PrefixTable
    names: Mapping[str, int]  # host name, lower case -> index of its asset
    homes: Indices  # asset -> segment of its first address, -1 = none; one more -1 at the end
    of_asset: Mapping[str, pl.Series]  # fact -> value per asset, one more null at the end
    of_segment: Mapping[str, pl.Series]
    stations: Directory


@dataclass(frozen=True)
class Register:
    """Immutable; a changed register is a new one. Equal when its entries are equal, in order."""

    departments: tuple[Department, ...] = ()
    systems: tuple[System, ...] = ()
    assets: tuple[Asset, ...] = ()
    segments: tuple[Segment, ...] = ()
    stations: tuple[Station, ...] = ()
    zone: ZoneInfo = field(default=CITY, compare=False)
    holidays: frozenset[date] = field(default=frozenset(), compare=False)
    _index: _Index = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check and index the entries.

        Raises:
            ContentErrors: every fault, each with the place in these tuples.
        """
        entries = [
            (kind, item, partial(_place, kind, index))
            for kind in files.KINDS
            for index, item in enumerate(getattr(self, kind))
        ]
        known = {kind: {item.id for item in getattr(self, kind)} for kind in files.KINDS}
        faults = [fault for _, item, at in entries for fault in register_faults.of_item(item, at)]
        faults += register_faults.of_whole(entries, known)
        if faults:
            raise ContentErrors(list(faults))
        object.__setattr__(self, "_index", self._make_index())

    def _make_index(self) -> _Index:
        systems = {item.id: item for item in self.systems}
        owners = [systems[item.system] for item in self.assets]
        segments = PrefixTable(
            (ipaddress.ip_network(text), index) for index, item in enumerate(self.segments) for text in item.cidrs
        )
        names: dict[str, int] = {}
        for index, asset in enumerate(self.assets):
            names.setdefault(asset.id.lower(), index)
            names.setdefault(asset.name.lower(), index)
        homes = [segments.find(item.addresses[0].split("/")[0]) if item.addresses else -1 for item in self.assets]
        return _Index(
            {item.id: item for item in self.departments},
            systems,
            PrefixTable(
                (ipaddress.ip_network(text), i) for i, item in enumerate(self.assets) for text in item.addresses
            ),
            segments,
            names,
            np.array([*homes, -1], dtype=np.int64),
            {
                "asset": _values(item.id for item in self.assets),
                "system": _values(item.id for item in owners),
                "department": _values(item.department for item in owners),
                "grade": _values((item.grade or None for item in owners), pl.Int32()),
            },
            {
                "segment": _values(item.id for item in self.segments),
                "department": _values(item.department for item in self.segments),
                "zone": _values(item.zone or None for item in self.segments),
            },
            Directory(self.stations),
        )

    # ------------------------------------------------------------ files

    @classmethod
    def load(cls, path: Path, *, zone: ZoneInfo = CITY, holidays: frozenset[date] = frozenset()) -> Register:
        """Read a register from YAML, or from XLSX when the name ends so.

        Raises:
            InputError: the file cannot be read as a whole.
            ContentErrors: every fault found, each as ``path:line`` or ``path!sheet:row`` with a remedy.
        """
        rows, faults = files.read(path)
        entries: list[tuple[str, register_faults.Item, Callable[[str], str]]] = []
        known: dict[str, set[str]] = {kind: set() for kind in files.KINDS}
        for row in rows:
            known[row.kind].add(str(row.values.get("id", "")).strip())
            item, found = register_faults.build(row)
            faults += found
            if item is not None:
                faults += register_faults.of_item(item, row.at)
                entries.append((row.kind, item, row.at))
        faults += register_faults.of_whole(entries, known)
        if faults:
            raise ContentErrors(list(faults))
        tables: dict[str, Any] = {kind: tuple(item for its, item, _ in entries if its == kind) for kind in files.KINDS}
        return cls(**tables, zone=zone, holidays=holidays)

    @classmethod
    def empty(cls, *, zone: ZoneInfo = CITY) -> Register:
        """A register of nothing, before the first import."""
        return cls(zone=zone)

    def save_yaml(self, path: Path) -> None:
        """Write everything as YAML; loading it gives an equal register."""
        files.write_yaml(path, self._tables())

    def save_xlsx(self, path: Path) -> None:
        """Write everything as a workbook of five sheets; loading it gives an equal register."""
        files.write_xlsx(path, self._tables())

    def _tables(self) -> dict[str, Any]:
        return {kind: getattr(self, kind) for kind in files.KINDS}

    # ------------------------------------------------------------ questions

    def department(self, department_id: str) -> Department | None:
        """A department by id, or None."""
        return self._index.departments.get(department_id)

    def system(self, system_id: str) -> System | None:
        """A system by id, or None."""
        return self._index.systems.get(system_id)

    def asset(self, asset_id: str) -> Asset | None:
        """An asset by id, or None."""
        return next((asset for asset in self.assets if asset.id == asset_id), None)

    def station(self, station_id: str) -> Station | None:
        """A station by id, or None."""
        return self._index.stations.by_id.get(station_id)

    def assets_of(self, system: System | str) -> tuple[Asset, ...]:
        """Assets of a system (or system id), in register order."""
        wanted = system if isinstance(system, str) else system.id
        return tuple(asset for asset in self.assets if asset.system == wanted)

    def find_asset(self, ip: str) -> Asset | None:
        """The asset with this address; of several ranges the narrowest. None when there is none."""
        index = self._index.assets.find(ip)
        return self.assets[index] if index >= 0 else None

    def segment_of(self, ip: str) -> Segment | None:
        """The narrowest segment that holds this address, or None."""
        index = self._index.segments.find(ip)
        return self.segments[index] if index >= 0 else None

    def segments_of(self, ip: str) -> tuple[Segment, ...]:
        """Every segment that holds this address, narrow or wide; one by one, for the few questions of safety."""
        address = parse(ip)
        if address is None:
            return ()
        return tuple(
            item for item in self.segments if any(address in ipaddress.ip_network(text) for text in item.cidrs)
        )

    # ------------------------------------------------------------ enrichment

    def enrich(self, batch: EventBatch) -> EventBatch:
        """Add what the register knows of both ends, and the city's calendar; the rows stay as they are.

        ``source.*`` speak of ``source.ip``. Where a row has none, they speak of the host the event comes from
        (``host.name``, else ``host.ip``); where it has one but no ``destination.ip``, the host is the destination.
        """
        table = batch.table
        for side in ("source", "destination"):
            table = self._side(table, side)
        table = self._calendar(table)
        if batch.dataset == "ot":
            table = self._target(self._index.stations.enrich(table, self.zone))
        return EventBatch(batch.dataset, batch.collector, table, batch.segment, batch.logsource, batch.part)

    def _side(self, table: pl.DataFrame, side: str) -> pl.DataFrame:
        has_ip = _present(table, f"{side}.ip")
        # A host is the destination only of what came from somewhere else.
        from_host = ~has_ip if side == "source" else ~has_ip & _present(table, "source.ip")
        if f"{side}.ip" not in table.columns and not (_has_host(table) and from_host.any()):
            return table
        asset, segment = self._owners(table, f"{side}.ip")
        host_asset, host_segment = self._hosts(table)
        asset = np.where(from_host, host_asset, asset)
        segment = np.where(from_host, host_segment, segment)
        known = has_ip | (asset >= 0) | (segment >= 0)
        of_asset, of_segment = self._index.of_asset, self._index.of_segment
        facts = {
            "asset": of_asset["asset"].gather(asset),
            "system": of_asset["system"].gather(asset),
            "department": of_asset["department"].gather(asset).fill_null(of_segment["department"].gather(segment)),
            "segment": of_segment["segment"].gather(segment),
            "zone": of_segment["zone"].gather(segment),
            "grade": of_asset["grade"].gather(asset),
            "is_registered": pl.Series(asset >= 0).set(pl.Series(~known), None),
        }
        return table.with_columns(series.alias(f"{side}.{name}") for name, series in facts.items())

    def _target(self, table: pl.DataFrame) -> pl.DataFrame:
        """Whether the address a command sends a device to is an asset's."""
        aimed = _present(table, "ot.target_ip")
        if not aimed.any():
            return table
        known = pl.Series("ot.target_registered", self._owners(table, "ot.target_ip")[0] >= 0)
        return table.with_columns(known.set(pl.Series(~aimed), None))

    def _owners(self, table: pl.DataFrame, column: str) -> tuple[Indices, Indices]:
        # Each distinct address is looked up once; a join brings the answers back to the rows.
        if column not in table.columns or table.schema[column] != pl.String:
            nobody = np.full(table.height, -1, dtype=np.int64)
            return nobody, nobody
        addresses = table[column].alias("ip")
        distinct = addresses.unique()
        answers = pl.DataFrame(
            {"ip": distinct, "a": self._index.assets.find_all(distinct), "s": self._index.segments.find_all(distinct)}
        )
        rows = addresses.to_frame().join(answers, on="ip", how="left", nulls_equal=True, maintain_order="left")
        return rows["a"].to_numpy(), rows["s"].to_numpy()

    def _hosts(self, table: pl.DataFrame) -> tuple[Indices, Indices]:
        asset, segment = self._owners(table, "host.ip")
        if "host.name" not in table.columns or table.schema["host.name"] != pl.String:
            return asset, segment
        names = self._index.names
        hosts = table["host.name"].alias("h")
        distinct = hosts.unique().drop_nulls()
        found = [names.get(name, names.get(name.split(".")[0], -1)) for name in distinct.str.to_lowercase()]
        answers = pl.DataFrame({"h": distinct, "a": pl.Series(found, dtype=pl.Int64)})
        rows = hosts.to_frame().join(answers, on="h", how="left", maintain_order="left")
        by_name = rows["a"].fill_null(-1).to_numpy()
        return np.where(by_name >= 0, by_name, asset), np.where(by_name >= 0, self._index.homes[by_name], segment)

    def _calendar(self, table: pl.DataFrame) -> pl.DataFrame:
        if "@timestamp" not in table.columns or not isinstance(table.schema["@timestamp"], pl.Datetime):
            return table
        local = pl.col("@timestamp").dt.convert_time_zone(str(self.zone))
        free = pl.Series(sorted(self.holidays), dtype=pl.Date).implode()
        return table.with_columns(
            ((local.dt.weekday() <= 5) & ~local.dt.date().is_in(free)).alias("calendar.workday"),
            local.dt.hour().cast(columns.BY_NAME["calendar.hour"].dtype).alias("calendar.hour"),
        )


def _place(kind: str, index: int, name: str) -> str:
    return f"{kind}[{index}].{name}"


def _has_host(table: pl.DataFrame) -> bool:
    return "host.name" in table.columns or "host.ip" in table.columns


def _present(table: pl.DataFrame, column: str) -> npt.NDArray[np.bool_]:
    if column not in table.columns:
        return np.zeros(table.height, dtype=bool)
    return table[column].is_not_null().to_numpy()


def _values(values: Iterable[Any], dtype: pl.DataType | None = None) -> pl.Series:
    # One more null at the end, so that index -1 picks "unknown".
    return pl.Series([*values, None], dtype=dtype or pl.String())
