"""Whose rules a file belongs to: what an import brought must not speak for the rules of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

_BELOW = "/rules/imported/"


def of(path: Path) -> str:
    """The folder of the import that a file came with; empty for what is shipped and for the city's own.

    The first such folder counts, so that one nested within an import is still that import's.
    """
    above, mark, below = f"/{path.as_posix()}".partition(_BELOW)
    name, inside, _ = below.partition("/")
    return f"{above}{mark}{name}" if inside else ""


class Names:
    """What a rule's name means to the one who uses it.

    Names of the same import go first, then the city's and the shipped ones, then those of other imports.

    Args:
        named: name, id and file; of two within one collection the later counts.
    """

    def __init__(self, named: Iterable[tuple[str, str, Path]]) -> None:
        self._by_import: dict[str, dict[str, str]] = {"": {}}
        for name, rule, path in named:
            if name:
                self._by_import.setdefault(of(path), {})[name] = rule
        others = {name: rule for key, found in self._by_import.items() if key for name, rule in found.items()}
        everybody = others | self._by_import[""]
        self._seen = {key: everybody | found for key, found in self._by_import.items()}

    def to(self, path: Path) -> Mapping[str, str]:
        """Names and their ids as a file sees them."""
        return self._seen.get(of(path), self._seen[""])
