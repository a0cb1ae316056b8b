"""One hour of flow records: a city at night, one intrusion, and the innocent that look guilty."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scripts.city import plan
from scripts.city.wire import Flow

_DONE, _SYN, _RST = 0x1B, 0x02, 0x06


def build(rng: random.Random) -> list[Flow]:
    """All records of the hour, both directions, in no order."""
    return [*_night(rng), *_innocent(rng), *_intrusion(rng)]


def talk(
    rng: random.Random,
    source: str,
    destination: str,
    dport: int,
    minute: float,
    *,
    seconds: float = 2.0,
    sent: int = 2_000,
    back: int = 8_000,
    protocol: int = 6,
    flags: int = _DONE,
) -> Iterator[Flow]:
    """A conversation as an exporter reports it: one record each way, none back when nothing answered."""
    first = plan.epoch(plan.at(minute))
    last = first + seconds
    sport = rng.randrange(32_768, 61_000)
    shown = flags if protocol == 6 else 0
    yield Flow(source, destination, sport, dport, protocol, shown, sent, max(sent // 900, 1), first, last)
    if back:
        yield Flow(destination, source, dport, sport, protocol, shown, back, max(back // 1200, 1), first, last)


def _night(rng: random.Random) -> Iterator[Flow]:
    offices = [f"10.30.{d}.{h}" for d in range(1, 41) for h in (21, 34, 45)]
    servers = [f"10.40.{d}.{h}" for d in range(10, 60) for h in (11, 111)]
    for host in offices:
        for _ in range(rng.randrange(8, 22)):
            minute = rng.uniform(0, 59)
            yield from talk(
                rng,
                host,
                rng.choice(("10.10.1.20", "10.40.1.11", "10.10.1.25")),
                443,
                minute,
                sent=rng.randrange(900, 9_000),
                back=rng.randrange(3_000, 90_000),
                seconds=rng.uniform(0.4, 9),
            )
            yield from talk(rng, host, plan.RESOLVER, 53, minute, seconds=0.03, sent=70, back=160, protocol=17)
    for host in servers:
        database = host.rsplit(".", 1)[0] + f".{int(host.rsplit('.', 1)[1]) + 1}"
        for _ in range(rng.randrange(14, 30)):
            yield from talk(
                rng,
                host,
                database,
                5236,
                rng.uniform(0, 59),
                sent=rng.randrange(1_000, 20_000),
                back=rng.randrange(4_000, 200_000),
                seconds=rng.uniform(0.2, 20),
            )
        for minute in range(rng.randrange(4), 59, 16):
            yield from talk(rng, host, "10.10.0.123", 123, minute, seconds=0.02, sent=76, back=76, protocol=17)
    for _ in range(2_600):
        client = f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(100, 250)}"
        yield from talk(
            rng,
            client,
            "172.16.0.80",
            443,
            rng.uniform(0, 59),
            sent=rng.randrange(800, 4_000),
            back=rng.randrange(5_000, 300_000),
            seconds=rng.uniform(0.2, 12),
        )
    for department in range(1, 51):
        for minute in range(rng.randrange(5), 59, 10):
            yield from talk(
                rng,
                f"10.20.{department}.10",
                "172.16.20.11",
                443,
                minute,
                sent=rng.randrange(20_000, 90_000),
                back=rng.randrange(9_000, 40_000),
                seconds=rng.uniform(2, 9),
            )
    for minute in range(60):
        for junction in range(1, 7):
            yield from talk(
                rng,
                "10.68.10.5",
                f"10.68.10.{20 + junction}",
                161,
                minute + 0.1,
                seconds=0.05,
                sent=90,
                back=120,
                protocol=17,
            )
        yield from talk(rng, "10.67.0.20", "10.67.10.12", 502, minute + 0.3, seconds=1, sent=600, back=700)
        for plc in plan.PLCS:
            yield from talk(rng, plan.SCADA, plc, 502, minute + 0.2, seconds=40, sent=2_400, back=3_000)


def _innocent(rng: random.Random) -> Iterator[Flow]:
    for n in range(240):  # the authorised scanner
        yield from talk(
            rng,
            plan.SCANNER,
            f"10.40.{10 + n % 50}.{11 + n % 3}",
            rng.choice((22, 80, 443, 3389, 8080)),
            5 + n * 0.05,
            seconds=0.1,
            sent=60,
            back=0 if n % 3 else 60,
            flags=_SYN if n % 3 else _RST,
        )
    for n in range(6):  # the nightly copy to the disaster-recovery centre
        yield from talk(
            rng, plan.BACKUP_FROM, plan.BACKUP_TO, 873, 2 + n * 9, seconds=500, sent=3_000_000_000 + n, back=30_000_000
        )
    for minute in range(60):  # a printer that reports every minute on the second
        yield from talk(rng, plan.PRINTER, plan.PRINT_SERVER, 9100, minute + 0.5, seconds=0.2, sent=400, back=300)


def _intrusion(rng: random.Random) -> Iterator[Flow]:
    for minute in range(1, 60):  # beacon, 60 s +- 10 %
        yield from talk(
            rng, plan.PHISHED, plan.C2, 443, minute + rng.uniform(-0.1, 0.1), seconds=0.6, sent=1_100, back=900
        )
    for n in range(44):  # spraying the VPN
        yield from talk(rng, plan.ATTACKER, plan.VPN_GATEWAY, 22, 6 + n * 0.09, seconds=1.2, sent=2_300, back=2_100)
    for n in range(80):  # sweep of the shared zone
        port = 445 if n % 2 else 3389
        yield from talk(
            rng,
            plan.VPN_CLIENT,
            f"10.10.1.{n + 10}",
            port,
            15 + n * 0.035,
            seconds=0.05,
            sent=60,
            back=0 if n % 5 else 44,
            flags=_SYN if n % 5 else _RST,
        )
    yield from talk(rng, plan.VPN_CLIENT, plan.JUMP, 3389, 21.5, seconds=1_500, sent=6_000_000, back=48_000_000)
    yield from talk(rng, plan.JUMP, plan.HISTORIAN, 3389, 35, seconds=900, sent=3_000_000, back=22_000_000)
    yield from talk(rng, plan.HISTORIAN, plan.ENGINEERING, 3389, 38, seconds=700, sent=2_000_000, back=17_000_000)
    yield from talk(rng, plan.ENGINEERING, plan.PLC, 502, 40, seconds=600, sent=16_000, back=21_000)
    yield from talk(rng, plan.JUMP, plan.DROP, 443, 52, seconds=390, sent=2_400_000_000, back=9_000_000)
