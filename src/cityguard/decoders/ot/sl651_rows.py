"""What a message of SL 651-2014 says, as columns of an ``ot`` row. Passwords are judged and left behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final

from cityguard.decoders import passwords
from cityguard.decoders.ot import sl651_ascii, sl651_body
from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.ot.sl651_body import Body
from cityguard.decoders.ot.sl651_frame import Frame
from cityguard.decoders.ot.sl651_values import shown, states
from cityguard.decoders.passwords import Judged
from cityguard.decoders.wire import places

ZONE: Final = timezone(timedelta(hours=8))
MAX_VALUES = 16
MAX_ADDRESSES = 64
_AHEAD = timedelta(minutes=10)
"""How far an observation may lie after the time its message was sent."""


def body(frame: Frame, raw: bytes, size: int) -> Body:
    """The body of a message, in either encoding."""
    read = sl651_ascii.read if frame.encoding == "ascii" else sl651_body.read
    return read(frame.code, raw, up=frame.up, size=size)


def fields(frame: Frame, said: Body, captured: int, *, parts: int = 0, whole: bool = True) -> dict[str, Any]:
    """The row of a message.

    Args:
        frame: its frame, or the first of several.
        said: its body.
        captured: when it was captured, ns.
        parts: packets it came in; 0 = it is whole in one.
        whole: all of it was there.
    """
    name, kind = names.function(frame.code)
    found: dict[str, Any] = {
        "ot.protocol": "sl651",
        "ot.function.code": frame.code,
        "ot.function.name": name,
        "ot.function.class": kind,
        "ot.unit_id": frame.station,
        "ot.quantity": len(said.elements) or None,
        "ot.message.type": "up" if frame.up else "down",
        "ot.transaction_id": said.serial,
        "ot.is_request": asks(frame),
        "ot.edition": "2014",
        "ot.platform_id": str(frame.centre),
        "ot.status": status(frame),
    }
    found["ot.address"], found["ot.value"] = _content(frame.code, said)
    if said.kind is not None:
        found["ot.station_kind"] = station_class(said.kind)
    if (time := moment(said.sent)) is not None:
        found["ot.time"] = time
        found["ot.time_offset"] = (int(time.timestamp()) * 1_000_000_000 - captured) // 1_000_000 / 1_000
    found |= _target(said) | judged(frame, said).columns()
    found["ot.flags"] = _marks(frame, said, time, parts) or None
    if not whole:
        found["event.flags"] = ["truncated"]
    found["event.fields"] = json.dumps(_more(frame, said), ensure_ascii=False)
    return found


def asks(frame: Frame) -> bool:
    """Whether the centre asks or orders something; its confirmations and all that stations send do not."""
    return not frame.up and frame.end not in (names.ACK, names.NAK, names.EOT, names.ESC)


def status(frame: Frame) -> str | None:
    """What is wrong with a frame, or what the centre thinks of the last one."""
    if not frame.crc_ok:
        return "crc_error" if frame.end else "length_error"
    return "nak" if frame.end == names.NAK else None


def station_class(kind: int) -> str:
    """Code and word: ``48H river``."""
    return f"{kind:02X}H {names.CLASSES.get(kind, 'unknown')}"


@lru_cache(4_096)
def moment(text: str) -> datetime | None:
    """A time of the city's zone, in UTC."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)
    except ValueError:  # the thirtieth of February
        return None


@lru_cache(65_536)
def judge(password: str, station: str) -> Judged:
    """A password of four hexadecimal digits."""
    return passwords.judge(password.encode(), station)


def judged(frame: Frame, said: Body) -> Judged:
    """The password that counts: a new one where the message sets one, else that of its head."""
    new = [one.password for one in said.parameters if one.password]
    if frame.code == 0x49 and said.passwords:
        new.append(said.passwords[-1])
    return judge(new[-1] if new else frame.password, frame.station)


def _content(code: int, said: Body) -> tuple[str | None, str | None]:
    """Address and value."""
    if said.parameters:
        shown_ = [one.text for one in said.parameters]
        return _joined([f"{one.ident:02X}" for one in said.parameters]), _joined(shown_, MAX_VALUES)
    if said.control is not None:
        return None, said.control.bits[:64]
    if said.identifier:
        return said.identifier, None
    if code == 0x49:
        return "03" if said.passwords else None, None
    if code in (0x4A, 0x51):
        return None, said.sent or None
    if said.order:
        return None, said.order
    if said.counts:
        return None, _joined(list(map(str, said.counts)), MAX_VALUES)
    if said.elements:
        address = _joined([one.name for one in said.elements])
        return address, _joined([shown(one.value) for one in said.elements], MAX_VALUES)
    return _joined(said.asked) or None, said.text or None


def _joined(parts: list[str], most: int = MAX_ADDRESSES) -> str:
    return ",".join(parts[:most])


def _target(said: Body) -> dict[str, Any]:
    """Where a parameter sends the station's reports; of several channels the first address."""
    channels = [one for one in said.parameters if one.channel]
    one = next((one for one in channels if one.channel == "IPv4"), channels[0] if channels else None)
    if one is None:
        return {}
    return places.columns(one.text) if one.channel == "IPv4" else {"ot.target": one.text}


def _marks(frame: Frame, said: Body, sent: datetime | None, parts: int) -> list[str]:
    observed = moment(said.observed)
    told = {
        "ascii": frame.encoding == "ascii",
        "m3": parts > 0,
        "length_error": not frame.length_ok,
        "broadcast": is_broadcast(frame.station),
        "observed_ahead": observed is not None and sent is not None and observed - sent > _AHEAD,
        "station_differs": bool(said.station) and said.station != frame.station,
        "channel_off": any(one.channel == "off" for one in said.parameters),
        "undecoded": not said.whole,
    }
    return [name for name, so in told.items() if so] + ([] if said.status is None else states(said.status))


def is_broadcast(station: str) -> bool:
    """Number 65535 of a region: every station of it; a national code behind 00 has digits alone."""
    return station[6:] == "FFFF"


def _more(frame: Frame, said: Body) -> dict[str, Any]:
    """What has no column."""
    control = said.control
    more: dict[str, Any] = {
        "encoding": frame.encoding,
        "end": frame.ending if frame.end else None,
        "observed": said.observed or None,
        "step": said.step or None,
        "period": said.period,
        "picture_octets": said.picture or None,
        "packets": frame.total or None,
        "on": control.on[:256] if control else None,
        "off": control.off[:256] if control else None,
        "openings_cm": control.openings if control and control.openings else None,
    }
    return {name: value for name, value in more.items() if value is not None}
