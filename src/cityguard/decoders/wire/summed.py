"""Frames that end in 16h behind the sum of what is before it: their end where the length they tell is wrong."""

from __future__ import annotations

END = 0x16


def checked(frame: bytes | bytearray, at: int, whole: int) -> bool:
    """Whether the checksum of the frame at a place is right."""
    return sum(frame[at : at + whole - 2]) & 0xFF == frame[at + whole - 2]


def end(data: bytes | bytearray, at: int, least: int, most: int) -> int:
    """Octets of the first frame at a place whose sum fits, whatever length it tells; 0 = there is none."""
    total, added = 0, at
    place = data.find(END, at + least - 1, at + most)
    while place >= 0:
        total += sum(data[added : place - 1])
        added = place - 1
        if total & 0xFF == data[place - 1]:
            return place + 1 - at
        place = data.find(END, place + 1, at + most)
    return 0
