# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""Electricity and heat meters and their master (DL/T 645, DL/T 698.45, CJ/T 188), and a laptop that cuts customers off."""

import random

from scripts.city import plan
from scripts.crafting.capture import Capture, moment

RNG = random.Random(f"{plan.SEED}/meters")
PORT, MASTER_PORT = 10_001, 9_001
GATEWAYS = list(plan.METER_GATEWAYS.items())
ELECTRIC = [GATEWAYS[0][1], *(f"9901260011{number:02d}" for number in range(1, 13))]
HEAT = [f"3378{GATEWAYS[2][1][2:]}", "33780126000202", "33780126000203", "33780126000204"]
ADMISSION = bytes.fromhex("0200000099990000")  # level 2, the password meters are delivered with, an operator


def craft():
    capture = Capture(vlan=72, rng=RNG)
    electric(capture)
    terminal(capture)
    heat(capture)
    cut_off(capture)
    capture.write(
        "meters-cut-off",
        ("笔记本经采集网关对成批电表下发拉闸", "A laptop trips a street of electricity meters through their gateway"),
        [
            "cityguard.network.unregistered_host",
            "cityguard.ot.command_unregistered",
            "cityguard.ot.dlt645_relay",
            "cityguard.ot.dlt645_weak_password",
            "cityguard.ot.meter_supply_many",
        ],
        exact=True,
    )


def low_first(text):
    return bytes.fromhex(text)[::-1]


def dlt645(address, control, data=b""):
    head = b"h" + low_first(address) + b"h" + bytes([control, len(data)]) + bytes((one + 0x33) % 256 for one in data)
    return b"\xfe" * 4 + head + bytes([sum(head) % 256, 0x16])


def cjt188(address, control, data):
    head = b"h\x20" + low_first(address) + bytes([control, len(data)]) + data
    return b"\xfe" * 3 + head + bytes([sum(head) % 256, 0x16])


def fcs(data):
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return (value ^ 0xFFFF).to_bytes(2, "little")


def dlt698(server, control, unit, client=0x10):
    body = bytes([control, 5]) + low_first(server) + bytes([client])
    head = (len(body) + len(unit) + 6).to_bytes(2, "little") + body
    head += fcs(head)
    return b"h" + head + unit + fcs(head + unit) + b"\x16"


def packed(value, octets, decimals):
    return low_first(f"{round(value * 10**decimals):0{2 * octets}d}")


def talk(capture, begin, client, server, sport, dport, turns):
    """A connection whose turns (minute, side, octets) come at their minutes."""
    now, paced = moment(begin) + 0.03, []
    for minute, side, payload in sorted(turns, key=lambda turn: turn[0]):
        paced.append((side, payload, max(moment(minute) - now, 0)))
        now = max(moment(minute), now) + 0.02
    capture.tcp(moment(begin), client, server, sport, dport, paced)


def electric(capture):
    """A street of meters read every ten minutes, and given the time once, as every evening."""
    turns = []
    for round_ in range(5):
        for place, meter in enumerate(ELECTRIC):
            minute = 3 + 10 * round_ + place / 20
            for step, (di, value) in enumerate(
                (
                    ("00010000", packed(4_100 + 37.5 * place + round_ * 0.2, 4, 2)),
                    ("02010100", packed(229 + RNG.randrange(30) / 10, 2, 1)),
                )
            ):
                asked = low_first(di)
                turns.append((minute + step / 60, 0, dlt645(meter, 0x11, asked)))
                turns.append((minute + step / 60 + 0.005, 1, dlt645(meter, 0x91, asked + value)))
    clock = low_first(plan.at(25.5).strftime("%y%m%d%H%M%S"))
    turns.append((25.5, 0, dlt645("999999999999", 0x08, clock)))
    talk(capture, 2, plan.METER_MASTER, GATEWAYS[0][0], 51_001, PORT, turns)


def terminal(capture):
    """A terminal logs in, beats every three minutes, and is read."""
    gateway, server = GATEWAYS[1]

    def stamp(minute):
        when = plan.at(minute)
        day = bytes([when.month, when.day, when.isoweekday() % 7, when.hour, when.minute, when.second])
        return when.year.to_bytes(2, "big") + day + b"\0\0"

    turns = []
    for beat, minute in enumerate(range(2, 56, 3)):
        ask = bytes([1, beat & 0x3F, 0 if beat == 0 else 1]) + (180).to_bytes(2, "big") + stamp(minute)
        turns.append((minute, 0, dlt698(server, 0x81, ask, 0)))
        turns.append((minute + 0.004, 1, dlt698(server, 0x01, bytes([0x81, beat & 0x3F, 0x80]) + stamp(minute) * 3, 0)))
    for number, minute in enumerate((5.5, 20.5, 35.5, 50.5), 1):
        oad = bytes.fromhex("00100201")
        energy = b"\x01\x06" + (812_345 + 40 * number).to_bytes(4, "big")
        turns.append((minute, 1, dlt698(server, 0x43, b"\x05\x01" + bytes([number]) + oad + b"\0")))
        answer = b"\x85\x01" + bytes([number]) + oad + energy + b"\0\0"
        turns.append((minute + 0.006, 0, dlt698(server, 0xC3, answer)))
    talk(capture, 1.5, gateway, plan.METER_MASTER, 40_201, MASTER_PORT, turns)


def heat(capture):
    """Four heat meters read every quarter of an hour."""
    turns = []
    for round_ in range(4):
        for place, meter in enumerate(HEAT):
            minute, serial = 6 + 14 * round_ + place / 10, round_ * 8 + place
            now = b"\x90\x1f" + bytes([serial])
            for value, unit in (
                (880 + place, 5),
                (912.4 + round_, 5),
                (6.2, 0x17),
                (0.34, 0x35),
                (4_410 + round_, 0x2C),
            ):
                now += packed(value, 4, 2) + bytes([unit])
            now += packed(52.3 - place, 3, 2) + packed(41.8 - place, 3, 2) + packed(10_220 + round_, 3, 0)
            now += low_first(plan.at(minute).strftime("%Y%m%d%H%M%S")) + b"\0\0"
            turns.append((minute, 0, cjt188(meter, 0x01, now[:3])))
            turns.append((minute + 0.006, 1, cjt188(meter, 0x81, now)))
    talk(capture, 2.2, plan.METER_MASTER, GATEWAYS[2][0], 51_003, PORT, turns)


def cut_off(capture):
    """A laptop on the meters' network trips every meter of the street, four a minute."""
    until = low_first(plan.at(120).strftime("%y%m%d%H%M%S"))
    turns = []
    for place, meter in enumerate(ELECTRIC):
        minute = 44 + place / 4
        turns.append((minute, 0, dlt645(meter, 0x1C, ADMISSION + b"\x1a\0" + until)))
        turns.append((minute + 0.006, 1, dlt645(meter, 0x9C)))
    talk(capture, 43.8, plan.METER_LAPTOP, GATEWAYS[0][0], 52_011, PORT, turns)
