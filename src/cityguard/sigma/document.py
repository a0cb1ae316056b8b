"""One YAML document to one rule or correlation; every fault named with its line."""

from __future__ import annotations

import difflib
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cityguard.content import Document
from cityguard.errors import ContentErrors, InputError
from cityguard.model import LEVELS, Level, Text
from cityguard.sigma import condition, modifiers
from cityguard.sigma.ast import (
    CORRELATIONS,
    AllOf,
    AnyOf,
    Correlation,
    Example,
    Head,
    Node,
    Rule,
    leaves,
)
from cityguard.sigma.modifiers import UnresolvedError

Lists = Mapping[str, Sequence[str]]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_629_746, "y": 31_556_952}
MAX_TIMESPAN_S = 366 * 86_400
MAX_GROUP_BY = 16
_OPERATORS = ("gte", "gt", "lte", "lt", "eq", "neq")
_STATES = ("stable", "test", "experimental", "deprecated", "unsupported")
_OURS = ("title_zh", "advice", "version", "group", "window", "tests")


def timespan(text: Any) -> int:
    """Seconds of ``30s 5m 1h 7d 2w 1M 1y`` (months and years by their mean length, as pySigma has them).

    Raises:
        InputError: another form, nothing, or more than a year.
    """
    found = re.fullmatch(r"(\d{1,9})([smhdwMy])", str(text))
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= MAX_TIMESPAN_S:
        raise InputError(f"'{text}' is no time span", remedy="write a number and s, m, h, d, w, M or y; at most a year")
    return seconds


def read(document: Document, lists: Lists) -> Rule | Correlation:
    """Read one document.

    Raises:
        ContentErrors: everything that is wrong with it.
        UnresolvedError: it is sound, but a placeholder it uses has no list.
    """
    reader = _Reader(document)
    made = reader.document(lists)
    if reader.faults or made is None:
        raise ContentErrors(list(reader.faults))
    return made


class _Reader:
    """Collects faults on its way, so that they can be mended in one go."""

    def __init__(self, document: Document) -> None:
        self.doc = document
        self.faults: list[InputError] = []

    def fault(self, message: str, *where: str | int, remedy: str = "") -> None:
        self.faults.append(InputError(message, place=self.doc.place(*where), remedy=remedy))

    def blame(self, error: InputError, *where: str | int) -> None:
        self.fault(error.message, *where, remedy=error.remedy)

    def document(self, lists: Lists) -> Rule | Correlation | None:
        data = self.doc.data
        if not isinstance(data, dict):
            self.fault("not a Sigma document", remedy="a rule is a map with title, logsource and detection")
            return None
        head = self.head(data)
        if "correlation" in data:
            return self.correlation(head, data["correlation"])
        if "filter" in data:
            self.fault("Sigma filters are not supported", "filter", remedy="add the exception to the rule itself")
            return None
        source = self.logsource(data)
        node = self.detection(data, lists)
        if node is None:
            return None
        names = dict.fromkeys(leaf.field for leaf in leaves(node) if leaf.field is not None)
        return Rule(head, node, source.get("category"), source.get("product"), source.get("service"), tuple(names))

    # ------------------------------------------------------------ about the rule

    def head(self, data: dict[str, Any]) -> Head:
        title = str(data.get("title") or "")
        if not title:
            self.missing(data, "title")
        ours = self.ours(data)
        advice = ours.get("advice") if isinstance(ours.get("advice"), dict) else {}
        assert isinstance(advice, dict)
        return Head(
            id=self.identity(data, title),
            title=Text(str(ours.get("title_zh") or title), title),
            path=self.doc.path,
            line=int(self.doc.place("title").rpartition(":")[2]),
            name=str(data.get("name") or ""),
            level=self.level(data),
            status=self.status(data),
            description=str(data.get("description") or ""),
            author=str(data.get("author") or ""),
            tags=self.texts(data, "tags"),
            falsepositives=self.texts(data, "falsepositives"),
            advice=Text(str(advice.get("zh") or ""), str(advice.get("en") or "")),
            version=str(ours.get("version") or data.get("modified") or data.get("date") or "1"),
            group=self.texts(ours, "group", "custom", "cityguard") if "group" in ours else None,
            window_s=self.window(ours),
            examples=tuple(self.examples(ours.get("tests"))),
        )

    def identity(self, data: dict[str, Any], title: str) -> str:
        given = data.get("id")
        if given is None:  # allowed by the specification; the title then names the rule
            return str(uuid.UUID(bytes=hashlib.blake2b(title.encode(), digest_size=16).digest()))
        try:
            return str(uuid.UUID(str(given)))
        except ValueError:
            self.fault(f"'{given}' is no UUID", "id", remedy=f"for example {uuid.uuid4()}")
            return str(given)

    def level(self, data: dict[str, Any]) -> Level:
        value = str(data.get("level") or "medium").lower()
        if value not in LEVELS:
            self.fault(f"level '{value}' is unknown", "level", remedy=_nearest(value, LEVELS))
            return "medium"
        return value

    def status(self, data: dict[str, Any]) -> str:
        value = str(data.get("status") or "")
        if value and value not in _STATES:
            self.fault(f"status '{value}' is unknown", "status", remedy=_nearest(value, _STATES))
        return value

    def texts(self, data: dict[str, Any], key: str, *where: str | int) -> tuple[str, ...]:
        value = data.get(key)
        if value is None or value == "none":
            return ()
        values = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in values):
            self.fault(f"'{key}' must be a list of texts", *where, key)
            return ()
        return tuple(str(item) for item in values)

    def missing(self, data: dict[str, Any], key: str, *where: str | int) -> None:
        near = difflib.get_close_matches(key, [str(name) for name in data], 1)
        remedy = f"did you mean '{key}' where it says '{near[0]}'?" if near else f"add '{key}:'"
        self.fault(f"'{key}' is missing", *where, *near, remedy=remedy)

    def map(self, data: dict[str, Any], key: str, *where: str | int) -> dict[str, Any]:
        value = data.get(key)
        if isinstance(value, dict):
            return value
        if key in data:
            self.fault(f"'{key}' must be a map", *where, key)
        else:
            self.missing(data, key, *where)
        return {}

    # ------------------------------------------------------------ our own block

    def ours(self, data: dict[str, Any]) -> dict[str, Any]:
        custom = data.get("custom")
        ours = custom.get("cityguard") if isinstance(custom, dict) else None
        if ours is None:
            return {}
        if not isinstance(ours, dict):
            self.fault("'custom.cityguard' must be a map", "custom", "cityguard")
            return {}
        for key in ours:
            if key not in _OURS:
                self.fault(f"unknown key '{key}'", "custom", "cityguard", str(key), remedy=_nearest(str(key), _OURS))
        return ours

    def window(self, ours: dict[str, Any]) -> int:
        try:
            return timespan(ours.get("window", "1h"))
        except InputError as error:
            self.blame(error, "custom", "cityguard", "window")
            return 3600

    def examples(self, tests: Any) -> Iterator[Example]:
        here = ("custom", "cityguard", "tests")
        for index, test in enumerate(tests or () if isinstance(tests, list | None) else [None]):
            events = (
                test.get("events", [test["event"]] if "event" in test else None) if isinstance(test, dict) else None
            )
            match = test.get("match") if isinstance(test, dict) else None
            alerts = test.get("alerts") if isinstance(test, dict) else None
            sound = isinstance(events, list) and all(isinstance(event, dict) for event in events)
            if not sound or not (isinstance(match, bool) or (isinstance(alerts, int) and match is None)):
                self.fault(
                    "a test needs 'event' or 'events' (maps) and 'match: true|false', or 'alerts: N' in a correlation",
                    *here,
                    index,
                )
                continue
            assert isinstance(events, list)
            name = str(test.get("name") or f"test {index + 1}")
            yield Example(name, tuple(events), match, alerts, self.doc.place(*here, index))

    # ------------------------------------------------------------ what it looks at

    def logsource(self, data: dict[str, Any]) -> dict[str, str]:
        source = self.map(data, "logsource")
        parts = {key: str(source[key]).lower() for key in ("category", "product", "service") if source.get(key)}
        if source and not parts:
            self.fault("a log source names a category, a product or a service", "logsource")
        for key in source:
            near = difflib.get_close_matches(str(key), ("category", "product", "service"), 1, 0.8)
            if near and key not in parts and key != near[0]:
                self.fault(f"unknown key '{key}'", "logsource", str(key), remedy=f"did you mean '{near[0]}'?")
        return parts

    def detection(self, data: dict[str, Any], lists: Lists) -> Node | None:
        detection = self.map(data, "detection")
        if not detection:
            return None
        unresolved: UnresolvedError | None = None
        selections: dict[str, Node] = {}
        for name, value in detection.items():
            if name in ("condition", "timeframe"):
                continue
            try:
                selections[str(name)] = self.selection(value, lists, ("detection", str(name)))
            except UnresolvedError as error:
                unresolved = error
                selections[str(name)] = AnyOf(())
            except InputError as error:
                self.blame(error, "detection", str(name))
                selections[str(name)] = AnyOf(())
        node = self.condition(detection, selections)
        if unresolved is not None and not self.faults:
            raise unresolved
        return node

    def selection(self, value: Any, lists: Lists, where: tuple[str | int, ...]) -> Node:
        if isinstance(value, dict):
            items = [self.item(key, entry, lists, (*where, str(key))) for key, entry in value.items()]
            if not items:
                raise InputError("the selection is empty", remedy="add a field")
            return items[0] if len(items) == 1 else AllOf(tuple(items))
        if isinstance(value, list):
            words = [entry for entry in value if not isinstance(entry, dict | list)]
            nodes = [
                self.selection(entry, lists, (*where, index))
                for index, entry in enumerate(value)
                if isinstance(entry, dict | list)
            ]
            if words:
                nodes.append(modifiers.build(None, words, lists))
            if not nodes:
                raise InputError("the selection is empty", remedy="add a field or a keyword")
            return nodes[0] if len(nodes) == 1 else AnyOf(tuple(nodes))
        return modifiers.build(None, value, lists)

    def item(self, key: Any, value: Any, lists: Lists, where: tuple[str | int, ...]) -> Node:
        try:
            return modifiers.build(str(key), value, lists)
        except UnresolvedError:
            raise
        except InputError as error:
            self.blame(error, *where)
            return AnyOf(())

    def condition(self, detection: dict[str, Any], selections: dict[str, Node]) -> Node | None:
        if "condition" not in detection:
            self.missing(detection, "condition", "detection")
            return None
        texts = detection["condition"]
        nodes: list[Node] = []
        for text in texts if isinstance(texts, list) else [texts]:
            try:
                nodes.append(condition.parse(str(text), selections))
            except InputError as error:
                self.blame(error, "detection", "condition")
        if not nodes:
            if not self.faults:
                self.fault("the condition is empty", "detection", "condition")
            return None
        return nodes[0] if len(nodes) == 1 else AnyOf(tuple(nodes))

    # ------------------------------------------------------------ correlations

    def correlation(self, head: Head, value: Any) -> Correlation | None:
        if not isinstance(value, dict):
            self.fault("'correlation' must be a map", "correlation")
            return None
        kind = str(value.get("type") or "")
        if kind not in CORRELATIONS:
            self.fault(
                f"correlation type '{kind}' is unknown", "correlation", "type", remedy=_nearest(kind, CORRELATIONS)
            )
            return None
        rules = self.texts(value, "rules", "correlation")
        if not rules:
            self.missing(value, "rules", "correlation")
        conditions, field = self.threshold(kind, value, len(rules))
        return Correlation(
            head=head,
            kind=kind,
            rules=rules,
            group_by=self.group_by(value),
            timespan_s=self.span(value),
            conditions=conditions,
            field=field,
            aliases=self.aliases(value),
            generate=value.get("generate") is True,
        )

    def group_by(self, value: dict[str, Any]) -> tuple[str, ...]:
        names = self.texts(value, "group-by", "correlation")
        if len(names) > MAX_GROUP_BY:
            self.fault(f"more than {MAX_GROUP_BY} group-by fields", "correlation", "group-by")
        return names[:MAX_GROUP_BY]

    def span(self, value: dict[str, Any]) -> int:
        if "timespan" not in value:
            self.missing(value, "timespan", "correlation")
            return 1
        try:
            return timespan(value["timespan"])
        except InputError as error:
            self.blame(error, "correlation", "timespan")
            return 1

    def threshold(
        self, kind: str, value: dict[str, Any], rules: int
    ) -> tuple[tuple[tuple[str, float], ...], str | None]:
        here = ("correlation", "condition")
        given = value.get("condition")
        if given is None and kind.startswith("temporal"):
            return (("gte", float(rules)),), None
        if not isinstance(given, dict):
            self.fault("the condition must be a map such as {gte: 10}", *here)
            return (), None
        found: list[tuple[str, float]] = []
        for key, number in given.items():
            if key == "field":
                continue
            if key not in _OPERATORS:
                self.fault(f"unknown operator '{key}'", *here, str(key), remedy=_nearest(str(key), _OPERATORS))
            elif isinstance(number, bool) or not isinstance(number, int | float):
                self.fault(f"'{key}' needs a number", *here, str(key))
            else:
                found.append((key, float(number)))
        if not found and not self.faults:
            self.fault("the condition compares with nothing", *here, remedy="add for example 'gte: 10'")
        field = given.get("field")
        if kind.startswith("value_") and not isinstance(field, str):
            self.fault(f"'{kind}' needs the field it looks at", *here, remedy="add 'field:' to the condition")
            return tuple(found), None
        return tuple(found), field if kind.startswith("value_") else None

    def aliases(self, value: dict[str, Any]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        given = value.get("aliases") or {}
        if not isinstance(given, dict) or not all(isinstance(entry, dict) for entry in given.values()):
            self.fault("'aliases' maps an alias to rules and their fields", "correlation", "aliases")
            return ()
        return tuple(
            (str(alias), tuple((str(rule), str(field)) for rule, field in entry.items()))
            for alias, entry in given.items()
        )


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
