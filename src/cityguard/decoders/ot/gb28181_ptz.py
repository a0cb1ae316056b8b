"""PTZCmd: the eight octets by which a camera is moved (GB/T 28181-2016 A.3, 2022 A.3), written in hexadecimal.

A5 · version and check · address low · instruction · two data · data and address high · sum of the first seven.
"""

from __future__ import annotations

from dataclasses import dataclass

_MOVES = ((0x08, "up"), (0x04, "down"), (0x02, "left"), (0x01, "right"), (0x10, "zoom_in"), (0x20, "zoom_out"))
_LENS = ((0x08, "iris_close"), (0x04, "iris_open"), (0x02, "focus_near"), (0x01, "focus_far"))
_PRESETS = {0x81: "preset_set", 0x82: "preset_call", 0x83: "preset_delete"}
_CRUISES = {
    0x84: "cruise_add",
    0x85: "cruise_delete",
    0x86: "cruise_speed",
    0x87: "cruise_time",
    0x88: "cruise_start",
}
_OTHERS = {0x89: "scan", 0x8A: "scan_speed", 0x8C: "auxiliary_on", 0x8D: "auxiliary_off"}
WRITES = frozenset(("preset_set", "preset_delete", "cruise_add", "cruise_delete", "cruise_speed", "cruise_time"))
"""Instructions that change what the camera remembers; the others move it."""


@dataclass(frozen=True, slots=True)
class Ptz:
    """One instruction; ``ok`` = its head and its sum are right."""

    hex: str
    ok: bool
    instruction: str | None = None
    address: int | None = None
    preset: int | None = None
    cruise: int | None = None
    data: tuple[int, int, int] = (0, 0, 0)

    @property
    def writes(self) -> bool:
        return self.instruction in WRITES


def read(text: str) -> Ptz:
    """An instruction of any text."""
    text = text.strip()[:64]
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != 8 or octets[0] != 0xA5:
        return Ptz(text, False)
    version = octets[1] >> 4
    ok = octets[1] & 0x0F == (0xA + 5 + version) % 16 and octets[7] == sum(octets[:7]) % 256
    code = octets[3]
    name = instruction(code)
    preset = octets[5] if code in _PRESETS else octets[5] if code in (0x84, 0x85) else None
    return Ptz(
        text,
        ok,
        name,
        octets[2] | (octets[6] & 0x0F) << 8,
        preset,
        octets[4] if code in _CRUISES else None,
        (octets[4], octets[5], octets[6] >> 4),
    )


def instruction(code: int) -> str | None:
    """The word of an instruction octet; several moves at once are joined. None = the standard has none."""
    if code == 0:
        return "stop"
    if code < 0x40:
        return "_".join(word for bit, word in _MOVES if code & bit)
    if code < 0x50:
        return "_".join(word for bit, word in _LENS if code & bit) or "lens_stop"
    return _PRESETS.get(code) or _CRUISES.get(code) or _OTHERS.get(code)
