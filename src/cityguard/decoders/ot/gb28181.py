"""GB/T 28181 over SIP: one ``ot`` row per command, answer and SIP message; joined with what was said before.

``app/sip`` gives it the messages. What a message says is read by ``gb28181_message``; here it is joined: answers
with questions (transaction, SN), a dialog with its INVITE, a device with the server it registered at, media with calls.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cityguard.decoders import passwords, secrets
from cityguard.decoders.events import End, Talk
from cityguard.decoders.ot import (
    gb28181_commands,
    gb28181_digest,
    gb28181_ends,
    gb28181_fields,
    gb28181_ids,
    gb28181_places,
    gb28181_times,
)
from cityguard.decoders.ot.gb28181_commands import Command, Manscdp
from cityguard.decoders.ot.gb28181_memory import MAX_REMEMBERED, Call, Memory
from cityguard.decoders.ot.gb28181_message import EDITIONS, Frame
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs

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


class Desk:
    """Every GB/T 28181 message of a capture."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._asked: Pairs[Asked] = Pairs(MAX_REMEMBERED)
        self._questions: Pairs[Asked] = Pairs(MAX_REMEMBERED)
        self._dialogs: Pairs[Asked] = Pairs(MAX_REMEMBERED)
        self._memory = Memory()

    def said(self, frame: Frame, talk: Talk, at: Moment) -> None:
        """One message from ``talk.source``."""
        if talk.proto == 17 and self._memory.again(frame, talk, at):
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
        return self._memory.announced(end, time)

    # ---------------------------------------------------------------- requests

    def _request(self, frame: Frame, talk: Talk, at: Moment, key: tuple[object, ...]) -> None:
        body = gb28181_commands.manscdp(frame)
        dialog = self._dialogs.peek(frame.call_id) if frame.method in ("BYE", "ACK", "CANCEL", "INFO") else None
        unit = dialog.unit if dialog else gb28181_ends.unit(frame, body)
        platform = dialog.platform if dialog else gb28181_ends.platform(frame, unit)
        found = gb28181_commands.commands(frame, body)
        flags = self._flags(frame, body, talk, at)
        first = found[0]
        address = dialog.address if dialog else gb28181_ends.channel(frame, unit, body)
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
        if media is not None and end is not None:
            self._memory.announce(end, Call(at.time, asked.unit, asked.platform, frame.call_id, media))

    def _flags(self, frame: Frame, body: Manscdp | None, talk: Talk, at: Moment) -> list[str]:
        flags = list(frame.faults)
        sender = gb28181_ids.device(frame.sender)
        asking = frame.method == "SUBSCRIBE" or (body is not None and body.root in _ASKING)
        if asking and sender is not None and sender.camera:
            flags.append("sent_by_camera")
        if (asking or frame.method == "INVITE") and self._memory.elsewhere(frame, talk.source, at):
            flags.append("other_server")
        if frame.method == "REGISTER":
            flags += ["leave"] if frame.expires == 0 else []
            flags += self._memory.credentials(frame, at)
        else:
            flags += self._memory.signing(frame, at)
        if frame.identity:
            flags.append("user_identity")
        return flags

    # ---------------------------------------------------------------- answers

    def _answer(self, frame: Frame, talk: Talk, at: Moment, key: tuple[object, ...]) -> None:
        status = frame.status or 0
        asked = self._asked.peek(key) if status < 200 else self._asked.answer(key)
        if asked is None:
            unit = gb28181_ends.unit(frame, None)
            named = gb28181_commands.commands(frame, None)[0]
            asked = Asked(named.name, named.kind, unit, gb28181_ends.platform(frame, unit))
            if frame.method == "MESSAGE":
                asked = Asked(named.name, None, unit, asked.platform)
        if 200 <= status < 300 and asked.name in ("REGISTER", "Notify/Keepalive") and asked.unit:
            self._memory.registered(frame.sender, talk.source, at)
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
        asks = frame.is_request and not (body is not None and body.answers)
        if media is not None and not self._memory.serves(frame, gb28181_places.place(media.ip, media.port)):
            flags += gb28181_places.media_flags(media, frame, talk)
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
            "ot.message.type": "request" if asks else "response",
            "ot.is_request": asks,
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
