"""PDF by typst: values travel as JSON, never as markup; fonts come from a package, so bytes do not depend on a host."""

from __future__ import annotations

import importlib.resources
import tempfile
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import orjson
import typst

from cityguard import content
from cityguard.errors import InputError
from cityguard.render.document import Document, Section, Table, capped
from cityguard.render.outline import epoch

LAYOUT = "layout.typ"
FONT_PACKAGE = "justmytype_intl_cjk"
FONT_FOLDER = "fonts/ofl/notosanssc"


def write(document: Document) -> bytes:
    """Set a document on A4. The same document gives the same bytes on every machine.

    Raises:
        InputError: the font package is missing, or typst refuses the layout.
    """
    with tempfile.TemporaryDirectory(prefix="cityguard-pdf-") as folder:
        root = Path(folder)
        main = root / "main.typ"
        main.write_bytes((content.root() / "reports" / LAYOUT).read_bytes())
        (root / "document.json").write_bytes(orjson.dumps(_plain(document)))
        try:
            # The root is a folder of two files: a layout can read nothing else, and finds no packages.
            compiler = typst.Compiler(
                input=main, root=root, font_paths=_fonts(), package_path=root, package_cache_path=root
            )
            made = compiler.compile(format="pdf", timestamp=epoch(document.made_at))
        except typst.TypstError as error:
            raise InputError(f"typst: {error.diagnostic or error}", place=LAYOUT) from None
    if not isinstance(made, bytes):
        raise InputError("typst gave no document", place=LAYOUT)
    return made


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    try:
        folder = importlib.resources.files(FONT_PACKAGE) / FONT_FOLDER
    except ModuleNotFoundError:
        raise InputError("the Chinese font package is missing", remedy="pip install justmytype-intl-cjk") from None
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[Path(str(folder))])


def _plain(document: Document) -> dict[str, object]:
    """What the layout needs, without the facts; long tables cut, with the number of rows left out."""
    made = document.made_at
    return {
        "language": document.language,
        "title": document.title,
        "subtitle": document.subtitle,
        "number": document.number,
        "notice": document.notice,
        "made": [made.year, made.month, made.day],
        "cover": asdict(document.cover),
        "words": document.words,
        "sections": [{"title": one.title, "blocks": _blocks(one)} for one in document.sections],
    }


def _blocks(section: Section) -> list[dict[str, object]]:
    plain: list[dict[str, object]] = []
    for block in section.blocks:
        if isinstance(block, Table):
            table, left = capped(block)
            plain.append({**asdict(table), "left": left})
        else:
            plain.append(asdict(block))
    return plain
