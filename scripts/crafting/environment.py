# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""Three environmental stations and their platform (HJ 212-2017 and -2025), and a laptop that makes one measure less."""

import random

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scripts.city import plan
from scripts.crafting.capture import Capture, moment

RNG = random.Random(f"{plan.SEED}/environment")
PORT = 8_212  # of the platform
SERVICE = 9_212  # of a logger, for its maintenance
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"
PASSWORDS = {mn: "".join(RNG.choices(LETTERS, k=6)) for mn in plan.ENV_STATIONS.values()}
WORKING_KEY = RNG.randbytes(16)
FACTORS = (
    (("w01018", 38.0), ("w21003", 1.42), ("w00000", 56.2)),  # COD, ammonia, flow
    (("a21026", 21.0), ("a21002", 44.0), ("a34013", 6.1), ("a00000", 18_400.0)),  # SO2, NOx, dust, flow
    (("w01001", 7.3), ("w01009", 6.8), ("w21011", 0.11)),  # pH, oxygen, phosphorus
)
SYSTEMS = (32, 31, 21)
FIELD, PLATFORM = 0, 1


def craft():
    capture = Capture(vlan=69, rng=RNG)
    for place, (address, mn) in enumerate(plan.ENV_STATIONS.items()):
        clean(capture, address, mn, place)
    falsified(capture)
    capture.write(
        "environment-falsified",
        ("排污口数采仪被接入笔记本改写斜率", "The slope of a discharge's instrument changed from a laptop"),
        [
            "cityguard.network.unregistered_host",
            "cityguard.ot.command_unregistered",
            "cityguard.ot.hj212_command_foreign",
            "cityguard.ot.hj212_password_rejected",
            "cityguard.ot.hj212_slope_changed",
            "cityguard.ot.program_off_hours",
        ],
        exact=True,
    )


def crc(data):
    value = 0xFFFF
    for octet in data:
        value = value >> 8 ^ octet
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def stamp(minute):
    return plan.at(minute).strftime("%Y%m%d%H%M%S")


def ciphered(inside):
    """Whole groups of sixteen under the working key; the rest in clear."""
    whole = len(inside) // 16 * 16
    machine = Cipher(algorithms.SM4(WORKING_KEY), modes.ECB()).encryptor()
    return machine.update(inside[:whole]) + machine.finalize() + inside[whole:]


def frame(mn, number, command, inside="", *, system=91, flag=4, password=None, hide=False):
    head = f"QN={number};ST={system};CN={command};PW={password or PASSWORDS[mn]};MN={mn};Flag={flag};CP=&&"
    clear = (head + inside + "&&").encode()
    shown = head.encode() + ciphered(inside.encode()) + b"&&" if hide else clear
    return b"##%04d%s%04X\r\n" % (len(shown), shown, crc(clear))


class Station:
    """One station's connection to its platform: turns at minutes of the hour."""

    def __init__(self, mn, place):
        self.mn, self.place, self.turns = mn, place, []
        self.old = place == 2  # speaks the edition of 2025, ciphered
        self.flag = 8 if self.old else 4

    def say(self, minute, side, command, inside="", *, number=None, system=91, wants=False, hide=False):
        number = number or f"{stamp(minute)}{RNG.randrange(1_000):03}"
        flag = self.flag | (1 if wants else 0)
        self.turns.append((minute, side, frame(self.mn, number, command, inside, system=system, flag=flag, hide=hide)))
        return number

    def data(self, minute, command, kind, *, wants=False, at=None):
        """Values of all factors; the platform answers where it is asked to."""
        parts = [f"DataTime={stamp(minute if at is None else at)}"]
        for factor, usual in FACTORS[self.place]:
            value = usual * (1 + RNG.uniform(-0.04, 0.04))
            several = (("Min", 0.97), ("Avg", 1), ("Max", 1.03)) if kind == "Avg" else (("Rtd", 1),)
            told = ",".join(f"{factor}-{name}={value * share:.2f}" for name, share in several)
            parts.append(f"{told},{factor}-Flag=N")
        system = SYSTEMS[self.place]
        number = self.say(minute, FIELD, command, ";".join(parts), system=system, wants=wants, hide=self.old)
        if wants:
            self.say(minute + 0.01, PLATFORM, 9014, number=number)

    def asked(self, minute, command, inside, answers=()):
        """A request of the platform, what the station sends for it, and that it is done."""
        number = self.say(minute, PLATFORM, command, inside, system=SYSTEMS[self.place], wants=True)
        self.say(minute + 0.01, FIELD, 9011, "QnRtn=1", number=number)
        for answer in answers:
            self.say(minute + 0.02, FIELD, command, answer, number=number, system=SYSTEMS[self.place])
        self.say(minute + 0.03, FIELD, 9012, "ExeRtn=1", number=number)


def clean(capture, address, mn, place):
    """Fifty-five minutes of an ordinary evening."""
    talk = Station(mn, place)
    shift = place / 10
    talk.asked(1.2 + shift, 1000, "OverTime=5;ReCount=3")
    talk.asked(1.4 + shift, 1012, f"PolId={FACTORS[place][0][0]};SystemTime={stamp(1.4 + shift)}")
    talk.asked(1.6 + shift, 1062, "RtdInterval=120")
    for minute in range(2, 56, 2):
        talk.data(minute + shift, 2011, "Rtd")
    for minute in range(10, 56, 10):
        talk.data(minute + 0.3 + shift, 2051, "Avg", wants=True, at=minute)
    talk.data(30.6 + shift, 2061, "Avg", wants=True, at=-30)
    if talk.old:
        for minute in range(5, 56, 10):
            talk.say(minute + 0.5, FIELD, 9015)
    else:
        factor = FACTORS[place][0][0]
        talk.asked(15.5 + shift, 1061, "", ["RtdInterval=120"])
        told = f"DataTime={stamp(22.5 + shift)};PolId={factor};i12001-Info=0,i22002-Info=0"
        talk.say(22.5 + shift, FIELD, 3020, told, system=SYSTEMS[place])
    begin = 1 + place / 20
    now, turns = moment(begin) + 0.03, []
    for minute, side, payload in sorted(talk.turns, key=lambda turn: turn[0]):
        turns.append((side, payload, max(moment(minute) - now, 0)))
        now = max(moment(minute), now) + 0.02
    capture.tcp(moment(begin), address, plan.ENV_PLATFORM, 40_200 + place, PORT, turns)


def falsified(capture):
    """A laptop in the cabinet tries a password in vain, finds the right one, and sets the slope to 0.82."""
    address, mn = next(iter(plan.ENV_STATIONS.items()))
    change = "PolId=w01018;InfoId=i13008;i13008-Info=0.82"
    turns = []
    tries = (
        (43.1, 1011, "", "123456", ("QnRtn=3",)),
        (43.6, 3021, change, None, ("QnRtn=1", "ExeRtn=1")),
    )
    for minute, command, inside, password, answers in tries:
        number = f"{stamp(minute)}000"
        order = frame(mn, number, command, inside, system=32, flag=5, password=password)
        turns.append((0, order, 0.4 if password else 30))
        for answer, told in zip((9011, 9012), answers, strict=False):
            turns.append((1, frame(mn, number, answer, told), 0.3))
    capture.tcp(moment(43.1), plan.ENV_LAPTOP, address, 51_212, SERVICE, turns)
