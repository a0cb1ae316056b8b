"""The flow table as a compiled loop: the same rows as ``flow_table``, one packet after the other."""

from __future__ import annotations  # noqa: I001 - the list of columns stays together

import secrets
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.fast import compiled
from cityguard.decoders.flow_table import (
    A_BYTES, A_GAP, A_GAP_END, A_HIGH, A_LOW, A_MAC, A_PACKETS, A_SEQ, A_TOP, ACK, B_HIGH, B_LOW, B_MAC, B_SEQ, BEGAN,
    BOTH_FIN, BYTES, CLOSING, END, EPOCH, FIN, FIRST, FLAGS, FRAME_BYTES, ICMP_FIRST, LAST, MARKS, OPENED,
    OUT_OF_ORDER, OUTER_A_HIGH, OUTER_A_LOW, OUTER_B_HIGH, OUTER_B_LOW, PACKETS, PORTS, RANK, RESET, REST, RETRANSMITS,
    RST, SLICE, START, SYN, TUNNEL, WAY, WIDTH, Rows, Timeouts,
)  # fmt: skip
from cityguard.decoders.layers import ICMP6, TCP
from cityguard.decoders.packet import Packets
from cityguard.decoders.window import Bools, U8s

_Slots = npt.NDArray[np.int32]
_BATCH = 32
_SIDE = B_SEQ - A_SEQ


class Table:
    """The rows in slots, found by an open hash table; ``done`` gathers those that have ended."""

    def __init__(self, timeouts: Timeouts, answers: npt.NDArray[np.int64]) -> None:
        self._idle, self._active, self._answers = timeouts.idle(), timeouts.active, answers
        self.rows: Rows = np.empty((4 * SLICE, WIDTH), np.int64)  # memory is taken as it is written
        self.used = 0
        self.done: list[Rows] = []
        self._secret = np.int64(int.from_bytes(secrets.token_bytes(8), "big", signed=True) | 1)
        self._slots: _Slots = np.full(16_384, -1, np.int32)

    def update(self, packets: Packets, which: slice, buffer: U8s, rank: int) -> None:
        """Count some of the packets of a piece; ``rank`` = packets that came before."""
        n = which.stop - which.start
        self._room(self.used + n)
        done = np.empty((n, WIDTH), np.int64)
        signed = [half.view(np.int64) for half in (*packets.source, *packets.destination, *packets.outers)]
        self.used, ended, _ = _update(
            which.start, which.stop, rank, self._secret, self._idle, self._active, self._answers,
            packets.number, packets.time, packets.wire, packets.size, packets.v6, packets.proto, *signed[:4],
            packets.source_port, packets.destination_port, packets.icmp, packets.flags, packets.seq, packets.claimed,
            packets.vlan, packets.mac, packets.marks, packets.tunnel, packets.outer, *signed[4:],
            *packets.stations, buffer,
            self.rows, self.used, self._slots, done,
        )  # fmt: skip
        if ended:
            self.done.append(done[:ended].copy())

    def drop(self, ended: Bools) -> None:
        """These slots are over."""
        if not ended.any():
            return
        rows = self.rows[: self.used]
        self.done.append(rows[ended])
        kept = rows[~ended]
        self.used = len(kept)
        self.rows[: self.used] = kept
        self._slots[:] = -1
        _index(self.rows, self.used, self._slots, self._secret)

    def _room(self, size: int) -> None:
        if size > len(self.rows):
            rows = np.empty((2 * size, WIDTH), np.int64)
            rows[: self.used] = self.rows[: self.used]
            self.rows = rows
        if size * 2 > len(self._slots):
            self._slots = np.full(1 << (4 * size - 1).bit_length(), -1, np.int32)
            _index(self.rows, self.used, self._slots, self._secret)


@compiled
def _hash(secret: Any, a: Any, b: Any, c: Any, d: Any, ports: Any, rest: Any) -> Any:
    found = (a ^ rest) * secret
    found = ((found ^ (found >> 31)) + b) * secret
    found = ((found ^ (found >> 31)) + c) * secret
    found = ((found ^ (found >> 31)) + d) * secret
    found = ((found ^ (found >> 31)) + ports) * secret
    return found ^ (found >> 29)


@compiled
def _index(rows: Any, used: Any, slots: Any, secret: Any) -> None:
    mask = len(slots) - 1
    for slot in range(used):
        row = rows[slot]
        at = _hash(secret, row[A_HIGH], row[A_LOW], row[B_HIGH], row[B_LOW], row[PORTS], row[REST]) & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = slot


@compiled
def _u48(buffer: Any, at: Any) -> Any:
    value = np.int64(0)
    for place in range(at, at + 6):
        value = value << 8 | np.int64(buffer[min(place, len(buffer) - 1)])
    return value


@compiled
def _update(
    start: Any, stop: Any, rank: Any, secret: Any, idle: Any, active: Any, answers: Any,
    number: Any, time: Any, wire: Any, size: Any, v6: Any, proto: Any, sh: Any, sl: Any, dh: Any, dl: Any,
    source_port: Any, destination_port: Any, icmp: Any, flags: Any, seq: Any, claimed: Any,
    vlan: Any, mac: Any, marks: Any, tunnel: Any, outer: Any, o_sh: Any, o_sl: Any, o_dh: Any, o_dl: Any,
    to_station: Any, from_station: Any, buffer: Any,
    rows: Any, used: Any, slots: Any, done: Any,
) -> Any:  # fmt: skip
    mask = len(slots) - 1
    ended = 0
    keys = np.empty((_BATCH, 6), np.int64)
    places = np.empty(_BATCH, np.int64)
    ways = np.empty(_BATCH, np.bool_)
    top = np.int64(-9223372036854775808)
    touched = np.int64(0)
    for base in range(start, stop, _BATCH):
        end = min(base + _BATCH, stop)
        # First all keys and rows of a batch are looked up, so that their memory comes while the next is asked for.
        for p in range(base, end):
            kind = np.int64(proto[p])
            one, other = source_port[p], destination_port[p]
            directed = False
            if icmp[p] >= 0:
                one = icmp[p] >> 8
                answer = answers[one + (256 if kind == ICMP6 else 0)]
                directed = answer < 0
                other = icmp[p] & 255 if directed else answer
            # Unsigned comparison of halves held signed.
            s1, d1, s0, d0 = sh[p] ^ top, dh[p] ^ top, sl[p] ^ top, dl[p] ^ top
            swap = s1 > d1 or (s1 == d1 and (s0 > d0 or (s0 == d0 and one > other)))
            swap = swap and not directed
            ways[p - base] = not swap
            key = keys[p - base]
            if swap:
                key[0], key[1], key[2], key[3] = dh[p], dl[p], sh[p], sl[p]
                key[4] = (other + 1) << 32 | (one + 1)
            else:
                key[0], key[1], key[2], key[3] = sh[p], sl[p], dh[p], dl[p]
                key[4] = (one + 1) << 32 | (other + 1)
            key[5] = (vlan[p] + 1) << 9 | np.int64(v6[p]) << 8 | kind
            at = _hash(secret, key[0], key[1], key[2], key[3], key[4], key[5]) & mask
            places[p - base] = at
            slot = slots[at]
            if slot >= 0:
                touched += rows[slot, A_LOW] + rows[slot, LAST] + rows[slot, FLAGS] + rows[slot, A_SEQ]
        for p in range(base, end):
            forward = ways[p - base]
            key = keys[p - base]
            kind = np.int64(proto[p])
            now, bits = time[p], np.int64(flags[p])
            tcp = kind == TCP
            at = places[p - base]
            slot = np.int64(slots[at])
            while slot >= 0:
                if (
                    rows[slot, A_LOW] == key[1]
                    and rows[slot, B_LOW] == key[3]
                    and rows[slot, PORTS] == key[4]
                    and rows[slot, REST] == key[5]
                    and rows[slot, A_HIGH] == key[0]
                    and rows[slot, B_HIGH] == key[2]
                ):
                    break
                at = (at + 1) & mask
                slot = np.int64(slots[at])
            pure = tcp and (bits & (SYN | ACK)) == SYN
            fresh = False
            began, epoch, closing = now, np.int64(0), np.int64(0)
            if slot < 0:
                slot = used
                used += 1
                slots[at] = slot
                fresh = True
            else:
                row = rows[slot]
                if now - row[LAST] > idle[kind]:
                    fresh = True
                else:
                    closing = row[CLOSING]
                    if pure and (closing & RESET or closing & BOTH_FIN == BOTH_FIN):
                        fresh = True
                        closing = np.int64(0)
                    else:
                        began, epoch = row[BEGAN], row[EPOCH]
                        if now - began >= active:
                            later = min((now - began) // active, np.int64(0x7FFFFFFF))
                            if later > epoch:
                                fresh, epoch = True, later
                if fresh:
                    done[ended] = row
                    ended += 1
            row = rows[slot]
            if fresh:
                row[:] = 0
                for at in range(6):
                    row[at] = key[at]
                row[RANK] = rank + p - start
                row[FIRST] = number[p]
                row[START] = row[END] = now
                row[WAY] = forward
                row[ICMP_FIRST] = icmp[p]
                row[TUNNEL] = tunnel[p]
                row[A_SEQ] = row[B_SEQ] = -1
                row[A_MAC] = row[B_MAC] = -1
                if mac[p] != -1:
                    if mac[p] >= 0:
                        destination, source = _u48(buffer, mac[p]), _u48(buffer, mac[p] + 6)
                    else:
                        destination, source = to_station[-2 - mac[p]], from_station[-2 - mac[p]]
                    row[A_MAC] = source if forward else destination
                    row[B_MAC] = destination if forward else source
                wrap = outer[p]
                if wrap >= 0:
                    row[OUTER_A_HIGH] = o_sh[wrap] if forward else o_dh[wrap]
                    row[OUTER_A_LOW] = o_sl[wrap] if forward else o_dl[wrap]
                    row[OUTER_B_HIGH] = o_dh[wrap] if forward else o_sh[wrap]
                    row[OUTER_B_LOW] = o_dl[wrap] if forward else o_sl[wrap]
            row[BEGAN], row[EPOCH] = began, epoch
            row[PACKETS] += 1
            row[BYTES] += size[p]
            row[FRAME_BYTES] += wire[p]
            if forward:
                row[A_PACKETS] += 1
                row[A_BYTES] += size[p]
            row[START] = min(row[START], now)
            row[END] = max(row[END], now)
            row[LAST] = now
            row[MARKS] |= np.int64(marks[p])
            if not tcp:
                continue
            row[FLAGS] |= bits if forward else bits << 8
            if pure:
                closing = np.int64(0)
            if bits & FIN:
                closing |= 1 if forward else 2
            row[CLOSING] = closing | (bits & RST)
            if bits & SYN and row[OPENED] == 0:
                row[WAY] = forward != (bits & ACK > 0)
                row[OPENED] = 1
            length = claimed[p] + (bits & SYN > 0) + (bits & FIN > 0)
            if length == 0:
                continue
            side = 0 if forward else _SIDE
            if row[A_SEQ + side] >= 0:
                step = ((seq[p] - row[A_SEQ + side] + 0x80000000) & 0xFFFFFFFF) - 0x80000000
                row[A_TOP + side] -= step
                row[A_GAP + side] -= step
                row[A_GAP_END + side] -= step
            ahead = row[A_TOP + side]
            if ahead < 0:
                row[A_GAP + side], row[A_GAP_END + side] = ahead, 0
            elif ahead > 0:
                if row[A_GAP + side] <= 0 and length <= row[A_GAP_END + side]:
                    row[OUT_OF_ORDER] += 1
                else:
                    row[RETRANSMITS] += 1
            row[A_TOP + side] = max(ahead, length)
            row[A_SEQ + side] = seq[p]
    return used, ended, touched  # what was touched is given back so that no compiler leaves it out
