"""BACnet/IP beside tshark, ICSNPP and Arkime: kinds of message, services, objects and values."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from truth import base, ot
from truth.base import Line

FOLDER = "ot-pcap/bacnet"
Row = dict[str, Any]
TYPES = (
    "confirmed-request",
    "unconfirmed-request",
    "simple-ack",
    "complex-ack",
    "segment-ack",
    "error",
    "reject",
    "abort",
)
BVLC = {
    "bvlcresult": 0,
    "writebroadcasttable": 1,
    "readbroadcasttable": 2,
    "readbroadcasttableack": 3,
    "forwardednpdu": 4,
    "registerforeigndevice": 5,
    "readforeigndevicetable": 6,
    "readforeigndevicetableack": 7,
    "deleteforeigndevicetableentry": 8,
    "distributebroadcasttonetwork": 9,
    "originalunicastnpdu": 10,
    "originalbroadcastnpdu": 11,
}
"""ICSNPP's names of the link layer's functions, without separators."""
OURS = {name.replace("broadcasttable", "broadcastdistributiontable"): number for name, number in BVLC.items()}
DATE, TIME = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})"), re.compile(r"\d{1,2}:\d{1,2}:\d{1,2}\.\d{1,2}")
MASKED = "XXXXXXXXXX"
"""What stands for a stamp in the baselines."""
SERVICES = {"reinitializeddevice": "reinitializedevice"}
PROPERTIES = {"acked-transition": "acked-transitions", "event-time-stamp": "event-time-stamps", "datelist": "date-list"}


def compare(data: Path) -> Iterator[Line]:
    """Units: a message with its type, service and invoke id; a property with its object and value."""
    messages = Line(
        "bacnet", "tshark", "message: frame, function or type, service, invoke id", floor=0.995, most_extra=ot.MORE
    )
    objects = Line(
        "bacnet", "tshark", "frame: object and property it speaks of first", floor=0.98, most_extra=ot.MORE_POINTS
    )
    logs = Line(
        "bacnet",
        "zeek-icsnpp",
        "bacnet.log: ends, function, type, service, invoke id, result",
        floor=0.995,
        most_extra=ot.MORE,
    )
    values = Line(
        "bacnet",
        "zeek-icsnpp",
        "bacnet_property.log: object, property, index, value",
        floor=0.98,
        most_extra=ot.MORE_POINTS,
    )
    found = Line(
        "bacnet",
        "zeek-icsnpp",
        "bacnet_discovery.log: service, object, range, name",
        floor=0.98,
        most_extra=ot.MORE_POINTS,
    )
    control = Line(
        "bacnet", "zeek-icsnpp", "bacnet_device_control.log: service, state", floor=0.98, most_extra=ot.MORE_POINTS
    )
    sessions = Line("bacnet", "arkime", "session: set of types, of services", floor=0.98)
    for capture in base.captures(data / FOLDER):
        case = capture.parent.name
        ours = ot.ours(capture, "bacnet")
        wanted = base.tshark(capture)
        if wanted:
            _tshark(case, wanted, ours, messages, objects)
        for name, records in base.zeek_logs(capture, "bacnet"):
            logs.add(name, map(_theirs, records), map(_ours, ours))
        for name, records in base.zeek_logs(capture, "bacnet_property"):
            told = [one for row in ours for one in _properties(row)]
            _compare(values, name, [_property(record) for record in records], told)
        for name, records in base.zeek_logs(capture, "bacnet_discovery"):
            found.add(name, map(_discovery, records), filter(None, map(_discovered, ours)))
        for name, records in base.zeek_logs(capture, "bacnet_device_control"):
            control.add(name, map(_control, records), filter(None, map(_controlled, ours)))
        for path in sorted(capture.parent.glob("arkime/*.test.json")):
            _arkime(case, path, ours, sessions)
    yield from (messages, objects, logs, values, found, control, sessions)


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _extra(row: Row) -> Row:
    return json.loads(row["event.fields"]) if row.get("event.fields") else {}


def _function(row: Row) -> int | None:
    name = _extra(row).get("bvlc")
    return OURS.get(_plain(name)) if name else None


def _tshark(case: str, wanted: list[Row], ours: list[Row], messages: Line, objects: Line) -> None:
    """Packets quoted in ICMP errors are no messages; of a malformed one only its link layer is compared."""
    wanted = [row for row in wanted if row["_ws.col.Protocol"] not in ("ICMP", "ICMPv6")]
    theirs: list[tuple[str, int | None, str | None, str | None, str | None]] = []
    for row in wanted:
        function = int(_first(row["bvlc.function"]), 0) if row["bvlc.function"] else None
        kind = _first(row["bacapp.type"])
        if kind:
            service = _first(row["bacapp.confirmed_service"] or row["bacapp.unconfirmed_service"]) or None
            if kind in ("4", "6", "7"):
                service = None
            invoke = _first(row["bacapp.invoke_id"]) or None
            theirs.append((row["frame.number"], function, TYPES[int(kind)], service, invoke))
        else:
            theirs.append((row["frame.number"], function, None, None, None))
    mine = []
    for row in ours:
        told = (
            row["ot.message.type"]
            if row["ot.message.type"] in TYPES and row.get("event.flags") != ["undecoded"]
            else None
        )
        code = None if told in (None, "segment-ack", "reject", "abort") else str(row["ot.function.code"])
        number = row["ot.transaction_id"] if told else None
        mine.append((str(row["log.offset"]), _function(row), told, code, None if number is None else str(number)))
    messages.add(case, theirs, mine)
    places = {str(row["log.offset"]): row for row in ours}
    for row in wanted:
        kinds, instances = row["bacapp.objectType"].split(","), row["bacapp.instance_number"].split(",")
        if not row["bacapp.property_identifier"] or not kinds[0]:
            continue
        one = places.get(row["frame.number"]) or {}
        second = int(row["bacapp.confirmed_service"] == "1" or row["bacapp.unconfirmed_service"] == "2")
        if len(kinds) <= second or len(instances) <= second:
            continue  # a path it did not open
        objects.compared += 1
        theirs_place = (kinds[second], row["bacapp.property_identifier"].split(",")[0])
        instance = instances[second]  # a notification names the device before its object
        said = (one.get("ot.address") or "").split(",")[0]
        if _numbers(said) == (int(theirs_place[0]), int(instance), int(theirs_place[1])):
            objects.equal += 1
        else:
            objects.missing += 1
            objects.note(f"{case} frame {row['frame.number']}", Counter([(theirs_place, instance)]), Counter([said]))


def _first(text: str) -> str:
    """A field's first value: a message in an error quotes another."""
    return text.split(",")[0]


def _numbers(address: str) -> tuple[int, int, int] | None:
    from cityguard.decoders.ot import bacnet_names as names

    target, _, prop = address.partition("/")
    kind, _, instance = target.partition(":")
    number = {name: number for number, name in names.PROPERTIES.items()}.get(prop.split("[")[0])
    if kind not in names.OBJECTS or number is None or not instance.isdigit():
        return None
    return names.OBJECTS.index(kind), int(instance), number


def _theirs(row: Row) -> tuple[Any, ...]:
    kind = row["pdu_type"].lower().replace("_pdu", "").replace("_", "-")
    service = _plain(row["pdu_service"])
    service = "" if kind in ("reject", "abort", "segment-ack") else SERVICES.get(service, service)
    ends = (row.get("source_h") or row["id.orig_h"], row.get("destination_h") or row["id.resp_h"])
    result = row["result_code"] if kind else ""
    return *ends, BVLC.get(_plain(row["bvlc_function"])), kind, service, row["invoke_id"], result


def _ours(row: Row) -> tuple[Any, ...]:
    kind = row["ot.message.type"]
    service = "" if kind in ("reject", "abort", "segment-ack") else _plain(row["ot.function.name"] or "")
    invoke = "" if row["ot.transaction_id"] is None else str(row["ot.transaction_id"])
    if kind == "bvlc":  # the peer tells the function alone
        return row["source.ip"], row["destination.ip"], _function(row), "", "", "", ""
    return row["source.ip"], row["destination.ip"], _function(row), kind, service, invoke, row.get("ot.status") or ""


def _value(text: str | None) -> str:
    """One spelling: numbers as the single precision they are sent in, bits as 0 and 1, dates from the year down."""
    text = (text or "").replace(": ", ":").strip()
    if text and not text.strip("TF"):
        return text.translate(str.maketrans("TF", "10"))
    if date := DATE.fullmatch(text):
        return f"{date[3]}-{int(date[1]):02d}-{int(date[2]):02d}"
    if TIME.fullmatch(text):
        return ":".join(str(int(part)) for part in re.split("[:.]", text))
    try:
        return f"{np.float32(text):.6f}"
    except ValueError:
        return text.lower()


Property = tuple[tuple[Any, ...], str]


def _property(row: Row) -> Property:
    """A property of a message and its value; errors have their code in the place of the object."""
    if row["pdu_service"].startswith("ERROR: "):
        return (row["invoke_id"], "error", _plain(row["pdu_service"][7:]), row["object_type"]), ""
    service = _plain(row["pdu_service"]).removesuffix("request").removesuffix("ack")
    name = (PROPERTIES.get(row["property"]) or row["property"] or "").lower()
    name = name.removeprefix("vendor specific (").removesuffix(")")
    key = (row["invoke_id"], service, row["object_type"], row["instance_number"], name, row["array_index"])
    return key, MASKED if MASKED in row["value"] else _value(row["value"])


def _properties(row: Row) -> list[Property]:
    invoke, service = str(row["ot.transaction_id"]), _plain(row["ot.function.name"] or "")
    if row["ot.function.code"] not in (12, 14, 15, 16) or row["ot.message.type"] not in TYPES:
        return []
    if row["ot.message.type"] == "error":
        return [((invoke, "error", service, row["ot.status"]), "")]
    if row["ot.message.type"] not in TYPES[0:4:3]:
        return []
    told = _extra(row).get("properties") or [{"address": row["ot.address"], "value": row["ot.value"]}]
    found = []
    for one in told:
        target, _, rest = (one["address"] or "").partition("/")
        kind, _, instance = target.partition(":")
        name, _, index = rest.partition("[")
        value = one["value"] or ""
        value = "PropertyError" if value.startswith("error") else value
        if value or row["ot.is_request"]:  # the peer passes over empty lists
            found.append(((invoke, service, kind, instance, name.lower(), index.rstrip("]")), _value(value)))
    return found


def _compare(line: Line, case: str, theirs: list[Property], ours: list[Property]) -> None:
    """The baselines have masked what looked like a stamp: there only the property is compared."""
    masked = {key for key, value in theirs if value == MASKED}
    plain = [[(*key, MASKED if key in masked else value) for key, value in side] for side in (theirs, ours)]
    line.add(case, *plain)


def _discovery(row: Row) -> tuple[Any, ...]:
    span = "" if row["range"] == "All" else row["range"]
    kind = row.get("object_type") or row.get("device_id_type") or ""
    instance = row.get("instance_number") or row.get("device_id_number") or ""
    name = "" if row["object_name"] in ("N/A", "Unknown") else row["object_name"]
    return row["pdu_service"].lower(), kind, instance, span, name


def _discovered(row: Row) -> tuple[Any, ...] | None:
    if row["ot.message.type"] != "unconfirmed-request" or row["ot.function.code"] not in (0, 1, 7, 8):
        return None
    extra = _extra(row)
    kind, _, instance = (row.get("ot.address") or "").partition(":")
    span = f"{extra['low']}-{extra['high']}" if "low" in extra else ""
    return row["ot.function.name"].lower(), kind, instance, span, extra.get("object_name", "")


def _control(row: Row) -> tuple[Any, ...]:
    service = _plain(row["pdu_service"])
    failed = row["result_code"] if row["result"] == "ERROR" else ""
    return row["invoke_id"], SERVICES.get(service, service), row["is_orig"] == "T", row["device_state"], failed


def _controlled(row: Row) -> tuple[Any, ...] | None:
    if row["ot.function.code"] not in (17, 20) or row["ot.message.type"] not in TYPES:
        return None
    asks = bool(row["ot.is_request"])
    state = row.get("ot.value") or ""
    return str(row["ot.transaction_id"]), _plain(row["ot.function.name"]), asks, state, row.get("ot.status") or ""


def _arkime(case: str, path: Path, ours: list[Row], line: Line) -> None:
    """A session's ends; its types and services as sets, spelt without separators."""
    for session in json.loads(base.text(path))["sessions3"]:
        body = session["body"]
        told = body.get("bacnet")
        if not told or "source" not in body or "ip" not in body["source"]:
            continue
        ends = {(body[side]["ip"], body[side]["port"]) for side in ("source", "destination")}
        mine = [
            row
            for row in ours
            if {(row[f"{side}.ip"], row[f"{side}.port"]) for side in ("source", "destination")} == ends
        ]
        kinds = {row["ot.message.type"] for row in mine}
        names = {_plain(row["ot.function.name"]) for row in mine if row["ot.message.type"] in TYPES[:2]}
        theirs = [("type", one) for one in told.get("apduType", [])]
        theirs += [("service", _plain(one)) for one in told.get("service", [])]
        line.add(case, theirs, [("type", one) for one in kinds] + [("service", one) for one in names])
