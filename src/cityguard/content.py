"""Content: the YAML and templates operators write. Finds it, reads it safely, and knows the line of every key."""

from __future__ import annotations

import re
from collections.abc import Callable
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
    node: yaml.Node | None = field(default=None, repr=False, compare=False)
    also: tuple[yaml.Node, ...] = field(default=(), repr=False, compare=False)  # of what else the data was made of

    @property
    def nodes(self) -> tuple[yaml.Node, ...]:
        return (self.node, *self.also) if self.node is not None else self.also

    def line(self, *where: str | int) -> int:
        """Line of a part (of its key, in a map), or of the nearest parent that is there; from 1."""
        reached, line = -1, 1
        for node in self.nodes:
            depth, mark = _descend(node, where)
            if depth > reached:
                reached, line = depth, mark.start_mark.line + 1
        return line

    def place(self, *where: str | int) -> str:
        """``path:line`` of a part, or of the nearest parent that is there."""
        return f"{self.path}:{self.line(*where)}"


def _descend(node: yaml.Node, where: Where) -> tuple[int, yaml.Node]:
    """How many steps down there are, and what marks the place reached."""
    mark = node
    for depth, step in enumerate(where):
        found = _below(node, step)
        if found is None:
            return depth, mark
        mark, node = found
    return len(where), mark


def _below(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """One step down: what marks the place, and the value there."""
    if isinstance(node, yaml.MappingNode):
        found = next((pair for pair in node.value if pair[0].value == str(step)), None)
        nth = node.value[step] if isinstance(step, int) and step < len(node.value) else None
        return found or nth  # a key that is no text is told by its place
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


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
        message = f"{len(documents)} YAML documents where one is expected"
        raise InputError(message, place=documents[1].place(), remedy="split the file at '---'")
    return documents[0]


def load_all(path: Path, *, max_bytes: int = MAX_BYTES) -> list[Document]:
    """Read every YAML document of a file, as plain data with line numbers.

    Raises:
        InputError: not UTF-8, not YAML, too large, too deep, too many nodes, an alias or a tag;
            a key that stands twice, a merge key; with ``path:line`` and a remedy.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        remedy = "see that it is a file and may be read"
        raise InputError(f"cannot be read: {error.strerror}", place=str(path), remedy=remedy) from None
    if len(raw) > max_bytes:
        raise InputError(f"larger than {max_bytes} bytes", place=f"{path}:1", remedy="split the file")
    return parse_all(raw, path)


def parse_all(raw: bytes, path: Path) -> list[Document]:
    """The same as ``load_all`` for bytes in hand; ``path`` is only named in errors."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"not UTF-8 (byte {error.start})", place=f"{path}:{line}", remedy="save it as UTF-8") from None
    try:
        if _strange(text):
            _bound(text, path)
        return [_document(node, path) for node in yaml.compose_all(text, Loader=yaml.CSafeLoader)]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        if "alias" in str(error.problem):
            raise _refused("aliases", path, line) from None
        remedy = _REMEDIES.get(str(error.problem), "put texts with special characters in quotes; indent with blanks")
        raise InputError(f"not YAML: {error.problem}", place=f"{path}:{line}", remedy=remedy) from None
    except yaml.YAMLError as error:
        remedy = "remove control characters; save it as UTF-8"
        raise InputError(f"not YAML: {error}", place=f"{path}:{_control_line(text)}", remedy=remedy) from None


_REMEDIES = {
    "found character that cannot start any token": "indent with blanks, not tabs; quote texts that begin with @ or `",
    "did not find expected alphabetic or numeric character": "quote a text that begins with * or &",
    "mapping values are not allowed in this context": "put a text that holds ': ' in quotes; indent with blanks",
    "did not find expected <document start>": "begin a further document with '---'",
    "did not find expected ',' or ']'": "close the list with ]",
    "did not find expected ',' or '}'": "close the map with }",
    "found unexpected end of stream": "close the quotes",
}

_PROPERTY = re.compile(r"(?:^|[\s\[{,:])(?:&\S|!)", re.MULTILINE)  # where an anchor or a tag may stand
_DEEP = re.compile(r"[ \t?:-]{100}")  # a line may open as many levels as it begins with of these
_DEEPER = re.compile(r"\n[ \t?:-]{100}")
_BREAK = re.compile("\r(?!\n)|[\x85\u2028\u2029]")  # line ends of YAML that are none to ^
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_BRACKETS = 64


def _strange(text: str) -> bool:
    """True when the text may hold an anchor or a tag, or may nest deeper than the composer, which recurses, bears.

    False for nearly every file, which spares it the walk over its events.
    """
    return (
        text.count("[") + text.count("{") > _BRACKETS
        or (("&" in text or "!" in text) and _PROPERTY.search(text) is not None)
        or _DEEP.match(text) is not None
        or _DEEPER.search(text) is not None
        or ((not text.isascii() or "\r" in text) and _BREAK.search(text) is not None)
    )


def _bound(text: str, path: Path) -> None:
    """Walk the event stream first: it does not recurse, so a deep or aliased document costs nothing."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases", path, line)
        if getattr(event, "tag", None) is not None:
            raise _refused("tags", path, line)
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise _too_much(path, line)


def _refused(what: str, path: Path, line: int) -> InputError:
    remedy = "write the value out; quote a text that begins with * & or !"
    return InputError(f"YAML {what} are not allowed", place=f"{path}:{line}", remedy=remedy)


def _too_much(path: Path, line: int) -> InputError:
    return InputError(
        f"deeper than {MAX_DEPTH} or more than {MAX_NODES} values", place=f"{path}:{line}", remedy="split the file"
    )


def _control_line(text: str) -> int:
    found = _CONTROL.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


# ---------------------------------------------------------------- nodes to data


def _document(node: yaml.Node | None, path: Path) -> Document:
    return Document(path, None if node is None else _Data(path).of(node, 0), node)


class _Data:
    """Builds the plain data of one document; what SafeLoader would pass over in silence is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes = 0

    def of(self, node: yaml.Node, depth: int) -> Any:
        self.nodes += 1
        tag = node.tag
        if tag == "tag:yaml.org,2002:str":
            return node.value
        below = len(node.value) if isinstance(node, yaml.CollectionNode) else 0
        if depth > MAX_DEPTH or self.nodes + below > MAX_NODES:
            raise _too_much(self.path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._map(node, depth + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item, depth + 1) for item in node.value]
        return self._scalar(node)

    def _map(self, node: yaml.MappingNode, depth: int) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in node.value:
            name = self.of(key, depth) if isinstance(key, yaml.ScalarNode) else None
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                what = "merge keys" if isinstance(key, yaml.ScalarNode) else "lists and maps as keys"
                raise _refused(what, self.path, key.start_mark.line + 1)
            if name in made:
                place = f"{self.path}:{key.start_mark.line + 1}"
                raise InputError(
                    f"key '{key.value[:100]}' stands twice", place=place, remedy="keep one, or join their values"
                )
            made[name] = self.of(value, depth)
        return made

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return _SCALARS[node.tag](_PLAIN, node)
        except KeyError:
            raise _refused("tags", self.path, node.start_mark.line + 1) from None
        except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError) as error:  # a date that is none …
            place = f"{self.path}:{node.start_mark.line + 1}"
            raise InputError(f"bad value: {error}", place=place, remedy="put it in quotes if it is a text") from None


_PLAIN = yaml.constructor.SafeConstructor()
_SCALARS: dict[str, Callable[[Any, Any], Any]] = {
    f"tag:yaml.org,2002:{name}": made
    for name, made in {
        "null": yaml.constructor.SafeConstructor.construct_yaml_null,
        "bool": yaml.constructor.SafeConstructor.construct_yaml_bool,
        "int": yaml.constructor.SafeConstructor.construct_yaml_int,
        "float": yaml.constructor.SafeConstructor.construct_yaml_float,
        "timestamp": yaml.constructor.SafeConstructor.construct_yaml_timestamp,
        "value": lambda _, node: node.value,  # a lone '='
        "merge": lambda _, node: node.value,
    }.items()
}
