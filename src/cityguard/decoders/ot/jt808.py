"""JT/T 808 (vehicle terminal and platform) over TCP and UDP to one row per message, of 8103 one per parameter.

``ot.function.code`` is the message id, ``ot.unit_id`` the terminal's number as packed, ``ot.address`` the parameter.
Authentication codes and passwords of dialling in are judged and not kept. From public implementations of the standard.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from cityguard.decoders import passwords
from cityguard.decoders.events import Talk
from cityguard.decoders.ot import jt808_pdu as pdu
from cityguard.decoders.ot.jt808_names import ANSWERS, CONTROLS, MESSAGES, SECRETS, SERVERS
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import places, track
from cityguard.decoders.wire.marked import Marked, frames

_MARKS = pdu.MARK * 2
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_BEIJING = timezone(timedelta(hours=8))


class Terminals(Speaker):
    """Every terminal of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._tracks = track.Tracks()
        self._parts = _Parts()

    def stream(self, talk: Talk) -> Marked:
        return Marked(talk, _MARKS, pdu.MAX_FRAME, self._frame, self._lost)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        taken = [self._frame(one, talk, at) for one in frames(data, _MARKS)]
        return any(taken)

    def _lost(self, talk: Talk, at: Moment) -> None:
        self.out.add("ot", at, talk, {"ot.protocol": "jt808", "ot.status": "malformed"})

    def _frame(self, data: bytes, talk: Talk, at: Moment) -> bool:
        frame = pdu.read(data)
        if frame is None or not frame.sound or not (frame.checksum_ok or frame.length_ok):
            return False
        for fields in self._rows(frame, talk, at):
            self.out.add("ot", at, talk, fields)
        return True

    def _rows(self, frame: pdu.Frame, talk: Talk, at: Moment) -> list[dict[str, Any]]:
        """A row for the message, or one for each parameter that it sets."""
        name, kind = MESSAGES.get(frame.message, (f"message_{frame.message:04x}", None))
        flags = ["split"] if frame.total else []
        fields: dict[str, Any] = {
            "ot.protocol": "jt808",
            "ot.function.code": frame.message,
            "ot.function.name": name,
            "ot.function.class": kind,
            "ot.unit_id": frame.phone,
            "ot.transaction_id": frame.serial,
            "ot.message.type": "down" if frame.message & 0x8000 else "up",
            "ot.is_request": frame.message & 0x8000 > 0 and frame.message not in ANSWERS,
            "ot.edition": str(frame.version),
        }
        if not frame.checksum_ok:
            return [fields | {"ot.status": "crc_error", "ot.flags": flags or None}]
        if not frame.length_ok:
            return [fields | {"ot.flags": [*flags, "length_error"], "event.flags": ["undecoded"]}]
        if frame.encryption:
            fields["ot.encrypted"] = True
            return [fields | {"ot.flags": [*flags, "rsa" if frame.encryption == 1 else "encrypted"]}]
        more: dict[str, Any] = {}
        if frame.total:
            more["split"] = {"total": frame.total, "number": frame.number}
            frame = self._parts.add(frame, talk, at) or frame
        rows = self._said(frame, fields, more, flags, talk, at)
        for one in rows:
            one["ot.flags"] = flags or None
            one["event.fields"] = _json({"jt808": more}) if more else None
        return rows

    def _said(
        self,
        frame: pdu.Frame,
        fields: dict[str, Any],
        more: dict[str, Any],
        flags: list[str],
        talk: Talk,
        at: Moment,
    ) -> list[dict[str, Any]]:
        body = frame.body
        if frame.total and frame.number:  # a part of a message that is not whole yet
            return [fields]
        if frame.message == 0x8103:
            return _parameters(fields, pdu.parameters(body), more)
        if frame.message in (0x0200, 0x0201):
            self._located(frame, pdu.location(body[2:] if frame.message == 0x0201 else body), fields, more, flags, at)
        elif frame.message == 0x0100:
            _registered(pdu.registration(frame), fields, more)
        elif frame.message == 0x8105:
            _controlled(body, fields, more)
        elif frame.message in (0x0800, 0x0801):
            recorded = pdu.media(frame.message, body)
            more |= {"media": recorded} if recorded else {}
            fields["ot.address"] = str(recorded["channel"]) if recorded else None
        elif frame.message == 0x8108:
            package = pdu.upgrade(frame)
            more |= {"upgrade": package} if package else {}
            fields["ot.value"] = package.get("version") or None
        else:
            fields |= _simple(frame.message, body, frame.version)
        if secret := pdu.code(frame):
            fields |= passwords.judge(secret, frame.phone or "").columns()
        return [fields]

    def _located(
        self,
        frame: pdu.Frame,
        place: pdu.Location | None,
        fields: dict[str, Any],
        more: dict[str, Any],
        flags: list[str],
        at: Moment,
    ) -> None:
        if place is None:
            return
        more |= {
            "latitude": round(place.latitude, 6),
            "longitude": round(place.longitude, 6),
            "altitude": place.altitude,
            "speed": place.speed,
            "direction": place.direction,
            "alarm": place.alarm,
            "status": place.status,
        }
        if (mileage := place.number(1)) is not None:
            more["mileage"] = mileage / 10
        when = _told(place.time, fields, at)
        if when is not None and frame.message == 0x0200 and frame.phone:
            flags += self._tracks.step(frame.phone, when.timestamp(), place.latitude, place.longitude)


def _told(time: datetime | None, fields: dict[str, Any], at: Moment) -> datetime | None:
    """The time a message tells, which is Beijing's, and how far it is from the capture's."""
    if time is None:
        return None
    when = time.replace(tzinfo=_BEIJING).astimezone(UTC)
    fields["ot.time"] = when
    if at.time > 0:
        fields["ot.time_offset"] = round(when.timestamp() - at.time / 1e9, 3)
    return when


def _parameters(fields: dict[str, Any], found: dict[int, int | str], more: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per parameter, in their order."""
    if not found:
        return [fields]
    more["parameters"] = len(found)
    rows = []
    for code, value in found.items():
        one = fields | {"ot.address": f"0x{code:04X}", "ot.quantity": len(found)}
        if code in SECRETS:
            one |= passwords.judge(str(value).encode()).columns()
        else:
            one["ot.value"] = str(value)
        if code in SERVERS and value:
            one |= places.columns(_served(str(value), found.get(0x18)))
        rows.append(one)
    return rows


def _served(host: str, port: int | str | None) -> str:
    return f"{host}:{port}" if isinstance(port, int) and 0 < port < 65_536 and ":" not in host else host


def _registered(found: pdu.Registration | None, fields: dict[str, Any], more: dict[str, Any]) -> None:
    if found is None:
        return
    fields |= {
        "ot.edition": str(found.edition),
        "ot.address": found.plate or None,
        "ot.station_kind": found.model or None,
    }
    more |= {"maker": found.maker, "terminal": found.terminal, "colour": found.colour}
    more |= {"province": found.province, "city": found.city}


def _controlled(body: bytes, fields: dict[str, Any], more: dict[str, Any]) -> None:
    word, given = pdu.control(body)
    if word < 0:
        return
    fields["ot.value"] = str(word)
    more["command"] = CONTROLS.get(word, str(word))
    target, secret = pdu.server(word, given)
    if target:
        fields |= places.columns(target)
    if secret:
        fields |= passwords.judge(secret).columns()


def _simple(message: int, body: bytes, version: int) -> dict[str, Any]:
    """Value, address and status of bodies that have them at their beginning."""
    if message in (0x0001, 0x8001) and len(body) >= 5:
        return _answered(body[4], int.from_bytes(body[2:4], "big"))
    if message == 0x8100 and len(body) >= 3:
        return _answered(body[2], 0x0100)
    if message == 0x8500 and body:
        return {"ot.value": body[:16].hex() if version == 2019 else str(body[0])}
    if message == 0x8400 and body:
        return {"ot.value": f"{body[0]},{pdu.text(body[1:])}", "ot.address": "listen" if body[0] == 1 else "call"}
    if message == 0x8300 and body:
        return {"ot.value": pdu.text(body[2:] if version == 2019 else body[1:]) or None}
    if message == 0x8202 and len(body) >= 6:
        return {"ot.value": f"{int.from_bytes(body[:2], 'big')},{int.from_bytes(body[2:6], 'big')}"}
    if message == 0x8801 and len(body) >= 3:
        return {"ot.address": str(body[0]), "ot.value": str(int.from_bytes(body[1:3], "big"))}
    if message == 0x8804 and body:
        return {"ot.value": str(body[0])}
    if message in (0x8106, 0x8104) and body:
        wanted = [f"0x{int.from_bytes(body[at : at + 4], 'big'):04X}" for at in range(1, min(len(body) - 3, 61), 4)]
        return {"ot.address": ",".join(wanted) or None, "ot.quantity": body[0]}
    if message == 0x0704 and len(body) >= 3:
        return {"ot.quantity": int.from_bytes(body[:2], "big")}
    return {}


def _answered(result: int, message: int) -> dict[str, Any]:
    """A general answer: what it answers, and its result; 1 to 3 refuse, 4 confirms an alarm."""
    name = MESSAGES.get(message, (f"0x{message:04x}", ""))[0]
    fields: dict[str, Any] = {"ot.status": str(result), "ot.address": name}
    return fields | ({"ot.function.class": "error"} if result in (1, 2, 3) else {})


class _Parts:
    """Messages in several packets, until they are whole: few, and not for long."""

    MOST, WAIT, OCTETS = 64, 60 * 10**9, 65_536

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Any, ...], tuple[int, dict[int, bytes]]] = OrderedDict()

    def add(self, frame: pdu.Frame, talk: Talk, at: Moment) -> pdu.Frame | None:
        """The whole message once its last missing packet has come."""
        first = frame.serial - frame.number + 1 & 0xFFFF
        key = (talk.source, talk.destination, frame.phone, frame.message, frame.total, first)
        since, parts = self._open.pop(key, (at.time, {}))
        if at.time - since > self.WAIT:
            since, parts = at.time, {}
        parts[frame.number] = frame.body
        if len(parts) == frame.total:
            whole = b"".join(parts[number] for number in sorted(parts))
            return pdu.Frame(
                frame.message, frame.version, frame.phone, first, len(whole), whole, True, 0, frame.total, 0, False
            )
        if sum(map(len, parts.values())) <= self.OCTETS:
            self._open[key] = (since, parts)
        mine = [one for one in self._open if one[:2] == key[:2]]
        if len(mine) > 4:
            del self._open[mine[0]]
        while len(self._open) > self.MOST:
            self._open.popitem(last=False)
        return None


def _good(data: bytes) -> bool:
    frame = pdu.read(data)
    return frame is not None and frame.sure


def starts(data: bytes, usual: bool) -> bool:
    """A whole frame: a message of the standard, digits, and the length it tells or its check; commonly both."""
    end = data.find(pdu.MARK, 1)
    return end > 0 and data[:1] == pdu.MARK and _good(data[: end + 1])


def within(data: bytes) -> bool:
    """Whether such a frame is anywhere in what a side has said."""
    parts = data.split(pdu.MARK, 256)[1:-1]
    return any(len(part) >= 13 and _good(pdu.MARK + part + pdu.MARK) for part in parts)


PROTOCOLS = (
    Protocol(
        "jt808",
        starts,
        Terminals,
        marks=(Mark(pdu.MARK),),
        within=within,
        needles=(pdu.MARK,),
    ),
)
