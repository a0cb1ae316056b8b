"""Whom a message of GB/T 28181 is about: the device, the platform that speaks with it, a channel of it."""

from __future__ import annotations

from cityguard.decoders.ot import gb28181_ids
from cityguard.decoders.ot.gb28181_commands import Manscdp
from cityguard.decoders.ot.gb28181_message import Frame

_UPWARD = frozenset(("REGISTER", "MESSAGE", "NOTIFY"))


def unit(frame: Frame, body: Manscdp | None) -> str | None:
    """The device a message is about: named by its document, else by the end that is no server."""
    if body is not None and body.device_id:
        return body.device_id
    ends = [frame.request_user, frame.receiver, frame.sender]
    if frame.method in _UPWARD:
        ends.reverse()
    for name in ends:
        found = gb28181_ids.device(name)
        if found is not None and not found.server:
            return name
    return frame.receiver or frame.sender or None


def platform(frame: Frame, device: str | None) -> str | None:
    """The server a message names, else whoever speaks with the device."""
    ends = [name for name in (frame.sender, frame.receiver, frame.request_user) if name and name != device]
    for name in ends:
        found = gb28181_ids.device(name)
        if found is not None and found.server:
            return name
    return ends[0] if ends else None


def channel(frame: Frame, device: str | None, body: Manscdp | None) -> str | None:
    """A channel the message names beside the device."""
    named = [frame.media.channel if frame.media else None, frame.subject.sender if frame.subject else None]
    if body is not None:
        named.append(body.node.word("TargetID"))
    return next((one[:32] for one in named if one and one != device and gb28181_ids.device(one) is not None), None)
