"""Our word on vectors of DL/T 698.45, in the words of their ``expect``."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import dlt698_frame, dlt698_unit
from truth import first


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """All the pure readers say of the first frame."""
    frame = first.frame(data, b"h", dlt698_frame.size, dlt698_frame.read)
    if frame is None:
        return {}
    link: dict[str, Any] = {
        "length": frame.length,
        "dir": int(frame.from_server),
        "prm": int(frame.prm),
        "func": frame.function,
        "split": frame.split,
        "server_address": frame.server,
        "client": frame.client,
        "hcs_ok": frame.hcs_ok,
        "fcs_ok": frame.fcs_ok,
    }
    unit = dlt698_unit.read(frame.unit)
    if unit is None:
        return link
    address = unit.addresses[0] if unit.addresses else None
    return link | {
        "apdu": unit.name,
        "piid": unit.number,
        "oad": address,
        "omd": address,
        "oi": address[:4] if address else None,
        "method": int(address[4:6], 16) if address else None,
        "action": unit.value,
        "command": unit.value,
        "value": unit.value,
        "data": unit.data,
        "dar": unit.status,
        "link_type": unit.link_type,
        "heartbeat_s": unit.heartbeat,
        "time": unit.time.strftime("%Y-%m-%dT%H:%M:%S") if unit.time else None,
        "password": unit.password,
        "encrypted": unit.encrypted,
        "security": unit.encrypted or unit.sealed,
        "inner": unit.inner,
    }
