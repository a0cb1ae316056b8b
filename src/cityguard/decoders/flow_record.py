"""What the compiled flow table reads of a packet: one row of numbers, made of decoded packets or straight of frames.

``of_frames`` reads the headers of plain packets and makes their rows in one pass, without columns between. What is not
plain it names, so that ``packet`` decodes it; both kinds of rows then go to the table in the packets' order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.decoders import packet_fast
from cityguard.decoders.layers import ICMP, ICMP6, NO_IP, SCTP, TCP, UDP
from cityguard.decoders.packet import Packets
from cityguard.decoders.packet_fast import headers, u16, u32
from cityguard.decoders.window import Bools, U8s, Words
from cityguard.fast import inlined, lean, prefetch, views
from cityguard.model import Frames

(
    KEY_A_HIGH, KEY_A_LOW, KEY_B_HIGH, KEY_B_LOW, KEY_PORTS, KEY_REST,
    TIME, SIZE, WIRE, CLAIMED,
    BITS,  # sequence number, flags << 32, whether a sent it << 40, marks << 41, ICMP type and code + 1 << 44
    WHERE,  # low half of the key's hash, row << 32: of the frames, or -1 - row of the packets
) = range(12)  # fmt: skip
WIDTH = 12
Records = npt.NDArray[np.int64]
"""int64[n, WIDTH]."""
_AHEAD = 16  # frames whose memory is asked for before it is needed
_MAPPED = 0xFFFF_0000_0000


@dataclass(frozen=True, slots=True)
class Batch:
    """Packets for the table."""

    records: Records
    order: npt.NDArray[np.int32]  # rows of ``records``
    packets: Packets
    frames: Frames | None  # None = all are of ``packets``
    buffer: U8s

    def __len__(self) -> int:
        return len(self.order)


@dataclass(frozen=True, slots=True)
class Ways:
    """How packets are read: which carry others, which ICMP types answer which, and the hash's secret."""

    wanted: Bools
    served: Bools
    known: Bools  # bool[65536], EtherTypes that lead further
    answers: Words
    secret: np.int64


class Room:
    """Memory for records, used again for every piece; a batch is counted before the next is made."""

    def __init__(self) -> None:
        self._records: Records = np.empty((0, WIDTH), np.int64)

    def of_packets(self, packets: Packets, buffer: U8s, ways: Ways) -> Batch:
        """All packets of a piece."""
        records = self._room(len(packets), 0)
        _fill(packets, ways, records, 0)
        return Batch(records, np.arange(len(packets), dtype=np.int32), packets, None, buffer)

    def of_frames(self, frames: Frames, ways: Ways, reason: U8s) -> tuple[int, Words]:
        """Make records of the plain packets of a piece; frames without IP get their ``reason``.

        Returns:
            How many records there are, and the rows of the frames that are left.
        """
        records, rest = self._room(len(frames), 0), np.empty(len(frames), np.int64)
        count, left = _frames(
            *views(frames.buffer), frames.offset, frames.length, frames.wire, frames.time, frames.link,
            ways.wanted, ways.served, packet_fast.BARE, ways.known, ways.answers, ways.secret, records, reason, rest,
        )  # fmt: skip
        return count, rest[:left]

    def joined(self, plain: int, frames: Frames, packets: Packets, place: Words, ways: Ways) -> Batch:
        """The plain packets made before, and others that come with the frames ``place`` (ascending)."""
        n = plain + len(packets)
        order = np.arange(n, dtype=np.int32)
        records = self._room(n, plain)
        if len(packets):
            _fill(packets, ways, records, plain)
            _merge(records, plain, place, order)
        return Batch(records, order, packets, frames, frames.buffer)

    def _room(self, size: int, kept: int) -> Records:
        if size > len(self._records):
            records = np.empty((size + size // 8, WIDTH), np.int64)
            records[:kept] = self._records[:kept]
            self._records = records
        return self._records


def _fill(packets: Packets, ways: Ways, records: Records, first: int) -> None:
    signed = [half.view(np.int64) for half in (*packets.source, *packets.destination)]
    _packets(
        packets.time, packets.wire, packets.size, packets.v6, packets.proto, *signed, packets.source_port,
        packets.destination_port, packets.icmp, packets.flags, packets.seq, packets.claimed, packets.vlan,
        packets.marks, ways.answers, ways.secret, records, first,
    )  # fmt: skip


@inlined
def hashed(secret: Any, a: Any, b: Any, c: Any, d: Any, ports: Any, rest: Any) -> Any:
    """64 bits that stand for a key."""
    found = (a ^ rest) * secret
    found = ((found ^ (found >> 31)) + b) * secret
    found = ((found ^ (found >> 31)) + c) * secret
    found = ((found ^ (found >> 31)) + d) * secret
    found = ((found ^ (found >> 31)) + ports) * secret
    return found ^ (found >> 29)


@inlined
def _key(
    records: Any, at: Any, sh: Any, sl: Any, dh: Any, dl: Any, one: Any, other: Any, icmp: Any, vlan: Any, six: Any,
    kind: Any, answers: Any, secret: Any, where: Any,
) -> Any:  # fmt: skip
    """Write the key with its ends in order; returns whether the first is the source."""
    directed = False
    if icmp >= 0:
        one = icmp >> 8
        answer = answers[one + (256 if kind == ICMP6 else 0)]
        directed = answer < 0
        other = icmp & 255 if directed else answer
    # Unsigned comparison of halves held signed.
    top = np.int64(-9223372036854775808)
    s1, d1, s0, d0 = sh ^ top, dh ^ top, sl ^ top, dl ^ top
    swap = s1 > d1 or (s1 == d1 and (s0 > d0 or (s0 == d0 and one > other)))
    if swap and not directed:
        sh, sl, dh, dl = dh, dl, sh, sl
        one, other = other, one
        forward = False
    else:
        forward = True
    ports, rest = (one + 1) << 32 | (other + 1), (vlan + 1) << 9 | np.int64(six) << 8 | kind
    records[at, KEY_A_HIGH], records[at, KEY_A_LOW] = sh, sl
    records[at, KEY_B_HIGH], records[at, KEY_B_LOW] = dh, dl
    records[at, KEY_PORTS], records[at, KEY_REST] = ports, rest
    records[at, WHERE] = where << 32 | (hashed(secret, sh, sl, dh, dl, ports, rest) & 0xFFFFFFFF)
    return forward


@lean
def _packets(
    time: Any, wire: Any, size: Any, v6: Any, proto: Any, sh: Any, sl: Any, dh: Any, dl: Any, source_port: Any,
    destination_port: Any, icmp: Any, flags: Any, seq: Any, claimed: Any, vlan: Any, marks: Any,
    answers: Any, secret: Any, records: Any, first: Any,
) -> None:  # fmt: skip
    for p in range(len(time)):
        at = first + p
        forward = _key(
            records, at, sh[p], sl[p], dh[p], dl[p], source_port[p], destination_port[p], icmp[p], vlan[p], v6[p],
            np.int64(proto[p]), answers, secret, np.int64(-1 - p),
        )  # fmt: skip
        records[at, TIME], records[at, SIZE], records[at, WIRE] = time[p], size[p], wire[p]
        records[at, CLAIMED] = claimed[p]
        bits = np.int64(flags[p]) << 32 | np.int64(forward) << 40 | np.int64(marks[p]) << 41
        records[at, BITS] = seq[p] | bits | (icmp[p] + 1) << 44


@lean
def _frames(
    buffer: Any, halves: Any, words: Any, offset: Any, length: Any, wires: Any, times: Any, link: Any, wanted: Any,
    served: Any, bare: Any, known: Any, answers: Any, secret: Any, records: Any, reason: Any, rest: Any,
) -> Any:  # fmt: skip
    count = left = 0
    for row in range(len(offset)):
        if row + _AHEAD < len(offset):
            prefetch(buffer, offset[row + _AHEAD] + 8)
            prefetch(buffer, offset[row + _AHEAD] + 48)
        begin = offset[row]
        plain, at, body, stop, kind, vlan = headers(
            buffer, halves, words, begin, length[row], wires[row], link[row], wanted, served, bare
        )
        if not plain:
            if link[row] == 1 and kind > 1500 and not known[kind]:
                reason[row] = NO_IP
            else:
                rest[left] = row
                left += 1
            continue
        six = buffer[at] >> 4 == 6
        if six:
            sh = u32(words, at + 8) << 32 | u32(words, at + 12)
            sl = u32(words, at + 16) << 32 | u32(words, at + 20)
            dh = u32(words, at + 24) << 32 | u32(words, at + 28)
            dl = u32(words, at + 32) << 32 | u32(words, at + 36)
        else:
            sh = dh = np.int64(0)
            sl, dl = _MAPPED | u32(words, at + 12), _MAPPED | u32(words, at + 16)
        size = stop - at
        end = min(begin + length[row], stop)
        one = other = icmp = np.int64(-1)
        bits, head = np.int64(0), np.int64(0)
        if kind == TCP:
            head = np.int64(20)
            if body + 20 <= end:
                head = np.int64(max(buffer[body + 12] >> 4, 5)) * 4
                bits = u32(words, body + 4) | np.int64(buffer[body + 13]) << 32
        elif kind == UDP:
            head = np.int64(8)
            if body + 8 <= end:
                told = u16(halves, body + 4)
                if told >= 8:
                    stop = min(stop, body + told)
        elif kind in (ICMP, ICMP6) and body + 2 <= end:
            icmp = u16(halves, body)
        if kind in (TCP, UDP, SCTP, 33, 136) and body + 4 <= end:
            one, other = u16(halves, body), u16(halves, body + 2)
        forward = _key(
            records, count, sh, sl, dh, dl, one, other, icmp, vlan, six, kind, answers, secret, np.int64(row)
        )
        records[count, TIME], records[count, SIZE], records[count, WIRE] = times[row], size, wires[row]
        records[count, CLAIMED] = max(stop - body - head, 0) if head else 0
        records[count, BITS] = bits | np.int64(forward) << 40 | (icmp + 1) << 44
        count += 1
    return count, left


@lean
def _merge(records: Any, plain: Any, place: Any, order: Any) -> None:
    first, second, n = 0, plain, len(order)
    for p in range(n):
        if second < n and (first == plain or place[second - plain] < records[first, WHERE] >> 32):
            order[p] = second
            second += 1
        else:
            order[p] = first
            first += 1
