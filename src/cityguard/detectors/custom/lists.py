"""Threat lists of the content folder: addresses, networks, domains, hashes; read anew when their file changes."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.errors import InputError
from cityguard.sigma.view import Addresses, Values

T = TypeVar("T", int, bytes)
MAX_BYTES = 64 << 20
MAX_VALUES = 1_000_000
MAX_TEXT = 512  # characters of a value or a note
MAX_LABELS = 16  # of a domain whose parents are looked for
REFRESH_S = 10.0
_HASH = r"(?i)\b[0-9a-f]{32,128}\b"  # inside MD5=…,SHA256=…


@dataclass(frozen=True, slots=True)
class ThreatList:
    """One list, ready to be asked."""

    notes: dict[str, str]  # value, folded -> what the list says of it
    texts: pl.Series
    four: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]  # first and last address of joined networks
    six: tuple[npt.NDArray[np.bytes_], npt.NDArray[np.bytes_]]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]]) -> ThreatList:
        """Made of values and their notes.

        Raises:
            InputError: there are too many.
        """
        notes: dict[str, str] = {}
        networks: list[IPv4Network | IPv6Network] = []
        for value, note in rows:
            text = value.strip()[:MAX_TEXT].rstrip(".").lower()
            if not text:
                continue
            network = _network(text)
            if network is not None and network.num_addresses > 1:
                networks.append(network)
            elif network is not None:
                text = str(network.network_address)
            notes[text] = note.strip()[:MAX_TEXT]
            if len(notes) > MAX_VALUES:
                raise InputError(f"more than {MAX_VALUES} values", remedy="split the list")
        four = [(int(one[0]), int(one[-1])) for one in networks if isinstance(one, IPv4Network)]
        six = [(one[0].packed, one[-1].packed) for one in networks if isinstance(one, IPv6Network)]
        return cls(notes, pl.Series(list(notes), dtype=pl.String), _spans4(four), _spans6(six))

    def among(self, values: Values) -> pl.Series:
        """For every distinct value what the list has of it: the value itself, a parent domain, a network; else null."""
        folded = values.folded.str.strip_chars_end(".")
        found = _same(folded, self.texts)
        parent = folded
        for _ in range(MAX_LABELS):
            dot = parent.str.find(".", literal=True)
            if dot.null_count() == len(dot):
                break
            parent = parent.str.slice(dot + 1).set(dot.is_null(), None)
            # the end of an address is no domain, and neither is a bare "com"
            domain = parent.str.contains(r"[a-z].*\.|\..*[a-z]").fill_null(False)
            found = found.fill_null(_same(parent, self.texts).set(~domain, None))
        hashes = folded.str.extract_all(_HASH) if folded.str.contains("=", literal=True).any() else None
        if hashes is not None:
            found = found.fill_null(hashes.list.eval(pl.element().filter(pl.element().is_in(self.texts))).list.first())
        inside = self._inside(values.addresses)
        return found.fill_null(values.text.set(~pl.Series(inside), None)) if inside.any() else found

    def _inside(self, addresses: Addresses) -> npt.NDArray[np.bool_]:
        low4 = (addresses.low & np.uint64(0xFFFFFFFF)).astype(np.uint64)
        hit = addresses.four & _between(low4, *self.four)
        if len(self.six[0]) and addresses.six.any():
            words = np.stack([addresses.high, addresses.low], axis=1).astype(">u8")
            packed = np.frombuffer(words.tobytes(), dtype="S16")
            hit |= addresses.six & _between(packed, *self.six)
        return hit

    def told(self, found: pl.Series) -> pl.Series:
        """What ``among`` gave, each with the list's note."""
        return pl.Series([None if one is None else self._told(one) for one in found], dtype=pl.String)

    def _told(self, value: str) -> str:
        note = self.notes.get(value, "")
        return f"{value} ({note})" if note else value


def _same(texts: pl.Series, known: pl.Series) -> pl.Series:
    return texts.set(~texts.is_in(known.implode()).fill_null(False), None)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    if not (text[0].isdigit() or ":" in text):
        return None
    try:
        if "/" in text:
            return ip_network(text, strict=False)
        return ip_network(ip_address(text))
    except ValueError:
        return None


def _spans4(spans: list[tuple[int, int]]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    joined = _joined(spans)
    return np.array([a for a, _ in joined], dtype=np.uint64), np.array([b for _, b in joined], dtype=np.uint64)


def _spans6(spans: list[tuple[bytes, bytes]]) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.bytes_]]:
    joined = _joined(spans)
    return np.array([a for a, _ in joined], dtype="S16"), np.array([b for _, b in joined], dtype="S16")


def _joined(spans: list[tuple[T, T]]) -> list[tuple[T, T]]:
    """Sorted, without overlaps: networks lie inside one another or apart."""
    found: list[tuple[T, T]] = []
    for first, last in sorted(spans):
        if not found or first > found[-1][1]:
            found.append((first, last))
        elif last > found[-1][1]:  # the wider of two that begin alike
            found[-1] = (found[-1][0], last)
    return found


def _between(values: npt.NDArray[Any], first: npt.NDArray[Any], last: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if not len(first):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.searchsorted(first, values, "right") - 1
    inside: npt.NDArray[np.bool_] = (place >= 0) & (values <= last[np.maximum(place, 0)])
    return inside


# ---------------------------------------------------------------- files


@dataclass(slots=True)
class _Read:
    """A list as its file stood when it was read."""

    state: tuple[int, int] | None
    found: ThreatList | None
    fault: InputError | None = None


@dataclass(slots=True)
class ThreatLists:
    """Lists by name: given ones, else files of the folders, where a later folder goes before an earlier one."""

    folders: Sequence[Path] = ()
    given: Mapping[str, ThreatList] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic
    _read: dict[str, _Read] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)

    def get(self, name: str) -> ThreatList | None:
        """The list of this name; None when there is none. A broken file leaves the last good one in force."""
        if name in self.given:
            return self.given[name]
        moment = self.now()
        if name not in self._asked or moment - self._asked[name] >= REFRESH_S:
            self._asked[name] = moment
            self._refresh(name)
        return self._read[name].found if name in self._read else None

    def fault(self, name: str) -> InputError | None:
        """What is wrong with a list: there is no such file, or it cannot be used."""
        if self.get(name) is None and name not in self._read:
            where = ", ".join(str(folder) for folder in self.folders)
            remedy = f"write lists/{name}.txt into the content folder"
            return InputError(f"there is no threat list '{name}'", place=where, remedy=remedy)
        return self._read[name].fault if name in self._read else None

    def _refresh(self, name: str) -> None:
        path = next((p for folder in reversed(self.folders) for p in _paths(folder, name) if p.is_file()), None)
        if path is None:
            self._read.pop(name, None)
            return
        before = self._read.get(name)
        try:
            told = path.stat()
            state = (told.st_mtime_ns, told.st_size)
            if before is None or before.state != state:
                self._read[name] = _Read(state, ThreatList.of(_rows(path)))
        except OSError as error:
            fault = InputError(f"cannot be read: {error.strerror}", place=str(path))
            self._read[name] = _Read(None, before.found if before else None, fault)
        except InputError as error:
            fault = InputError(error.message, place=str(path), remedy=error.remedy)
            self._read[name] = _Read(state, before.found if before else None, fault)


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.txt", folder / f"{name}.csv"


def _rows(path: Path) -> Iterable[tuple[str, str]]:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES} bytes", remedy="split the list")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 (byte {error.start})", remedy="save it as UTF-8") from None
    if path.suffix == ".txt":
        return ((line.partition("#")[0], line.partition("#")[2]) for line in text.splitlines())
    return _csv(text)


def _csv(text: str) -> Iterable[tuple[str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if "value" not in (reader.fieldnames or ()):
            raise InputError("the first line names no column 'value'", remedy="begin the file with: value,note")
        return [(row.get("value") or "", row.get("note") or "") for row in reader]
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", remedy="begin the file with: value,note") from None
