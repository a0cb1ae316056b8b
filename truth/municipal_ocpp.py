"""What we say of a message of OCPP-J, in the words of the vectors."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import ocpp_message as text


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """The message, and what only its conversation tells: the edition, the action that an answer answers."""
    found = text.read(data)
    if found is None:
        return {}
    row = next((one for one in rows if one.get("ot.protocol") == "ocpp"), {})
    said: dict[str, Any] = {
        "type": text.KINDS[found.kind],
        "id": found.id,
        "version": row.get("ot.edition"),
        "action": row.get("ot.function.name"),
        "status": row.get("ot.status"),
        "payload": found.payload,
    }
    if found.kind in (4, 5):
        said |= {"code": found.code, "error_code": found.code, "error": found.code}
        said |= {"description": found.text, "text": found.text, "details": found.payload}
    if found.asks:
        url = text.target(found.action, found.payload)
        settings = text.settings(found.action, found.payload)
        said |= {"url": url or None, "settings": dict(settings), "value": text.value(found.action, found.payload)}
        if settings:
            said |= {"key": settings[0][0], "set": settings[0][1]}
    return found.payload | said
