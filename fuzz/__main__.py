"""``python -m fuzz TARGET SECONDS [CORPUS]``: one target under atheris, which goes on after a finding.

One input is kept in ``fuzz/found`` for each place that raised, and one for each target that took too long; a line
``FOUND`` tells of it. Compiled loops are run with bounds checked, but cannot be watched.
"""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

from fuzz import conversation

HERE = Path(__file__).parent
SOURCES = HERE.parent / "src"
SLOW = 1.0
"""Seconds after which an input is told."""


class Watched:
    """A target whose exceptions are kept, once per place."""

    def __init__(self, run: Callable[[bytes], None], name: str, found: Path) -> None:
        self._run, self._name, self._found = run, name, found
        self._places: set[str] = set()
        self._slowest = SLOW

    def __call__(self, data: bytes) -> None:
        begun = time.perf_counter()
        try:
            self._run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept
            last = [one for one in traceback.extract_tb(error.__traceback__) if "cityguard" in one.filename]
            place = f"{type(error).__name__} {last[-1].filename}:{last[-1].lineno}" if last else repr(error)[:200]
            self._keep(place, data, error)
        if time.perf_counter() - begun > 2 * self._slowest and (spent := self._again(data)) > 2 * self._slowest:
            self._slowest = spent
            self._keep(f"slow, {spent:.1f} s", data, None)

    def _again(self, data: bytes) -> float:
        """How long an input takes when all is compiled."""
        begun = time.perf_counter()
        with contextlib.suppress(Exception):
            self._run(data)
        return time.perf_counter() - begun

    def _keep(self, place: str, data: bytes, error: Exception | None) -> None:
        if place in self._places:
            return
        self._places.add(place)
        path = self._found / f"found-{len(self._places):02}"
        path.write_bytes(data)
        print(f"FOUND {self._name} {place} {error} -> {path}", file=sys.stderr, flush=True)
        if error is not None:
            traceback.print_exception(error, limit=-4)


def compiled_modules() -> list[str]:
    """Modules whose functions numba compiles: they cannot be instrumented."""
    return [
        ".".join(path.relative_to(SOURCES).with_suffix("").parts)
        for path in SOURCES.rglob("*.py")
        if "@compiled" in (text := path.read_text(encoding="utf-8")) or "@fast.compiled" in text
    ]


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    name, seconds = sys.argv[1], int(sys.argv[2])
    corpus = Path(sys.argv[3]) if len(sys.argv) > 3 else HERE.parent / "artifacts" / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    found = HERE / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["cityguard.decoders", "cityguard.sources"], exclude=compiled_modules()):
        from fuzz.targets import targets  # instrumented as it is imported

        target = Watched(targets()[name], name, found)
    seeds = HERE / "seeds" / name
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        "-max_len=16384",
        "-timeout=60",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={found}/",
        str(corpus),
        *([str(seeds)] if seeds.is_dir() else []),
    ]

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        return conversation.changed(data, size, seed, atheris.Mutate)

    if name.startswith("wire-"):
        atheris.Setup(arguments, target, custom_mutator=mutate)
    else:
        atheris.Setup(arguments, target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
