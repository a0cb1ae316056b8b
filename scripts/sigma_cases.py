"""Which modifiers, conditions and correlation types have cases, and how many: the table of ``docs/detection.md``.

``python scripts/sigma_cases.py REGRESSIONS PUBLIC`` prints it: rules with recorded events, all public rules, our own,
and (of modifiers and types) how often the tests of the language name each.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cityguard.sigma.ast import CORRELATIONS
from cityguard.sigma.modifiers import KNOWN

ROOT = Path(__file__).parents[1]
CONDITIONS = {
    "and": r"\band\b",
    "or": r"\bor\b",
    "not": r"\bnot\b",
    "parentheses": r"\(",
    "1 of": r"\b1 of\b",
    "all of": r"\ball of\b",
    "of them": r"\bof them\b",
    "of a pattern": r"\bof \S*\*",
}


def documents(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.yml")):
        if path.name in ("info.yml", "placeholders.yml"):
            continue
        for one in yaml.load_all(path.read_bytes(), Loader=yaml.CSafeLoader):
            if isinstance(one, dict):
                yield one


def used(value: Any) -> Iterator[str]:
    """Modifiers of a detection, and what stands where a field would."""
    if isinstance(value, list):
        if any(not isinstance(one, dict) for one in value):
            yield "keywords"
        for one in value:
            yield from used(one) if isinstance(one, dict) else ()
    elif isinstance(value, dict):
        for key, inner in value.items():
            name, *modifiers = str(key).split("|")
            yield from modifiers
            if not name:
                yield "keywords"
            if inner is None:
                yield "null"
            elif isinstance(inner, list):
                yield "list of values"


def counted(folder: Path) -> Counter[str]:
    """Documents in which each occurs."""
    found: Counter[str] = Counter()
    for one in documents(folder):
        found["documents"] += 1
        if isinstance(told := one.get("correlation"), dict):
            found[str(told.get("type"))] += 1
            found.update({f"correlation {key}" for key in ("aliases", "generate") if key in told})
            continue
        if "filter" in one:
            found["filter"] += 1
        detection = one.get("detection") or {}
        names = {name for key, value in detection.items() if key != "condition" for name in used(value)}
        conditions = detection.get("condition") or ""
        text = " or ".join(map(str, conditions)) if isinstance(conditions, list) else str(conditions)
        names |= {name for name, pattern in CONDITIONS.items() if re.search(pattern, text, re.IGNORECASE)}
        names |= {"list of conditions"} if isinstance(conditions, list) else set()
        found.update(names)
    return found


def named(text: str, name: str, kind: str) -> int:
    """How often tests name it."""
    if kind == "modifier":
        return len(re.findall(rf"\|{name}\b", text)) + len(re.findall(rf"[\"']{name}[\"']", text))
    return len(re.findall(rf"\b{name}\b", text))


def main() -> None:
    """Print the table."""
    regressions, public = (counted(Path(one)) for one in sys.argv[1:3])
    own = counted(ROOT / "rules")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "sigma").glob("*.py")))
    print("| case | recorded attacks | public rules | our rules | named in tests |")
    print("|---|---|---|---|---|")
    rows = [("documents", ""), *((name, "modifier") for name in sorted(KNOWN))]
    rows += [(name, "") for name in ("keywords", "null", "list of values", *CONDITIONS, "list of conditions")]
    rows += [(name, "type") for name in (*CORRELATIONS, "correlation aliases", "correlation generate", "filter")]
    for name, kind in rows:
        last = str(named(tests, name.rpartition(" ")[2], kind)) if kind else "-"
        print(f"| {name} | {regressions[name]} | {public[name]} | {own[name]} | {last} |")


if __name__ == "__main__":
    main()
