"""Conditions to SQL: identifiers come from fixed maps, every value is a parameter."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cityguard.model import And, Node, Not, Or, Term
from cityguard.store.fields import ALERT_FIELDS, EVENT_FIELDS, Held, Words

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_COMPARE = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

IP6_MACRO = """
CREATE MACRO ip6_hex(ip) AS (
  WITH h AS (SELECT string_split(ip, '::') AS p),
       s AS (SELECT list_filter(string_split(p[1], ':'), lambda x: x <> '') AS a,
                    list_filter(string_split(coalesce(p[2], ''), ':'), lambda x: x <> '') AS b FROM h)
  SELECT array_to_string(list_transform(
    list_concat(list_concat(a, list_transform(range(8 - len(a) - len(b)), lambda x: '0')), b),
    lambda x: lpad(x, 4, '0')), '') FROM s)
"""
"""DuckDB without its inet extension: canonical IPv6 text to 32 hex digits, which order as addresses do."""


@dataclass(slots=True)
class _Sql:
    """One compilation; ``bind`` returns the placeholder of a value."""

    leaf: Callable[[_Sql, Term], str]
    values: list[Any] = field(default_factory=list)

    def bind(self, value: Any) -> str:
        self.values.append(value)
        return "?"

    def node(self, node: Node) -> str:
        match node:
            case And(items):
                return "(" + " AND ".join(map(self.node, items)) + ")" if items else "TRUE"
            case Or(items):
                return "(" + " OR ".join(map(self.node, items)) + ")" if items else "FALSE"
            case Not(item):
                # "is not true": a missing value is not equal to anything, as in Elasticsearch.
                return f"(({self.node(item)}) IS NOT TRUE)"
            case Term():
                return self.leaf(self, node)


def micros(moment: datetime) -> int:
    """Microseconds since the epoch, exact."""
    delta = moment.astimezone(UTC) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment(value: int) -> datetime:
    """What ``micros`` was given."""
    return _EPOCH + timedelta(microseconds=value)


def events(node: Node | None, stored: Collection[str]) -> tuple[str, list[Any]]:
    """A resolved condition for DuckDB over Parquet files that hold the columns ``stored``.

    Returns:
        SQL that contains only names of ``EVENT_FIELDS`` and placeholders, and the values.
    """
    if node is None:
        return "TRUE", []

    def leaf(sql: _Sql, term: Term) -> str:
        kind = EVENT_FIELDS[term.field]
        return _event(sql, quoted(term.field), kind, term) if term.field in stored else "FALSE"

    compiler = _Sql(leaf)
    return compiler.node(node), compiler.values


def quoted(name: str) -> str:
    """A column of the schema as an SQL identifier.

    Raises:
        KeyError: the schema has no such column.
    """
    if name not in EVENT_FIELDS and name != "event.fields":
        raise KeyError(name)
    return f'"{name}"'


def _event(sql: _Sql, column: str, kind: Held, term: Term) -> str:
    value = term.value
    if term.op == "exists":
        return f"(len({column}) > 0)" if kind == "keywords" else f"({column} IS NOT NULL)"
    if term.op == "cidr":
        return _cidr(sql, column, value)
    if kind == "keywords":
        return _list(sql, column, term)
    if term.op == "in":
        return f"({column} IN ({', '.join(sql.bind(item) for item in value)}))" if value else "FALSE"
    if term.op == "contains":
        return f"contains(lower({column}), {sql.bind(value.lower())})"
    if term.op == "prefix":
        return f"starts_with({column}, {sql.bind(value)})"
    return f"({column} {_COMPARE[term.op]} {sql.bind(value)})"


def _list(sql: _Sql, column: str, term: Term) -> str:
    if term.op == "eq":
        return f"list_contains({column}, {sql.bind(term.value)})"
    if term.op == "in":
        parts = [f"list_contains({column}, {sql.bind(item)})" for item in term.value]
        return "(" + " OR ".join(parts) + ")" if parts else "FALSE"
    test = "starts_with(x, ?)" if term.op == "prefix" else "contains(lower(x), ?)"
    sql.bind(term.value if term.op == "prefix" else term.value.lower())
    return f"(len(list_filter({column}, lambda x: {test})) > 0)"


def _cidr(sql: _Sql, column: str, network: Network) -> str:
    if network.version == 6:
        low, high = (f"{int(edge):032x}" for edge in (network[0], network[-1]))
        # CASE, because the macro must not see IPv4 text.
        return (
            f"(CASE WHEN contains({column}, ':') "
            f"THEN ip6_hex({column}) BETWEEN {sql.bind(low)} AND {sql.bind(high)} ELSE FALSE END)"
        )
    whole, rest = divmod(network.prefixlen, 8)
    octets = str(network.network_address).split(".")
    parts = [f"NOT contains({column}, ':')", f"{column} IS NOT NULL"]
    if whole == 4:
        return f"({column} = {sql.bind(str(network.network_address))})"
    if whole:
        parts.append(f"starts_with({column}, {sql.bind('.'.join(octets[:whole]) + '.')})")
    if rest:
        first = int(octets[whole])
        last = first | ((1 << (8 - rest)) - 1)
        part = f"TRY_CAST(split_part({column}, '.', {whole + 1}) AS INTEGER)"
        parts.append(f"{part} BETWEEN {sql.bind(first)} AND {sql.bind(last)}")
    return "(" + " AND ".join(parts) + ")"


ALERT_COLUMNS = {name: name.replace(".", "_") for name in ALERT_FIELDS}


def alerts(node: Node | None) -> tuple[str, list[Any]]:
    """A resolved condition for the SQLite table ``alerts``; times are µs, levels ranks."""
    if node is None:
        return "TRUE", []
    compiler = _Sql(_alert)
    return compiler.node(node), compiler.values


def _alert(sql: _Sql, term: Term) -> str:
    value: Any = term.value
    op = term.op
    if isinstance(value, Words):
        match = '"' + " ".join(value.words) + '"' + (" *" if value.prefix else "")
        found = f"SELECT rowid FROM alert_text WHERE alert_text MATCH {sql.bind(match)}"  # noqa: S608 - a placeholder
        return f"(alerts.key IN ({found}))"
    column, kind = "alerts." + ALERT_COLUMNS[term.field], ALERT_FIELDS[term.field]
    if op == "exists":
        empty = " AND " + column + " <> '[]'" if kind == "keywords" else ""
        empty = " AND " + column + " <> ''" if kind in ("text", "keyword") else empty
        return f"({column} IS NOT NULL{empty})"
    if op == "cidr":
        low, high = ip_key(str(value[0])), ip_key(str(value[-1]))
        return f"({column}_key BETWEEN {sql.bind(low)} AND {sql.bind(high)})"
    if kind == "keywords":
        return _tags(sql, column, term)
    if op == "in":
        items = [_plain(item) for item in value]
        return f"({column} IN ({', '.join(map(sql.bind, items))}))" if items else "FALSE"
    if op == "contains":
        return f"(instr(lower({column}), {sql.bind(_lower(value))}) > 0)"
    if op == "prefix":
        return f"(substr({column}, 1, {len(value)}) = {sql.bind(value)})"
    return f"({column} {_COMPARE[op]} {sql.bind(_plain(value))})"


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else value


def _tags(sql: _Sql, column: str, term: Term) -> str:
    if term.op == "prefix":
        test = f"substr(value, 1, {len(term.value)}) = {sql.bind(term.value)}"
    elif term.op == "contains":
        test = f"instr(lower(value), {sql.bind(_lower(term.value))}) > 0"
    else:
        values = term.value if term.op == "in" else (term.value,)
        test = f"value IN ({', '.join(map(sql.bind, values))})"
    return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE {test})"  # noqa: S608 - a column of ALERT_COLUMNS


def _lower(text: str) -> str:
    # SQLite's lower() folds ASCII only; Elasticsearch's case_insensitive likewise.
    return "".join(char.lower() if char.isascii() else char for char in text)


def ip_key(text: str | None) -> str | None:
    """An address as text that orders as addresses do; None for what is no address."""
    if text is None:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return f"{address.version}{int(address):0{8 if address.version == 4 else 32}x}"
