"""Content: the YAML and templates operators write. Finds it, reads it safely, and knows the line of every key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cityguard.errors import InputError

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 100_000

Where = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: plain data, and where each part stands."""

    path: Path
    data: Any
    lines: dict[Where, int] = field(default_factory=dict)

    def place(self, *where: str | int) -> str:
        """``path:line`` of a part, or of the nearest parent that is there."""
        while where and where not in self.lines:
            where = where[:-1]
        return f"{self.path}:{self.lines.get(where, 1)}"


def root() -> Path:
    """The shipped content: inside the installed package, else the root of the checkout."""
    installed = Path(__file__).parent / "content"
    return installed if installed.is_dir() else Path(__file__).parents[2]


def files(kind: str, pattern: str, extra: Path | None = None) -> list[Path]:
    """Content files of one kind (``rules``, ``collectors`` …), the city's own folder after the shipped one."""
    found: list[Path] = []
    for base in (root(), extra):
        if base is not None and (base / kind).is_dir():
            found.extend(sorted((base / kind).glob(pattern)))
    return found


def load(path: Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """Read a file of one YAML document (none reads as null); see ``load_all``."""
    documents = load_all(path, max_bytes=max_bytes) or [Document(path, None)]
    if len(documents) != 1:
        raise InputError(f"{len(documents)} YAML documents where one is expected", place=str(path))
    return documents[0]


def load_all(path: Path, *, max_bytes: int = MAX_BYTES) -> list[Document]:
    """Read every YAML document of a file, as plain data with line numbers.

    Raises:
        InputError: not UTF-8, not YAML, too large, too deep, too many nodes, an alias or a tag;
            with ``path:line`` and a remedy.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place=str(path)) from None
    if len(raw) > max_bytes:
        raise InputError(f"larger than {max_bytes} bytes", place=str(path), remedy="split the file")
    return parse_all(raw, path)


def parse_all(raw: bytes, path: Path) -> list[Document]:
    """The same as ``load_all`` for bytes in hand; ``path`` is only named in errors."""
    try:
        text = raw.decode("utf-8-sig")
        _bound(text, path)
        return [_document(node, path) for node in yaml.compose_all(text, Loader=yaml.CSafeLoader)]
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 (byte {error.start})", place=str(path), remedy="save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"not YAML: {error.problem}", place=f"{path}:{line}") from None
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", place=str(path)) from None


def _bound(text: str, path: Path) -> None:
    """Walk the event stream first: it does not recurse, so a deep or aliased document costs nothing."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise InputError("YAML aliases are not allowed", place=f"{path}:{line}", remedy="write the value out")
        if getattr(event, "tag", None) is not None:
            raise InputError("YAML tags are not allowed", place=f"{path}:{line}", remedy="write the value plainly")
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise InputError(f"deeper than {MAX_DEPTH} or more than {MAX_NODES} values", place=f"{path}:{line}")


def _document(node: yaml.Node | None, path: Path) -> Document:
    if node is None:
        return Document(path, None)
    lines = dict(_walk(node, ()))
    loader = yaml.CSafeLoader("")
    try:
        data = loader.construct_document(node)
    except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError) as error:  # e.g. a date that is none
        raise InputError(f"bad value: {error}", place=f"{path}:{node.start_mark.line + 1}") from None
    finally:
        loader.dispose()
    return Document(path, data, lines)


def _walk(node: yaml.Node, where: Where) -> Iterator[tuple[Where, int]]:
    yield where, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*where, str(key.value))
            yield from _walk(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*where, index))
