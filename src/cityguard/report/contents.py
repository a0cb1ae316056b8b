"""Versions of the content behind a report: rules, collectors, catalogues, each kind with a count and one hash."""

from __future__ import annotations

from pathlib import Path

from cityguard import content, crypto
from cityguard.model import Text
from cityguard.report.rows import ContentRow

KINDS = (
    ("rules", Text("检测规则", "Detection rules")),
    ("collectors", Text("日志解析定义", "Collectors")),
)


def contents(extra: Path | None = None) -> tuple[ContentRow, ...]:
    """Rules and collectors as they stand, the city's own included.

    The hash is of the sorted list of (place, SHA-256) of all files, so it changes with any of them and with none else.

    Raises:
        OSError: a file cannot be read.
    """
    return tuple(_row(kind, name, extra) for kind, name in KINDS)


def _row(kind: str, name: Text, extra: Path | None) -> ContentRow:
    listed = []
    for place, base in (("shipped", content.root()), ("own", extra)):
        folder = base / kind if base is not None else None
        if folder is None or not folder.is_dir():
            continue
        for path in sorted(folder.rglob("*.yml")):
            if path.is_file() and not path.is_symlink():
                where = f"{place}/{path.relative_to(folder).as_posix()}"
                listed.append(f"{where} {crypto.digest_file(path).sha256}")
    digest = crypto.digest("\n".join(sorted(listed)).encode()).sha256 if listed else ""
    return ContentRow(name, "", len(listed), digest)
