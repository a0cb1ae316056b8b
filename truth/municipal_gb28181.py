"""GB/T 28181 in the words of the vectors: everything a SIP message of the city's video says, by our reader."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from cityguard.decoders.ot import gb28181_commands, gb28181_digest, gb28181_ids, gb28181_message
from cityguard.decoders.ot.gb28181_digest import Auth
from cityguard.decoders.ot.gb28181_message import Frame
from cityguard.decoders.ot.gb28181_sdp import Media
from cityguard.decoders.ot.gb28181_xml import Node

_ERRORS = {"length_error": "length", "xml_declaration_refused": "doctype", "xml_malformed": "xml"}


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """What a message says; nothing where it is no message."""
    frame = gb28181_message.read(data)
    if frame is None:
        return {}
    found: dict[str, Any] = {
        "from": frame.sender,
        "to": frame.receiver,
        "call_id": frame.call_id,
        "cseq": frame.cseq,
        "expires": frame.expires,
        "auth": _auth(frame.auth),
        "gb_ver": frame.version,
        "user_agent": frame.head.get("user-agent") or None,
        "date": frame.head.get("date") or None,
        "faults": list(frame.faults),
        "error": next((_ERRORS[one] for one in frame.faults if one in _ERRORS), None),
        "monitor_user_identity": frame.identity,
        "security_info": _auth_words(frame.head.get("securityinfo")),
    }
    if frame.is_request:
        found |= {"method": frame.method, "request_user": frame.request_user}
    else:
        found |= {"status": frame.status, "reason": frame.head.first[12:], "method": frame.method}
    if frame.challenge is not None:
        challenge = _auth(frame.challenge) or {}
        found |= challenge | {"challenge": challenge}
    if frame.auth is not None:
        found |= {key: value for key, value in frame.auth.parameters.items() if key not in found} | _password(frame)
    if frame.note is not None:
        found["note"] = _auth(frame.note)
    unit = next((row["ot.unit_id"] for row in rows if row.get("ot.unit_id")), frame.sender)
    for name, text in (("device", unit), ("sender", frame.sender), ("receiver", frame.receiver)):
        if (device := gb28181_ids.device(text)) is not None:
            found[name] = asdict(device) | {"kind": device.kind}
    if frame.subject is not None:
        found["subject"] = asdict(frame.subject)
    if frame.media is not None:
        found["sdp"] = _sdp(frame.media)
    if frame.rtsp is not None:
        headers = {name.replace("-", "_"): value for name, value in frame.rtsp.headers.items()}
        found["mansrtsp"] = found["rtsp"] = {"method": frame.rtsp.method, **headers, **_scale(headers)}
    return found | _document(frame)


def _auth(auth: Auth | None) -> dict[str, Any] | None:
    return None if auth is None else {"scheme": auth.scheme} | dict(auth.parameters)


def _auth_words(text: str) -> dict[str, Any] | None:
    return _auth(gb28181_digest.read(text))


def _password(frame: Frame) -> dict[str, Any]:
    if frame.auth is None:
        return {}
    verdict = gb28181_digest.verdict(frame.auth, frame.method)
    return {"password": verdict, "password_verdict": verdict, "default_password": verdict == "default"}


def _sdp(media: Media) -> dict[str, Any]:
    return {
        "s": media.name,
        "media_ip": media.ip,
        "media_port": media.port,
        "media": media.kind,
        "proto": media.proto,
        "payloads": list(media.payloads),
        "u": f"{media.channel}:{media.channel_type}" if media.channel_type else media.channel,
        "channel": media.channel,
        "start": media.start,
        "stop": media.stop,
        "setup": media.setup,
        "connection": media.connection,
        "direction": media.direction,
        "speed": media.speed,
        "filesize": media.size,
        "ssrc": media.ssrc,
        "history": media.history,
        "codec": media.codec,
        "f": {"v": media.video, "a": media.audio},
    }


def _scale(headers: dict[str, str]) -> dict[str, Any]:
    try:
        return {"scale": float(headers["scale"])}
    except (KeyError, ValueError):
        return {}


def _document(frame: Frame) -> dict[str, Any]:
    body = gb28181_commands.manscdp(frame)
    if body is None or frame.document is None:
        return {}
    found: dict[str, Any] = {}
    for child in body.node.children:
        for name in _spellings(child.name):
            found.setdefault(name, _value(child))
    found |= {
        "root": body.root,
        "cmdtype": body.cmdtype,
        "sn": _number(body.sn),
        "device_id": body.device_id,
        "charset": frame.document.charset,
        "num": gb28181_commands.items(body.node),
    }
    lists = [child for child in body.node.children if child.name.lower().endswith("list")]
    if lists:
        found["items"] = [_fields(item) for item in lists[0].children]
    ptz = next((one.ptz for one in gb28181_commands.commands(frame, body) if one.ptz is not None), None)
    if ptz is not None:
        pan, tilt, zoom = ptz.data
        found["ptz"] = asdict(ptz) | {"pan": pan, "tilt": tilt, "zoom": zoom, "speed": pan or tilt or zoom}
        found["ptz"] |= {"pan_speed": pan, "tilt_speed": tilt, "zoom_speed": zoom}
    return found


def _value(node: Node) -> Any:
    """A leaf's text, a number where it is one; of an element its own."""
    if node.name.lower().endswith(("id", "code", "name", "time")):
        return node.text
    return _fields(node) if node.children else _number(node.text)


def _fields(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in node.children:
        for name in (child.name, *_spellings(child.name)):
            found.setdefault(name, _value(child))
    return found


def _spellings(name: str) -> tuple[str, ...]:
    """An element's name in lower case, as one word and as several."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return (name.lower(), words)


def _number(text: str | None) -> Any:
    """A number as the vectors write it; ids and what begins with 0 stay text."""
    if text and text.isascii() and text.isdigit() and len(text) <= 10 and (text == "0" or text[0] != "0"):
        return int(text)
    return text
