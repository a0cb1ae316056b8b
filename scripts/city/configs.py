"""Collected configuration texts of three servers, one with faults: ``### path`` begins each file's section."""

from __future__ import annotations

from pathlib import Path

_GOOD = {
    "/etc/login.defs": "PASS_MAX_DAYS 90\nPASS_MIN_DAYS 1\nPASS_MIN_LEN 12\nPASS_WARN_AGE 7\n",
    "/etc/security/pwquality.conf": "minlen = 12\ndcredit = -1\nucredit = -1\nlcredit = -1\nocredit = -1\nminclass = 4\n",
    "/etc/security/faillock.conf": "deny = 5\nunlock_time = 900\neven_deny_root\n",
    "/etc/pam.d/system-auth": "auth required pam_faillock.so preauth\npassword requisite pam_pwquality.so retry=3\n",
    "/etc/audit/auditd.conf": "log_file = /var/log/audit/audit.log\nmax_log_file = 200\nnum_logs = 60\nmax_log_file_action = ROTATE\n",
    "/etc/audit/rules.d/audit.rules": "-w /etc/passwd -p wa -k identity\n-w /etc/shadow -p wa -k identity\n-w /etc/sudoers -p wa -k scope\n-a always,exit -F arch=b64 -S execve -k exec\n",
    "/etc/ssh/sshd_config": "Port 22\nPermitRootLogin no\nPasswordAuthentication no\nMaxAuthTries 4\nClientAliveInterval 300\nClientAliveCountMax 2\n",
    "/etc/rsyslog.conf": "*.* @@10.99.0.53:514\n",
    "/etc/logrotate.conf": "weekly\nrotate 30\ncompress\n",
    "/etc/chrony.conf": "server 10.10.0.123 iburst\n",
}
_WEAK = {
    "/etc/login.defs": "PASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_MIN_LEN 6\nPASS_WARN_AGE 7\n",
    "/etc/security/pwquality.conf": "# minlen = 8\n",
    "/etc/security/faillock.conf": "# deny = 3\n",
    "/etc/pam.d/system-auth": "auth sufficient pam_unix.so nullok\n",
    "/etc/ssh/sshd_config": "Port 22\nPermitRootLogin yes\nPasswordAuthentication yes\n",
    "/etc/rsyslog.conf": "*.* /var/log/messages\n",
    "/etc/logrotate.conf": "daily\nrotate 40\n",
}


def write(out: Path) -> None:
    """Write one text per asset id; ``sys-016-h1`` keeps its logs for 40 days only."""
    for asset, parts in (
        ("gov-web-1", _GOOD),
        ("gov-app-1", _GOOD),
        ("gov-db-1", {**_GOOD, "/etc/ssh/sshd_config": _WEAK["/etc/ssh/sshd_config"]}),
        ("sys-016-h1", _WEAK),
    ):
        text = "".join(f"### {path}\n{body}" for path, body in parts.items())
        (out / "configs" / f"{asset}.txt").write_text(text, encoding="utf-8")
