"""Conditions to the Elasticsearch query DSL: names from fixed maps, values as JSON values, never a script."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

from cityguard.model import And, Node, Not, Or, Query, Term
from cityguard.store.fields import ALERT_FIELDS, EVENT_FIELDS, Subject, Words
from cityguard.store.sql import micros

Dsl = dict[str, Any]
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")


def condition(node: Node | None, subject: Subject) -> Dsl:
    """A resolved condition as a filter."""
    match node:
        case None:
            return {"match_all": {}}
        case And(items):
            return {"bool": {"filter": [condition(item, subject) for item in items]}}
        case Or(items):
            if not items:
                return {"match_none": {}}
            return {"bool": {"should": [condition(item, subject) for item in items], "minimum_should_match": 1}}
        case Not(item):
            return {"bool": {"must_not": [condition(item, subject)]}}
        case Term():
            return _leaf(node, subject)


def events(node: Node | None, query: Query) -> Dsl:
    """Condition and time range of a question about events."""
    bounds = {op: instant(at) for op, at in (("gte", query.start), ("lt", query.end)) if at}
    filters = [condition(node, "events")]
    if bounds:
        filters.append({"range": {"@timestamp": bounds}})
    return {"bool": {"filter": filters}}


def alerts(node: Node | None, query: Query) -> Dsl:
    """Condition and time range of a question about alerts: those active in the range."""
    filters = [condition(node, "alerts")]
    if query.start:
        filters.append({"range": {"last_seen": {"gte": micros(query.start)}}})
    if query.end:
        filters.append({"range": {"first_seen": {"lt": micros(query.end)}}})
    if query.dataset:
        filters.append({"term": {"dataset": query.dataset}})
    return {"bool": {"filter": filters}}


def instant(moment: datetime) -> str:
    """A time with its microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _leaf(term: Term, subject: Subject) -> Dsl:
    name, value = term.field, term.value
    if isinstance(value, Words):
        kind = "match_phrase_prefix" if value.prefix else "match_phrase"
        limit = {"max_expansions": 1_000} if value.prefix else {}
        return {kind: {"search": {"query": " ".join(value.words), **limit}}}
    held = (EVENT_FIELDS if subject == "events" else ALERT_FIELDS)[name]
    match term.op:
        case "exists":
            return {"exists": {"field": name}}
        case "cidr":
            return _network(name, value)
        case "in":
            return {"terms": {name: [_plain(item, subject) for item in value]}}
        case "contains":
            return {"wildcard": {name: {"value": f"*{_escaped(value)}*", "case_insensitive": True}}}
        case "prefix":
            return {"prefix": {name: {"value": value}}}
        case "eq" if held == "time":
            return {"range": {name: {"gte": _plain(value, subject), "lte": _plain(value, subject)}}}
        case "eq":
            return {"term": {name: {"value": _plain(value, subject)}}}
        case op:
            return {"range": {name: {op: _plain(value, subject)}}}


def _network(name: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Dsl:
    found = {"term": {name: {"value": str(network)}}}
    if isinstance(network, ipaddress.IPv6Network) and network.overlaps(_MAPPED):
        # The server holds IPv4 as mapped IPv6; ::/0 would find it too.
        return {"bool": {"filter": [found], "must_not": [{"term": {name: {"value": "0.0.0.0/0"}}}]}}
    return found


def _plain(value: Any, subject: Subject) -> Any:
    if isinstance(value, datetime):
        return instant(value) if subject == "events" else micros(value)
    return value


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\*?" else char for char in text)
