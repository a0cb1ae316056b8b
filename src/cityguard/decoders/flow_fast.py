"""The flow table as a compiled loop: the same rows as ``flow_table``, one packet after the other."""

from __future__ import annotations  # noqa: I001 - the list of columns stays together

import secrets
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.fast import inlined, lean, prefetch
from cityguard.decoders.flow_record import (
    BITS, CLAIMED, KEY_A_HIGH, KEY_A_LOW, KEY_B_HIGH, KEY_B_LOW, KEY_PORTS, KEY_REST, SIZE, TIME, WHERE, WIRE,
    Batch, hashed,
)  # fmt: skip
from cityguard.decoders.flow_table import (
    A_BYTES, A_GAP, A_GAP_END, A_HIGH, A_LOW, A_MAC, A_PACKETS, A_SEQ, A_TOP, ACK, B_HIGH, B_LOW, B_MAC, B_SEQ, BEGAN,
    BOTH_FIN, BYTES, CLOSING, END, EPOCH, FIN, FIRST, FLAGS, FRAME_BYTES, ICMP_FIRST, LAST, MARKS, OPENED,
    OUT_OF_ORDER, OUTER_A_HIGH, OUTER_A_LOW, OUTER_B_HIGH, OUTER_B_LOW, PACKETS, PORTS, RANK, RESET, REST, RETRANSMITS,
    RST, SLICE, START, SYN, TUNNEL, WAY, WIDTH, Rows, Timeouts,
)  # fmt: skip
from cityguard.decoders.layers import TCP
from cityguard.decoders.window import Bools

_Slots = npt.NDArray[np.int32]
_BATCH = 64
_SIDE = B_SEQ - A_SEQ
_NONE = np.zeros(0, np.int64)


class Table:
    """The rows in slots, found by an open hash table; ``done`` gathers those that have ended."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._idle, self._active = timeouts.idle(), timeouts.active
        self.rows: Rows = np.empty((4 * SLICE, WIDTH), np.int64)  # memory is taken as it is written
        self.used = 0
        self.done: list[Rows] = []
        self.secret = np.int64(int.from_bytes(secrets.token_bytes(8), "big", signed=True) | 1)
        self._slots: _Slots = np.full(16_384, -1, np.int32)
        self._ended: Rows = np.empty((0, WIDTH), np.int64)

    def update(self, batch: Batch, which: slice, rank: int) -> int:
        """Count some of the packets of a batch; ``rank`` = packets that came before. Returns their latest time."""
        n = which.stop - which.start
        self._room(self.used + n)
        if len(self._ended) < n:
            self._ended = np.empty((n, WIDTH), np.int64)
        packets, frames = batch.packets, batch.frames
        mine: list[Any] = [_NONE, _NONE, _NONE.astype(np.int32)]
        if frames is not None:
            mine = [frames.number, frames.offset, frames.link]
        buffer = batch.buffer[:]
        buffer.flags.writeable = False
        self.used, ended, newest = _update(
            which.start, which.stop, rank, self._idle, self._active, batch.records, batch.order, *mine, packets.number,
            packets.mac, packets.tunnel, packets.outer, *(half.view(np.int64) for half in packets.outers),
            *packets.stations, buffer, self.rows, self.rows.reshape(-1), self.used, self._slots, self._ended,
        )  # fmt: skip
        if ended:
            self.done.append(self._ended[:ended].copy())
        return int(newest)

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
        _index(self.rows, self.used, self._slots, self.secret)

    def _room(self, size: int) -> None:
        if size > len(self.rows):
            rows = np.empty((2 * size, WIDTH), np.int64)
            rows[: self.used] = self.rows[: self.used]
            self.rows = rows
        if size * 2 > len(self._slots):
            self._slots = np.full(1 << (4 * size - 1).bit_length(), -1, np.int32)
            _index(self.rows, self.used, self._slots, self.secret)


@lean
def _index(rows: Any, used: Any, slots: Any, secret: Any) -> None:
    mask = len(slots) - 1
    for slot in range(used):
        row = rows[slot]
        at = hashed(secret, row[A_HIGH], row[A_LOW], row[B_HIGH], row[B_LOW], row[PORTS], row[REST]) & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = slot


@inlined
def _u48(buffer: Any, at: Any) -> Any:
    value = np.int64(0)
    for place in range(at, at + 6):
        value = value << 8 | np.int64(buffer[min(place, len(buffer) - 1)])
    return value


@lean
def _update(
    start: Any, stop: Any, rank: Any, idle: Any, active: Any, records: Any, order: Any,
    frame_number: Any, frame_offset: Any, frame_link: Any, number: Any, mac: Any, tunnel: Any, outer: Any, o_sh: Any,
    o_sl: Any, o_dh: Any, o_dl: Any, to_station: Any, from_station: Any, buffer: Any,
    rows: Any, flat: Any, used: Any, slots: Any, done: Any,
) -> Any:  # fmt: skip
    mask = len(slots) - 1
    ended = 0
    newest = np.int64(-1)
    for base in range(start, stop, _BATCH):
        end = min(base + _BATCH, stop)
        # First the rows of a batch are looked up, so that their memory comes while the next is asked for.
        for p in range(end, min(end + _BATCH, stop)):
            prefetch(slots, records[order[p], WHERE] & mask)
        for p in range(base, end):
            slot = np.int64(slots[records[order[p], WHERE] & mask])
            if slot >= 0:
                for at in range(A_HIGH, RETRANSMITS + 1, 8):
                    prefetch(flat, slot * WIDTH + at)
        for p in range(base, end):
            record = records[order[p]]
            word = record[BITS]
            forward, bits, seq = word >> 40 & 1 > 0, word >> 32 & 255, word & 0xFFFFFFFF
            now, size, kind = record[TIME], record[SIZE], record[KEY_REST] & 255
            newest = max(newest, now)
            tcp = kind == TCP
            at = record[WHERE] & mask
            slot = np.int64(slots[at])
            while slot >= 0:
                if (
                    rows[slot, A_LOW] == record[KEY_A_LOW]
                    and rows[slot, B_LOW] == record[KEY_B_LOW]
                    and rows[slot, PORTS] == record[KEY_PORTS]
                    and rows[slot, REST] == record[KEY_REST]
                    and rows[slot, A_HIGH] == record[KEY_A_HIGH]
                    and rows[slot, B_HIGH] == record[KEY_B_HIGH]
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
                    for at in range(WIDTH):
                        done[ended, at] = row[at]
                    ended += 1
            row = rows[slot]
            if fresh:
                for at in range(6):
                    row[at] = record[at]
                for at in range(6, WIDTH):
                    row[at] = 0
                row[RANK] = rank + p - start
                row[START] = row[END] = now
                row[WAY] = forward
                row[ICMP_FIRST] = (word >> 44) - 1
                row[A_SEQ] = row[B_SEQ] = -1
                row[A_MAC] = row[B_MAC] = -1
                q = record[WHERE] >> 32
                head, wrap = np.int64(-1), np.int64(-1)
                if q >= 0:
                    row[FIRST] = frame_number[q]
                    if frame_link[q] == 1:
                        head = frame_offset[q]
                else:
                    q = -1 - q
                    row[FIRST], row[TUNNEL] = number[q], tunnel[q]
                    head, wrap = mac[q], outer[q]
                if head != -1:
                    if head >= 0:
                        destination, source = _u48(buffer, head), _u48(buffer, head + 6)
                    else:
                        destination, source = to_station[-2 - head], from_station[-2 - head]
                    row[A_MAC] = source if forward else destination
                    row[B_MAC] = destination if forward else source
                if wrap >= 0:
                    row[OUTER_A_HIGH] = o_sh[wrap] if forward else o_dh[wrap]
                    row[OUTER_A_LOW] = o_sl[wrap] if forward else o_dl[wrap]
                    row[OUTER_B_HIGH] = o_dh[wrap] if forward else o_sh[wrap]
                    row[OUTER_B_LOW] = o_dl[wrap] if forward else o_sl[wrap]
            row[BEGAN], row[EPOCH] = began, epoch
            row[PACKETS] += 1
            row[BYTES] += size
            row[FRAME_BYTES] += record[WIRE]
            if forward:
                row[A_PACKETS] += 1
                row[A_BYTES] += size
            row[START] = min(row[START], now)
            row[END] = max(row[END], now)
            row[LAST] = now
            row[MARKS] |= word >> 41 & 7
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
            length = record[CLAIMED] + (bits & SYN > 0) + (bits & FIN > 0)
            if length == 0:
                continue
            side = 0 if forward else _SIDE
            if row[A_SEQ + side] >= 0:
                step = ((seq - row[A_SEQ + side] + 0x80000000) & 0xFFFFFFFF) - 0x80000000
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
            row[A_SEQ + side] = seq
    return used, ended, newest
