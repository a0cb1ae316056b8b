"""LwM2M over CoAP (OMA TS Core 1.1, Transport 1.1): what a request does, by method, path and query; TLV values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cityguard.decoders.app import coap_message as coap

OBJECTS = {
    0: "security",
    1: "server",
    2: "access_control",
    3: "device",
    4: "connectivity",
    5: "firmware",
    6: "location",
    7: "statistics",
    9: "software",
    10: "cellular",
    19: "binary",
}
_EXECUTE = {
    (3, 4): ("reboot", "control"),
    (3, 5): ("factory_reset", "control"),
    (3, 12): ("reset_errors", "control"),
    (1, 4): ("disable", "control"),
    (1, 8): ("update_trigger", "diagnostic"),
    (1, 9): ("bootstrap_trigger", "program"),
    (5, 2): ("firmware_update", "program"),
    (9, 4): ("software_install", "program"),
}
SECRETS = frozenset((3, 4, 5))
"""Resources of object 0 that hold keys."""
KEYED = frozenset((11, 12, 21))
"""Objects beside 0 that hold passwords or keys: APN, WLAN, OSCORE."""
TLV_FORMATS = frozenset((11_542, 1_542))
MAX_ENTRIES = 64
_LINK = "</"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request does."""

    name: str
    kind: str
    object: int = -1
    resource: int = -1


def numbers(path: tuple[str, ...]) -> tuple[int, ...] | None:
    """Object, instance, resource and resource instance; None where the path is none of LwM2M."""
    if not 1 <= len(path) <= 4 or not all(one.isascii() and one.isdigit() and len(one) <= 5 for one in path):
        return None
    found = tuple(map(int, path))
    return found if max(found) < 65_536 else None


def operation(message: coap.Message) -> Operation | None:
    """The operation of a request; None where it is none of LwM2M."""
    path, queries, method = message.path, message.queries, coap.METHODS.get(message.code, "")
    if path[:1] == ("rd",):
        return _registration(method, path, queries)
    if path == ("bs",):
        return Operation("bootstrap_request", "program") if method == "POST" and "ep" in queries else None
    if path == ("bspack",):
        return Operation("bootstrap_pack", "program") if method == "GET" and "ep" in queries else None
    if path == ("dp",):
        return Operation("send", "read") if method == "POST" else None
    where = numbers(path)
    if where is None:
        return None
    one, three = where[0], where[2] if len(where) > 2 else -1
    if method in ("GET", "FETCH"):
        observe = message.uint(coap.OBSERVE)
        name = "read" if observe is None else "observe" if observe == 0 else "cancel_observe"
        return Operation(name, "read", one, three)
    if method == "POST" and len(where) == 3:
        name, kind = _EXECUTE.get((one, three), ("execute", "control"))
        return Operation(name, kind, one, three)
    if method == "DELETE":
        return Operation("delete", "program" if one in (0, 1) else "write", one, three)
    if method == "PUT" and not message.payload and message.queries:
        return Operation("write_attributes", "write", one, three)
    kind = "program" if one in (0, 5, 9) else "write"
    name = "create" if method == "POST" and len(where) == 1 else "write"
    return Operation(name, kind, one, three)


def _registration(method: str, path: tuple[str, ...], queries: dict[str, str]) -> Operation | None:
    if len(path) == 1:
        return Operation("register", "diagnostic") if method == "POST" and "ep" in queries else None
    names = {"POST": "update", "PUT": "update", "DELETE": "deregister"}
    return Operation(names[method], "diagnostic") if method in names and len(path) <= 4 else None


def links(payload: bytes) -> list[str]:
    """Objects and instances that a registration lists (RFC 6690)."""
    text = payload[:4_096].decode("utf-8", "replace")
    parts = [part.strip().partition(">")[0] for part in text.split(",")[:MAX_ENTRIES]]
    found = [part[len(_LINK) :] for part in parts if part.startswith(_LINK)]
    return [one[:32] for one in found if one and all(bit.isdigit() for bit in one.split("/"))]


def resources(payload: bytes, depth: int = 0) -> Iterator[tuple[int, bytes]]:
    """Resources of a TLV payload (OMA Core 1.1, 7.4.5): id and octets; what stands in instances is given too."""
    place = 0
    for _ in range(MAX_ENTRIES):
        if place + 2 > len(payload):
            return
        kind = payload[place]
        wide, length = 2 if kind & 0x20 else 1, kind >> 3 & 3
        begin = place + 1 + wide + length
        if begin > len(payload):
            return
        code = int.from_bytes(payload[place + 1 : place + 1 + wide], "big")
        size = int.from_bytes(payload[place + 1 + wide : begin], "big") if length else kind & 7
        value = payload[begin : begin + size]
        if len(value) < size:
            return
        if kind >> 6 in (0, 2) and depth < 2:  # an object instance, or a resource in several
            yield from resources(value, depth + 1)
        else:
            yield code, value
        place = begin + size


def text_of(message: coap.Message, resource: int) -> str | None:
    """The text a write sets a resource to: plain, or in TLV; None where it is no readable text."""
    raw: bytes | None = message.payload
    if message.uint(coap.CONTENT_FORMAT) in TLV_FORMATS:
        raw = next((value for code, value in resources(message.payload) if code == resource), None)
    if not raw or len(raw) > 1_024:
        return None
    shown = raw.decode("utf-8", "replace")
    return shown[:512] if shown.isprintable() and "\ufffd" not in shown else None
