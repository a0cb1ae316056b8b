"""``logsource`` and ``detection`` to one tree: selections, their items, and the condition that joins them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from cityguard.errors import InputError
from cityguard.sigma import condition, modifiers
from cityguard.sigma.ast import AllOf, AnyOf, Node
from cityguard.sigma.modifiers import UnresolvedError
from cityguard.sigma.reader import Lists, Reader, shown

SOURCE = ("category", "product", "service", "definition")
RESERVED = frozenset({"condition", "timeframe"})
MAX_SELECTIONS = 1_000
Where = tuple[str | int, ...]


def logsource(reader: Reader, data: Mapping[str, Any]) -> dict[str, str]:
    """Category, product and service, in lower case; those that are given."""
    source = reader.map(data, "logsource")
    parts: dict[str, str] = {}
    for key, value in source.items():
        if key in SOURCE[:3] and value is not None:
            if isinstance(value, str):
                parts[str(key)] = value.lower()
            else:
                reader.fault(f"'{key}' must be a text", "logsource", str(key), remedy="write one name, in quotes")
        elif key not in SOURCE and (near := difflib.get_close_matches(str(key), SOURCE[:3], 1, 0.8)):
            reader.fault(f"unknown key '{shown(key)}'", "logsource", str(key), remedy=f"did you mean '{near[0]}'?")
    if source and not parts and not reader.faults:
        reader.fault(
            "a log source names a category, a product or a service", "logsource", remedy="add one of the three"
        )
    return parts


_QUOTE = "put it in quotes: on, off, yes, no and null are no texts in YAML"


class Detection:
    """The ``detection`` (or ``filter``) part of one document."""

    def __init__(self, reader: Reader, lists: Lists, part: str = "detection", skip: frozenset[str] = RESERVED) -> None:
        self.reader = reader
        self.lists = lists
        self.part = part
        self.skip = skip
        self.selections: dict[str, Node] = {}
        self.said: list[condition.Syntax] = []

    def read(self, data: Mapping[str, Any]) -> Node | None:
        """The whole tree; None, with a fault, when there is none.

        Raises:
            UnresolvedError: nothing is wrong but that a placeholder has no list.
        """
        given: dict[Any, Any] = self.reader.map(data, self.part)
        if not given:
            if self.part in data and not self.reader.faults:
                self.reader.fault(f"'{self.part}' is empty", self.part, remedy="add a selection and a condition")
            return None
        unresolved: UnresolvedError | None = None
        for place, (name, value) in enumerate(given.items()):
            if name in self.skip:
                continue
            if len(self.selections) >= MAX_SELECTIONS:
                self.reader.fault(f"more than {MAX_SELECTIONS} selections", self.part, str(name), remedy="split it")
                break
            if not isinstance(name, str):
                self.reader.fault(f"'{_written(name)}' is no name", self.part, place, remedy=_QUOTE)
                continue
            unresolved = self._select(name, value) or unresolved
        node = self._condition(given)
        if unresolved is not None and not self.reader.faults:
            raise unresolved
        return node

    def _select(self, name: str, value: Any) -> UnresolvedError | None:
        self.selections[name] = AnyOf(())
        try:
            self.selections[name] = self._selection(value, (self.part, name))
        except UnresolvedError as error:
            return error
        except InputError as error:
            self.reader.blame(error, self.part, name)
        return None

    def _selection(self, value: Any, where: Where) -> Node:
        if isinstance(value, dict):
            items = [
                self._item(key, entry, (*where, key if isinstance(key, str) else place))
                for place, (key, entry) in enumerate(value.items())
            ]
            if not items:
                raise InputError("the selection is empty", remedy="add a field")
            return items[0] if len(items) == 1 else AllOf(tuple(items))
        if isinstance(value, list):
            return self._list(value, where)
        return modifiers.build(None, value, self.lists)

    def _list(self, value: list[Any], where: Where) -> Node:
        words = [entry for entry in value if not isinstance(entry, dict | list)]
        nodes = [
            self._selection(entry, (*where, index))
            for index, entry in enumerate(value)
            if isinstance(entry, dict | list)
        ]
        if words:
            nodes.append(modifiers.build(None, words, self.lists))
        if not nodes:
            raise InputError("the selection is empty", remedy="add a field or a keyword")
        return nodes[0] if len(nodes) == 1 else AnyOf(tuple(nodes))

    def _item(self, key: Any, value: Any, where: Where) -> Node:
        if not isinstance(key, str):
            self.reader.fault(f"'{_written(key)}' is no field name", *where, remedy=_QUOTE)
            return AnyOf(())
        try:
            return modifiers.build(key, value, self.lists)
        except UnresolvedError:
            raise
        except InputError as error:
            self.reader.blame(error, *where)
            return AnyOf(())

    def _condition(self, given: Mapping[str, Any]) -> Node | None:
        if "condition" not in given:
            self.reader.missing(given, "condition", self.part)
            return None
        texts = given["condition"]
        nodes: list[Node] = []
        for index, text in enumerate(texts if isinstance(texts, list) else [texts]):
            where = (self.part, "condition", index)
            if not isinstance(text, str):
                self.reader.fault("the condition must be a text", *where, remedy="name a selection")
                continue
            try:
                said = condition.syntax(text)
                nodes.append(condition.tree(said, self.selections))
                self.said.append(said)
            except InputError as error:
                self.reader.blame(error, *where)
        if not nodes:
            if not self.reader.faults:
                self.reader.fault("the condition is empty", self.part, "condition", remedy="name a selection")
            return None
        return nodes[0] if len(nodes) == 1 else AnyOf(tuple(nodes))


def _written(key: Any) -> str:
    """A key that is no text, as its author probably wrote it."""
    if isinstance(key, bool):
        return "on, yes or true" if key else "off, no or false"
    return "null" if key is None else shown(key)
