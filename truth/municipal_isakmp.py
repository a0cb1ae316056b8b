"""Messages of IKE in the words of the vectors: what is proposed by our reader, 国密 from the row."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cityguard.decoders.app import ike_names
from cityguard.decoders.app.ike_message import Message, Transform, read

_SHORT = {"authentication": "auth"}


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """What the message and the row of a vector say."""
    message = read(data)
    if message is None:
        return {}
    row = next((one for one in rows if one["dataset"] == "tls"), {})
    offered = bool(row.get("tls.guomi_offered"))
    said: dict[str, Any] = {
        "initiator_cookie": message.initiator.hex(),
        "responder_cookie": message.responder.hex(),
        "initiator_spi": message.initiator.hex(),
        "responder_spi": message.responder.hex(),
        "version": ".".join(map(str, message.version)),
        "exchange": message.exchange,
        "exchange_name": ike_names.EXCHANGES[message.exchange],
        "message_id": message.message_id,
        "payloads": list(message.payloads),
        "encrypted": message.encrypted,
        "proposals": _proposals(message),
        "ipsec": {"guomi": bool(row.get("tls.guomi")) or offered, "offered": offered},
    }
    if message.malformed:
        said["error"] = "length"
    return said


def _proposals(message: Message) -> list[dict[str, Any]]:
    return [
        {"number": one.number, "protocol": one.protocol, "transforms": [_transform(each) for each in one.transforms]}
        for one in message.proposals
    ]


def _transform(one: Transform) -> dict[str, Any]:
    said = {_SHORT.get(part.name, part.name): getattr(one, part.name) for part in fields(one)}
    for name, number, table in (
        ("encryption", one.encryption, ike_names.ENCRYPTIONS),
        ("hash", one.hash, ike_names.HASHES),
        ("group", one.group, ike_names.GROUPS),
        ("asymmetric", one.asymmetric, ike_names.ASYMMETRIC),
    ):
        if number is not None:
            said[f"{name}_name"] = ike_names.of(table, number)
    return said | {"auth_name": one.method}
