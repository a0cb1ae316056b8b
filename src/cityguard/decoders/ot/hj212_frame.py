"""HJ 212 on the wire: where a frame lies in a stream, and what it says; passwords and keys and all.

A frame is ``##``, the length of the data in four digits, the data, a check of four hexadecimal digits over the data
alone, CR LF (2017, 6.3). Length and check count octets. ``read`` takes any bytes and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from cityguard.decoders.ot import hj212_names as names
from cityguard.decoders.wire import crc

MAX_DATA = 1_024
"""Octets of the data segment (2017, table 1)."""
MAX_ODD = 2_048
"""Bytes in which the end of a frame of wrong length is looked for."""
MAX_ITEMS = 512
AROUND = 12
"""Octets around the data: head, length, check, CR LF."""
TEST_KEY = b"0" * 16
"""SM4 key published for tests of the 2025 edition."""
_HEAD = re.compile(rb"##(\d{4})[A-Za-z]{2,4}=")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")
_TAIL = re.compile(rb"&&[0-9A-Fa-f]{4}\r\n")
_SURE = re.compile(rb"##\d{4}(?:(?:QN|ST|CN|PW|MN|Flag|PNUM|PNO|RF)=[^;&=]{0,32};){3,10}CP=&&")
_ITEM = re.compile(r"([^=;,]{1,64})=(//.*?//|[^;,]*)", re.DOTALL)
_WRITTEN = re.compile(rb"\{((?:0[xX][0-9A-Fa-f]{1,2},?\s?)+)\}")
_OCTET = re.compile(rb"0[xX]([0-9A-Fa-f]{1,2})")
_CLEAR = re.compile(rb"[A-Za-z][A-Za-z0-9]{1,15}(?:-[A-Za-z0-9]{1,15})?=")
_BLOCK = 16

Item = tuple[str, str, str]
"""Of CP: factor ("" where the item has none), field, value: ``w01018-Rtd=23.7`` is ("w01018", "Rtd", "23.7")."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame says. Texts are not cut."""

    length: int
    """As told; -1 where it is no number."""
    data: bytes
    """Its data segment; in clear where the test key opened it."""
    crc_ok: bool | None
    """None = of a ciphered frame, which cannot be told without its key."""
    variant: str | None
    """``modbus`` where the check is that of Modbus."""
    error: str | None
    """``length``: the data are not as long as told, or longer than they may be."""
    head: dict[str, str] = field(default_factory=dict)
    """QN, ST, CN, PW, MN, Flag, PNUM, PNO, RF …"""
    text: str = ""
    """What stands between ``CP=&&`` and the last ``&&``; "" where it is ciphered."""
    items: tuple[Item, ...] = ()
    encrypted: bool = False
    test_key: bool = False
    """The published test key opened it."""
    code: int | None = field(init=False)
    """CN."""
    flag: int | None = field(init=False)
    edition: str | None = field(init=False)
    """By Flag, which the first edition may omit; None = bits that no edition has."""

    def __post_init__(self) -> None:
        flag = _number(self.head.get("Flag"), 3)
        bits = (flag or 0) >> 2
        object.__setattr__(self, "code", _number(self.head.get("CN"), 4))
        object.__setattr__(self, "flag", flag)
        object.__setattr__(self, "edition", names.EDITIONS[bits] if bits < len(names.EDITIONS) else None)

    @property
    def wants_answer(self) -> bool:
        return bool((self.flag or 0) & 1)

    @property
    def split(self) -> bool:
        """Whether packet numbers stand in the head."""
        return bool((self.flag or 0) & 2)

    @property
    def factors(self) -> int:
        """How many factors the items tell of."""
        return len({factor for factor, _, _ in self.items if factor})

    def item(self, name: str) -> str | None:
        """The value of an item without a factor; None = there is none."""
        return next((value for factor, key, value in self.items if not factor and key == name), None)

    @property
    def request_id(self) -> str | None:
        """QN; answers of the first edition repeat it inside CP."""
        return self.head.get("QN") or self.item("QN")

    @property
    def kind(self) -> names.Kind:
        """Who speaks: a platform that asks, a station that reports, or either that answers."""
        code = self.code
        if code in names.ANSWERS:
            return "response"
        if code in names.FROM_FIELD:
            return "upload"
        asks = not any(factor or key not in names.ASKS for factor, key, _ in self.items)
        if code == 1014:
            return "upload" if self.item("NewSK") is None and not self.encrypted else "request"
        if code == 3015:
            return "request" if asks else "upload"
        _, kind = names.command(code, self.edition)
        if kind in ("read", "diagnostic"):
            return "request" if asks and (self.test_key or not self.encrypted) else "upload"
        return "upload" if kind is None and self.item("DataTime") is not None else "request"

    @property
    def from_field(self) -> bool:
        """Whether a station sends it; a notice's answer may come from either, stations' are more."""
        return self.kind == "upload" or self.code in (9011, 9012, 9013)


def size(data: bytes | bytearray, at: int, *, final: bool = False) -> int:
    """Bytes of the frame at a place where ``##`` stands.

    Args:
        data: the stream so far.
        at: where.
        final: nothing more will come.

    Returns:
        0 = more is needed to tell; -1 = ``##`` means nothing here; -2 = the head of a frame without an end.
    """
    room = len(data) - at
    if room < AROUND and not final:
        return 0
    head = _HEAD.match(data, at)
    if head is None:
        return -1
    length = int(head[1])
    end = at + 6 + length
    if length <= MAX_DATA:
        if len(data) < end + 6 and not final:
            return 0
        if data[end + 4 : end + 6] == b"\r\n" and _HEX.match(data, end):
            return length + AROUND
        if short := _without_end(data, at, end):
            return short
    if tail := _TAIL.search(data, at + 6, at + MAX_ODD):
        return -2 if _belongs(data, at, tail.end()) else tail.end() - at
    return -2 if final or room >= MAX_ODD else 0


def _belongs(data: bytes | bytearray, at: int, end: int) -> bool:
    """Whether an end is that of a whole frame behind a head that lost its own."""
    heads = _HEAD.finditer(data, at + 2, end)
    return any(found.start() + int(found[1]) + AROUND == end for found in heads)


def _without_end(data: bytes | bytearray, at: int, end: int) -> int:
    """A frame that ends with its check, or with half of CR LF; told by the check alone."""
    found = _HEX.match(data, end)
    if not found or not _variant(bytes(data[at + 6 : end]), int(found[0], 16))[0]:
        return 0
    return end + 4 - at + (data[end + 4 : end + 5] in (b"\r", b"\n"))


def within(data: bytes) -> bool:
    """Whether a frame's head lies anywhere in some bytes: its length, at least three of the head's items, CP."""
    return _SURE.search(data) is not None


def read(frame: bytes) -> Frame:
    """Read one frame, from ``##`` to its end. Any bytes will do."""
    told = frame[2:6]
    length = int(told) if told.isdigit() else -1
    body = frame.removesuffix(b"\n").removesuffix(b"\r")
    data, check = body[6:-4], body[-4:]
    error = None if length == len(data) <= MAX_DATA else "length"
    wanted = int(check, 16) if _HEX.fullmatch(check) else -1
    good, variant = _variant(data, wanted)
    begin = data.find(b"CP=&&")
    end = data.rfind(b"&&")
    head = _head(data if begin < 0 else data[:begin])
    if begin < 0 or end < begin + 5:
        return Frame(length, data, good, variant, error, head)
    inside = data[begin + 5 : end]
    flag = _number(head.get("Flag"), 3) or 0
    if not good and flag >= 8 and (hidden := _ciphered(inside)) is not None:
        raw, rest = hidden
        clear = data[: begin + 5] + _opened(raw) + rest + data[end:]
        if not _variant(clear, wanted)[0]:
            return Frame(length, data, None, None, error, head, encrypted=True)
        text = text_of(clear[begin + 5 : clear.rfind(b"&&")])
        return Frame(length, clear, True, variant, error, head, text, tuple(_items(text)), True, True)
    text = text_of(inside)
    return Frame(length, data, good, variant, error, head, text, tuple(_items(text)))


def _variant(data: bytes, check: int) -> tuple[bool, str | None]:
    """Whether a check is right, and which form of it this is where it is not the standard's."""
    if crc.hj212(data) == check:
        return True, None
    return (True, "modbus") if crc.modbus(data) == check else (False, None)


def _head(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in data.split(b";")[:32]:
        key, equals, value = part.partition(b"=")
        if equals:
            found.setdefault(text_of(key.strip()), text_of(value.strip()))
    return found


def _items(text: str) -> Iterator[Item]:
    """``factor-field=value`` and ``name=value``; text between ``//`` may hold what else divides items."""
    for count, found in enumerate(_ITEM.finditer(text)):
        if count >= MAX_ITEMS:
            return
        name, value = found[1].strip(), found[2]
        factor, dash, key = name.rpartition("-")
        yield (factor, key, value) if dash else ("", name, value)


def _ciphered(inside: bytes) -> tuple[bytes, bytes] | None:
    """The ciphered groups of CP and what follows them in clear; None where it reads as text.

    They stand as octets, or written as a list of hexadecimal numbers in braces.
    """
    if written := _WRITTEN.match(inside):
        octets = bytes(int(one, 16) for one in _OCTET.findall(written[1]))
        whole = len(octets) // _BLOCK * _BLOCK
        return (octets[:whole], octets[whole:] + inside[written.end() :]) if whole else None
    whole = len(inside) // _BLOCK * _BLOCK
    if not whole or _CLEAR.match(inside):
        return None
    return inside[:whole], inside[whole:]


def _opened(raw: bytes) -> bytes:
    """Whole groups under the test key (SM4, ECB, no padding)."""
    return _test_machine().update(raw)


@cache
def _test_machine() -> CipherContext:
    """Groups do not hang on each other: one serves all."""
    return Cipher(algorithms.SM4(TEST_KEY), modes.ECB()).decryptor()  # noqa: S305 - the protocol's own mode


def text_of(raw: bytes) -> str:
    """UTF-8; else GB 18030, of which GBK in older loggers is a part."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


def _number(text: str | None, digits: int) -> int | None:
    """A number of at most some digits."""
    return int(text) if text and len(text) <= digits and text.isascii() and text.isdigit() else None
