"""Chains: alerts that follow one another from host to host, as an intruder goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cityguard.model import LEVELS, Alert
from cityguard.register.register import Register

MAX_ALERTS = 2_000
SLACK = timedelta(minutes=5)  # windows of two alerts may overlap without either being first
SPAN = timedelta(hours=24)

Aliases = Callable[[str], frozenset[str]]
"""Host name or address -> other names of the same place."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Alerts in order; each begins where an earlier one stood or arrived."""

    alerts: tuple[Alert, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Addresses on the way, in the order they were first involved."""
        seen = (a.entities.get(key) for a in self.alerts for key in ("source.ip", "destination.ip", "host.name"))
        return tuple(dict.fromkeys(host for host in seen if host))

    @property
    def steps(self) -> int:
        """Distinct kinds of act: repeats of a rule count once."""
        return len({alert.rule_id for alert in self.alerts})


def chains(
    alerts: Iterable[Alert], aliases: Aliases = lambda name: frozenset(), *, least: int = 4, most: int = 5
) -> list[Chain]:
    """The weightiest chains of at least ``least`` distinct rules and three hosts, none sharing an alert.

    Alert b may follow a when it begins no earlier (within ``SLACK``), within a day, under another rule, and
    its source is a host that a came from or reached. A chain's weight is the sum of its levels; the
    heaviest path is found by going through the alerts in time once.
    """
    left = sorted(alerts, key=lambda a: (a.first_seen, a.id))[-MAX_ALERTS:]
    found: list[Chain] = []
    while len(found) < most:
        best = _heaviest(left, aliases)
        if best is None or best.steps < least or len(best.hosts) < 3:
            break
        found.append(best)
        used = {alert.id for alert in best.alerts}
        left = [alert for alert in left if alert.id not in used]
    return found


def aliases_of(register: Register) -> Aliases:
    """What the register knows: a host's address by its name, and that a gateway hands out its pool's addresses.

    An asset with a range of addresses is a pool; who holds one of them came through another asset of the same
    system, so both answer to the system's name.
    """
    named = {name.lower(): asset for asset in register.assets for name in (asset.id, asset.name)}
    pools = {asset.system for asset in register.assets if any("/" in address for address in asset.addresses)}

    def aliases(place: str) -> frozenset[str]:
        asset = named.get(place.lower()) or register.find_asset(place)
        if asset is None:
            return frozenset()
        single = {address for address in asset.addresses if "/" not in address}
        return frozenset(single | ({f"system:{asset.system}"} if asset.system in pools else set()))

    return aliases


def _heaviest(alerts: Sequence[Alert], aliases: Aliases) -> Chain | None:
    places = [_places(alert, aliases) for alert in alerts]
    weight = [_weight(alert) for alert in alerts]
    before: list[int | None] = [None] * len(alerts)
    for b, alert in enumerate(alerts):
        options = [a for a in range(b) if _follows(alerts[a], places[a], alert, places[b])]
        if options:
            before[b] = max(options, key=lambda a: (weight[a], -a))
            weight[b] += weight[before[b] or 0]
    if not alerts:
        return None
    last: int | None = max(range(len(alerts)), key=lambda i: (weight[i], -i))
    path = []
    while last is not None:
        path.append(alerts[last])
        last = before[last]
    return Chain(tuple(reversed(path)))


def _places(alert: Alert, aliases: Aliases) -> tuple[frozenset[str], frozenset[str]]:
    """(where the actor came from, where it then stands)."""
    source, target = alert.entities.get("source.ip"), alert.entities.get("destination.ip")
    host = alert.entities.get("host.name")
    came = source or host
    start = {came, *aliases(came)} if came else set()
    reached = {place for one in (target, host) if one for place in (one, *aliases(one))}
    return frozenset(start), frozenset(start | reached)


def _follows(
    a: Alert, places_a: tuple[frozenset[str], frozenset[str]], b: Alert, places_b: tuple[frozenset[str], frozenset[str]]
) -> bool:
    if a.rule_id == b.rule_id or not timedelta(0) <= b.first_seen - a.first_seen + SLACK <= SPAN:
        return False
    return bool(places_b[0] & places_a[1])


def _weight(alert: Alert) -> int:
    return LEVELS.index(alert.level)
