"""The register as files: YAML and XLSX in, rows with their places out; and back again."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from cityguard import content
from cityguard.errors import InputError
from cityguard.model import Asset, Department, Segment, Station, System

KINDS: dict[str, type] = {
    "departments": Department,
    "systems": System,
    "assets": Asset,
    "segments": Segment,
    "stations": Station,
}
SHEETS = {"departments": "部门", "systems": "系统", "assets": "资产", "segments": "网段", "stations": "站点"}
HEADERS: dict[str, dict[str, str]] = {
    "departments": {
        "id": "编号", "name": "名称", "leader": "分管领导", "contact": "安全专员", "phone": "电话",
        "parent": "上级部门",
    },
    "systems": {
        "id": "编号", "name": "名称", "department": "部门", "s_grade": "S级", "a_grade": "A级",
        "filing_number": "备案号", "filing_expires": "备案到期", "last_assessed": "上次测评", "owner": "责任人",
        "operator": "运维单位", "importance": "重要程度", "extensions": "扩展要求", "data_class": "数据级别",
        "rto_hours": "RTO小时", "rpo_hours": "RPO小时", "backup": "备份说明",
    },
    "assets": {
        "id": "编号", "name": "名称", "system": "系统", "addresses": "地址", "kind": "类型", "os": "操作系统",
        "criticality": "重要程度", "ports": "开放端口", "groups": "分组", "oid": "OID",
    },
    "segments": {
        "id": "编号", "name": "名称", "cidrs": "网段", "zone": "安全域", "ot": "工控", "scan": "扫描策略",
        "department": "部门",
    },
    "stations": {
        "id": "编号", "name": "名称", "protocol": "协议", "unit": "设备标识", "department": "部门", "system": "系统",
        "addresses": "地址", "platforms": "平台地址", "carriers": "运营商网段", "period_s": "上报周期秒",
        "periods": "分类周期", "limits": "限值", "maintenance": "维护窗口",
    },
}  # fmt: skip
"""Column titles of the XLSX sheets; the English field name is understood too."""

MAX_YAML_BYTES = 16 << 20
MAX_XLSX_BYTES = 32 << 20
MAX_XLSX_UNPACKED = 128 << 20
MAX_ROWS = 50_000
MAX_COLUMNS = 64
EXACT_DIGITS = 15  # of a number in a workbook
AS_WRITTEN = frozenset((("stations", "id"), ("stations", "unit")))  # columns whose every digit counts
AS_TEXT = "format the column as text, then type or paste it again"
SEPARATORS = ",;，；、\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as written: raw values by field name, and where each stands."""

    kind: str
    values: Mapping[str, Any]
    place: str
    places: Mapping[str, str]
    columns: frozenset[str] = frozenset()  # the sheet has, or the entry names; with or without a value

    def at(self, name: str) -> str:
        """Place of one field, or of the entry."""
        return self.places.get(name, self.place)


def nearest(word: str, known: Sequence[str]) -> str:
    """A remedy: the known word that looks most like this one, else a few of the known words."""
    near = difflib.get_close_matches(word, known, 1, cutoff=0.5 if len(word) < 4 else 0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(sorted(known)[:20])}" if known else "none is registered"


def read(path: Path) -> tuple[list[Row], list[InputError]]:
    """Rows of a register file, and every fault of its form.

    Raises:
        InputError: the file as a whole cannot be read (missing, too large, not YAML, not XLSX).
    """
    return _read_xlsx(path) if path.suffix.lower() == ".xlsx" else _read_yaml(path)


# ---------------------------------------------------------------- YAML


def _read_yaml(path: Path) -> tuple[list[Row], list[InputError]]:
    document = content.load(path, max_bytes=MAX_YAML_BYTES)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise InputError("a register is a mapping", place=document.place(), remedy=f"keys: {', '.join(KINDS)}")
    rows: list[Row] = []
    faults: list[InputError] = []
    for kind, entries in data.items():
        if kind not in KINDS:
            remedy = nearest(str(kind), list(KINDS))
            faults.append(InputError(f"unknown key '{kind}'", place=document.place(str(kind)), remedy=remedy))
        elif entries is not None and not isinstance(entries, list):
            faults.append(InputError(f"{kind}: a list is expected", place=document.place(kind)))
        else:
            for index, entry in enumerate(entries or ()):
                _yaml_entry(document, kind, index, entry, rows, faults)
    return rows, faults


def _yaml_entry(
    document: content.Document, kind: str, index: int, entry: Any, rows: list[Row], faults: list[InputError]
) -> None:
    place = document.place(kind, index)
    if not isinstance(entry, dict):
        faults.append(InputError(f"{kind}: an entry is a mapping", place=place))
        return
    known = [item.name for item in fields(KINDS[kind])]
    places = {str(key): document.place(kind, index, str(key)) for key in entry}
    faults.extend(
        InputError(f"{kind}: unknown key '{key}'", place=places[str(key)], remedy=nearest(str(key), known))
        for key in entry
        if key not in known
    )
    values = {key: value for key, value in entry.items() if key in known}
    rows.append(Row(kind, values, place, places, frozenset(values)))


def write_yaml(path: Path, tables: Mapping[str, Sequence[Any]]) -> None:
    """Write the tables as YAML, defaults left out; replaces the file in one step."""
    data = {kind: [dict(_plain(item)) for item in tables[kind]] for kind in KINDS}
    text = yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=120)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _plain(item: Any) -> Iterator[tuple[str, Any]]:
    for spec in fields(item):
        value = getattr(item, spec.name)
        if spec.default is MISSING or value != spec.default:
            yield spec.name, list(value) if isinstance(value, tuple) else value


# ---------------------------------------------------------------- XLSX


def _read_xlsx(path: Path) -> tuple[list[Row], list[InputError]]:
    import openpyxl  # with xlsxwriter some 20 MB and 70 ms that most processes never need

    _bound(path)
    try:
        book = openpyxl.load_workbook(path, read_only=True, keep_links=False)
    except (OSError, KeyError, ValueError, SyntaxError, zipfile.BadZipFile) as error:
        raise InputError(f"not an XLSX workbook: {error}", place=str(path), remedy="save it as .xlsx") from None
    rows: list[Row] = []
    faults: list[InputError] = []
    titles = {**{zh: kind for kind, zh in SHEETS.items()}, **{kind: kind for kind in KINDS}}
    try:
        for sheet in book.worksheets:
            if sheet.title in titles:
                _sheet(sheet, titles[sheet.title], f"{path}!{sheet.title}", rows, faults)
            else:
                remedy = nearest(sheet.title, list(SHEETS.values()))
                faults.append(InputError(f"unknown sheet '{sheet.title}'", place=str(path), remedy=remedy))
    except (KeyError, ValueError, SyntaxError, zipfile.BadZipFile) as error:
        raise InputError(f"broken XLSX workbook: {error}", place=str(path)) from None
    finally:
        book.close()
    return rows, faults


def _bound(path: Path) -> None:
    # A workbook is a zip of XML: look at what it claims before a parser sees it.
    try:
        if path.stat().st_size > MAX_XLSX_BYTES:
            raise InputError(f"larger than {MAX_XLSX_BYTES} bytes", place=str(path), remedy="split the file")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > 1000 or sum(member.file_size for member in members) > MAX_XLSX_UNPACKED:
                raise InputError(f"unpacks to more than {MAX_XLSX_UNPACKED} bytes", place=str(path))
            for member in members:
                with archive.open(member) as part:
                    if b"<!DOCTYPE" in part.read(4096):
                        raise InputError("XML with a DOCTYPE", place=f"{path}!{member.filename}")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place=str(path)) from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise InputError(f"not an XLSX workbook: {error}", place=str(path), remedy="save it as .xlsx") from None


def _sheet(sheet: Any, kind: str, place: str, rows: list[Row], faults: list[InputError]) -> None:
    sheet.reset_dimensions()  # the size a sheet claims may be false
    names: list[str | None] = []
    types = get_type_hints(KINDS[kind])
    for number, cells in enumerate(sheet.iter_rows(max_row=MAX_ROWS + 2, max_col=MAX_COLUMNS), start=1):
        if number == 1:
            names = _header(cells, kind, place, faults)
        elif number > MAX_ROWS + 1:
            faults.append(InputError(f"more than {MAX_ROWS} rows", place=f"{place}:{number}", remedy="split the file"))
        else:
            _xlsx_row(cells, kind, types, names, f"{place}:{number}", rows, faults)


def _header(cells: Sequence[Any], kind: str, place: str, faults: list[InputError]) -> list[str | None]:
    known = {**{zh: name for name, zh in HEADERS[kind].items()}, **{name: name for name in HEADERS[kind]}}
    names: list[str | None] = []
    for cell in cells:
        title = "" if cell.value is None else str(cell.value).strip()
        if title and title not in known:
            remedy = nearest(title, list(known))
            faults.append(InputError(f"unknown column '{title[:40]}'", place=f"{place}:1", remedy=remedy))
        elif title and known[title] in names:
            faults.append(InputError(f"column '{title}' twice", place=f"{place}:1", remedy="delete one"))
        names.append(known.get(title))
    return names


def _xlsx_row(
    cells: Sequence[Any],
    kind: str,
    types: Mapping[str, Any],
    names: list[str | None],
    place: str,
    rows: list[Row],
    faults: list[InputError],
) -> None:
    values: dict[str, Any] = {}
    titles, lost = HEADERS[kind], False
    for cell, name in zip(cells, names, strict=False):
        if cell.value is None or name is None:
            continue
        if cell.data_type in ("f", "e"):
            what = "a formula" if cell.data_type == "f" else "an Excel error"
            faults.append(InputError(f"{name}: {what}", place=place, remedy="paste the value instead"))
            continue
        if (fault := _digits(kind, name, cell.value, types[name])) is not None:
            faults.append(InputError(f"{titles[name]}: {fault}", place=place, remedy=AS_TEXT))
            lost = True
            continue
        value = _cell(cell.value, types[name])
        if value is not None:
            values[name] = value
    if values and not lost:  # without its id an entry would only be told of twice
        rows.append(Row(kind, values, place, {}, frozenset(name for name in names if name is not None)))


def _digits(kind: str, name: str, value: Any, wanted: Any) -> str | None:
    """Why a number cannot be taken for the text it should be: Excel keeps 15 digits, and no leading zero."""
    if wanted not in (str, str | None) or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if (kind, name) in AS_WRITTEN:
        return f"a number cell ({value:.15g}): leading zeros and digits beyond 15 are lost"
    return f"a number cell of more than {EXACT_DIGITS} digits" if abs(value) >= 10**EXACT_DIGITS else None


def _cell(value: Any, kind: Any) -> Any:
    """A cell as its field wants it: Excel keeps a phone number as a number and a list as one text."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str):
        return str(value) if kind in (str, str | None) and not isinstance(value, bool) else value
    value = value.strip()
    if not value:
        return None
    if kind == tuple[str, ...]:
        return _split(value)
    if kind in (int, float | None):
        return _number(value)
    if kind is bool:
        return {"是": True, "true": True, "yes": True, "1": True, "否": False, "false": False, "no": False}.get(
            value.lower(), value
        )
    return value


def _number(value: str) -> int | float | str:
    for convert in (int, float):
        try:
            return convert(value)
        except ValueError:
            continue
    return value


def _split(value: str) -> list[str]:
    for separator in SEPARATORS:
        value = value.replace(separator, "\n")
    return [part.strip() for part in value.split("\n") if part.strip()]


def write_xlsx(path: Path, tables: Mapping[str, Sequence[Any]]) -> None:
    """Write the tables as XLSX. Every text is a text cell, so nothing in it can become a formula or a link."""
    import xlsxwriter

    draft = path.with_name(f".{path.name}.draft")
    book = xlsxwriter.Workbook(
        str(draft), {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    )
    bold, day = book.add_format({"bold": True}), book.add_format({"num_format": "yyyy-mm-dd"})
    for kind, title in SHEETS.items():
        sheet = book.add_worksheet(title)
        sheet.freeze_panes(1, 2)
        sheet.set_column(0, len(HEADERS[kind]) - 1, 18)
        for column, header in enumerate(HEADERS[kind].values()):
            sheet.write_string(0, column, header, bold)
        for line, item in enumerate(tables[kind], start=1):
            for column, name in enumerate(HEADERS[kind]):
                _write(sheet, line, column, getattr(item, name), day)
    book.close()
    draft.replace(path)


def _write(sheet: Any, row: int, column: int, value: Any, day: Any) -> None:
    if isinstance(value, bool):
        sheet.write_string(row, column, "是" if value else "否")
    elif isinstance(value, tuple):
        sheet.write_string(row, column, ", ".join(value))
    elif isinstance(value, date):
        sheet.write_datetime(row, column, datetime(value.year, value.month, value.day), day)  # noqa: DTZ001
    elif isinstance(value, float) and float(f"{value:.15g}") != value:
        sheet.write_string(row, column, repr(value))  # a cell keeps 15 digits only
    elif isinstance(value, (int, float)):
        sheet.write_number(row, column, value)
    elif value:
        sheet.write_string(row, column, value)
