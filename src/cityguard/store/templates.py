"""Index templates, made from the same column tables as everything else; unknown names are kept but not indexed."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cityguard import columns
from cityguard.columns import Column
from cityguard.store import pack

IGNORE_ABOVE = 8_191  # characters; Lucene's longest term is 32,766 bytes, four per character
FIRST_YEAR, LAST_YEAR = 2020, 2100

RECORDS = ("evidence", "assessments", "drills", "schedules", "runs", "dead", "chunks", "audit", "state", "sightings")

_NANOS = frozenset(("@timestamp", "event.ingested", "event.start", "event.end"))
_KEYWORD = {"type": "keyword", "ignore_above": IGNORE_ABOVE}


def templates(prefix: str) -> dict[str, dict[str, Any]]:
    """Index templates by name: one per dataset, one for alerts, one for all other records."""
    found = {
        f"{prefix}-events-{dataset}": _template(prefix, [f"{prefix}-events-{dataset}-*"], _events(dataset))
        for dataset in columns.DATASETS
    }
    found[f"{prefix}-alerts"] = _template(prefix, [f"{prefix}-alerts"], _alerts())
    found[f"{prefix}-records"] = _template(prefix, [f"{prefix}-{name}" for name in RECORDS], _records())
    return found


def settings(prefix: str) -> tuple[str, dict[str, Any]]:
    """(name, body) of the component template that all index templates share. Sites may override it in ``@custom``."""
    return f"{prefix}-settings", {
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": 1,
                    "auto_expand_replicas": "0-1",
                    "codec": "best_compression",
                    "refresh_interval": "1s",
                    "translog": {"durability": "request"},  # acknowledged means synced
                    "mapping": {"ignore_malformed": True, "total_fields": {"limit": 2_000}},
                }
            }
        }
    }


def fingerprint(prefix: str) -> str:
    """Changes whenever a template does."""
    text = json.dumps([templates(prefix), settings(prefix)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def index(prefix: str, dataset: str) -> pl.Expr:
    """Name of the index of every row, from its id's month alone: the same id always goes to the same index.

    ``_id`` is unique per index only, and a data stream writes to whichever index it rolled over to last; so
    events go to plain monthly indices. Months before ``FIRST_YEAR`` and after ``LAST_YEAR`` share one each,
    or a forged clock could ask for thousands of indices.
    """
    is_ours = pl.col(pack.ID).str.contains("^[0-9a-f]{32}$") & (pack.id_ms() > 0)
    ms = pl.when(is_ours).then(pack.id_ms()).otherwise(pl.col(pack.TIME).dt.epoch("ms")).fill_null(0)
    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000 for year in (FIRST_YEAR, LAST_YEAR))
    month = pl.from_epoch(ms.clip(first, last), time_unit="ms").dt.strftime("%Y.%m")
    span = pl.when(ms < first).then(pl.lit("past")).when(ms >= last).then(pl.lit("future")).otherwise(month)
    return pl.lit(f"{prefix}-events-{dataset}-") + span


def ends(name: str) -> datetime | None:
    """First moment after an index's month; None when it never ends or the name is none of ours."""
    span = name.rpartition("-")[2]
    if span == "past":
        return datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    try:
        start = datetime.strptime(span, "%Y.%m").replace(tzinfo=UTC)
    except ValueError:
        return None
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def _template(prefix: str, patterns: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "index_patterns": patterns,
        "priority": 500,
        "composed_of": [f"{prefix}-settings", f"{prefix}-settings@custom"],
        "ignore_missing_component_templates": [f"{prefix}-settings@custom"],
        "template": {"mappings": {"dynamic": False, "subobjects": False, "properties": properties}},
    }


def _events(dataset: str) -> dict[str, Any]:
    return {column.name: _field(column) for column in columns.DATASETS[dataset]}


def _field(column: Column) -> dict[str, Any]:
    match column.kind:
        case "time":
            return {"type": "date_nanos" if column.name in _NANOS else "date"}
        case "ip":
            return {"type": "ip"}
        case "long":
            return {"type": "long"}
        case "int" | "port":
            return {"type": "integer"}
        case "double":
            return {"type": "double"}
        case "bool":
            return {"type": "boolean"}
        case "json":
            return {"type": "flattened", "ignore_above": IGNORE_ABOVE, "depth_limit": 50}
        case "keyword" | "keywords" | "text":
            return dict(_KEYWORD)


def _alerts() -> dict[str, Any]:
    keywords = (
        *("id", "rule_id", "title", "source", "status", "verdict", "owner", "note", "case_id", "author", "tags"),
        *("department", "system", "segment", "dataset", "user.name", "host.name"),
    )
    return {
        **{name: dict(_KEYWORD) for name in keywords},
        **{name: {"type": "long"} for name in ("count", "first_seen", "last_seen", "version")},
        "@timestamp": {"type": "date"},
        "level": {"type": "byte"},
        "score": {"type": "double"},
        "source.ip": {"type": "ip"},
        "destination.ip": {"type": "ip"},
        "search": {"type": "text", "analyzer": "whitespace", "norms": False},
    }


def _records() -> dict[str, Any]:
    return {
        **{name: dict(_KEYWORD) for name in ("id", "system", "check", "job", "source", "unit")},
        **{
            name: {"type": "long"} for name in ("at", "seq", "fence", "received", "stored", "dead", "dropped", "events")
        },
        "value": {"type": "binary"},
        "mac": {"type": "keyword", "index": False, "doc_values": False},
    }
