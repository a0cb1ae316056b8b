"""``python -m fuzz SECONDS [TARGET …]``: targets under atheris one after the other, each in a process of its own.

A target goes on after a finding: one input is kept in ``fuzz/found`` for each place that raised or took too long, and
its log has a line ``FOUND``. Compiled loops run with bounds checked, but cannot be watched. Logs and corpora stand in
``artifacts/fuzz``.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

from fuzz import conversation

HERE = Path(__file__).parent
SOURCES = HERE.parent / "src"
KEPT = Path(os.environ.get("CITYGUARD_FUZZ_DIR", HERE.parent / "artifacts" / "fuzz"))
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
        """Seconds of the process an input takes when all is compiled."""
        begun = time.process_time()
        with contextlib.suppress(Exception):
            self._run(data)
        return time.process_time() - begun

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
        if re.search(r"^ *@(?:fast\.)?(?:compiled|inlined|lean)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def fuzz(name: str, run: Callable[[bytes], None], seconds: int) -> None:
    """Run one target; the process ends with it."""
    from fuzz import sound  # imports decoders: not before they are instrumented

    corpus, found, seeds = KEPT / "corpus" / name, HERE / "found" / name, HERE / "seeds" / name
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
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
        return conversation.changed(data, size, seed, atheris.Mutate, sound.MENDERS.get(name))

    for seed in sorted(seeds.glob("*")):  # loops are compiled now, not within the time of the first input
        with contextlib.suppress(Exception):
            run(seed.read_bytes())
    if name.startswith("wire-"):
        atheris.Setup(arguments, Watched(run, name, found), custom_mutator=mutate)
    else:
        atheris.Setup(arguments, Watched(run, name, found))
    atheris.Fuzz()


def alone(name: str, seconds: int) -> bool:
    """Run one target in a process of its own and tell how it went; returns whether nothing was found."""
    log = KEPT / f"{name}.log"
    with log.open("wb") as out:
        status = subprocess.run(
            [sys.executable, "-m", "fuzz", str(seconds), name, "here"], stdout=out, stderr=out
        ).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    told = re.findall(r"^FOUND .*|^==\d+== ?ERROR.*", text, re.MULTILINE)
    runs, covered = (re.findall(found, text) for found in (r"executed_units: *(\d+)", r"cov: (\d+)"))
    peak = re.findall(r"peak_rss_mb: *(\d+)", text)
    well = not told and status == 0 and bool(runs)
    first, last = (covered[0], covered[-1]) if covered else ("-", "-")
    print(
        f"{name:<22} {(runs or ['-'])[-1]:>9} runs  coverage {first:>5} -> {last:>5}  "
        f"peak {(peak or ['-'])[-1]:>4} MiB  "
        f"{'nothing found' if well else f'FELL ({status}): ' + ' | '.join(told[:3])}",
        flush=True,
    )
    return well


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    seconds, names = int(sys.argv[1]), sys.argv[2:]
    KEPT.mkdir(parents=True, exist_ok=True)
    if names[1:] == ["here"]:
        watched = ["cityguard.decoders", "cityguard.sources"]
        with atheris.instrument_imports(include=watched, exclude=compiled_modules()):
            from fuzz.targets import target  # instrumented as it is imported

            run = target(names[0])
        fuzz(names[0], run, seconds)
        return 0
    if not names:
        from fuzz.targets import targets

        names = list(targets())
    fell = sum(not alone(name, seconds) for name in names)
    print(f"{len(names)} targets, {fell} fell; inputs that failed are in fuzz/found, logs in {KEPT}")
    return 1 if fell else 0


if __name__ == "__main__":
    sys.exit(main())
