"""JSON: the facts as they are, keys sorted, for other programs."""

from __future__ import annotations

import orjson

from cityguard.render.document import Document


def write(document: Document) -> bytes:
    """All facts of the report, nothing cut."""
    facts = {"report": document.kind, "language": document.language, "facts": document.facts}
    return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
