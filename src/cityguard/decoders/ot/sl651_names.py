"""SL 651-2014 by name: functions, station classes, control characters, elements, status bits, parameters.

Functions and control characters: clause 6 and annex B; station classes and elements: annex C; parameters: annex D.
"""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final[dict[int, tuple[str, str]]] = {
    0x2F: ("link_keepalive", "diagnostic"),
    0x30: ("test_report", "diagnostic"),
    0x31: ("uniform_time_report", "read"),
    0x32: ("timed_report", "read"),
    0x33: ("extra_report", "read"),
    0x34: ("hourly_report", "read"),
    0x35: ("manual_report", "read"),
    0x36: ("picture_report", "read"),
    0x37: ("query_realtime", "read"),
    0x38: ("query_period", "read"),
    0x39: ("query_manual", "read"),
    0x3A: ("query_elements", "read"),
    0x40: ("write_basic_config", "program"),
    0x41: ("read_basic_config", "read"),
    0x42: ("write_run_parameters", "program"),
    0x43: ("read_run_parameters", "read"),
    0x44: ("query_pump_data", "read"),
    0x45: ("query_software_version", "read"),
    0x46: ("query_status", "read"),
    0x47: ("erase_storage", "control"),
    0x48: ("factory_reset", "control"),
    0x49: ("change_password", "write"),
    0x4A: ("set_clock", "write"),
    0x4B: ("set_ic_card", "write"),
    0x4C: ("pump_control", "control"),
    0x4D: ("valve_control", "control"),
    0x4E: ("gate_control", "control"),
    0x4F: ("quota_control", "control"),
    0x50: ("query_events", "read"),
    0x51: ("query_clock", "read"),
}
"""Code -> name and class; 52-DF are reserved, E0-FF the user's own."""
CLASSED: Final = frozenset(range(0x30, 0x3B))
"""Functions whose body tells the class of the station behind its address."""

CLASSES: Final[dict[int, str]] = {
    0x50: "rain",
    0x48: "river",
    0x4B: "reservoir",
    0x5A: "gate",
    0x44: "pump station",
    0x54: "tide",
    0x4D: "soil moisture",
    0x47: "groundwater",
    0x51: "quality",
    0x49: "intake",
    0x4F: "outlet",
}

STX, ETX, EOT, ENQ, ACK, NAK, SYN, ETB, ESC = 0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x16, 0x17, 0x1B
ENDS: Final[dict[int, str]] = {
    ETX: "ETX", ETB: "ETB", ENQ: "ENQ", ACK: "ACK", NAK: "NAK", EOT: "EOT", ESC: "ESC",
}  # fmt: skip
"""What closes a body: ETX and ETB from the station; ENQ, ACK, NAK, EOT and ESC from the centre."""

_SYMBOLS = (
    "AC AI C DRxnn DT ED EJ FL GH GN GS GT GTP H HW M10 M20 M30 M40 M50 M60 M80 M100 MST NS P1 P2 P3 P6 P12 PD PJ"
    " PN01 PN05 PN10 PN30 PR PT Q Q1 Q2 Q3 Q4 Q5 Q6 Q7 Q8 QA QZ SW UC UE US VA VJ VT Z ZB ZU Z1 Z2 Z3 Z4 Z5 Z6 Z7 Z8"
    " SQ ZT pH DO COND TURB CODMN REDOX NH4N TP TN TOC CU ZN SE AS THG CD PB CHLA WP1 WP2 WP3 WP4 WP5 WP6 WP7 WP8"
    " SYL1 SYL2 SYL3 SYL4 SYL5 SYL6 SYL7 SYL8 SBL1 SBL2 SBL3 SBL4 SBL5 SBL6 SBL7 SBL8 VTA VTB VTC VIA VIB VIC"
)
STEP, DURATION, STATUS = 0x04, 0x05, 0x45
TEXT, PICTURE, RAIN, LEVELS, VELOCITY = 0xF2, 0xF3, 0xF4, range(0xF5, 0xFD), 0xFD
ELEMENTS: Final[dict[int, str]] = (
    dict(enumerate(_SYMBOLS.split(), 1))
    | {TEXT: "RGZS", PICTURE: "PIC", RAIN: "DRP", VELOCITY: "DATA"}
    | {code: f"DRZ{place}" for place, code in enumerate(LEVELS, 1)}
)
"""Guide octet -> symbol (table C.1)."""
GUIDES: Final = {name: code for code, name in ELEMENTS.items()}

BITS: Final = (
    "mains_lost", "battery_low", "level_over_limit", "flow_over_limit", "quality_over_limit", "flow_meter_fault",
    "level_meter_fault", "door_open", "memory_fault", "ic_card_on", "pump_running", "water_over_limit",
)  # fmt: skip
"""Names of the status word's bits; ``door_open`` and ``pump_running`` hold where the bit is 0 (table 58)."""
INVERTED: Final = frozenset((7, 10))

CHANNELS: Final = {
    0: "off", 1: "SMS", 2: "IPv4", 3: "Beidou", 4: "maritime satellite", 5: "PSTN", 6: "UHF",
}  # fmt: skip
CHANNEL_IDS: Final = range(0x04, 0x0C)
PASSWORD_ID: Final = 0x03
MODES: Final = {1: "M1 report", 2: "M2 report and confirm", 3: "M4 query and answer", 4: "debugging or repair"}
BROADCAST: Final = 65_535


def function(code: int) -> tuple[str, str | None]:
    """Name and class of a function; codes of users and those that are reserved have no class."""
    known = FUNCTIONS.get(code)
    if known is not None:
        return known
    return ("user_function" if code >= 0xE0 else "reserved_function"), None
