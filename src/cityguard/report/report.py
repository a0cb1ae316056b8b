"""Reports: facts in, files out, each with its SHA-256 and SM3 in a manifest that can be verified later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import orjson

from cityguard import __version__, crypto
from cityguard.clock import iso
from cityguard.errors import InputError
from cityguard.render import docx, html, json, outline, pdf, xlsx
from cityguard.render.document import Writer
from cityguard.report.assessment import AssessmentFacts, assessment_facts
from cityguard.report.contents import contents
from cityguard.report.drill import DrillFacts, drill_facts
from cityguard.report.otpolicy import OtFacts, ot_facts
from cityguard.report.scan import ScanFacts, scan_facts

__all__ = [
    "AssessmentFacts",
    "DrillFacts",
    "OtFacts",
    "ScanFacts",
    "assessment_facts",
    "contents",
    "drill_facts",
    "ot_facts",
    "scan_facts",
    "verify",
]

Facts: TypeAlias = AssessmentFacts | DrillFacts | OtFacts | ScanFacts

WRITERS: dict[str, Writer] = {
    "html": html.write,
    "pdf": pdf.write,
    "docx": docx.write,
    "xlsx": xlsx.write,
    "json": json.write,
}
MANIFEST = "manifest.json"
MAX_MANIFEST = 4 << 20


def write(
    kind: str,
    facts: Facts,
    out: Path,
    formats: Sequence[str],
    language: str = "zh-CN",
    *,
    extra: Path | None = None,
) -> list[Path]:
    """Write a report in some formats, and the manifest.

    Args:
        kind: the outline's name: ``assessment``, ``drill``, ``scan`` or one of the city's own.
        out: folder, made if need be. A file of the same name is replaced.
        formats: of ``WRITERS``.
        extra: the city's own content folder.

    Returns:
        The files, the manifest last.

    Raises:
        InputError: an unknown format, or the outline cannot be used; nothing was written.
        OSError: the folder cannot be written.
    """
    unknown = [one for one in formats if one not in WRITERS]
    if unknown or not formats:
        raise InputError(f"no format '{''.join(unknown[:1])}'", remedy=f"one of: {', '.join(WRITERS)}")
    document = outline.lay(outline.load(kind, extra), facts, language=language, zone=ZoneInfo(facts.timezone))
    made = {f"{stem(kind, facts)}.{language}.{one}": WRITERS[one](document) for one in dict.fromkeys(formats)}
    out.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        _replace(out / name, data)
    _replace(out / MANIFEST, _manifest(kind, facts, out, made))
    return [*(out / name for name in made), out / MANIFEST]


def stem(kind: str, facts: Facts) -> str:
    """The file name of a report without its ending: kind, system, day, id."""
    system = re.sub(r"[^A-Za-z0-9_-]+", "-", facts.system_id).strip("-")[:40] or "system"
    return f"{kind}-{system}-{facts.made_on}-{facts.id[:8]}"


def verify(folder: Path) -> list[tuple[str, bool]]:
    """Hold every file of a manifest against its size, SHA-256 and SM3; (name, same) each.

    Raises:
        InputError: the folder has no manifest that can be read.
    """
    listed = _listed(folder / MANIFEST)
    if listed is None:
        raise InputError("no manifest", place=str(folder / MANIFEST), remedy="name the folder a report was written to")
    return [(name, _same(folder / name, entry)) for name, entry in sorted(listed.items())]


def _same(path: Path, entry: dict[str, Any]) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.get("size"):
        return False
    found = crypto.digest_file(path)
    return found.sha256 == entry.get("sha256") and found.sm3 == entry.get("sm3")


def _manifest(kind: str, facts: Facts, out: Path, made: dict[str, bytes]) -> bytes:
    """Entries of this report, beside those of earlier reports whose files still stand in the folder."""
    files = {name: one for name, one in (_listed(out / MANIFEST) or {}).items() if (out / name).is_file()}
    about = {"report": kind, "id": facts.id, "number": facts.number, "made_at": iso(facts.made_at)}
    for name, data in made.items():
        found = crypto.digest(data)
        files[name] = {**about, "size": len(data), "sha256": found.sha256, "sm3": found.sm3}
    whole = {"tool": f"cityguard {__version__}", "files": files}
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _listed(path: Path) -> dict[str, dict[str, Any]] | None:
    """The entries of a manifest; None where there is none. Names that lead out of the folder are not taken."""
    try:
        with path.open("rb") as file:
            found = orjson.loads(file.read(MAX_MANIFEST))["files"]
        return {name: entry for name, entry in found.items() if name == Path(name).name and isinstance(entry, dict)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all: a reader never sees half a report."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
