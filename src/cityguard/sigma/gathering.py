"""Documents of any number of files to rules, correlations and filters that know each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from cityguard.content import Document
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.sigma import collection, document, filters, heading, links, sequences
from cityguard.sigma.ast import Correlation, Filter, Rule
from cityguard.sigma.links import Inactive
from cityguard.sigma.modifiers import UnresolvedError
from cityguard.sigma.reader import Lists


class Gathered:
    """What has been read so far, by id."""

    def __init__(self) -> None:
        self.found: dict[str, Rule | Correlation | Filter] = {}
        self.faults: list[CityguardError] = []
        self._asleep: dict[str, Inactive] = {}
        self._here: dict[str, str] = {}  # id -> where it stands, in the path being read

    @property
    def inactive(self) -> tuple[Inactive, ...]:
        """Sound rules and correlations that cannot run here."""
        return tuple(self._asleep.values())

    def begin(self) -> None:
        """From now on another path: its rules may replace those already read."""
        self._here = {}

    def add(self, documents: Iterable[Document], lists: Lists) -> None:
        """Take the documents of one file."""
        for one in collection.joined(documents, self.faults):
            if one.data is None:
                continue
            try:
                self._keep(document.read(one, lists))
            except UnresolvedError as error:
                self._waits(one, error)
            except ContentErrors as errors:
                self.faults.extend(errors.faults)

    def _waits(self, one: Document, error: UnresolvedError) -> None:
        data: dict[Any, Any] = one.data
        made = Inactive(
            str(data.get("title")),
            one.place("filter" if "filter" in data else "detection"),
            f"{error.message}; {error.remedy}",
            heading.identity(data),
            str(data.get("name") or ""),
        )
        if self._fresh(made.id, made.place):
            self.found.pop(made.id, None)  # what it would replace must not run in its stead
            self._asleep[made.id] = made

    def _keep(self, made: Rule | Correlation | Filter) -> None:
        if self._fresh(made.id, made.head.place):
            self._asleep.pop(made.id, None)
            self.found.pop(made.id, None)
            self.found[made.id] = made

    def _fresh(self, name: str, place: str) -> bool:
        other = self._here.get(name)
        if other is not None:
            self.faults.append(
                InputError(f"id {name} is used twice", place=place, remedy=f"the other one is at {other}")
            )
            return False
        self._here[name] = place
        return True

    def result(self) -> tuple[tuple[Rule, ...], tuple[Correlation, ...], tuple[Filter, ...]]:
        """Everything joined; what cannot be is added to ``faults`` and ``inactive``."""
        given = _of(self.found.values(), Filter)
        rules = tuple(filters.apply(_of(self.found.values(), Rule), given))
        rules = sequences.linked(rules, self.faults)
        self.faults += links.strangers(given, rules, self.inactive)
        linked = links.link(rules, _of(self.found.values(), Correlation), self.inactive)
        self.faults += linked.faults
        self._asleep.update({one.id: one for one in linked.inactive})
        return rules, tuple(linked.ready), given


T = TypeVar("T")


def _of(found: Iterable[Any], kind: type[T]) -> tuple[T, ...]:
    return tuple(one for one in found if isinstance(one, kind))
