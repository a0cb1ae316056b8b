"""Names of HJ 212: commands and their classes, systems, return codes (HJ 212-2017, annexes A and C; 2005; 2025).

What stands in the text of the 2017 edition is read there; commands marked 2005 and 2025 are known from public
implementations alone.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["request", "upload", "response"]

COMMANDS: dict[int, tuple[str, str | None]] = {
    1000: ("set_timeouts", "write"),
    1001: ("hardware_serials", "read"),  # 2025
    1002: ("set_mn", "write"),  # 2025
    1011: ("get_time", "read"),
    1012: ("set_time", "write"),
    1013: ("time_calibration_request", "diagnostic"),
    1014: ("key_exchange", "write"),  # 2025
    1021: ("get_alarm_limits", "read"),  # 2005
    1022: ("set_alarm_limits", "write"),  # 2005
    1031: ("get_platform_address", "read"),  # 2005
    1032: ("set_platform_address", "write"),  # 2005
    1041: ("get_report_time", "read"),  # 2005
    1042: ("set_report_time", "write"),  # 2005
    1061: ("get_realtime_interval", "read"),
    1062: ("set_realtime_interval", "write"),
    1063: ("get_minute_interval", "read"),
    1064: ("set_minute_interval", "write"),
    1072: ("set_password", "write"),
    2011: ("realtime_data", "read"),
    2012: ("stop_realtime_data", "control"),
    2013: ("raw_data", "read"),  # 2025
    2021: ("device_state", "read"),
    2022: ("stop_device_state", "control"),
    2031: ("day_data", "read"),
    2041: ("day_run_time", "read"),
    2051: ("minute_data", "read"),
    2052: ("noise_event", "read"),  # 2025
    2061: ("hour_data", "read"),
    2062: ("check_data", "read"),  # 2025
    2071: ("alarm_record", "read"),  # 2005
    2072: ("alarm_event", "read"),  # 2005
    2081: ("power_on_time", "diagnostic"),
    2111: ("furnace_data", "read"),  # 2025
    3011: ("zero_span_calibration", "control"),
    3012: ("sample_now", "control"),
    3013: ("wash_blow_back", "control"),
    3014: ("comparison_sample", "control"),
    3015: ("retained_sample", "control"),
    3016: ("set_sampling_period", "write"),
    3017: ("get_sampling_period", "read"),
    3018: ("get_sampling_time", "read"),
    3019: ("get_instrument_serial", "read"),
    3020: ("field_information", "diagnostic"),
    3021: ("set_field_parameter", "program"),
    3022: ("retain_task", "control"),  # 2025
    3024: ("start_check", "control"),  # 2025
    9011: ("request_answer", None),
    9012: ("execution_result", None),
    9013: ("notice_answer", None),
    9014: ("data_answer", None),
    9015: ("heartbeat", "diagnostic"),  # 2025
}
OLD: dict[int, tuple[str, str | None]] = {
    3013: ("operate_equipment", "control"),
    3014: ("set_sampling_period", "write"),
}
"""Commands that meant something else in 2005."""

ANSWERS = frozenset((9011, 9012, 9013, 9014))
FROM_FIELD = frozenset((1001, 1013, 2052, 2062, 2072, 2081, 2111, 9011, 9012, 9015))
"""Commands that only a station sends, whatever they carry."""
RETURNS = {9011: "QnRtn", 9012: "ExeRtn"}
"""Answers with a return code; any but 1 is a refusal or a failure (2017, table C.3 and C.4)."""

SYSTEMS = {
    "21": "surface water",
    "22": "air",
    "23": "noise",
    "24": "groundwater",
    "25": "soil",
    "26": "sea water",
    "27": "volatile organics",
    "31": "air source",
    "32": "water source",
    "33": "groundwater source",
    "34": "sea source",
    "35": "soil source",
    "36": "noise source",
    "37": "vibration source",
    "38": "radiation source",
    "39": "site dust",
    "41": "electromagnetic source",
    "44": "electricity use",
    "45": "key production",
    "51": "flue gas process",
    "52": "sewage process",
    "91": "interaction",
}
"""ST (2017, table 5; 44 and 45: 2025)."""

EDITIONS = ("2005", "2017", "2025")
"""By bits 2 to 7 of Flag."""
_SECRETS = frozenset(
    (
        *("pw", "pwd", "newpw", "oldpw", "setpw", "setpwd", "newpwd", "newsk", "oldsk", "sk"),
        *("password", "passwd", "newpassword", "oldpassword", "key", "keys", "newkey", "oldkey", "sm4key"),
    )
)
"""In lower case; the second line is not the standard's. ``hj212_fast`` knows them by their first letters."""
ASKS = frozenset(("PolId", "InfoId", "BeginTime", "EndTime"))
"""Items of CP that say what is asked for; anything else is an answer to it."""


def is_secret(name: str) -> bool:
    """Whether an item of CP is a password or key, which never enters a row."""
    return name.lower() in _SECRETS


def command(code: int | None, edition: str | None) -> tuple[str | None, str | None]:
    """Name and class of a command; an unknown one has its number for a name."""
    if code is None:
        return None, None
    if edition == "2005" and code in OLD:
        return OLD[code]
    return COMMANDS.get(code, (f"CN {code}", None))


def system(code: str | None) -> str | None:
    """A system's code and word."""
    if not code:
        return None
    return f"{code} {SYSTEMS[code]}" if code in SYSTEMS else code[:32]
