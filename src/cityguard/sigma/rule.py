"""Rule files to a rule set: a bad rule is reported and left out, the others run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cityguard import content
from cityguard.errors import CityguardError, InputError
from cityguard.sigma import folders, sequences
from cityguard.sigma.ast import Correlation, Filter, Head, Rule
from cityguard.sigma.folders import MAX_BYTES, PLACEHOLDERS
from cityguard.sigma.gathering import Gathered
from cityguard.sigma.links import Inactive

__all__ = ["MAX_BYTES", "PLACEHOLDERS", "Correlation", "Inactive", "Rule", "Ruleset", "load", "load_bytes"]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Rules ready to run; what is wrong with the others."""

    rules: tuple[Rule, ...] = ()
    correlations: tuple[Correlation, ...] = ()  # each after those it refers to
    filters: tuple[Filter, ...] = ()  # already part of the rules' trees
    faults: tuple[CityguardError, ...] = ()
    inactive: tuple[Inactive, ...] = ()

    @property
    def silent(self) -> frozenset[str]:
        """Ids of rules that only feed correlations or sequences (``generate`` is false in all that name them)."""
        feeds: dict[str, bool] = {}
        for rule, generate in sequences.fed(self.rules):
            feeds[rule] = feeds.get(rule, False) or generate
        for correlation in self.correlations:
            for rule in correlation.rules:
                feeds[rule] = feeds.get(rule, False) or correlation.generate
        return frozenset(rule for rule, generate in feeds.items() if not generate)

    def head(self, rule_id: str) -> Head | None:
        """What a rule or correlation says about itself; None when there is none of this id."""
        every: tuple[Rule | Correlation, ...] = (*self.rules, *self.correlations)
        return next((one.head for one in every if one.id == rule_id), None)


def load(paths: Sequence[Path], placeholders: Mapping[str, Sequence[str]] | None = None) -> Ruleset:
    """Read rule files and folders (``*.yml``, ``*.yaml``, any depth), in the order given.

    A rule in a later path replaces one of the same id in an earlier path, so that a city can override what is
    shipped. ``placeholders.yml`` in a folder holds lists for ``expand``; the ``placeholders`` argument goes over it.

    Never raises: what is wrong stands in ``Ruleset.faults``, with file, line and remedy.
    """
    gathered = Gathered()
    lists = folders.lists(paths, placeholders, gathered.faults)
    for path in paths:
        gathered.begin()
        for file in folders.files(path, gathered.faults):
            try:
                documents = content.load_all(file, max_bytes=MAX_BYTES)
            except CityguardError as error:
                gathered.faults.append(error)
                continue
            gathered.add(documents, lists)
    return _ruleset(gathered)


def load_bytes(
    raw: bytes, path: Path = Path("rule.yml"), placeholders: Mapping[str, Sequence[str]] | None = None
) -> Ruleset:
    """The same for bytes in hand; ``path`` is only named in faults."""
    gathered = Gathered()
    if len(raw) > MAX_BYTES:
        gathered.faults.append(InputError(f"larger than {MAX_BYTES} bytes", place=f"{path}:1", remedy="split the file"))
        return _ruleset(gathered)
    try:
        gathered.add(content.parse_all(raw, path), placeholders or {})
    except CityguardError as error:
        gathered.faults.append(error)
    return _ruleset(gathered)


def _ruleset(gathered: Gathered) -> Ruleset:
    rules, correlations, filters = gathered.result()
    return Ruleset(rules, correlations, filters, faults=tuple(gathered.faults), inactive=gathered.inactive)
