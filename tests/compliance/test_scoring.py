"""Rates and conclusions: formulas, boundaries, and an open answer while items are open."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cityguard import content
from cityguard.compliance import scoring
from cityguard.compliance.scoring import Scoring
from cityguard.errors import InputError
from cityguard.model import VERDICTS

PACK = scoring.load()


def concluded(pack: Scoring, *, met: int, unmet: int = 0, undecided: int = 0, exempt: int = 0, risks: int = 0):
    verdicts = ["符合"] * met + ["不符合"] * unmet + ["未判定"] * undecided + ["不适用"] * exempt
    rates = pack.rates(verdicts, verdicts)
    word, notes = pack.conclude(rates, risks)
    return word, " ".join(note.zh for note in notes), rates[0]


@pytest.mark.parametrize(
    ("met", "unmet", "risks", "word"),
    [
        (95, 5, 0, "符合"),
        (95, 5, 1, "基本符合"),
        (90, 10, 0, "基本符合"),
        (901, 99, 0, "符合"),
        (60, 40, 0, "基本符合"),
        (60, 40, 3, "基本符合"),
        (599, 401, 0, "不符合"),
        (0, 10, 0, "不符合"),
    ],
)
def test_thresholds_are_those_of_the_2025_template(met: int, unmet: int, risks: int, word: str) -> None:
    assert concluded(PACK, met=met, unmet=unmet, risks=risks)[0] == word


@pytest.mark.parametrize(("met", "unmet", "limit"), [(90, 10, "90%"), (60, 40, "60%"), (9, 1, "90%")])
def test_exactly_on_a_boundary_is_flagged(met: int, unmet: int, limit: str) -> None:
    assert f"恰为 {limit}" in concluded(PACK, met=met, unmet=unmet)[1]
    assert "恰为" not in concluded(PACK, met=met + 1, unmet=unmet)[1]


def test_undecided_items_keep_the_conclusion_open_until_they_cannot_change_it() -> None:
    word, notes, rate = concluded(PACK, met=50, unmet=10, undecided=40)
    assert (word, rate.low, rate.high) == ("待确认", 50.0, 90.0)
    assert "不符合" in notes
    assert "基本符合" in notes
    assert concluded(PACK, met=50, unmet=45, undecided=5)[0] == "不符合"


def test_nothing_judged_and_nothing_applicable_give_no_rate() -> None:
    for kind in ({"undecided": 10}, {"exempt": 10}, {}):
        word, _, rate = concluded(PACK, met=0, **kind)
        assert (word, rate.rate) == ("待确认", None)


def test_exempt_items_leave_the_denominator_and_undecided_ones_stay() -> None:
    _, _, rate = concluded(PACK, met=8, unmet=1, undecided=1, exempt=90)
    assert (rate.passed, rate.counted, rate.rate) == (8, 10, 80.0)


def test_the_two_ways_count_items_and_objects_apart() -> None:
    by_item, by_object = PACK.rates(["符合", "部分符合"], ["符合", "符合", "不符合"])
    assert (by_item.passed, by_item.counted) == (1, 2)
    assert (by_object.passed, by_object.counted) == (2, 3)
    assert by_item.formula.zh != by_object.formula.zh


@given(st.lists(st.sampled_from(VERDICTS), max_size=60), st.integers(0, 3))
def test_deciding_one_more_item_never_leaves_the_bounds(found: list, risks: int) -> None:
    rate = PACK.rates(found, found)[0]
    if rate.rate is None or "未判定" not in found:
        return
    rest = list(found)
    rest.remove("未判定")
    for decided in ("符合", "部分符合", "不符合", "不适用"):
        now = PACK.rates([*rest, decided], found)[0]
        if now.rate is not None:
            assert rate.low - 1e-9 <= now.rate <= now.high <= rate.high + 1e-9
    word, _ = PACK.conclude([rate], risks)
    assert word != "符合" or risks == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("conclusion_by: item", "conclusion_by: weight"), "no formula 'weight'"),
        (("basic: 60", "basic: 95"), "basic is above compliant"),
        (("count: item", "count: everything"), "everything"),
    ],
)
def test_a_broken_pack_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    shipped = (content.root() / "reports/scoring/rate-2025.yml").read_text(encoding="utf-8")
    folder = tmp_path / "reports/scoring"
    folder.mkdir(parents=True)
    (folder / "rate-2025.yml").write_text(shipped.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        scoring.load(tmp_path)
    with pytest.raises(InputError, match="no scoring pack"):
        scoring.load(name="none-such")
