"""The sample city's fixed facts: its hour, its addresses, its cast. Fictional throughout; documentation ranges outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUT = ROOT / "examples" / "city"
PCAPS = ROOT / "pcaps"

SEED = 20260311
CITY = "江澜市"
ZONE = timezone(timedelta(hours=8))
START = datetime(2026, 3, 11, 22, 30, tzinfo=ZONE)
END = START + timedelta(hours=1)

# the intruder's way, in order
ATTACKER = "203.0.113.66"
C2 = "198.51.100.23"
C2_NAME = "a7f3k9q2x1.cdn-statics.example"
DROP = "198.51.100.40"  # where 2.4 GB went
PHISHED = "10.30.17.45"
VPN_GATEWAY = "172.16.10.5"
VPN_CLIENT = "172.16.10.130"
JUMP = "10.99.0.20"
HISTORIAN = "10.66.0.10"
ENGINEERING = "10.66.0.20"
SCADA = "10.66.10.5"
PLCS = ("10.66.10.11", "10.66.10.12", "10.66.10.13", "10.66.10.14")
PLC = PLCS[1]

# the innocent that look guilty
SCANNER = "10.99.0.30"
BACKUP_FROM, BACKUP_TO = "10.40.1.9", "10.41.0.9"
PRINTER, PRINT_SERVER = "10.30.5.77", "10.30.5.1"
HEAT_VENDOR, HEAT_PLC = "10.67.0.20", "10.67.10.11"

# the city's own field equipment; ids are invented, the civil code 990100 is no place
CIVIL = "990100"
ENV_PLATFORM = "10.69.0.5"
ENV_STATIONS = {
    "10.69.10.21": "9901A00000000000000000E1",  # waste water, ST 32
    "10.69.10.22": "9901A00000000000000000E2",  # flue gas, ST 31
    "10.69.10.23": "9901A00000000000000000E3",  # surface water, ST 21
}
ENV_LAPTOP = "10.69.10.99"  # unregistered, at an outfall's cabinet
HYDRO_CENTRE = "10.70.0.5"
HYDRO_CENTRE_NUMBER = 18
HYDRO_STATIONS = {"10.70.10.31": "0099010001", "10.70.10.32": "0099010002", "10.70.10.33": "0099010003"}
HYDRO_LAPTOP = "10.70.10.98"
VIDEO_PLATFORM, VIDEO_PLATFORM_ID = "10.71.0.5", "99010000002000000001"
VIDEO_MEDIA = "10.71.0.6"
VIDEO_NVR, VIDEO_NVR_ID = "10.71.10.41", "99010001001180000007"
VIDEO_CAMERAS = tuple(f"9901000100132000{number:04d}" for number in range(1, 7))  # channels of the recorder
VIDEO_INTRUDER = "10.71.10.97"
METER_MASTER = "10.72.0.5"
METER_GATEWAYS = {"10.72.10.51": "990126000101", "10.72.10.52": "990126000102", "10.72.10.53": "990126000103"}
METER_LAPTOP = "10.72.10.96"
CHARGE_CENTRAL = "10.73.0.5"
CHARGE_POINTS = {"10.73.10.61": "CP-GJ-001", "10.73.10.62": "CP-GJ-002", "10.73.10.63": "CP-GJ-003"}
CHARGE_FOREIGN = "203.0.113.9"  # where the wrong firmware is
TLCP_GATEWAY = "172.16.10.6"
TLCP_CLIENTS = ("10.20.10.10", "10.20.23.10")

RESOLVER = "10.10.0.53"
FIREWALL = "JL-FW-01"


def at(minute: float) -> datetime:
    """A moment of the hour, minutes after its start."""
    return START + timedelta(minutes=minute)


def epoch(moment: datetime) -> float:
    return moment.astimezone(UTC).timestamp()
