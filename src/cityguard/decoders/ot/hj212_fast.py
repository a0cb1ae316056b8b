"""Loops over HJ 212 streams, compiled: where frames lie, and where in the ordinary ones everything stands.

What is not ordinary is left to ``hj212_frame`` and ``hj212_row``, which say the same of what is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cityguard.decoders.ot import hj212_names as names
from cityguard.decoders.wire import crc
from cityguard.fast import inlined, lean

QN, MN, MN_END, PW, PW_END, CP, CP_END, NUMBER = range(8)
ST, CN, FLAG, PNUM, PNUM_END, PNO, PNO_END, TIME, LETTERS, FACTORS, STATUS, STATUS_END = range(8, 20)
POL, POL_END, PARAMETER, PARAMETER_END, VALUE, VALUE_END, OTHERS, KIND = range(20, 28)
COLUMNS = 28
"""Places in ``data``, numbers, µs since the epoch, a bit per letter of the data's flags; -1 = there is none."""
REQUEST, UPLOAD, RESPONSE = range(3)
"""In ``KIND``."""
MAX_FACTORS = 128
CHECK = np.array([value >> 8 for value in crc.reflected(0xA001)], np.uint8)
LAST = np.array(crc.reflected(0xA001), np.uint16)
LETTERS_OF = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""By bit."""
_UNKNOWN, _TOLD, _SET, _FIELD, _ANSWER, _ALONE = range(6)


def _kind(code: int) -> int:
    """How a command tells who speaks."""
    if code in names.ANSWERS:
        return _ANSWER
    if code in (1014, 1022, 1032, 1072, 3015, 3016) or code in names.OLD:
        return _ALONE
    if code in names.FROM_FIELD:
        return _FIELD
    return _TOLD if names.COMMANDS[code][1] in ("read", "diagnostic") else _SET


KINDS = np.zeros(10_000, np.uint8)
for _code in names.COMMANDS:
    KINDS[_code] = _kind(_code)
_DAY = 86_400_000_000
_CITY = 8 * 3_600_000_000


@inlined
def _digits(data: Any, at: Any, end: Any) -> Any:
    """A number of digits alone; -1 = it is none."""
    value = np.int64(0)
    if at >= end:
        return np.int64(-1)
    for place in range(at, end):
        digit = np.int64(data[place]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        value = value * 10 + digit
    return value


@inlined
def _hex(data: Any, at: Any) -> Any:
    """Four hexadecimal digits; -1 = they are none."""
    value = np.int64(0)
    for place in range(at, at + 4):
        one = np.int64(data[place])
        if 48 <= one <= 57:
            one -= 48
        elif 65 <= one <= 70:
            one -= 55
        elif 97 <= one <= 102:
            one -= 87
        else:
            return np.int64(-1)
        value = value << 4 | one
    return value


@inlined
def _moment(data: Any, at: Any) -> Any:
    """YYYYMMDDhhmmss in the city's time to µs since the epoch; -1 = no such time, or not from 1971 to 2099."""
    year = _digits(data, at, at + 4)
    month = _digits(data, at + 4, at + 6)
    day = _digits(data, at + 6, at + 8)
    hour = _digits(data, at + 8, at + 10)
    minute = _digits(data, at + 10, at + 12)
    second = _digits(data, at + 12, at + 14)
    if year < 1971 or year > 2099 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23:
        return np.int64(-1)
    if minute < 0 or minute > 59 or second < 0 or second > 59:
        return np.int64(-1)
    leap = 1 if year % 4 == 0 else 0  # 2000 is one, 2100 is not reached
    most = 31
    if month in (4, 6, 9, 11):
        most = 30
    elif month == 2:
        most = 28 + leap
    if day > most:
        return np.int64(-1)
    march = year if month > 2 else year - 1  # years that begin in March: the leap day comes last
    month = month - 3 if month > 2 else month + 9
    days = march * 365 + march // 4 - march // 100 + march // 400 + (month * 153 + 2) // 5 + day - 1 - 719_468
    return days * _DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 - _CITY


@lean
def scan(data: Any, begin: Any, end: Any, starts: Any, stops: Any, left: Any, odd: Any) -> Any:
    """Where frames of the right length and end lie.

    Args:
        data: uint8[n].
        begin: int64[g], where each stream begins.
        end: int64[g], where it ends.
        starts: int64[f] to be filled: where each frame begins, in order; f = n // 12 + 1.
        stops: int64[f] to be filled: where it ends.
        left: int64[g] to be filled: what of a stream has not been read.
        odd: bool[g] to be filled: whether something else than a frame not yet whole stands there.

    Returns:
        How many frames there are.
    """
    count = 0
    for one in range(len(begin)):
        at, stop = begin[one], end[one]
        odd[one] = False
        while True:
            while at + 1 < stop and not (data[at] == 35 and data[at + 1] == 35):
                at += 1
            if at + 1 >= stop:
                if at < stop and data[at] != 35:
                    at = stop
                break
            if stop - at < 12:
                break
            length = _digits(data, at + 2, at + 6)
            place = at + 6
            while place < at + 10 and (65 <= data[place] <= 90 or 97 <= data[place] <= 122):
                place += 1
            if length < 0 or place < at + 8 or data[place] != 61:
                at += 1
                continue
            if length > 1024:
                odd[one] = True
                break
            last = at + length + 12
            if last > stop:
                break
            if data[last - 2] != 13 or data[last - 1] != 10 or _hex(data, last - 6) < 0:
                odd[one] = True
                break
            starts[count] = at
            stops[count] = last
            count += 1
            at = last
        left[one] = at
    return count


@inlined
def _is_secret(data: Any, at: Any, end: Any) -> Any:
    """Whether an item's name may be that of a secret."""
    first, second = data[at] | 32, data[at + 1] | 32 if at + 1 < end else 0
    if first == 112 and second in (119, 97):  # PW…, Password
        return True
    if first == 115 and (second in (107, 109) or (second == 101 and end - at <= 6)):  # SK, SM4Key, SetPwd
        return True
    if first == 107 and second == 101:  # Key
        return True
    return (first == 110 and second == 101) or (first == 111 and second == 108)  # New…, Old…


@inlined
def _is(data: Any, at: Any, end: Any, word: Any) -> Any:
    """Whether a name is this one."""
    if end - at != len(word):
        return False
    for place in range(len(word)):  # noqa: SIM110 - generators are not compiled
        if data[at + place] != word[place]:
            return False
    return True


@inlined
def _plain(data: Any, name: Any, equals: Any, value: Any, at: Any, row: Any) -> Any:
    """An item without a factor: 0 = of what is asked for, 1 = another; -1 = it is not an ordinary one."""
    if _is(data, name, equals, b"DataTime") or _is(data, name, equals, b"SystemTime"):
        clock = data[name] == 83
        if clock != (row[CN] == 1011 or row[CN] == 1012):
            return 1 if clock else -1
        if row[TIME] >= 0 or at - value != 14:
            return -1
        row[TIME] = _moment(data, value)
        return 1 if row[TIME] >= 0 else -1
    if _is(data, name, equals, b"PolId"):
        if row[POL] >= 0 or at == value or at - value > 64:
            return -1
        row[POL] = value
        row[POL_END] = at
        return 0
    if _is(data, name, equals, b"InfoId"):
        if row[PARAMETER] >= 0 or at == value or at - value > 64:
            return -1
        row[PARAMETER] = value
        row[PARAMETER_END] = at
        return 0
    if _is(data, name, equals, b"BeginTime") or _is(data, name, equals, b"EndTime"):
        return 0
    if _is(data, name, equals, b"QN"):
        if row[QN] >= 0 or row[NUMBER] >= 0 or at - value != 17:
            return -1
        row[NUMBER] = value
        return 1
    if _is(data, name, equals, b"QnRtn") or _is(data, name, equals, b"ExeRtn"):
        if (data[name] == 81) != (row[CN] == 9011) or row[STATUS] >= 0 or at - value > 4:
            return -1
        if _digits(data, value, at) < 0:
            return -1
        row[STATUS] = value
        row[STATUS_END] = at
        return 1
    return -1 if _is_secret(data, name, equals) else 1


@inlined
def _items(data: Any, at: Any, stop: Any, row: Any, seen: Any) -> Any:
    """The items of CP; False = they are not the ordinary ones."""
    row[TIME] = -1
    row[OTHERS] = 0
    count = 0
    letters = np.int64(0)
    while at < stop:
        if data[at] == 59 or data[at] == 44:
            at += 1
            continue
        name, dash = at, np.int64(-1)
        while at < stop and data[at] != 61:
            if data[at] == 59 or data[at] == 44 or data[at] == 32:
                return False
            if data[at] == 45:
                dash = at
            at += 1
        if at >= stop or at == name or at - name > 64:
            return False
        equals = at
        at += 1
        value = at
        if at + 1 < stop and data[at] == 47 and data[at + 1] == 47:
            at += 2
            while at + 1 < stop and not (data[at] == 47 and data[at + 1] == 47):
                at += 1
            if at + 1 >= stop:
                return False
            at += 2
            if at < stop and data[at] != 59 and data[at] != 44:
                return False
        else:
            while at < stop and data[at] != 59 and data[at] != 44:
                at += 1
        if dash < 0:
            other = _plain(data, name, equals, value, at, row)
            if other < 0:
                return False
        else:
            other = 1
            if dash == name or dash - name > 8 or dash + 1 >= equals or _is_secret(data, dash + 1, equals):
                return False
            factor = np.int64(0)
            for place in range(name, dash):
                factor = factor << 8 | np.int64(data[place])
            known = False
            for place in range(count):
                if seen[place] == factor:
                    known = True
            if not known:
                if count >= len(seen):
                    return False
                seen[count] = factor
                count += 1
            if _is(data, dash + 1, equals, b"Flag") and at > value:
                letter = np.int64(data[value])
                if at - value != 1:
                    return False
                if 48 <= letter <= 57:
                    letters |= np.int64(1) << (letter - 48)
                elif 65 <= letter <= 90:
                    letters |= np.int64(1) << (letter - 55)
                elif 97 <= letter <= 122:
                    letters |= np.int64(1) << (letter - 61)
                else:
                    return False
        if other:
            row[OTHERS] += 1
            row[VALUE] = value
            row[VALUE_END] = at
    row[LETTERS] = letters
    row[FACTORS] = count
    return True


@inlined
def _head(data: Any, at: Any, stop: Any, row: Any) -> Any:
    """The head's items, up to ``CP=&&``; where CP begins, -1 = not the ordinary ones."""
    while at < stop:
        name = at
        while at < stop and data[at] != 61:
            at += 1
        if at >= stop or at - name > 4 or at - name < 2:
            return np.int64(-1)
        size = at - name
        first, second = data[name], data[name + 1]
        at += 1
        value = at
        if size == 2 and first == 67 and second == 80:  # CP
            if at + 2 > stop or data[at] != 38 or data[at + 1] != 38:
                return np.int64(-1)
            return at + 2
        while at < stop and data[at] != 59:
            if data[at] == 32 or data[at] == 38:
                return np.int64(-1)
            at += 1
        if at >= stop:
            return np.int64(-1)
        length = at - value
        if length < 1 or length > 32:
            return np.int64(-1)
        if size == 2 and first == 81 and second == 78 and row[QN] < 0 and length == 17:
            row[QN] = value
        elif size == 2 and first == 83 and second == 84 and row[ST] < 0 and length == 2:
            row[ST] = _digits(data, value, at)
            if row[ST] < 10:
                return np.int64(-1)
        elif size == 2 and first == 67 and second == 78 and row[CN] < 0 and length == 4:
            row[CN] = _digits(data, value, at)
        elif size == 2 and first == 80 and second == 87 and row[PW] < 0:
            row[PW] = value
            row[PW_END] = at
        elif size == 2 and first == 77 and second == 78 and row[MN] < 0:
            row[MN] = value
            row[MN_END] = at
        elif size == 4 and first == 70 and second == 108 and data[name + 2] == 97 and data[name + 3] == 103:
            if row[FLAG] >= 0 or length > 3:
                return np.int64(-1)
            row[FLAG] = _digits(data, value, at)
        elif size == 4 and first == 80 and second == 78 and data[name + 2] == 85 and data[name + 3] == 77:
            if row[PNUM] >= 0 or length > 5 or _digits(data, value, at) < 0:
                return np.int64(-1)
            row[PNUM] = value
            row[PNUM_END] = at
        elif size == 3 and first == 80 and second == 78 and data[name + 2] == 79:
            if row[PNO] >= 0 or length > 5 or _digits(data, value, at) < 0:
                return np.int64(-1)
            row[PNO] = value
            row[PNO_END] = at
        else:
            return np.int64(-1)
        at += 1
    return np.int64(-1)


@inlined
def _one(data: Any, at: Any, stop: Any, row: Any, seen: Any, check: Any, last: Any, kinds: Any) -> Any:
    """One frame; False = it is not an ordinary one."""
    state = np.int64(0xFF)
    final = np.int64(0xFFFF)
    for place in range(at, stop):
        one = np.int64(data[place])
        if one < 32 or one > 126 or one == 34 or one == 92:
            return False
        index = state ^ one
        state = np.int64(check[index])
        final = np.int64(last[index])
    if final != _hex(data, stop):
        return False
    cp = _head(data, at, stop, row)
    if cp < 0 or stop - 2 < cp or data[stop - 1] != 38 or data[stop - 2] != 38:
        return False
    for place in range(cp, stop - 2):
        if data[place] == 38:
            return False
    row[CP] = cp
    row[CP_END] = stop - 2
    if row[ST] < 0 or row[MN] < 0 or row[PW] < 0 or row[CN] < 0:
        return False
    flag = max(row[FLAG], 0)
    if (flag & 2 != 0) != (row[PNUM] >= 0) or (row[PNUM] >= 0) != (row[PNO] >= 0):
        return False
    asked = np.int64(-1)  # when, by the number
    if row[QN] >= 0:
        asked = _moment(data, row[QN])
        millis = _digits(data, row[QN] + 14, row[QN] + 17)
        if asked < 0 or millis < 0:
            return False
        asked += millis * 1_000
        row[NUMBER] = row[QN]
    kind = kinds[row[CN]]
    if kind in (_UNKNOWN, _ALONE) or not _items(data, cp, stop - 2, row, seen):
        return False
    if row[TIME] < 0:
        row[TIME] = asked
    if kind == _ANSWER:
        row[KIND] = RESPONSE
        return row[POL] < 0 and row[PARAMETER] < 0
    if kind == _SET:
        row[KIND] = REQUEST
        return row[OTHERS] <= 1
    row[KIND] = UPLOAD if kind == _FIELD or row[OTHERS] > 0 else REQUEST
    return True


@lean
def cut(data: Any, starts: Any, stops: Any, rows: Any, good: Any, seen: Any, tables: Any) -> None:
    """Where in each frame everything stands.

    Args:
        data: uint8[n].
        starts: int64[f], where the frames begin.
        stops: int64[f], where they end.
        rows: int64[f, COLUMNS] to be filled.
        good: bool[f] to be filled: whether it is an ordinary frame; of others ``rows`` says nothing.
        seen: int64[MAX_FACTORS], to work in.
        tables: ``CHECK``, ``LAST`` and ``KINDS``.
    """
    check, last, kinds = tables
    for one in range(len(starts)):
        row = rows[one]
        for column in range(row.shape[0]):
            row[column] = -1
        good[one] = _one(data, starts[one] + 6, stops[one] - 6, row, seen, check, last, kinds)
