"""Templates by exporter, bounded in number and in bytes; the ones unused for longest are forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from cityguard.decoders.exports.template import Template

MAX_TEMPLATES = 4_096
"""Templates of one exporter."""
MAX_ALL_TEMPLATES = 65_536
MAX_BYTES = 8 << 20
"""What the templates of one exporter may take to keep."""
MAX_ALL_BYTES = 256 << 20

Key = tuple[int, int, int]
"""Version, domain and template id, within one exporter."""


class Templates:
    """What every exporter taught."""

    def __init__(self) -> None:
        self.by_peer: OrderedDict[str, OrderedDict[Key, Template]] = OrderedDict()
        self.count = 0
        self.bytes = 0
        self.forgotten = 0
        self._own: dict[str, int] = {}

    def get(self, peer: str, key: Key) -> Template | None:
        """A template, which counts as used now."""
        mine = self.by_peer.get(peer)
        found = mine.get(key) if mine is not None else None
        if found is not None and mine is not None:
            mine.move_to_end(key)
            self.by_peer.move_to_end(peer)
        return found

    def learn(self, peer: str, key: Key, template: Template) -> None:
        """Put or replace one; others may have to go."""
        mine = self.by_peer.setdefault(peer, OrderedDict())
        self.by_peer.move_to_end(peer)
        old = mine.pop(key, None)
        if old is not None:
            self._counted(peer, -1, -old.cost)
        mine[key] = template
        self._counted(peer, 1, template.cost)
        while len(mine) > 1 and (len(mine) > MAX_TEMPLATES or self._own[peer] > MAX_BYTES):
            _, gone = mine.popitem(last=False)
            self.forgotten += 1
            self._counted(peer, -1, -gone.cost)
        while len(self.by_peer) > 1 and (self.count > MAX_ALL_TEMPLATES or self.bytes > MAX_ALL_BYTES):
            oldest, theirs = self.by_peer.popitem(last=False)
            self.forgotten += len(theirs)
            self._counted(oldest, -len(theirs), -self._own[oldest])
            del self._own[oldest]

    def withdraw(self, peer: str, domain: int, number: int) -> list[tuple[Key, Template]]:
        """Forget a template of IPFIX, or with id 2 or 3 all (options) templates of a domain (RFC 7011, 8.1)."""
        mine = self.by_peer.get(peer, OrderedDict[Key, Template]())
        if number > 255:
            gone = [key for key in ((10, domain, number),) if key in mine]
        else:
            gone = [key for key, one in mine.items() if key[:2] == (10, domain) and one.options == (number == 3)]
        out = [(key, mine.pop(key)) for key in gone]
        for _, one in out:
            self._counted(peer, -1, -one.cost)
        if gone and not mine:
            del self.by_peer[peer], self._own[peer]
        return out

    def items(self) -> Iterator[tuple[str, OrderedDict[Key, Template]]]:
        return iter(self.by_peer.items())

    def _counted(self, peer: str, count: int, size: int) -> None:
        self.count += count
        self.bytes += size
        self._own[peer] = self._own.get(peer, 0) + size
