"""SMB 2 and 3 (MS-SMB2), and what of SMB 1 is told by its header: logins, shares, files, with their status.

Encrypted messages are counted as nothing; of file contents only the length is seen.
"""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from typing import Any

from cityguard.decoders.app import ntlm
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.framed import Framed

MAX_MESSAGE = 1 << 24
MAX_WAITING, MAX_FILES = 1_024, 4_096
_KEEP = 65_536
_TWO, _ONE, _SEALED, _PACKED = b"\xfeSMB", b"\xffSMB", b"\xfdSMB", b"\xfcSMB"
_MORE, _PENDING = 0xC0000016, 0x00000103
_RESPONSE = 1
COMMANDS = (
    *("negotiate", "session-setup", "logoff", "tree-connect", "tree-disconnect", "create", "close", "flush", "read"),
    *(
        "write",
        "lock",
        "ioctl",
        "cancel",
        "echo",
        "query-directory",
        "change-notify",
        "query-info",
        "set-info",
        "oplock",
    ),
)
_TOLD = frozenset((1, 3, 5, 17))
DIALECTS = {0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1", 0x02FF: "2.???"}
STATUS = {
    0x00000000: "STATUS_SUCCESS",
    0x80000005: "STATUS_BUFFER_OVERFLOW",
    0xC000000D: "STATUS_INVALID_PARAMETER",
    0xC0000016: "STATUS_MORE_PROCESSING_REQUIRED",
    0xC0000022: "STATUS_ACCESS_DENIED",
    0xC0000033: "STATUS_OBJECT_NAME_INVALID",
    0xC0000034: "STATUS_OBJECT_NAME_NOT_FOUND",
    0xC0000035: "STATUS_OBJECT_NAME_COLLISION",
    0xC000003A: "STATUS_OBJECT_PATH_NOT_FOUND",
    0xC0000043: "STATUS_SHARING_VIOLATION",
    0xC000006D: "STATUS_LOGON_FAILURE",
    0xC000006E: "STATUS_ACCOUNT_RESTRICTION",
    0xC0000070: "STATUS_INVALID_WORKSTATION",
    0xC0000071: "STATUS_PASSWORD_EXPIRED",
    0xC0000072: "STATUS_ACCOUNT_DISABLED",
    0xC00000BA: "STATUS_FILE_IS_A_DIRECTORY",
    0xC00000CC: "STATUS_BAD_NETWORK_NAME",
    0xC0000203: "STATUS_USER_SESSION_DELETED",
    0xC0000234: "STATUS_ACCOUNT_LOCKED_OUT",
}
_DISPOSITIONS = ("supersede", "open", "create", "open-or-create", "overwrite", "overwrite-or-create")
_ACTIONS = ("superseded", "opened", "created", "overwritten")
_DELETE_ON_CLOSE = 0x1000
_head = struct.Struct("<4sHHIHHIIQ8sQ16s").unpack_from
_ONE_COMMANDS = {0x72: "negotiate", 0x73: "session-setup", 0x75: "tree-connect", 0xA2: "create", 0x2E: "read"}
_ONE_COMMANDS |= {0x2F: "write", 0x06: "delete", 0x07: "rename", 0x25: "transaction", 0x32: "transaction2"}


def _wide(raw: bytes) -> str:
    text = raw[:1_024].decode("utf-16-le", "replace")
    return "".join(one for one in text if one.isprintable())


class Conversation(Framed):
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        super().__init__(talk, _size, self._frame, MAX_MESSAGE)
        self._out = out
        self._waiting: OrderedDict[int, tuple[Talk, Moment, int, dict[str, Any]]] = OrderedDict()
        self._users: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._trees: OrderedDict[int, str] = OrderedDict()
        self._files: OrderedDict[bytes, str] = OrderedDict()
        self._dialect = ""

    def _frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        place = 4
        for _ in range(64):  # messages of one frame, each after the other
            kind = data[place : place + 4]
            if kind == _TWO and len(data) - place >= 64:
                following = int.from_bytes(data[place + 20 : place + 24], "little")
                self._two(data[place : place + (following if following >= 64 else len(data))][:_KEEP], talk, at)
                if following < 64:
                    return
                place += following
                continue
            if kind == _ONE and len(data) - place >= 33:
                self._one(data[place : place + _KEEP], talk, at)
            return

    def _two(self, data: bytes, talk: Talk, at: Moment) -> None:
        _, _, _, status, command, _, flags, _, number, place, session, _ = _head(data)
        tree = int.from_bytes(place[4:8], "little")
        if not flags & _RESPONSE:
            told = self._asked(command, data, tree)
            if told is not None:
                self._waiting[number] = (talk, at, command, told | {"session": session, "tree": tree})
                if len(self._waiting) > MAX_WAITING:
                    self._waiting.popitem(last=False)
            return
        if command == 0 and len(data) >= 70:
            self._dialect = DIALECTS.get(int.from_bytes(data[68:70], "little"), "")
        if status == _PENDING:  # an interim answer: the real one follows
            return
        asked = self._waiting.pop(number, None)
        if asked is not None:
            self._answered(asked, status, data, session, tree)

    def _asked(self, command: int, data: bytes, tree: int) -> dict[str, Any] | None:
        """What a request wants, of those that make a row."""
        if command == 1 and len(data) >= 88:
            offset, size = struct.unpack_from("<HH", data, 76)
            return {"who": ntlm.account(data[offset : offset + size])}
        if command == 3 and len(data) >= 72:
            offset, size = struct.unpack_from("<HH", data, 68)
            return {"path": _wide(data[offset : offset + size])}
        if command == 5 and len(data) >= 120:
            access = int.from_bytes(data[88:92], "little")
            wanted, options = struct.unpack_from("<II", data, 100)
            offset, size = struct.unpack_from("<HH", data, 108)
            name = _wide(data[offset : offset + size])
            found = {"path": name, "access": f"0x{access:08x}"}
            found["disposition"] = _DISPOSITIONS[wanted] if wanted < len(_DISPOSITIONS) else str(wanted)
            return found | ({"delete": True} if options & _DELETE_ON_CLOSE else {})
        if command == 17 and len(data) >= 96 and data[66] == 1 and data[67] in (10, 13):
            offset = int.from_bytes(data[72:74], "little")
            held = self._files.get(data[80:96], "")
            if data[67] == 13:
                return {"path": held, "act": "delete"} if data[offset : offset + 1] == b"\1" else None
            size = int.from_bytes(data[offset + 16 : offset + 20], "little")
            return {"path": held, "act": "rename", "target": _wide(data[offset + 20 : offset + 20 + size])}
        return None

    def _answered(
        self, asked: tuple[Talk, Moment, int, dict[str, Any]], status: int, data: bytes, session: int, tree: int
    ) -> None:
        talk, at, command, told = asked
        good = status in (0, 0x80000005)
        if command == 1:
            self._session(talk, at, told, status, session)
        elif command == 3:
            if good:
                _kept(self._trees, tree, told["path"], MAX_FILES)
            self._row("audit", talk, at, "tree-connect", status, told, {"share": told["path"]})
        elif command == 5:
            share = self._trees.get(told["tree"], "")
            if good and len(data) >= 144:
                _kept(self._files, data[128:144], told["path"], MAX_FILES)
            done = int.from_bytes(data[68:72], "little") if good and len(data) >= 72 else -1
            more = {"share": share, "access": told["access"], "disposition": told["disposition"]}
            action = _ACTIONS[done] if 0 <= done < len(_ACTIONS) else "open"
            action = "delete" if told.get("delete") else action
            self._row("file", talk, at, action, status, told, more, told["path"])
        else:
            more = {"share": self._trees.get(told["tree"], ""), "target": told.get("target")}
            self._row("file", talk, at, told["act"], status, told, more, told["path"])

    def _session(self, talk: Talk, at: Moment, told: dict[str, Any], status: int, session: int) -> None:
        if status == _MORE:
            return
        who = told["who"]
        if status == 0 and who:
            _kept(self._users, session, who, MAX_FILES)
        self._row("auth", talk, at, "login", status, told | {"session": session}, {"ntlm": who is not None}, who=who)

    def _row(
        self,
        dataset: str,
        talk: Talk,
        at: Moment,
        action: str,
        status: int,
        told: dict[str, Any],
        more: dict[str, Any],
        path: str = "",
        *,
        who: dict[str, Any] | None = None,
    ) -> None:
        said = {name: value for name, value in more.items() if value} | {"dialect": self._dialect or None}
        fields: dict[str, Any] = {
            "event.action": action,
            "event.outcome": "success" if status in (0, 0x80000005) else "failure",
            "event.code": f"0x{status:08x}",
            "event.reason": STATUS.get(status) if status else None,
            "service.name": "smb",
            "file.path": path or None,
            "file.name": path.rsplit("\\", 1)[-1] or None,
            "event.fields": json.dumps({"smb": said}, ensure_ascii=False),
        }
        self._out.add(dataset, at, talk, fields | (who or self._users.get(told["session"], {})))

    def _one(self, data: bytes, talk: Talk, at: Moment) -> None:
        """SMB 1: command and status of answers; that it is spoken at all is worth a row."""
        command, status = data[4], int.from_bytes(data[5:9], "little")
        if not data[9] & 0x80:
            if command == 0x73:
                who = ntlm.account(data)
                _kept(self._users, 0, who or {}, 1)
            return
        name = _ONE_COMMANDS.get(command)
        if name not in ("negotiate", "session-setup", "tree-connect") or status == _MORE:
            return
        self._dialect = "1"
        dataset = "auth" if command == 0x73 else "audit"
        action = "login" if command == 0x73 else name
        self._row(dataset, talk.turned(), at, action, status, {"session": 0}, {})


def _kept(table: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    table[key] = value
    if len(table) > most:
        table.popitem(last=False)


def _size(data: bytes | bytearray, at: int) -> int:
    """NetBIOS session message (RFC 1002) or direct TCP: a zero byte, length of three bytes, then SMB."""
    room = len(data) - at
    if data[at] in (0x81, 0x82, 0x83, 0x85):  # session request and its answers
        return 0 if room < 4 else 4 + (data[at + 2] << 8 | data[at + 3])
    if data[at] != 0:
        return -1
    if room < 8:
        return 0
    size = int.from_bytes(data[at + 1 : at + 4], "big")
    known = bytes(data[at + 4 : at + 8]) in (_TWO, _ONE, _SEALED, _PACKED)
    return 4 + size if known and 32 <= size <= MAX_MESSAGE - 4 else -1


class Smb(Speaker):
    """Every SMB connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A message of SMB, or a session request of NetBIOS on the usual port."""
    if data[:1] == b"\x81":
        return usual and len(data) >= 4 and data[1] == 0
    return data[:1] == b"\0" and data[4:8] in (_TWO, _ONE, _SEALED, _PACKED)


PROTOCOLS = (Protocol("smb", starts, Smb, tcp=(445, 139), marks=(Mark(_TWO, 4), Mark(_ONE, 4))),)
