"""Lines of JSON to values with their places, compiled: which key, which line, what kind, from where to where.

Strict (RFC 8259). A line with anything unusual (double keys, escapes in keys, lone surrogates, deep nesting, huge
numbers) is left to the plain way, so whatever is told here is what any reader of JSON sees.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from cityguard.fast import compiled

NULL, FALSE, TRUE, INT, BIG, REAL, TEXT, ESCAPED = 0, 1, 2, 3, 4, 5, 6, 7
OBJECT, LIST, OBJECTS, STRANGE = 8, 9, 10, 11
"""LIST: of plain values, or empty. OBJECTS: a list of objects. STRANGE: the list holds lists, or both."""
ELEMENT: Final = 16
"""Added to a plain kind: one element of a list, or a value of an object inside a list."""
PRESENT, INNER = 12, 13
"""A list that is there, whatever its elements; an object as a value inside objects of a list."""
MAX_DEPTH: Final = 10
MAX_NAME: Final = 200
"""As ``columnar.MAX_NAME``."""
MAX_NUMBER: Final = 40
"""Characters of a number."""
_STACK: Final = MAX_DEPTH + 2
_MOST: Final = np.uint64((1 << 63) - 1)
PAD: Final = 64
"""Bytes that have to follow the text: it is read by words of eight."""
_NONE, _ONE, _TOP = np.uint64(0), np.uint64(1), np.uint64(56)
_LOWS, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _SLASHES, _BLANKS = (np.uint64(0x0101010101010101 * byte) for byte in (0x22, 0x5C, 0x20))
_ZEROS, _NINES, _NIBBLES = (np.uint64(0x0101010101010101 * byte) for byte in (0x30, 0x76, 0x0F))
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


@compiled
def _ahead(found: Any) -> Any:
    """The bytes before the lowest marked one (its high bit) of a word, the first in memory."""
    lowest = (found & (~found + _ONE)) >> np.uint64(7)
    return np.int64((((lowest - _ONE) & _LOWS) * _LOWS) >> _TOP)


@compiled
def _quote(words: Any, i: Any, end: Any) -> Any:
    """The next byte that a text does not hold as it is: a quote, a backslash, a control character."""
    while i < end:
        word = words[i]
        quote, slash = word ^ _QUOTES, word ^ _SLASHES
        found = (((quote - _LOWS) & ~quote) | ((slash - _LOWS) & ~slash) | ((word - _BLANKS) & ~word)) & _HIGHS
        if found:
            return i + _ahead(found)
        i += 8
    return end


@compiled
def _same(words: Any, one: Any, other: Any, size: Any) -> Any:
    while size >= 8:
        if words[one] != words[other]:
            return False
        one, other, size = one + 8, other + 8, size - 8
    return size == 0 or (words[one] ^ words[other]) << np.uint64(64 - 8 * size) == _NONE


@compiled
def _key(words: Any, start: Any, size: Any, salt: Any, parent: Any, paths: Any, slots: Any, used: Any) -> Any:
    """The number of a key below its parent; a new one as long as there is room, else -1."""
    mixed = salt ^ (np.uint64(parent) * _FACTOR)
    at, left = start, size
    while left > 0:
        word = words[at] if left >= 8 else words[at] << np.uint64(64 - 8 * left)
        mixed = (mixed ^ word) * _FACTOR
        mixed ^= mixed >> np.uint64(32)
        at, left = at + 8, left - 8
    mask = np.uint64(len(slots) - 1)
    place = np.int64((mixed ^ np.uint64(size)) & mask)
    while slots[place] >= 0:
        one = np.int64(slots[place])
        if paths[one, 0] == parent and paths[one, 2] == size and _same(words, start, paths[one, 1], size):
            return one
        place = (place + 1) & np.int64(mask)
    if used[0] >= len(paths):
        return np.int64(-1)
    one = used[0]
    used[0] += 1
    slots[place] = one
    paths[one, 0], paths[one, 1], paths[one, 2], paths[one, 3] = parent, start, size, -1
    paths[one, 4] = paths[one, 5] = paths[one, 6] = 0
    paths[one, 7] = size if parent == 0 else paths[parent, 7] + 1 + size
    return one


@compiled
def _text(data: Any, words: Any, i: Any, end: Any) -> Any:
    """From behind the opening quote to the closing one, and whether there are escapes; -1 = not well formed."""
    escaped = False
    while True:
        i = _quote(words, i, end)
        if i >= end:
            return -1, False
        c = data[i]
        if c == 34:
            return i, escaped
        if c != 92:
            return -1, False
        escaped = True
        i += 1
        if i >= end:
            return -1, False
        c = data[i]
        if c == 117:
            if i + 4 >= end:
                return -1, False
            for n in range(1, 5):
                h = data[i + n]
                if not (48 <= h <= 57 or 65 <= h <= 70 or 97 <= h <= 102):
                    return -1, False
            if (data[i + 1] | 32) == 100 and data[i + 2] >= 56:  # surrogates
                return -1, False
            i += 5
        elif c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
            i += 1
        else:
            return -1, False


@compiled
def _digits(words: Any, i: Any) -> Any:
    """Where a run of digits ends, and its value as long as there are at most 19."""
    value = _NONE
    while True:
        word = words[i] ^ _ZEROS
        found = ((word + _NINES) | word) & _HIGHS
        count = _ahead(found) if found else 8
        if count == 0:
            return i, value
        word = word << np.uint64(64 - 8 * count)
        word = ((word & _NIBBLES) * np.uint64(2561)) >> np.uint64(8)
        word = ((word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
        word = ((word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)
        for _ in range(count):
            value = value * np.uint64(10)
        value += word
        i += count
        if count < 8:
            return i, value


@compiled
def _number(data: Any, words: Any, i: Any, end: Any) -> Any:
    """Where a number ends, its kind and, of a whole one, the value; -1 = a case for the plain way."""
    start = i
    minus = data[i] == 45
    if minus:
        i += 1
    digits = i
    i, value = _digits(words, i)
    size = i - digits
    if i >= end or size == 0 or size > MAX_NUMBER or (size > 1 and data[digits] == 48):
        return -1, INT, np.int64(0)
    c = data[i]
    if c != 46 and c != 101 and c != 69:
        if minus and value == _NONE and size == 1:  # a whole number loses its sign, a text keeps it
            return -1, INT, np.int64(0)
        if size > 19 or value > _MOST:
            return i, BIG, np.int64(0)
        return i, INT, -np.int64(value) if minus else np.int64(value)
    if c == 46:
        i += 1
        digits = i
        i, _ = _digits(words, i)
        if i == digits or i >= end:
            return -1, INT, np.int64(0)
    if (data[i] | 32) == 101:
        i += 1
        if i < end and (data[i] == 43 or data[i] == 45):
            i += 1
        digits = i
        i, _ = _digits(words, i)
        if i == digits or i - digits > 2 or i >= end:
            return -1, INT, np.int64(0)
    if i - start > MAX_NUMBER:
        return -1, INT, np.int64(0)
    return i, REAL, np.int64(0)


@compiled
def scan(
    data: Any,
    words: Any,
    starts: Any,
    ends: Any,
    salt: Any,
    paths: Any,
    slots: Any,
    tokens: Any,
    kinds: Any,
    values: Any,
    good: Any,
) -> Any:
    """All values of all lines.

    Args:
        data: uint8, the text of all lines, and ``PAD`` bytes.
        words: uint64, the eight bytes from each place of ``data`` on.
        starts: int64[n], where each line begins.
        ends: int64[n], where it ends.
        salt: uint64, no sender knows it.
        paths: int64[m, 8] to be filled: parent, start and length of the key, the object it was last seen in, the
            kinds of its values as bits, how many are elements of lists, the key that last followed, the bytes
            of its name. Row 0 is the root.
        slots: int32, a power of two and at least 2 m, all -1.
        tokens: int32[k, 4] to be filled: path, line, start, end.
        kinds: uint8[k] to be filled.
        values: int64[k] to be filled: whole numbers.
        good: bool[n] to be filled: lines that were read.

    Returns:
        How many paths, how many values, and how many bytes the texts with escapes have.
    """
    used = np.ones(1, np.int64)
    paths[0] = 0
    paths[0, 0] = paths[0, 3] = -1
    where = np.zeros(_STACK, np.int64)  # path
    serial = np.zeros(_STACK, np.int64)  # number of the object; 0 = a list
    began = np.zeros(_STACK, np.int64)  # its first byte
    plain = np.zeros(_STACK, np.bool_)  # a list that holds plain values
    held = np.zeros(_STACK, np.bool_)  # a list that holds objects
    objects, done, spare = 0, 0, 0
    room = len(tokens)
    for row in range(len(starts)):
        i, end = starts[row], ends[row]
        first, escapes = done, 0
        good[row] = False
        while i < end and data[i] <= 32 and (data[i] == 32 or data[i] == 9 or data[i] == 10 or data[i] == 13):
            i += 1
        if i >= end or data[i] != 123:
            continue
        depth, lists = 1, 0
        objects += 1
        where[1], serial[1], began[1] = 0, objects, i
        i += 1
        # 0 the first key or the end of an object, 1 a key, 2 a value, 3 the first value or the end of a list, 4 a comma
        # or an end
        state = 0
        path = last = np.int64(0)
        while i < end:
            c = data[i]
            if c <= 32:
                if c == 32 or c == 9 or c == 10 or c == 13:
                    i += 1
                    continue
                break
            if done >= room:
                break
            if state <= 1:
                if c == 34:
                    i += 1
                    start, parent = i, where[depth]
                    told = paths[last, 6]
                    size = paths[told, 2]
                    if (
                        paths[told, 0] == parent and start + size < end and data[start + size] == 34
                        and _same(words, start, paths[told, 1], size)
                    ):  # fmt: skip
                        path = told
                        i += size
                    else:
                        i = _quote(words, i, end)
                        if i >= end or data[i] != 34:
                            break
                        path = _key(words, start, i - start, salt, parent, paths, slots, used)
                        if path < 0:
                            break
                        paths[last, 6] = path
                    last = path
                    if paths[path, 3] == serial[depth]:
                        break
                    paths[path, 3] = serial[depth]
                    i += 1
                    while i < end and (data[i] == 32 or data[i] == 9 or data[i] == 10 or data[i] == 13):
                        i += 1
                    if i >= end or data[i] != 58:
                        break
                    i += 1
                    state = 2
                    continue
                if c != 125 or state == 1:
                    break
                state = 4  # an empty object ends
            if state == 4:
                if serial[depth] > 0:
                    if c == 44:
                        i += 1
                        state = 1
                        continue
                    if c != 125:
                        break
                    i += 1
                    if lists == 0 and depth > 1:
                        tokens[done, 0], tokens[done, 1] = where[depth], row
                        tokens[done, 2], tokens[done, 3] = began[depth], i
                        kinds[done] = OBJECT
                        done += 1
                    depth -= 1
                    if depth == 0:
                        break
                    continue
                if c == 44:
                    i += 1
                    path = where[depth]
                    state = 2
                    continue
                if c != 93:
                    break
                state = 3
            if state == 3 and c == 93:
                i += 1
                lists -= 1
                kind = LIST if lists == 0 else PRESENT
                if held[depth]:
                    kind = OBJECTS if lists == 0 else INNER
                tokens[done, 0], tokens[done, 1] = where[depth], row
                tokens[done, 2], tokens[done, 3] = began[depth], i
                kinds[done] = kind
                done += 1
                if held[depth] and plain[depth]:
                    if done >= room:
                        break
                    tokens[done, 0], tokens[done, 1], tokens[done, 2], tokens[done, 3] = where[depth], row, i, i
                    kinds[done] = STRANGE
                    done += 1
                depth -= 1
                state = 4
                continue
            # a value
            within = serial[depth] == 0
            state = 4
            if c == 123 or c == 91:
                if depth >= MAX_DEPTH or paths[path, 7] > MAX_NAME:
                    break
                if within and c == 123:
                    held[depth] = True
                if lists > 0 and ((within and c == 91) or (not within and c == 123)):
                    tokens[done, 0], tokens[done, 1], tokens[done, 2], tokens[done, 3] = path, row, i, i
                    kinds[done] = STRANGE if within else INNER
                    done += 1
                depth += 1
                where[depth], began[depth] = path, i
                i += 1
                if c == 123:
                    objects += 1
                    serial[depth] = objects
                    state = 0
                else:
                    serial[depth] = 0
                    plain[depth] = held[depth] = False
                    lists += 1
                    state = 3
                continue
            start = i
            if c == 34:
                stop, escaped = _text(data, words, i + 1, end)
                if stop < 0:
                    break
                start, i = i + 1, stop + 1
                kind = TEXT
                if escaped:
                    kind = ESCAPED
                    escapes += stop - start
            elif c == 45 or 48 <= c <= 57:
                stop, kind, value = _number(data, words, i, end)
                if stop < 0:
                    break
                i = stop
                values[done] = value
            elif c == 116 and i + 4 <= end and data[i + 1] == 114 and data[i + 2] == 117 and data[i + 3] == 101:
                kind = TRUE
                i += 4
                stop = i
            elif c == 110 and i + 4 <= end and data[i + 1] == 117 and data[i + 2] == 108 and data[i + 3] == 108:
                kind = NULL
                i += 4
                stop = i
            elif (
                c == 102 and i + 5 <= end and data[i + 1] == 97 and data[i + 2] == 108
                and data[i + 3] == 115 and data[i + 4] == 101
            ):  # fmt: skip
                kind = FALSE
                i += 5
                stop = i
            else:
                break
            if lists > 0:
                if within:
                    plain[depth] = True
                    if kind == NULL:
                        continue
                    kind += ELEMENT
                else:
                    kind = PRESENT if kind == NULL else kind + ELEMENT
            tokens[done, 0], tokens[done, 1], tokens[done, 2], tokens[done, 3] = path, row, start, stop
            kinds[done] = kind
            done += 1
        if depth == 0:
            while i < end and (data[i] == 32 or data[i] == 9 or data[i] == 10 or data[i] == 13):
                i += 1
        if depth > 0 or i < end:
            done = first
            continue
        good[row] = True
        spare += escapes
        for n in range(first, done):
            one = tokens[n, 0]
            paths[one, 4] |= np.int64(1) << np.int64(kinds[n])
            if kinds[n] >= ELEMENT:
                paths[one, 5] += 1
    return used[0], done, spare


@compiled
def _real(data: Any, start: Any, end: Any, powers: Any) -> Any:
    """A number whose digits and power of ten are exact as float64, so their quotient is right (Clinger); else NaN."""
    i = start
    if data[i] == 45:
        i += 1
    value, digits = np.int64(0), 0
    shift: Any = 0
    point = False
    while i < end and data[i] != 101 and data[i] != 69:
        if data[i] == 46:
            point = True
        else:
            if digits > 0 or data[i] != 48:
                digits += 1
            if digits > 15:
                return np.nan
            value = value * 10 + np.int64(data[i] - 48)
            if point:
                shift -= 1
        i += 1
    if i < end:
        i += 1
        minus = data[i] == 45
        if minus or data[i] == 43:
            i += 1
        power: Any = 0
        while i < end:
            power = power * 10 + np.int64(data[i] - 48)
            i += 1
        shift += -power if minus else power
    if shift > 22 or shift < -22:
        return np.nan
    made = np.float64(value)
    made = made * powers[shift] if shift >= 0 else made / powers[-shift]
    return -made if data[start] == 45 else made


@compiled
def _unescaped(data: Any, start: Any, end: Any, out: Any, at: Any) -> Any:
    """Write a text without its escapes; the place behind it."""
    i = start
    while i < end:
        c = data[i]
        if c != 92:
            out[at] = c
            at += 1
            i += 1
            continue
        c = data[i + 1]
        i += 2
        if c == 117:
            code: Any = 0
            for n in range(4):
                h = np.int64(data[i + n])
                code = code * 16 + (h - 48 if h <= 57 else (h | 32) - 87)
            i += 4
            if code < 0x80:
                out[at] = code
                at += 1
            elif code < 0x800:
                out[at], out[at + 1] = 0xC0 | code >> 6, 0x80 | code & 63
                at += 2
            else:
                out[at], out[at + 1], out[at + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 63, 0x80 | code & 63
                at += 3
            continue
        if c == 98:
            c = np.uint8(8)
        elif c == 102:
            c = np.uint8(12)
        elif c == 110:
            c = np.uint8(10)
        elif c == 114:
            c = np.uint8(13)
        elif c == 116:
            c = np.uint8(9)
        out[at] = c
        at += 1
    return at


@compiled
def view(words: Any, start: Any, size: Any, buffer: Any, views: Any, at: Any) -> None:
    """A text as Arrow's string views have it: its length, and itself or its beginning and place."""
    word = words[start]
    if size > 12:
        views[at, 0] = np.uint64(size) | word << np.uint64(32)
        views[at, 1] = np.uint64(buffer) | np.uint64(start) << np.uint64(32)
        return
    if size < 4:
        word = word & ((_ONE << np.uint64(8 * size)) - _ONE)
    views[at, 0] = np.uint64(size) | word << np.uint64(32)
    views[at, 1] = words[start + 4] << np.uint64(96 - 8 * size) >> np.uint64(96 - 8 * size) if size > 4 else _NONE


@compiled
def seen(tokens: Any, kinds: Any, count: Any, groups: Any, present: Any, elements: Any) -> None:
    """Which paths have values in which group of lines, and how many elements of lists.

    Args:
        tokens, kinds, count: as for ``fill``; so is ``groups``.
        present: uint8[g, m], all 0.
        elements: int64[g, m], all 0.
    """
    for n in range(count):
        group, kind = groups[tokens[n, 1]], kinds[n]
        if group < 0 or kind in (NULL, OBJECT):
            continue
        present[group, tokens[n, 0]] = 1
        if kind >= ELEMENT:
            elements[group, tokens[n, 0]] += 1


@compiled
def fill(
    data: Any, words: Any, tokens: Any, kinds: Any, values: Any, count: Any, groups: Any, within: Any, number: Any,
    column: Any, place: Any, powers: Any, texts: Any, numbers: Any, truths: Any, there: Any, views: Any, counts: Any,
    spill: Any, spilt_words: Any, odd: Any,
) -> Any:  # fmt: skip
    """Values to their columns; each group of lines has columns of its own.

    Args:
        data: as for ``scan``; so are ``words``, ``tokens``, ``kinds`` and ``values``, of which ``count`` are filled.
        groups: int32[n], the group of each line, or -1.
        within: int32[n], its place in the group.
        number: int32[g, m], the number of each path's column in each group, or -1.
        column: int8[m], what becomes of each path: 1 texts, 2 whole numbers, 3 numbers, 4 truth values, 5 lists of
            texts.
        place: int64[k, 3] by number of the column: where it begins in the array of its kind, in ``there``, and where
            the elements of its lists begin.
        powers: float64[23] of ten.
        texts: uint64[a, 2], all 0, as string views; buffer 0 is ``data``, 1 is ``spill``.
        numbers: int64[b]; those of kind 3 hold float64.
        truths: uint8[c], all 0, bits from the lowest on.
        there: uint8[d], all 0: bits of which rows have a value.
        views: uint64[e, 2], elements of lists.
        counts: int32[f], all 0, elements of each row.
        spill: uint8, room for texts without their escapes, and ``PAD`` bytes; ``spilt_words`` as ``words``.
        odd: int64[o, 2] to be filled as far as it goes: place and token of numbers that are to be read otherwise.

    Returns:
        How many of ``odd``.
    """
    spilt, left = 0, 0
    reals = numbers.view(np.float64)
    for n in range(count):
        path, line = tokens[n, 0], tokens[n, 1]
        group = groups[line]
        if group < 0:
            continue
        mine = number[group, path]
        if mine < 0:
            continue
        kind, what = kinds[n], column[path]
        row, start, end = np.int64(within[line]), tokens[n, 2], tokens[n, 3]
        at, bit = place[mine, 0] + row, place[mine, 1] + (row >> 3)
        if what == 5:
            if kind != LIST and kind != PRESENT and kind < ELEMENT:
                continue
            there[bit] |= np.uint8(1 << (row & 7))
            if kind < ELEMENT:
                continue
            if kind == ESCAPED + ELEMENT:
                stop = _unescaped(data, start, end, spill, spilt)
                view(spilt_words, spilt, stop - spilt, 1, views, place[mine, 2])
                spilt = stop
            else:
                view(words, start, end - start, 0, views, place[mine, 2])
            place[mine, 2] += 1
            counts[at] += 1
            continue
        if kind == NULL or kind >= OBJECT:
            continue
        there[bit] |= np.uint8(1 << (row & 7))
        if what == 1:
            if kind == ESCAPED:
                stop = _unescaped(data, start, end, spill, spilt)
                view(spilt_words, spilt, stop - spilt, 1, texts, at)
                spilt = stop
            else:
                view(words, start, end - start, 0, texts, at)
        elif what == 4:
            if kind == TRUE:
                truths[place[mine, 0] + (row >> 3)] |= np.uint8(1 << (row & 7))
        elif kind == INT:
            if what == 2:
                numbers[at] = values[n]
            else:
                reals[at] = np.float64(values[n])
        else:
            made = _real(data, start, end, powers)
            reals[at] = made
            if np.isnan(made):
                odd[left, 0], odd[left, 1] = at, n
                left += 1
    return left
