"""What every command shares: the global options, the settings they lead to, and the application."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cityguard import config
from cityguard.config import Settings

if TYPE_CHECKING:
    from cityguard.app import App


@dataclass(slots=True)
class State:
    """Global options as given; one object for the life of the command."""

    config: Path | None = None
    home: Path | None = None
    language: str | None = None
    quiet: bool = False

    def settings(self) -> Settings:
        """Flags over environment over file over defaults."""
        found = config.load(self.config)
        if self.home:
            found = replace(found, home=str(self.home.absolute()))
        if self.language:
            found = replace(found, language="en" if self.language == "en" else "zh-CN")
        return found


STATE = State()


def actor() -> str:
    """Who acts, for the audit log: the account of the operating system behind the command."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


@contextmanager
def application(*, rules: Sequence[Path] | None = None, settings: Settings | None = None) -> Iterator[App]:
    """The application of the present settings, closed at the end."""
    from cityguard.app import App

    one = App(settings or STATE.settings(), rules=rules)
    try:
        yield one
    finally:
        one.close()
