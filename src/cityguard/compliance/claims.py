"""What a check may say about an item: ``reports/checks/NAME.yml`` beside the catalogue of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from cityguard import content, crypto
from cityguard.errors import ContentErrors, InputError

Can = Literal["decide", "support", "refute", "note"]
UNLISTED: Can = "support"
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One line: what a check can do on the requirement a unit stands for, and why no more."""

    unit: Id
    can: Can
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    catalogue: Id
    version: str
    claims: dict[Id, tuple[Claim, ...]]


@dataclass(frozen=True, slots=True)
class Claims:
    """All claims, by (check, requirement). A pair that is not listed is ``support``."""

    version: str = ""
    sha256: str = ""
    by_pair: dict[tuple[str, str], Can] = field(default_factory=dict)

    def of(self, check: str, item: str) -> Can:
        """What a check can do on a requirement."""
        return self.by_pair.get((check, item), UNLISTED)

    def deciding(self, item: str) -> frozenset[str]:
        """The checks that together decide a requirement; empty where only people do."""
        return frozenset(check for (check, of), can in self.by_pair.items() if of == item and can == "decide")


def find(extra: Path | None, name: str) -> Path | None:
    """The file that goes with a catalogue, the city's own before the shipped one; None: nothing decides."""
    found = content.files("reports", f"checks/{name}.yml", extra)
    return found[-1] if found else None


def read(path: Path, name: str, item_of: Callable[[str], tuple[str, bool] | None]) -> Claims:
    """Read the claims of a catalogue and hold them to it.

    Args:
        item_of: unit code to (requirement, whether tool evidence alone may carry it), None for an unknown unit.

    Raises:
        InputError: the shape is wrong, or the file is for another catalogue.
        ContentErrors: an unknown unit, a pair twice, or ``decide`` where a person has to.
    """
    document = content.load(path)
    try:
        made = msgspec.convert(document.data, _File)
    except msgspec.ValidationError as error:
        raise InputError(str(error), place=str(path), remedy="see docs/compliance.md") from None
    if made.catalogue != name:
        raise InputError(
            f"these claims are about '{made.catalogue}', not '{name}'",
            place=document.place("catalogue"),
            remedy="name the file as its catalogue",
        )
    pairs: dict[tuple[str, str], Can] = {}
    faults = [InputError(said, place=document.place("claims", *where)) for where, said in _take(made, item_of, pairs)]
    if faults:
        raise ContentErrors(list(faults))
    return Claims(made.version, crypto.digest_file(path).sha256, pairs)


def _take(
    made: _File, item_of: Callable[[str], tuple[str, bool] | None], pairs: dict[tuple[str, str], Can]
) -> Iterator[tuple[content.Where, str]]:
    """Fill ``pairs``; yields what is wrong and where."""
    for check, claims in made.claims.items():
        for number, claim in enumerate(claims):
            found = item_of(claim.unit)
            if found is None:
                yield (check, number, "unit"), f"{check}: the catalogue has no unit '{claim.unit}'"
                continue
            item, full = found
            if (check, item) in pairs:
                yield (check, number, "unit"), f"{check}: {claim.unit} stands for {item}, which is listed already"
            if claim.can == "decide" and not full:
                yield (
                    (check, number, "can"),
                    f"{check}: no tool may decide {claim.unit}: auto is not full, or 访谈 only",
                )
            pairs[check, item] = claim.can
