"""A SIP message (RFC 3261, 7): its first line and its headers, bounded; and where in any bytes one begins."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cityguard.decoders.wire.dialogue import readable

MAX_HEAD = 16_384
MAX_LINES = 128
METHODS = (
    *(b"INVITE", b"ACK", b"BYE", b"CANCEL", b"REGISTER", b"OPTIONS", b"MESSAGE", b"SUBSCRIBE", b"NOTIFY"),
    *(b"INFO", b"PRACK", b"UPDATE", b"REFER", b"PUBLISH"),
)
_SHORT = {
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "v": "via",
}
_BEGINS = re.compile(
    rb"(?:" + b"|".join(METHODS) + rb") (?:sips?|tel):[^\s]{1,256} SIP/2\.0?\r?\n|SIP/2\.0 [1-6][0-9]{2}[ \r]"
)
_STATUS = b"SIP/2.0 "
_SCHEMES = (b"sip:", b"sips:", b"tel:")


@dataclass(frozen=True, slots=True)
class Head:
    """First line, headers by their long name in lower case (the first of each), and the octets they take."""

    first: str
    headers: dict[str, str]
    size: int

    @property
    def method(self) -> str | None:
        """The method of a request; None of an answer."""
        return None if self.first.startswith("SIP/2.0 ") else self.first.partition(" ")[0]

    @property
    def code(self) -> int | None:
        """The status of an answer; None of a request."""
        code = self.first[8:11] if self.method is None else ""
        return int(code) if len(code) == 3 and code.isascii() and code.isdigit() else None

    @property
    def uri(self) -> str:
        """Whom a request is for."""
        return self.first.split(" ")[1][:256] if self.method is not None and " " in self.first else ""

    @property
    def length(self) -> int | None:
        """``Content-Length``; None where it is missing or no number."""
        text = self.headers.get("content-length", "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None

    def get(self, name: str) -> str:
        return self.headers.get(name, "")


def head(data: bytes) -> Head | None:
    """The head of a message; None where none ends in it."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")[:MAX_LINES]
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        key = name.strip().lower().decode("latin-1")
        headers.setdefault(_SHORT.get(key, key), _text(value))
    return Head(_text(lines[0]), headers, end + 4)


def _text(value: bytes) -> str:
    """As ``readable``, which most headers need not ask."""
    if value.isascii() and len(value) <= 1_024:
        text = value.decode("ascii").strip()
        if text.isprintable():
            return text
    return readable(value)


def begins(data: bytes) -> int:
    """Where a message begins in any bytes; -1 = nowhere."""
    found = _BEGINS.search(data)
    return -1 if found is None else found.start()


def is_first(data: bytes) -> bool:
    """Whether they begin with a request or status line."""
    line = data.split(b"\r\n", 1)[0]
    return line.startswith(_STATUS) or (line.split(b" ", 1)[0] in METHODS and line.endswith((b" SIP/2.0", b" SIP/2")))


def may_begin(data: bytes, *, least: int = 1) -> bool:
    """Whether they are the first ``least`` octets or more of what may become a first line."""
    if b"\n" in data or len(data) < least or len(data) > 320:
        return False
    word, space, rest = data.partition(b" ")
    if not space:
        return _STATUS.startswith(data) or any(method.startswith(word) for method in METHODS)
    if word not in METHODS:
        return False
    return any(rest.startswith(one) or one.startswith(rest) for one in _SCHEMES)


def uri(text: str) -> str:
    """The address in a ``From``, ``To`` or ``Contact``."""
    begin, end = text.find("<"), text.find(">")
    found = text[begin + 1 : end] if 0 <= begin < end else text.split(";")[0]
    return found.strip()[:256]


def person(address: str) -> str:
    """The user of an address; "" where it names none."""
    name = address.partition(":")[2].partition("@")[0] if "@" in address else ""
    return name.partition(";")[0]


def host(address: str) -> str:
    """The host of an address, without its port; "" where it has none."""
    rest = address.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0].strip()
    return rest[1:].partition("]")[0] if rest.startswith("[") else rest.partition(":")[0]
