"""``scripts/truth [DATA_DIR] [--only NAME,…] [--json OUT]``: our answers beside other people's, as one table.

Exit: 0 = every line with data holds; 1 = one is below what is asked, or no line has data; 2 = not such a folder.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import truth
from truth import base
from truth.base import Line
from truth.nothing import NO_DATA

DATA = Path(__file__).parents[2] / "shared" / "data"
HEAD = ("protocol", "peer", "unit", "compared", "equal", "missing", "extra", "share", "asked")


def modules() -> list[str]:
    """Names of the comparators: the modules of this package with ``compare(data)``."""
    return [found.name for found in pkgutil.iter_modules(truth.__path__) if _compares(found.name)]


def _compares(name: str) -> bool:
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return "\ndef compare(data: Path)" in source


def run(name: str, data: Path) -> list[Line]:
    """The lines of one comparator; what it kept in memory is let go."""
    try:
        return list(importlib.import_module(f"truth.{name}").compare(data))
    finally:
        base.forget()


def lines(data: Path, only: list[str]) -> Iterator[Line]:
    """Run the comparators one after the other."""
    for name in only or modules():
        begun = time.monotonic()
        yield from run(name, data)
        print(f"{name}: {time.monotonic() - begun:.1f} s", file=sys.stderr)


def row(line: Line) -> str:
    """A line of the table."""
    cells = (line.protocol, line.peer, line.unit, line.compared, line.equal, line.missing, line.extra)
    asked = f"{line.floor:.1%}" if line.floor else "-"
    share = f"{line.share:.2%}" if line.compared else "no data"
    verdict = "" if line.empty else " MORE" if line.overfull else "" if line.holds else " BELOW"
    return "| " + " | ".join(map(str, cells)) + f" | {share} | {asked}{verdict} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="truth", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DATA, help="folder of the layout described in its README")
    parser.add_argument("--only", default="", help=f"comparators, comma separated: {', '.join(modules())}")
    parser.add_argument("--notes", action="store_true", help="print the first differences of each line")
    parser.add_argument("--json", type=Path, help="write the lines as JSON")
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    if unknown := sorted(set(only) - set(modules())):
        parser.error(f"no such comparator: {', '.join(unknown)}; there are: {', '.join(modules())}")
    if not options.data.is_dir():
        print(
            f"{options.data}: no such folder; give the folder that holds ot-pcap, it-pcap, netflow, logs",
            file=sys.stderr,
        )
        return 2
    found = []
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    for line in lines(options.data, only):
        found.append(line)
        print(row(line), flush=True)
        if options.notes:
            for note in line.notes or ([NO_DATA[line.name]] if line.empty and line.name in NO_DATA else []):
                print(f"    {note}")
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in found], ensure_ascii=False, indent=1))
    return _verdict(found)


def _verdict(found: list[Line]) -> int:
    told = [line for line in found if not line.empty]
    failed = [line for line in told if not line.holds]
    print(f"{len(found)} lines, {len(failed)} below what is asked or with more of ours than allowed, ", end="")
    print(f"{len(found) - len(told)} without data")
    for line in failed:
        print(f"BELOW: {line.name}: {line.equal} of {line.compared}, {line.missing} missing, {line.extra} extra")
    return 1 if failed or not told else 0


if __name__ == "__main__":
    sys.exit(main())
