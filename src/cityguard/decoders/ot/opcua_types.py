"""Built-in types of OPC UA's binary encoding (OPC 10000-6, 5.2), read one after the other from a message's body."""

from __future__ import annotations

import struct
from typing import Any

from cityguard.decoders.ot.opcua_names import status
from cityguard.decoders.wire.numbers import single

MAX_DEPTH = 8
MAX_STEPS = 20_000
"""Values of one message that are read."""
MAX_TEXT = 256
MAX_VALUES = 16
_u16 = struct.Struct("<H").unpack_from
_u32 = struct.Struct("<I").unpack_from
_i32 = struct.Struct("<i").unpack_from
_u64 = struct.Struct("<Q").unpack_from
_f64 = struct.Struct("<d").unpack_from
_SCALARS = {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d"}


class Short(Exception):
    """The body ends before what it announces, is nested too deep or has too many parts."""


class Reader:
    """A place in a body that moves on. Every method raises ``Short`` at its end."""

    __slots__ = ("at", "data", "steps")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at, self.steps = data, at, 0

    def _take(self, size: int) -> int:
        begin = self.at
        self.steps += 1
        if size < 0 or begin + size > len(self.data) or self.steps > MAX_STEPS:
            raise Short
        self.at = begin + size
        return begin

    def u8(self) -> int:
        return self.data[self._take(1)]

    def u16(self) -> int:
        return int(_u16(self.data, self._take(2))[0])

    def u32(self) -> int:
        return int(_u32(self.data, self._take(4))[0])

    def i32(self) -> int:
        return int(_i32(self.data, self._take(4))[0])

    def u64(self) -> int:
        return int(_u64(self.data, self._take(8))[0])

    def f64(self) -> float:
        return float(_f64(self.data, self._take(8))[0])

    def skip(self, size: int) -> None:
        self._take(size)

    def octets(self) -> bytes | None:
        """A ByteString; None = null."""
        size = self.i32()
        if size < 0:
            return None
        begin = self._take(size)
        return self.data[begin : begin + size]

    def string(self) -> str | None:
        """A String, printable and cut; None = null."""
        raw = self.octets()
        if raw is None:
            return None
        text = raw[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT]
        return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)

    def count(self) -> int:
        """Length of an array; what cannot fit is refused."""
        size = self.i32()
        if size > len(self.data) - self.at:
            raise Short
        return max(size, 0)

    def strings(self) -> list[str | None]:
        return [self.string() for _ in range(self.count())]

    def guid(self) -> str:
        begin = self._take(16)
        one, two, three = struct.unpack_from("<IHH", self.data, begin)
        rest = self.data[begin + 8 : begin + 16].hex()
        return f"{one:08x}-{two:04x}-{three:04x}-{rest[:4]}-{rest[4:]}"

    def node(self) -> str:
        """A NodeId, or an ExpandedNodeId, in the text form of 5.1.12: ``ns=1;s=pump``."""
        mask = self.u8()
        kind = mask & 0x3F
        space = 0
        if kind == 0:
            name = f"i={self.u8()}"
        elif kind == 1:
            space = self.u8()
            name = f"i={self.u16()}"
        elif kind == 2:
            space = self.u16()
            name = f"i={self.u32()}"
        elif kind == 3:
            space = self.u16()
            name = f"s={self.string() or ''}"
        elif kind == 4:
            space = self.u16()
            name = f"g={self.guid()}"
        elif kind == 5:
            space = self.u16()
            name = f"b={(self.octets() or b'')[:64].hex()}"
        else:
            raise Short
        uri = self.string() if mask & 0x80 else None
        server = self.u32() if mask & 0x40 else 0
        text = f"nsu={uri};{name}" if uri else f"ns={space};{name}" if space else name
        return f"svr={server};{text}" if server else text

    def qualified(self) -> str:
        space = self.u16()
        name = self.string() or ""
        return f"{space}:{name}" if space else name

    def localized(self) -> str:
        mask = self.u8()
        if mask & 1:
            self.string()
        return (self.string() or "") if mask & 2 else ""

    def extension(self) -> tuple[str, bytes | None]:
        """An ExtensionObject: its type and its body, None = without one."""
        kind = self.node()
        return kind, self.octets() if self.u8() in (1, 2) else None

    def diagnostic(self, depth: int = 0) -> None:
        """Pass over a DiagnosticInfo."""
        if depth > MAX_DEPTH:
            raise Short
        mask = self.u8()
        for bit in (1, 2, 4, 8):
            if mask & bit:
                self.i32()
        if mask & 0x10:
            self.octets()
        if mask & 0x20:
            self.u32()
        if mask & 0x40:
            self.diagnostic(depth + 1)

    def variant(self, depth: int = 0) -> str:
        """The text of a Variant; of an array the first values, comma separated."""
        mask = self.u8()
        kind = mask & 0x3F
        if depth > MAX_DEPTH or kind > 25:
            raise Short
        if kind == 0:
            return ""
        if not mask & 0x80:
            return self._scalar(kind, depth)
        size = self.count()
        form = _SCALARS.get(kind)
        if form:
            each = struct.calcsize(form)
            begin = self._take(size * each)
            values = struct.unpack_from(f"<{min(size, MAX_VALUES)}{form}", self.data, begin)
            text = ",".join(_plain(one, form) for one in values)
        else:
            found = [self._scalar(kind, depth) for _ in range(size)]
            text = ",".join(found[:MAX_VALUES])
        if mask & 0x40:
            self.skip(4 * self.count())
        return text

    def value(self, depth: int = 0) -> tuple[str | None, int | None]:
        """A DataValue: its text and its status code, None = not there."""
        if depth > MAX_DEPTH:
            raise Short
        mask = self.u8()
        text = self.variant(depth + 1) if mask & 1 else None
        code = self.u32() if mask & 2 else None
        self.skip(8 * ((mask >> 2 & 1) + (mask >> 3 & 1)) + 2 * ((mask >> 4 & 1) + (mask >> 5 & 1)))
        return text, code

    def _scalar(self, kind: int, depth: int) -> str:
        form = _SCALARS.get(kind)
        if form:
            begin = self._take(struct.calcsize(form))
            return _plain(struct.unpack_from("<" + form, self.data, begin)[0], form)
        if kind == 12:
            return self.string() or ""
        if kind == 13:
            return str(self.u64())
        if kind == 14:
            return self.guid()
        if kind in (15, 16):
            return "0x" + (self.octets() or b"")[:32].hex()
        if kind in (17, 18):
            return self.node()
        if kind == 19:
            return status(self.u32())
        if kind == 20:
            return self.qualified()
        if kind == 21:
            return self.localized()
        if kind == 22:
            name, body = self.extension()
            return f"{name}(0x{(body or b'')[:32].hex()})"
        if kind == 23:
            return self.value(depth + 1)[0] or ""
        if kind == 24:
            return self.variant(depth + 1)
        self.diagnostic()
        return ""


def _plain(value: Any, form: str) -> str:
    if form == "?":
        return "true" if value else "false"
    return single(value) if form == "f" else str(value)
