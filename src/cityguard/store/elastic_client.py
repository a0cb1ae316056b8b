"""One cluster: how it is reached, what is asked of it, and its faults as errors a person can act on."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import elastic_transport
import elasticsearch
import orjson
import polars as pl
from elasticsearch import Elasticsearch, OrjsonSerializer

from cityguard.errors import StoreError
from cityguard.store import templates
from cityguard.store.bulk import Answer, Bulk, Result
from cityguard.store.cluster import Cluster

PAGE = 5_000
SEARCH_TIMEOUT = "30s"
_NDJSON = "application/vnd.elasticsearch+x-ndjson; compatible-with=8"
_JSON = "application/vnd.elasticsearch+json; compatible-with=8"
_ITEMS = "/_bulk?filter_path=errors,items.*.error,items.*.status"


class Client:
    """The requests this store makes. What was written here is refreshed before it is searched here.

    Args:
        cluster: where, and how to log in.
        patience_s: how long writes are tried again before ``StoreError``.

    Raises:
        StoreError: unreachable, login refused, wrong settings.
    """

    def __init__(self, cluster: Cluster, *, patience_s: float) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,60}", cluster.prefix):
            raise StoreError(f"'{cluster.prefix}' is no index prefix", remedy="lower-case letters, digits, - and _")
        self.prefix, self._place = cluster.prefix, ", ".join(cluster.hosts)
        self._raw = _connect(cluster)
        self._dirty: set[str] = set()
        self._guard = threading.Lock()
        self.bulk = Bulk(self._send, patience_s=patience_s)
        try:
            self._install()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._raw.close()

    def index(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    # ---------------------------------------------------------------- writing

    def write(self, index: str, items: pl.Series, *, lines: int = 2) -> Result:
        """Bulk items (see ``Bulk.run``), and remember that the index has news."""
        if not len(items):
            return Result()
        try:
            return self.bulk.run(index, items, lines=lines)
        finally:
            self.touched(index)

    def create(self, index: str, docs: Iterable[tuple[str, dict[str, Any]]]) -> Result:
        """Create documents by id; those that are there stay as they are."""
        lines = [f'{{"create":{{"_id":{_text(name)}}}}}\n{orjson.dumps(doc).decode()}' for name, doc in docs]
        return self.write(index, pl.Series(lines, dtype=pl.String))

    def put(self, index: str, name: str, doc: dict[str, Any], seen: tuple[int, int] | None = None) -> bool:
        """Write one document; with ``seen`` only if nobody did since. Returns whether it was written."""
        condition = {"if_seq_no": seen[0], "if_primary_term": seen[1]} if seen else {}
        with self.named_errors():
            try:
                self._raw.index(index=index, id=name, document=doc, **condition)  # type: ignore[arg-type]
            except elasticsearch.ConflictError:
                return False
        self.touched(index)
        return True

    def add(self, index: str, name: str, doc: dict[str, Any]) -> bool:
        """Create one document; False when the id is taken."""
        with self.named_errors():
            try:
                self._raw.create(index=index, id=name, document=doc)
            except elasticsearch.ConflictError:
                return False
        self.touched(index)
        return True

    def delete(self, index: str, names: list[str]) -> int:
        """Delete documents by id; returns how many were there."""
        lines = pl.Series([f'{{"delete":{{"_id":{_text(name)}}}}}' for name in names], dtype=pl.String)
        return self.write(index, lines, lines=1).created

    def touched(self, index: str) -> None:
        with self._guard:
            self._dirty.add(index)

    def delete_index(self, name: str) -> None:
        with self.named_errors():
            self._raw.indices.delete(index=name, ignore_unavailable=True)

    # ---------------------------------------------------------------- reading

    def get(self, index: str, name: str) -> tuple[dict[str, Any], tuple[int, int]] | None:
        """(document, (seq_no, primary_term)) as of now, refreshed or not."""
        with self.named_errors():
            try:
                found = self._raw.get(index=index, id=name)
            except elasticsearch.NotFoundError:
                return None
        return found["_source"], (found["_seq_no"], found["_primary_term"])

    def get_many(self, index: str, names: list[str]) -> dict[str, tuple[dict[str, Any], tuple[int, int]]]:
        """As ``get``, for many; unknown ids are left out."""
        with self.named_errors():
            try:
                docs = self._raw.mget(index=index, ids=names)["docs"]
            except elasticsearch.NotFoundError:
                return {}
        return {d["_id"]: (d["_source"], (d["_seq_no"], d["_primary_term"])) for d in docs if d.get("found")}

    def search(self, index: str, **body: Any) -> dict[str, Any]:
        """One search over fresh indices; whole answers only."""
        self.refresh()
        with self.named_errors():
            found = self._raw.search(
                index=index,
                ignore_unavailable=True,
                allow_no_indices=True,
                allow_partial_search_results=False,
                timeout=SEARCH_TIMEOUT,
                **body,
            ).body
        if found.get("timed_out"):
            raise StoreError(f"the question took longer than {SEARCH_TIMEOUT}", remedy="narrow it")
        return dict(found)

    def pages(
        self, index: str, query: dict[str, Any], sort: list[dict[str, str]], limit: int | None, after: list[Any] | None
    ) -> Iterator[dict[str, Any]]:
        """Hits in order, page by page, at most ``limit`` (None = all)."""
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            more = {"search_after": after} if after else {}
            hits = self.search(index, query=query, sort=sort, size=size, track_total_hits=False, **more)["hits"]["hits"]
            yield from hits
            if len(hits) < size:
                return
            after = hits[-1]["sort"]
            left = None if left is None else left - size

    def count(self, index: str, query: dict[str, Any]) -> int:
        self.refresh()
        with self.named_errors():
            found = self._raw.count(index=index, query=query, ignore_unavailable=True, allow_no_indices=True)
        return int(found["count"])

    def composite(
        self, index: str, query: dict[str, Any], sources: list[dict[str, Any]], most: int, aggs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Every bucket of a composite aggregation, at most ``most``."""
        found: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while len(found) < most:
            composite: dict[str, Any] = {"size": min(PAGE, most - len(found)), "sources": sources, **after}
            answer = self.search(
                index, query=query, size=0, track_total_hits=False, aggs={"all": {"composite": composite, "aggs": aggs}}
            )
            part = answer.get("aggregations", {}).get("all", {})
            found += part.get("buckets", [])
            if "after_key" not in part or not part["buckets"]:
                break
            after = {"after": part["after_key"]}
        return found

    def indices(self, pattern: str) -> list[str]:
        """Names of the indices that match."""
        with self.named_errors():
            found = self._raw.indices.get_settings(
                index=pattern, allow_no_indices=True, filter_path="*.settings.index.uuid"
            )
        return sorted(found.body)

    def refresh(self) -> None:
        """Make what this process wrote visible to its searches."""
        with self._guard:
            dirty, self._dirty = self._dirty, set()
        if dirty:
            with self.named_errors():
                self._raw.indices.refresh(index=",".join(sorted(dirty)), ignore_unavailable=True)

    # ---------------------------------------------------------------- the rest

    def _send(self, index: str, body: bytes) -> Answer:
        try:
            response = self._raw.perform_request(
                "POST", f"/{index}{_ITEMS}", headers={"content-type": _NDJSON, "accept": _JSON}, body=body
            )
        except elasticsearch.ApiError as error:
            if error.status_code in (401, 403) and "cluster_block" not in str(error):
                raise self._named(error) from error
            return Answer(error.status_code, reason=str(error)[:300])
        except elastic_transport.TransportError as error:
            return Answer(0, reason=str(error)[:300])
        items = [next(iter(item.values())) for item in response.get("items", ())]
        return Answer(response.meta.status, tuple((item["status"], item.get("error")) for item in items))

    def _install(self) -> None:
        """Templates, when they are not there or not these."""
        name, body = templates.settings(self.prefix)
        mark = templates.fingerprint(self.prefix)
        with self.named_errors():
            try:
                found = self._raw.cluster.get_component_template(name=name)
                stored = found["component_templates"][0]["component_template"].get("_meta", {})
            except elasticsearch.NotFoundError:
                stored = {}
            if stored.get("fingerprint") == mark:
                return
            self._raw.cluster.put_component_template(name=name, template=body["template"])
            for template, content in templates.templates(self.prefix).items():
                self._raw.indices.put_index_template(name=template, **content)
            # Last, so that a crash on the way installs them again.
            self._raw.cluster.put_component_template(name=name, template=body["template"], meta={"fingerprint": mark})

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """The client's errors as StoreError."""
        try:
            yield
        except (elasticsearch.ApiError, elastic_transport.TransportError) as error:
            raise self._named(error) from error

    def _named(self, error: Exception) -> StoreError:
        if isinstance(error, elasticsearch.ApiError):
            remedy = {
                401: "check store.elasticsearch.username and password_file",
                403: "give the account rights on these indices",
                429: "the cluster is overloaded; wait or add nodes",
            }.get(error.status_code, "see the cluster's log")
            return StoreError(f"Elasticsearch refused ({str(error)[:300]})", place=self._place, remedy=remedy)
        remedy = "start it, or check store.elasticsearch.hosts and ca_file"
        return StoreError(f"cannot reach Elasticsearch ({str(error)[:300]})", place=self._place, remedy=remedy)


def _connect(cluster: Cluster) -> Elasticsearch:
    options: dict[str, Any] = {}
    if cluster.ca_file:
        options["ca_certs"] = cluster.ca_file
    if cluster.username:
        options["basic_auth"] = (cluster.username, _password(Path(cluster.password_file)))
    try:
        return Elasticsearch(
            list(cluster.hosts),
            request_timeout=cluster.timeout_s,
            max_retries=0,
            retry_on_timeout=False,
            serializer=OrjsonSerializer(),
            **options,
        )
    except (ValueError, OSError) as error:
        remedy = "check store.elasticsearch in the settings"
        raise StoreError(
            f"cannot use these settings ({error})", place=", ".join(cluster.hosts), remedy=remedy
        ) from error


def _password(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise StoreError("the password can be read by others", place=str(path), remedy=f"chmod 0400 {path}")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"cannot read the password ({error})", place=str(path), remedy="set store.elasticsearch.password_file"
        ) from error


def _text(name: str) -> str:
    return orjson.dumps(name).decode()
