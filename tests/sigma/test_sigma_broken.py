"""Rules broken on purpose: each is refused at once, at its line and with a remedy; sound ones beside them run."""

from __future__ import annotations

import csv
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cityguard.sigma import lint
from cityguard.sigma.folders import MAX_BYTES
from cityguard.sigma.rule import load

BROKEN = Path(__file__).parents[1] / "broken_rules"
GOOD = """title: Sound
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
logsource: {category: webserver}
detection:
  sel: {url.path|contains: /cmd}
  condition: sel
level: low
"""


def cases() -> list[dict[str, str]]:
    """Rows of the index: file, line, a part of the message, a part of the remedy."""
    with (BROKEN / "index.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["file"].removesuffix(".yml"))
def test_a_broken_rule_is_refused_at_its_line_with_a_remedy(case: dict[str, str]) -> None:
    began = time.process_time()
    report = lint.check([BROKEN / case["file"]])
    assert time.process_time() - began < 1
    told = [(one.place.rpartition("/")[2], one.message, one.remedy) for one in report.errors]
    place = f"{case['file']}:{case['line']}"
    assert any(where == place and case["said"] in what and case["remedy"] in mend for where, what, mend in told), told
    assert all(mend for _, _, mend in told)


def test_the_index_names_every_file_and_there_are_many() -> None:
    named = {case["file"] for case in cases()}
    assert named == {file.name for file in BROKEN.glob("*.yml")}
    assert len(named) >= 100


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"title: '" + b"x" * 1_000_000 + b"'\n", "larger than"),
        (b"title: x\ntags: [" + b"a, " * (MAX_BYTES // 3 - 10) + b"a]\n", "more than 100000"),
        (b"\x00" * 400_000, "not YAML"),
        (b"[" * 400_000, "deeper than 20"),
        (b"{a: " * 100_000, "deeper than 20"),
        (b"- " * 200_000, "deeper than 20"),
        (b"? " * 200_000, "deeper than 20"),
        (b"&a [" * 100_000, "deeper than 20"),
        (b"a:\r" * 100_000, "more than 100000"),
        (b"---\n" * 100_000, ""),
        (b"- a\n" * 99_999, "not a Sigma document"),
        (b"".join(b"k%d: 1\n" % n for n in range(45_000)), "'title' is missing"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_a_large_hostile_file_is_refused_quickly(tmp_path: Path, raw: bytes, said: str) -> None:
    file = tmp_path / "large.yml"
    file.write_bytes(raw)
    began = time.process_time()
    made = load([file])
    assert time.process_time() - began < 10  # on any machine; what is quadratic would take minutes
    assert not made.rules
    assert not said or any(said in str(fault) and "large.yml:" in str(fault) for fault in made.faults), made.faults


def test_sound_rules_beside_broken_ones_run_and_every_fault_is_told(tmp_path: Path) -> None:
    shutil.copytree(BROKEN, tmp_path / "rules")
    for n in range(3):
        (tmp_path / "rules" / f"sound{n}.yml").write_text(GOOD.replace("8a01", f"8a0{n}"), encoding="utf-8")
    began = time.process_time()
    report = lint.check([tmp_path / "rules"])
    assert time.process_time() - began < 60
    assert {one.head.path.name for one in report.ruleset.rules} >= {"sound0.yml", "sound1.yml", "sound2.yml"}
    faulty = {one.place.rpartition("/")[2].partition(":")[0] for one in report.errors}
    assert {case["file"] for case in cases()} <= faulty


def test_a_file_that_says_nothing_keeps_no_rule_from_running(tmp_path: Path) -> None:
    for n, raw in enumerate((b"", b"---\n", b"# only a comment\n", GOOD.encode() + b"---\n")):
        (tmp_path / f"{n}.yml").write_bytes(raw)
    assert load([tmp_path]).faults == ()
    assert len(load([tmp_path]).rules) == 1
    assert [one.code for one in lint.check([tmp_path]).errors] == ["empty"] * 3


WORDS = [
    "not ",
    "|all",
    "|re",
    "|expand",
    "%a%",
    "*",
    "null",
    "[",
    "]",
    "{",
    "}",
    "- ",
    "\n  ",
    "---\n",
    ": ",
    "'",
    '"',
]
WORDS += [
    "action: repeat\n",
    "action: global\n",
    "correlation:\n  ",
    "filter:\n  ",
    "rules: any\n  ",
    "(?=a)",
    "9e999",
    "\x00",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.sampled_from(WORDS), st.integers(0, 9)), max_size=6))
def test_whatever_is_written_the_linter_answers_with_line_and_remedy(
    tmp_path: Path, changes: list[tuple[int, str, int]]
) -> None:
    text = GOOD
    for at, word, cut in changes:
        text = text[:at] + word + text[at + cut :]
    (tmp_path / "a.yml").write_text(text, encoding="utf-8")
    for one in lint.check([tmp_path], {"a": ["x"]}).errors:
        assert one.remedy and one.place.rpartition(":")[2].isdigit(), one
