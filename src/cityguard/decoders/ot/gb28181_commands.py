"""What a message of GB/T 28181 orders, asks or tells: name, class and content of each command in it.

Names are ``Root/CmdType/Sub`` of MANSCDP (annex A), ``INVITE/Play``, ``INFO/PLAY`` or the SIP method. Classes follow
what a command does to the device: one PTZCmd may move the camera (control) or change its presets (write).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cityguard.decoders import secrets
from cityguard.decoders.ot import gb28181_ptz
from cityguard.decoders.ot.gb28181_message import Frame
from cityguard.decoders.ot.gb28181_ptz import Ptz
from cityguard.decoders.ot.gb28181_xml import Node

MAX_COMMANDS: Final = 16
MAX_ITEMS: Final = 10_000
MAX_VALUES: Final = 16
MAX_VALUE: Final = 512
_HEADS = frozenset(("cmdtype", "sn", "deviceid", "info", "extrainfo", "result", "sumnum", "num"))
_CONTROLS = {
    "ptzcmd": ("PTZCmd", "control"),
    "teleboot": ("TeleBoot", "control"),
    "recordcmd": ("RecordCmd", "control"),
    "guardcmd": ("GuardCmd", "control"),
    "alarmcmd": ("AlarmCmd", "control"),
    "ifamecmd": ("IFameCmd", "control"),
    "iframecmd": ("IFrameCmd", "control"),
    "dragzoomin": ("DragZoomIn", "control"),
    "dragzoomout": ("DragZoomOut", "control"),
    "homeposition": ("HomePosition", "write"),
    "targettrack": ("TargetTrack", "control"),
    "ptzprecisectrl": ("PTZPreciseCtrl", "control"),
    "deviceupgrade": ("DeviceUpgrade", "program"),
    "formatsdcard": ("FormatSDCard", "program"),
}
_NEW = frozenset(
    (
        *("targettrack", "ptzprecisectrl", "deviceupgrade", "formatsdcard", "videoparamattribute", "videorecordplan"),
        *("videoalarmrecord", "picturemask", "framemirror", "alarmreport", "osdconfig", "snapshotconfig"),
        *("snapshot", "homepositionquery", "cruisetracklistquery", "cruisetrackquery", "ptzposition", "sdcardstatus"),
        *("deviceupgraderesult", "uploadsnapshotfinished"),
    )
)
"""Elements and commands that the edition of 2022 brought."""
_CONFIGS = {
    one.lower(): one
    for one in (
        *("BasicParam", "SVACEncodeConfig", "SVACDecodeConfig", "VideoParamOpt", "VideoParamAttribute"),
        *("VideoRecordPlan", "VideoAlarmRecord", "PictureMask", "FrameMirror", "AlarmReport", "OSDConfig"),
        *("SnapShotConfig",),
    )
}
_TYPES = {
    one.lower(): one
    for one in (
        *("DeviceControl", "DeviceConfig", "Catalog", "DeviceInfo", "DeviceStatus", "RecordInfo", "Alarm"),
        *("ConfigDownload", "PresetQuery", "MobilePosition", "HomePositionQuery", "CruiseTrackListQuery"),
        *("CruiseTrackQuery", "PTZPosition", "SDCardStatus", "Keepalive", "MediaStatus", "Broadcast"),
        *("DeviceUpgradeResult", "UploadSnapShotFinished", "VideoUploadNotify"),
    )
}
_ROOTS = {one.lower(): one for one in ("Control", "Query", "Notify", "Response")}
_METHODS = {
    **dict.fromkeys(("SUBSCRIBE", "NOTIFY", "INVITE", "INFO"), "read"),
    **dict.fromkeys(("REGISTER", "OPTIONS", "BYE", "CANCEL", "ACK", "PRACK", "UPDATE", "MESSAGE"), "diagnostic"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """One order, question or report; ``secrets`` are passwords met in it, which no row may hold."""

    name: str
    kind: str | None
    """``ot.function.class``."""
    value: str | None = None
    status: str | None = None
    target: str | None = None
    """URL or host a command sends the device to."""
    ptz: Ptz | None = None
    secret: str | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Manscdp:
    """The head of an XML body."""

    root: str
    cmdtype: str
    sn: str | None
    device_id: str | None
    result: str | None
    node: Node

    @property
    def answers(self) -> bool:
        return self.root == "Response"

    @property
    def new(self) -> bool:
        """Only the edition of 2022 knows it."""
        return self.cmdtype.lower() in _NEW or any(one.low in _NEW for one in self.node.children)


def manscdp(frame: Frame) -> Manscdp | None:
    """The head of a message's XML body; None where it has none that names a command."""
    if frame.document is None:
        return None
    node = frame.document.root
    cmdtype = node.word("CmdType")
    if cmdtype is None:
        return None
    device = node.word("DeviceID") or node.word("TargetID")
    return Manscdp(
        _ROOTS.get(node.low, node.name)[:32],
        _TYPES.get(cmdtype.lower(), cmdtype)[:64],
        (node.word("SN") or "")[:32] or None,
        device[:32] if device else None,
        node.word("Result"),
        node,
    )


def commands(frame: Frame, body: Manscdp | None) -> tuple[Command, ...]:
    """What a message and its document say, one entry per command; at least one."""
    if body is not None:
        return tuple(_of_xml(body))
    if frame.media is not None and frame.media.name and frame.method == "INVITE":
        name = frame.media.name[:32]
        return (Command(f"INVITE/{name}", "write" if name.lower() == "talk" else "read"),)
    if frame.rtsp is not None:
        told = ",".join(f"{name}={value}" for name, value in frame.rtsp.headers.items() if name in ("scale", "range"))
        return (Command(f"{frame.method}/{frame.rtsp.method}", "read", told[:MAX_VALUE] or None),)
    return (Command(frame.method or "?", _METHODS.get(frame.method)),)


def _of_xml(body: Manscdp) -> Iterator[Command]:
    name = f"{body.root}/{body.cmdtype}"
    if body.root == "Control":
        subs = [one for one in body.node.children if one.low not in _HEADS][:MAX_COMMANDS]
        for sub in subs:
            yield _order(name, body.cmdtype, sub)
        if not subs:
            yield Command(name, "program" if body.cmdtype == "DeviceConfig" else "control")
        return
    if body.root == "Response":
        failed = (body.result or "").upper() == "ERROR"
        kind = "error" if failed else _response(body.cmdtype)
        yield Command(name, kind, _listed(body.node), body.result, quantity=items(body.node))
        return
    if body.root == "Notify":
        kind = {"Keepalive": "diagnostic", "Broadcast": "write"}.get(body.cmdtype, "read")
        value = body.node.word("SourceID") if kind == "write" else None if kind == "diagnostic" else _listed(body.node)
        yield Command(name, kind, value, body.node.word("Status"), quantity=items(body.node))
        return
    yield Command(name, "read", _listed(body.node))


def _order(name: str, cmdtype: str, sub: Node) -> Command:
    """One order of a Control."""
    low = sub.low
    if cmdtype == "DeviceConfig":
        label, kind = _CONFIGS.get(low, sub.name), "program"
    else:
        label, kind = _CONTROLS.get(low, (sub.name, "control"))
    name = f"{name}/{label}"
    if label == "PTZCmd":
        found = gb28181_ptz.read(sub.text)
        kind = "write" if found.writes else kind
        return Command(name, kind, found.hex, None if found.ok else "check_error", ptz=found)
    url = sub.word("FileURL") or sub.word("UploadURL")
    target = url or sub.word("SIPServerIP") or sub.word("SIPServerIp")
    if secrets.named(label):
        return Command(name, kind, secret=sub.text or None)
    return Command(
        name,
        kind,
        (url or _joined(sub) or sub.text)[:MAX_VALUE] or None,
        target=target,
        secret=next((text for key, text in sub.leaves() if secrets.named(key)), None) or _in_url(url),
    )


def _in_url(url: str | None) -> str | None:
    """The password before the host of a URL."""
    authority = (url or "").partition("://")[2].partition("/")[0]
    return authority.rpartition("@")[0].partition(":")[2] or None


def _joined(node: Node) -> str:
    """Names and values of what an element holds, without passwords."""
    return ",".join(f"{key}={text}" for key, text in islice(_shown(node), MAX_VALUES))


def _shown(node: Node) -> Iterator[tuple[str, str]]:
    """Leaves, but nothing of what a secret's name holds."""
    for one in node.children:
        if secrets.named(one.name):
            continue
        if one.children:
            yield from _shown(one)
        elif one.text:
            yield one.name, one.text


def _listed(node: Node) -> str | None:
    """What a question or report says beside its head and its items."""
    plain = [one for one in node.children if one.low not in _HEADS and not one.children and one.text]
    kept = [f"{one.name}={one.text}" for one in plain if not secrets.named(one.low)][:MAX_VALUES]
    return ",".join(kept)[:MAX_VALUE] or None


def items(node: Node) -> int | None:
    """How many items a list holds; None where there is no list."""
    held = [one for one in node.children if one.low.endswith(("list", "filelist")) and one.children]
    count = sum(len(one.children) for one in held)
    return min(count, MAX_ITEMS) if held else None


def _response(cmdtype: str) -> str:
    """The class of what is answered, where the question was not seen."""
    return {"DeviceControl": "control", "DeviceConfig": "program", "Broadcast": "write"}.get(cmdtype, "read")
