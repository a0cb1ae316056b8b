"""Words devices use for verdicts, results, severities and protocols, Chinese and English, to one vocabulary."""

from __future__ import annotations

from typing import Final

import polars as pl

KINDS: Final = ("verdict", "outcome", "severity", "transport", "mac")
"""What ``words:`` of a column may name."""

_NOT: Final = r"未(?:被)?(?:阻断|拦截|阻止|处理|丢弃)|不(?:阻断|拦截)|not[ _-]?block|no[ _-]?block|^monitor$"
_DENIED: Final = (
    r"拒绝|阻断|阻止|阻拦|拦截|丢弃|封禁|封锁|隔离|禁止|越权|den(?:y|ied)|block|drop|reject|forbid|forbidden|reset|discard"
    r"|quarantine|prevent|disconnect|^kill|^ban|^rst"
)
_ALLOWED: Final = r"允许|放行|通过|放过|permit|accept|pass|allow|trust|bypass"
_DETECTED: Final = r"告警|报警|记录|检测|审计|上报|log|alert|alarm|detect|continue|declare|observe|audit|monitor|warn"
_FAILED: Final = (
    r"失败|错误|异常|拒绝|无效|不存在|锁定|超时|未成功|不成功|fail|error|unsuccess|invalid|incorrect|wrong|refuse|lock"
    r"|timeout|^no?$|^false$|^f$"
)
_SUCCEEDED: Final = r"成功|正常|正确|success|succe|^ok$|^yes$|^y$|^true$|^t$|normal"
_SEVERITIES: Final = (
    (5, r"紧急|致命|严重|危急|超危|特别重大|critical|emerg|fatal|urgent"),
    (4, r"高|重大|high|serious|major|severe"),
    (3, r"中|较大|medium|middle|moderate|^mid"),
    (2, r"低|轻微|low|minor"),
    (1, r"信息|一般|提示|通知|无威胁|安全|^无$|info|notice|^none$|safe"),
)
_TRANSPORTS: Final = {
    "1": "icmp",
    "2": "igmp",
    "4": "ipv4",
    "6": "tcp",
    "17": "udp",
    "41": "ipv6",
    "46": "rsvp",
    "47": "gre",
    "50": "esp",
    "51": "ah",
    "58": "ipv6-icmp",
    "88": "eigrp",
    "89": "ospf",
    "103": "pim",
    "112": "vrrp",
    "115": "l2tp",
    "132": "sctp",
    "icmpv6": "ipv6-icmp",
    "icmp6": "ipv6-icmp",
}


def translate(column: pl.Series, kind: str) -> pl.Series:
    """The vocabulary's word for each cell, case-blind.

    ``verdict``: allowed, denied, detected; other words stay, lower case. ``outcome``: success, failure, of verdicts
    and of results; detected only is unknown, other words are null. ``severity``: 1 information to 5 critical; whole
    numbers stay, other words are null. ``transport``: the IANA name of a name or number, whatever stands around it.
    ``mac``: twelve hex digits however parted, lower case with colons; else null.

    Args:
        column: n texts.
        kind: one of ``KINDS``.

    Returns:
        n texts.
    """
    text = column.str.strip_chars().str.to_lowercase()
    if kind == "transport":
        word = text.str.strip_prefix("ipproto_").str.extract(r"([a-z][a-z0-9-]*|^\d{1,3}$)", 1)
        return word.replace(_TRANSPORTS)
    if kind == "mac":
        digits = text.str.replace_all("[-:. ]", "").str.extract("^([0-9a-f]{12})$", 1)
        return pl.select(
            pl.concat_str([digits.str.slice(n, 2) for n in range(0, 12, 2)], separator=":").alias(column.name)
        ).to_series()
    return text.to_frame("w").select(_told(kind).alias(column.name)).to_series()


def _told(kind: str) -> pl.Expr:
    """The word for column ``w``, in lower case already."""
    word = pl.col("w")
    if kind == "severity":
        levels = [pl.when(word.str.contains(pattern)).then(pl.lit(str(number))) for number, pattern in _SEVERITIES]
        return pl.coalesce(pl.when(word.str.contains(r"^\d{1,2}$")).then(word), *levels)
    verdict = (
        pl.when(word.str.contains(_NOT))
        .then(pl.lit("detected"))
        .when(word.str.contains(_DENIED))
        .then(pl.lit("denied"))
        .when(word.str.contains(_ALLOWED))
        .then(pl.lit("allowed"))
        .when(word.str.contains(_DETECTED))
        .then(pl.lit("detected"))
    )
    if kind == "verdict":
        return verdict.otherwise(word)
    outcomes = {"denied": "failure", "allowed": "success", "detected": "unknown"}
    return (
        pl.when(word.str.contains(_FAILED))
        .then(pl.lit("failure"))
        .when(word.str.contains(_SUCCEEDED))
        .then(pl.lit("success"))
        .otherwise(verdict.otherwise(None).replace(outcomes))
    )


def decoded(column: pl.Series, how: str) -> pl.Series:
    """Texts that a device wrote in ``hex``, ``base64`` (URL-safe too) or ``ip_hex``.

    ``ip_hex``: ``4-`` and 8 digits, or ``6-`` and 32, are an address; other words stay. Else what does not fit is null.
    """
    if how == "ip_hex":
        four = column.str.extract(r"^\s*(?:4-|0x)?([0-9A-Fa-f]{8})\s*$", 1)
        octets = [four.str.slice(n, 2).str.to_integer(base=16, strict=False).cast(pl.String) for n in (0, 2, 4, 6)]
        six = column.str.extract(r"^\s*(?:6-)?([0-9A-Fa-f]{32})\s*$", 1)
        groups = [six.str.slice(n, 4) for n in range(0, 32, 4)]
        made = (pl.concat_str(octets, separator="."), pl.concat_str(groups, separator=":"), column)
        return pl.select(pl.coalesce(*made).alias(column.name)).to_series()
    text = column.str.replace_all(r"\s", "")
    if how == "hex":
        fits = text.str.contains(r"^(?:[0-9A-Fa-f]{2})+$").fill_null(value=False)
    else:
        text = text.str.replace_all("-", "+", literal=True).str.replace_all("_", "/", literal=True)
        text = text.str.strip_chars_end("=")
        text = (
            text.str.pad_end(0, "=")
            + pl.select(
                pl.when(pl.lit(text.str.len_bytes() % 4) == 2)
                .then(pl.lit("=="))
                .when(pl.lit(text.str.len_bytes() % 4) == 3)
                .then(pl.lit("="))
                .otherwise(pl.lit(""))
            ).to_series()
        )
        fits = text.str.contains(r"^[A-Za-z0-9+/]+={0,2}$").fill_null(value=False)
    whole = text.set(~fits, None)
    raw = whole.str.decode("hex" if how == "hex" else "base64", strict=False)
    values = [None if one is None else _text(one) for one in raw.to_list()]
    return pl.Series(column.name, values, pl.String)


def _text(raw: bytes) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")
