"""The inventory asked of a store, in its one query form: counts by server and suite, then each certificate once.

Bounded: 100,000 groups at most, and ``MAX_CERTIFICATES``; what is beyond is told (``Inventory.complete``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from cityguard.cryptouse import judging
from cityguard.cryptouse.inventory import (
    Certificate,
    Declined,
    Inventory,
    Owner,
    Place,
    Role,
    Service,
    Used,
    answering,
    judged,
    ordered,
    state_of,
)
from cityguard.model import And, Node, Not, Query, Term

MAX_GROUPS = 50_000
MAX_CERTIFICATES = 20_000
_PAGE = 5_000
_AT_ONCE = 1_000  # values of one term
_SERVER = ("destination.ip", "destination.port")
_PAIR_CODES = frozenset(judging.PAIR)
_COLUMNS: dict[Role, str] = {"server": "tls.server.", "encryption": "tls.server.encryption.", "client": "tls.client."}

Owners = Callable[[str], Owner]
"""Who answers for an address."""
Key = tuple[str, int]


class Events(Protocol):
    """What is asked: ``store.events`` of any store."""

    def query(self, query: Query) -> pl.DataFrame:
        """Rows that match, newest first."""

    def aggregate(
        self, query: Query, by: Sequence[str], *, interval_s: int | None = None, top: int = 100
    ) -> pl.DataFrame:
        """Counts by columns."""


def gather(events: Events, owners: Owners, since: datetime, until: datetime, *, where: Node | None = None) -> Inventory:
    """The inventory of a span.

    Args:
        events: of a store.
        owners: who answers for an address now.
        since: of the events, inclusive.
        until: exclusive; certificates are judged as of then.
        where: only events that match it.
    """
    ask = _Asker(events, since, until, where)
    used = _used(ask)
    certificates, complete = _certificates(ask)
    pairs = _pairs(ask)
    outside = {key for key in {*used, *pairs} if owners(key[0]).outside}
    made = _judge_certificates(certificates, owners, until)
    services = tuple(
        _service(key, used.get(key, []), pairs.get(key, set()), made, owners)
        for key in sorted({*used, *pairs} - outside, key=_numbered)
    )
    own = tuple(sorted((one for one in made.values() if one.places), key=_order))
    whole = complete and ask.whole
    return Inventory(since, until, services, own, whole, _declined(ask, owners), len(outside))


class _Asker:
    def __init__(self, events: Events, since: datetime, until: datetime, where: Node | None) -> None:
        self._events, self._since, self._until, self._where = events, since, until, where
        self.whole = True

    def _query(self, dataset: str, where: Iterable[Node], limit: int = 100) -> Query:
        terms = (*(() if self._where is None else (self._where,)), *where)
        node = And(terms) if terms else None
        return Query(where=node, dataset=dataset, start=self._since, end=self._until, limit=limit)

    def groups(self, dataset: str, by: Sequence[str], *where: Node) -> list[dict[str, Any]]:
        found = self._events.aggregate(self._query(dataset, where), list(by), top=MAX_GROUPS)
        self.whole = self.whole and found.height < MAX_GROUPS
        return found.to_dicts()

    def rows(self, dataset: str, *where: Node) -> pl.DataFrame:
        return self._events.query(self._query(dataset, where, _PAGE))


def _used(ask: _Asker) -> dict[Key, list[Used]]:
    """What each server was seen in."""
    counts: dict[Key, dict[tuple[str, str | None], list[int]]] = {}
    by = (*_SERVER, "tls.version", "tls.cipher", "tls.guomi_offered")
    for row in ask.groups("tls", by):
        key, version = (row["destination.ip"], row["destination.port"] or 0), row["tls.version"] or ""
        one = counts.setdefault(key, {}).setdefault((version, row["tls.cipher"]), [0, 0])
        one[0] += row["count"]
        one[1] += row["count"] if row["tls.guomi_offered"] else 0
    for row in ask.groups("ssh", (*_SERVER, "ssh.kex_alg", "ssh.cipher_alg", "ssh.mac_alg")):
        parts = [row[f"ssh.{name}_alg"] for name in ("kex", "cipher", "mac")]
        cipher = "/".join(part for part in parts if part) or None
        key = (row["destination.ip"], row["destination.port"] or 0)
        counts.setdefault(key, {}).setdefault(("ssh", cipher), [0, 0])[0] += row["count"]
    used = {
        key: [judged(version, cipher, *numbers) for (version, cipher), numbers in several.items()]
        for key, several in counts.items()
        if key[0]
    }
    for row in ask.groups("tls", _SERVER, Term("tls.exchange", "eq", "aggressive"), _PSK):
        several = used.get((row["destination.ip"], row["destination.port"] or 0), [])
        several[:] = [_with(one, "aggressive") if one.version.startswith("ike1") else one for one in several]
    return used


def _declined(ask: _Asker, owners: Owners) -> tuple[Declined, ...]:
    """Whose offers of 国密 were turned down by servers of ours, and how often."""
    found: dict[tuple[str, str, int], int] = {}
    turned = (Term("tls.guomi_offered", "eq", True), Term("tls.guomi", "eq", False))
    for row in ask.groups("tls", ("source.ip", *_SERVER), *turned):
        client, server = row["source.ip"], row["destination.ip"]
        if client and server and not owners(server).outside:
            key = (client, server, row["destination.port"] or 0)
            found[key] = found.get(key, 0) + row["count"]
    return tuple(Declined(*key, count) for key, count in sorted(found.items()))


_PSK = Term("tls.authentication", "in", ["psk", "xauth-psk"])


def _with(one: Used, code: str) -> Used:
    problems = (*one.problems, code)
    return Used(one.version, one.cipher, one.count, one.offered, one.national, problems, one.forward)


def _pairs(ask: _Asker) -> dict[Key, set[str]]:
    """Of each server the certificates it shows, and codes of its pair."""
    found: dict[Key, set[str]] = {}
    by = (*_SERVER, "tls.server.hash.sha256", "tls.server.encryption.hash.sha256", "tls.server.certificate_pair")
    for row in ask.groups("tls", by, Term("tls.server.hash.sha256", "exists", True)):
        key = (row["destination.ip"], row["destination.port"] or 0)
        if not key[0]:
            continue
        shown = (row["tls.server.hash.sha256"], row["tls.server.encryption.hash.sha256"])
        mine = found.setdefault(key, set())
        mine |= {name for name in shown if name}
        if row["tls.server.certificate_pair"] in _PAIR_CODES:
            mine.add(f"!{row['tls.server.certificate_pair']}")
    return found


def _certificates(ask: _Asker) -> tuple[dict[str, dict[str, Any]], bool]:
    """Every certificate once, as the newest handshake shows it, with its roles and where it was shown."""
    found: dict[str, dict[str, Any]] = {}
    complete = True
    for role, prefix in _COLUMNS.items():
        digest = f"{prefix}hash.sha256"
        known: list[str] = []
        while True:
            parts = [known[at : at + _AT_ONCE] for at in range(0, len(known), _AT_ONCE)]
            where: tuple[Node, ...] = (Term(digest, "exists", True), *(Not(Term(digest, "in", part)) for part in parts))
            rows = ask.rows("tls", *where)
            if not rows.height or digest not in rows.columns:
                break
            fresh = rows.sort("@timestamp", "event.id", descending=True).unique(
                digest, keep="first", maintain_order=True
            )
            for row in fresh.to_dicts():
                known.append(row[digest])
                _keep(found, role, prefix, row)
            if rows.height < _PAGE:
                break
            if len(known) >= MAX_CERTIFICATES:
                complete = False
                break
        _shown(ask, found, role, digest)
    return found, complete


def _keep(found: dict[str, dict[str, Any]], role: Role, prefix: str, row: dict[str, Any]) -> None:
    one = found.setdefault(row[f"{prefix}hash.sha256"], {"roles": set(), "places": set()})
    one["roles"].add(role)
    if one.get("last_seen") is not None and one["last_seen"] >= row["@timestamp"] and one.get("key"):
        return
    one["last_seen"] = max(row["@timestamp"], one.get("last_seen") or row["@timestamp"])
    for name, column in (
        *(("subject", "subject"), ("issuer", "issuer"), ("not_before", "not_before"), ("not_after", "not_after")),
        *(("serial", "x509.serial_number"), ("key", "x509.public_key_algorithm"), ("bits", "x509.public_key_size")),
        *(("signature", "x509.signature_algorithm"), ("key_sha256", "key.sha256"), ("usage", "key_usage")),
    ):
        if (value := row.get(prefix + column)) is not None:
            one[name] = value


def _shown(ask: _Asker, found: dict[str, dict[str, Any]], role: Role, digest: str) -> None:
    """Where the certificates of a role were shown."""
    side = ("source.ip", "source.port") if role == "client" else _SERVER
    by = (digest, side[0]) if role == "client" else (digest, *side)
    for row in ask.groups("tls", by, Term(digest, "exists", True)):
        if row[digest] in found and row[side[0]]:
            found[row[digest]]["places"].add((row[side[0]], 0 if role == "client" else row[side[1]] or 0))


def _judge_certificates(given: dict[str, dict[str, Any]], owners: Owners, now: datetime) -> dict[str, Certificate]:
    keys: dict[str, set[str]] = {}
    for sha, one in given.items():
        if one.get("key_sha256"):
            keys.setdefault(one["key_sha256"], set()).add(sha)
    made = {}
    for sha, one in given.items():
        shown = [Place(address, port, owners(address)) for address, port in sorted(one["places"])]
        places = tuple(place for place in shown if not place.owner.outside)
        problems = list(judging.certificate(one, now))
        if len({place.owner.system for place in places} - {""}) > 1:
            problems.append("shared")
        if len(keys.get(one.get("key_sha256") or "", ())) > 1:
            problems.append("shared_key")
        ends = one.get("not_after")
        made[sha] = Certificate(
            sha, one.get("subject"), one.get("issuer"), one.get("serial"), one.get("not_before"), ends,
            one.get("key"), one.get("bits"), one.get("signature"), one.get("key_sha256"),
            tuple(one.get("usage") or ()), tuple(role for role in _COLUMNS if role in one["roles"]), places,
            ordered(problems), None if ends is None else (ends - now).days, one["last_seen"],
        )  # fmt: skip
    return made


def _service(
    key: Key, used: list[Used], shown: set[str], certificates: dict[str, Certificate], owners: Owners
) -> Service:
    mine = sorted(name for name in shown if name in certificates)
    codes = [code for one in used for code in one.problems]
    codes += [name[1:] for name in shown if name.startswith("!")]
    codes += answering(used)
    codes += [code for name in mine for code in certificates[name].problems]
    several = sorted(used, key=lambda one: (-one.count, one.version, one.cipher or ""))
    kinds = sorted({_family(one.version) for one in used}) or ["tls"]
    return Service(
        key[0], key[1], "+".join(kinds), owners(key[0]), tuple(several), state_of(several), ordered(codes), tuple(mine)
    )


def _family(version: str) -> str:
    return (
        "tlcp" if version == "tlcp1.1" else "ike" if version.startswith("ike") else "ssh" if version == "ssh" else "tls"
    )


def _order(one: Certificate) -> tuple[bool, Any, str]:
    return (one.not_after is None, one.not_after or one.last_seen, one.sha256)


def _numbered(key: Key) -> tuple[int, int, str, int]:
    """Addresses in order of their numbers; what is no address comes last."""
    try:
        address = ipaddress.ip_address(key[0])
    except ValueError:
        return (9, 0, *key)
    return (address.version, int(address), *key)
