"""Outlines: ``reports/NAME.yml`` says which facts stand where, in both languages. Facts are looked up, never run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from cityguard import content
from cityguard.errors import InputError
from cityguard.model import Text
from cityguard.render.document import (
    MAX_TEXT,
    Bar,
    Block,
    Cell,
    Column,
    Document,
    Kind,
    Pairs,
    Paragraph,
    Section,
    Signatures,
    Table,
    Tone,
)

VERDICT_WORDS = {
    "符合": Text("符合", "Met"),
    "部分符合": Text("部分符合", "Partly met"),
    "不符合": Text("不符合", "Not met"),
    "不适用": Text("不适用", "Not applicable"),
    "未判定": Text("未判定", "Undecided"),
    "基本符合": Text("基本符合", "Basically met"),
    "待确认": Text("待确认", "To be confirmed"),
    "成功": Text("成功", "Success"),
    "部分成功": Text("部分成功", "Partial success"),
    "失败": Text("失败", "Failure"),
    "访谈": Text("访谈", "Interview"),
    "核查": Text("核查", "Examine"),
    "测试": Text("测试", "Test"),
}
TONES: dict[str, Tone] = {
    "符合": "good",
    "部分符合": "part",
    "不符合": "bad",
    "不适用": "none",
    "未判定": "open",
    "基本符合": "part",
    "待确认": "open",
    "成功": "good",
    "部分成功": "part",
    "失败": "bad",
}
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """A label and the fact beside it, or a table column."""

    zh: str
    en: str
    field: str
    width: float = 1.0
    kind: Kind = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """One block; exactly one of text, pairs, table, bar, signatures. ``when`` names a fact that must be truthy."""

    text: Text | None = None
    style: Literal["plain", "notice", "formula", "strong"] = "plain"
    texts: str = ""  # a fact that is a list of sentences
    pairs: tuple[FieldSpec, ...] = ()
    table: str = ""
    columns: tuple[FieldSpec, ...] = ()
    group: str = ""
    empty: Text = Text("无", "None")
    bar: str = ""
    signatures: tuple[Text, ...] = ()
    when: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSpec:
    """One chapter."""

    title: Text
    blocks: tuple[BlockSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A report's outline: ``reports/NAME.yml``."""

    report: str
    title: Text
    subtitle: Text
    notice: Text
    cover: tuple[FieldSpec, ...]
    sections: tuple[SectionSpec, ...]
    words: dict[str, Text]


def load(kind: str, extra: Path | None = None) -> Outline:
    """Read the outline of a report; one in the city's own folder takes the place of the shipped one.

    Raises:
        InputError: there is no such report, or its shape is wrong.
    """
    found = content.files("reports", f"{kind}.yml", extra) if re.fullmatch(r"[a-z][a-z0-9-]*", kind) else []
    if not found:
        raise InputError(f"no report '{kind}'", place="reports", remedy="see docs/reports.md")
    try:
        return msgspec.convert(content.load(found[-1]).data, Outline)
    except msgspec.ValidationError as error:
        raise InputError(str(error), place=str(found[-1]), remedy="see docs/reports.md") from None


def lay(outline: Outline, facts: Any, *, language: str, zone: ZoneInfo) -> Document:
    """Put facts (a dataclass with ``number`` and ``made_at``) into an outline.

    Raises:
        InputError: the outline names a fact there is not.
    """
    see = _Seer(facts, language, zone)
    sections = tuple(
        Section(part.title.get(language), tuple(block for spec in part.blocks for block in see.blocks(spec)))
        for part in outline.sections
    )
    return Document(
        kind=outline.report,
        language=language,
        title=outline.title.get(language),
        subtitle=see.filled(outline.subtitle),
        number=see.text(see.get("number")),
        made_at=see.get("made_at"),
        notice=see.filled(outline.notice),
        cover=see.pairs(outline.cover),
        sections=sections,
        words={name: word.get(language) for name, word in outline.words.items()},
        facts=msgspec.to_builtins(facts),
    )


class _Seer:
    """Looks up facts and says them in one language and time zone."""

    def __init__(self, facts: Any, language: str, zone: ZoneInfo) -> None:
        self.facts, self.language, self.zone = facts, language, zone

    def get(self, name: str, base: Any = None) -> Any:
        value = self.facts if base is None else base
        for part in name.split("."):
            value = _member(value, part, name)
        return value

    def blocks(self, spec: BlockSpec) -> Sequence[Block]:
        if spec.when and not self.get(spec.when):
            return ()
        if spec.texts:
            return tuple(Paragraph(self.text(one), spec.style) for one in self.get(spec.texts))
        if spec.pairs:
            return (self.pairs(spec.pairs),)
        if spec.table:
            return (self.table(spec),)
        if spec.bar:
            parts = self.get(spec.bar)
            return (Bar(tuple((self.text(name), int(count), TONES.get(name, "")) for name, count in parts.items())),)
        if spec.signatures:
            titles = (Text("角色", "Role"), Text("姓名", "Name"), Text("签字", "Signature"), Text("日期", "Date"))
            role, name, hand, day = (one.get(self.language) for one in titles)
            return (Signatures(tuple(one.get(self.language) for one in spec.signatures), (role, name, hand, day)),)
        return (Paragraph(self.filled(spec.text), spec.style),) if spec.text else ()

    def pairs(self, specs: Sequence[FieldSpec]) -> Pairs:
        return Pairs(tuple((Text(one.zh, one.en).get(self.language), self.cell(self.get(one.field))) for one in specs))

    def table(self, spec: BlockSpec) -> Table:
        rows = list(self.get(spec.table))
        return Table(
            columns=tuple(Column(Text(one.zh, one.en).get(self.language), one.width, one.kind) for one in spec.columns),
            rows=tuple(tuple(self.cell(self.get(one.field, row)) for one in spec.columns) for row in rows),
            groups=tuple(self.text(self.get(spec.group, row)) for row in rows) if spec.group else (),
            empty=spec.empty.get(self.language),
        )

    def cell(self, value: Any) -> Cell:
        return Cell(self.text(value), TONES.get(value, "") if isinstance(value, str) else "")

    def filled(self, text: Text) -> str:
        """A sentence with its ``{fact}`` places filled; what a fact says is never looked at again."""
        return _PLACE.sub(lambda found: self.text(self.get(found[1])), text.get(self.language))

    def text(self, value: Any) -> str:
        said = self._said(value)
        return said if len(said) <= MAX_TEXT else f"{said[:MAX_TEXT]}…"

    def _said(self, value: Any) -> str:
        match value:
            case None | "":
                return "—"
            case str() if value in VERDICT_WORDS:
                return VERDICT_WORDS[value].get(self.language)
            case str():
                return _clean(value)
            case bool():
                return Text("是" if value else "否", "yes" if value else "no").get(self.language)
            case int():
                return f"{value:,}"
            case float():
                return f"{value:,.1f}".removesuffix(".0")
            case Text():
                return _clean(value.get(self.language)) or "—"
            case datetime():
                return value.astimezone(self.zone).isoformat(sep=" ", timespec="seconds")
            case date():
                return value.isoformat()
            case Mapping():
                return self._joined(f"{self._said(key)} {self._said(one)}" for key, one in value.items())
            case list() | tuple():
                return self._joined(self._said(one) for one in value) if value else "—"
        return _clean(str(value))

    def _joined(self, parts: Any) -> str:
        return ("；" if self.language.startswith("zh") else "; ").join(parts)


def _member(value: Any, part: str, name: str) -> Any:
    if is_dataclass(value) and part in {one.name for one in dataclass_fields(value)}:
        return getattr(value, part)
    if isinstance(value, Mapping) and part in value:
        return value[part]
    raise InputError(f"no fact '{name}'", place="outline", remedy="the facts of each report are in docs/reports.md")


def _clean(text: str) -> str:
    """Without control characters, which no format can carry; line ends and tabs stay."""
    return "".join(one if one in "\n\t" or one.isprintable() or one == "\u3000" else "\ufffd" for one in text)


def epoch(moment: datetime) -> int:
    """Seconds since 1970, for document dates that must not depend on the present."""
    return int(moment.astimezone(UTC).timestamp())
