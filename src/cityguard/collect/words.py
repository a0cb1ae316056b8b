"""Words devices use for verdicts, results, severities and protocols, Chinese and English, to one vocabulary."""

from __future__ import annotations

from typing import Final

import polars as pl

KINDS: Final = ("verdict", "outcome", "severity", "transport", "mac")
"""What ``words:`` of a column may name."""

_BE: Final = r"\s+(?:(?:be|been|being|is|was|were|get|yet|any)\s+)*"
_NO: Final = rf"\b(?:not|no|non|never|without){_BE}"
_STOP: Final = r"(?:den(?:y|ied|ial)|block|drop|reject|forbid|reset|discard|quarantin|prevent|refus)[a-z]*"
_STOPPED: Final = r"(?:拒绝|阻断|阻止|阻拦|拦截|丢弃|封禁|封锁|隔离|处理|处置)"
_FREED: Final = (
    r"(?:解除|取消|撤销)了?(?:对.{1,20}的)?(?:封禁|封锁|阻断|隔离|禁止|拦截|阻止)|解封|解禁"
    r"|\bun(?:block|ban|quarantin)[a-z]*"
)
_UNLOCKED: Final = r"(?:解除|取消)锁定|解锁|\bunlock[a-z]*"
_UNSAID: Final = (
    (_UNLOCKED, " "),  # what is no verdict and no result
    (_FREED, " allow "),
    (rf"{_NO}(?:allow|permit|accept|pass|trust|authori[sz])[a-z]*", " deny "),
    (r"\b(?:disallow|unauthori[sz]|unpermitted|unaccept)[a-z]*|(?:不|未|没有|不予)(?:允许|放行|通过|授权)", " deny "),
    (rf"{_NO}{_STOP}|(?:未|没有|不)(?:被|予)?{_STOPPED}", " detect "),
)
"""Negations, and what stands for them: a word within one says the opposite."""
_UNDONE: Final = (
    (rf"{_NO}(?:succe|normal|valid|correct|authenticat|found|exist|ok\b)[a-z]*", " fail "),
    (r"\b(?:unsucc|abnormal|unable)[a-z]*|(?:未|不|没有)(?:成功|正常|正确)|未能", " fail "),
    (rf"(?:{_NO}|\b0\s+)(?:error|err|fail|timeout|exception)[a-z]*|\berror\s+free", " success "),
    (r"(?:无|没有|未发现|未出现)(?:错误|异常|失败|超时)", " success "),
)
"""The same of results."""
_DENIED: Final = (
    r"拒绝|阻断|阻止|阻拦|拦截|丢弃|封禁|封锁|隔离|禁止|越权|den(?:y|ied)|block|drop|reject|forbid|\breset|discard"
    r"|quarantine|\bprevent(?:ed|s)?\b|disconnect|\bkill(?:ed)?\b|\bban(?:ned)?\b|^rst"
)
_ALLOWED: Final = (
    r"允许|放行|通过|放过|permit|accept|\bpass(?:ed|es|ing|through)?\b|\ballow|\btrust(?:ed)?\b|\bbypass(?:ed)?\b"
)
_DETECTED: Final = (
    r"告警|报警|记录|检测|审计|上报|\blog(?:s|ged|ging)?\b|alert|alarm|detect|\bcontinue|\bdeclare|\bobserve|\baudit"
    r"|\bmonitor|\bwarn"
)
_FAILED: Final = (
    r"失败|错误|异常|拒绝|无效|不存在|锁定|超时|fail|error|\binvalid|\bincorrect|\bwrong|refuse"
    r"|\b(?:user|account)?lock(?:ed|out)?\b|timeout|\btimed out|^no?$|^false$|^f$"
)
_SUCCEEDED: Final = r"成功|正常|正确|succ|^ok$|^yes$|^y$|^true$|^t$|\bnormal\b"
_LEVEL: Final = r"(?:^|[^\p{Han}]|[级别险胁度性为是偏较很最极])%s(?:$|[^\p{Han}]|[危级等度]|风险|威胁|优先)"
_MILD: Final = rf"(?:不|非|不太|不算)(?:严重|紧急|致命|危急)|(?:{_NO})(?:critical|urgent|fatal|severe|serious|high)\b"
_SAFE: Final = r"(?:不|非)安全|\bunsafe\b"
_SEVERITIES: Final = (
    (5, r"紧急|致命|严重|危急|超危|特别重大|\bcritical|\bemerg|\bfatal|\burgent"),
    (4, _LEVEL % "高" + r"|重大|\bhigh|\bserious|\bmajor|\bsevere"),
    (3, _LEVEL % "中" + r"|较大|\bmedium|\bmiddle|\bmoderate|\bmid"),
    (2, _LEVEL % "低" + r"|轻微|\blow|\bminor"),
    (1, r"信息|一般|提示|通知|无威胁|安全|^无$|\binfo|\bnotice|^none$|\bsafe\b"),
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
    # A device has few words, and says them in every line.
    words = pl.DataFrame({"t": column.unique().drop_nulls()}).with_columns(w=pl.col("t").str.strip_chars())
    answers = words.select("t", _told(kind).alias("a"))
    told = column.replace_strict(answers["t"], answers["a"], default=None, return_dtype=pl.String)
    return told.alias(column.name)


def _parted(word: pl.Expr) -> pl.Expr:
    """Lower case, Latin words apart from each other and from all else: ``LoginFailed``, ``POLICY_DENY``, ``登录ok``."""
    camel = word.str.replace_all(r"([a-z])([A-Z])", "${1} ${2}").str.to_lowercase()
    return camel.str.replace_all(r"[a-z]+", " ${0} ").str.replace_all(r"[\s_-]+", " ").str.strip_chars()


def _replaced(word: pl.Expr, pairs: tuple[tuple[str, str], ...]) -> pl.Expr:
    for pattern, meant in pairs:
        word = word.str.replace_all(pattern, meant)
    return word.str.strip_chars()


def _told(kind: str) -> pl.Expr:
    """The word for column ``w``."""
    word = _parted(pl.col("w"))
    if kind == "severity":
        word = _replaced(word, ((_MILD, " low "), (_SAFE, " ")))
        levels = [pl.when(word.str.contains(pattern)).then(pl.lit(str(number))) for number, pattern in _SEVERITIES]
        return pl.coalesce(pl.when(pl.col("w").str.contains(r"^\d{1,2}$")).then(pl.col("w")), *levels)
    word = _replaced(word, _UNSAID)
    verdict = (
        pl.when(word.str.contains(_DENIED))
        .then(pl.lit("denied"))
        .when(word.str.contains(_ALLOWED))
        .then(pl.lit("allowed"))
        .when(word.str.contains(_DETECTED))
        .then(pl.lit("detected"))
    )
    if kind == "verdict":
        return verdict.otherwise(pl.col("w").str.to_lowercase())
    result = _replaced(word, _UNDONE)
    outcomes = {"denied": "failure", "allowed": "success", "detected": "unknown"}
    return (
        pl.when(result.str.contains(_FAILED))
        .then(pl.lit("failure"))
        .when(result.str.contains(_SUCCEEDED))
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
