"""CEF (ArcSight Common Event Format, version 0 and 1), bare or behind any header.

The prefix's fields are called deviceVendor, deviceProduct, deviceVersion, deviceEventClassId, name and severity.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from cityguard.decoders import keyvalue
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.envelope import beside
from cityguard.decoders.prefixed import prefixed
from cityguard.decoders.text import placed
from cityguard.model import Decoded, EventBatch, Frames

MAX_LABELS = 100
"""Different labels of custom fields within one piece that become columns."""
_PART = r"(?:[^|\\]|\\.)*"
_NAMES = ("deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity")
_PREFIX: Final = (
    r"(?s)^CEF:\s?(?P<cefVersion>[0-9]+)\|"
    + "".join(rf"(?P<{name}>{_PART})\|" for name in _NAMES[:-1])
    + r"(?P<severity>[^|]*)(?:\|(?P<extension>.*))?$"
)
_STYLE = keyvalue.Style(
    # keys as the format has them, also those of arrays: ad.field[0]
    r"(^|\s)([A-Za-z_][A-Za-z0-9_.-]*(?:\[[0-9]+\])?)=()",
    r"[A-Za-z_][A-Za-z0-9_.-]*(?:\[[0-9]+\])?",
    "",
    "raw",
)


def decoder(options: Options) -> Decoder:
    """Option: ``wanted`` as for keyvalue. What a ``csNLabel`` names is a column of that name as well."""
    return _Cef(options, frozenset(options.get("wanted", ())))


class _Cef:
    def __init__(self, options: Options, wanted: frozenset[str]) -> None:
        self._options = options
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        found = prefixed(frames, self._options, r"CEF:\s?[0-9]+\|", (_PREFIX,), "no CEF prefix of seven fields")
        if not len(found.good):
            return Decoded((), found.letters, found.rejected)
        prefix = found.prefix
        values, spare = keyvalue.pairs(prefix["extension"].str.strip_chars(), _STYLE, self._wanted)
        values = labelled(values.with_columns(_plain(pl.col(pl.String))), "Label")
        front = prefix.drop("extension").with_columns(_header(pl.col(*_NAMES)))
        table = beside(values.drop(front.columns, strict=False), front)
        rows = placed(beside(found.header, table), frames, found.good, found.read, spare)
        return Decoded((EventBatch("", "", rows),), found.letters, found.rejected)

    def flush(self) -> Decoded:
        return Decoded()


def labelled(values: pl.DataFrame, suffix: str) -> pl.DataFrame:
    """Columns named by labels: where ``cs1Label`` says ``policy``, ``cs1`` is the column ``policy``, too."""
    names = set(values.columns)
    made: dict[str, pl.Expr] = {}
    for name in values.columns:
        field = name.removesuffix(suffix)
        if field == name or field not in names:
            continue
        for label in values[name].drop_nulls().unique(maintain_order=True).head(MAX_LABELS):
            if label in names or (len(made) >= MAX_LABELS and label not in made):
                continue
            value = pl.when(pl.col(name) == label).then(pl.col(field))
            made[label] = pl.coalesce(made[label], value) if label in made else value
    return values.with_columns(**made) if made else values


def _plain(value: pl.Expr) -> pl.Expr:
    """Extension values: ``\\=``, ``\\\\``, ``\\n`` and ``\\r`` are escapes, any other backslash stands for itself."""
    mark = "\x1e"
    out = value.str.replace_all("\\\\", mark, literal=True).str.replace_all(r"\=", "=", literal=True)
    out = out.str.replace_all(r"\n", "\n", literal=True).str.replace_all(r"\r", "\r", literal=True)
    out = out.str.replace_all(r"\|", "|", literal=True)
    return out.str.replace_all(mark, "\\", literal=True)


def _header(value: pl.Expr) -> pl.Expr:
    out = value.str.replace_all(r"\\([|\\])", "${1}").str.strip_chars()
    return out.replace("", None)
