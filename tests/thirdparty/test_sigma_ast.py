"""Every public rule read twice, by us and by pySigma: the same log source, the same tree."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import yaml
from sigma.rule import SigmaRule
from tests.sigma.neutral import ours, theirs

from cityguard.sigma.rule import Ruleset, load

RULES = 3780


def _lists(paths: list[Path]) -> dict[str, list[str]]:
    """A list for every placeholder that a rule may ask for."""
    texts = (text for path in paths if "|expand" in (text := path.read_text(encoding="utf-8")))
    names = {name for text in texts for name in re.findall(r"%([^%\\\n]{1,128})%", text)}
    return {name: [f"first of {name}", f"*{name}*"] for name in names}


@pytest.fixture(scope="module")
def files(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sigmahq")
    with tarfile.open(shared / "sigmahq-rules-8eaafff.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_all_rules_compile_but_those_that_wait_for_a_list(files: Path) -> None:
    made: Ruleset = load([files])
    assert made.faults == ()
    waiting = Counter("placeholder" if "rules-placeholder" in one.place else "elsewhere" for one in made.inactive)
    assert waiting == {"placeholder": 23, "elsewhere": 2}
    assert all("has no list" in one.reason for one in made.inactive)
    assert len(made.rules) == RULES - 25


def test_our_tree_is_pysigma_s_on_every_rule(files: Path) -> None:
    paths = sorted(files.rglob("*.yml"))
    lists = _lists(paths)
    mine = {one.head.path: one for one in load([files], lists).rules}
    differing = []
    for path in paths:
        data = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        their = SigmaRule.from_dict(data)
        one = mine[path]
        source = (their.logsource.category, their.logsource.product, their.logsource.service)
        same = (one.category, one.product, one.service) == tuple(part and part.lower() for part in source)
        if not same or str(their.id) != one.id or theirs(their, lists) != ours(one.node):
            differing.append(path.name)
    assert len(mine) == RULES
    assert differing == []
