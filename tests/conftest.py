"""What every room's tests may use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "elasticsearch"


def start_elasticsearch(folder: Path) -> str:
    """Start a server of our own below ``folder`` (or the one that runs there); returns its address."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "start", "--dir", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(done.stderr)
    return done.stdout.split()[-1]


def stop_elasticsearch(folder: Path) -> None:
    """Stop that server and remove its folder."""
    subprocess.run([sys.executable, SCRIPT, "stop", "--dir", folder], check=False)


def need_server() -> None:
    """Skip where no server can be had; never in CI."""
    cached = any(Path("~/.cache/cityguard").expanduser().glob("elasticsearch-*.zip"))
    missing = [tool for tool in ("java", "mvn") if not shutil.which(tool) and not (tool == "mvn" and cached)]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"no {' and no '.join(missing)}: Elasticsearch cannot be started")


@pytest.fixture(scope="session")
def elasticsearch_folder() -> Iterator[Path | None]:
    """Folder of a server started here and stopped at the end; None when ``CITYGUARD_TEST_ELASTICSEARCH`` names one."""
    if os.environ.get("CITYGUARD_TEST_ELASTICSEARCH"):
        yield None
        return
    need_server()
    folder = Path(tempfile.mkdtemp(prefix="cityguard-es-"))
    folder.chmod(0o755)
    try:
        start_elasticsearch(folder)
        yield folder
    finally:
        stop_elasticsearch(folder)


@pytest.fixture(scope="session")
def elasticsearch_url(elasticsearch_folder: Path | None) -> str:
    """Address of a real server."""
    if elasticsearch_folder is None:
        return os.environ["CITYGUARD_TEST_ELASTICSEARCH"]
    return start_elasticsearch(elasticsearch_folder)


# The suite is run many times a day: fewer examples then, many with CITYGUARD_EXAMPLES=1000 before a release.
hypothesis.settings.register_profile(
    "suite", max_examples=int(os.environ.get("CITYGUARD_EXAMPLES", "40")), deadline=None
)
hypothesis.settings.load_profile("suite")
