"""What a message of GB/T 28181 says beside the columns: the JSON of ``event.fields``, bounded, without passwords."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import gb28181_ids
from cityguard.decoders.ot.gb28181_commands import Command, Manscdp
from cityguard.decoders.ot.gb28181_message import Frame
from cityguard.decoders.ot.gb28181_sdp import Media

MAX_ITEMS = 16


def of(frame: Frame, body: Manscdp | None, one: Command) -> dict[str, Any]:
    """What is said, by name; nothing that is not."""
    sender = gb28181_ids.device(frame.sender)
    found: dict[str, Any] = {
        "method": frame.method,
        "from": frame.sender,
        "to": frame.receiver,
        "call_id": frame.call_id,
        "user_agent": frame.head.get("user-agent")[:128],
        "version": frame.version,
        "expires": frame.expires,
        "sender_kind": sender.kind if sender is not None else None,
        "body": frame.body,
    }
    if frame.auth is not None:
        found["auth"] = {"scheme": frame.auth.scheme} | _some(frame.auth.parameters, "username", "realm", "algorithm")
    if frame.challenge is not None:
        found["challenge"] = {"scheme": frame.challenge.scheme} | _some(
            frame.challenge.parameters, "realm", "algorithm"
        )
    if frame.note is not None:
        found["note"] = _some(frame.note.parameters, "algorithm")
    if frame.identity:
        found["user_identity"] = frame.identity
    if body is not None:
        found |= {"root": body.root, "cmdtype": body.cmdtype, "charset": frame.document and frame.document.charset}
        found["sum"] = body.node.word("SumNum")
        found["items"] = _items(body)
    if frame.media is not None:
        found["sdp"] = sdp(frame.media)
    if frame.subject is not None:
        found["subject"] = {"sender": frame.subject.sender, "receiver": frame.subject.receiver}
    if one.ptz is not None:
        ptz = one.ptz
        found["ptz"] = {"instruction": ptz.instruction, "preset": ptz.preset, "cruise": ptz.cruise, "ok": ptz.ok}
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def sdp(media: Media) -> dict[str, Any]:
    """A description, by name; nothing that is not said."""
    found = {
        "name": media.name,
        "ip": media.ip,
        "port": media.port,
        "proto": media.proto,
        "payloads": list(media.payloads),
        "channel": media.channel,
        "start": media.start or None,
        "stop": media.stop or None,
        "setup": media.setup,
        "speed": media.speed,
        "size": media.size,
        "ssrc": media.ssrc,
        "video": media.video,
        "audio": media.audio,
    }
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _items(body: Manscdp) -> list[str]:
    """The first ids of a list."""
    held = (one for one in body.node.children if one.children and one.low.endswith("list"))
    named = (item.word("DeviceID") for one in held for item in one.children[:MAX_ITEMS])
    return [name[:32] for name in named if name][:MAX_ITEMS]


def _some(values: Any, *names: str) -> dict[str, str]:
    return {name: values[name][:256] for name in names if values.get(name)}
