"""Captures of other industrial protocols: nothing of these is seen where another one is spoken."""

from __future__ import annotations

from pathlib import Path

from truth import base, ot

PORTS = {"enip": {44818, 2222}, "cip": {44818, 2222}, "bacnet": {47808}, "opcua": {4840}, "mms": {102}}
OWN = {"bacnet", "enip-cip", "iec61850", "opcua"}


def test_captures_of_other_protocols_hold_none_of_these_off_their_ports(shared: Path) -> None:
    captures = [path for path in base.captures(shared / "ot-pcap") if path.parent.parent.name not in OWN]
    assert len(captures) > 100
    found = [
        (capture.parent.name, row["ot.protocol"])
        for capture in captures
        for row in ot.decoded(capture)
        if row["ot.protocol"] in PORTS and not PORTS[row["ot.protocol"]] & {row["source.port"], row["destination.port"]}
    ]
    assert not found
