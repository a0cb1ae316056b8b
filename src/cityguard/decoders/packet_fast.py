"""Plain packets as a compiled loop: what needs no more than tags, one IP header and one transport header.

Everything else (tunnels, fragments, extension headers, rarer links, damage) is left to ``layers``, frame by frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.decoders.layers import ICMP, ICMP6, SCTP, TCP, UDP
from cityguard.decoders.window import Bools, Words
from cityguard.fast import inlined, lean, views
from cityguard.model import Frames

_MAX_TAGS = 4
BARE = np.zeros(256, np.bool_)  # IP protocols that neither carry a packet nor lead to a further header
BARE[:] = True
BARE[[0, 4, 41, 43, 44, 47, 51, 60, 97, 135, 137, 139, 140]] = False

INTS = ("number", "time", "wire", "size", "source_port", "destination_port", "icmp", "seq", "ack", "payload",
        "captured", "claimed", "vlan", "mac")  # fmt: skip


def plain(frames: Frames, wanted: Bools, served: Bools) -> Bools:
    """Which frames ``write`` can decode.

    Args:
        frames: a piece.
        wanted: bool[65536], destination ports of UDP that may carry a packet.
        served: the same for source ports.
    """
    found = np.zeros(len(frames), np.bool_)
    _plain(*views(frames.buffer), frames.offset, frames.length, frames.wire, frames.link, wanted, served, BARE, found)
    return found


def write(
    frames: Frames, wanted: Bools, served: Bools, rows: Words, at: Words, ints: dict[str, Words],
    small: dict[str, npt.NDArray[Any]], halves: tuple[npt.NDArray[np.int64], ...],
) -> None:  # fmt: skip
    """Decode the frames ``rows`` into places ``at`` of the columns."""
    _write(
        *views(frames.buffer), frames.offset, frames.length, frames.wire, frames.link, frames.number, frames.time,
        wanted, served, BARE, rows, at, *(ints[name] for name in INTS), small["v6"], small["proto"], small["flags"],
        *halves,
    )  # fmt: skip


@inlined
def u16(halves: Any, at: Any) -> Any:
    """Two bytes in network order."""
    value = np.int64(halves[at])
    return (value & 0xFF) << 8 | value >> 8


@inlined
def u32(words: Any, at: Any) -> Any:
    """Four bytes in network order."""
    value = np.int64(words[at])
    return (value & 0xFF) << 24 | (value & 0xFF00) << 8 | value >> 8 & 0xFF00 | value >> 24


@inlined
def headers(
    buffer: Any, halves: Any, words: Any, begin: Any, captured: Any, wire: Any, link: Any, wanted: Any, served: Any,
    bare: Any,
) -> Any:  # fmt: skip
    """(plain, IP header, transport header, end of the packet, protocol, VLAN); of what is not plain the EtherType,
    if there is one, in place of the protocol."""
    end, at, vlan, kind = begin + captured, begin, np.int64(-1), np.int64(0)
    no = np.int64(0)
    if link == 1:
        if captured < 14:
            return False, no, no, no, kind, vlan
        kind, at = u16(halves, begin + 12), begin + 14
    elif link == 113:
        if captured < 16:
            return False, no, no, no, kind, vlan
        kind, at = u16(halves, begin + 14), begin + 16
    elif link == 276:
        if captured < 20:
            return False, no, no, no, kind, vlan
        kind, at = u16(halves, begin), begin + 20
    elif link in (12, 14, 101):
        if captured < 1:
            return False, no, no, no, kind, vlan
        version = buffer[begin] >> 4
        kind = np.int64(0x0800 if version == 4 else 0x86DD if version == 6 else 0)
    for _ in range(_MAX_TAGS):
        if kind != 0x8100 and kind != 0x88A8 and kind != 0x9100:
            break
        if at + 4 > end:
            return False, no, no, no, kind, vlan
        if vlan < 0:
            vlan = u16(halves, at) & 0xFFF
        kind, at = u16(halves, at + 2), at + 4
    stop = begin + wire
    if kind == 0x0800:
        if at + 20 > end:
            return False, no, no, no, kind, vlan
        first = np.int64(words[at])  # the version's byte lowest, the length's two in network order above
        size, room = (first & 15) * 4, stop - at
        total = (first >> 16 & 0xFF) << 8 | first >> 24
        total = room if total == 0 else min(total, room)
        # a fragment: any bit of the offset, or more to come; 0xFF3F as the two bytes lie
        if first >> 4 & 15 != 4 or size < 20 or np.int64(halves[at + 6]) & 0xFF3F or total < size:
            return False, no, no, no, kind, vlan
        proto, body = np.int64(buffer[at + 9]), at + size
    elif kind == 0x86DD:
        if at + 40 > end or buffer[at] >> 4 != 6:
            return False, no, no, no, kind, vlan
        total, room = u16(halves, at + 4), stop - at
        total = room if total == 0 else min(total + 40, room)
        if total < 40:
            return False, no, no, no, kind, vlan
        proto, body = np.int64(buffer[at + 6]), at + 40
    else:
        return False, no, no, no, kind, vlan
    if not bare[proto]:
        return False, no, no, no, kind, vlan
    if proto == UDP and body + 4 <= end and (wanted[u16(halves, body + 2)] or served[u16(halves, body)]):
        return False, no, no, no, kind, vlan
    return True, at, body, at + total, proto, vlan


@lean
def _plain(
    buffer: Any, halves: Any, words: Any, offset: Any, length: Any, wire: Any, link: Any, wanted: Any, served: Any,
    bare: Any, found: Any,
) -> None:  # fmt: skip
    for row in range(len(offset)):
        found[row] = headers(
            buffer, halves, words, offset[row], length[row], wire[row], link[row], wanted, served, bare
        )[0]


@lean
def _write(
    buffer: Any, halves: Any, words: Any, offset: Any, length: Any, wires: Any, link: Any, numbers: Any, times: Any,
    wanted: Any, served: Any, bare: Any, rows: Any, places: Any, number: Any, time: Any, wire: Any, size: Any,
    source_port: Any, destination_port: Any, icmp: Any, seq: Any, ack: Any, payload: Any, captured: Any, claimed: Any,
    vlans: Any, mac: Any, v6: Any, protos: Any, flags: Any, s_high: Any, s_low: Any, d_high: Any, d_low: Any,
) -> None:  # fmt: skip
    for nth in range(len(rows)):
        row, p = rows[nth], places[nth]
        begin = offset[row]
        _, at, body, stop, proto, vlan = headers(
            buffer, halves, words, begin, length[row], wires[row], link[row], wanted, served, bare
        )
        number[p], time[p], wire[p], size[p] = numbers[row], times[row], wires[row], stop - at
        vlans[p], mac[p], protos[p] = vlan, begin if link[row] == 1 else -1, proto
        six = buffer[at] >> 4 == 6
        v6[p] = six
        if six:
            s_high[p] = u32(words, at + 8) << 32 | u32(words, at + 12)
            s_low[p] = u32(words, at + 16) << 32 | u32(words, at + 20)
            d_high[p] = u32(words, at + 24) << 32 | u32(words, at + 28)
            d_low[p] = u32(words, at + 32) << 32 | u32(words, at + 36)
        else:
            s_high[p] = d_high[p] = 0
            s_low[p] = np.int64(0xFFFF_0000_0000) | u32(words, at + 12)
            d_low[p] = np.int64(0xFFFF_0000_0000) | u32(words, at + 16)
        captured_end = begin + length[row]
        end = min(captured_end, stop)
        source_port[p] = destination_port[p] = icmp[p] = -1
        seq[p] = ack[p] = flags[p] = 0
        head = np.int64(0)
        if proto == TCP:
            head = np.int64(20)
            if body + 20 <= end:
                head = np.int64(max(buffer[body + 12] >> 4, 5)) * 4
                seq[p], ack[p], flags[p] = u32(words, body + 4), u32(words, body + 8), buffer[body + 13]
        elif proto == UDP:
            head = np.int64(8)
            if body + 8 <= end:
                told = u16(halves, body + 4)
                if told >= 8:
                    stop = min(stop, body + told)
        elif proto in (ICMP, ICMP6) and body + 2 <= end:
            icmp[p] = u16(halves, body)
        if proto in (TCP, UDP, SCTP, 33, 136) and body + 4 <= end:
            source_port[p], destination_port[p] = u16(halves, body), u16(halves, body + 2)
        payload[p] = body + head
        told = max(stop - body - head, 0) if proto in (TCP, UDP) else 0
        claimed[p] = told
        captured[p] = min(told, max(captured_end - body - head, 0))
