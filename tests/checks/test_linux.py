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
from cityguard.model import Evidence

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
auth [default=die] pam_faillock.so authfail
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
    """The one asset that was collected; the others must be undecided."""
    collected = {path.stem for path in folder.glob("*.txt") if not path.is_symlink()}
    found = {name: city.ask(name, config_dir=folder) for name in LINUX}
    rest = [one for asked in found.values() for one in asked if one.object not in collected]
    assert {(one.verdict, one.reason.en) for one in rest} == {("未判定", linux.NOT_COLLECTED.en)}
    return {name: one.verdict for name, asked in found.items() for one in asked if one.object in collected}


def of(city: World, check: str, folder: Path, asset: str = "web-1") -> Evidence:
    return next(one for one in city.ask(check, config_dir=folder) if one.object == asset)


def test_a_hardened_host_meets_every_check(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text(HARDENED)
    assert verdicts(city, tmp_path / "configs") == dict.fromkeys(LINUX, "符合")
    found = of(city, "linux_audit", tmp_path / "configs")
    assert (found.object, found.observed_at) == ("web-1", datetime(2026, 11, 19, 18, 0, tzinfo=UTC))


def test_a_careless_host_meets_none(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-2.txt").write_text(CARELESS)
    assert verdicts(city, tmp_path / "configs") == dict.fromkeys(LINUX, "不符合")
    found = of(city, "linux_log_retention", tmp_path / "configs", "web-2")
    assert "kept_days=40" in found.reason.en and found.observed_at <= NOW


def test_a_text_that_says_nothing_decides_nothing(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text("### uname -a\nLinux web-1\n")
    assert set(verdicts(city, tmp_path / "configs").values()) == {"未判定"}


def test_every_asset_without_a_text_is_undecided(city: World, tmp_path: Path) -> None:
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
    found = of(city, "linux_password_policy", tmp_path / "configs")
    assert found.verdict == "部分符合" and found.reason.en == "not as required: PASS_MAX_DAYS=365"


def test_one_collected_host_of_several_decides_for_itself_alone(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text(HARDENED)
    for name in LINUX:
        found = {one.object: one.verdict for one in city.ask(name, config_dir=tmp_path / "configs")}
        assert set(found) == {asset.id for asset in city.register.assets_of("web")}
        assert found.pop("web-1") == "符合" and set(found.values()) == {"未判定"}


def test_a_point_nobody_collected_is_not_met(city: World, tmp_path: Path) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text("### /etc/profile\nTMOUT=600\n### sshd -T\nport 22\n")
    found = of(city, "linux_lockout", tmp_path / "configs")
    assert (
        found.verdict == "未判定"
        and found.reason.en == "what was collected cannot tell: lockout_loaded, deny, unlock_time"
    )


FAILLOCK = "### faillock.conf\ndeny=5\nunlock_time=900\n### /etc/profile\nTMOUT=600\n"
QUALITY = "### pwquality.conf\nminlen=12\nminclass=3\n### /etc/login.defs\nPASS_MAX_DAYS 90\n"
FIREWALL = "### iptables -S\n-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n"
NFT = "### nft list ruleset\ntable inet f {\nchain i {\ntype filter hook input priority filter; policy drop;\n"
NFT_OPEN = NFT.replace("drop", "accept")
OPEN_TO_ALL = "### iptables -S\n-P INPUT ACCEPT\n"
SSHD = "### /etc/ssh/sshd_config\n"


@pytest.mark.parametrize(
    ("check", "text", "ok"),
    [
        # sshd: its own listing decides, of a file's equal keywords the first; an Include speaks where it stands
        ("linux_ssh_config", SSHD + "PermitRootLogin no\nMaxAuthTries 3\n### sshd -T\npermitrootlogin yes\n", False),
        ("linux_ssh_config", SSHD + "PermitRootLogin yes\n### sshd -T\npermitrootlogin no\nmaxauthtries 3\n", True),
        ("linux_ssh_config", SSHD + "PermitRootLogin yes\nPermitRootLogin no\nMaxAuthTries 3\n", False),
        ("linux_ssh_config", SSHD + "PermitRootLogin no\nMaxAuthTries=3\nMatch User x\nPermitRootLogin yes\n", False),
        ("linux_ssh_config", SSHD + "PermitRootLogin no\nMaxAuthTries 3\nMatch User x\nX11Forwarding no\n", True),
        ("linux_ssh_config", SSHD + "Include sshd_config.d/*.conf\nPermitRootLogin no\nMaxAuthTries 3\n", None),
        (
            "linux_ssh_config",
            SSHD + "Include sshd_config.d/*.conf\nPermitRootLogin no\nMaxAuthTries 3\n"
            "### /etc/ssh/sshd_config.d/50-cloud.conf\nPermitRootLogin yes\n",
            False,
        ),
        # PAM: a file of a module that is not loaded says nothing
        ("linux_lockout", FAILLOCK + "### /etc/pam.d/system-auth\nauth required pam_unix.so\n", False),
        ("linux_lockout", FAILLOCK + "### /etc/pam.d/system-auth\nauth required pam_faillock.so preauth\n", False),
        ("linux_lockout", FAILLOCK + "### /etc/pam.d/common-auth\nauth [default=die] pam_faillock.so authfail\n", True),
        ("linux_lockout", FAILLOCK + "### /etc/pam.d/common-auth\nauth optional pam_faillock.so authfail\n", False),
        ("linux_lockout", FAILLOCK + "### pam.d/system-auth\nauth required pam_faillock.so authfail deny=50\n", False),
        ("linux_lockout", FAILLOCK, None),
        (
            "linux_lockout",
            FAILLOCK + "### pam.d/system-auth\nauth required pam_faillock.so authfail\n"
            "### pam.d/password-auth\nauth required pam_unix.so\n",
            False,
        ),
        (
            "linux_lockout",
            FAILLOCK + "### pam.d/system-auth\nauth required pam_faillock.so authfail\n"
            "### pam.d/password-auth\nauth include system-auth\n",
            True,
        ),
        ("linux_lockout", FAILLOCK + "### pam.d/password-auth\nauth include system-auth\n", None),
        (
            "linux_lockout",
            FAILLOCK + "### pam.d/system-auth\nauth required pam_faillock.so authfail\n### sshd -T\nusepam no\n",
            False,
        ),
        ("linux_password_policy", QUALITY + "### pam.d/system-auth\npassword required pam_unix.so\n", False),
        ("linux_password_policy", QUALITY + "### pam.d/system-auth\npassword requisite pam_pwquality.so\n", True),
        (
            "linux_password_policy",
            QUALITY + "### pam.d/system-auth\npassword requisite pam_pwquality.so minlen=4\n",
            False,
        ),
        (
            "linux_password_policy",
            QUALITY + "### pwquality.conf\nenforcing=0\n### pam.d/system-auth\npassword requisite pam_pwquality.so\n",
            False,
        ),
        (
            "linux_password_policy",
            QUALITY + "### pwquality.conf\nlcredit=8\n### pam.d/system-auth\npassword requisite pam_pwquality.so\n",
            False,
        ),
        ("linux_password_policy", QUALITY, None),
        # where administration may come from
        ("linux_admin_sources", "### sshd -T\nport 22\n### hosts.allow\nsshd: ALL\n", None),
        ("linux_admin_sources", "### hosts.allow\nsshd: ALL\n### iptables -S\n-P INPUT ACCEPT\n", None),
        ("linux_admin_sources", SSHD + "Match Address 0.0.0.0/0\nPermitRootLogin no\n", None),
        ("linux_admin_sources", "### sshd -T\nallowusers ops@10.9.0.*\nallowusers root\n" + OPEN_TO_ALL, False),
        ("linux_admin_sources", "### sshd -T\nallowusers ops@0.0.0.0/0\n### iptables -S\n-P INPUT ACCEPT\n", False),
        ("linux_admin_sources", "### sshd -T\nallowusers ops@10.9.0.*\n", True),
        ("linux_admin_sources", FIREWALL + "-A INPUT -s 10.9.0.0/24 -p tcp --dport 22 -j ACCEPT\n", True),
        ("linux_admin_sources", FIREWALL + "-A INPUT -s 0.0.0.0/0 -p tcp --dport 22 -j ACCEPT\n", False),
        (
            "linux_admin_sources",
            FIREWALL + "-A INPUT -s 10.9.0.0/24 -p tcp --dport 22 -j ACCEPT\n-A INPUT -p tcp --dport 20:30 -j ACCEPT\n",
            False,
        ),
        ("linux_admin_sources", "### sshd -T\nport 2222\n" + FIREWALL + "-A INPUT -p tcp --dport 22 -j ACCEPT\n", True),
        # the host firewall: a wide accept undoes a default deny
        ("host_firewall", FIREWALL + "-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT\n", True),
        ("host_firewall", FIREWALL + "-A INPUT -p tcp -j ACCEPT\n", False),
        ("host_firewall", FIREWALL + "-A INPUT -s 0.0.0.0/0 -j ACCEPT\n", False),
        ("host_firewall", FIREWALL + "-A INPUT ! -s 10.0.0.0/8 -j ACCEPT\n", False),
        ("host_firewall", FIREWALL + "-A INPUT -p tcp -m tcp --dport 1:65535 -j ACCEPT\n", False),
        ("host_firewall", FIREWALL + "-A INPUT -j WEB\n-A WEB -p udp -j ACCEPT\n", False),
        ("host_firewall", FIREWALL + "-A INPUT -s 10.0.0.0/8 -j WEB\n-A WEB -j ACCEPT\n", True),
        ("host_firewall", FIREWALL + "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", True),
        ("host_firewall", FIREWALL + "-A INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT\n", False),
        ("host_firewall", OPEN_TO_ALL + "-A INPUT -j REJECT --reject-with icmp-x\n-A INPUT -j ACCEPT\n", True),
        ("host_firewall", "### iptables -S\n-P INPUT ACCEPT\n-A INPUT -p tcp --dport 23 -j DROP\n", False),
        ("host_firewall", "### iptables -S\n", None),
        ("host_firewall", NFT + "ct state { established, related } accept\niifname \"lo\" accept\n}\n}\n", True),
        ("host_firewall", NFT + "tcp dport { 22, 443 } counter packets 1 bytes 2 accept\n}\n}\n", True),
        ("host_firewall", NFT + "counter packets 1 bytes 2 accept\n}\n}\n", False),
        ("host_firewall", NFT + "meta l4proto tcp accept\n}\n}\n", False),
        ("host_firewall", NFT + "ip saddr 0.0.0.0/0 accept\n}\n}\n", False),
        ("host_firewall", NFT + "ip saddr { 10.0.0.0/8, 0.0.0.0/0 } accept\n}\n}\n", False),
        ("host_firewall", NFT + "jump w\n}\nchain w {\nudp dport 1-65535 accept\n}\n}\n", False),
        ("host_firewall", NFT + "tcp dport vmap { 22 : jump a, 23 : accept }\n}\n}\n", None),
        ("host_firewall", NFT_OPEN + "ip saddr 10.0.0.0/8 accept\nreject with icmpx 1\n}\n}\n", True),
        ("host_firewall", NFT.replace("input", "output") + "}\n}\n", None),
    ],
)  # fmt: skip
def test_what_a_file_says_counts_only_where_the_host_obeys_it(
    city: World, tmp_path: Path, check: str, text: str, ok: bool | None
) -> None:
    (tmp_path / "configs" / "web-1.txt").write_text(text)
    found = of(city, check, tmp_path / "configs")
    assert (found.verdict == "符合", found.verdict == "未判定") == (ok is True, ok is None), found.reason.en


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=300),
    st.sampled_from(
        [
            *(
                "### /etc/passwd\n",
                "### sshd_config\n",
                "### /etc/logrotate.conf\nrotate ",
                "### sshd_config\nInclude ",
            ),
            *("### iptables -S\n-P INPUT DROP\n-A INPUT ", "### pam.d/system-auth\nauth required ", NFT),
        ]
    ),
)
def test_no_text_breaks_a_check(text: str, head: str) -> None:
    collected = linux.parse(head + text, NOW)
    for name in LINUX:
        module = discover()[name].run.__module__
        look = __import__(module, fromlist=["look"]).look
        assert all(isinstance(point.name, str) for point in look(collected))
