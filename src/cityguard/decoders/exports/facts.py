"""What exporters tell of themselves in options: names of interfaces, VRFs and applications, the time of boot."""

from __future__ import annotations

from collections import OrderedDict

import polars as pl

from cityguard.decoders.exports import values
from cityguard.decoders.exports.values import Records

MAX_FACTS = 200_000
MAX_CHARACTERS = 256

# What is named <- the elements that number it (scope kind of v9 first); the elements that name it.
_KINDS = {
    "interface": ((10, 14, 252, 253), (82, 83)),
    "vrf": ((234, 235), (236,)),
    "distinguisher": ((234, 235), (90,)),
    "application": ((95,), (96,)),
    "boot": ((149,), (160,)),
}
_COLUMNS = {  # column <- kind, and the column that numbers it
    "observer.ingress.interface.name": ("interface", "observer.ingress.interface.id"),
    "observer.egress.interface.name": ("interface", "observer.egress.interface.id"),
    "ingressVRFName": ("vrf", "ingressVRFID"),
    "egressVRFName": ("vrf", "egressVRFID"),
    "mplsVpnRouteDistinguisher": ("distinguisher", "ingressVRFID"),
    "egressMplsVpnRouteDistinguisher": ("distinguisher", "egressVRFID"),
    "network.application": ("application", "applicationId"),
}
_SCOPE_INTERFACE = 2
Fact = tuple[str, int, str]
"""Exporter, domain, kind."""


class Facts:
    """Names by number, the oldest forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[Fact, OrderedDict[str, str]] = OrderedDict()
        self._count = 0

    def learn(self, peer: str, domain: int, told: list[tuple[str, str, str]]) -> None:
        """Take names: (kind, number, name)."""
        for kind, number, text in told:
            self._put((peer, domain, kind), number, text)

    def knows(self, peer: str, domain: int, told: list[tuple[str, str, str]]) -> bool:
        """Whether all of it is known already."""
        none = OrderedDict[str, str]()
        return all(self._known.get((peer, domain, kind), none).get(number) == text for kind, number, text in told)

    def tells(self, peer: str, domain: int) -> bool:
        """Whether a domain named anything."""
        return any((peer, domain, kind) in self._known for kind in _KINDS)

    def read(self, records: Records) -> list[tuple[str, str, str]]:
        """What option records name: (kind, number, name)."""
        places = records.template.places
        out = list[tuple[str, str, str]]()
        for kind, (keys, names) in _KINDS.items():
            place = next((places[0, one] for one in names if (0, one) in places), None)
            key = next((places[0, one] for one in keys if (0, one) in places), None)
            if place is None:
                continue
            if kind == "boot":
                told = [one for one in values.unsigned(records, place).tolist() if one > 0]
                out += [("boot", "", str(one)) for one in told[-1:]]
                continue
            numbers = values.series(records, key) if key is not None else self._scope(records, kind)
            texts = values.series(records, place)
            if numbers is None or texts is None:
                continue
            for number, text in zip(numbers.cast(pl.String).to_list(), texts.to_list(), strict=True):
                if number is not None and text:
                    out.append((kind, number, text[:MAX_CHARACTERS]))
        return out

    @staticmethod
    def _scope(records: Records, kind: str) -> pl.Series | None:
        """NetFlow v9: an interface numbered by the scope itself (RFC 3954, 6.1)."""
        template = records.template
        if kind != "interface" or template.version != 9:
            return None
        at = 0
        for _, number, size in template.fields[: template.scopes]:
            if number == _SCOPE_INTERFACE and 0 < size <= 8:
                anywhere = next(iter(template.places.values()), None)
                if anywhere is None:
                    return None
                return pl.Series("", values.unsigned(records, anywhere._replace(at=at, size=size)))
            at += size
        return None

    def _put(self, fact: Fact, number: str, text: str) -> None:
        mine = self._known.setdefault(fact, OrderedDict())
        self._count += number not in mine
        mine[number] = text
        while self._count > MAX_FACTS:
            first, theirs = next(iter(self._known.items()))
            theirs.popitem(last=False)
            self._count -= 1
            if not theirs:
                del self._known[first]

    def named(self, peer: str, domain: int, table: pl.DataFrame) -> pl.DataFrame:
        """The table with the names of what it numbers."""
        made = list[pl.Series]()
        for name, (kind, column) in _COLUMNS.items():
            mine = self._known.get((peer, domain, kind))
            if not mine or column not in table.columns or name in table.columns:
                continue
            first, last = table[column].min(), table[column].max()
            if first == last and not table[column].null_count():
                made.append(pl.Series(name, [mine.get(str(first))], pl.String).new_from_index(0, table.height))
                continue
            numbers = table[column].cast(pl.String)
            unique = numbers.unique()
            names = pl.DataFrame({"k": unique, "v": pl.Series([mine.get(one) for one in unique], dtype=pl.String)})
            found = pl.DataFrame({"k": numbers}).join(names, on="k", how="left", maintain_order="left")["v"]
            made.append(found.alias(name))
        return table.hstack(made) if made else table

    def boot(self, peer: str, domain: int) -> int:
        """When the exporter started, ms since 1970; 0 = not told."""
        return int(self._known.get((peer, domain, "boot"), OrderedDict[str, str]()).get("", "0"))

    def __bool__(self) -> bool:
        return bool(self._known)
