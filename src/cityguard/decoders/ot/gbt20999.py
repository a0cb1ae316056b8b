"""GB/T 20999-2017 traffic signal controllers and their upper computer, over UDP and TCP: one row per frame.

Which of the four forms of check and length a peer uses is remembered; a wrong check is called one only after ten
frames of the peer agreed with a form. The host is ``ot.platform_id``, the controller ``ot.unit_id``.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import OrderedDict
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import gbt20999_frame
from cityguard.decoders.ot.gbt20999_frame import Frame, Item
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs
from cityguard.decoders.wire.sought import Sought, lies, one_by_one

MAX_WAITING = 16_384
"""Requests of a capture that wait for their answers."""
MAX_PEERS = 16_384
"""Pairs of addresses whose form is remembered."""
AGREED = 10
"""Frames of a form after which another check is a wrong one."""
MAX_ADDRESSES = 16
_Form = tuple[str, bool | None]


class Gbt20999(Speaker):
    """Every controller's conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[Frame](MAX_WAITING)
        self._forms: OrderedDict[Any, dict[_Form, int]] = OrderedDict()

    def stream(self, talk: Talk) -> Sought:
        return Sought(talk, b"~", gbt20999_frame.size, self.frame, 2 * gbt20999_frame.MOST, self.malformed)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        taken = False
        for frame in one_by_one(data, gbt20999_frame.size):
            self.frame(frame, talk, at)
            taken = True
        return taken

    def malformed(self, talk: Talk, at: Moment) -> None:
        """A stream that is no longer of this protocol."""
        self.out.add("ot", at, talk, {"ot.protocol": "gbt20999", "ot.status": "malformed"})

    def frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        """A whole frame."""
        frame = gbt20999_frame.read(data)
        if frame is None:
            return
        agreed = self._agreed(frame, talk)
        asked = None
        if frame.type in gbt20999_frame.ANSWERS:
            asked = self._pairs.answer((talk.destination, talk.source, frame.controller, frame.serial))
        else:
            self._pairs.ask((talk.source, talk.destination, frame.controller, frame.serial), frame)
        self.out.add("ot", at, talk, fields(frame, asked, agreed))

    def _agreed(self, frame: Frame, talk: Talk) -> bool:
        """Whether the peer's form is known for sure; the frame's own is counted."""
        peer = (*sorted((talk.source[:2], talk.destination[:2])), talk.vlan)
        forms = self._forms.setdefault(peer, {})
        self._forms.move_to_end(peer)
        if len(self._forms) > MAX_PEERS:
            self._forms.popitem(last=False)
        sure = max(forms.values(), default=0) >= AGREED
        if frame.variant is not None:
            form = frame.variant, frame.counts_check
            forms[form] = forms.get(form, 0) + 1
        return sure


def fields(frame: Frame, asked: Frame | None, agreed: bool) -> dict[str, Any]:
    """The row of a frame.

    Args:
        frame: what was read.
        asked: the request it answers.
        agreed: the peer's form of check is known for sure.
    """
    items = frame.items or (asked.items if asked is not None else ())
    kind = frame.kind
    if asked is not None and kind == "write":
        kind = asked.kind
    texts = [one.text or "" for one in frame.items[:MAX_ADDRESSES]]
    answers = frame.type in gbt20999_frame.ANSWERS
    found: dict[str, Any] = {
        "ot.protocol": "gbt20999",
        "ot.function.code": frame.type,
        "ot.function.name": frame.name,
        "ot.function.class": kind,
        "ot.unit_id": frame.controller,
        "ot.address": ",".join(one.address for one in items[:MAX_ADDRESSES]) or None,
        "ot.quantity": len(items) or None,
        "ot.value": ",".join(texts) if any(texts) else None,
        "ot.message.type": frame.name,
        "ot.is_request": not answers,
        "ot.transaction_id": frame.serial,
        "ot.edition": "2017",
        "ot.platform_id": str(frame.host),
        "ot.status": _status(frame),
        "event.fields": json.dumps({"crossing": frame.crossing, "version": "{}.{}".format(*frame.version)}),
    }
    marks = []
    if frame.variant is None:
        marks.append("crc_unknown")
        if agreed:
            found["ot.status"] = "crc_error"
    else:
        marks.append(f"crc_variant:{frame.variant}")
    if frame.counts_check is False:
        marks.append("length_without_crc")
    elif frame.counts_check is None:
        marks.append("length_error")
    found["ot.flags"] = marks
    if frame.type == 0x30 and (target := _target(frame.items)):
        found["ot.target"] = target
        found["ot.target_ip"] = target
    return found


def _status(frame: Frame) -> str | None:
    """Why a request was refused."""
    if frame.type not in (0x21, 0x41):
        return None
    codes = [one.value[0] for one in frame.items if one.value]
    if not codes:
        return None
    word = gbt20999_frame.STATUS.get(codes[0])
    return f"{codes[0]:02X} {word}" if word else f"{codes[0]:02X}"


def _target(items: tuple[Item, ...]) -> str | None:
    """The host a controller is told to speak to: 2.3.1 by IPv4, 2.9.1 by IPv6."""
    for one in items:
        wide = {3: 4, 9: 16}.get(one.object) if one.kind == 2 and one.attribute in (0, 1) else None
        if wide and len(one.value) >= wide:
            return str(ipaddress.ip_address(one.value[:wide]))
    return None


def starts(data: bytes, usual: bool) -> bool:
    """A whole frame whose check is right by one of the two polynomials."""
    size = gbt20999_frame.size(data, 0) if data else -1
    return 0 < size <= len(data) and gbt20999_frame.checked(data, 0, size)


def within(data: bytes) -> bool:
    """A frame with the right check among other octets."""
    return lies(data, _BEGINS, gbt20999_frame.size, gbt20999_frame.checked)


_BEGINS = re.compile(rb"(?=~[\x00-\x0f\\])", re.DOTALL)
PROTOCOLS = (
    Protocol(
        "gbt20999",
        starts,
        Gbt20999,
        marks=(Mark(b"~\0\0\0", 0, b"\xff\xf0\0\xf0"), Mark(b"~\\"), Mark(b"~\0\\", 0, b"\xff\xf0\xff")),
        within=within,
        needles=(b"~",),
    ),
)
