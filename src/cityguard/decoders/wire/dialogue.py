"""Conversations in lines of text (FTP, SMTP, POP3, IMAP, Telnet's prompts): bounded lines, in order, side by side."""

from __future__ import annotations

from cityguard.decoders.events import Talk
from cityguard.decoders.stream import Moment

MAX_LINE = 8_192
"""Bytes of one line; the rest of a longer one is passed over."""


class Dialogue:
    """Cuts both sides into lines. Subclasses take them; never raises on any bytes."""

    def __init__(self, talk: Talk) -> None:
        self.done, self.held, self.then = False, 0, ""
        self.talk = talk
        self._buffers = (bytearray(), bytearray())
        self._over = [False, False]  # the rest of a line that was too long

    def line(self, side: int, text: bytes, at: Moment) -> None:
        """A whole line without its end."""
        raise NotImplementedError

    def raw(self, side: int, data: bytes, at: Moment) -> bool:
        """Bytes before they are cut into lines; True = they are no lines (a body) and taken."""
        return False

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        if self.raw(side, data, at):
            return
        buffer = self._buffers[side]
        buffer += data
        place = 0
        while not self.done:
            end = buffer.find(b"\n", place)
            if end < 0:
                break
            if self._over[side]:
                self._over[side] = False
            else:
                self.line(side, bytes(buffer[place:end]).rstrip(b"\r"), at)
            place = end + 1
        del buffer[:place]
        if len(buffer) > MAX_LINE:
            if not self._over[side]:
                self.line(side, bytes(buffer[:MAX_LINE]), at)
            self._over[side] = True
            buffer.clear()
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._over[side] = True

    def close(self) -> None:
        """Nothing to give, unless a subclass has."""


def word(text: bytes) -> str:
    """The first word of a line, in capitals."""
    return text.split(b" ", 1)[0][:16].decode("latin-1").upper()


def rest(text: bytes) -> str:
    """What follows the first word."""
    parts = text.split(b" ", 1)
    return readable(parts[1]) if len(parts) > 1 else ""


def readable(raw: bytes, most: int = 1_024) -> str:
    """Text of unknown encoding, bounded: UTF-8, else GB18030, else Latin-1; without control characters."""
    raw = raw[:most]
    for encoding in ("utf-8", "gb18030"):
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = raw.decode("latin-1")
    text = text.strip()
    return text if text.isprintable() else "".join(one for one in text if one.isprintable())
