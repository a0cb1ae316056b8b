"""Coverage as layers for MITRE ATT&CK Navigator (layer format 4.5): score = active rules of a technique."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from cityguard.clock import iso
from cityguard.rulebook.coverage import Coverage, Covered

Domain = Literal["enterprise", "ics"]
DOMAINS: tuple[Domain, ...] = ("enterprise", "ics")
MAX_NAMED = 40  # rules a comment names
_TECHNIQUE = re.compile(r"attack\.(t\d{4}(?:\.\d{3})?)", re.IGNORECASE)
_NAMES = {"enterprise": "ATT&CK Enterprise", "ics": "ATT&CK for ICS"}
_COLORS = ("#f4f6f8", "#bcd7f0", "#1f5fa8")


def layer(coverage: Coverage, domain: Domain, *, city: str = "", language: str = "zh-CN") -> dict[str, Any]:
    """One layer. Techniques that only inactive rules speak of are there with score 0, and say why.

    Which matrix a technique belongs to is told by its number: those of ICS begin with T0.
    """
    found: dict[str, list[Covered]] = {}
    for rule in coverage.rules:
        for name in techniques(rule.tags):
            if (name[1] == "0") is (domain == "ics"):
                found.setdefault(name, []).append(rule)
    items = [_technique(name, found[name], language) for name in sorted(found)]
    top = max((item["score"] for item in items), default=1)
    zh = not language.startswith("en")
    title = f"{_NAMES[domain]} {'规则覆盖' if zh else 'rule coverage'}"
    return {
        "name": f"{city} {title}".strip(),
        "versions": {"navigator": "5.1.0", "layer": "4.5"},
        "domain": f"{domain}-attack",
        "description": ("得分为当前可命中的规则数；" if zh else "Score: rules that can hold now; ") + iso(coverage.at),
        "sorting": 3,
        "hideDisabled": False,
        "techniques": items,
        "gradient": {"colors": list(_COLORS), "minValue": 0, "maxValue": max(top, 1)},
        "legendItems": [
            {"label": "仅有未生效规则" if zh else "only inactive rules", "color": _COLORS[0]},
            {"label": f"{top} 条规则" if zh else f"{top} rules", "color": _COLORS[-1]},
        ],
        "metadata": [{"name": "cityguard", "value": iso(coverage.since)}],
    }


def techniques(tags: Iterable[str]) -> list[str]:
    """``T1110.001`` of ``attack.t1110.001``, each once, in order."""
    return list(dict.fromkeys(match[1].upper() for tag in tags if (match := _TECHNIQUE.fullmatch(tag))))


def _technique(name: str, rules: list[Covered], language: str) -> dict[str, Any]:
    active = [one for one in rules if one.state == "active"]
    lines = [f"[{one.level}] {one.title.get(language)}" for one in active]
    lines += [f"[—] {one.title.get(language)}: {one.reason.get(language)}" for one in rules if one.state != "active"]
    more = len(lines) - MAX_NAMED
    comment = "\n".join([*lines[:MAX_NAMED], *([f"… +{more}"] if more > 0 else [])])
    return {
        "techniqueID": name,
        "score": len(active),
        "comment": comment,
        "enabled": True,
        "showSubtechniques": "." in name,
    }
