"""One town for the tests that only read, one of its own for each test that changes something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.web.town import EVIL, people, serving, town


def _site(home: Path, text: str = "") -> Iterator[FastAPI]:
    app, accounts = town(home, text), people(home)
    try:
        with serving(app, accounts) as site:
            yield site
    finally:
        accounts.close()
        app.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    yield from _site(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The same town, with an attacker's words in every field."""
    yield from _site(tmp_path_factory.mktemp("hostile"), EVIL)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[FastAPI]:
    yield from _site(tmp_path)
