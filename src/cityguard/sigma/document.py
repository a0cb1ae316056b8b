"""One YAML document to one rule, correlation or filter; every fault named with its line."""

from __future__ import annotations

from cityguard.content import Document
from cityguard.errors import ContentErrors
from cityguard.sigma import correlation_reader, filters, heading
from cityguard.sigma.ast import Correlation, Filter, Rule, leaves
from cityguard.sigma.detection import Detection, logsource
from cityguard.sigma.reader import Lists, Reader, timespan

__all__ = ["Lists", "read", "timespan"]


def read(document: Document, lists: Lists) -> Rule | Correlation | Filter:
    """Read one document.

    Raises:
        ContentErrors: everything that is wrong with it.
        UnresolvedError: it is sound, but a placeholder it uses has no list.
    """
    reader = Reader(document)
    made = _document(reader, lists)
    if reader.faults or made is None:
        raise ContentErrors(list(reader.faults))
    return made


def _document(reader: Reader, lists: Lists) -> Rule | Correlation | Filter | None:
    data = reader.doc.data
    if not isinstance(data, dict):
        reader.fault("not a Sigma document", remedy="a rule is a map with title, logsource and detection")
        return None
    head = heading.head(reader, data, lists)
    if "correlation" in data:
        return correlation_reader.read(reader, head, data["correlation"])
    if "filter" in data:
        return filters.read(reader, head, data, lists)
    source = logsource(reader, data)
    node = Detection(reader, lists).read(data)
    if node is None:
        return None
    names = dict.fromkeys(leaf.field for leaf in leaves(node) if leaf.field is not None)
    return Rule(head, node, source.get("category"), source.get("product"), source.get("service"), tuple(names))
