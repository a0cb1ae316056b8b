"""Application units of DL/T 698.45: what is asked of which object, and what is answered.

A unit inside a SECURITY request is read where it is in clear under a check; an enciphered one tells its kind alone.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass, replace
from datetime import datetime

from cityguard.decoders.ot.dlt698_data import MAX_TEXT, Reader, Short, moment

MAX_ADDRESSES = 16
_ANSWER = 0x80
SECURITY, ERROR = 16, 110

FUNCTIONS = {
    1: ("LINK", "diagnostic"),
    2: ("CONNECT", "diagnostic"),
    3: ("RELEASE", "diagnostic"),
    5: ("GET", "read"),
    6: ("SET", "write"),
    7: ("ACTION", "control"),
    8: ("REPORT", "read"),
    9: ("PROXY", None),
    SECURITY: ("SECURITY", None),
    ERROR: ("ERROR", "error"),
}
_TAGS = {129: "LINK-Response", 132: "RELEASE-Notification", 8: "REPORT-Response", 136: "REPORT-Notification"}
LINKS = {0: "login", 1: "heartbeat", 2: "logout"}
METHODS = {
    0x8000: {127: "alarm", 128: "alarm_off", 129: "trip", 130: "close"},
    0x8001: {127: "keep_power", 128: "keep_power_off"},
    0x4300: {1: "restart", 2: "run", 3: "init_data", 4: "init_parameters", 5: "init_events", 6: "init_demand"},
    0xF001: {7: "start_transfer", 8: "write_file", 9: "read_file"},
}
"""What a method of an object does, where it changes supply, terminal or firmware."""
_PASSWORDS = frozenset((0x4401, 0xF100, 0xF101))
"""Objects whose values are passwords or keys: authentication password, ESAM, safe mode."""
_MASTERS = frozenset((0x4500, 0x4501, 0x4510, 0x4511))
"""Communication modules, mobile and Ethernet; their third attribute is the table of master stations."""
_MASTER = re.compile(r"\[\[([0-9A-F]{8}),([0-9]{1,5})\]")
_PROXIES: dict[int, str] = {1: "read", 2: "read", 3: "write", 4: "write", 5: "control", 6: "control", 7: "diagnostic"}


@dataclass(frozen=True, slots=True)
class Unit:
    """Everything a unit says."""

    tag: int
    name: str
    kind: str | None
    is_request: bool
    """A request, or a session's own beginning; not an answer, nor a report."""
    service: int | None = None
    """Which form of the service: 1 normal, 2 list …"""
    number: int | None = None
    """Of the invocation (PIID)."""
    addresses: tuple[str, ...] = ()
    """OADs and OMDs."""
    value: str | None = None
    data: str | None = None
    """Parameters of an action."""
    status: int | None = None
    """Result of an access (DAR), not 0."""
    link_type: str | None = None
    heartbeat: int | None = None
    time: datetime | None = None
    password: str | None = None
    encrypted: bool = False
    sealed: bool = False
    """In clear, under a check."""
    inner: str | None = None
    """Name of the unit inside."""
    meter: str | None = None
    """Whom a proxy is to ask."""
    target: tuple[str, int] | None = None
    """Address and port of the master station a terminal is told to speak to."""
    carried: bytes = b""
    """Octets a proxy is to send to a meter as they are."""


def read(raw: bytes) -> Unit | None:
    """What a unit says as far as it goes; None where its tag is none."""
    if not raw or raw[0] & 0x7F not in FUNCTIONS:
        return None
    tag = raw[0]
    word, kind = FUNCTIONS[tag & 0x7F]
    answers = tag >= _ANSWER
    name = _TAGS.get(tag, f"{word}-{'Response' if answers else 'Request'}")
    plain = Unit(tag, name, kind, not answers and tag != 8)
    found = [plain]
    with contextlib.suppress(Short):
        _body(Reader(raw, 1), found)
    return found[-1]


def _body(reader: Reader, found: list[Unit]) -> None:
    """Read on; ``found`` grows with what is known, so that what a cut unit says until there is kept."""
    plain = found[-1]
    word = plain.tag & 0x7F
    if word == SECURITY:
        _security(reader, found)
    elif word == 1:
        _link(reader, found)
    elif word == 2:
        _connect(reader, found)
    elif word in (5, 6, 7, 8):
        _access(reader, found)
    elif word == 9:
        _proxy(reader, found)


def _say(found: list[Unit], **more: object) -> None:
    found.append(replace(found[-1], **more))  # type: ignore[arg-type]


def _link(reader: Reader, found: list[Unit]) -> None:
    if found[-1].tag & _ANSWER:
        _say(found, number=reader.octet())
        result = reader.octet()
        _say(found, status=result & 0x7F or None, time=moment(reader.take(10)))
        return
    _say(found, number=reader.octet())
    kind = reader.octet()
    _say(found, service=kind, link_type=LINKS.get(kind))
    _say(found, heartbeat=reader.word())
    _say(found, time=moment(reader.take(10)))


def _connect(reader: Reader, found: list[Unit]) -> None:
    """A session: versions and sizes, then how the client proves itself: 0 not, 1 password, 2 key, 3 signature."""
    _say(found, number=reader.octet())
    if found[-1].tag & _ANSWER:
        return
    reader.take(2 + 8 + 16 + 2 + 2 + 1 + 2 + 4)
    proof = reader.octet()
    _say(found, service=proof)
    if proof == 1:
        _say(found, password=reader.octets().decode("utf-8", "replace"))


def _access(reader: Reader, found: list[Unit]) -> None:
    """GET, SET, ACTION and their answers, and REPORT."""
    tag = found[-1].tag
    service = reader.octet()
    _say(found, service=service)
    _say(found, number=reader.octet() & 0x3F)
    word, answers = tag & 0x7F, tag >= _ANSWER
    if (word == 5 and service in (3, 4)) or (word == 8 and service == 2) or service > 6:
        if word in (5, 8) and service in (2, 3):
            _add(found, reader.id())
        return
    if word == 5 and service == 5:
        return
    many = 1 if service == 1 and word != 8 else reader.count()
    for _ in range(min(many, MAX_ADDRESSES)):
        oad = reader.id()
        _add(found, oad)
        if answers:
            _result(reader, found, word, oad)
        elif word in (6, 7):
            _parameters(reader, found, word, oad)
        if service == 3 and word in (6, 7):
            return  # what is read back follows
    if word == 7:
        _classify(found)


def _add(found: list[Unit], oad: str) -> None:
    _say(found, addresses=(*found[-1].addresses, oad))
    if found[-1].tag & 0x7F == 7:
        _classify(found)


def _classify(found: list[Unit]) -> None:
    """An action on the terminal itself, or on the file transfer, is a program."""
    objects = {int(one[:4], 16) for one in found[-1].addresses}
    programs = all(one == 0x4300 or one >> 8 == 0xF0 for one in objects)
    _say(found, kind="program" if programs else "control")
    for one in found[-1].addresses:
        word = METHODS.get(int(one[:4], 16), {}).get(int(one[4:6], 16))
        if word and found[-1].value is None and found[-1].tag < _ANSWER:
            _say(found, value=word)


def _secret(oad: str) -> bool:
    """Whether a value holds one: that of an object of passwords, or how a module dials in (APN, user, password)."""
    number = int(oad[:4], 16)
    return number in _PASSWORDS or (number in _MASTERS and int(oad[4:6], 16) & 0x1F == 2)


def _parameters(reader: Reader, found: list[Unit], word: int, oad: str) -> None:
    at = reader.at
    text = reader.value()[:MAX_TEXT]
    if _secret(oad):
        return
    if word == 7:
        _say(found, data=_joined(found[-1].data, text))
        return
    _say(found, value=_joined(found[-1].value, text))
    master = _MASTER.match(text) if int(oad[:4], 16) in _MASTERS and int(oad[4:6], 16) & 0x1F == 3 else None
    if master is not None:
        _say(found, target=(str(ipaddress.ip_address(bytes.fromhex(master[1]))), int(master[2])))
    raw = reader.data[at : reader.at]
    if oad.startswith("4000") and raw[:1] in (b"\x19", b"\x1c"):
        _say(found, time=moment(raw[1:]))


def _joined(before: str | None, text: str) -> str | None:
    whole = text if before is None else f"{before},{text}"
    return whole[:MAX_TEXT] or None


def _result(reader: Reader, found: list[Unit], word: int, oad: str) -> None:
    """What an answer says of one object: what was read, or why not."""
    if word in (5, 8):
        if reader.octet() == 0:
            _refused(reader.octet(), found)
            return
    else:
        _refused(reader.octet(), found)
        if word == 6 or reader.octet() == 0:
            return
    at = reader.at
    text = reader.value()[:MAX_TEXT]
    if not _secret(oad):
        _say(found, value=_joined(found[-1].value, text))
    raw = reader.data[at : reader.at]
    if oad.startswith("4000") and raw[:1] in (b"\x19", b"\x1c"):
        _say(found, time=moment(raw[1:]))


def _refused(code: int, found: list[Unit]) -> None:
    if code:
        _say(found, status=code, kind="error")


def _proxy(reader: Reader, found: list[Unit]) -> None:
    service = reader.octet()
    _say(found, service=service, kind=_PROXIES.get(service))
    _say(found, number=reader.octet() & 0x3F)
    if found[-1].tag & _ANSWER:
        return
    if service == 7:
        _add(found, reader.id())
        reader.take(5 + 2 + 2)
        _say(found, carried=reader.octets())
        return
    reader.word()
    if service != 2:
        reader.count()
    address = reader.octets()
    _say(found, meter=address[1:].hex().upper() or None)
    if service == 2:
        _add(found, reader.id())
        return
    reader.word()
    reader.count()
    oad = reader.id()
    _add(found, oad)
    if service in (3, 4, 5, 6):
        text = reader.value()[:MAX_TEXT]
        if not _secret(oad):
            _say(found, value=METHODS.get(int(oad[:4], 16), {}).get(int(oad[4:6], 16)) or text or None)


def _security(reader: Reader, found: list[Unit]) -> None:
    """0 = the unit in clear under a check, 1 = enciphered."""
    plain = found[-1]
    form = reader.octet()
    if form > 1:
        return
    _say(found, service=form, encrypted=form == 1, sealed=form == 0)
    if form == 1:
        return
    raw = reader.octets()
    if raw and raw[0] & 0x7F == SECURITY:
        return
    inside = read(raw)
    if inside is not None:
        found.append(
            replace(
                inside,
                tag=plain.tag,
                name=plain.name,
                is_request=plain.is_request,
                encrypted=False,
                sealed=True,
                inner=inside.name,
            )
        )
