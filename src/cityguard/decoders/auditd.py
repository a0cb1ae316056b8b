"""Linux audit records: one row per record, and one row per command with its records joined by their common id."""

from __future__ import annotations

import ipaddress
import re

import numpy as np
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.keyvalue import pairs
from cityguard.decoders.pattern import groups
from cityguard.decoders.text import dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames, LogSource

HEADER = (
    r"(?s)^(?:.*?\s)??(?:node=(?P<node>\S+) )?type=(?P<type>\S+) "
    r"msg=audit\((?P<stamp>\d{1,12}\.\d{1,9}):(?P<serial>\d+)\):\s?(?P<body>.*)$"
)
MAX_ARGUMENTS = 64
MAX_HELD = 1000
"""Records of an event that may go on in the next piece."""
HELD_BYTES = 256 << 10
_PARTS = frozenset(("name", "nametype", "saddr"))
"""Fields of the records that go with a call."""
_NEEDED = frozenset(
    ("exe", "comm", "pid", "ppid", "uid", "auid", "ses", "cwd", "proctitle", "key", "AUID", "UID", "success", "syscall")
)
"""Fields that make a command out of its records."""
_HEX = "\x1e"  # marks a value that was written as hex digits: unquoted, where a plain one would be quoted
_ENCODED = r"\b(exe|comm|cwd|name|proctitle|cmd|data|acct|vm|dir|path)=((?:[0-9A-F]{2}){2,})(\s|$)"
_DIGITS = re.compile("(?:[0-9A-F]{2})+")
_ARGUMENT = r"\b(a\d+)=((?:[0-9A-F]{2}){2,})(\s|$)"


def decoder(options: Options) -> Decoder:
    """Option: ``wanted`` as for keyvalue. Rows keep auditd's names; commands are ``process_creation`` with Sigma's."""
    return _Auditd(frozenset(options.get("wanted", ())) | _NEEDED | _PARTS | {f"a{n}" for n in range(MAX_ARGUMENTS)})


class _Auditd:
    """Holds the records of the last event of a piece: the next piece may go on with it."""

    per_sender = True

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._held: pl.DataFrame | None = None

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        table = groups(read.values, (HEADER,))
        good = table["row"].to_numpy()
        bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), good)
        letters = dead(frames, bad, "not an audit record")
        if not len(good):
            return Decoded((), letters, len(bad))
        # msg='op=login acct="root"': the inner pairs are the event's own
        body = (
            table["body"]
            .str.replace(r"\bmsg='", " ")
            .str.replace(r"'\s*$", "")
            .str.replace_all("\x1d", " ", literal=True)
        )
        found, spare = pairs(_marked(body, table["type"]), "space", self._wanted)
        values = _decoded(found)
        header = table.drop("row", "body")
        values = values.drop([name for name in values.columns if name in header.columns])
        records = placed(pl.concat([header, values], how="horizontal"), frames, good, read, spare)
        commands = self._commands(records)
        batches = [EventBatch("", "", records)]
        return Decoded((*batches, *commands), letters, len(bad))

    def flush(self) -> Decoded:
        held, self._held = self._held, None
        return Decoded(_joined(held)) if held is not None and held.height else Decoded()

    def _commands(self, records: pl.DataFrame) -> tuple[EventBatch, ...]:
        if self._held is not None:
            records = pl.concat([self._held, records], how="diagonal_relaxed")
        last = records.row(-1, named=True)
        open_ = (pl.col("stamp") == last["stamp"]) & (pl.col("serial") == last["serial"])
        self._held = _kept(records.filter(open_))
        return _joined(records.filter(~open_))


def _kept(records: pl.DataFrame) -> pl.DataFrame:
    """The last records of an event, bounded, over buffers of their own: there may be as many as there are hosts."""
    last = records.tail(MAX_HELD)
    while last.height > 1 and last.estimated_size() > HELD_BYTES:
        last = last.tail(last.height // 2)
    return pl.DataFrame(last.to_dict(as_series=False), schema=last.schema)


def _joined(records: pl.DataFrame) -> tuple[EventBatch, ...]:
    """Events of several records, one row each, at the place of their first record.

    EXECVE with its SYSCALL and CWD is process_creation; a PATH that is created, with them, file_event; a SOCKADDR
    with its SYSCALL, network_connection. The columns are those Sigma's rules for Linux use.
    """
    records = _with(records, ("node", "name", "nametype", "saddr", *sorted(_NEEDED)))
    key = ["node", "stamp", "serial"]
    who = (
        records.filter(pl.col("type") == "SYSCALL")
        .unique(key, keep="first", maintain_order=True)
        .select(
            *key,
            "success",
            "syscall",
            at="log.offset",
            Image=pl.coalesce("exe", "comm"),
            ProcessId="pid",
            ParentProcessId="ppid",
            User=pl.coalesce("UID", "uid"),
        )
    )
    return (*_commands(records), *_files(records, who), *_connections(records, who))


def _files(records: pl.DataFrame, who: pl.DataFrame) -> tuple[EventBatch, ...]:
    key = ["node", "stamp", "serial"]
    made = records.filter((pl.col("type") == "PATH") & (pl.col("nametype") == "CREATE") & pl.col("name").is_not_null())
    if not made.height:
        return ()
    cwd = (
        records.filter(pl.col("type") == "CWD")
        .unique(key, keep="first", maintain_order=True)
        .select(*key, within="cwd")
    )
    rows = made.select(*key, "name", "log.offset", "event.original").join(who, on=key, how="inner", nulls_equal=True)
    rows = rows.join(cwd, on=key, how="left", nulls_equal=True)
    whole = pl.when(pl.col("name").str.starts_with("/") | pl.col("within").is_null()).then(pl.col("name"))
    inside = pl.concat_str(
        pl.col("within").str.strip_chars_end("/"), pl.col("name").str.strip_prefix("./"), separator="/"
    )
    return _placed(
        rows.with_columns(whole.otherwise(inside).alias("TargetFilename"), type=pl.lit("PATH")), "file", "file_event"
    )


def _connections(records: pl.DataFrame, who: pl.DataFrame) -> tuple[EventBatch, ...]:
    key = ["node", "stamp", "serial"]
    ends = records.filter((pl.col("type") == "SOCKADDR") & pl.col("saddr").is_not_null())
    if not ends.height:
        return ()
    texts = ends["saddr"].unique(maintain_order=True)
    known = pl.DataFrame(
        {"saddr": texts, "end": [_socket(one) for one in texts]},
        schema={"saddr": pl.String, "end": pl.Struct({"DestinationIp": pl.String, "DestinationPort": pl.Int64})},
    ).unnest("end")
    rows = (
        ends.select(*key, "saddr", "log.offset", "event.original").join(known, on="saddr").drop_nulls("DestinationIp")
    )
    rows = rows.join(who, on=key, how="inner", nulls_equal=True)
    return _placed(rows.with_columns(type=pl.lit("SOCKADDR")), "network", "network_connection") if rows.height else ()


def _placed(rows: pl.DataFrame, dataset: str, category: str) -> tuple[EventBatch, ...]:
    rows = rows.with_columns(pl.min_horizontal("log.offset", "at").alias("log.offset")).drop(
        "at", "within", strict=False
    )
    return (EventBatch(dataset, "", rows.sort("log.offset"), logsource=LogSource((category,), ("linux",), ())),)


def _socket(text: str) -> dict[str, str | int | None]:
    """Address and port of a ``struct sockaddr`` in hex digits; families without them have none."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return {"DestinationIp": None, "DestinationPort": None}
    family, port = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:4], "big")
    address = raw[4:8] if family == 2 else raw[8:24] if family == 10 else b""
    if len(address) not in (4, 16):
        return {"DestinationIp": None, "DestinationPort": None}
    return {"DestinationIp": str(ipaddress.ip_address(address)), "DestinationPort": port}


def _commands(records: pl.DataFrame) -> tuple[EventBatch, ...]:
    """EXECVE with its SYSCALL, CWD and PROCTITLE."""
    if "a0" not in records.columns or not (records["type"] == "EXECVE").any():
        return ()
    key = ["node", "stamp", "serial"]
    kinds = pl.col("type")
    arguments = [f"a{n}" for n in range(MAX_ARGUMENTS) if f"a{n}" in records.columns]
    execve = records.filter(kinds == "EXECVE").unique(key, keep="first", maintain_order=True)
    execve = execve.select(*key, "log.offset", "event.original", *arguments)
    execve = execve.with_columns(
        CommandLine=pl.concat_str(arguments, separator=" ", ignore_nulls=True), _first=pl.col("a0")
    ).drop(arguments)
    syscall = records.filter(kinds == "SYSCALL").unique(key, keep="first", maintain_order=True)
    syscall = syscall.select(
        *key, "exe", "comm", "pid", "ppid", "uid", "auid", "ses", "key", "AUID", "UID", at="log.offset"
    )
    cwd = (
        records.filter(kinds == "CWD")
        .unique(key, keep="first", maintain_order=True)
        .select(*key, CurrentDirectory="cwd")
    )
    rows = execve.join(syscall, on=key, how="left", nulls_equal=True).join(cwd, on=key, how="left", nulls_equal=True)
    rows = rows.with_columns(
        pl.min_horizontal("log.offset", "at").alias("log.offset"),
        Image=pl.coalesce("exe", "_first"),
        ProcessId="pid",
        ParentProcessId="ppid",
        User=pl.coalesce("UID", "uid"),
        type=pl.lit("EXECVE"),
    )
    rows = rows.drop("at", "_first").sort("log.offset")
    source = LogSource(("process_creation",), ("linux",), ())
    return (EventBatch("process", "", rows, logsource=source),)


def _with(table: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    return table.with_columns(pl.lit(None, pl.String).alias(name) for name in names if name not in table.columns)


def _marked(body: pl.Series, kind: pl.Series) -> pl.Series:
    marked = body.str.replace_all(_HEX, " ", literal=True).str.replace_all(_ENCODED, "${1}=" + _HEX + "${2}${3}")
    return marked.str.replace_all(_ARGUMENT, "${1}=" + _HEX + "${2}${3}").zip_with(kind == "EXECVE", marked)


def _decoded(values: pl.DataFrame) -> pl.DataFrame:
    """auditd writes a value that holds blanks, quotes or bytes above 126 as hex digits."""
    found = [column for column in values.get_columns() if column.str.starts_with(_HEX).any()]
    return values.with_columns(pl.Series(column.name, [_unhex(one) for one in column], pl.String) for column in found)


def _unhex(value: str | None) -> str | None:
    if value is None or not value.startswith(_HEX):
        return value
    digits = _DIGITS.match(value, 1)
    if digits is None:
        return value[1:]
    text = bytes.fromhex(digits[0]).decode("utf-8", "replace").replace("\0", " ").strip()
    return text + value[digits.end() :]  # words with no = behind a value are kept with it
