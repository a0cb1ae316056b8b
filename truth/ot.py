"""What industrial protocols' comparators share: cases of a folder, our rows of a capture, tshark's and Zeek's units.

A protocol's own comparator is a module ``ot_NAME.py`` of this package with ``compare(data)``. Here: which protocol
the captures of a folder are said to speak.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cityguard import columns
from truth import base
from truth.base import Line

CODES, POINTS = 0.995, 0.98
"""Asked for: PDUs with function code right; addresses and values where the peer has them."""
MORE, MORE_POINTS = 0.005, 0.02
"""How many units of ours may be beyond those of a peer that tells all it sees: of PDUs, of addresses and values."""
Row = dict[str, Any]
Units = Iterable[Hashable]
LABELS = {
    "Modbus": "modbus",
    "DNP3": "dnp3",
    "S7Comm": "s7comm",
    "S7CommPlus": "s7comm_plus",
    "IEC60870": "iec104",
    "EthernetIP": "enip",
    "CIP": "cip",
    "BACnet": "bacnet",
    "OPC-UA": "opcua",
    "HART-IP": "hart_ip",
    "KNXnet_IP": "knxip",
    "OmronFINS": "omron_fins",
    "FINS": "omron_fins",
    "IEC62056": "dlms",
    "ISO9506-1-MMS": "mms",
    "BeckhoffADS": "ads",
    "MELSEC": "melsec",
    "IEEE-C37118": "c37118",
}
"""nDPI's names of industrial protocols, and ours."""
_END = r"\[?([0-9a-fA-F.:]+?)\]?:(\d+)"
_FLOW = re.compile(rf"^\t\d+\t(?:TCP|UDP) {_END} (?:<->|->) {_END} \[proto: [\d.]+/([^\]]+)\]")


@base.kept
def decoded(capture: Path) -> tuple[Row, ...]:
    """Our ``ot`` rows of a capture, in order."""
    none = {one.name: None for one in columns.OT} | {"event.fields": None}
    return tuple(_numbered(none | row) for row in base.rows(capture, "ot").to_dicts())


def _numbered(row: Row) -> Row:
    """Peers write units as numbers."""
    unit = row["ot.unit_id"]
    return row | {"ot.unit_id": int(unit)} if unit and unit.isdigit() and len(unit) < 10 else row


def ours(capture: Path, protocol: str | tuple[str, ...]) -> list[Row]:
    """Those of one protocol, or several."""
    names = (protocol,) if isinstance(protocol, str) else protocol
    return [row for row in decoded(capture) if row["ot.protocol"] in names]


def folders(data: Path, *names: str) -> Iterator[Path]:
    """Captures of the folders ``ot-pcap/NAME``."""
    for name in names:
        if (data / "ot-pcap" / name).is_dir():
            yield from base.captures(data / "ot-pcap" / name)


def case(capture: Path) -> str:
    return f"{capture.parent.parent.name}/{capture.parent.name}"


def heard(capture: Path) -> list[dict[str, str]]:
    """tshark's rows of a capture; retransmissions are the same bytes again."""
    return [row for row in base.tshark(capture) if "Retransmission]" not in row["_ws.col.Info"]]


def tshark(
    line: Line,
    captures: Iterable[Path],
    theirs: Callable[[dict[str, str]], Units],
    units: Callable[[Path], Units],
) -> Line:
    """Compare the units of each capture that has a table of tshark's; retransmissions are the same bytes again.

    Args:
        line: where to count.
        captures: the captures.
        theirs: the units of one of tshark's rows; the frame's number is a part of them.
        units: ours of a capture.
    """
    for capture in captures:
        table = base.tshark(capture)
        wanted = [unit for row in table if "Retransmission]" not in row["_ws.col.Info"] for unit in theirs(row)]
        if wanted or table:
            line.add(case(capture), wanted, units(capture))
    return line


def zeek(
    line: Line,
    captures: Iterable[Path],
    log: str,
    theirs: Callable[[dict[str, str]], Units],
    units: Callable[[Path], Units],
) -> Line:
    """Compare with Zeek's logs of one name, wherever they stand beside a capture."""
    for capture in captures:
        for name, records in base.zeek_logs(capture, log):
            if records:  # a log without the line that names its fields tells nothing
                line.add(name, [unit for record in records for unit in theirs(record)], units(capture))
    return line


def number(text: str) -> int | None:
    """A number as tshark and Zeek write it: decimal, or hexadecimal after 0x."""
    try:
        return int(text, 0)
    except ValueError:
        return int(text) if text.isdigit() else None


def numbers(text: str) -> list[int]:
    """A repeated field's numbers."""
    return [found for part in text.split(",") if (found := number(part)) is not None]


def joined(row: dict[str, str], *names: str) -> Iterator[tuple[int | None, ...]]:
    """Columns of repeated numbers side by side; where one is shorter its units have None, so that none is dropped."""
    return zip_longest(*(numbers(row[name]) for name in names))


def suricata(
    line: Line,
    captures: Iterable[Path],
    event: str,
    fields: dict[str, Callable[[Row], Any]],
    rows: Callable[[Path], list[Row]],
) -> Line:
    """Checks of Suricata's tests: each filter of an event type with a field we know counts as many rows.

    A unit is one filter; fields we have no place for are left out of it, filters with none left are passed over.
    """
    for capture in captures:
        for answer in sorted(capture.parent.glob("suricata_expect.json")):
            for check in _checks(json.loads(base.text(answer))):
                wanted = check.get("match", {})
                known = {name: value for name, value in wanted.items() if name in fields}
                if wanted.get("event_type") != event or not any(name.startswith(event) for name in known):
                    continue
                found = sum(all(fields[name](row) == value for name, value in known.items()) for row in rows(capture))
                line.add(case(capture), [(str(known), check["count"])], [(str(known), found)])
    return line


def _checks(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for test in answer["tests"]:
        for check in test["test_yaml"].get("checks", []):
            if "filter" in check:
                yield check["filter"]


def compare(data: Path) -> Iterable[Line]:
    """Which protocol a connection speaks, beside nDPI's label of it; what nDPI does not name is not compared."""
    line = Line("ot labels", "nDPI", "connections by protocol", floor=CODES)
    for capture in base.captures(data / "ot-pcap") if (data / "ot-pcap").is_dir() else ():
        for answer in sorted(capture.parent.glob("ndpi/*.out")):
            wanted = list(_labels(base.text(answer)))
            flows = base.rows(capture, "flow")
            said = {_ends(row): row["network.protocol"] for row in flows.to_dicts()} if flows.height else {}
            line.add(case(capture), wanted, [(ends, said.get(ends)) for ends, _ in wanted])
    yield line


def _labels(answer: str) -> Iterator[tuple[frozenset[tuple[str, int]], str]]:
    for row in answer.splitlines():
        if found := _FLOW.match(row):
            one, one_port, other, other_port, name = found.groups()
            label = next((LABELS[part] for part in name.split(".") if part in LABELS), None)
            if label:
                yield frozenset(((one, int(one_port)), (other, int(other_port)))), label


def _ends(row: Row) -> frozenset[tuple[str, int]]:
    return frozenset(
        ((row["source.ip"], row["source.port"] or 0), (row["destination.ip"], row["destination.port"] or 0))
    )
