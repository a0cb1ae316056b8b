"""A row-at-a-time evaluator, written apart from the product: slow, and easy to believe."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from typing import Any

import polars as pl

from cityguard.model import EventBatch
from cityguard.sigma.ast import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    Node,
    Not,
    Null,
    Present,
    Reference,
    Regex,
    Rule,
    TimePart,
    Words,
)
from cityguard.sigma.rule import load_bytes

HEAD = "title: t\nid: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01\nlogsource: {category: test}\ndetection:\n"


def rule(selection: str, condition: str = "sel", **lists: list[str]) -> Rule:
    """A rule of one selection given as YAML (flow or block style)."""
    body = "\n".join("    " + line for line in selection.strip().splitlines())
    made = load_bytes(f"{HEAD}  sel:\n{body}\n  condition: {condition}\n".encode(), placeholders=lists)
    assert not made.faults, [str(fault) for fault in made.faults]
    return made.rules[0]


def batch(*events: dict[str, Any]) -> EventBatch:
    return EventBatch("host", "test", pl.DataFrame(list(events), infer_schema_length=None, strict=False), part="p")


def lower(text: str) -> str:
    return text.lower().replace("ς", "σ")


def texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, float) and value.is_integer():
        return [str(int(value))]
    return [str(value)]


def holds(node: Node, event: dict[str, Any]) -> bool:
    match node:
        case Not():
            return not holds(node.item, event)
        case AllOf():
            return all(holds(item, event) for item in node.items)
        case AnyOf():
            return any(holds(item, event) for item in node.items)
        case Reference():
            return any(
                _words(left if node.cased else lower(left), node.mode, right if node.cased else lower(right))
                for left in texts(event.get(node.field))
                for right in texts(event.get(node.other))
            )
    if node.field is None:
        return any(_leaf(node, texts(value)) for value in event.values())
    return _leaf(node, texts(event.get(node.field)))


def _leaf(node: Node, values: list[str]) -> bool:
    if isinstance(node, Null):
        return not any(value != "" for value in values)
    if isinstance(node, Present):
        return bool(values)
    return any(_one(node, value) for value in values)


def _one(node: Node, value: str) -> bool:
    match node:
        case Words():
            held = value if node.cased else lower(value)
            return any(_words(held, node.mode, text) for text in node.texts)
        case Regex():
            pattern = node.pattern.replace("$", r"\Z") if node.folded else node.pattern
            return re.search(pattern, lower(value) if node.folded else value) is not None
        case Cidr():
            try:
                address = ipaddress.ip_address(value)
            except ValueError:
                return False
            mapped = getattr(address, "ipv4_mapped", None)
            return any((mapped or address) in ipaddress.ip_network(network) for network in node.networks)
        case Compare():
            if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value):
                return False
            number = float(value)
            return {
                "lt": number < node.number,
                "lte": number <= node.number,
                "gt": number > node.number,
                "gte": number >= node.number,
            }[node.operator]
        case TimePart():
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                return False
            return node.number == (moment.isocalendar().week if node.part == "week" else getattr(moment, node.part))
    raise AssertionError(node)


def _words(value: str, mode: str, text: str) -> bool:
    return {
        "exact": value == text,
        "prefix": value.startswith(text),
        "suffix": value.endswith(text),
        "contains": text in value,
    }[mode]
