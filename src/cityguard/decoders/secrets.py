"""Secrets in statements, URLs and commands: cut out before a row is made, for no column may hold one.

What stands in their place is ``***``. The patterns are linear and bounded; what they do not know stays.
"""

from __future__ import annotations

import re

HIDDEN = "***"
_QUOTED = r"(?:'(?:[^'\\]|\\.|'')*'?|\"(?:[^\"\\]|\\.)*\"?|[^\s,;()'\"]+)"
_STATEMENT = re.compile(
    r"(?is)(\bidentified\s{1,8}(?:with\s{1,8}\S{1,64}\s{1,8})?(?:by|as)\s{1,8}(?:password\s{1,8}|values\s{1,8})?"
    r"|(?<![a-z0-9_])[a-z_]{0,32}(?:password|passwd|pwd|passphrase|secret|access_key)\s{0,8}(?::?=|:|\()\s{0,8}"
    r"|\bpassword\s{1,8}(?=['\"])"
    rf"|\bset\s{{1,8}}password\s{{1,8}}for\s{{1,8}}\S{{1,128}}\s{{0,8}}=\s{{0,8}}(?!password\b)){_QUOTED}"
)
_USERINFO = re.compile(  # as it should be written; else with a / in it, where it is no port
    r"(//[^/?#@\s:]{0,255}:)(?:[^/?#\s]{1,255}(?=@)|(?!\d{1,5}(?:[/?#\s]|$))(?<!\[:)[^@\s]{1,255}(?=@))"
)
_AUTHORITY = re.compile(r"^([^/?#@\s:]{1,255}:)[^/?#@\s]{1,255}(?=@)")
_PARAMETER = re.compile(
    r"(?i)((?:^|[?&;])(?:pass|passwd|password|pwd|passphrase|secret|client_secret|access_token|refresh_token|id_token"
    r"|api_?key|private_token|user_?password|login_?password|new_?password|old_?password)=)[^&;#\s]+"
)
_COMMAND = re.compile(
    r"(?i)(\b(?:chpass|pswd|password|passwd|secret|key-string|pre-shared-key|community|masterauth|requirepass)\s+(?:[0-9]\s+)?)"
    r"[^\s]+(?:\s+[^\s]+)?"
)


_NAMES = re.compile(
    r"(?i)passw|passphrase|passcode|(?<!by)(?<!com)pass$|pwd|pswd|secret|psk|token|credential"
    r"|(?:api|auth|authorization|private|access|shared|encryption)[_-]?key|(?:^|sim|[^a-z])pin$"
)


def named(name: str) -> bool:
    """Whether a setting of this name holds a password or key."""
    return _NAMES.search(name.rstrip(" .\0")) is not None


def statement(text: str) -> str:
    """A database statement without the passwords it sets."""
    return _STATEMENT.sub(rf"\1{HIDDEN}", text)


def url(text: str) -> str:
    """A URL, its query, or an authority, without a password in it."""
    if "@" in text:
        text = _AUTHORITY.sub(rf"\1{HIDDEN}", _USERINFO.sub(rf"\1{HIDDEN}", text))
    return _PARAMETER.sub(rf"\1{HIDDEN}", text) if "=" in text else text


def command(text: str) -> str:
    """A command whose words after a password's name are cut."""
    return _COMMAND.sub(rf"\1{HIDDEN}", text)
