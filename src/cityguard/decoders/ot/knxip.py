"""KNXnet/IP (ISO 22510, EN 50090) over UDP and TCP to one row per frame, with the telegram that it carries.

``ot.function.code`` is the service type identifier; the class follows the telegram's application service.
``ot.address``
is the telegram's destination (``1/2/3`` a group, ``1.1.5`` a device), ``ot.value`` its data in hex.
"""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.framed import Framed

PORT = 3671
MAX_FRAME = 4_096

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x0201: ("Search Request", "diagnostic"),
    0x0202: ("Search Response", "diagnostic"),
    0x0203: ("Description Request", "diagnostic"),
    0x0204: ("Description Response", "diagnostic"),
    0x0205: ("Connect Request", None),
    0x0206: ("Connect Response", None),
    0x0207: ("Connectionstate Request", None),
    0x0208: ("Connectionstate Response", None),
    0x0209: ("Disconnect Request", None),
    0x020A: ("Disconnect Response", None),
    0x020B: ("Search Request Extended", "diagnostic"),
    0x020C: ("Search Response Extended", "diagnostic"),
    0x0310: ("Device Configuration Request", "program"),
    0x0311: ("Device Configuration Ack", None),
    0x0420: ("Tunnelling Request", None),
    0x0421: ("Tunnelling Ack", None),
    0x0422: ("Tunnelling Feature Get", "read"),
    0x0423: ("Tunnelling Feature Response", "read"),
    0x0424: ("Tunnelling Feature Set", "program"),
    0x0425: ("Tunnelling Feature Info", "read"),
    0x0530: ("Routing Indication", None),
    0x0531: ("Routing Lost Message", "diagnostic"),
    0x0532: ("Routing Busy", "diagnostic"),
    0x0533: ("Routing System Broadcast", None),
    0x0600: ("Remote Logging", None),
    0x0740: ("Remote Diagnostic Request", "diagnostic"),
    0x0741: ("Remote Diagnostic Response", "diagnostic"),
    0x0742: ("Remote Basic Configuration Request", "program"),
    0x0743: ("Remote Reset Request", "control"),
    0x0800: ("Object Server", None),
    0x0950: ("Secure Wrapper", None),
    0x0951: ("Session Request", None),
    0x0952: ("Session Response", None),
    0x0953: ("Session Authenticate", None),
    0x0954: ("Session Status", None),
    0x0955: ("Timer Notify", None),
}
_ANSWERS = frozenset((0x0202, 0x0204, 0x0206, 0x0208, 0x020A, 0x020C, 0x0311, 0x0421, 0x0423, 0x0741, 0x0952))
_STATUS_AT = {0x0206: 7, 0x0208: 7, 0x020A: 7, 0x0311: 9, 0x0421: 9, 0x0954: 6}
_TELEGRAM = {0x0310: 10, 0x0420: 10, 0x0530: 6, 0x0533: 6}
_MESSAGES = {0x11: "L_Data.req", 0x29: "L_Data.ind", 0x2E: "L_Data.con", 0x2B: "L_Busmon.ind", 0x10: "L_Raw.req"}
_MESSAGES |= {0xFC: "M_PropRead.req", 0xFB: "M_PropRead.con", 0xF6: "M_PropWrite.req", 0xF5: "M_PropWrite.con"}
_MESSAGES |= {0xF7: "M_PropInfo.ind", 0xF1: "M_Reset.req", 0xF0: "M_Reset.ind", 0x2D: "L_Raw.ind", 0x2F: "L_Raw.con"}
_MANAGEMENT = {0xFC: "read", 0xFB: "read", 0xF6: "program", 0xF5: "program", 0xF1: "control", 0xF7: "read"}
# Application services (APCI) by their upper four bits, and those told by all ten.
_SERVICES: dict[int, tuple[str, str]] = {
    0x0: ("GroupValueRead", "read"),
    0x1: ("GroupValueResponse", "read"),
    0x2: ("GroupValueWrite", "write"),
    0x3: ("IndividualAddressWrite", "program"),
    0x4: ("IndividualAddressRead", "read"),
    0x5: ("IndividualAddressResponse", "read"),
    0x6: ("ADCRead", "read"),
    0x7: ("ADCResponse", "read"),
    0x8: ("MemoryRead", "read"),
    0x9: ("MemoryResponse", "read"),
    0xA: ("MemoryWrite", "program"),
    0xB: ("UserMessage", "program"),
    0xC: ("DeviceDescriptorRead", "read"),
    0xD: ("DeviceDescriptorResponse", "read"),
    0xE: ("Restart", "control"),
}
_ESCAPES: dict[int, tuple[str, str]] = {
    0x1CC: ("PropertyExtValueRead", "read"),
    0x1CD: ("PropertyExtValueResponse", "read"),
    0x1CE: ("PropertyExtValueWriteCon", "program"),
    0x1CF: ("PropertyExtValueWriteConRes", "program"),
    0x1D0: ("PropertyExtValueWriteUnCon", "program"),
    0x1D1: ("PropertyExtValueInfoReport", "read"),
    0x3D1: ("AuthorizeRequest", "control"),
    0x3D2: ("AuthorizeResponse", "control"),
    0x3D3: ("KeyWrite", "program"),
    0x3D4: ("KeyResponse", "program"),
    0x3D5: ("PropertyValueRead", "read"),
    0x3D6: ("PropertyValueResponse", "read"),
    0x3D7: ("PropertyValueWrite", "program"),
    0x3D8: ("PropertyDescriptionRead", "read"),
    0x3D9: ("PropertyDescriptionResponse", "read"),
    0x3DC: ("IndividualAddressSerialNumberRead", "read"),
    0x3DE: ("IndividualAddressSerialNumberWrite", "program"),
    0x3F1: ("SecureService", "control"),
}
_SECRET = frozenset((0x3D1, 0x3D3))
"""Services whose data is a key of the device."""
_KEY_PROPERTIES = frozenset((11, one) for one in (91, 92, 93))
"""Interface object and property of backbone key, authentication code and password hashes."""
_SECURITY = 17
"""The interface object that holds the keys of KNX Secure."""


def individual(raw: bytes) -> str:
    """A device's address: area, line, device."""
    return f"{raw[0] >> 4}.{raw[0] & 15}.{raw[1]}"


def group(raw: bytes) -> str:
    """A group address in three levels."""
    return f"{raw[0] >> 3}/{raw[0] & 7}/{raw[1]}"


def _holds_keys(data: bytes) -> bool:
    """Whether a message of property management carries keys: they are never shown."""
    return _is_key(data[1] << 8 | data[2], data[4])


def _is_key(kind: int, prop: int) -> bool:
    """Whether a property of an interface object holds keys."""
    return kind == _SECURITY or (kind, prop) in _KEY_PROPERTIES


def _telegram(data: bytes) -> dict[str, Any]:
    """A cEMI message: code, additional information, control, addresses, length, TPCI/APCI and data."""
    if len(data) < 2:
        return {}
    code = data[0]
    more: dict[str, Any] = {"message_code": _MESSAGES.get(code, f"0x{code:02x}")}
    if code in _MANAGEMENT:
        where = f"{data[1] << 8 | data[2]}/{data[3]}/{data[4]}" if len(data) >= 5 else None
        value = data[7:39].hex() if len(data) > 7 and not _holds_keys(data) else None
        kind = {"ot.function.class": _MANAGEMENT[code], "ot.address": where, "ot.value": value}
        return kind | {"event.fields": json.dumps(more)}
    body = data[2 + data[1] :]
    found: dict[str, Any] = {}
    if len(body) >= 7 and code in (0x11, 0x29, 0x2E):
        more["source"] = individual(body[2:4])
        found["ot.address"] = group(body[4:6]) if body[1] & 0x80 else individual(body[4:6])
        size = body[6]
        if size and len(body) >= 9:
            service = (body[7] & 3) << 8 | body[8]
            name, klass = _ESCAPES.get(service) or _SERVICES.get(service >> 6, (f"0x{service:03x}", ""))
            written = bytes((body[8] & 0x3F,)) if size == 1 else body[9 : 8 + size]
            more["service"] = name
            found |= {"ot.function.class": klass or None, "ot.value": written[:32].hex() or None}
            extended = 0x1CC <= service <= 0x1D1 and len(body) >= 14  # object type, then instance and property
            hidden = extended and _is_key(body[9] << 8 | body[10], (body[12] & 15) << 8 | body[13])
            if service >> 6 == 0 or service in _SECRET or hidden:
                found["ot.value"] = None
        else:
            more["service"] = {0x80: "Connect", 0x81: "Disconnect"}.get(body[7] & 0xFF if len(body) > 7 else -1, "Ack")
    return found | {"event.fields": json.dumps(more)}


class Knx(Speaker):
    """Every KNXnet/IP conversation of a capture."""

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._frame, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        size = _size(data, 0) if data else -1
        if not 0 < size <= len(data):
            return False
        self._frame(data[:size], talk, at)
        return True

    def _frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        service = data[2] << 8 | data[3]
        name, kind = FUNCTIONS.get(service, (f"Service 0x{service:04x}", None))
        fields: dict[str, Any] = {
            "ot.protocol": "knxip",
            "ot.function.code": service,
            "ot.function.name": name,
            "ot.function.class": kind,
            "ot.message.type": "response" if service in _ANSWERS else "request",
            "ot.is_request": service not in _ANSWERS,
        }
        if service in (0x0310, 0x0311, 0x0420, 0x0421, 0x0422, 0x0423, 0x0424, 0x0425) and len(data) >= 9:
            fields |= {"ot.unit_id": data[7], "ot.transaction_id": data[8]}
        elif service in (0x0206, 0x0207, 0x0208, 0x0209, 0x020A) and len(data) >= 7:
            fields["ot.unit_id"] = data[6]
        where = _TELEGRAM.get(service)
        if where is not None:
            fields |= {name: value for name, value in _telegram(data[where:]).items() if value is not None}
        status = _STATUS_AT.get(service)
        if status is not None and len(data) > status:
            fields["ot.status"] = f"0x{data[status]:02x}"
            if data[status] and service != 0x0954:
                fields["ot.function.class"] = "error"
        self.out.add("ot", at, talk, fields)


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the frame at a place: header of 6 bytes, version 1.0 or 2.0, a known service family, total length."""
    if data[at] != 6:
        return -1
    if len(data) - at < 6:
        return 0
    size = data[at + 4] << 8 | data[at + 5]
    known = data[at + 1] in (0x10, 0x20) and data[at + 2] in (2, 3, 4, 5, 6, 7, 8, 9)
    return size if known and 6 <= size <= MAX_FRAME else -1


def starts(data: bytes, usual: bool) -> bool:
    """A header of a known service whose length is that of the datagram."""
    size = _size(data, 0) if data else -1
    if size <= 0 or (data[2] << 8 | data[3]) not in FUNCTIONS:
        return False
    return usual or size == len(data)


PROTOCOLS = (Protocol("knxip", starts, Knx, tcp=(PORT,), udp=(PORT,), marks=(Mark(b"\x06\x10"), Mark(b"\x06\x20"))),)
