"""S7comm (S7-300/400 and the classic access of 1200/1500), and S7comm-plus, on ISO transport (``tpkt``).

One row per message. Answers carry the address and quantity of their job and are told their values by its types.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import s7comm_items as items
from cityguard.decoders.ot import s7comm_plus as plus
from cityguard.decoders.ot import tpkt
from cityguard.decoders.protocol import Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs
from cityguard.model import LogSource

MAX_VALUES = 16
_HEAD = struct.Struct(">BBHHHH")
_MARK = 0x32
JOB, ACK, ACK_DATA, USERDATA = 1, 2, 3, 7
_KINDS = {JOB: "job", ACK: "ack", ACK_DATA: "ack_data", USERDATA: "userdata"}
_READ, _WRITE = 4, 5

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x00: ("CPU services", None),
    0x04: ("Read Var", "read"),
    0x05: ("Write Var", "write"),
    0x1A: ("Request download", "program"),
    0x1B: ("Download block", "program"),
    0x1C: ("Download ended", "program"),
    0x1D: ("Start upload", "program"),
    0x1E: ("Upload", "program"),
    0x1F: ("End upload", "program"),
    0x28: ("PI-Service", "control"),
    0x29: ("PLC Stop", "control"),
    0xF0: ("Setup communication", None),
}
_PROGRAMS = frozenset(("_INSE", "_INS2", "_DELE", "_GARB", "_MODU", "_N_DELE", "_N_F_DELE"))
"""PI services that change what is stored in the device."""
GROUPS: dict[int, tuple[str, str | None]] = {
    0x0: ("Mode-transition", None),
    0x1: ("Programmer commands", "program"),
    0x2: ("Cyclic data", "read"),
    0x3: ("Block functions", "read"),
    0x4: ("CPU functions", "read"),
    0x5: ("Security", "control"),
    0x6: ("PBC BSEND/BRECV", "write"),
    0x7: ("Time functions", "read"),
    0xF: ("NC programming", "program"),
}
SUBFUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x101: ("Request diag data (Type 1)", "diagnostic"),
    0x102: ("VarTab", "read"),
    0x10C: ("Erase", "program"),
    0x10E: ("Read diag data", "diagnostic"),
    0x10F: ("Remove diag data", "diagnostic"),
    0x110: ("Forces", "control"),
    0x113: ("Request diag data (Type 2)", "diagnostic"),
    0x201: ("Cyclic transfer", "read"),
    0x204: ("Unsubscribe", "read"),
    0x205: ("Change-driven transfer", "read"),
    0x207: ("Change-driven transfer modify", "read"),
    0x301: ("List blocks", "read"),
    0x302: ("List blocks of type", "read"),
    0x303: ("Get block info", "read"),
    0x401: ("Read SZL", "read"),
    0x402: ("Message service", "diagnostic"),
    0x403: ("Diagnostic message", None),
    0x405: ("ALARM_8 indication", None),
    0x406: ("NOTIFY indication", None),
    0x407: ("ALARM_8 lock", "control"),
    0x408: ("ALARM_8 unlock", "control"),
    0x409: ("SCAN indication", None),
    0x40B: ("ALARM ack", "control"),
    0x40C: ("ALARM ack indication", None),
    0x40D: ("ALARM lock indication", None),
    0x40E: ("ALARM unlock indication", None),
    0x411: ("ALARM_SQ indication", None),
    0x412: ("ALARM_S indication", None),
    0x413: ("ALARM query", "read"),
    0x416: ("NOTIFY_8 indication", None),
    0x501: ("PLC password", "control"),
    0x502: ("Clear PLC password", "control"),
    0x701: ("Read clock", "read"),
    0x702: ("Set clock", "write"),
    0x703: ("Read clock (following)", "read"),
    0x704: ("Set clock", "write"),
}
"""Userdata: group*256 + subfunction."""
_SZL = 0x401


@dataclass(frozen=True, slots=True)
class _Asked:
    """A job that waits for its answer."""

    function: int
    address: str | None
    quantity: int | None
    items: list[items.Item]


class Connection(tpkt.Transport):
    """One connection."""

    def __init__(self, speaker: Speaker, ends: Talk, name: str) -> None:
        super().__init__()
        self._add = speaker.out.rows("ot").add
        self._talks, self._name = (ends, ends.turned()), name
        self._jobs: Pairs[_Asked] = Pairs()
        self._lists: Pairs[str | None] = Pairs()
        self._plus = plus.Messages()

    def unit(self, side: int, data: bytes, at: Moment) -> None:
        if data[0] == plus.MARK:
            row = self._plus.unit(side, data)
        else:
            row = self._message(side, data) if data[0] == _MARK else None
        if row is None:
            return
        if row["ot.protocol"] != self._name:
            row["network.protocol"] = row["ot.protocol"]
        self._add(at.number, at.time, self._talks[side], row)

    def gap(self, side: int) -> None:
        super().gap(side)
        self._plus.gap(side)

    def _message(self, side: int, raw: bytes) -> dict[str, Any] | None:
        if len(raw) < _HEAD.size:
            return None
        _, kind, _, reference, parameters, data = _HEAD.unpack_from(raw)
        if kind not in _KINDS:
            return None
        begin = 12 if kind in (ACK, ACK_DATA) else 10
        row: dict[str, Any] = {
            "ot.protocol": "s7comm",
            "ot.message.type": _KINDS[kind],
            "ot.transaction_id": reference,
            "ot.is_request": kind == JOB,
        }
        if len(raw) < begin + parameters + data:
            row["event.flags"] = ["truncated"]
        parameter, rest = raw[begin : begin + parameters], raw[begin + parameters : begin + parameters + data]
        if kind == USERDATA:
            _userdata(row, parameter, rest)
            self._about(row, side, reference, parameter, rest)
        elif kind == JOB:
            self._job(row, (side, reference), parameter, rest)
        else:
            self._answer(row, (1 - side, reference), parameter, rest, raw[10:12])
        return row

    def _about(self, row: dict[str, Any], side: int, reference: int, parameter: bytes, data: bytes) -> None:
        """The list a userdata message is about: what was asked for, or what the first of several parts says."""
        if row.get("ot.function.code") is None:
            return
        key = (side, row["ot.function.code"], parameter[8]) if len(parameter) >= 12 and parameter[8] else None
        begun = self._lists.answer(key) if key else None
        if row["ot.function.code"] == _SZL and len(data) >= 4 and begun is None:
            address, texts = items.system_list(data[4:])
            row |= {"ot.address": address, "ot.value": ",".join(texts[:MAX_VALUES]) or None}
        if row["ot.is_request"]:
            self._lists.ask((side, reference), row.get("ot.address"))
            return
        row["ot.address"] = row.get("ot.address") or begun or self._lists.peek((1 - side, reference))
        if key and parameter[9]:
            self._lists.ask(key, row["ot.address"])

    def _job(self, row: dict[str, Any], key: tuple[int, int], parameter: bytes, data: bytes) -> None:
        code = parameter[0] if parameter else None
        if code is None:
            row |= {"ot.function.name": "Job", "event.flags": ["truncated"]}
            return
        _function(row, code)
        found: list[items.Item] = []
        if code in (_READ, _WRITE) and len(parameter) >= 2:
            found = items.items(parameter, 2, parameter[1])
            _items(row, found, parameter[1])
            if code == _WRITE:
                _values(row, [(item, octets) for item, (_, _, octets) in _zip(found, data, parameter[1])])
        elif code == 0xF0 and len(parameter) >= 8:
            row["ot.value"] = str(int.from_bytes(parameter[6:8], "big"))
        elif code == 0x28:
            name, argument = items.service(parameter[1:])
            row |= {"ot.value": name or None, "ot.address": argument or None}
            if name in _PROGRAMS:
                row["ot.function.class"] = "program"
        elif code == 0x29 and len(parameter) > 7:
            row["ot.value"] = items.text(parameter[7 : 7 + parameter[6]]) or None
        elif code in (0x1A, 0x1B, 0x1C, 0x1D) and len(parameter) > 9:
            name = items.text(parameter[9 : 9 + parameter[8]])
            row["ot.address"] = items.block(name) or None
            row["event.fields"] = json.dumps({"file": name, "session": int.from_bytes(parameter[4:8], "big")})
        elif code in (0x1E, 0x1F) and len(parameter) >= 8:
            row["event.fields"] = json.dumps({"session": int.from_bytes(parameter[4:8], "big")})
        self._jobs.ask(key, _Asked(code, row.get("ot.address"), row.get("ot.quantity"), found))

    def _answer(self, row: dict[str, Any], key: tuple[int, int], parameter: bytes, data: bytes, error: bytes) -> None:
        asked = self._jobs.answer(key)
        code = parameter[0] if parameter else asked.function if asked else None
        if code is None:
            row["ot.function.name"] = "Acknowledge"
        else:
            _function(row, code)
        if asked and asked.function == code:
            row |= {"ot.address": asked.address, "ot.quantity": asked.quantity}
        failed = 0
        if code in (_READ, _WRITE) and len(parameter) >= 2:
            known = asked.items if asked and asked.function == code else []
            row["ot.quantity"] = parameter[1]
            if code == _READ:
                pairs = _zip(known, data, parameter[1])
                _values(row, [(item, octets) for item, (_, _, octets) in pairs])
                codes = [returned for _, (returned, _, _) in pairs]
            else:
                codes = list(data[: min(parameter[1], items.MAX_ITEMS)])
            failed = next((returned for returned in codes if returned != 0xFF), 0)
            if failed:
                row["event.fields"] = json.dumps({"return": codes, "meaning": items.RETURNS.get(failed)})
        elif code == 0xF0 and len(parameter) >= 8:
            row["ot.value"] = str(int.from_bytes(parameter[6:8], "big"))
        elif code in (0x1D, 0x1E) and len(parameter) >= 8:
            row["event.fields"] = json.dumps({"session": int.from_bytes(parameter[4:8], "big")})
        _outcome(row, error, failed)


def _function(row: dict[str, Any], code: int) -> None:
    name, klass = FUNCTIONS.get(code, (f"Function {code:#04x}", None))
    row |= {"ot.function.code": code, "ot.function.name": name, "ot.function.class": klass}
    if code not in FUNCTIONS:
        row["event.flags"] = ["undecoded"]


def _outcome(row: dict[str, Any], error: bytes, failed: int) -> None:
    """Status: error class and code of the header where they are not 0, else the first item's bad return code."""
    if error != b"\0\0":
        row |= {"ot.status": f"0x{error.hex()}", "ot.function.class": "error"}
    elif failed:
        row |= {"ot.status": f"0x{failed:02x}", "ot.function.class": "error"}
    else:
        row["ot.status"] = "0x0000"


def _items(row: dict[str, Any], found: list[items.Item], count: int) -> None:
    row["ot.address"] = ",".join(item.address for item in found[:MAX_VALUES]) or None
    row["ot.quantity"] = count
    row["event.fields"] = json.dumps(
        {"items": [{"address": item.address, "type": item.type, "count": item.count} for item in found]}
    )
    if len(found) < count:
        row.setdefault("event.flags", ["truncated"])


def _zip(known: list[items.Item], data: bytes, count: int) -> list[tuple[items.Item | None, tuple[int, int, bytes]]]:
    said = list(items.data_items(data, 0, count))
    return [(known[nth] if nth < len(known) else None, one) for nth, one in enumerate(said)]


def _values(row: dict[str, Any], pairs: list[tuple[items.Item | None, bytes]]) -> None:
    found: list[str] = []
    for item, octets in pairs:
        found += items.values(item, octets, MAX_VALUES - len(found))
    row["ot.value"] = ",".join(found) or None


def _userdata(row: dict[str, Any], parameter: bytes, data: bytes) -> None:
    """Requests, responses, indications beside jobs: head (3), length, method, type and group, subfunction, number."""
    if len(parameter) < 8:
        row |= {"ot.function.name": "Userdata", "ot.is_request": None, "event.flags": ["truncated"]}
        return
    kind, group, subfunction = parameter[5] >> 4, parameter[5] & 15, parameter[6]
    code = group << 8 | subfunction
    name, klass = SUBFUNCTIONS.get(code, ("", None))
    if not name:
        title, klass = GROUPS.get(group, (f"Group {group:#x}", None))
        name = f"{title} {subfunction:#04x}"
    row |= {"ot.function.code": code, "ot.function.name": name, "ot.function.class": klass, "ot.is_request": kind == 4}
    told: dict[str, Any] = {
        "kind": {0: "indication", 4: "request", 8: "response"}.get(kind, kind),
        "sequence": parameter[7],
    }
    if len(parameter) >= 12:
        told |= {"unit": parameter[8], "last": parameter[9] == 0}
        error = parameter[10:12]
        row["ot.status"] = f"0x{error.hex()}"
        if error != b"\0\0":
            row["ot.function.class"] = "error"
    if len(data) >= 4:
        told["return"] = data[0]
        if kind == 8 and data[0] != 0xFF and data[0]:
            row |= {"ot.status": f"0x{data[0]:02x}", "ot.function.class": "error"}
        if code == 0x303 and kind == 4 and len(data) >= 12:
            row["ot.address"] = items.block(items.text(data[4:12]))
        elif code == 0x302 and kind == 4:
            row["ot.address"] = items.text(data[4:6]) or None
    row["event.fields"] = json.dumps(told)


class S7comm(Speaker):
    """Connections that begin with S7comm; some go on in S7comm-plus."""

    def stream(self, talk: Talk) -> Connection:
        return Connection(self, talk, "s7comm")


class S7commPlus(Speaker):
    """Connections that begin with S7comm-plus."""

    def stream(self, talk: Talk) -> Connection:
        return Connection(self, talk, "s7comm_plus")


def starts(data: bytes, usual: bool) -> bool:
    """A data unit whose lengths are those of its parts."""
    unit = tpkt.first(data, usual)
    if len(unit) < _HEAD.size or unit[0] != _MARK or unit[1] not in _KINDS:
        return False
    head = 12 if unit[1] in (ACK, ACK_DATA) else 10
    parts = int.from_bytes(unit[6:8], "big") + int.from_bytes(unit[8:10], "big")
    return head + parts >= len(unit) and unit[2:4] == b"\0\0"


def starts_plus(data: bytes, usual: bool) -> bool:
    """A data unit of S7comm-plus."""
    unit = tpkt.first(data, usual)
    if not plus.sound(unit):
        return False
    return usual or len(unit) >= 4 + int.from_bytes(unit[2:4], "big")


SOURCES = {"ot": LogSource(("ot_command",), ("s7comm", "s7comm_plus"), ())}
"""A connection that begins with S7comm may go on in S7comm-plus."""
PROTOCOLS = (
    Protocol("s7comm", starts, S7comm, SOURCES, tcp=(tpkt.PORT,), marks=(tpkt.mark(bytes((_MARK,))),)),
    Protocol("s7comm_plus", starts_plus, S7commPlus, tcp=(tpkt.PORT,), marks=(tpkt.mark(bytes((plus.MARK,))),)),
)
