# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""Three hydrological stations and their centre (SL 651-2014), and a laptop that makes one tell a false level elsewhere."""

import random

from scripts.city import plan
from scripts.crafting.capture import Capture, moment

RNG = random.Random(f"{plan.SEED}/hydrology")
CENTRE = plan.HYDRO_CENTRE_NUMBER
PORT = 7_021
PASSWORDS = {station: f"{RNG.choice('79BD')}{RNG.randrange(4096):03X}" for station in plan.HYDRO_STATIONS.values()}
ETX, ENQ, EOT, ETB = 0x03, 0x05, 0x04, 0x17


def craft():
    capture = Capture(vlan=70, rng=RNG)
    for place, (address, station) in enumerate(plan.HYDRO_STATIONS.items()):
        clean(capture, address, station, place)
    misled(capture)
    capture.write(
        "hydrology-misled",
        ("水文站被改写水位修正值并转报他处", "A hydrological station made to tell a false level elsewhere"),
        [
            "cityguard.network.unregistered_host",
            "cityguard.ot.command_unregistered",
            "cityguard.ot.program_off_hours",
            "cityguard.ot.sl651_control_foreign",
            "cityguard.ot.sl651_level_parameters",
            "cityguard.ot.sl651_redirect",
        ],
        exact=True,
    )


def crc(data):
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "big")


def packed(minute, form="%y%m%d%H%M%S"):
    return bytes.fromhex(plan.at(minute).strftime(form))


def digits(value, octets, decimals):
    return bytes.fromhex(f"{round(value * 10**decimals):0{2 * octets}d}")


def frame(station, code, body, up, end, part=None):
    group = b"" if part is None else (part[0] << 12 | part[1]).to_bytes(3, "big")
    way = len(group) + len(body) | (0 if up else 0x8000)
    own, centre = bytes.fromhex(station), bytes([CENTRE])
    head = b"\x7e\x7e" + (centre + own if up else own + centre) + bytes.fromhex(PASSWORDS[station]) + bytes([code])
    whole = head + way.to_bytes(2, "big") + (b"\x02" if part is None else b"\x16") + group + body + bytes([end])
    return whole + crc(whole)


class Station:
    """One station's connection to the centre: turns at minutes of the hour."""

    def __init__(self, station, kind):
        self.station, self.kind, self.serial = station, kind, RNG.randrange(1, 4_000)
        self.turns = []

    def up(self, minute, code, rest=b"", *, kind=True, observed=None):
        self.serial += 1
        body = self.serial.to_bytes(2, "big") + packed(minute)
        if rest:
            body += b"\xf1\xf1" + bytes.fromhex(self.station)
            body += bytes([self.kind]) + b"\xf0\xf0" + packed(minute if observed is None else observed, "%y%m%d%H%M")
            body += rest
        self.turns.append((minute, 0, frame(self.station, code, body, True, ETX)))

    def down(self, minute, code, end=EOT, rest=b"", serial=None):
        number = self.serial if serial is None else serial
        body = number.to_bytes(2, "big") + packed(minute) + rest
        self.turns.append((minute, 1, frame(self.station, code, body, False, end)))

    def raw(self, minute, data):
        self.turns.append((minute, 0, data))


def elements(minute, place):
    rain, level = max(0.0, round((minute - 20) * 0.05, 1)), 10.2 + place + minute * 0.004
    return (
        b"\x20\x19" + digits(rain, 3, 1) + b"\x26\x19" + digits(402.5 + rain, 3, 1)
        + b"\x39\x23" + digits(level, 4, 3) + b"\x38\x12" + digits(12.36 - place / 10, 2, 2)
    )  # fmt: skip


def picture(talk, minute):
    """A picture in four packets, the last one closes it."""
    head = b"\xf1\xf1" + bytes.fromhex(talk.station) + bytes([talk.kind]) + b"\xf0\xf0" + packed(minute, "%y%m%d%H%M")
    talk.serial += 1
    body = talk.serial.to_bytes(2, "big") + packed(minute) + head
    whole = body + b"\xf3\xf3\xff\xd8" + RNG.randbytes(2_900) + b"\xff\xd9"
    parts = [whole[at : at + 800] for at in range(0, len(whole), 800)]
    for at, part in enumerate(parts, 1):
        end = ETX if at == len(parts) else ETB
        talk.raw(minute + at / 60, frame(talk.station, 0x36, part, True, end, (len(parts), at)))
    talk.down(minute + 0.2, 0x36)


def clean(capture, address, station, place):
    """Fifty-five minutes of an ordinary evening."""
    talk = Station(station, (0x48, 0x4B, 0x50)[place])
    for minute in range(2, 56, 4):
        talk.up(minute + place / 10, 0x2F)
    for minute in range(5, 56, 5):
        at = minute + place / 7
        talk.up(at, 0x32, elements(at, place), observed=minute)
        talk.down(at + 0.01, 0x32)
    hourly = b"\xf4\x60" + bytes(12) + b"\xf5\xc0" + (1_020 + 100 * place).to_bytes(2, "big") * 12
    talk.up(30.3 + place / 10, 0x34, hourly + b"\x45\x20\x00\x00\x04\x80" + b"\x38\x12\x12\x36", observed=30)
    talk.down(30.31 + place / 10, 0x34)
    talk.down(6.5 + place / 10, 0x4A, ENQ, serial=0)  # as every evening
    talk.up(6.51 + place / 10, 0x4A)
    talk.down(22.2 + place / 10, 0x37, ENQ, serial=0)
    talk.up(22.21 + place / 10, 0x37, elements(22, place), observed=22)
    if place == 1:
        picture(talk, 33.4)
    begin = 1 + place / 20
    now, turns = moment(begin) + 0.03, []
    for minute, side, payload in sorted(talk.turns, key=lambda turn: turn[0]):
        turns.append((side, payload, max(moment(minute) - now, 0)))
        now = max(moment(minute), now) + 0.02
    capture.tcp(moment(begin), address, plan.HYDRO_CENTRE, 40_100 + place, PORT, turns)


def misled(capture):
    """A laptop on the telemetry network: the level is corrected down by 1.5 m, then the reports go to another host."""
    address, station = next(iter(plan.HYDRO_STATIONS.items()))
    target = "".join(f"{int(part):03d}" for part in plan.ATTACKER.split("."))
    channel = b"\x02" + bytes.fromhex(f"{target}{5_050:06d}")
    orders = (
        (41.2, 0x42, b"\x30\x23\xff" + digits(1.5, 3, 3), b"\x30\x23\xff" + digits(1.5, 3, 3)),
        (42.1, 0x40, b"\x04\x50" + channel, b"\x04\x50" + channel),
    )
    for minute, code, order, answer in orders:
        body = b"\0\0" + packed(minute) + order
        ask = frame(station, code, body, False, ENQ)
        capture.udp(moment(minute), plan.HYDRO_LAPTOP, address, 52_001, PORT, ask)
        said = (77).to_bytes(2, "big") + packed(minute) + b"\xf1\xf1" + bytes.fromhex(station) + answer
        done = frame(station, code, said, True, ETX)
        capture.udp(moment(minute) + 0.8, address, plan.HYDRO_LAPTOP, PORT, 52_001, done)
