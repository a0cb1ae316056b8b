"""What ``custom.cityguard`` adds to a rule: exceptions, memory, threat lists, suppression, and tests for all of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

from cityguard.model import Text
from cityguard.sigma.ast import Node

Method = Literal["ewma", "mad", "quantile", "seasonal"]
Direction = Literal["up", "down", "both"]
METHODS: tuple[Method, ...] = ("ewma", "mad", "quantile", "seasonal")
DIRECTIONS: tuple[Direction, ...] = ("up", "down", "both")


@dataclass(frozen=True, slots=True)
class Allow:
    """Events that are in order, who answers for that, and until when."""

    node: Node
    owner: str
    reason: str
    expires: date  # the last day on which it allows, in the city's time zone
    place: str
    fields: tuple[str, ...] = ()  # as the rule writes them, with modifiers


@dataclass(frozen=True, slots=True)
class ThreatMatch:
    """Keep hits of which a field is in a list of the content folder (``lists/NAME.txt`` or ``.csv``)."""

    list: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewTerms:
    """Fire when a combination of values has not been seen for ``history_s``; never during the first ``learn_s``."""

    fields: tuple[str, ...]
    history_s: int
    learn_s: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """Fire when a group's count or sum in a window is far from its earlier windows."""

    field: str | None  # summed; None: hits are counted
    by: tuple[str, ...]
    window_s: int
    method: Method
    threshold: float
    min_samples: int
    direction: Direction = "up"


@dataclass(frozen=True, slots=True)
class Rate:
    """Fire at the ``gte``-th hit of a group within ``per_s``, and at those that follow as fast."""

    per_s: int
    by: tuple[str, ...]
    gte: int


@dataclass(frozen=True, slots=True)
class Absence:
    """Fire when a group that was seen ``after`` times is silent for longer than ``every_s``."""

    every_s: int
    by: tuple[str, ...]
    after: int = 3


@dataclass(frozen=True, slots=True)
class Sequence:
    """Fire at a hit of this rule that follows hits of ``steps`` in their order, with no ``until`` between."""

    steps: tuple[str, ...]  # rule ids, after names are resolved
    by: tuple[str, ...]
    maxspan_s: int
    until: str | None = None
    generate: bool = False  # True: the steps raise alerts of their own as well


@dataclass(frozen=True, slots=True)
class Suppress:
    """Hits of one group belong to one alert for ``for_s`` from the first of them on."""

    by: tuple[str, ...]
    for_s: int


Memory: TypeAlias = NewTerms | Baseline | Rate | Absence | Sequence


@dataclass(frozen=True, slots=True)
class Custom:
    """The block as a whole; an empty one changes nothing and is false."""

    allow: tuple[Allow, ...] = ()
    threat_match: ThreatMatch | None = None
    memory: Memory | None = None  # at most one kind that remembers
    suppress: Suppress | None = None
    response: Text = Text("", "")

    def __bool__(self) -> bool:
        return self != Custom()

    @property
    def remembers(self) -> bool:
        """True when the verdict on a hit depends on what came before it."""
        return self.memory is not None or self.suppress is not None
