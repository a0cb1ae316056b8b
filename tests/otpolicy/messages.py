"""Messages for the tests: rows of ``ot`` as the pipeline hands them on, enriched by a small town's register."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from cityguard import columns
from cityguard.model import Asset, Department, EventBatch, Segment, Station, System
from cityguard.register.register import Register

CITY = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 3, 11, 2, 0, tzinfo=UTC)  # a Wednesday, 10:00 in the city
SCADA, ENGINEER, STRANGER, PLC = "10.66.10.5", "10.66.0.20", "10.66.0.99", "10.66.10.12"
PLATFORM, LOGGER, MN = "10.69.0.5", "10.69.10.21", "9901A00000000000000000E1"

STATION = Station(MN, "一号排口", "hj212", platforms=(PLATFORM,), period_s=600.0, periods=("2051=600",), system="env")


def register(*stations: Station) -> Register:
    """A water works and an outfall."""
    return Register(
        departments=(Department("water", "水务局"),),
        systems=(System("scada", "供水调度", "water"), System("env", "污染源监控", "water")),
        assets=(
            Asset("master", "监控主机", "scada", (SCADA,), "hmi"),
            Asset("engineer", "工程师站", "scada", (ENGINEER,), "engineering"),
            Asset("plc-2", "水厂控制器2", "scada", (PLC,), "plc"),
            Asset("platform", "监控平台", "env", (PLATFORM,), "application"),
        ),
        segments=(
            Segment("seg-water", "水厂控制网", ("10.66.10.0/24",), ot=True),
            Segment("seg-env", "排口网", ("10.69.10.0/24",), ot=True),
        ),
        stations=stations,
        zone=CITY,
    )


def message(seconds: float = 0, **more: Any) -> dict[str, Any]:
    """A Modbus read of the SCADA host, unless said otherwise; names with ``__`` for dots."""
    row: dict[str, Any] = {
        "@timestamp": START + timedelta(seconds=seconds),
        "ot.protocol": "modbus",
        "ot.function.code": 3,
        "ot.function.name": "Read Holding Registers",
        "ot.function.class": "read",
        "ot.unit_id": "1",
        "ot.address": "100",
        "ot.quantity": 10,
        "ot.is_request": True,
        "source.ip": SCADA,
        "destination.ip": PLC,
        "source.port": 50_000,
        "destination.port": 502,
    }
    return row | {name.replace("__", "."): value for name, value in more.items()}


def write(seconds: float = 0, **more: Any) -> dict[str, Any]:
    """A Modbus write of one register."""
    what: dict[str, Any] = {"ot__function__code": 6, "ot__function__name": "Write Single Register"}
    return message(seconds, **(what | {"ot__function__class": "write", "ot__quantity": 1} | more))


def report(seconds: float = 0, **more: Any) -> dict[str, Any]:
    """An HJ 212 station's minute data to its platform."""
    what: dict[str, Any] = {"ot__protocol": "hj212", "ot__function__code": 2051, "ot__function__name": "minute data"}
    ends = {"source__ip": LOGGER, "destination__ip": PLATFORM, "source__port": 40_000, "destination__port": 9_000}
    told: dict[str, Any] = {"ot__unit_id": MN, "ot__address": "w01018", "ot__quantity": None, "ot__is_request": False}
    more = {**told, **what, **ends} | more
    return message(seconds, **more)


def batch(rows: list[dict[str, Any]], book: Register, part: str = "p") -> EventBatch:
    """The rows as an enriched batch with ids."""
    names = dict.fromkeys(name for row in rows for name in row)
    schema = {name: columns.BY_NAME[name].dtype for name in names}
    table = pl.DataFrame([{name: row.get(name) for name in names} for row in rows], schema=schema)
    stamp = table["@timestamp"].dt.epoch("ms").to_list()
    ids = [f"{at:012x}{nth:020x}" for nth, at in enumerate(stamp)]
    return book.enrich(EventBatch("ot", "pcap", table.with_columns(pl.Series("event.id", ids)), part=part))
