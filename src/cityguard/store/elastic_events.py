"""Events in Elasticsearch: one index per dataset and month of the id, created once, found by the same questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from cityguard import columns
from cityguard.errors import InputError
from cityguard.model import DeadLetter, EventBatch, Query
from cityguard.store import dsl, fields, groups, pack, templates
from cityguard.store.elastic_client import PAGE, Client
from cityguard.store.ledger import Refusals

_LINE, _INDEX = "\0line", "\0index"
_TIME_FORM = "%Y-%m-%dT%H:%M:%S%.f%:z"


class ElasticEvents:
    """See ``store.base.Events``.

    Args:
        client: the cluster.
        bury: takes what the cluster refuses for good.
        refusals: remembers it until the ledger books the chunk it came from.
    """

    def __init__(self, client: Client, bury: Callable[[list[DeadLetter]], object], refusals: Refusals) -> None:
        self._client, self._bury, self._refusals = client, bury, refusals

    def append(self, batch: EventBatch) -> int:
        """Create documents; synced on every copy when it returns. What is refused for good becomes a dead letter.

        Raises:
            StoreError: the cluster does not take them; sending the batch again adds nothing twice.
        """
        if not len(batch):
            return 0
        table = pack.pack(batch)
        place = next((name for name in ("event.sequence", "log.offset") if name in table.columns), None)
        places = table[place] if place else pl.Series(range(table.height))
        lined = table.select(
            pack.ID, templates.index(self._client.prefix, batch.dataset).alias(_INDEX), _document(table).alias(_LINE)
        ).with_columns(places.fill_null(0).alias("place"))
        added = 0
        for (index,), piece in lined.partition_by(_INDEX, as_dict=True, maintain_order=True).items():
            result = self._client.write(str(index), piece[_LINE])
            added += result.created
            if result.refused:
                self._refuse(batch, piece, result.refused)
        return added

    def _refuse(self, batch: EventBatch, piece: pl.DataFrame, refused: list[tuple[int, str]]) -> None:
        lines, places, names = piece[_LINE], piece["place"], piece[pack.ID]
        self._bury([DeadLetter(batch.collector, int(places[n]), why, lines[n].encode()) for n, why in refused])
        self._refusals.add(batch.dataset, batch.part, [(names[n], int(places[n])) for n, _ in refused])

    def query(self, query: Query) -> pl.DataFrame:
        node = fields.resolve(fields.check(query), "events")
        order = "desc" if query.newest_first else "asc"
        after = [query.after] if query.after is not None else None
        hits = self._client.pages(
            self._indices(query.dataset), dsl.events(node, query), [{pack.ID: order}], query.limit, after
        )
        return _table([hit["_source"] for hit in hits], query.dataset)

    def get(self, ids: Sequence[str]) -> pl.DataFrame:
        wanted = sorted(set(ids))
        if len(wanted) > fields.MAX_ROWS:
            raise InputError(f"{len(wanted)} ids at once", remedy=f"at most {fields.MAX_ROWS}")
        rows: list[dict[str, Any]] = []
        for at in range(0, len(wanted), PAGE):
            some = {"terms": {pack.ID: wanted[at : at + PAGE]}}
            # An id is in one index of its dataset, but two datasets may share it.
            hits = self._client.pages(self._indices(None), some, [{pack.ID: "asc"}], None, None)
            rows += [hit["_source"] for hit in hits]
        return _table(rows, None)

    def aggregate(
        self, query: Query, by: Sequence[str], *, interval_s: int | None = None, top: int = 100
    ) -> pl.DataFrame:
        """Counts by columns and intervals, exact; rows without a value are a group of their own (null)."""
        names = groups.group_columns(by, interval_s, top)
        condition = dsl.events(fields.resolve(fields.check(query), "events"), query)
        index = self._indices(query.dataset)
        if not names and not interval_s:
            return pl.DataFrame({"count": [self._client.count(index, condition)]}, schema={"count": pl.Int64})
        sources: list[dict[str, Any]] = [
            {f"k{n}": {"terms": {"field": name, "missing_bucket": True}}} for n, name in enumerate(names)
        ]
        if interval_s:
            spans = {"field": "@timestamp", "fixed_interval": f"{interval_s}s"}
            sources = [{"bucket": {"date_histogram": spans}}, *sources]
        buckets = self._client.composite(index, condition, sources, groups.MAX_GROUPS, {})
        found = groups.frame(
            [[b["key"][f"k{n}"] for n in range(len(names))] + [b["doc_count"]] for b in buckets],
            [b["key"]["bucket"] * 1_000 for b in buckets] if interval_s else None,
            names,
        )
        return groups.shaped(groups.best(found, names, interval_s, top), names, interval_s)

    def purge(self, before: datetime) -> int:
        """Delete the indices whose month is over before ``before``."""
        gone = 0
        for name in self._client.indices(f"{self._client.prefix}-events-*"):
            end = templates.ends(name)
            if end is None or end > before:
                continue
            gone += self._client.count(name, {"match_all": {}})
            self._client.delete_index(name)
        return gone

    def _indices(self, dataset: str | None) -> str:
        return f"{self._client.prefix}-events-{dataset or '*'}-*"


def _document(table: pl.DataFrame) -> pl.Expr:
    """Action line and document as text for every row; nothing in a row can end its line or its object early."""
    action = pl.struct(pl.struct(pl.col(pack.ID).alias("_id")).alias("create")).struct.json_encode()
    body = pl.struct(pl.exclude(pack.FIELDS)).struct.json_encode()
    if pack.FIELDS in table.columns:
        inner = pl.lit(pl.Series([_object(text) for text in table[pack.FIELDS]], dtype=pl.String))
        body = (
            pl.when(inner.is_null())
            .then(body)
            .otherwise(pl.concat_str(body.str.head(-1), pl.lit(f',"{pack.FIELDS}":'), inner, pl.lit("}")))
        )
    return pl.concat_str(action, pl.lit("\n"), body)


def _object(text: str | None) -> str | None:
    """One JSON object on one line: the text itself where it is that, else an object that holds it as a string.

    A sender may have written the text, so it is parsed: what only looks like an object would go on as other
    members of the document, or as another action of the request.
    """
    if text is None:
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        return orjson.dumps({pack.FIELDS: text}).decode()
    return orjson.dumps(found).decode() if "\n" in text else text


def _table(rows: list[dict[str, Any]], dataset: str | None) -> pl.DataFrame:
    """Documents as a table with the datasets' columns."""
    present = {row.get("event.dataset") for row in rows}
    datasets = [dataset] if dataset else [name for name in columns.DATASETS if name in present]
    names = {column.name: column for name in datasets for column in columns.DATASETS[name]}
    held: dict[str, pl.Series] = {}
    for name in sorted({key for row in rows for key in row} & names.keys()):
        values = [row.get(name) for row in rows]
        column = names[name]
        if column.kind == "json":
            held[name] = pl.Series(name, [_json(value) for value in values], dtype=pl.String)
        elif column.kind == "time":
            text = pl.Series(name, values, dtype=pl.String)
            held[name] = text.str.to_datetime(_TIME_FORM, time_unit="us", time_zone="UTC", strict=False)
        else:
            held[name] = pl.Series(name, values, dtype=column.dtype, strict=False)
    table = pl.DataFrame(held) if held else columns.empty(columns.COMMON)
    return pack.unpack(table, datasets)


def _json(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict) and value.keys() == {pack.FIELDS}:
        return str(value[pack.FIELDS])  # was no JSON object when it came
    return orjson.dumps(value).decode()
