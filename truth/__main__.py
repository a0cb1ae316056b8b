"""``scripts/truth [DATA_DIR] [--only NAME,…] [--json OUT]``: our answers beside other people's, as one table."""

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
from truth.base import Line

DATA = Path(__file__).parents[2] / "shared" / "data"
HEAD = ("protocol", "peer", "unit", "compared", "equal", "missing", "extra", "share", "asked")


def modules() -> list[str]:
    """Names of the comparators: the modules of this package with ``compare(data)``."""
    return [found.name for found in pkgutil.iter_modules(truth.__path__) if _compares(found.name)]


def _compares(name: str) -> bool:
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return "\ndef compare(data: Path)" in source


def lines(data: Path, only: list[str]) -> Iterator[Line]:
    """Run the comparators one after the other."""
    for name in only or modules():
        begun = time.monotonic()
        yield from importlib.import_module(f"truth.{name}").compare(data)
        print(f"{name}: {time.monotonic() - begun:.1f} s", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="truth", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DATA, help="folder of the layout described in its README")
    parser.add_argument("--only", default="", help=f"comparators, comma separated: {', '.join(modules())}")
    parser.add_argument("--notes", action="store_true", help="print the first differences of each line")
    parser.add_argument("--json", type=Path, help="write the lines as JSON")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(
            f"{options.data}: no such folder; give the folder that holds ot-pcap, it-pcap, netflow, logs",
            file=sys.stderr,
        )
        return 2
    found = list(lines(options.data, [name for name in options.only.split(",") if name]))
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    for line in found:
        cells = (line.protocol, line.peer, line.unit, line.compared, line.equal, line.missing, line.extra)
        asked = f"{line.floor:.1%}" if line.floor else "-"
        print("| " + " | ".join(map(str, cells)) + f" | {line.share:.2%} | {asked}{'' if line.holds else ' BELOW'} |")
        if options.notes:
            for note in line.notes:
                print(f"    {note}")
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in found], ensure_ascii=False, indent=1))
    below = [line for line in found if not line.holds]
    print(f"{len(found)} lines, {len(below)} below what is asked")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
