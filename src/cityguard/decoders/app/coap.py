"""CoAP (RFC 7252) over UDP, and LwM2M in it, to one row per request and one per answer.

``ot.function.code`` is the method's code, ``ot.address`` the path, ``ot.unit_id`` the endpoint name a device registered
under, ``ot.status`` the response code. Messages sent again are told once, of a transfer in blocks the first and last.
Keys (object 0) are judged and not kept. Frames of meters in object 19 are rows of their own behind the message's.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cityguard.decoders import passwords, secrets
from cityguard.decoders.app import coap_message as coap
from cityguard.decoders.app import lwm2m
from cityguard.decoders.events import End, Talk
from cityguard.decoders.ot import carried_meter
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import places
from cityguard.model import LogSource

PORTS = (5683,)
MAX_WAITING = 16_384
MAX_ENDPOINTS = 65_536
LIFETIME = 247 * 10**9
"""ns within which a message number is not used again (EXCHANGE_LIFETIME)."""
MAX_BODIES, MAX_BODY = 256, 16_384
_URI = re.compile(r'coaps?(?:\+[a-z]{1,8})?://[^\s"\\,}]{1,255}')


@dataclass(frozen=True, slots=True)
class _Asked:
    fields: dict[str, Any]
    observes: bool
    object: int


class Exchanges(Speaker):
    """Every CoAP exchange of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._waiting = OrderedDict[tuple[End, End, bytes], _Asked]()
        self._seen = OrderedDict[tuple[End, End, int, int], int]()
        self._names = OrderedDict[End, str]()
        self._bodies = OrderedDict[tuple[Any, ...], tuple[int, bytes]]()

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        message = coap.read(data)
        if message is None:
            return False
        if message.code and not self._again(message, talk, at):
            if message.asks:
                self._request(message, talk, at)
            else:
                self._answer(message, talk, at)
        return True

    def _again(self, message: coap.Message, talk: Talk, at: Moment) -> bool:
        key = (talk.source, talk.destination, message.number, message.code)
        before = self._seen.get(key)
        _keep(self._seen, key, at.time, MAX_WAITING)
        return before is not None and at.time - before < LIFETIME

    def _request(self, message: coap.Message, talk: Talk, at: Moment) -> None:
        what = lwm2m.operation(message)
        if what is not None and what.object < 0 and (name := message.queries.get("ep")):
            _keep(self._names, talk.source, name[:128], MAX_ENDPOINTS)
        fields = self._head(message, what, talk)
        block = message.block(coap.BLOCK1)
        later = message.block(coap.BLOCK2)
        asked = _Asked(fields, message.uint(coap.OBSERVE) == 0, what.object if what else -1)
        _keep(self._waiting, (talk.source, talk.destination, message.token), asked, MAX_WAITING)
        if (block and block.number and block.more) or (later and later.number):
            self._body(message, block, talk, at)
            return
        payload = self._body(message, block, talk, at)
        more: dict[str, Any] = {}
        row = fields | self._set(message, what, payload, more)
        if block:
            more["block"] = {"number": block.number, "more": block.more, "size": block.size}
        queries = {key: _shown(key, value) for key, value in message.queries.items()}
        more |= {"query": queries} if queries else {}
        row["event.fields"] = json.dumps({"coap": more}, ensure_ascii=False) if more else None
        self.out.add("ot", at, talk, row)
        if what is not None and what.object == 19:
            self._meter(payload, talk, at)

    def _head(self, message: coap.Message, what: lwm2m.Operation | None, talk: Talk) -> dict[str, Any]:
        method = coap.METHODS[message.code]
        name = self._names.get(talk.destination) or self._names.get(talk.source)
        plain = {"GET": "read", "FETCH": "read"}.get(method, "write")
        return {
            "network.protocol": "coap",
            "ot.protocol": "coap" if what is None else "lwm2m",
            "ot.function.code": message.code,
            "ot.function.name": method if what is None else what.name,
            "ot.function.class": plain if what is None else what.kind,
            "ot.unit_id": name,
            "ot.address": "/" + "/".join(message.path)[:255],
            "ot.transaction_id": message.number,
            "ot.request_id": message.token.hex() or None,
            "ot.message.type": coap.KINDS[message.kind],
            "ot.is_request": True,
        }

    def _set(
        self, message: coap.Message, what: lwm2m.Operation | None, payload: bytes, more: dict[str, Any]
    ) -> dict[str, Any]:
        """What a request sets, and where it sends the device."""
        if what is None or what.kind == "read":
            return {}
        if what.object < 0:
            listed = lwm2m.links(payload)
            more |= {"objects": listed} if listed else {}
            return {"ot.quantity": len(listed) or None, "ot.edition": message.queries.get("lwm2m", "")[:8] or None}
        whole = coap.Message(message.kind, message.code, message.number, b"", payload, message.options)
        found: dict[str, Any] = {"ot.station_kind": lwm2m.OBJECTS.get(what.object)}
        if what.object == 0:
            return found | _security(whole, what)
        if what.object in lwm2m.KEYED:
            return found
        resource = what.resource if what.resource >= 0 else 1 if what.object == 5 else -1
        text = lwm2m.text_of(whole, resource) if resource >= 0 else None
        if text is not None:
            found["ot.value"] = secrets.url(text)
        elif payload:
            found["ot.value"] = payload[:64].hex()
        if what.object in (5, 9) and resource in (1, 3) and text and "://" in text:
            found |= places.columns(text)
        return found

    def _body(self, message: coap.Message, block: coap.Block | None, talk: Talk, at: Moment) -> bytes:
        """The payload, with the blocks that went before it where they are known and not too large."""
        if block is None:
            return message.payload
        key = (talk.source, talk.destination, message.path)
        since, held = self._bodies.pop(key, (at.time, b""))
        if block.number == 0 or at.time - since > LIFETIME:
            since, held = at.time, b""
        if len(held) != block.number * block.size or len(held) + len(message.payload) > MAX_BODY:
            return message.payload
        held += message.payload
        if block.more:
            _keep(self._bodies, key, (since, held), MAX_BODIES)
            return message.payload
        return held

    def _answer(self, message: coap.Message, talk: Talk, at: Moment) -> None:
        key = (talk.destination, talk.source, message.token)
        asked = self._waiting.get(key)
        block = message.block(coap.BLOCK2)
        if asked is None or (block and block.number):
            return
        notifies = asked.observes and coap.OBSERVE in message.options
        if not notifies and not (block and block.more):
            del self._waiting[key]
        refused = message.code >= 128
        fields = asked.fields | {
            "ot.status": message.status,
            "ot.message.type": coap.KINDS[message.kind],
            "ot.transaction_id": message.number,
            "ot.is_request": False,
        }
        if refused:
            fields["ot.function.class"] = "error"
        elif notifies and message.kind != 2:
            fields["ot.function.name"] = "notify"
        self.out.add("ot", at, talk, fields)
        if asked.object == 19 and not refused:
            self._meter(message.payload, talk, at)

    def _meter(self, payload: bytes, talk: Talk, at: Moment) -> None:
        for row in carried_meter.rows(payload, at.time):
            self.out.add("ot", at, talk, {"network.protocol": "coap"} | row)


def _security(message: coap.Message, what: lwm2m.Operation) -> dict[str, Any]:
    """Of object 0 only the server's address is shown; a key is judged."""
    text = lwm2m.text_of(message, 0) if what.resource in (-1, 0) else None
    uri = _URI.search(text or "")  # in JSON other resources stand beside it, the key too
    found = places.columns(uri[0]) if uri else {}
    if uri:
        found["ot.value"] = found["ot.target"]
    keys = [value for code, value in lwm2m.resources(message.payload) if code == 5]
    if what.resource == 5:
        keys = [message.payload]
    if keys and keys[0]:
        found |= passwords.judge(keys[0]).columns()
    return found


def _shown(key: str, value: str) -> str:
    return secrets.HIDDEN if "key" in key.lower() or secrets.named(key) else value


def _keep(table: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)


def starts(data: bytes, usual: bool) -> bool:
    """On the usual port any message that is whole; on others a request for a path that can be read."""
    if usual:
        found = coap.read(data)
        return found is not None and (found.asks or found.code != 0)
    return coap.sure(data)


PROTOCOLS = (
    Protocol(
        "coap",
        starts,
        Exchanges,
        {"ot": LogSource(("ot_command",), ("coap", "lwm2m", *carried_meter.PRODUCTS), ())},
        udp=PORTS,
        marks=tuple(Mark(bytes((0x40, code)), 0, b"\xe0\xff") for code in (1, 2, 3, 4)),
    ),
)
