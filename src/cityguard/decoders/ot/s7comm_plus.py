"""S7comm-plus (S7-1200/1500): header, integrity part, operation, function, sequence and session of each message.

The protocol is unpublished; what is inside its messages is versioned and partly encrypted and is not read.
"""

from __future__ import annotations

from typing import Any

from cityguard.decoders.wire.pairs import Pairs

MARK = 0x72
_HEAD = 4
_KEEP = 0xFF
"""Version of messages that keep a connection alive."""
_PROTECTED = 3
"""From this version on a digest stands before the message."""
VERSIONS = frozenset((0x01, 0x02, 0x03, 0xFE, _KEEP))
_OPERATIONS = {0x31: "request", 0x32: "response", 0x33: "notification", 0x02: "response"}
_NULL_SESSION = 0x120

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x04BB: ("Explore", "read"),
    0x04CA: ("CreateObject", "program"),
    0x04D4: ("DeleteObject", "program"),
    0x04F2: ("SetVariable", "write"),
    0x04FC: ("GetVariable", "read"),
    0x0506: ("AddLink", "program"),
    0x051A: ("RemoveLink", "program"),
    0x0524: ("GetLink", "read"),
    0x0542: ("SetMultiVariables", "write"),
    0x054C: ("GetMultiVariables", "read"),
    0x0556: ("BeginSequence", "program"),
    0x0560: ("EndSequence", "program"),
    0x056B: ("Invoke", "control"),
    0x057C: ("SetVarSubStreamed", "write"),
    0x0586: ("GetVarSubStreamed", "read"),
    0x0590: ("GetVariablesAddress", "read"),
    0x059A: ("Abort", "program"),
    0x05A9: ("Error", "error"),
    0x05B3: ("InitSsl", None),
}


def sound(unit: bytes) -> bool:
    """Whether a data unit begins like one: mark, version, a length that fits."""
    return len(unit) >= _HEAD and unit[0] == MARK and unit[1] in VERSIONS and int.from_bytes(unit[2:4], "big") <= 0x4000


class Messages:
    """Data units of a connection; a message may be spread over several, only the first has its head."""

    __slots__ = ("_asked", "_goes_on")

    def __init__(self) -> None:
        self._goes_on = [False, False]
        self._asked: Pairs[tuple[int, str | None]] = Pairs()

    def unit(self, side: int, unit: bytes) -> dict[str, Any] | None:
        """The columns of the message a data unit begins; None = it goes on with one, or is none."""
        if not sound(unit):
            return None
        version, size = unit[1], int.from_bytes(unit[2:4], "big")
        if version == _KEEP:
            return _row("Keep Alive", None, "keep_alive", None, version)
        continued = self._goes_on[side]
        trailer = _HEAD + size
        self._goes_on[side] = version != 0xFE and unit[trailer : trailer + 2] != bytes((MARK, version))
        if continued:
            return None
        body = unit[_HEAD : _HEAD + size]
        digest = version == _PROTECTED and len(body) > 33 and body[0] == 32
        row = _message(body[33:] if digest else body, version, digest)
        if "ot.function.code" in row:
            self._match(side, row)
        return row

    def _match(self, side: int, row: dict[str, Any]) -> None:
        """A response is of the class of its request, whose session tells what it was for."""
        code, number = row["ot.function.code"], row["ot.transaction_id"]
        if row["ot.is_request"]:
            self._asked.ask((side, number), (code, row["ot.function.class"]))
            return
        asked = self._asked.answer((1 - side, number))
        if asked and asked[0] == code:
            row["ot.function.class"] = asked[1]

    def gap(self, side: int) -> None:
        """Units of a side are lost."""
        self._goes_on[side] = False


def _row(name: str, klass: str | None, message: str, asks: bool | None, version: int) -> dict[str, Any]:
    return {
        "ot.protocol": "s7comm_plus",
        "ot.function.name": name,
        "ot.function.class": klass,
        "ot.message.type": message,
        "ot.is_request": asks,
        "event.fields": f'{{"version":{version}}}',
    }


def _message(body: bytes, version: int, digest: bool) -> dict[str, Any]:
    operation = _OPERATIONS.get(body[0]) if body else None
    if operation is None:
        return _row("Data", None, "data", None, version) | {"event.flags": ["undecoded"]}
    told = f'"version":{version},"integrity":{"true" if digest else "false"}'
    if operation == "notification":
        row = _row("Notification", None, operation, False, version)
        if len(body) >= 5:
            row |= {"ot.address": str(int.from_bytes(body[1:5], "big"))}
        return row | {"event.fields": f"{{{told}}}"}
    if len(body) < 9:
        return _row("Data", None, operation, operation == "request", version) | {"event.flags": ["truncated"]}
    code = int.from_bytes(body[3:5], "big")
    name, klass = FUNCTIONS.get(code, (f"Function {code:#06x}", None))
    if operation == "request" and len(body) >= 13:
        session = int.from_bytes(body[9:13], "big")
        told += f',"session":{session}'
        own = (code == 0x04CA and session == _NULL_SESSION) or (code == 0x04D4 and body[14:18] == body[9:13])
        if own:
            klass = None  # it is the session itself that is created or ended, nothing in the program
    row = _row(name, klass, operation, operation == "request", version)
    row |= {
        "ot.function.code": code,
        "ot.transaction_id": int.from_bytes(body[7:9], "big"),
        "event.fields": f"{{{told}}}",
    }
    return row if code in FUNCTIONS else row | {"event.flags": ["undecoded"]}
