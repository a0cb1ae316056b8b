"""OPC UA binary beside tshark and ICSNPP: kinds of message, services, request ids, handles, nodes, sessions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cityguard.decoders.ot import opcua_names as names
from truth import base, ot
from truth.base import Line

FOLDER = "ot-pcap/opcua"
Row = dict[str, Any]
Unit = tuple[Any, ...]
FIELDS = tuple(f"f{number}" for number in range(80))
"""ICSNPP's baselines of this protocol have lost the line that names their columns: they are taken by place."""


def compare(data: Path) -> Iterator[Line]:
    """Units: a chunk by frame and kind, a message by service and request id, what each ICSNPP log has of it."""
    kinds = Line("opcua", "tshark", "message: frame, kind", floor=0.995, most_extra=ot.MORE)
    services = Line("opcua", "tshark", "message: frame, service, request id", floor=0.995, most_extra=ot.MORE)
    hellos = Line("opcua", "zeek-icsnpp", "opcua_binary.log, HEL ACK ERR: buffers, url", floor=0.995)
    messages = Line("opcua", "zeek-icsnpp", "opcua_binary.log: side, service, ids, sequence, handle, size", floor=0.995)
    logs = {name: Line("opcua", "zeek-icsnpp", f"{name}.log", floor=0.98) for name in LOGS}
    for capture in base.captures(data / FOLDER):
        case = capture.parent.name
        ours = [row | {"extra": json.loads(row["event.fields"])} for row in ot.ours(capture, "opcua")]
        wanted = ot.heard(capture)
        if wanted:
            _tshark(case, wanted, ours, kinds, services)
        for name, records in base.zeek_logs(capture, "opcua_binary", FIELDS):
            _main(name, _listed(records), ours, hellos, messages)
        for log, (theirs, mine) in LOGS.items():
            for name, records in base.zeek_logs(capture, log, FIELDS):
                wanted_units = [unit for record in _listed(records) if (unit := theirs(record)) is not None]
                logs[log].add(name, wanted_units, [unit for row in ours for unit in mine(row)])
    yield from (kinds, services, hellos, messages, *logs.values())


def _listed(records: list[Row]) -> list[list[str]]:
    """Records by place; those whose names are known have columns these baselines lack, and are left out."""
    return [list(record.values()) for record in records if "f0" in record]


def _tshark(case: str, wanted: list[Row], ours: list[Row], kinds: Line, services: Line) -> None:
    """A message in chunks is one unit, at its last."""
    kinds.add(
        case,
        [
            (row["frame.number"], kind.lower())
            for row in wanted
            for kind in row["opcua.transport.type"].split(",")
            if kind
        ],
        [(str(row["log.offset"]), row["ot.message.type"]) for row in ours],
    )
    theirs = []
    for row in wanted:
        codes = [code for code in row["opcua.servicenodeid.numeric"].split(",") if code]
        requests = [one for one in row["opcua.security.rqid"].split(",") if one]
        if codes:  # what is encrypted shows none
            pairs = zip_longest(codes, requests, fillvalue="")
            theirs += [(row["frame.number"], code, one) for code, one in pairs]
    services.add(
        case,
        theirs,
        [
            (str(row["log.offset"]), str(row["ot.function.code"]), str(row["ot.transaction_id"]))
            for row in ours
            if row["ot.function.code"] is not None
        ],
    )


def _main(case: str, records: list[list[str]], ours: list[Row], hellos: Line, messages: Line) -> None:
    """A record holds a request and its response; of each its own part is a unit."""
    theirs: list[Unit] = []
    asks: list[Unit] = []
    for record in records:
        if record[6] in ("HEL", "ACK"):
            theirs.append((record[6].lower(), *record[11:17]))
            continue
        if record[6] == "ERR":
            theirs.append(("err", record[9], record[10]))
            continue
        if record[29]:
            asks.append(
                (True, record[6].lower(), record[24], record[29], record[30], record[25], record[26], record[38])
            )
        if record[48]:
            asks.append(
                (False, record[6].lower(), record[24], record[48], record[49], record[44], record[45], record[51])
            )
    mine: list[Unit] = []
    told: list[Unit] = []
    for row in ours:
        extra, kind = row["extra"], row["ot.message.type"]
        if kind in ("hel", "ack"):
            labels = ("version", "receive_buffer", "send_buffer", "max_message", "max_chunks")
            mine.append((kind, *(str(extra[label]) for label in labels), row["ot.address"] or ""))
        elif kind == "err":
            mine.append((kind, row["ot.status"], extra.get("reason") or ""))
        elif row["ot.function.code"] is not None:
            ids = (str(row["ot.transaction_id"]), str(row["ot.function.code"]), row["ot.function.name"])
            numbers = (str(extra["size"]), str(extra.get("sequence")), str(extra.get("request_handle")))
            told.append((bool(row["ot.is_request"]), kind, *ids, *numbers))
    hellos.add(case, theirs, mine)
    messages.add(case, asks, told)


def node(parts: list[str]) -> str:
    """Encoding, namespace, number, string, GUID, opaque as the text form of a node id."""
    _, space, number, text, guid, opaque = parts
    name = (
        f"i={number}"
        if number
        else f"s={text}"
        if text
        else f"g={guid}"
        if guid
        else f"b={opaque}"
        if opaque
        else "i=0"
    )
    return name if space in ("", "0") else f"ns={space};{name}"


def _of(codes: tuple[int, ...], name: str, unit: Callable[[Row], Unit]) -> Callable[[Row], Iterator[Unit]]:
    """Our units: one of each entry of a list in the details of messages of these services."""

    def found(row: Row) -> Iterator[Unit]:
        if row["ot.function.code"] in codes:
            yield from (unit(one) for one in row["extra"].get(name) or ())

    return found


def _once(codes: tuple[int, ...], unit: Callable[[Row], Unit]) -> Callable[[Row], Iterator[Unit]]:
    def found(row: Row) -> Iterator[Unit]:
        if row["ot.function.code"] in codes:
            yield unit(row)

    return found


def _read_nodes(record: list[str]) -> Unit:
    return node(record[11:17]), record[18], record[19]


def _write(record: list[str]) -> Unit | None:
    return (node(record[11:17]), record[18]) if record[6] == "T" else None


def _described(record: list[str]) -> Unit:
    direction = {"FWD": "Forward", "INV": "Inverse", "BOTH": "Both"}.get(record[17], record[17])
    return node(record[11:17]), direction, node(record[18:24]), record[24] == "T"


def _referenced(record: list[str]) -> Unit:
    kind = node(record[11:17])
    return kind, record[17] == "T", node(record[18:24]), record[27], record[30]


def _session(record: list[str]) -> Unit | None:
    return tuple(record[place] for place in (11, 12, 15, 16, 20)) if record[6] == "T" else None


def _our_session(row: Row) -> Unit:
    client = row["extra"]["client"]
    told = (client["uri"], client["product"], client["name"])
    return (*(text or "" for text in told), str(client["type"]), row["ot.address"] or "")


def _activated(record: list[str]) -> Unit | None:
    if record[6] != "T":
        return None
    return record[19].removesuffix("IdentityToken"), record[21], record[22]


def _our_token(row: Row) -> Unit:
    extra = row["extra"]
    return extra["user_token"], extra.get("user_policy") or "", extra.get("user") or ""


def _subscribed(record: list[str]) -> Unit:
    if record[6] == "T":
        return True, float(record[11]), *record[12:15], record[15] == "T", record[16]
    return False, record[17], float(record[18]), record[19], record[20]


def _our_subscription(row: Row) -> Unit:
    extra = row["extra"]
    if row["ot.is_request"]:
        counts = (str(extra[name]) for name in ("lifetime_count", "keep_alive", "max_notifications"))
        return True, extra["interval"], *counts, extra["enabled"], str(extra["priority"])
    told = (str(extra["lifetime_count"]), str(extra["keep_alive"]))
    return False, str(extra["subscription"]), extra["interval"], *told


def _monitored(record: list[str]) -> Unit | None:
    if record[6] != "T":
        return None
    return node(record[11:17]), record[17], record[22], float(record[23] or 0), record[24], record[25] == "T"


def _our_item(one: Row) -> Unit:
    told = (str(one["handle"]), float(one["interval"]), str(one["queue"]), one["discard_oldest"])
    return one["node"], one["attribute"], *told


def _described_endpoint(record: list[str]) -> Unit:
    return record[11], record[12], record[13], record[16], record[24], record[25]


def _our_endpoint(one: Row) -> Unit:
    server = one["server"]
    told = (one["url"], server["uri"], server["product"], server["name"], one["policy"], one["profile"])
    return tuple(text or "" for text in told)


def _channel(record: list[str]) -> Unit:
    if record[6] == "T":
        return True, record[15]
    return False, record[17], record[18], record[20]


def _our_channel(row: Row) -> Unit:
    extra = row["extra"]
    if row["ot.is_request"]:
        return True, str(extra["lifetime"])
    return False, str(extra["channel"]), str(extra["token"]), str(extra["lifetime"])


def _status(record: list[str]) -> Unit | None:
    return (names.status(int(record[14], 16)),) if record[12] == "ResponseHeader" else None


def _our_status(row: Row) -> Iterator[Unit]:
    if row["ot.function.code"] is not None and not row["ot.is_request"]:
        yield (names.status(row["extra"].get("status_code", 0)),)


Log = tuple[Callable[[list[str]], Unit | None], Callable[[Row], Iterator[Unit]]]
LOGS: dict[str, Log] = {
    "opcua_binary_opensecure_channel": (_channel, _once((446, 449), _our_channel)),
    "opcua_binary_create_session": (_session, _once((461,), _our_session)),
    "opcua_binary_activate_session": (_activated, _once((467,), _our_token)),
    "opcua_binary_read_nodes_to_read": (
        _read_nodes,
        _of((631,), "nodes", lambda one: (one["node"], one["attribute"], one.get("range", ""))),
    ),
    "opcua_binary_write": (_write, _of((673,), "nodes", lambda one: (one["node"], one["attribute"]))),
    "opcua_binary_browse_description": (
        _described,
        _of((527,), "nodes", lambda one: (one["node"], one["direction"], one["reference"], one["subtypes"])),
    ),
    "opcua_binary_browse_response_references": (
        _referenced,
        _of(
            (530, 536),
            "references",
            lambda one: (one["reference"], one["forward"], one["node"], one["name"].split(":")[-1], one["display"]),
        ),
    ),
    "opcua_binary_create_subscription": (_subscribed, _once((787, 790), _our_subscription)),
    "opcua_binary_create_monitored_items_create_item": (_monitored, _of((751,), "nodes", _our_item)),
    "opcua_binary_get_endpoints_description": (_described_endpoint, _of((431,), "endpoints", _our_endpoint)),
    "opcua_binary_create_session_endpoints": (_described_endpoint, _of((464,), "endpoints", _our_endpoint)),
    "opcua_binary_status_code_detail": (_status, _our_status),
}
"""Log -> the unit of a record (None = not compared), the units of one of our rows."""
