"""MANSCDP documents (GB/T 28181 annex A): small XML trees, read without declarations, entities or external parts.

The declared character set often lies: what is whole UTF-8, mostly of three octets a character, is UTF-8; all else is
GB 18030, of which GB 2312 is a part. Names are compared without case, since makers write them as they like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

MAX_DEPTH: Final = 16
MAX_ELEMENTS: Final = 40_000
MAX_TEXT: Final = 512
_DECLARED: Final = "xml_declaration_refused"


@dataclass(frozen=True, slots=True)
class Node:
    """An element: its name as written, its text, its children."""

    name: str
    text: str = ""
    children: tuple[Node, ...] = ()
    low: str = ""
    """Its name in lower case."""

    def find(self, name: str) -> Node | None:
        """The first child of a name, whatever its case."""
        wanted = name.lower()
        for one in self.children:
            if one.low == wanted:
                return one
        return None

    def word(self, name: str) -> str | None:
        """The text of a child; None where it is not there or empty."""
        found = self.find(name)
        return found.text or None if found is not None else None

    def leaves(self, depth: int = 0) -> Iterator[tuple[str, str]]:
        """Names and texts of all elements below that have no children, in order."""
        for one in self.children:
            if one.children:
                yield from one.leaves(depth + 1)
            elif one.text:
                yield one.name, one.text


@dataclass(frozen=True, slots=True)
class Document:
    """A document: its root, the characters it is written in, and what is wrong with it ("" = nothing)."""

    root: Node
    charset: str
    fault: str = ""


@dataclass(slots=True)
class _Open:
    name: str
    words: list[str] = field(default_factory=list)
    length: int = 0
    children: list[Node] = field(default_factory=list)

    def closed(self) -> Node:
        text = "".join(self.words).strip()[:MAX_TEXT]
        return Node(self.name, text, tuple(self.children), self.name.lower())


class _Refused(ValueError):
    """A declaration, or more than is read."""


def text(body: bytes) -> tuple[str, str]:
    """A body as text and the name of its character set; never fails."""
    try:
        unicode = body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("gb18030", "replace"), "gb18030"
    if body.isascii():
        return unicode, "ascii"
    high = [one for one in unicode if one >= "\x80"]
    if 2 * sum(one >= "\u0800" for one in high) > len(high):
        return unicode, "utf-8"
    try:
        return body.decode("gb18030"), "gb18030"
    except UnicodeDecodeError:
        return unicode, "utf-8"


def read(body: bytes) -> Document | None:
    """A document of any bytes; None where no element begins. What breaks off keeps what was whole, with its fault;
    one that declares anything is empty.
    """
    words, charset = text(body)
    words = words.replace("\0", "").lstrip("\ufeff \t\r\n")
    if words.startswith("<?xml"):
        words = words[words.find("?>") + 2 :] if "?>" in words else ""
    start = words.find("<")
    if start < 0:
        return None
    reader = _Reader()
    root = reader.read(words[start:].rstrip())
    if root is None:
        return Document(Node(""), charset, reader.fault) if reader.fault == _DECLARED else None
    return Document(root, charset, reader.fault)


class _Reader:
    """Collects elements; bounded in depth and number."""

    def __init__(self) -> None:
        self.fault = ""
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._count = 0

    def read(self, words: str) -> Node | None:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = _declared
        parser.StartDoctypeDeclHandler = _declared
        try:
            parser.Parse(words.encode("utf-8", "replace"), True)
        except _Refused as refusal:
            self.fault = str(refusal)
        except (expat.ExpatError, ValueError):
            self.fault = "xml_malformed"
        while self._open:
            self._end("")
        return self._root

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= MAX_DEPTH:
            raise _Refused("xml_too_deep")
        if self._count > MAX_ELEMENTS:
            raise _Refused("xml_too_long")
        self._open.append(_Open(name.rpartition(":")[2][:64]))

    def _text(self, words: str) -> None:
        if self._open and self._open[-1].length < MAX_TEXT:
            self._open[-1].words.append(words)
            self._open[-1].length += len(words.strip())

    def _end(self, _: str) -> None:
        node = self._open.pop().closed()
        if self._open:
            self._open[-1].children.append(node)
        elif self._root is None:
            self._root = node


def _declared(*_: object) -> None:
    raise _Refused(_DECLARED)
