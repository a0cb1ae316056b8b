"""What an input is, from its first bytes: a capture, an event log, JSON or text, and how well a pattern fits."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import polars as pl

from cityguard.sources import documents, evtx, pcap

_NAME = re.compile(r"[A-Za-z_@\u4e00-\u9fff][^,\n]{0,63}$")
"""The name of a column: no number, no time."""
SAMPLE = 40
"""Lines looked at."""
HEADS = ("#fields", "#path", "#Fields", "# Time: ", "# User@Host: ")
"""Lines that begin as comments do and tell the kind: Zeek, W3C, MySQL's slow queries."""


@dataclass(frozen=True, slots=True)
class Look:
    """``kind``: capture, evtx, json, text or binary; the first lines of text that are no comments, and the head."""

    kind: str
    document: bool
    head: bytes
    lines: tuple[str, ...]

    def share(self, pattern: str) -> float:
        """Part of the sampled lines a Rust regular expression matches, 0..1; a header line alone settles it."""
        if not self.lines:
            return 0.0
        header = [line for line in self.lines if line.startswith("#")]
        if header and pl.Series(header).str.contains(pattern).any():
            return 1.0
        mean = pl.Series(self.lines).str.contains(pattern).mean()
        return float(mean) if isinstance(mean, float) else 0.0

    @property
    def is_table(self) -> bool:
        """Whether the first line names columns and the others have as many cells."""
        rows = list(csv.reader(self.lines))
        if len(rows) < 2 or len(rows[0]) < 3 or not all(_NAME.match(cell.strip()) for cell in rows[0]):
            return False
        return sum(len(row) == len(rows[0]) for row in rows[1:]) >= 0.8 * (len(rows) - 1)

    def has_key(self, key: str) -> bool:
        """Whether the head holds a JSON key: as it stands, or each part of a dotted one."""
        return _has(self.head, key) or ("." in key and all(_has(self.head, part) for part in key.split(".")))


def look(head: bytes) -> Look:
    """Look at the first bytes (up to 64 KiB, decompressed) of an input."""
    if pcap.sniff(head):
        return Look("capture", False, head, ())
    if head.startswith(evtx.MAGIC):
        return Look("evtx", False, head, ())
    if head.startswith(documents.JOURNAL):
        return Look("text", True, head, ("__CURSOR=",))
    if b"\0" in head[:1024].rstrip(b"\0"):
        return Look("binary", False, head, ())
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lines = tuple(line for line in _decoded(head).splitlines() if line.strip())
    plain = tuple(line for line in lines if not line.startswith("#") or line.startswith(HEADS))
    if start.startswith(documents.XML):  # one element may fill many lines
        plain = (" ".join(plain[:SAMPLE]),)
    is_json = start[:1] in (b"{", b"[") and (start[:1] == b"{" or re.match(rb"\[\s*[{\]]", start) is not None)
    return Look(
        "json" if is_json else "text",
        (is_json or start.startswith(documents.XML)) and documents.is_document(head),
        head,
        plain[:SAMPLE],
    )


def _decoded(head: bytes) -> str:
    text = head[: head.rfind(b"\n") + 1] or head
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("gb18030", "replace")


def _has(head: bytes, key: str) -> bool:
    return re.search(rb'"' + re.escape(key.encode()) + rb'"\s*:', head) is not None
