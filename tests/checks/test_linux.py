"""Linux checks against collected texts: a hardened host, a careless one, and texts that say little or too much."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checks.world import NOW, World, world

from cityguard.checks import linux
from cityguard.checks.base import discover

HARDENED = """\
# collected: 2026-11-20T02:00:00+08:00
### /etc/login.defs
PASS_MAX_DAYS\t90
PASS_MIN_LEN 8
### /etc/security/pwquality.conf
minlen = 12
minclass=3
### /etc/security/faillock.conf
deny = 5
unlock_time = 900
### /etc/pam.d/system-auth
auth required pam_faillock.so preauth
password requisite pam_pwquality.so retry=3
### /etc/profile
export TMOUT=600
### /etc/ssh/sshd_config
# PermitRootLogin yes
PermitRootLogin no
MaxAuthTries 4
AllowUsers ops@10.99.0.*
### /etc/audit/rules.d/audit.rules
-w /etc/passwd -p wa -k identity
-w /etc/shadow -p wa -k identity
-a always,exit -F arch=b64 -S execve -k exec
### systemctl is-active auditd
active
### /etc/rsyslog.conf
*.* @@10.99.0.53:514
### /etc/logrotate.conf
weekly
rotate 30
/var/log/wtmp {
    rotate 1
}
### /etc/passwd
root:x:0:0:root:/root:/bin/bash
games:x:5:60:games:/usr/games:/usr/sbin/nologin
ops:x:1000:1000::/home/ops:/bin/bash
### passwd -Sa
root L 2026-01-01 0 90 7 -1
ops P 2026-01-01 0 90 7 -1
### iptables -S
-P INPUT DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -s 10.99.0.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
### /etc/chrony.conf
server 10.10.0.123 iburst
"""
CARELESS = """\
### /etc/login.defs
PASS_MAX_DAYS 99999
PASS_MIN_LEN 5
### /etc/security/pwquality.conf
# minlen = 8
### /etc/security/faillock.conf
# deny = 3
### /etc/pam.d/system-auth
auth sufficient pam_unix.so nullok
### /etc/ssh/sshd_config
PermitRootLogin yes
PermitEmptyPasswords yes
MaxAuthTries 10
### /etc/audit/auditd.conf
num_logs = 5
### /etc/rsyslog.conf
*.* /var/log/messages
### /etc/logrotate.conf
daily
rotate 40
### /etc/passwd
root:x:0:0:root:/root:/bin/bash
toor:x:0:0::/root:/bin/bash
guest:x:1001:1001::/home/guest:/bin/bash
### passwd -Sa
guest NP 2026-01-01 0 90 7 -1
### iptables -S
-P INPUT ACCEPT
-A INPUT -j ACCEPT
### /etc/chrony.conf
# server 10.10.0.123
"""
LINUX = sorted([name for name in discover() if name.startswith("linux_")] + ["host_firewall"])


@pytest.fixture
def city(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "configs").mkdir()
    with world(tmp_path) as one:
        yield one


def verdicts(city: World, folder: Path) -> dict[str, str]:
    return {name: one.verdict for name in LINUX for one in city.ask(name, config_dir=folder)}


def test_a_hardened_host_meets_every_check(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text(HARDENED)
    assert verdicts(city, tmp_path / "configs") == dict.fromkeys(LINUX, "符合")
    found = city.ask_one("linux_audit", config_dir=tmp_path / "configs")
    assert (found.object, found.observed_at) == ("web-1", datetime(2026, 11, 19, 18, 0, tzinfo=UTC))


def test_a_careless_host_meets_none(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-2.txt").write_text(CARELESS)
    assert verdicts(city, tmp_path / "configs") == dict.fromkeys(LINUX, "不符合")
    found = city.ask_one("linux_log_retention", config_dir=tmp_path / "configs")
    assert "kept_days=40" in found.reason.en and found.observed_at <= NOW


def test_a_text_that_says_nothing_decides_nothing(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text("### uname -a\nLinux web-1\n")
    assert set(verdicts(city, tmp_path / "configs").values()) == {"未判定"}


def test_an_asset_without_a_text_gives_no_evidence(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "someone-else.txt").write_text(CARELESS)
    assert verdicts(city, tmp_path / "configs") == {}
    assert verdicts(city, tmp_path / "missing") == {}


def test_a_link_out_of_the_folder_is_not_followed(city: World, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text(CARELESS)
    (tmp_path / "configs" / "web-1.txt").symlink_to(tmp_path / "outside.txt")
    assert verdicts(city, tmp_path / "configs") == {}


def test_a_huge_text_is_read_only_to_its_bound(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_bytes(b"### a\n" + b"\xff" * (5 << 20) + HARDENED.encode())
    assert set(verdicts(city, tmp_path / "configs").values()) == {"未判定"}


def test_one_fault_among_good_points_is_partly_met(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text(HARDENED.replace("90\n", "365\n"))
    found = city.ask_one("linux_password_policy", config_dir=tmp_path / "configs")
    assert found.verdict == "部分符合" and found.reason.en == "not as required: PASS_MAX_DAYS=365"


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=300),
    st.sampled_from(["### /etc/passwd\n", "### sshd_config\n", "### /etc/logrotate.conf\nrotate "]),
)
def test_no_text_breaks_a_check(text: str, head: str) -> None:
    collected = linux.parse(head + text, NOW)
    for name in LINUX:
        module = discover()[name].run.__module__
        look = __import__(module, fromlist=["look"]).look
        assert all(isinstance(point.name, str) for point in look(collected))
