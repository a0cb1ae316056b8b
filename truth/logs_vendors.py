"""Who wrote a line, beside the decoder Wazuh's rule tests name: no collector is named, every line stands alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cityguard.collect.collect import Live
from cityguard.collect.families import Families
from cityguard.sources import lines
from truth import base
from truth.base import Line

Wanted = tuple[str, ...]

DECODERS: dict[str, Wanted] = {
    "sonicwall": ("sonicwall",),
    "apache-errorlog": ("apache-error",),
    "arbor": ("arbor",),
    "auditd": ("auditd",),
    "checkpoint-smart1": ("checkpoint",),
    "cisco-asa": ("cisco-asa:ASA",),
    "cisco-ftd": ("cisco-asa:FTD",),
    "pix": ("cisco-asa:PIX",),
    "cisco-ios": ("cisco-ios",),
    "doas": ("linux-auth:doas",),
    "dovecot": ("linux-mail:dovecot",),
    "dovecot-info": ("linux-mail:dovecot",),
    "dropbear": ("linux-auth:dropbear",),
    "eset-bsd": ("eset",),
    "HTTPProxyLog": ("exchange",),
    "windows-date-format": ("exim",),
    "f5-bigip": ("f5-bigip",),
    "f5-bigip-cef": ("cef:F5",),
    "cef-fireeye": ("cef:FireEye",),
    "fortiauth": ("fortinet-fortiauthenticator",),
    "fortiddos-like": ("fortinet-fortiddos",),
    "fortigate-firewall-v4": ("fortinet-fortigate",),
    "fortigate-firewall-v5": ("fortinet-fortigate",),
    "fortigate-firewall-v6": ("fortinet-fortigate",),
    "fortimail-like": ("fortinet-fortimail",),
    "FreePBX": ("freepbx",),
    "gitlab-12-application-log": ("gitlab-text",),
    "gitlab-sidekiq": ("gitlab-text",),
    "gitlab-shell-stderr": ("gitlab-text",),
    "huawei-usg": ("huawei-usg", "huawei-vrp"),
    "junos-ids": ("juniper-srx", "juniper-junos"),
    "macOS_tccd": ("macos",),
    "macOS_loginwindow": ("macos",),
    "macOS_sessionlogoutd": ("macos",),
    "macOS_screensharingd": ("macos",),
    "macOS_securityd": ("macos",),
    "mcafee-epo2": ("mcafee-epo",),
    "sqlserver": ("mssql-error",),
    "json-msgraph": ("ms-graph",),
    "named": ("bind",),
    "netscreenfw": ("juniper-netscreen",),
    "nginx-errorlog": ("nginx-error",),
    "openldap": ("linux-services:openldap",),
    "smtpd": ("linux-mail:opensmtpd",),
    "openvpn": ("linux-services:openvpn", "openvpn"),
    "paloalto": ("paloalto",),
    "pam": ("linux-auth",),
    "paps": ("leef:Panda Security",),
    "pf": ("pfsense",),
    "postfix-reject": ("linux-mail:postfix",),
    "proftpd": ("linux-services:proftpd",),
    "rshd": ("linux-services:rshd",),
    "smbd": ("linux-services:samba",),
    "sophos-win": ("sophos-endpoint",),
    "sophos": ("sophos-endpoint",),
    "sophos-fw": ("sophos-xg",),
    "squid-accesslog": ("squid-access",),
    "sshd": ("linux-auth:sshd",),
    "su": ("linux-auth:su",),
    "sudo": ("linux-auth:sudo",),
    "windows": ("windows-eventlog-text",),
    "systemd": ("linux-services:systemd",),
    "vsftpd": ("vsftpd", "linux-services:vsftpd"),
    "web-accesslog": ("nginx-access", "apache-access"),
    "web-accesslog-iis6": ("iis", "iis-bare"),
    "web-accesslog-iis-default": ("iis", "iis-bare"),
}
"""Decoder -> collectors that may have its lines; after a colon: the service or vendor the row must name as well."""
KERNEL: dict[str, Wanted] = {
    "apparmor": ("linux-kernel:apparmor",),
    "iptables": ("iptables",),
    "kernel_usb": ("linux-kernel:usb",),
}
"""Wazuh's decoder ``kernel`` has several makers of lines: by test file."""
_AWS = ("aws",)
JSON: dict[str, Wanted] = {
    "amazon_sec_lake": ("ocsf",),
    "aws_s3_access": _AWS,
    "aws_security_hub": _AWS,
    "cloudflare-waf": ("cloudflare",),
    "docker_integration": ("docker",),
    "gcp": ("gcp",),
    "github": ("github",),
    "gitlab": ("gitlab",),
    "malicious-ioc": ("cloudflare", "suricata-eve", "windows-json", "wazuh-windows", "office365", "aws", "gcp"),
    "office365": ("office365",),
    "vuln_detector": ("wazuh-agent",),
    "user": ("ndjson", "syslog"),
}
"""Its decoder ``json`` tells no vendor: the test file does. A file not named here holds Windows events (win.*)."""
_WINDOWS = ("wazuh-windows", "windows-json")


def wanted(product: str, decoder: str) -> Wanted:
    """Collectors (and vendor or service) that stand for a decoder of Wazuh."""
    if decoder == "kernel":
        return KERNEL.get(product, ("linux-kernel",))
    if decoder == "json":
        return JSON.get(product, _WINDOWS)
    return DECODERS.get(decoder, ())


def recognition(folder: Path) -> Line:
    """One unit a line: the collector that has it, the vendor or service its row names, and that it was not refused."""
    line = Line("vendor of a line", "wazuh-ruletest", "line", floor=0.97)
    cases = [json.loads(text) for path in sorted(folder.rglob("*.jsonl")) for text in base.text(path).splitlines()]
    given = [(case["product"], case["decoder"], one) for case in cases for one in case["logs"]]
    unknown = Counter[str]()
    for (product, decoder, one), (name, row) in zip(given, decode([one for _, _, one in given]), strict=True):
        asked = wanted(product, decoder)
        line.compared += 1
        if any(_fits(name, row, place) for place in asked):
            line.equal += 1
            continue
        line.missing += 1
        unknown[decoder] += not asked
        line.notes.append(f"{product}/{decoder}: wanted {'|'.join(asked)}, got {name} {_told(row)}: {one[:70]!r}")
    if unknown:
        line.notes.insert(0, f"decoders without an entry here: {dict(unknown)}")
    return line


def _fits(name: str, row: dict[str, Any], place: str) -> bool:
    collector, _, told = place.partition(":")
    return name == collector and bool(row) and (not told or told.lower() in _told(row))


def _told(row: dict[str, Any]) -> tuple[str, ...]:
    names = ("service.name", "observer.vendor", "observer.product", "process.name")
    return tuple(str(row[name]).lower() for name in names if row.get(name))


@cache
def families() -> Families:
    """The families a port of syslog tells apart."""
    known = base.collectors()
    return Families(known, known["syslog"])


def decode(texts: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Each line as a port of syslog would take it: the collector that has it and the row, empty where refused."""
    raw = [text.encode("utf-8", "surrogateescape") for text in texts]
    known = families()
    which = known.of(pl.Series(list(texts), dtype=pl.String))
    out: list[tuple[str, dict[str, Any]]] = [(known.known[at].name, {}) for at in which]
    for at in np.unique(which):
        own = np.flatnonzero(which == at)
        live = Live(known.known[at], source="truth", key="truth")
        chunk = live.chunk(lines.one_each([raw[index] for index in own]), now=base.NOW)
        for batch in chunk.decoded.batches:
            for row in batch.table.to_dicts():
                index = int(own[row["log.offset"]])
                out[index] = (out[index][0], out[index][1] or row)
    return out
