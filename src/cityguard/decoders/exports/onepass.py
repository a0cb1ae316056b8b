"""Records of ordinary templates to final columns by compiled passes; equal to ``rows.table``."""

from __future__ import annotations

from typing import Any

import numpy as np

from cityguard.fast import compiled

# Fields of a layout, by their place in its arrays.
PROTO, SOURCE4, DESTINATION4, SOURCE6, DESTINATION6, SOURCE_PORT, DESTINATION_PORT = range(7)
BYTES, PACKETS, START, END, FLAGS, PING, VLAN, STATE, DIRECTION = range(7, 16)
FIELDS = 16
# Forms of times.
NONE, UPTIME, SECONDS, MILLISECONDS = range(4)
# What comes out, by row of the arrays of each width.
TIME, BEGAN, ENDED, DURATION, PLACE, OCTETS, COUNTED = range(7)
LONGS = 7
FROM, TO, TAGGED, TCP_FLAGS, KIND, CODE, PROTOCOL = range(7)
INTS = 7
AT_SOURCE, AT_DESTINATION, TRANSPORT, REASON, WAY = range(5)
VIEWS = 5

_UPTIMES = 1 << 32
_DOT, _LAST = (
    np.array([int.from_bytes(f"{one}{end}".encode(), "little") for one in range(256)], np.uint64) for end in (".", "")
)
_DIGITS = np.array([len(str(one)) for one in range(256)], np.int64)
_LOW = np.uint64(0xFFFFFFFF)


@compiled
def _number(buffer: Any, place: int, size: int) -> Any:
    """A big-endian number; -1 where there is none, or 63 bits do not hold it."""
    at = np.uint64(place)  # places that cannot be negative need no look whether they are
    if size == 4:
        return (
            np.int64(buffer[at]) << 24
            | np.int64(buffer[at + np.uint64(1)]) << 16
            | np.int64(buffer[at + np.uint64(2)]) << 8
            | np.int64(buffer[at + np.uint64(3)])
        )
    if size == 2:
        return np.int64(buffer[at]) << 8 | np.int64(buffer[at + np.uint64(1)])
    if size == 1:
        return np.int64(buffer[at])
    if size == 0:
        return np.int64(-1)
    value = np.uint64(0)
    for octet in range(size):
        value = value << np.uint64(8) | np.uint64(buffer[at + np.uint64(octet)])
    return np.int64(value) if value < np.uint64(1 << 63) else np.int64(-1)


@compiled
def _half(buffer: Any, at: int) -> Any:
    value = np.uint64(0)
    for octet in range(8):
        value = value << np.uint64(8) | np.uint64(buffer[at + octet])
    return value


@compiled
def _dotted(value: Any, views: Any, row: int, text: Any, used: int) -> Any:
    """An IPv4 address as a string view (Arrow columnar format: 16 bytes; more than 12 characters stand in ``text``)."""
    one, two, at = np.uint64(0), np.uint64(0), 0
    for nth in range(4):
        octet = value >> (24 - 8 * nth) & 255
        part = _LAST[octet] if nth == 3 else _DOT[octet]
        if at < 8:
            one |= part << np.uint64(8 * at)
            if at > 4:
                two |= part >> np.uint64(8 * (8 - at))
        else:
            two |= part << np.uint64(8 * (at - 8))
        at += _DIGITS[octet] + 1
    size = at - 1
    if size <= 12:
        views[row, 0] = np.uint64(size) | one << np.uint64(32)
        views[row, 1] = one >> np.uint64(32) | two << np.uint64(32)
        return used
    text[used], text[used + 1] = one, two
    views[row, 0] = np.uint64(size) | (one & _LOW) << np.uint64(32)
    views[row, 1] = np.uint64(used * 8) << np.uint64(32)
    return used + 2


@compiled
def _colons(high: Any, low: Any, views: Any, row: int, text: Any, used: int, group: Any, signs: Any) -> Any:
    """An IPv6 address in canonical form (RFC 5952) as a string view."""
    for nth in range(4):
        group[nth] = np.int64(high >> np.uint64(48 - 16 * nth)) & 0xFFFF
        group[nth + 4] = np.int64(low >> np.uint64(48 - 16 * nth)) & 0xFFFF
    best, length, run = -1, 1, 0  # the longest run of at least two zeros, the first of equal ones
    for nth in range(8):
        run = run + 1 if group[nth] == 0 else 0
        if run > length:
            best, length = nth - run + 1, run
    signs[:] = 0
    at = nth = 0
    while nth < 8:
        if nth == best:
            signs[at] = signs[at + 1] = 58
            at += 2
            nth += length
            continue
        if nth and nth != best + length:
            signs[at] = 58
            at += 1
        begun = False
        for shift in (12, 8, 4, 0):
            digit = group[nth] >> shift & 15
            if digit or begun or shift == 0:
                signs[at] = 48 + digit if digit < 10 else 87 + digit
                at += 1
                begun = True
        nth += 1
    words = (at + 7) // 8
    first = second = np.uint64(0)
    for word in range(words):
        value = np.uint64(0)
        for octet in range(8):
            value |= np.uint64(signs[word * 8 + octet]) << np.uint64(8 * octet)
        text[used + word] = value
        if word == 0:
            first = value
        elif word == 1:
            second = value
    if at <= 12:
        views[row, 0] = np.uint64(at) | first << np.uint64(32)
        views[row, 1] = first >> np.uint64(32) | second << np.uint64(32)
        return used
    views[row, 0] = np.uint64(at) | (first & _LOW) << np.uint64(32)
    views[row, 1] = np.uint64(used * 8) << np.uint64(32)
    return used + words


@compiled
def _time(value: Any, form: int, exported: Any, boot: Any) -> Any:
    """ns since 1970, 0 where unknown or absurd; ``times._scaled``."""
    if value < 0:
        return np.int64(0)
    if form == UPTIME:
        age = (exported // 1_000_000 - boot - value) & (_UPTIMES - 1)
        if age > _UPTIMES // 2:
            age -= _UPTIMES
        return max(exported - age * 1_000_000, 0)
    if form == MILLISECONDS:
        return value * 1_000_000 if 0 < value < 9_000_000_000_000 else np.int64(0)
    return value * 1_000_000_000 if 0 < value < 9_000_000_000 else np.int64(0)


@compiled
def _word(buffer: Any, at: int, size: int) -> Any:
    value = _number(buffer, at, size)
    return value if 0 <= value < 256 else np.int64(256)


@compiled
def numbers(
    buffer: Any,
    sets: Any,
    step: Any,
    at: Any,
    sizes: Any,
    forms: Any,
    more_at: Any,
    more_sizes: Any,
    above: Any,
    datagrams: Any,
    longs: Any,
    ints: Any,
) -> Any:
    """Times and numbers of every record of every set, in order.

    Args:
        buffer: uint8, all datagrams.
        sets: int64[4, s]: where each begins, its records, its layout and its datagram.
        step: int64[p], bytes of a record of each layout.
        at: int64[p, FIELDS], where in a record each field stands.
        sizes: int64[p, FIELDS]; 0 = there is none.
        forms: int64[p, 2], of start and end.
        more_at: int64[p, m], numbers that have a column of their own.
        more_sizes: int64[p, m].
        above: int64[m], the least number of each that is told.
        datagrams: int64[4, d]: place, time of export (ns), time where records tell none (ns), boot (ms).
        longs: int64[LONGS + m, n], filled; -1 (times: 0 or less) = null.
        ints: int32[INTS, n], filled; -1 = null.

    Returns:
        int64[LONGS + m + INTS]: nulls of each column.
    """
    count = longs.shape[0]
    nulls = np.zeros(count + INTS, np.int64)
    row = 0
    for nth in range(sets.shape[1]):
        begin, plan, owner = sets[0, nth], sets[2, nth], sets[3, nth]
        place, exported, arrived, boot = (
            datagrams[0, owner],
            datagrams[1, owner],
            datagrams[2, owner],
            datagrams[3, owner],
        )
        where, wide = at[plan], sizes[plan]
        start_form, end_form = forms[plan, 0], forms[plan, 1]
        for _ in range(sets[1, nth]):
            proto = _number(buffer, begin + where[PROTO], wide[PROTO])
            ints[PROTOCOL, row] = proto
            pings = proto == 1 or proto == 58
            # When.
            start = end = np.int64(0)
            first = last = np.int64(-1)
            if start_form != NONE:
                first = _number(buffer, begin + where[START], wide[START])
                start = _time(first, start_form, exported, boot)
            if end_form != NONE:
                last = _number(buffer, begin + where[END], wide[END])
                end = _time(last, end_form, exported, boot)
            time = start if start > 0 else (end if end > 0 else arrived)
            duration = np.int64(-1)
            if start > 0 and end >= start:
                duration = end - start
            elif start_form == UPTIME and end_form == UPTIME:
                length = (last - first) & (_UPTIMES - 1)
                if length < _UPTIMES // 2:
                    duration = length * 1_000_000
            longs[TIME, row] = time // 1000
            longs[BEGAN, row] = start // 1000
            longs[ENDED, row] = end // 1000
            longs[DURATION, row] = duration
            nulls[TIME] += time <= 0
            nulls[BEGAN] += start <= 0
            nulls[ENDED] += end <= 0
            nulls[DURATION] += duration < 0
            longs[PLACE, row] = place
            # How much.
            value = _number(buffer, begin + where[BYTES], wide[BYTES])
            longs[OCTETS, row] = value
            nulls[OCTETS] += value < 0
            value = _number(buffer, begin + where[PACKETS], wide[PACKETS])
            longs[COUNTED, row] = value
            nulls[COUNTED] += value < 0
            for one in range(count - LONGS):
                value = _number(buffer, begin + more_at[plan, one], more_sizes[plan, one])
                if value < above[one]:
                    value = np.int64(-1)
                longs[LONGS + one, row] = value
                nulls[LONGS + one] += value < 0
            # Ports and the like.
            target = _number(buffer, begin + where[DESTINATION_PORT], wide[DESTINATION_PORT])
            port = _number(buffer, begin + where[SOURCE_PORT], wide[SOURCE_PORT])
            port = np.int64(-1) if pings or port >= 1 << 31 else port
            ints[FROM, row] = port
            nulls[count + FROM] += port < 0
            port = np.int64(-1) if pings or target >= 1 << 31 else target
            ints[TO, row] = port
            nulls[count + TO] += port < 0
            value = _number(buffer, begin + where[VLAN], wide[VLAN])
            value = value & 0xFFF if value > 0 else np.int64(-1)
            ints[TAGGED, row] = value
            nulls[count + TAGGED] += value < 0
            value = np.int64(-1)
            if proto == 6 or proto < 0:
                value = _number(buffer, begin + where[FLAGS], wide[FLAGS])
                value = np.int64(-1) if value >= 1 << 31 else value
            ints[TCP_FLAGS, row] = value
            nulls[count + TCP_FLAGS] += value < 0
            ping = np.int64(-1)
            if pings:
                ping = _number(buffer, begin + where[PING], wide[PING])
                if 0 < target < 256:
                    target = target << 8
                ping = max(ping, target)
                if ping >= 0:
                    ping &= 0xFFFF
                    if ping == 0 and proto != 1:
                        ping = np.int64(-1)
            ints[KIND, row] = ping >> 8
            ints[CODE, row] = ping & 255 if ping >= 0 else np.int64(-1)
            nulls[count + KIND] += ping < 0
            nulls[count + CODE] += ping < 0
            begin += step[plan]
            row += 1
    return nulls


@compiled
def words(buffer: Any, sets: Any, step: Any, at: Any, sizes: Any, known: Any, views: Any) -> Any:
    """Transport, reason and direction of every record as string views.

    Args:
        buffer: as ``numbers`` takes it, like ``sets``, ``step``, ``at`` and ``sizes``.
        sets: see there.
        step: see there.
        at: see there.
        sizes: see there.
        known: uint64[3, 257, 2], views by number; length 0 = null.
        views: uint64[VIEWS, n, 2], filled.

    Returns:
        int64[3]: nulls of each column.
    """
    nulls = np.zeros(3, np.int64)
    row = 0
    for nth in range(sets.shape[1]):
        begin, plan = sets[0, nth], sets[2, nth]
        place0, place1, place2 = at[plan, PROTO], at[plan, STATE], at[plan, DIRECTION]
        size0, size1, size2 = sizes[plan, PROTO], sizes[plan, STATE], sizes[plan, DIRECTION]
        for _ in range(sets[1, nth]):
            one = _word(buffer, begin + place0, size0)
            views[TRANSPORT, row, 0], views[TRANSPORT, row, 1] = known[0, one, 0], known[0, one, 1]
            nulls[0] += known[0, one, 0] == 0
            one = _word(buffer, begin + place1, size1)
            views[REASON, row, 0], views[REASON, row, 1] = known[1, one, 0], known[1, one, 1]
            nulls[1] += known[1, one, 0] == 0
            one = _word(buffer, begin + place2, size2)
            views[WAY, row, 0], views[WAY, row, 1] = known[2, one, 0], known[2, one, 1]
            nulls[2] += known[2, one, 0] == 0
            begin += step[plan]
            row += 1
    return nulls


@compiled
def addresses(
    buffer: Any, sets: Any, step: Any, at: Any, sizes: Any, side: int, views: Any, text: Any, ends: Any
) -> Any:
    """One end of every record as string views: IPv4 unless there is none, or it is 0.0.0.0 and the IPv6 one is not ::.

    Args:
        buffer: as ``numbers`` takes it, like ``sets``, ``step``, ``at`` and ``sizes``.
        sets: see there.
        step: see there.
        at: see there.
        sizes: see there.
        side: 0 = source, 1 = destination.
        views: uint64[n, 2], filled; length 0 = null.
        text: uint64[...], filled with what views do not hold themselves.
        ends: uint64[2, n] or of no rows, filled with the addresses' halves.

    Returns:
        Nulls, and the words of ``text`` used.
    """
    group, signs = np.empty(8, np.int64), np.empty(40, np.uint8)
    keep = ends.shape[1] > 0
    used = row = nulls = 0
    for nth in range(sets.shape[1]):
        begin, plan = sets[0, nth], sets[2, nth]
        four_at, four_size = at[plan, SOURCE4 + side], sizes[plan, SOURCE4 + side]
        six_at, six_size = at[plan, SOURCE6 + side], sizes[plan, SOURCE6 + side]
        for _ in range(sets[1, nth]):
            high = low = np.uint64(0)
            four, short = True, np.int64(0)
            if four_size > 0:
                short = _number(buffer, begin + four_at, 4)
            if short == 0 and six_size > 0:
                high, low = _half(buffer, begin + six_at), _half(buffer, begin + six_at + 8)
                four = four_size > 0 and (high | low) == np.uint64(0)
            if not four and high == np.uint64(0) and low >> np.uint64(32) == np.uint64(0xFFFF):
                four, short = True, np.int64(low & _LOW)
            if (four and short == 0) or (not four and (high | low) == np.uint64(0)):
                views[row, 0] = views[row, 1] = np.uint64(0)
                nulls += 1
            elif four:
                used = _dotted(short, views, row, text, used)
            else:
                used = _colons(high, low, views, row, text, used, group, signs)
            if keep:
                if four:
                    high, low = np.uint64(0), np.uint64(0xFFFF_0000_0000) | np.uint64(short)
                ends[0, row], ends[1, row] = high, low
            begin += step[plan]
            row += 1
    return nulls, used
