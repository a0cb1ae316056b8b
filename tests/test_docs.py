"""Documentation is under test: generated pages are current, and every page that is named is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_generated_pages_are_current() -> None:
    done = subprocess.run([sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_readme_is_short_and_names_every_page_of_docs(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    for doc in (ROOT / "docs").glob("*.md"):
        assert f"docs/{doc.name}" in text, f"{page} does not name docs/{doc.name}"


def commands_of(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]


def test_both_readmes_give_the_same_commands() -> None:
    assert commands_of("README.zh-CN.md") == commands_of("README.md")


def test_commands_of_the_readme_run_as_written(tmp_path: Path) -> None:
    """Every ``cityguard`` line of a block marked ``sh`` runs in the checkout; ``make`` targets exist."""
    commands = commands_of("README.md")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    ran = 0
    for command in filter(None, commands):
        words = command.split()
        if words[0] == "make":
            assert words[1] in targets, command
        elif words[0] == "cityguard" and words[1] not in ("up", "demo"):
            rest = [str(tmp_path / word) if word == "reports-out" else word.strip('"') for word in words[1:]]
            argv = [sys.executable, "-m", "cityguard.cli.main", "--home", str(tmp_path / "home"), *rest]
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            ran += 1
    assert ran >= 4
