"""The linter on words: what a document says about itself, its log source, the names of its fields."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from cityguard.sigma.ast import Correlation, Filter, Rule
from cityguard.sigma.findings import Notes
from cityguard.sigma.reader import shown
from cityguard.sigma.vocabulary import TACTICS, Vocabulary

LONG_TITLE = 110  # what a list shows without cutting
KEYS = (
    *("title", "id", "related", "name", "taxonomy", "status", "description", "license", "author", "references"),
    *("date", "modified", "logsource", "detection", "correlation", "filter", "fields", "falsepositives", "level"),
    *("tags", "scope", "generate", "custom", "sigma-version", "regression_tests_path", "simulation", "action"),
)
_TAG = re.compile(r"[a-z0-9_-]+\.[a-z0-9._-]+")
_SHAPES = {
    "attack": re.compile(r"(?:t\d{4}(?:\.\d{3})?|[gsma]\d{4}|ds\d{4}|" + "|".join(sorted(TACTICS)) + ")"),
    "car": re.compile(r"\d{4}-\d{2}-\d{3}"),
    "cve": re.compile(r"\d{4}-\d{4,7}"),
    "detection": re.compile(r"dfir|emerging-threats|threat-hunting"),
    "stp": re.compile(r"[1-5][auk]?"),
    "tlp": re.compile(r"red|amber|amber-strict|green|clear"),
}
_EXAMPLES = {
    "attack": "attack.t1110.001, attack.s0002 or attack.initial-access",
    "car": "car.2016-04-005",
    "cve": "cve.2021-44228",
    "detection": "detection.threat-hunting",
    "stp": "stp.3k",
    "tlp": "tlp.amber",
}
_SPACES = (*_SHAPES, "d3fend")


def head(notes: Notes, made: Rule | Correlation | Filter, vocabulary: Vocabulary) -> None:
    """Title, dates, level, status, tags, tests; keys that are probably misspelt."""
    data: Mapping[str, Any] = notes.doc.data
    for key in data:
        near = difflib.get_close_matches(str(key), KEYS, 1, 0.8) if key not in KEYS else []
        if near and near[0] not in data:
            notes.warn("key", f"unknown key '{shown(key)}'", str(key), remedy=f"did you mean '{near[0]}'?")
    if len(made.title.en) > LONG_TITLE:
        notes.warn("title", f"the title has more than {LONG_TITLE} characters", "title", remedy="shorten it")
    if "id" not in data:
        notes.warn("id", "no id: a new title makes it another rule", "title", remedy="add 'id:' with a new UUID")
    _dates(notes, data)
    _tags(notes, made.head.tags)
    if isinstance(made, Filter):
        return
    for key in ("level", "status"):
        if key not in data:
            notes.warn(key, f"no {key}", "title", remedy=f"add '{key}:'")
    _tests(notes, made)


def _dates(notes: Notes, data: Mapping[str, Any]) -> None:
    found: dict[str, date] = {}
    for key in ("date", "modified"):
        value = data.get(key)
        if value is None:
            continue
        try:
            found[key] = date.fromisoformat(str(value))
        except ValueError:
            notes.error("date", f"'{key}' is no date: '{shown(value)}'", key, remedy="write it like 2026-03-02")
    if len(found) == 2 and found["modified"] < found["date"]:
        notes.warn("date", "'modified' is before 'date'", "modified", remedy="exchange them")


def _tags(notes: Notes, tags: tuple[str, ...]) -> None:
    for index, tag in enumerate(tags):
        space, _, rest = tag.partition(".")
        shape = _SHAPES.get(space.lower())
        if shape is not None and not shape.fullmatch(rest if space == space.lower() else ""):
            notes.error(
                "tag", f"tag '{shown(tag)}' is misspelt", "tags", index, remedy=_tag_remedy(space.lower(), rest)
            )
        elif not _TAG.fullmatch(tag) and space != "d3fend":
            notes.error(
                "tag", f"tag '{shown(tag)}' is no 'namespace.word'", "tags", index, remedy="in lower case, with a dot"
            )
        elif space not in _SPACES:
            notes.warn(
                "tag", f"unknown namespace '{shown(space)}'", "tags", index, remedy=f"known: {', '.join(_SPACES)}"
            )
    if len(set(tags)) < len(tags):
        notes.warn("tag", "a tag stands twice", "tags", remedy="keep one")


def _tag_remedy(space: str, rest: str) -> str:
    low = rest.lower().replace("_", "-")
    if _SHAPES[space].fullmatch(low):
        return f"write {space}.{low}"
    near = difflib.get_close_matches(low[:100], sorted(TACTICS), 1) if space == "attack" else []
    return f"did you mean attack.{near[0]}?" if near else f"for example {_EXAMPLES[space]}"


def _tests(notes: Notes, made: Rule | Correlation) -> None:
    answers = {bool(one.alerts) if one.alerts is not None else one.match for one in made.head.examples}
    where = ("custom", "cityguard", "tests")
    if not answers:
        notes.warn("tests", "no tests", *where, remedy="add 'tests:' under custom.cityguard, one that fires, one not")
    elif len(answers) == 1:
        missing = "fires" if False in answers else "does not fire"
        notes.warn("tests", f"no test that {missing}", *where, remedy="add one")


def source(notes: Notes, made: Rule | Filter, vocabulary: Vocabulary) -> None:
    """Category, product and service are words that somebody else uses too."""
    asked = (("category", made.category), ("product", made.product), ("service", made.service))
    known = (vocabulary.categories, vocabulary.products, vocabulary.services)
    for (key, word), words in zip(asked, known, strict=True):
        if word is not None and word not in words and not (key != "category" and vocabulary.reads(word)):
            notes.warn("logsource", f"unknown {key} '{shown(word)}'", "logsource", key, remedy=_near(word, words))


def fields(notes: Notes, made: Rule | Filter, vocabulary: Vocabulary) -> None:
    """Every field is a column of ours or of a collector, or a name of Sigma's taxonomy."""
    if made.product in vocabulary.free:
        return
    part = "filter" if isinstance(made, Filter) else "detection"
    told: set[str] = set()
    for name, where in _fields(notes.doc.data.get(part), (part,)):
        if name in told or not name or vocabulary.knows(name, (made.product, made.service)):
            continue
        told.add(name)
        notes.warn("field", f"unknown field '{shown(name)}'", *where, remedy=_near(name, vocabulary.fields))


def _fields(data: Any, where: tuple[str | int, ...]) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Field names of all selections, and where they stand."""
    for name, selection in data.items() if isinstance(data, dict) else ():
        if name in ("condition", "timeframe", "rules"):
            continue
        for index, one in enumerate(selection) if isinstance(selection, list) else ((None, selection),):
            here = (*where, str(name)) if index is None else (*where, str(name), index)
            for key in one if isinstance(one, dict) else ():
                yield str(key).partition("|")[0], (*here, str(key))


def _near(word: str, words: Collection[str]) -> str:
    near = difflib.get_close_matches(word[:100], words, 1, 0.75)
    return f"did you mean '{near[0]}'?" if near else "see docs/fields.md for the columns, docs/rules.md for log sources"
