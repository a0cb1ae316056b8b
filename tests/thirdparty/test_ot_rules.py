"""Rules against industrial captures: what an attack's name promises is raised, and the rest stays quiet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from truth import base

from cityguard import content
from cityguard.collect import collect
from cityguard.detectors.rules import RuleDetector
from cityguard.model import Alert, EventBatch
from cityguard.sigma.rule import Ruleset, load

OFFICE, PLANT = "办公", "工业互联网"
COMMAND, READ = "command_from_other_zone", "read_from_other_zone"
ACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "dnp3": (
        (r"cold_restart", "dnp3_restart"),
        (r"no_ack", "dnp3_blind_operate"),
        (r"file_?del", "dnp3_file_delete"),
        (r"file.write", "dnp3_file_write"),
        (r"time_sync", "dnp3_clock"),
        (r"flood", "dnp3_control_burst"),
        (r"malformed", "dnp3_fuzzing"),
        (r"operate|control|freeze|unsolicited_and|en_spon|write|max-points", COMMAND),
        (r"readrequest|requestlink", READ),
    ),
    "enip-cip": (
        (r"start_plc", "cip_start"),
        (r"lock", "cip_lock"),
        (r"changeport|eth-set", "cip_network_settings"),
        (r"changetime", "cip_clock"),
        (r"controlprotocolchange", "cip_program_download"),
        (r"firmware", "cip_firmware"),
        (r"ipaddresschange", "cip_slot_scan"),
        (r"reboot|restart", "cip_reset"),
        (r"modechange", "cip_stop"),
        (r"softwareupload", "cip_program_upload"),
        (r"alert", "enip_discovery"),
    ),
    "iec61850": (
        (r"mms-(?:cancel|relinquish|take)", "mms_take_control"),
        (r"mms-delete", "mms_delete"),
        (r"mms-initiatedownload", "mms_download"),
        (r"mms-(?:stop|reset)", "mms_stop"),
        (r"mms-start", "mms_start"),
        (r"mms-(?:read|get)", READ),
    ),
    "modbus": ((r"fuzz-72", "modbus_unknown_function"),),
    "opcua": ((r"browse|read_|monitored|discover", READ),),
    "profinet": ((r"_connect|_control", COMMAND),),
    "s7comm": (
        (r"_stop", "s7_stop"),
        (r"download", "s7_program"),
        (r"ramtorom", "s7_ram_to_rom"),
        (r"password", "s7_password"),
        (r"online|blocklist", "s7_survey"),
        (r"diag|ident", READ),
    ),
}
"""By folder: what a capture's name says, first match, and the rule that is meant for it."""
ACT = re.compile(
    r"stop|start|restart|reboot|reset|write|download|upload|delete|_del\b|firmware|(?<!ex)change|lock|flood|fuzz|malformed"
    r"|attempt|attack|operate|control|freeze|unsolicited|time_sync|password|ramtorom|alert|cancel|scan|route|blocklist",
    re.IGNORECASE,
)
OURS = re.compile(r"cityguard\.(?:ot\.|correlation\.ot_)")
EMPTY = {
    "beckhoff-ads/iti__beckoff__addroute": "holds state polls alone; the route is added before it begins",
    "beckhoff-ads/iti__beckoff__addroute1": "holds state polls alone; the route is added before it begins",
    "dnp3/iti__dnp3__unsolcited_response_and_confirm": "what an outstation says by itself is no act of a master",
    "dnp3/suricata-verify__dnp3__dnp3-toclient-start": "holds responses alone",
    "dnp3/zeek__auth_change_session_keys": "session keys change all the time; update keys have a rule",
    "enip-cip/iti__EthernetIP__cip-eth-set-2": "holds the answer alone, which names no object",
    "enip-cip/iti__openics__EIP-SoftwareDownloadFailure": "holds no EtherNet/IP message",
    "enip-cip/iti__openics__EIP-SoftwareUploadFailure": "holds no EtherNet/IP message",
    "modbus/zeek__modbus__fuzz-1011": "holds one broken message, no request",
}
"""Captures whose name tells of an act that their packets do not hold, and what they hold."""
_FINS = frozenset(
    (
        *("fins_forced", "fins_log_cleared", "fins_program_write", "fins_protection", "fins_run", "fins_stop"),
        *("ot_program_then_traces_cleared", "ot_stop_then_download", "ot_upload_then_download"),
    )
)
_SILENCED = frozenset(("modbus_listen_only", "ot_restart_storm"))
_RESTART = frozenset(("dnp3_restart",))
_COMMAND = frozenset(("iec104_command",))
HIGH: dict[str, tuple[str, frozenset[str]]] = {
    "bacnet/arkime__bacnet-stack-services": (
        "every service, with restarts and files written after refused passwords",
        frozenset(("bacnet_file_write", "bacnet_reinitialize", "ot_password_then_program")),
    ),
    "bacnet/icsnpp-bacnet__bacnet_example": (
        "a hundred restarts, half of them refused for their password",
        frozenset(("bacnet_password_guessing", "bacnet_reinitialize", "ot_restart_storm")),
    ),
    "dnp3/arkime__dnp3_synthetic": ("a cold restart", _RESTART),
    "dnp3/iti__dnp3__dnp3_test_data_part1": ("restarts and stopped applications", _RESTART),
    "dnp3/iti__dnp3__opendnp3-3__conformance__8.8.2__dump": ("a test of restarts", _RESTART),
    "dnp3/ndpi__dnp3": ("restarts and stopped applications", _RESTART),
    "dnp3/zeek__dnp3__dnp3": ("restarts and stopped applications", _RESTART),
    "iec104/iti__IEC60870-5-104__090813_diverse": ("commands by a host of no known zone", _COMMAND),
    "iec104/zeek-iec104__iec104": ("commands by a host of no known zone", _COMMAND),
    "modbus/arkime__modbus": ("every function, within months", _SILENCED | {"new_programmer"}),
    "modbus/iti__ModbusTCP__modbus_test_data_part1": ("restarts and listen-only mode", _SILENCED),
    "modbus/suricata-verify__modbus": ("restarts and listen-only mode", _SILENCED),
    "modbus/ndpi__umas": ("a program downloaded", frozenset(("modbus_umas_download",))),
    "omron-fins/icsnpp-omron-fins__omron": ("every command", _FINS),
    "omron-fins/ndpi__fins": ("every command", _FINS),
    "s7comm/icsnpp-s7comm__snap7": (
        "stop, start, deletion and copy to permanent storage",
        frozenset(("s7_delete", "s7_ram_to_rom", "s7_start", "s7_stop")),
    ),
    "s7comm/ndpi__s7comm": ("a program downloaded", frozenset(("s7_program",))),
}
"""Captures without an act in their name in which alerts of a high level are right: why, and which."""


def _case(capture: Path) -> str:
    return f"{capture.parent.parent.name}/{capture.parent.name}"


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    return load([content.root() / "rules"])


def _batches(capture: Path, placed: bool) -> Iterator[EventBatch]:
    """What is decoded; ``placed`` as if who asks stood in the office and who answers in the plant."""
    for chunk in collect.read(capture, base.collectors(), collector="capture", now=base.NOW):
        for batch in chunk.decoded.batches:
            if batch.dataset not in ("ot", "flow"):
                continue
            if not placed or "ot.is_request" not in batch.table.columns:
                yield batch
            elif batch.dataset == "ot":
                asks = pl.col("ot.is_request").fill_null(True)
                zones = [
                    pl.when(asks).then(pl.lit(one)).otherwise(pl.lit(other)).alias(f"{side}.zone")
                    for side, one, other in (("source", OFFICE, PLANT), ("destination", PLANT, OFFICE))
                ]
                yield replace(batch, table=batch.table.with_columns(zones))


def _alerts(capture: Path, ruleset: Ruleset, *, placed: bool) -> list[tuple[str, Alert]]:
    detector = RuleDetector(ruleset)
    found = [alert for batch in _batches(capture, placed) for alert in detector.detect(batch)]
    found += detector.finish()
    named = [(head.name, one) for one in found if (head := ruleset.head(one.rule_id))]
    return [(name.rpartition(".")[2], one) for name, one in named if OURS.match(name)]


def _meant(capture: Path) -> str | None:
    """The rule that the capture's name promises."""
    folder, name = capture.parent.parent.name, f"{capture.parent.name}/{capture.name}".lower()
    name = name.partition("__")[2]
    return next((rule for words, rule in ACTS.get(folder, ()) if re.search(words, name)), None)


def _captures(shared: Path) -> list[Path]:
    return list(base.captures(shared / "ot-pcap"))


def test_every_capture_named_after_an_act_is_spoken_for(shared: Path) -> None:
    unknown = [
        _case(one)
        for one in _captures(shared)
        if "__conformance__" not in one.parent.name
        and ACT.search(one.parent.name.partition("__")[2])
        and not _meant(one)
        and _case(one) not in EMPTY
    ]
    assert not unknown


def test_a_capture_named_after_an_act_raises_the_rule_meant_for_it(
    shared: Path, ruleset: Ruleset, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, missing = [], []
    for capture in _captures(shared):
        rule, case = _meant(capture), _case(capture)
        if rule is None or case in EMPTY or "__conformance__" in case:
            continue
        found = {name: alert.level for name, alert in _alerts(capture, ruleset, placed=True)}
        lines.append(f"{case:82} {rule:26} {found.get(rule, '-'):9} {len(found)}")
        if rule not in found:
            missing.append((case, rule, sorted(found)))
    with capsys.disabled():
        print("", *lines, f"{len(lines)} captures, {len(lines) - len(missing)} raise the rule meant for them", sep="\n")
    assert not missing
    assert len(lines) >= 60
    assert len({line.split()[1] for line in lines}) >= 20


def test_what_a_capture_s_name_does_not_hold_raises_nothing_of_weight(shared: Path, ruleset: Ruleset) -> None:
    for capture in _captures(shared):
        if _case(capture) in EMPTY:
            levels = {
                name for name, one in _alerts(capture, ruleset, placed=False) if one.level in ("high", "critical")
            }
            assert not levels, _case(capture)


def test_other_captures_raise_high_alerts_only_where_they_hold_such_acts(shared: Path, ruleset: Ruleset) -> None:
    found: dict[str, set[str]] = {}
    for capture in _captures(shared):
        if _meant(capture) is None:
            for name, one in _alerts(capture, ruleset, placed=False):
                if one.level in ("high", "critical"):
                    found.setdefault(_case(capture), set()).add(name)
    assert found == {case: set(rules) for case, (_, rules) in HIGH.items()}
