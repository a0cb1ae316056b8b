"""A graded system, the shipped catalogue and scoring pack, and evidence made to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cityguard.compliance import catalogue, scoring
from cityguard.compliance.catalogue import Catalogue
from cityguard.compliance.claims import Can, Claims
from cityguard.compliance.scoring import Scoring
from cityguard.model import Evidence, EvidenceVerdict, System, Text

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
MakeEvidence = Callable[..., Evidence]


@pytest.fixture(scope="session")
def gbt22239() -> Catalogue:
    return catalogue.load()


@pytest.fixture(scope="session")
def lenient(gbt22239: Catalogue) -> Catalogue:
    """The shipped catalogue with a check, ``password_policy``, that decides every item a tool may decide."""
    pairs: dict[tuple[str, str], Can] = {
        ("password_policy", one.id): "decide" for one in gbt22239.items if one.decidable
    }
    return replace(gbt22239, claims=Claims("test", "c0" * 32, pairs))


@pytest.fixture(scope="session")
def rate2025() -> Scoring:
    return scoring.load()


@pytest.fixture
def system() -> System:
    return System("scada", "供水调度系统", "water", s_grade=3, a_grade=3)


@pytest.fixture
def make() -> MakeEvidence:
    def made(
        units: tuple[str, ...],
        verdict: EvidenceVerdict,
        *,
        object: str = "web-1",
        check: str = "password_policy",
        system: str = "scada",
        age_days: float = 1,
        valid_days: float = 30,
    ) -> Evidence:
        at = NOW - timedelta(days=age_days)
        return Evidence(
            id=f"{check}-{object}-{'-'.join(units)}-{verdict}",
            check=check,
            object=object,
            object_name=object,
            system=system,
            controls=units,
            verdict=verdict,
            reason=Text("口令最小长度为 6", "minimum length is 6"),
            observed_at=at,
            collected_at=at,
            valid_until=at + timedelta(days=valid_days),
            method="核查",
            record='{"minlen":6}',
        )

    return made
