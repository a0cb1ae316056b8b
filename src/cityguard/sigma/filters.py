"""Sigma filters: one document that excepts events from many rules (specification 2.1, "Global filter")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from cityguard.sigma import imported
from cityguard.sigma.ast import AllOf, Filter, Head, Rule, leaves
from cityguard.sigma.detection import RESERVED, Detection, logsource
from cityguard.sigma.reader import Lists, Reader, identifier

MAX_RULES = 10_000


def read(reader: Reader, head: Head, data: dict[str, Any], lists: Lists) -> Filter | None:
    """One filter; its condition says what must hold besides the rule's own, so an exception is written ``not …``.

    Raises:
        UnresolvedError: a placeholder it uses has no list.
    """
    source = logsource(reader, data)
    node = Detection(reader, lists, "filter", RESERVED | {"rules"}).read(data)
    rules = _rules(reader, data["filter"])
    if node is None:
        return None
    return Filter(head, node, rules, source.get("category"), source.get("product"), source.get("service"))


def _rules(reader: Reader, given: Any) -> tuple[str, ...] | None:
    if not isinstance(given, dict):
        return None
    if "rules" not in given:
        reader.missing(given, "rules", "filter")
        return None
    value = given["rules"]
    if value == [] or (isinstance(value, str) and value.lower() == "any"):
        return None
    rules = reader.texts(given, "rules", "filter")
    if not rules and not reader.faults:
        reader.fault("the filter names no rule", "filter", "rules", remedy="write 'any', or names or ids of rules")
    if len(rules) > MAX_RULES:
        reader.fault(f"more than {MAX_RULES} rules", "filter", "rules", remedy="write 'any'")
    return tuple(identifier(rule) for rule in rules)


def apply(rules: Iterable[Rule], filters: Sequence[Filter]) -> list[Rule]:
    """Every rule with the filters meant for it in its tree, in the order of the filters."""
    if not filters:
        return list(rules)
    return [_filtered(rule, filters) for rule in rules]


def _filtered(rule: Rule, filters: Sequence[Filter]) -> Rule:
    mine = [one for one in filters if meant(one, rule)]
    if not mine:
        return rule
    node = AllOf((rule.node, *(one.node for one in mine)))
    names = dict.fromkeys(leaf.field for leaf in leaves(node) if leaf.field is not None)
    return replace(rule, node=node, fields=tuple(names), filters=tuple(one.id for one in mine))


def meant(one: Filter, rule: Rule) -> bool:
    """True when the filter names the rule (or any) and its log source covers the rule's.

    One that was imported is meant for rules of the same import alone.
    """
    named = one.rules is None or rule.id in one.rules or (rule.head.name != "" and rule.head.name in one.rules)
    return named and one.covers(rule) and imported.of(one.head.path) in ("", imported.of(rule.head.path))
