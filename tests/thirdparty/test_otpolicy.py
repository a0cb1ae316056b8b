"""Recorded traffic of every OT protocol: a policy accepted whole as learned tells nothing of the same traffic."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cityguard.collect import collect
from cityguard.collect.collect import Collectors
from cityguard.config import OtPolicy, Settings
from cityguard.model import EventBatch
from cityguard.otpolicy import decide, policy, propose
from cityguard.otpolicy.baseline import Learner
from cityguard.otpolicy.decide import Decision
from cityguard.otpolicy.detector import PolicyDetector
from cityguard.otpolicy.policy import Policy
from cityguard.register.register import Register

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
BOOK = Register.empty(zone=ZONE)
LARGEST = 400_000
EACH = 3  # captures of a protocol, the largest ones below that


def captures(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.suffix in (".pcap", ".pcapng", ".cap")]
    return sorted(
        (path for path in found if path.stat().st_size <= LARGEST), key=lambda path: (-path.stat().st_size, path)
    )


def messages(path: Path, known: Collectors) -> list[EventBatch]:
    chunks = collect.read(path, known, limits=Settings().limits, now=NOW, decoders={}, first=lambda digest, now: now)
    return [BOOK.enrich(batch) for chunk in chunks for batch in chunk.decoded.batches if batch.dataset == "ot"]


def signed(batches: list[EventBatch]) -> Policy:
    """Everything that was seen, accepted for every place."""
    learner = Learner(ZONE)
    for batch in batches:
        learner.add(batch.table)
    made = propose.propose(learner.finish(NOW, NOW), Policy(), BOOK, alerted=(), by="li", now=NOW)
    ids, places = tuple(one.id for one in made.lines), tuple({one.scope for one in made.lines})
    told = Decision("li", "owner", "reason", NOW.isoformat(), accept=ids, places=places or ("none",))
    return decide.decide(made, Policy(), told, segments={}).policy


def test_what_is_accepted_as_learned_is_not_told(shared: Path, tmp_path: Path) -> None:
    known, counted = Collectors.load(None), 0
    for folder in sorted((shared / "ot-pcap").iterdir()):
        taken = 0
        for path in captures(folder) if folder.is_dir() else ():
            if taken == EACH:
                break
            batches = messages(path, known)
            if not batches:
                continue
            taken += 1
            made = signed(batches)
            policy.put(tmp_path / "p.yml", policy.dump(made, "test"))
            again = policy.read(tmp_path / "p.yml")
            assert again == made, path.name
            one = PolicyDetector(lambda again=again: again, lambda: BOOK, OtPolicy(), ZONE)  # type: ignore[misc]
            assert [alert.reason.en for batch in batches for alert in one.detect(batch)] == [], path.name
            counted += 1
    if not counted:
        pytest.skip("no captures of OT protocols")
    assert counted >= 20
