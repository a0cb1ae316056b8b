"""One Windows event as XML to its header and its payload; no entities, no external parts, bounded.

The element names are those of the Windows event schema (``System``, ``EventData``, ``UserData``, ``RenderingInfo``).
"""

from __future__ import annotations

from typing import Any, Final
from xml.parsers import expat

Object = dict[str, Any]
MAX_DEPTH: Final = 16
MAX_FIELDS: Final = 1000
_SYSTEM: Final = {
    ("Provider", "Name"): "Provider_Name",
    ("Provider", "Guid"): "Provider_Guid",
    ("TimeCreated", "SystemTime"): "SystemTime",
    ("Execution", "ProcessID"): "ProcessID",
    ("Execution", "ThreadID"): "ThreadID",
    ("Security", "UserID"): "UserID",
    ("Security", "UserId"): "UserID",
    ("Correlation", "ActivityID"): "ActivityID",
    ("EventID", "Qualifiers"): "Qualifiers",
}
_TEXTS: Final = ("EventID", "Channel", "Computer", "EventRecordID", "Level", "Task", "Opcode", "Keywords", "Version")


def parse(text: str) -> tuple[Object, Object] | None:
    """Header and payload of the first ``Event`` element, or None where there is none or it is not well formed."""
    start, end = text.find("<Event"), text.rfind("</Event>")
    if start < 0 or end < start:
        return None
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refused
    parser.StartDoctypeDeclHandler = _refused
    try:
        parser.Parse(text[start : end + 8].encode("utf-8", "replace"), True)
    except (expat.ExpatError, ValueError):
        return None
    return reader.header, reader.payload


def _refused(*_: Any) -> None:
    raise ValueError("declarations are not read")


class _Reader:
    """Collects what the elements say; knows where it is by the names above it."""

    def __init__(self) -> None:
        self.header: Object = {}
        self.payload: Object = {}
        self._path: list[str] = []
        self._name: str | None = None
        self._words: list[str] = []
        self._leaf = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        self._path.append(tag)
        if len(self._path) > MAX_DEPTH:
            raise ValueError("too deep")
        self._words, self._leaf = [], True
        if len(self._path) == 3 and self._path[1] == "System":
            for (element, attribute), name in _SYSTEM.items():
                if tag == element and attributes.get(attribute):
                    self.header.setdefault(name, attributes[attribute])
            if tag == "Provider" and not attributes.get("Name") and attributes.get("EventSourceName"):
                self.header["Provider_Name"] = attributes["EventSourceName"]
        self._name = attributes.get("Name") if tag == "Data" else None

    def text(self, words: str) -> None:
        self._words.append(words)

    def end(self, tag: str) -> None:
        path, self._path = self._path, self._path[:-1]
        if not self._leaf or len(path) < 3:
            self._leaf = False
            return
        self._leaf = False
        value = "".join(self._words).strip()
        part, name = path[1], path[-1]
        if part == "System":
            if name in _TEXTS:
                self.header.setdefault(name, value)
        elif part == "EventData":
            self._keep(self._name if name == "Data" else name, value)
        elif part == "UserData":
            self._keep(name, value)
        elif part == "RenderingInfo" and name == "Message":
            self._keep("Message", value)

    def _keep(self, name: str | None, value: str) -> None:
        """A named value; those without a name are the list ``Data``, as the JSON of other tools has it."""
        if len(self.payload) >= MAX_FIELDS:
            return
        if name is None:
            found = self.payload.setdefault("Data", [])
            if isinstance(found, list) and len(found) < MAX_FIELDS:
                found.append(value)
        else:
            self.payload.setdefault(name.replace(" ", ""), value)
