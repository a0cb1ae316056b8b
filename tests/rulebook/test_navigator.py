"""Layers that ATT&CK Navigator reads: format 4.5, one per matrix."""

from __future__ import annotations

from tests.rulebook.make import FLOWS, NOW, book, rule, sighting

from cityguard.rulebook import navigator
from cityguard.rulebook.coverage import Coverage, cover


def covered() -> Coverage:
    return cover(
        book(
            rule(1, title="Telnet", tags="[attack.t1021, attack.lateral-movement]"),
            rule(2, title="Other", tags="[attack.T1021, attack.t1110.001]", logsource="{category: dns}"),
            rule(3, title="Write", tags="[attack.t0836, attack.t1021, attack.t1021]"),
        ),
        [sighting(FLOWS, "destination.port")],
        NOW,
    )


def test_a_layer_scores_active_rules_and_names_all_of_them() -> None:
    layer = navigator.layer(covered(), "enterprise", city="样例市")
    assert layer["versions"]["layer"] == "4.5"
    assert layer["versions"]["navigator"] >= "4.9.0"
    assert layer["domain"] == "enterprise-attack"
    assert layer["name"] == "样例市 ATT&CK Enterprise 规则覆盖"
    found = {one["techniqueID"]: one for one in layer["techniques"]}
    assert {name: one["score"] for name, one in found.items()} == {"T1021": 2, "T1110.001": 0}
    assert "[medium] Telnet" in found["T1021"]["comment"]
    assert "Other: 7 天内没有此类数据源：dns" in found["T1021"]["comment"]
    assert layer["gradient"]["maxValue"] == 2


def test_the_ics_matrix_has_its_own_layer() -> None:
    layer = navigator.layer(covered(), "ics", language="en")
    assert (layer["domain"], layer["name"]) == ("ics-attack", "ATT&CK for ICS rule coverage")
    assert [(one["techniqueID"], one["score"]) for one in layer["techniques"]] == [("T0836", 1)]


def test_a_layer_of_nothing_is_still_a_layer() -> None:
    layer = navigator.layer(cover(book(), [], NOW), "ics")
    assert layer["techniques"] == []
    assert layer["gradient"]["maxValue"] > layer["gradient"]["minValue"]


def test_a_comment_names_so_many_rules_and_counts_the_rest() -> None:
    texts = [rule(number, tags="[attack.t1021]") for number in range(1, 60)]
    (one,) = navigator.layer(cover(book(*texts), [], NOW), "enterprise")["techniques"]
    assert len(one["comment"].splitlines()) == navigator.MAX_NAMED + 1
    assert one["comment"].endswith("+19")
