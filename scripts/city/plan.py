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

RESOLVER = "10.10.0.53"
FIREWALL = "JL-FW-01"


def at(minute: float) -> datetime:
    """A moment of the hour, minutes after its start."""
    return START + timedelta(minutes=minute)


def epoch(moment: datetime) -> float:
    return moment.astimezone(UTC).timestamp()
