"""FTP (RFC 959, 2428, 4217): logins, and what is done to files. Passwords are passed over."""

from __future__ import annotations

from typing import Any

from cityguard.decoders import secrets
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import Dialogue, rest, word

COMMANDS = frozenset(
    (
        *("USER", "PASS", "ACCT", "CWD", "CDUP", "SMNT", "QUIT", "REIN", "PORT", "PASV", "TYPE", "STRU", "MODE"),
        *("RETR", "STOR", "STOU", "APPE", "ALLO", "REST", "RNFR", "RNTO", "ABOR", "DELE", "RMD", "MKD", "PWD"),
        *("LIST", "NLST", "SITE", "SYST", "STAT", "HELP", "NOOP", "EPRT", "EPSV", "FEAT", "OPTS", "SIZE", "MDTM"),
        *("AUTH", "PBSZ", "PROT", "CCC", "MLSD", "MLST", "XPWD", "XMKD", "XRMD", "CLNT", "HOST", "LANG"),
    )
)
_TOLD = frozenset(
    "RETR STOR STOU APPE DELE RMD XRMD MKD XMKD RNFR RNTO SITE LIST NLST MLSD CWD SIZE MDTM PORT EPRT".split()  # noqa: SIM905
)
"""Commands that make a row; the others keep the conversation going."""
_SECRET = frozenset(("PASS", "ACCT"))


class Conversation(Dialogue):
    """One control connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        super().__init__(talk)
        self._out = out
        self._client: int | None = None
        self._user = ""
        self._asked: tuple[str, str, Moment] | None = None

    def line(self, side: int, text: bytes, at: Moment) -> None:
        code = _code(text)
        if code is None and word(text) in COMMANDS and self._client in (None, side):
            self._client = side
            self._give(None, "")
            self._asked = (word(text), "" if word(text) in _SECRET else secrets.command(rest(text)), at)
        elif code is not None and self._client == 1 - side and text[3:4] != b"-":
            self._reply(code, rest(text))

    def _reply(self, code: int, said: str) -> None:
        if code < 200:  # the end of it comes later
            return
        command = self._asked[0] if self._asked else ""
        if command == "USER" and self._asked:
            self._user = self._asked[1]
        if command == "AUTH" and code == 234:
            self.done, self.then = True, "tls"
        self._give(code, said)

    def _give(self, code: int | None, said: str) -> None:
        if self._asked is None or self._client is None:
            return
        command, argument, at = self._asked
        self._asked = None
        login = command == "PASS" or (command == "USER" and code is not None and code != 331 and code != 332)
        if not login and command not in _TOLD:
            return
        outcome = "unknown" if code is None else "success" if code < 400 else "failure"
        fields: dict[str, Any] = {
            "event.action": "login" if login else command.lower(),
            "event.outcome": outcome,
            "event.code": str(code) if code is not None else None,
            "user.name": self._user or None,
            "message": said or None,
            "service.name": "ftp",
        }
        if not login:
            fields["file.path"] = argument or None
        talk = self.talk if self._client == 0 else self.talk.turned()
        self._out.add("auth" if login else "audit", at, talk, fields)

    def close(self) -> None:
        self._give(None, "")


def _code(text: bytes) -> int | None:
    return int(text[:3]) if len(text) >= 3 and text[:3].isdigit() and text[3:4] in (b" ", b"-", b"") else None


class Ftp(Speaker):
    """Every FTP control connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A greeting that names FTP, or a user's name on the usual port."""
    if data[:4] in (b"220 ", b"220-"):
        return usual or b"FTP" in data[:256].upper()
    return usual and word(data.split(b"\r", 1)[0]) in COMMANDS


PROTOCOLS = (Protocol("ftp", starts, Ftp, tcp=(21, 2121), marks=(Mark(b"220 "), Mark(b"220-")), priority=1),)
