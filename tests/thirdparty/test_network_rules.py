"""Network rules on captures of others: what is named after an attack raises its rule, ordinary programs do not."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cityguard import content
from cityguard.collect import collect
from cityguard.detectors.rules import RuleDetector
from cityguard.model import LEVELS
from cityguard.register.register import Register
from cityguard.sigma.rule import Ruleset, load

OURS = re.compile(r"cityguard\.(?:network\.|correlation\.net_)")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
MEANT = {
    "arkime/ldap-simpleauth": "ldap_simple_bind",
    "malcolm/plugins__CVE-2022-30216__successful": "certificate_relay",
    "malcolm/plugins__SIGred__sigxploit": "dns_signature_lookup",
    "malcolm/plugins__cve-2021-44228__log4j-webapp": "java_class_fetched",
    "malcolm/plugins__smb_mimikatz_copy_to_host": "smb_tool",
    "malcolm/plugins__zeek-EternalSafety__metasploit-ms017-010-win7x64": "smb_version_one",
    "malcolm/plugins__zeek-agenttesla-detector__f9421792-7d2c-47d3-90e0-07eb54ae12fa": "ftp_upload_outside",
    "malcolm/plugins__zeek-asyncrat-detector__cd010953-5faf-4054-86be-58c020c3a532": "tls_tool_certificate",
    "malcolm/plugins__zerologon__CVE-2020-1472_exploit_win2016": "rpc_burst",
    "ndpi/NTPv2": "ntp_monlist",
    "ndpi/anydesk": "name_remote_control",
    "ndpi/dns-tunnel-iodine": "dns_record_channel",
    "ndpi/dns_doh": "dns_encrypted",
    "ndpi/exe_download_as_png": "http_disguised_program http_program_download",
    "ndpi/kerberos-login": "kerberoasting",
    "ndpi/pptp": "vpn_outside",
    "slips/test-cc__test-cc-capture-2": "dns_nxdomain_burst",
    "zeek/rdp__rdp-x509": "rdp_weak",
    "zeek/socks-with-ssl": "proxy_outside",
}
EVERY = 12  # of the captures of ordinary programs


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    return load([content.root() / "rules"])


def raised(folders: list[Path], ruleset: Ruleset) -> dict[str, str]:
    """Network rules that fire on the captures of some folders, by name, with their level."""
    known, register = collect.Collectors.load(None), Register.empty()
    detector = RuleDetector(ruleset, clock=lambda: NOW)
    alerts = []
    files = sorted(one for folder in folders for one in folder.iterdir())
    for path in (one for one in files if one.suffix in (".pcap", ".pcapng", ".cap", ".trace")):
        for chunk in collect.read(path, known, now=NOW, decoders={}):
            for batch in chunk.decoded.batches:
                alerts += detector.detect(register.enrich(batch))
    alerts += detector.finish()
    heads = [(ruleset.head(alert.rule_id), alert.level) for alert in alerts]
    return {head.name: level for head, level in heads if head is not None and OURS.match(head.name)}


@pytest.mark.parametrize("case", MEANT)
def test_a_capture_of_an_attack_raises_the_rule_meant_for_it(case: str, shared: Path, ruleset: Ruleset) -> None:
    wanted = {f"cityguard.network.{name}" for name in MEANT[case].split()}
    assert wanted <= set(raised([shared / "it-pcap" / case], ruleset))


def test_ordinary_programs_raise_nothing_high(shared: Path, ruleset: Ruleset) -> None:
    cases = [one for one in sorted((shared / "it-pcap" / "ndpi").iterdir()) if f"ndpi/{one.name}" not in MEANT]
    some = cases[::EVERY]
    assert len(some) >= 15
    high = LEVELS.index("high")
    loud = {name: level for name, level in raised(some, ruleset).items() if LEVELS.index(level) >= high}
    assert loud == {}
