# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""Charging piles over OCPP 1.6: an ordinary evening, then the platform orders firmware from a host nobody knows."""

import base64
import hashlib
import json
import random
from datetime import timedelta

from scripts.city import plan
from scripts.crafting.capture import Capture, moment

RNG = random.Random(f"{plan.SEED}/charging")
PORT = 9_180
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
STATION, CENTRAL = 0, 1


def craft():
    capture = Capture(vlan=73, rng=RNG)
    for place, (address, name) in enumerate(plan.CHARGE_POINTS.items()):
        evening(capture, address, name, place)
    capture.write(
        "charging-firmware",
        ("充电桩被指令从外部地址更新固件", "A charging pile told to take its firmware from elsewhere"),
        [
            "cityguard.ot.ocpp_firmware_foreign",
            "cityguard.ot.program_off_hours",
        ],
        exact=True,
    )


class Pile:
    """What one charging pile and its platform say to each other, by minute."""

    def __init__(self):
        self.turns = []
        self.number = 0

    def call(self, minute, side, action, asked, answered):
        """A call and its answer 80 ms later."""
        self.number += 1
        mark = f"{self.number:08x}"
        self.turns.append((minute, frame(side, [2, mark, action, asked])))
        self.turns.append((minute + 0.08 / 60, frame(1 - side, [3, mark, answered])))


def frame(side, words):
    """One text frame; the pile's are masked (RFC 6455, 5.3)."""
    data = json.dumps(words, separators=(",", ":")).encode()
    masked = 0x80 if side == STATION else 0
    head = bytes((0x81, masked | min(len(data), 126))) + (len(data).to_bytes(2, "big") if len(data) > 125 else b"")
    if masked:
        mask = RNG.randbytes(4)
        data = mask + bytes(octet ^ mask[at % 4] for at, octet in enumerate(data))
    return side, head + data


def upgrade(name):
    key = base64.b64encode(RNG.randbytes(16)).decode()
    accept = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    asks = (
        f"GET /ocpp/{name} HTTP/1.1\r\nHost: {plan.CHARGE_CENTRAL}:{PORT}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    answers = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    return (STATION, asks.encode()), (CENTRAL, answers.encode())


def stamp(minute):
    return (plan.at(minute) - timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%SZ")


def evening(capture, address, name, place):
    """Start, beats every five minutes, two sessions; at the third pile the firmware."""
    pile = Pile()
    begin = 1 + place / 5
    boot = {"chargePointVendor": "JLEV", "chargePointModel": "DC-60", "firmwareVersion": "2.4.1"}
    accepted = {"status": "Accepted", "currentTime": stamp(begin), "interval": 300}
    pile.call(begin + 0.02, STATION, "BootNotification", boot, accepted)
    for connector in (1, 2):
        state(pile, begin + 0.03 + connector / 100, connector, "Available")
    for minute in range(5, 56, 5):
        at = minute + place / 7
        pile.call(at, STATION, "Heartbeat", {}, {"currentTime": stamp(at)})
    session(pile, 6 + 3 * place, 22, 1, 5_100 + place, remote=place == 0)
    session(pile, 31 + place, 14, 2, 5_200 + place, remote=False)
    if place == 2:
        firmware(pile, 48.2)
    now, turns = moment(begin) + 0.03, []
    for side, payload in upgrade(name):
        turns.append((side, payload, 0.02))
        now += 0.04
    for minute, (side, payload) in sorted(pile.turns, key=lambda turn: turn[0]):
        turns.append((side, payload, max(moment(minute) - now, 0)))
        now = max(moment(minute), now) + 0.02
    capture.tcp(moment(begin), address, plan.CHARGE_CENTRAL, 49_300 + place, PORT, turns)


def state(pile, minute, connector, word):
    told = {"connectorId": connector, "errorCode": "NoError", "status": word, "timestamp": stamp(minute)}
    pile.call(minute, STATION, "StatusNotification", told, {})


def session(pile, minute, length, connector, number, *, remote):
    """A car is charged: authorised at the pile, or from the driver's phone."""
    tag = f"JL{number:06d}"
    accepted = {"idTagInfo": {"status": "Accepted"}}
    if remote:
        asked = {"idTag": tag, "connectorId": connector}
        pile.call(minute - 0.2, CENTRAL, "RemoteStartTransaction", asked, {"status": "Accepted"})
    state(pile, minute - 0.1, connector, "Preparing")
    pile.call(minute, STATION, "Authorize", {"idTag": tag}, accepted)
    meter = 1_200_000 + RNG.randrange(90_000)
    begun = {"connectorId": connector, "idTag": tag, "meterStart": meter, "timestamp": stamp(minute)}
    pile.call(minute + 0.1, STATION, "StartTransaction", begun, {"transactionId": number} | accepted)
    state(pile, minute + 0.15, connector, "Charging")
    for step in range(2, length, 4):
        at = minute + step
        meter += RNG.randrange(2_300, 2_700)
        sample = {"value": str(meter), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
        values = [{"timestamp": stamp(at), "sampledValue": [sample]}]
        told = {"connectorId": connector, "transactionId": number, "meterValue": values}
        pile.call(at, STATION, "MeterValues", told, {})
    end = minute + length
    done = {"transactionId": number, "idTag": tag, "meterStop": meter, "timestamp": stamp(end), "reason": "Local"}
    pile.call(end, STATION, "StopTransaction", done, accepted)
    state(pile, end + 0.1, connector, "Available")


def firmware(pile, minute):
    """The platform's account is in other hands: an update from outside the city."""
    asked = {"location": f"https://{plan.CHARGE_FOREIGN}/dc60/2.4.9.bin", "retrieveDate": stamp(minute + 1)}
    pile.call(minute, CENTRAL, "UpdateFirmware", asked, {})
    for step, word in enumerate(("Downloading", "Downloaded", "Installing")):
        pile.call(minute + 1 + step, STATION, "FirmwareStatusNotification", {"status": word}, {})
