"""Smaller field protocols beside tshark and ICSNPP: FINS, HART-IP, C37.118, ADS, KNXnet/IP, GENISYS, PROFINET."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from truth import base, ot
from truth.base import Line
from truth.ot import CODES, MORE, MORE_POINTS, POINTS, Row

_CODE = re.compile(r"\((0x[0-9a-fA-F]+|\d+)\)$")
_CONNECTION = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto "
_FINS = (
    "ts id.orig_h id.orig_p id.resp_h id.resp_p proto tcp_header tcp_length tcp_command tcp_error_code "
    "client_node_address server_node_address icf_gateway icf_data_type icf_response gateway_count "
    "destination_network_address destination_node_number destination_unit_address source_network_address "
    "source_node_number source_unit_address service_id command_code remaining_data"
)
_HART = _CONNECTION + "something version reserved type id status sequence"
FINS_GENERAL, HART_GENERAL = tuple(_FINS.split()), tuple(_HART.split())
"""Columns of logs whose heads are lost in the baseline."""
PRINTED = {0x0301: 0x0304, 0x0302: 0x0305, 0x0303: 0x0306, 0x0304: 0x0307, 0x0305: 0x0308}
"""ICSNPP prints the program area functions three too low; the bytes on the wire and tshark have them as W342 does."""


def compare(data: Path) -> Iterator[Line]:
    """One line per protocol and peer; units are named in them."""
    yield from (_fins(data), _fins_zeek(data), _hart(data), _hart_zeek(data), *_synchrophasors(data))
    yield from (_ads(data), _knx(data), _genisys(data), *_profinet(data))


def _frame(row: Row) -> int:
    return int(row["log.offset"])


def _at(row: dict[str, str]) -> int:
    return int(row["frame.number"])


def _fins(data: Path) -> Line:
    line = Line("omron_fins", "tshark", "command: frame, code, response code, service id", floor=CODES, most_extra=MORE)

    def theirs(row: dict[str, str]) -> Iterator[Any]:
        answers: list[int | None] = [*ot.numbers(row["omron.response.code"])] or [None]
        for code, sid in ot.joined(row, "omron.command", "omron.sid"):
            yield _at(row), code, answers[0], sid

    def ours(capture: Path) -> Iterator[Any]:
        for row in ot.ours(capture, "omron_fins"):
            if row["ot.function.code"] is not None:
                status = None if row["ot.status"] is None else int(row["ot.status"], 16)
                yield _frame(row), row["ot.function.code"], status, row["ot.transaction_id"]

    return ot.tshark(line, ot.folders(data, "omron-fins"), theirs, ours)


def _fins_zeek(data: Path) -> Line:
    line = Line(
        "omron_fins", "zeek-icsnpp", "omron_fins_general.log: code, direction, service id", floor=CODES, most_extra=MORE
    )
    for capture in ot.folders(data, "omron-fins"):
        for name, records in base.zeek_logs(capture, "omron_fins_general", FINS_GENERAL):
            wanted = [
                (
                    PRINTED.get(int(found[1], 0), int(found[1], 0)),
                    record["icf_data_type"].startswith("Command"),
                    int(record["service_id"], 0),
                )
                for record in records
                if (found := _CODE.search(record["command_code"]))
            ]
            rows = [row for row in ot.ours(capture, "omron_fins") if row["ot.function.code"] is not None]
            given = [(row["ot.function.code"], row["ot.is_request"], row["ot.transaction_id"]) for row in rows]
            line.add(name, wanted, given)
    return line


def _hart(data: Path) -> Line:
    line = Line("hart_ip", "tshark", "message: frame, type, status, command", floor=CODES, most_extra=MORE)
    kinds = {0: "request", 1: "response", 2: "publish", 3: "nak", 15: "nak"}

    def theirs(row: dict[str, str]) -> Iterator[Any]:
        if row["_ws.col.Protocol"] == "ICMP":  # quotes a message that was counted where it was sent
            return
        commands = ot.numbers(row["hart_ip.pt.command"])
        for at, kind in enumerate(ot.numbers(row["hart_ip.message_type"])):
            command = commands[0] if commands and at == 0 else None
            yield _at(row), kinds.get(kind), None if command == 31 else command

    def ours(capture: Path) -> Iterator[Any]:
        for row in ot.ours(capture, "hart_ip"):
            code = row["ot.function.code"]
            told = row["ot.function.name"] != "Direct PDU" and code is not None and code < 256
            yield _frame(row), row["ot.message.type"], code if told else None

    return ot.tshark(line, ot.folders(data, "hart-ip"), theirs, ours)


def _hart_zeek(data: Path) -> Line:
    line = Line("hart_ip", "zeek-icsnpp", "hart_ip_general.log: type, sequence", floor=CODES, most_extra=MORE)
    for capture in ot.folders(data, "hart-ip"):
        for name, records in base.zeek_logs(capture, "hart_ip_general", HART_GENERAL):
            wanted = [(record["type"].lower(), int(record["sequence"])) for record in records if record["sequence"]]
            rows = ot.ours(capture, "hart_ip")
            line.add(name, wanted, [(row["ot.message.type"], row["ot.transaction_id"]) for row in rows])
    return line


def _synchrophasors(data: Path) -> Iterator[Line]:
    line = Line("c37118", "tshark", "frame: frame, type, stream, command", floor=CODES, most_extra=MORE)

    def theirs(row: dict[str, str]) -> Iterator[Any]:
        commands = ot.numbers(row["synphasor.command"])
        for kind, source in ot.joined(row, "synphasor.frtype", "synphasor.idcode_stream_source"):
            yield _at(row), kind, source, str(commands.pop(0)) if kind == 4 and commands else None

    def ours(capture: Path) -> Iterator[Any]:
        for row in ot.ours(capture, "c37118"):
            code = row["ot.function.code"]
            yield _frame(row), code, row["ot.unit_id"], row["ot.value"] if code == 4 else None

    yield ot.tshark(line, ot.folders(data, "c37118"), theirs, ours)
    names = {"Data off": "1", "Data on": "2", "Send HDR": "3", "Send CFG-1": "4", "Send CFG-2": "5", "Send CFG-3": "6"}
    line = Line(
        "c37118",
        "zeek-icsnpp",
        "synchrophasor_cmd, _cfg, _data: commands, stations, frames",
        floor=CODES,
        most_extra=MORE,
    )
    for capture in ot.folders(data, "c37118"):
        rows = ot.ours(capture, "c37118")
        for name, records in base.zeek_logs(capture, "synchrophasor_cmd"):
            given = [row["ot.value"] for row in rows if row["ot.function.code"] == 4]
            line.add(name, [names.get(record["command"], record["command"]) for record in records], given)
        for name, records in base.zeek_logs(capture, "synchrophasor_cfg"):
            given = [row["ot.quantity"] for row in rows if row["ot.function.code"] in (2, 3)]
            line.add(name, [int(record["pmu_count_actual"]) for record in records], given)
        for name, records in base.zeek_logs(capture, "synchrophasor_data"):
            given = [row["ot.quantity"] for row in rows if row["ot.function.code"] == 0]
            line.add(name, [int(record["pmu_count_actual"]) for record in records], given)
        for name, records in base.zeek_logs(capture, "synchrophasor_cfg_detail"):
            stations = [
                name for row in rows if row["ot.function.code"] in (2, 3) for name in row["ot.address"].split(",")
            ]
            line.add(name, [record["station_name"].strip() for record in records], stations)
    yield line


def _ads(data: Path) -> Line:
    line = Line("ads", "tshark", "packet: frame, command, direction, error", floor=CODES, most_extra=MORE)

    def theirs(row: dict[str, str]) -> Iterator[Any]:
        errors = ot.numbers(row["ams.errorcode"])
        for at, (command, flags) in enumerate(ot.joined(row, "ams.cmdid", "ams.stateflags")):
            flags = flags or 0
            yield _at(row), command, flags & 1 == 0, errors[at] if flags & 1 and at < len(errors) else None

    def ours(capture: Path) -> Iterator[Any]:
        for row in ot.ours(capture, "ads"):
            if row["ot.function.code"] is not None:
                asks = row["ot.is_request"]
                error = json.loads(row["event.fields"]).get("ams.error", 0)
                yield _frame(row), row["ot.function.code"], asks, None if asks else error

    return ot.tshark(line, ot.folders(data, "beckhoff-ads"), theirs, ours)


def _knx(data: Path) -> Line:
    line = Line("knxip", "tshark", "frame: number, service", floor=CODES, most_extra=MORE)
    names = {
        "SearchReqExt": 0x020B,
        "SearchResExt": 0x020C,
        "SearchReq": 0x0201,
        "SearchResp": 0x0202,
        "DescrReq": 0x0203,
        "DescrResp": 0x0204,
        "ConnectReq": 0x0205,
        "ConnectResp": 0x0206,
        "ConnStateReq": 0x0207,
        "ConnStateResp": 0x0208,
        "DisconnectReq": 0x0209,
        "DisconnectResp": 0x020A,
        "ConfigReq": 0x0310,
        "ConfigAck": 0x0311,
        "TunnelReq": 0x0420,
        "TunnelAck": 0x0421,
        "TunnelFeatureGet": 0x0422,
        "TunnelFeatureResp": 0x0423,
        "TunnelFeatureSet": 0x0424,
        "TunnelFeatureInfo": 0x0425,
        "RoutingInd": 0x0530,
    }

    def theirs(row: dict[str, str]) -> Iterable[Any]:
        return [(_at(row), names[word]) for word in row["_ws.col.Info"].split(" ") if word in names]

    def ours(capture: Path) -> Iterable[Any]:
        return [(_frame(row), row["ot.function.code"]) for row in ot.ours(capture, "knxip")]

    return ot.tshark(line, ot.folders(data, "knxip"), theirs, ours)


def _genisys(data: Path) -> Line:
    line = Line("genisys", "zeek-icsnpp", "genisys.log: header, station, direction", floor=CODES, most_extra=MORE)

    def theirs(record: dict[str, str]) -> Iterable[Any]:
        return [(record["header"], int(record["server"]), record["direction"] == "request")]

    def ours(capture: Path) -> Iterable[Any]:
        rows = ot.ours(capture, "genisys")
        return [(row["ot.function.name"], row["ot.unit_id"], row["ot.is_request"]) for row in rows]

    return ot.zeek(line, ot.folders(data, "genisys"), "genisys", theirs, ours)


def _profinet(data: Path) -> Iterator[Line]:
    line = Line("profinet_dcp", "tshark", "frame: number, frame id, service, direction", floor=CODES, most_extra=MORE)

    def theirs(row: dict[str, str]) -> Iterable[Any]:
        identity, service = ot.number(row["pn_rt.frame_id"]), ot.number(row["pn_dcp.service_id"])
        kind = ot.number(row["pn_dcp.service_type"])
        return [(_at(row), identity, service, kind & 1 == 0 if kind is not None else None)] if identity else []

    def ours(capture: Path) -> Iterator[Any]:
        for row in ot.ours(capture, ("profinet_dcp", "profinet_rt")):
            dcp = row["ot.protocol"] == "profinet_dcp"
            identity = json.loads(row["event.fields"])["frame_id"] if dcp else row["ot.address"]
            yield _frame(row), int(identity, 16), row["ot.function.code"], row["ot.is_request"] if dcp else None

    yield ot.tshark(line, ot.folders(data, "profinet"), theirs, ours)
    line = Line("profinet_io", "tshark", "packet: frame, operation, block types", floor=POINTS, most_extra=MORE_POINTS)

    def asked(row: dict[str, str]) -> Iterable[Any]:
        operation = ot.number(row["pn_io.opnum"])
        blocks = tuple(ot.numbers(row["pn_io.block_type"]))
        return [(_at(row), operation, blocks[:1])] if operation is not None else []

    def given(capture: Path) -> Iterator[Any]:
        for row in ot.ours(capture, "profinet_io"):
            more = json.loads(row["event.fields"])
            yield _frame(row), more["operation"], tuple(int(one, 16) for one in more.get("blocks", ()))[:1]

    yield ot.tshark(line, ot.folders(data, "profinet"), asked, given)
    line = Line(
        "profinet_io",
        "zeek-icsnpp",
        "profinet_io_cm.log: packet type, operation, sequence",
        floor=CODES,
        most_extra=MORE,
    )
    for capture in ot.folders(data, "profinet"):
        for path in sorted(capture.parent.glob("zeek-icsnpp/*/profinet_io_cm.log*")):
            rows = [row.split("\t") for row in base.text(path).splitlines() if row and not row.startswith("#")]
            wanted = [unit for cells in rows if (unit := _cells(cells))]
            found = [
                (row["ot.message.type"], json.loads(row["event.fields"])["operation"], row["ot.transaction_id"])
                for row in ot.ours(capture, "profinet_io")
            ]
            line.add(f"{capture.parent.name}/{path.parent.name}", wanted, found)
    yield line


_OPERATIONS = {"connect": 0, "release": 1, "read": 2, "write": 3, "control": 4, "read_implicit": 5}


def _cells(cells: list[str]) -> tuple[Any, ...] | None:
    """Packet type and the sequence number before the operation; the log has lost its head, and columns vary by test."""
    kind = next((cell.lower() for cell in cells if cell in ("Request", "Response", "Ping", "Fault", "Working")), None)
    at = next((place for place, cell in enumerate(cells) if cell.lower() in _OPERATIONS), None)
    if kind is None or at is None or not cells[at - 1].isdigit():
        return None
    return kind, _OPERATIONS[cells[at].lower()], int(cells[at - 1])
