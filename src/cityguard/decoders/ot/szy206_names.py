"""SZY206-2016 and SL/T 427-2021 by name: application functions, data types, what carries a password.

The frame is read in SL/T 427-2021; the functions stand in three public lists of SZY206 that agree. Names of what only
makers use are theirs, and without a class.
"""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final[dict[int, tuple[str, str]]] = {
    0x02: ("link_check", "diagnostic"),
    0x10: ("set_address", "program"),
    0x11: ("set_clock", "write"),
    0x12: ("set_work_mode", "write"),
    0x15: ("recharge", "write"),
    0x16: ("set_remaining_alarm", "write"),
    0x17: ("set_level_limits", "write"),
    0x18: ("set_pressure_limits", "write"),
    0x19: ("set_quality_upper_limits", "write"),
    0x1A: ("set_quality_lower_limits", "write"),
    0x1B: ("set_volume_base", "write"),
    0x1C: ("set_relay_code", "write"),
    0x1D: ("set_relay_stations", "write"),
    0x1E: ("set_relay_switching", "write"),
    0x1F: ("set_flow_limits", "write"),
    0x20: ("set_report_threshold", "write"),
    0x30: ("ic_card_on", "control"),
    0x31: ("ic_card_off", "control"),
    0x32: ("quota_control_on", "control"),
    0x33: ("quota_control_off", "control"),
    0x34: ("set_quota", "write"),
    0x50: ("query_address", "read"),
    0x51: ("query_clock", "read"),
    0x52: ("query_work_mode", "read"),
    0x53: ("query_report_kinds", "read"),
    0x54: ("query_data_kinds", "read"),
    0x55: ("query_recharge", "read"),
    0x56: ("query_remaining", "read"),
    0x57: ("query_level_limits", "read"),
    0x58: ("query_pressure_limits", "read"),
    0x59: ("query_quality_upper_limits", "read"),
    0x5A: ("query_quality_lower_limits", "read"),
    0x5B: ("query_terminal_values", "read"),
    0x5C: ("query_daily_history", "read"),
    0x5D: ("query_events", "read"),
    0x5E: ("query_status", "read"),
    0x5F: ("query_pump_motor", "read"),
    0x60: ("query_relay_code_length", "read"),
    0x61: ("query_picture", "read"),
    0x62: ("query_relay_addresses", "read"),
    0x63: ("query_relay_log", "read"),
    0x64: ("query_flow_limits", "read"),
    0x65: ("query_channels", "read"),
    0x81: ("alarm_report", "read"),
    0x82: ("manual_report", "read"),
    0x83: ("picture_report", "read"),
    0x84: ("voltage_report", "read"),
    0x90: ("reset", "control"),
    0x91: ("erase_history", "control"),
    0x92: ("start_pump_or_valve", "control"),
    0x93: ("stop_pump_or_valve", "control"),
    0x94: ("switch_communication_unit", "control"),
    0x95: ("switch_relay_unit", "control"),
    0x96: ("change_password", "write"),
    0xA0: ("set_query_kinds", "write"),
    0xA1: ("set_report_kinds", "write"),
    0xA2: ("set_channels", "program"),
    0xB0: ("query_realtime", "read"),
    0xB1: ("query_stored", "read"),
    0xB2: ("query_memory", "read"),
    0xC0: ("self_report", "read"),
}
EXTRAS: Final = frozenset((0x44, 0x74, 0x85, 0x97, 0x98, *range(0xC1, 0xC7), 0xE0, 0xEF, 0xF1, 0xFF))
"""Functions of makers."""
GUARDED: Final = frozenset(code for code, (_, kind) in FUNCTIONS.items() if kind in ("write", "control", "program"))
"""Functions whose command carries a password."""
REPORTS: Final = frozenset((0x81, 0x82, 0x83, 0x84, 0xC0))
"""What stations say unasked, and the centre acknowledges under the same function."""

TYPES: Final = (
    "ack", "rain", "level", "flow", "velocity", "gate", "power", "pressure", "wind", "temperature", "quality", "soil",
    "evaporation", "alarm", "composite", "water_pressure",
)  # fmt: skip
"""Data type of an upward frame, by D3-D0 of its control octet."""
UNITS: Final = {1: 3, 2: 4, 3: 5, 4: 3, 5: 3, 6: 3, 7: 3, 8: 3, 12: 3}
"""Octets of one datum of a type; of the others public implementations differ."""
DATA: Final = {
    0x10: (5, 0), 0x11: (6, 0), 0x12: (1, 0), 0x15: (4, 0), 0x16: (3, 0), 0x17: (0, 7), 0x18: (0, 8), 0x19: (5, 4),
    0x1A: (5, 4), 0x1C: (1, 0), 0x1D: (0, 5), 0x1E: (1, 0), 0x1F: (0, 5), 0x30: (0, 0), 0x31: (0, 0), 0x32: (0, 0),
    0x33: (0, 0), 0x34: (5, 0), 0x90: (1, 0), 0x91: (1, 0), 0x92: (1, 0), 0x93: (1, 0), 0x94: (1, 0), 0x95: (1, 0),
    0x96: (2, 0), 0xA0: (2, 0), 0xA1: (2, 2),
}  # fmt: skip
"""Octets of data of a command: so many, and any number of units of so many."""
TIMED: Final = frozenset((0x81, 0x82, 0xB0, 0xC0))
"""Functions whose upward frame may end with a time."""
DECIMALS: Final = {1: 1, 2: 3, 3: 3, 4: 3, 5: 2}
"""Decimals of rain, level, flow, velocity, gate: as an implementation of SL/T 427-2021 tells; of others they differ."""
CHANNELS: Final = {0x01: ("SMS", 7), 0x02: ("IPv4", 7), 0x03: ("Beidou", 3)}
"""Type of a channel -> its name and the octets of the centre's address (function A2)."""
LINK: Final = {0xF0: "login", 0xF1: "logout", 0xF2: "online"}
MODES: Final = {0: "compatible", 1: "self-report", 2: "query", 3: "debugging or repair"}


def function(code: int) -> tuple[str, str | None]:
    """Name and class of an application function."""
    return FUNCTIONS.get(code) or ("vendor_function" if code in EXTRAS else "unknown_function", None)
