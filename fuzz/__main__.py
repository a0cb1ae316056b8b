"""``python -m fuzz TARGET SECONDS [CORPUS]``: one target under atheris; a failing input is kept in ``fuzz/found``."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    name, seconds = sys.argv[1], int(sys.argv[2])
    corpus = Path(sys.argv[3]) if len(sys.argv) > 3 else HERE.parent / "artifacts" / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    found = HERE / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["cityguard.decoders", "cityguard.sources"]):
        from fuzz.targets import targets  # instrumented as it is imported

        target = targets()[name]
    seeds = HERE / "seeds" / name
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        "-max_len=16384",
        "-timeout=5",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={found}/",
        str(corpus),
        *([str(seeds)] if seeds.is_dir() else []),
    ]
    atheris.Setup(arguments, target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
