"""What no decoder of our own reads, by tshark in a process of its own, bounded; off by default.

Only a collector that names this decoder uses it. Options: ``protocols`` (tshark's names, required), ``seconds`` of one
piece. A row is one frame and one protocol of the list: ``ot.protocol`` is its name, ``event.fields``
the protocol's fields as tshark gives them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.errors import InputError
from cityguard.model import Decoded, EventBatch, Frames, LogSource

SECONDS = 60
"""Time one piece may take."""
MAX_OUTPUT = 256 << 20
"""Bytes of answers to one piece that are read."""
MAX_MEMORY = 2 << 30
"""Bytes of address space tshark may have."""
MAX_LINE = 4 << 20
"""Bytes of its answer about one frame that are read at once."""
MAX_FIELDS = 16_384
"""Characters of one row's fields."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


def decoder(options: Options) -> Decoder:
    """The decoder of one capture.

    Raises:
        InputError: no or an impossible protocol is named, or tshark is not installed.
    """
    names = options.get("protocols")
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise InputError("protocols: which ones tshark is to read is not said", remedy="protocols: [c1222, ethersbus]")
    bad = [one for one in names if not _NAME.fullmatch(one)]
    if bad:
        raise InputError(
            f"protocols: {bad[0]!r} is no name of a protocol", remedy="names as `tshark -G protocols` has them"
        )
    seconds = options.get("seconds", SECONDS)
    if not isinstance(seconds, int) or not 1 <= seconds <= 3_600:
        raise InputError("seconds: a whole number from 1 to 3600", remedy=f"leave it out for {SECONDS}")
    program = shutil.which("tshark")
    if program is None:
        raise InputError("tshark is not installed", remedy="install Wireshark's tshark; it is looked for in PATH")
    return _Tshark(program, names, seconds)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What tshark said of one link type's packets."""

    rows: list[dict[str, Any]]
    note: str
    unread: int


class _Tshark:
    """One process per piece; nothing is remembered between pieces, so a stream across two is seen in two parts."""

    def __init__(self, program: str, names: list[str], seconds: int) -> None:
        self._program, self._names, self._seconds = program, names, seconds

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        done: list[_Answer] = []
        for link in np.unique(frames.link).tolist():
            piece = frames.take(np.flatnonzero(frames.link == link))
            with tempfile.TemporaryDirectory(prefix="cityguard-") as folder:
                path = Path(folder) / "piece.pcap"
                path.write_bytes(savefile(piece, link))
                done.append(self._ask(path, folder, piece))
        rows = [row for one in done for row in one.rows]
        unread = sum(one.unread for one in done)
        seen = {row["log.offset"] for row in rows}
        return Decoded(
            (_batch(rows),) if rows else (),
            (),
            unread,
            ignored=len(frames) - len(seen) - unread,
            notes=tuple(one.note for one in done if one.note),
        )

    def flush(self) -> Decoded:
        return Decoded()

    def _ask(self, path: Path, folder: str, frames: Frames) -> _Answer:
        """Run tshark over a file; the frames behind the last it answered, if it was stopped, were not read."""
        command = [self._program, "-n", "-r", str(path), "-T", "ek", "-Y", " or ".join(self._names)]
        command += ["-J", " ".join(("frame", "ip", "ipv6", "tcp", "udp", *self._names))]
        home = {"HOME": folder, "XDG_CONFIG_HOME": folder, "WIRESHARK_CONFIG_DIR": folder}
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", **home}
        output, note = Path(folder) / "output", ""
        with (
            output.open("wb") as sink,
            subprocess.Popen(  # noqa: S603 - a list, names checked, no shell
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.DEVNULL, env=environment
            ) as process,
        ):
            _bound(process.pid, self._seconds)
            try:
                code = process.wait(self._seconds)
                note = f"tshark ended with code {code}; what it had printed is kept" if code else ""
            except subprocess.TimeoutExpired:
                process.kill()
                note = f"tshark was stopped after {self._seconds} s; what it had printed is kept"
        rows = list(self._rows(output, frames))
        last = max((row["frame"] for row in rows), default=0)
        return _Answer(rows, note, len(frames) - last if note else 0)

    def _rows(self, output: Path, frames: Frames) -> Iterator[dict[str, Any]]:
        with output.open("rb") as file:
            for line in iter(lambda: file.readline(MAX_LINE), b""):
                try:
                    layers = json.loads(line.decode("utf-8", "replace")).get("layers")
                except (ValueError, AttributeError, RecursionError):
                    continue  # an index line, or one cut off
                if isinstance(layers, dict):
                    yield from self._frame(layers, frames)

    def _frame(self, layers: Mapping[str, Any], frames: Frames) -> list[dict[str, Any]]:
        number = _number(layers, "frame", "frame_frame_number")
        if number is None or not 1 <= number <= len(frames):
            return []
        at = number - 1
        row = {"frame": number, "log.offset": int(frames.number[at]), "time": int(frames.time[at])} | _told(layers)
        return [row | _fields(name, layers[key]) for name in self._names if (key := name.replace(".", "_")) in layers]


def _fields(name: str, layer: object) -> dict[str, Any]:
    """One protocol's fields as JSON; of those that are too many the first characters, as text."""
    text = json.dumps(layer, ensure_ascii=False).encode("utf-8", "replace").decode()
    if len(text) <= MAX_FIELDS:
        return {"ot.protocol": name, "event.fields": text}
    cut = json.dumps({"cut": text[:MAX_FIELDS]}, ensure_ascii=False)
    return {"ot.protocol": name, "event.fields": cut, "event.flags": ["truncated"]}


def savefile(frames: Frames, link: int) -> bytes:
    """Packets of one link type as a capture file with nanoseconds."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, link)]
    for at in range(len(frames)):
        data = frames.item(at)
        seconds, nanoseconds = divmod(max(int(frames.time[at]), 0), 10**9)
        head = struct.pack("<IIII", seconds & 0xFFFFFFFF, nanoseconds, len(data), max(int(frames.wire[at]), len(data)))
        parts += [head, data]
    return b"".join(parts)


def _bound(process: int, seconds: int) -> None:
    resource.prlimit(process, resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.prlimit(process, resource.RLIMIT_CPU, (seconds + 1, seconds + 1))
    resource.prlimit(process, resource.RLIMIT_FSIZE, (MAX_OUTPUT, MAX_OUTPUT))


def _text(layers: Mapping[str, Any], layer: str, name: str) -> str | None:
    """A field of tshark's bulk form; of one that stands several times the last: the innermost header's."""
    inside = layers.get(layer)
    inside = inside[-1] if isinstance(inside, list) and inside else inside
    value = inside.get(name) if isinstance(inside, dict) else None
    value = value[-1] if isinstance(value, list) and value else value
    return value if isinstance(value, str) else None


def _number(layers: Mapping[str, Any], layer: str, name: str) -> int | None:
    value = _text(layers, layer, name)
    return int(value) if value is not None and value.isdigit() and len(value) < 12 else None


def _told(layers: Mapping[str, Any]) -> dict[str, Any]:
    transport = next((name for name in ("tcp", "udp") if name in layers), None)
    net = "ip" if "ip" in layers else "ipv6"
    found: dict[str, Any] = {
        "source.ip": _text(layers, net, f"{net}_{net}_src"),
        "destination.ip": _text(layers, net, f"{net}_{net}_dst"),
        "network.transport": transport,
    }
    if transport:
        found["source.port"] = _number(layers, transport, f"{transport}_{transport}_srcport")
        found["destination.port"] = _number(layers, transport, f"{transport}_{transport}_dstport")
    return found


def _batch(rows: list[dict[str, Any]]) -> EventBatch:
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "log.offset": pl.Int64,
        "time": pl.Int64,
        "source.ip": pl.String,
        "destination.ip": pl.String,
        "network.transport": pl.String,
        "source.port": pl.Int32,
        "destination.port": pl.Int32,
        "ot.protocol": pl.String,
        "event.fields": pl.String,
        "event.flags": pl.List(pl.String),
    }
    table = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    moment = pl.when(pl.col("time") > 0).then(pl.col("time") // 1_000).cast(pl.Datetime("us", "UTC"))
    table = table.with_columns(moment.alias("@timestamp"), pl.col("ot.protocol").alias("network.protocol")).drop("time")
    return EventBatch("ot", "tshark", table, logsource=LogSource(("ot_command",), (), ()))
