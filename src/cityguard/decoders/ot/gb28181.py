"""GB/T 28181 over SIP: one ``ot`` row per command, answer and SIP message; joined with what was said before.

``app/sip`` gives it the messages. What a message says is read by ``gb28181_message``; here it is joined: answers
with questions (transaction, SN), a dialog with its INVITE, a device with the server it registered at, media with calls.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from cityguard.decoders import passwords, secrets
from cityguard.decoders.events import End, Talk
from cityguard.decoders.ot import (
    gb28181_commands,
    gb28181_digest,
    gb28181_fields,
    gb28181_ids,
    gb28181_places,
    gb28181_times,
)
from cityguard.decoders.ot.gb28181_commands import Command, Manscdp
from cityguard.decoders.ot.gb28181_message import EDITIONS, Frame
from cityguard.decoders.ot.gb28181_sdp import Media
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs

REPEAT: Final = 32 * 1_000_000_000
"""ns within which the same datagram is the same message, sent again (timer B, 64*T1)."""
MAX_REMEMBERED: Final = 16_384
MAX_SERVERS: Final = 4
"""Addresses at which one device is known to be registered."""
_ASKING = frozenset(("Control", "Query"))


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer needs of its request."""

    name: str
    kind: str | None
    unit: str | None
    platform: str | None
    address: str | None = None
    with_credentials: bool = False
    request_id: str | None = None
    """SN of its document, else its call."""


@dataclass(frozen=True, slots=True)
class Call:
    """An INVITE that announces media."""

    time: int
    unit: str | None
    platform: str | None
    call_id: str
    media: Media


class Desk:
    """Every GB/T 28181 message of a capture."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._asked: Pairs[Asked] = Pairs(MAX_REMEMBERED)
        self._questions: Pairs[Asked] = Pairs(MAX_REMEMBERED)
        self._dialogs: Pairs[Asked] = Pairs(MAX_REMEMBERED)
        self._sent: OrderedDict[tuple[object, ...], int] = OrderedDict()
        self._servers: OrderedDict[str, dict[tuple[int, int], int]] = OrderedDict()
        self._signed: OrderedDict[str, int] = OrderedDict()
        self._certified: OrderedDict[str, int] = OrderedDict()
        self._calls: OrderedDict[End, tuple[Call, ...]] = OrderedDict()

    def said(self, frame: Frame, talk: Talk, at: Moment) -> None:
        """One message from ``talk.source``."""
        if talk.proto == 17 and self._again(frame, talk, at):
            return
        key = (frame.call_id, frame.cseq, frame.method, min(talk.source, talk.destination))
        if frame.is_request:
            self._request(frame, talk, at, key)
        else:
            self._answer(frame, talk, at, key)

    def malformed(self, talk: Talk, at: Moment) -> None:
        """A connection that was of GB/T 28181 is given up."""
        self._out.add(
            "ot", at, talk, {"ot.protocol": "gb28181", "ot.status": "malformed", "event.flags": ["undecoded"]}
        )

    def announced(self, end: End, time: int) -> Call | None:
        """The last INVITE before a time (ns) whose media are sent to, or from, an address and port."""
        return next((call for call in reversed(self._calls.get(end, ())) if call.time <= time), None)

    def _again(self, frame: Frame, talk: Talk, at: Moment) -> bool:
        head = frame.head
        key = (talk.source, talk.destination, head.first, frame.call_id, head.get("cseq"), head.get("via"), frame.body)
        before = self._sent.get(key)
        if before is not None and at.time - before <= REPEAT:
            return True
        _keep(self._sent, key, at.time)
        return False

    # ---------------------------------------------------------------- requests

    def _request(self, frame: Frame, talk: Talk, at: Moment, key: tuple[object, ...]) -> None:
        body = gb28181_commands.manscdp(frame)
        dialog = self._dialogs.peek(frame.call_id) if frame.method in ("BYE", "ACK", "CANCEL", "INFO") else None
        unit = dialog.unit if dialog else _unit(frame, body)
        platform = dialog.platform if dialog else _platform(frame, unit)
        found = gb28181_commands.commands(frame)
        flags = self._flags(frame, body, talk, at)
        first = found[0]
        address = dialog.address if dialog else _channel(frame, unit, body)
        number = (body.sn if body is not None else None) or frame.call_id or None
        asked = Asked(first.name, first.kind, unit, platform, address, frame.auth is not None, number)
        self._asked.ask(key, asked)
        if frame.method == "INVITE":
            self._dialogs.ask(frame.call_id, asked)
            self._announce(frame, asked, at)
        if body is not None and body.answers:
            question = self._questions.peek((body.sn, body.cmdtype, body.device_id)) if body.sn else None
            if question is not None:
                found = tuple(_answering(one, question) for one in found)
        elif body is not None and body.sn:
            self._questions.ask((body.sn, body.cmdtype, body.device_id), asked)
        for order, one in enumerate(found):
            more = ["further_command"] if order else []
            self._row(frame, body, one, asked, talk, at, [*flags, *more])

    def _announce(self, frame: Frame, asked: Asked, at: Moment) -> None:
        media = frame.media
        end = gb28181_places.place(media.ip, media.port) if media is not None else None
        if media is None or end is None:
            return
        call = Call(at.time, asked.unit, asked.platform, frame.call_id, media)
        _keep(self._calls, end, (*self._calls.get(end, ()), call)[-4:])

    def _flags(self, frame: Frame, body: Manscdp | None, talk: Talk, at: Moment) -> list[str]:
        flags = list(frame.faults)
        sender = gb28181_ids.device(frame.sender)
        commanding = frame.method in ("INVITE", "SUBSCRIBE") or (body is not None and body.root in _ASKING)
        if commanding and sender is not None and sender.camera:
            flags.append("sent_by_camera")
        if commanding and self._from_elsewhere(frame, talk, at):
            flags.append("other_server")
        if frame.method == "REGISTER":
            flags += self._registration(frame, at)
        elif frame.note is not None:
            flags.append("signed")
            self._signed.setdefault(frame.sender, at.time)
            _bound(self._signed)
        elif self._signed.get(frame.sender, at.time) < at.time:
            flags.append("signature_missing")
        if frame.identity:
            flags.append("user_identity")
        return flags

    def _registration(self, frame: Frame, at: Moment) -> list[str]:
        flags = []
        if frame.expires == 0:
            flags.append("leave")
        if frame.auth is None:
            return flags
        flags.append("credentials")
        if frame.auth.certificate:
            flags.append("gb35114")
            self._certified.setdefault(frame.sender, at.time)
            _bound(self._certified)
        elif self._certified.get(frame.sender, at.time) < at.time:
            flags.append("certificate_dropped")
        return flags

    def _from_elsewhere(self, frame: Frame, talk: Talk, at: Moment) -> bool:
        """Whether the device is known to be registered, and nowhere where this comes from."""
        for name in (frame.request_user, frame.receiver):
            known = [where for where, since in self._servers.get(name, {}).items() if since <= at.time]
            if known:
                return talk.source[:2] not in known
        return False

    # ---------------------------------------------------------------- answers

    def _answer(self, frame: Frame, talk: Talk, at: Moment, key: tuple[object, ...]) -> None:
        status = frame.status or 0
        asked = self._asked.peek(key) if status < 200 else self._asked.answer(key)
        if asked is None:
            unit = _unit(frame, None)
            named = gb28181_commands.commands(frame)[0]
            asked = Asked(named.name, named.kind, unit, _platform(frame, unit))
            if frame.method == "MESSAGE":
                asked = Asked(named.name, None, unit, asked.platform)
        if 200 <= status < 300 and asked.name in ("REGISTER", "Notify/Keepalive") and asked.unit:
            known = self._servers.get(frame.sender, {})
            if talk.source[:2] in known or len(known) < MAX_SERVERS:
                _keep(self._servers, frame.sender, {**known, talk.source[:2]: known.get(talk.source[:2], at.time)})
        kind = "error" if status >= 400 else asked.kind
        flags = list(frame.faults)
        if frame.method == "REGISTER" and asked.with_credentials and status in (401, 403, 404):
            flags.append("credentials_refused")
        if frame.challenge is not None and frame.challenge.certificate:
            flags.append("gb35114")
        if frame.method == "INVITE" and frame.media is not None:
            self._announce(frame, asked, at)
        self._row(frame, None, Command(asked.name, kind, status=str(status)), asked, talk, at, flags)

    # ---------------------------------------------------------------- rows

    def _row(
        self,
        frame: Frame,
        body: Manscdp | None,
        one: Command,
        asked: Asked,
        talk: Talk,
        at: Moment,
        flags: list[str],
    ) -> None:
        media = frame.media if frame.is_request and frame.method == "INVITE" else None
        target, host = gb28181_places.target(one, media)
        device = gb28181_ids.device(asked.unit or "")
        told = gb28181_times.told(frame, body)
        flags += (
            gb28181_places.media_flags(media, frame, talk)
            if media is not None and not self._is_server(media, frame)
            else []
        )
        if target and media is None and host and gb28181_places.public(host):
            flags.append("target_public")
        if one.ptz is not None and one.ptz.instruction:
            flags.append(one.ptz.instruction)
        if device is not None and device.on_internet:
            flags.append("internet_id")
        fields: dict[str, Any] = {
            "ot.protocol": "gb28181",
            "ot.function.name": one.name[:128],
            "ot.function.class": one.kind,
            "ot.unit_id": asked.unit,
            "ot.address": asked.address,
            "ot.quantity": one.quantity,
            "ot.value": secrets.url(one.value) if one.value else None,
            "ot.status": one.status,
            "ot.message.type": "request" if frame.is_request else "response",
            "ot.is_request": frame.is_request and not (body is not None and body.answers),
            "ot.transaction_id": frame.cseq,
            "ot.request_id": asked.request_id or frame.call_id or None,
            "ot.edition": EDITIONS.get(frame.version or "") or ("2022" if body is not None and body.new else None),
            "ot.station_kind": device.kind if device is not None else None,
            "ot.platform_id": asked.platform,
            "ot.target": target,
            "ot.target_ip": host,
            "ot.flags": list(dict.fromkeys(flags)) or None,
            "event.flags": ["truncated"] if "truncated" in frame.faults else None,
            "event.fields": json.dumps({"gb28181": gb28181_fields.of(frame, body, one)}, ensure_ascii=False),
        }
        if told is not None:
            fields["ot.time"] = told
            fields["ot.time_offset"] = told.timestamp() - at.time / 1e9
        fields |= _secret(frame, one)
        self._out.add("ot", at, talk, fields)

    def _is_server(self, media: Media, frame: Frame) -> bool:
        end = gb28181_places.place(media.ip, media.port)
        known = (self._servers.get(name, {}) for name in (frame.request_user, frame.receiver))
        return end is not None and any(end[:2] in one for one in known)


def _unit(frame: Frame, body: Manscdp | None) -> str | None:
    """The device a message is about: named by its body, else by the end that is no server."""
    if body is not None and body.device_id:
        return body.device_id
    ends = [frame.request_user, frame.receiver, frame.sender]
    if frame.method in ("REGISTER", "MESSAGE", "NOTIFY"):
        ends.reverse()
    for name in ends:
        found = gb28181_ids.device(name)
        if found is not None and not found.server:
            return name
    return frame.receiver or frame.sender or None


def _platform(frame: Frame, unit: str | None) -> str | None:
    """The server a message names, else whoever speaks with the device."""
    ends = [name for name in (frame.sender, frame.receiver, frame.request_user) if name and name != unit]
    for name in ends:
        found = gb28181_ids.device(name)
        if found is not None and found.server:
            return name
    return ends[0] if ends else None


def _channel(frame: Frame, unit: str | None, body: Manscdp | None) -> str | None:
    """A channel the message names beside the device."""
    named = [frame.media.channel if frame.media else None, frame.subject.sender if frame.subject else None]
    if body is not None:
        named.append(body.node.word("TargetID"))
    return next((one[:32] for one in named if one and one != unit and gb28181_ids.device(one) is not None), None)


def _answering(one: Command, question: Asked) -> Command:
    """An answer has the class of what it answers."""
    kind = one.kind if one.kind == "error" else question.kind
    return Command(one.name, kind, one.value, one.status, one.target, one.ptz, one.secret, one.quantity)


def _secret(frame: Frame, one: Command) -> dict[str, Any]:
    """What may be said of a password; the digest's answer gives a verdict alone."""
    if one.secret:
        return passwords.judge(one.secret.encode("utf-8", "replace"), frame.receiver, frame.request_user).columns()
    if frame.auth is not None and frame.is_request:
        return {"ot.password.verdict": gb28181_digest.verdict(frame.auth, frame.method)}
    return {}


def _keep(table: OrderedDict[Any, Any], key: object, value: object) -> None:
    """Remember; the oldest is forgotten first."""
    table[key] = value
    table.move_to_end(key)
    _bound(table)


def _bound(table: OrderedDict[Any, Any]) -> None:
    while len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
