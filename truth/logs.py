"""Log lines: fields beside Wazuh's engine, who wrote a line beside its rule tests, headers beside napalm-logs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from truth import logs_fields, logs_headers, logs_vendors
from truth.base import Line


def compare(data: Path) -> Iterable[Line]:
    """Three lines: fields, vendors, headers."""
    logs = data / "logs"
    yield logs_fields.engine(logs / "wazuh-engine")
    yield logs_vendors.recognition(logs / "wazuh-ruletest")
    yield logs_headers.headers(logs / "napalm-logs")
