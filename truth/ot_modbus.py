"""Modbus beside tshark, Zeek, the ICSNPP logs and Suricata's tests."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from truth import ot
from truth.base import Line

EXCEPTIONS = {
    "ILLEGAL_FUNCTION": 1,
    "ILLEGAL_DATA_ADDRESS": 2,
    "ILLEGAL_DATA_VALUE": 3,
    "SLAVE_DEVICE_FAILURE": 4,
    "ACKNOWLEDGE": 5,
    "SLAVE_DEVICE_BUSY": 6,
    "NEGATIVE_ACKNOWLEDGE": 7,
    "MEMORY_PARITY_ERROR": 8,
    "GATEWAY_PATH_UNAVAILABLE": 10,
    "GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND": 11,
}
NAMES = {
    "READ_COILS": 1,
    "READ_DISCRETE_INPUTS": 2,
    "READ_HOLDING_REGISTERS": 3,
    "READ_INPUT_REGISTERS": 4,
    "WRITE_SINGLE_COIL": 5,
    "WRITE_SINGLE_REGISTER": 6,
    "READ_EXCEPTION_STATUS": 7,
    "DIAGNOSTICS": 8,
    "GET_COMM_EVENT_COUNTER": 11,
    "GET_COMM_EVENT_LOG": 12,
    "WRITE_MULTIPLE_COILS": 15,
    "WRITE_MULTIPLE_REGISTERS": 16,
    "REPORT_SLAVE_ID": 17,
    "READ_FILE_RECORD": 20,
    "WRITE_FILE_RECORD": 21,
    "MASK_WRITE_REGISTER": 22,
    "READ_WRITE_MULTIPLE_REGISTERS": 23,
    "READ_FIFO_QUEUE": 24,
    "ENCAP_INTERFACE_TRANSPORT": 43,
}
WRITES = frozenset((5, 6, 15, 16))


def compare(data: Path) -> Iterable[Line]:
    captures = list(ot.folders(data, "modbus"))
    line = Line("modbus", "tshark", "PDUs: frame, transaction, unit, function", floor=ot.CODES, most_extra=ot.MORE)
    yield ot.tshark(line, captures, _codes, _our_codes)
    line = Line("modbus", "tshark", "exception codes", floor=ot.CODES)
    yield ot.tshark(line, captures, _exceptions, _our_exceptions)
    line = Line("modbus", "tshark", "addresses and quantities asked", floor=ot.POINTS, most_extra=ot.MORE_POINTS)
    yield ot.tshark(line, captures, _asked, _our_asked)
    line = Line("modbus", "Zeek", "PDUs: function, direction, exception", floor=ot.CODES)
    yield ot.zeek(line, captures, "modbus", _zeek, _our_zeek)
    line = Line("modbus", "Zeek ICSNPP", "transactions: function, address, quantity, values", floor=ot.POINTS)
    yield ot.zeek(line, captures, "modbus_detailed", _detailed, _our_detailed)
    line = Line("modbus", "Zeek ICSNPP", "mask writes: address, masks", floor=ot.POINTS)
    yield ot.zeek(line, captures, "modbus_mask_write_register", _masks, _our_masks)
    line = Line("modbus", "Zeek ICSNPP", "read/write multiple: addresses, quantities, values", floor=ot.POINTS)
    yield ot.zeek(line, captures, "modbus_read_write_multiple_registers", _both, _our_both)
    line = Line("modbus", "Suricata", "test filters", floor=ot.CODES)
    yield ot.suricata(line, captures, "modbus", FIELDS, lambda capture: ot.ours(capture, "modbus"))


def _codes(row: dict[str, str]) -> Iterator[Hashable]:
    columns = ot.joined(row, "mbtcp.trans_id", "mbtcp.unit_id", "modbus.func_code")
    return ((int(row["frame.number"]), *unit) for unit in columns)


def _our_codes(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "modbus"):
        yield row["log.offset"], row["ot.transaction_id"], row["ot.unit_id"], row["ot.function.code"]


def _exceptions(row: dict[str, str]) -> Iterator[Hashable]:
    return ((int(row["frame.number"]), code) for code in ot.numbers(row["modbus.exception_code"]))


def _our_exceptions(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "modbus"):
        if row["ot.function.class"] == "error" and row["ot.status"]:
            yield row["log.offset"], int(row["ot.status"])


def _asked(row: dict[str, str]) -> Iterator[Hashable]:
    """Of requests with one PDU in the frame: tshark gives reads and writes a reference number and a count."""
    if "Query" not in row["_ws.col.Info"] or "," in row["mbtcp.trans_id"]:
        return
    places = ot.numbers(row["modbus.reference_num"])
    counts = ot.numbers(row["modbus.word_cnt"]) + ot.numbers(row["modbus.bit_cnt"])
    if len(places) == 1 and ot.number(row["modbus.func_code"]) in range(1, 17):
        yield int(row["frame.number"]), "address", str(places[0])
    if len(counts) == 1 and ot.number(row["modbus.func_code"]) in (1, 2, 3, 4, 15, 16):
        yield int(row["frame.number"]), "quantity", counts[0]


def _our_asked(capture: Path) -> Iterator[Hashable]:
    rows = [row for row in ot.ours(capture, "modbus") if row["ot.is_request"]]
    frames = [row["log.offset"] for row in rows]
    for row in rows:
        if frames.count(row["log.offset"]) > 1:
            continue
        if row["ot.function.code"] in (1, 2, 3, 4, 5, 6, 15, 16) and row["ot.address"] is not None:
            yield row["log.offset"], "address", row["ot.address"]
        if row["ot.function.code"] in (1, 2, 3, 4, 15, 16) and row["ot.quantity"] is not None:
            yield row["log.offset"], "quantity", row["ot.quantity"]


def _function(name: str) -> int:
    """Zeek's name of a function; ``unknown-N`` and ``NAME_EXCEPTION`` are the octet itself and the answer's bit."""
    name = name.removesuffix("_EXCEPTION")
    return NAMES[name] if name in NAMES else int(name.rsplit("-", 1)[-1]) & 0x7F if "-" in name else -1


def _zeek(record: dict[str, str]) -> Iterator[Hashable]:
    failed = EXCEPTIONS.get(record["exception"]) if record["exception"] else None
    yield _function(record["func"]), record.get("pdu_type", "") or None, failed


def _our_zeek(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "modbus"):
        failed = int(row["ot.status"]) if row["ot.function.class"] == "error" and row["ot.status"] else None
        yield row["ot.function.code"], "REQ" if row["ot.is_request"] else "RESP", failed


def _detailed(record: dict[str, str]) -> Iterator[Hashable]:
    """One record has a request and its response; functions with logs of their own are compared there."""
    code = _function(record["func"])
    if code not in (1, 2, 3, 4, *WRITES):
        return
    key = (int(record["tid"]), int(record["unit"]), code)
    yield *key, "address", int(record["address"]), int(record["quantity"])
    for name, kind in (("request_values", "asked"), ("response_values", "answered")):
        values = record[name].split(",") if record[name] else []
        if values and not (code in WRITES and kind == "answered"):
            yield *key, kind, ",".join(values[:16])
    if record["exception_code"]:
        yield *key, "exception", EXCEPTIONS.get(record["exception_code"])


def _our_detailed(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "modbus"):
        code = row["ot.function.code"]
        if code not in (1, 2, 3, 4, *WRITES):
            continue
        key = (row["ot.transaction_id"], row["ot.unit_id"], code)
        if row["ot.is_request"]:
            yield *key, "address", int(row["ot.address"]), row["ot.quantity"]
        if row["ot.value"] and (row["ot.is_request"] or code not in WRITES):
            yield *key, "asked" if row["ot.is_request"] else "answered", row["ot.value"]
        if row["ot.function.class"] == "error":
            yield *key, "exception", int(row["ot.status"])


def _masks(record: dict[str, str]) -> Iterator[Hashable]:
    way = record["request_response"] == "REQUEST"
    yield int(record["tid"]), way, int(record["address"]), int(record["and_mask"]), int(record["or_mask"])


def _our_masks(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "modbus"):
        if row["ot.function.code"] == 22:
            told = json.loads(row["event.fields"])
            way = row["ot.is_request"]
            yield row["ot.transaction_id"], way, int(row["ot.address"]), told["and_mask"], told["or_mask"]


def _both(record: dict[str, str]) -> Iterator[Hashable]:
    if record["request_response"] == "REQUEST":
        write, read = int(record["write_start_address"]), int(record["read_start_address"])
        yield int(record["tid"]), write, record["write_registers"], read, int(record["read_quantity"])
    else:
        yield int(record["tid"]), record["read_registers"]


def _our_both(capture: Path) -> Iterator[Hashable]:
    for row in ot.ours(capture, "modbus"):
        if row["ot.function.code"] != 23:
            continue
        if row["ot.is_request"]:
            told = json.loads(row["event.fields"])
            places = (int(row["ot.address"]), row["ot.value"], told["read_address"], told["read_quantity"])
            yield row["ot.transaction_id"], *places
        else:
            yield row["ot.transaction_id"], row["ot.value"]


_SURICATA = {"RdCoils": 1, "WrMultReg": 16, "WrMultCoils": 15, "RdHoldRegs": 3, "Diagnostic": 8, "MEI": 43}


def _named(row: ot.Row) -> str | None:
    return next((name for name, code in _SURICATA.items() if code == row["ot.function.code"]), None)


FIELDS: dict[str, Any] = {
    "modbus.request.unit_id": lambda row: row["ot.unit_id"] if row["ot.is_request"] else None,
    "modbus.request.transaction_id": lambda row: row["ot.transaction_id"] if row["ot.is_request"] else None,
    "modbus.request.function_code": lambda row: _named(row) if row["ot.is_request"] else None,
    "modbus.request.function_raw": lambda row: row["ot.function.code"] if row["ot.is_request"] else None,
    "modbus.response.function_raw": lambda row: None if row["ot.is_request"] else row["ot.function.code"],
}
