"""HTML: one self-contained page with print styles; no script, no request to anywhere."""

from __future__ import annotations

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cityguard import content
from cityguard.render.document import Document, Section, Table, capped

LAYOUT = "layout.html.j2"
MAX_LAYOUT = 1 << 18


def write(document: Document) -> bytes:
    """Set a document as a page. Every value is escaped; only the layout file is ever compiled."""
    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    path = content.root() / "reports" / LAYOUT
    page = environment.from_string(path.read_bytes()[:MAX_LAYOUT].decode())
    sections = [(number, section.title, _blocks(section)) for number, section in enumerate(document.sections, 1)]
    return page.render(document=document, sections=sections).encode()


def _blocks(section: Section) -> list[tuple[object, int]]:
    return [capped(block) if isinstance(block, Table) else (block, 0) for block in section.blocks]
