"""The inventory: who encrypts with what, and which certificates are shown, per server, system and department.

Made of what was seen on the wire and stored: handshakes of TLS, TLCP, DTLS, QUIC, IKE and SSH. It answers on any store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from cityguard.cryptouse import judging

State = Literal["national", "mixed", "turned_down", "ordinary", "unanswered"]
STATES: tuple[State, ...] = ("national", "mixed", "turned_down", "ordinary", "unanswered")
"""Of a server: only 国密; also others; 国密 offered and never chosen; never offered; nothing was agreed on."""
Role = Literal["server", "encryption", "client"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for an address by the register; "" = nobody."""

    system: str = ""
    department: str = ""
    outside: bool = False
    """On the Internet, and nobody's here: not part of the inventory."""


@dataclass(frozen=True, slots=True)
class Used:
    """One way of encrypting that a server was seen in: agreed on ``count`` times."""

    version: str
    cipher: str | None
    count: int
    offered: int
    """Of them with 国密 among what the client offered."""
    national: bool
    problems: tuple[str, ...]
    forward: bool | None

    @property
    def agreed(self) -> bool:
        """The handshake came to something."""
        return bool(self.cipher) or self.version in judging.SETTLED


@dataclass(frozen=True, slots=True)
class Service:
    """One port of one address, as a server."""

    address: str
    port: int
    protocol: str
    """tls, tlcp, ike or ssh; several joined by +."""
    owner: Owner
    used: tuple[Used, ...]
    state: State
    problems: tuple[str, ...]
    """Codes of its suites, certificates and the pair, the gravest kinds first."""
    certificates: tuple[str, ...] = ()

    @property
    def handshakes(self) -> int:
        return sum(one.count for one in self.used)

    @property
    def national(self) -> int:
        """Handshakes that ended in 国密."""
        return sum(one.count for one in self.used if one.national)

    @property
    def most_used(self) -> str | None:
        """The suite that was agreed on most often."""
        return next((one.cipher for one in self.used if one.cipher), None)

    @property
    def turned_down(self) -> int:
        """Handshakes in which 国密 was offered and something else chosen."""
        return turned_down(self.used)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a certificate was shown."""

    address: str
    port: int
    owner: Owner


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate, wherever it was shown."""

    sha256: str
    subject: str | None
    issuer: str | None
    serial: str | None
    not_before: datetime | None
    not_after: datetime | None
    key: str | None
    bits: int | None
    signature: str | None
    key_sha256: str | None
    usage: tuple[str, ...]
    roles: tuple[Role, ...]
    places: tuple[Place, ...]
    problems: tuple[str, ...]
    days_left: int | None
    last_seen: datetime

    @property
    def is_sm2(self) -> bool:
        return self.key == "SM2"

    @property
    def systems(self) -> tuple[str, ...]:
        return tuple(sorted({one.owner.system for one in self.places} - {""}))


@dataclass(frozen=True, slots=True)
class Declined:
    """A client whose offers of 国密 one server turned down ``count`` times."""

    client: str
    address: str
    port: int
    count: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was seen from ``since`` to ``until``."""

    since: datetime
    until: datetime
    services: tuple[Service, ...]
    certificates: tuple[Certificate, ...]
    complete: bool = True
    """False: there was more than is looked at."""
    declined: tuple[Declined, ...] = ()
    """Whose offers of 国密 were turned down, by which of the services."""
    outside: int = 0
    """Servers on the Internet that were seen and left out."""

    @property
    def clients(self) -> dict[str, int]:
        """Addresses whose offers of 国密 were turned down, and how often."""
        found: dict[str, int] = {}
        for one in self.declined:
            found[one.client] = found.get(one.client, 0) + one.count
        return found

    def narrowed(self, *, system: str = "", department: str = "", state: str = "", problem: str = "") -> Inventory:
        """The part of one system, department, state or problem; "" = all.

        Certificates follow their own problems and the state of the services that show them: those of clients have
        no state. Clients follow the services that are left; servers on the Internet are nobody's, so no system's.
        """
        theirs = tuple(
            one
            for one in self.services
            if (not system or one.owner.system == system)
            and (not department or one.owner.department == department)
            and (not state or one.state == state)
        )
        services = tuple(one for one in theirs if not problem or problem in one.problems)
        shown = {sha for one in theirs for sha in one.certificates}
        certificates = tuple(
            one
            for one in self.certificates
            if (not system or system in one.systems)
            and (not department or department in {place.owner.department for place in one.places})
            and (not state or one.sha256 in shown)
            and (not problem or problem in one.problems)
        )
        left = {(one.address, one.port) for one in services}
        return replace(
            self,
            services=services,
            certificates=certificates,
            declined=tuple(one for one in self.declined if (one.address, one.port) in left),
            outside=0 if system or department else self.outside,
        )

    def states(self) -> dict[State, int]:
        """How many servers are in each state."""
        return {name: sum(one.state == name for one in self.services) for name in STATES}

    def problems(self) -> dict[str, int]:
        """How many servers and certificates have each problem; a certificate on its server counts once, there."""
        found: dict[str, int] = {}
        for one in self.services:
            for code in one.problems:
                found[code] = found.get(code, 0) + 1
        return dict(sorted(found.items(), key=lambda pair: (rank(pair[0]), pair[0])))


@dataclass(frozen=True, slots=True)
class Share:
    """What a system or department shows in all."""

    key: str
    services: int
    national: int
    mixed: int
    turned_down: int
    ordinary: int
    unanswered: int
    handshakes: int
    national_handshakes: int
    problems: tuple[str, ...]
    certificates: int
    ends_first: datetime | None


def shares(found: Inventory, by: Literal["system", "department"]) -> list[Share]:
    """One line per system or department, the largest first; "" are servers nobody registered."""
    keys = {getattr(one.owner, by) for one in found.services}
    made = [_share(found, by, key) for key in keys]
    return sorted(made, key=lambda one: (not one.key, -one.services, one.key))


def _share(found: Inventory, by: str, key: str) -> Share:
    mine = [one for one in found.services if getattr(one.owner, by) == key]
    mark = {name: sum(one.state == name for one in mine) for name in STATES}
    shown = {sha for one in mine for sha in one.certificates}
    certificates = [one for one in found.certificates if one.sha256 in shown]
    ends = [one.not_after for one in certificates if one.not_after is not None]
    return Share(
        key, len(mine), mark["national"], mark["mixed"], mark["turned_down"], mark["ordinary"], mark["unanswered"],
        sum(one.handshakes for one in mine), sum(one.national for one in mine),
        ordered(code for one in mine for code in one.problems), len(certificates), min(ends, default=None),
    )  # fmt: skip


def state_of(used: Iterable[Used]) -> State:
    """The state of a server by what it was seen in."""
    agreed = [one for one in used if one.agreed]
    if not agreed:
        return "unanswered"
    national = sum(one.national for one in agreed)
    if national:
        return "national" if national == len(agreed) else "mixed"
    return "turned_down" if any(one.offered for one in agreed) else "ordinary"


def turned_down(used: Iterable[Used]) -> int:
    """Handshakes in which 国密 was offered and something else chosen."""
    return sum(one.offered for one in used if one.agreed and not one.national)


def answering(used: Sequence[Used]) -> tuple[str, ...]:
    """Code of a server that speaks 国密 and yet turned down some offers of it."""
    return ("sometimes_turned_down",) if state_of(used) == "mixed" and turned_down(used) else ()


_ORDER = {
    code: at
    for at, code in enumerate(
        (
            *(
                "expired",
                "weak_suite",
                "weak_version",
                "aggressive",
                "weak_key",
                "weak_signature",
                "early",
                "sometimes_turned_down",
            ),
            *("swapped", "mismatched", "single", "unusual", "mixed", "rsa_suite", "sha1", "sm1", "self_signed"),
            *("shared_key", "shared", "soon"),
        )
    )
}


def rank(code: str) -> int:
    """The gravest first."""
    return _ORDER.get(code, len(_ORDER))


def ordered(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes once each, the gravest first."""
    return tuple(sorted(set(codes), key=lambda code: (rank(code), code)))


def judged(version: str, cipher: str | None, count: int, offered: int) -> Used:
    """What was agreed on, with what is to be said of it."""
    return Used(
        version, cipher, count, offered, judging.is_national(version, cipher),
        judging.suite(version, cipher), judging.is_forward(version, cipher),
    )  # fmt: skip
