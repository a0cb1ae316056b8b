"""Bodies of SL 651-2014 in ASCII (6.2.3): ``NAME value`` with a blank after each, M for a value that is missing."""

from __future__ import annotations

import re

from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.ot import sl651_values as values
from cityguard.decoders.ot.sl651_body import MAX_ELEMENTS, MAX_LISTED, Body, Control, Element, Value

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,6})?")
_HEAD = re.compile("([0-9A-Fa-f]{4}) ?([0-9]{12})")
"""Serial number and time sent; some put a blank between."""
_MARKS = frozenset(("ST", "TT", "F1F1", "F0F0"))
"""What goes before the station's address and the time of observation; some write the marks of HEX/BCD."""
_STEP = re.compile(r"DR([DHN])([0-9]{1,2})")
_LISTS = {"DRP": (2, 10.0)} | {f"DRZ{place}": (4, 100.0) for place in range(1, 9)}


def read(code: int, raw: bytes, *, up: bool, size: int = 0) -> Body:
    """Read the body of a message, as ``sl651_body.read`` does those in HEX/BCD; never raises."""
    body = Body()
    text = raw.decode("latin-1")
    begin = _HEAD.match(text)
    if begin is None:
        body.whole = False
        return body
    body.serial, body.sent = int(begin[1], 16), values.moment(begin[2].encode())
    words = text[begin.end() :].split()
    if not words:
        return body
    if up:
        words = _heads(body, words)
    _rest(body, code, words, text, size=max(size, len(text)), up=up)
    return body


def _heads(body: Body, words: list[str]) -> list[str]:
    """ST and TT: the station's address, its class as a letter, the time of observation."""
    at = 0
    while at + 1 < len(words) and words[at] in _MARKS:
        if words[at] in ("TT", "F0F0"):
            body.observed = values.moment(words[at + 1].encode("latin-1"))
            at += 2
            continue
        body.station = words[at + 1][:10].upper()
        rest, at = words[at + 1][10:], at + 2
        if not rest and at < len(words) and _class(words[at]) is not None:
            rest, at = words[at], at + 1
        body.kind = _class(rest)
    return words[at:]


def _class(word: str) -> int | None:
    """A class as its letter, or as two hexadecimal digits, an H behind them or not."""
    word = word.removesuffix("H") or word
    if len(word) == 1 and ord(word) in names.CLASSES:
        return ord(word)
    return int(word, 16) if re.fullmatch("[0-9A-F]{2}", word) and int(word, 16) in names.CLASSES else None


def _rest(body: Body, code: int, words: list[str], text: str, *, size: int, up: bool) -> None:
    first = words[0] if words else ""
    if code in (0x4C, 0x4D, 0x4E):
        body.control = _control("".join(words), gates=code == 0x4E)
        body.whole = body.control is not None
    elif code in (0x47, 0x48):
        body.identifier = first[:2].upper()
    elif code in (0x4B, 0x4F):
        body.order = "".join(words)[:256].upper()
    elif code == 0x49:
        found = [word for word in words if word.upper() not in ("03", "PW")]
        body.passwords = tuple(word.upper() for word in found[:2])
    elif code in (0x40, 0x41, 0x42, 0x43):
        _parameters(body, words, code, told=up or code in (0x40, 0x42))
    elif code == 0x45 and up:
        body.text = " ".join(words)[:512]
    elif up or code == 0x30:
        _elements(body, words, text, size)
    else:
        _asked(body, words)


def _control(text: str, *, gates: bool) -> Control | None:
    """The same octets as in HEX/BCD, written in hexadecimal; openings as four digits each."""
    if not re.fullmatch("[0-9A-Fa-f]{4,600}", text):
        return None
    many = int(text[:2], 16)
    wide = (many + 7) // 8 if gates else many
    listed = text[2 : 2 + 2 * wide]
    if not many or len(listed) < 2 * wide:
        return None
    on, off = values.bits(bytes.fromhex(listed), many if gates else 8 * many)
    rest = text[2 + 2 * wide :] if gates else ""
    found = [rest[at : at + 4] for at in range(0, min(len(rest), 4 * many) - 3, 4)]
    return Control(many, listed.upper(), on, off, tuple(int(one) if one.isdigit() else None for one in found))


def _parameters(body: Body, words: list[str], code: int, *, told: bool) -> None:
    if not told:
        body.asked += [word[:2].upper() for word in words[:MAX_ELEMENTS]]
        return
    for name, value in zip(words[0 : 2 * MAX_ELEMENTS : 2], words[1 : 2 * MAX_ELEMENTS : 2], strict=False):
        if not re.fullmatch("[0-9A-Fa-f]{2}", name):
            body.whole = False
            return
        body.parameters.append(_parameter(int(name, 16), value, running=code in (0x42, 0x43)))


def _parameter(ident: int, value: str, *, running: bool) -> values.Parameter:
    if not running and ident == names.PASSWORD_ID:
        return values.Parameter(ident, "***", password=value.upper())
    if not running and ident in names.CHANNEL_IDS and value[:1].isdigit() and value.isascii():
        return values.channel(ident, names.CHANNELS.get(int(value[0]), f"type {value[0]}"), value[1:])
    return values.Parameter(ident, value[:64])


def _asked(body: Body, words: list[str]) -> None:
    for word in words[:MAX_ELEMENTS]:
        if _STEP.fullmatch(word):
            body.step = word
        elif word.isdigit() and len(word) in (8, 10):
            begin, end = body.period or ("", "")
            moment = values.moment(bytes.fromhex(word))
            body.period = (moment, end) if not begin else (begin, moment)
        else:
            body.asked.append(word[:16])


def _elements(body: Body, words: list[str], text: str, size: int) -> None:
    """A name, then its value, or values behind a time step."""
    at = 0
    while at < len(words) and len(body.elements) < MAX_ELEMENTS:
        word = words[at]
        at += 1
        if _STEP.fullmatch(word):
            body.step = word
            continue
        if word in ("PIC", "RGZS"):
            _last(body, word, text, size)
            return
        if word == "TT":
            at += 1
            continue
        found: list[str] = []
        while at < len(words) and (_NUMBER.fullmatch(words[at]) or words[at] == "M" or word in _LISTS or word == "ZT"):
            found.append(words[at])
            at += 1
            if word in _LISTS or word == "ZT" or not body.step or len(found) >= MAX_LISTED:
                break
        if not found:
            body.whole = False
            continue
        guide = names.GUIDES.get(word)
        body.elements.append(Element(word[:16], "" if guide is None else f"{guide:02X}", _value(body, word, found)))


def _value(body: Body, name: str, found: list[str]) -> Value:
    if name in _LISTS and re.fullmatch("[0-9A-Fa-f]{24,48}", found[0]):
        wide, scale = _LISTS[name]
        missing = 16**wide - 1
        raw = [int(found[0][place : place + wide], 16) for place in range(0, len(found[0]) - wide + 1, wide)]
        return [None if one == missing else one / scale for one in raw]
    if name == "ZT" and re.fullmatch("[0-9A-Fa-f]{1,8}", found[0]):
        body.status = int(found[0], 16)
        return found[0].upper()
    listed = [_number(one) for one in found]
    return listed if body.step and len(listed) > 1 else listed[0]


def _number(word: str) -> int | float | None:
    if not _NUMBER.fullmatch(word):
        return None
    return float(word) if "." in word else int(word)


def _last(body: Body, word: str, text: str, size: int) -> None:
    begin = text.find(word, 16) + len(word) + 1
    if word == "PIC":
        body.picture = max(size - begin, 0)
        body.elements.append(Element(word, "F3", body.picture))
        return
    body.text = "".join(one for one in text[begin:].strip() if one.isprintable())[:512]
    body.elements.append(Element(word, "F2", body.text))
