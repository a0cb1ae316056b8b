"""Words of devices: verdicts, results, severities, protocols and coded texts, one vocabulary for both languages."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.collect import mapping, words
from cityguard.model import EventBatch


@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        ("verdict", "拒绝", "denied"),
        ("verdict", "Reset & Logging", "denied"),
        ("verdict", "POLICY_PERMIT", "allowed"),
        ("verdict", "log-only", "detected"),
        ("verdict", "未拦截", "detected"),
        ("verdict", "Sandboxed", "sandboxed"),
        ("outcome", "阻断", "failure"),
        ("outcome", "登录失败，您还剩4次机会", "failure"),
        ("outcome", "unsuccessful", "failure"),
        ("outcome", "操作成功", "success"),
        ("outcome", "N", "failure"),
        ("outcome", "告警", "unknown"),
        ("outcome", "maybe", None),
        ("severity", "紧急", "5"),
        ("severity", "高危", "4"),
        ("severity", "MIDDLE", "3"),
        ("severity", "低", "2"),
        ("severity", "一般", "1"),
        ("severity", "7", "7"),
        ("severity", "soon", None),
        # a word within another, or denied by the one before it, is not that word
        ("outcome", "abnormal", "failure"),
        ("outcome", "unlock", None),
        ("outcome", "account unlocked", None),
        ("outcome", "解锁", None),
        ("outcome", "locked", "failure"),
        ("outcome", "unblocked", "success"),
        ("outcome", "not blocked", "unknown"),
        ("outcome", "no error", "success"),
        ("outcome", "completed without errors", "success"),
        ("outcome", "无异常", "success"),
        ("outcome", "not successful", "failure"),
        ("outcome", "NotSuccessful", "failure"),
        ("outcome", "未能登录", "failure"),
        ("outcome", "LOGIN_FAILED", "failure"),
        ("outcome", "LoginFail", "failure"),
        ("outcome", "LOGINFAIL", "failure"),
        ("outcome", "用户login成功", "success"),
        ("outcome", "login", None),
        ("outcome", "password", None),
        ("outcome", "unauthorized", "failure"),
        ("verdict", "disallow", "denied"),
        ("verdict", "not allowed", "denied"),
        ("verdict", "不允许", "denied"),
        ("verdict", "passive", "passive"),
        ("verdict", "password", "password"),
        ("verdict", "Passed", "allowed"),
        ("verdict", "pass-through", "allowed"),
        ("verdict", "not denied", "detected"),
        ("verdict", "not been blocked", "detected"),
        ("verdict", "non-block", "detected"),
        ("verdict", "unblock", "allowed"),
        ("verdict", "解除封禁", "allowed"),
        ("verdict", "解封", "allowed"),
        ("verdict", "untrust", "untrust"),
        ("verdict", "catalog", "catalog"),
        ("verdict", "monitor", "detected"),
        ("verdict", "POLICYDENY", "denied"),
        ("verdict", "rst_client", "denied"),
        ("severity", "不严重", "2"),
        ("severity", "non-critical", "2"),
        ("severity", "unsafe", None),
        ("severity", "不安全", None),
        ("severity", "安全", "1"),
        ("severity", "中断", None),
        ("severity", "中", "3"),
        ("severity", "中危", "3"),
        ("severity", "威胁等级:中", "3"),
        ("severity", "风险级别高", "4"),
        ("severity", "提高", None),
        ("severity", "高风险", "4"),
        ("severity", "高(3)", "4"),
        ("severity", "overflow", None),
        ("severity", "低级", "2"),
        ("transport", "IPPROTO_TCP", "tcp"),
        ("transport", "17", "udp"),
        ("transport", "(6)TCP", "tcp"),
        ("transport", "TCP.HTTP", "tcp"),
        ("transport", "ICMPv6", "ipv6-icmp"),
        ("mac", "0010-8400-22B9", "00:10:84:00:22:b9"),
        ("mac", "00:10:84:00:22", None),
    ],
)
def test_words_become_the_houses_word(kind: str, said: str, meant: str | None) -> None:
    assert words.translate(pl.Series([said, None]), kind).to_list() == [meant, None]


@pytest.mark.parametrize(
    ("how", "said", "meant"),
    [
        ("hex", "2F76617222", '/var"'),
        ("hex", "2F7", None),
        ("base64", "5rWL6K-V", "测试"),
        ("base64", "5rWL6K+VYQ==", "测试a"),
        ("base64", "suLK1A", "测试"),  # GB18030 within
        ("base64", "!!", None),
        ("ip_hex", "4-0a140350", "10.20.3.80"),
        ("ip_hex", "6-20010db8000000000000000000000001", "2001:0db8:0000:0000:0000:0000:0000:0001"),
        ("ip_hex", "192.0.2.1", "192.0.2.1"),
    ],
)
def test_coded_texts_are_read(how: str, said: str, meant: str | None) -> None:
    assert words.decoded(pl.Series([said, None]), how).to_list() == [meant, None]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text_gives_one_answer_per_cell(texts: list[str]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    for kind in words.KINDS:
        assert len(words.translate(column, kind)) == len(texts)
    for how in ("hex", "base64", "ip_hex"):
        assert len(words.decoded(column, how)) == len(texts)


def test_nulls_masks_and_remainders_of_a_collector_hold_for_all_its_columns() -> None:
    table = pl.DataFrame(
        {"pri": ["902", "x"], "user": ["未知", "li01"], "line": ["set password=abc x", "none"], "log.offset": [0, 1]}
    )
    spec = mapping.Fields(
        "host",
        ZoneInfo("UTC"),
        rules=mapping.compiled(
            {"log.syslog.severity.code": {"from": "pri", "modulo": 8}, "user.name": "user", "message": "line"}
        ),
        nulls=("未知",),
        mask=(r"(password=)\S+",),
    )
    (batch,) = mapping.apply(EventBatch("", "x", table), spec, datetime(2026, 3, 5, tzinfo=UTC))
    assert batch.table["log.syslog.severity.code"].to_list() == [6, None]
    assert batch.table["user.name"].to_list() == [None, "li01"]
    assert batch.table["message"].to_list() == ["set password=*** x", "none"]
    assert batch.table["line"].to_list() == ["set password=*** x", "none"]
