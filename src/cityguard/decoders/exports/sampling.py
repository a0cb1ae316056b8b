"""Sampling rates that exporters announce in options (RFC 3954, 8; RFC 5477), by sampler."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping

import numpy as np

from cityguard.decoders.address import Words
from cityguard.decoders.exports import values
from cityguard.decoders.exports.values import Records

MAX_SAMPLERS = 65_536
_RATES, _SAMPLERS = (50, 305, 34), (302, 48)
_MOST = (1 << 31) - 1


class Sampling:
    """The rates by (exporter, domain, sampler); beyond ``MAX_SAMPLERS`` the oldest is forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, int], int] = OrderedDict()
        self._rates: dict[tuple[str, int], Counter[int]] = {}  # how many samplers have a rate; domain -1 = all
        self._samplers: dict[tuple[str, int], dict[int, int]] = {}

    def learn(self, peer: str, domain: int, sampler: int, rate: int) -> None:
        self._forget((peer, domain, sampler))
        self._known[peer, domain, sampler] = rate
        self._samplers.setdefault((peer, domain), {})[sampler] = rate
        for place in ((peer, domain), (peer, -1)):
            self._rates.setdefault(place, Counter())[rate] += 1
        while len(self._known) > MAX_SAMPLERS:
            self._forget(next(iter(self._known)))

    def rate(self, peer: str, domain: int) -> int:
        """The one rate of a domain, else of the whole exporter; -1 where there is none, or several."""
        rates = self._rates.get((peer, domain)) or self._rates.get((peer, -1)) or ()
        return next(iter(rates)) if len(rates) == 1 else -1

    def samplers(self, peer: str, domain: int) -> Mapping[int, int]:
        """Rates of a domain by sampler."""
        return self._samplers.get((peer, domain), {})

    def tells(self, peer: str) -> bool:
        """Whether an exporter announced anything."""
        return (peer, -1) in self._rates

    def knows(self, peer: str, domain: int, sampler: int, rate: int) -> bool:
        """Whether this is what was announced already."""
        return self._known.get((peer, domain, sampler)) == rate

    def rows(self, room: int) -> list[tuple[str, int, int, int]]:
        """(exporter, domain, sampler, rate) in the order learnt, at most ``room`` bytes of JSON."""
        out = list[tuple[str, int, int, int]]()
        for key, rate in reversed(self._known.items()):
            room -= len(json.dumps((*key, rate))) + 1
            if room < 0:
                break
            out.append((*key, rate))
        return out[::-1]

    def _forget(self, key: tuple[str, int, int]) -> None:
        rate = self._known.pop(key, None)
        if rate is None:
            return
        mine = self._samplers[key[:2]]
        del mine[key[2]]
        if not mine:
            del self._samplers[key[:2]]
        for place in ((key[0], key[1]), (key[0], -1)):
            rates = self._rates[place]
            rates[rate] -= 1
            if not rates[rate]:
                del rates[rate]
            if not rates:
                del self._rates[place]


def announced(records: Records) -> Iterator[tuple[int, int]]:
    """(sampler, 1-of-N) pairs in option records; sampler -1 = all."""
    places, n = records.template.places, len(records)

    def number(*names: int) -> Words:
        out = np.full(n, -1, np.int64)
        for name in names:
            if (0, name) in places:
                out = np.where(out > 0, out, values.unsigned(records, places[0, name]))
        return out

    rate, space, sampler = number(*_RATES), number(306), number(*_SAMPLERS)
    size, population = number(309), number(310)
    rate = np.where((space > 0) & (rate > 0), (rate + space) // np.maximum(rate, 1), rate)
    rate = np.where((rate <= 0) & (size > 0) & (population > 0), population // np.maximum(size, 1), rate)
    if (0, 311) in places:
        share = values.series(records, places[0, 311])
        chance = np.zeros(n) if share is None else share.fill_null(0).to_numpy()
        usable = (chance > 1 / _MOST) & (chance <= 1)
        rate = np.where((rate <= 0) & usable, np.round(1 / np.where(usable, chance, 1)).astype(np.int64), rate)
    for one, nth in zip(rate.tolist(), sampler.tolist(), strict=True):
        if 0 < one <= _MOST:
            yield nth, one
