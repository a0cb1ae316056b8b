"""X.509 certificates (RFC 5280, SM2 GM/T 0015) to columns, by our own DER reader: a key nobody can load is told too.

Nothing is judged here, no signature is checked; what cannot be read is left out, the hashes are always there.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from cityguard.decoders.app import oids

MAX_NAMES = 64
"""Alternative names, and parts of a distinguished name, that are kept."""
_MAX_TEXT = 512
_CACHED = 256
_USAGES = (
    *("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement"),
    *("keyCertSign", "cRLSign", "encipherOnly"),
)
_BOOLEAN, _INTEGER, _BITS, _OID, _SEQUENCE = 0x01, 0x02, 0x03, 0x06, 0x30
_UTC_TIME, _GENERAL_TIME = 0x17, 0x18
_ENCODINGS = {0x0C: "utf-8", 0x14: "latin-1", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}
_ESCAPED = set(',+"\\<>;')

Node = tuple[int, int, int]
"""Tag, first byte and end of a value."""


class DerError(ValueError):
    """Not DER, or not of the shape expected."""


@lru_cache(_CACHED)
def describe(der: bytes) -> dict[str, Any]:
    """Columns of a certificate by name, without the side's prefix (``subject``, ``x509.serial_number`` …)."""
    fields: dict[str, Any] = {
        "hash.sha256": hashlib.sha256(der).hexdigest(),
        "hash.sha1": hashlib.sha1(der, usedforsecurity=False).hexdigest(),
    }
    with contextlib.suppress(DerError, IndexError, OverflowError, StopIteration):  # what was read before stays
        _certificate(der, fields)
    return fields


def _node(der: bytes, at: int, end: int) -> Node:
    if at + 2 > end:
        raise DerError
    tag, size, start = der[at], der[at + 1], at + 2
    if tag & 31 == 31:
        raise DerError
    if size >= 0x80:
        width = size & 0x7F
        if not 1 <= width <= 4 or start + width > end:
            raise DerError
        size, start = int.from_bytes(der[start : start + width], "big"), start + width
    if start + size > end:
        raise DerError
    return tag, start, start + size


def _nodes(der: bytes, node: Node) -> Iterator[Node]:
    at = node[1]
    while at < node[2]:
        child = _node(der, at, node[2])
        yield child
        at = child[2]


def _two(der: bytes, node: Node) -> tuple[Node, Node]:
    """The first two children."""
    children = list(islice(_nodes(der, node), 2))
    if len(children) < 2:
        raise DerError
    return children[0], children[1]


def _bytes(der: bytes, node: Node) -> bytes:
    return der[node[1] : node[2]]


def _certificate(der: bytes, fields: dict[str, Any]) -> None:
    parts = list(_nodes(der, next(_nodes(der, _node(der, 0, len(der))))))
    version = 1
    if parts[0][0] == 0xA0:
        version = int.from_bytes(_bytes(der, _node(der, parts[0][1], parts[0][2]))[:2], "big") + 1
        parts.pop(0)
    fields["x509.version_number"] = version
    fields["x509.serial_number"] = _serial(_bytes(der, parts[0]))
    fields["x509.signature_algorithm"] = oids.name(_first_oid(der, parts[1]))
    fields["issuer"] = distinguished(der, parts[2])
    times = [_time(der, node) for node in _nodes(der, parts[3])]
    fields["not_before"], fields["not_after"] = times[0], times[1]
    fields["subject"] = distinguished(der, parts[4])
    fields["key.sha256"] = hashlib.sha256(
        der[parts[4][2] : parts[5][2]]
    ).hexdigest()  # of the whole SubjectPublicKeyInfo
    fields |= _key(der, parts[5])
    for part in parts[6:]:
        if part[0] == 0xA3:
            fields |= _extensions(der, _node(der, part[1], part[2]))


def _serial(raw: bytes) -> str:
    number = int.from_bytes(raw[:64], "big", signed=True)
    return f"{number:x}"


def _first_oid(der: bytes, node: Node) -> str:
    return _oid(_bytes(der, _node(der, node[1], node[2])))


def _oid(raw: bytes) -> str:
    if not raw or len(raw) > 64:
        raise DerError
    arcs, number = list[int](), 0
    for octet in raw:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(number)
            number = 0
    if not arcs:
        raise DerError
    top = min(arcs[0] // 40, 2)
    return ".".join(map(str, (top, arcs[0] - 40 * top, *arcs[1:])))


def _time(der: bytes, node: Node) -> datetime | None:
    """A moment in UTC; None where the digits are none (RFC 5280, 4.1.2.5)."""
    text = _bytes(der, node)[:32].decode("ascii", "replace")
    year, rest = (text[:2], text[2:]) if node[0] == _UTC_TIME else (text[:4], text[4:])
    digits = rest[:10] if rest[8:10].isdigit() else rest[:8] + "00"
    if not (year.isascii() and year.isdigit() and len(digits) == 10 and digits.isascii() and digits.isdigit()):
        return None
    number = int(year) + (0 if node[0] != _UTC_TIME else 2000 if int(year) < 50 else 1900)
    try:
        moment = datetime(number, *(int(digits[at : at + 2]) for at in range(0, 10, 2)), tzinfo=UTC)  # type: ignore[misc,arg-type]
        zone = rest[-5:]
        if zone[0] in "+-" and zone[1:].isdigit():
            away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
            moment += away if zone[0] == "-" else -away
    except (ValueError, OverflowError, IndexError):
        return None
    return moment


def distinguished(der: bytes, node: Node) -> str:
    """A name as text, most specific part first (RFC 4514)."""
    parts = []
    for count, group in enumerate(_nodes(der, node)):
        if count == MAX_NAMES:
            break
        pairs = []
        for pair in _nodes(der, group):
            kind, value = _two(der, pair)
            pairs.append(f"{oids.attribute(_oid(_bytes(der, kind)))}={_escape(_text(der, value))}")
        parts.append("+".join(pairs))
    return ",".join(reversed(parts))[: 4 * _MAX_TEXT]


def _text(der: bytes, node: Node) -> str:
    raw = _bytes(der, node)
    return raw[: 2 * _MAX_TEXT].decode(_ENCODINGS.get(node[0], "utf-8"), "backslashreplace")[:_MAX_TEXT]


def _escape(text: str) -> str:
    out = []
    for letter in text:
        if letter in _ESCAPED:
            out.append("\\" + letter)
        elif letter < " " or letter == "\x7f":
            out.append(f"\\{ord(letter):02X}")
        else:
            out.append(letter)
    if text[:1] in ("#", " "):
        out[0] = "\\" + text[0]
    if len(text) > 1 and text[-1] == " ":
        out[-1] = "\\ "
    return "".join(out)


def _key(der: bytes, node: Node) -> dict[str, Any]:
    head, bits = _two(der, node)
    kinds = list(_nodes(der, head))
    kind = _oid(_bytes(der, kinds[0]))
    raw = _bytes(der, bits)[1:]
    family = oids.KEYS.get(kind, oids.name(kind))
    fields: dict[str, Any] = {"x509.public_key_algorithm": family, "x509.public_key_size": len(raw) * 8 or None}
    if family == "RSA":
        modulus = next(_nodes(raw, _node(raw, 0, len(raw))))
        fields["x509.public_key_size"] = int.from_bytes(_bytes(raw, modulus)[:4096], "big").bit_length()
    elif family == "DSA" and len(kinds) > 1:
        prime = next(_nodes(der, kinds[1]))
        fields["x509.public_key_size"] = int.from_bytes(_bytes(der, prime)[:4096], "big").bit_length()
    elif family in ("EC", "SM2"):
        named = len(kinds) > 1 and kinds[1][0] == _OID
        curve = _oid(_bytes(der, kinds[1])) if named else kind
        known, size = oids.CURVES.get(curve, (curve if named else None, None))
        fields["x509.public_key_curve"] = known
        fields["x509.public_key_size"] = size
        fields["x509.public_key_algorithm"] = "SM2" if known == "sm2p256v1" else family
    elif family in oids.SIZES:
        fields["x509.public_key_size"] = oids.SIZES[family]
    return fields


def _extensions(der: bytes, node: Node) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for count, extension in enumerate(_nodes(der, node)):
        parts = list(_nodes(der, extension))
        if count == MAX_NAMES or len(parts) < 2:
            break
        kind = _oid(_bytes(der, parts[0]))
        value = parts[-1]
        if kind == oids.ALTERNATIVE:
            fields["x509.alternative_names"] = _alternatives(der, _node(der, value[1], value[2]))
        elif kind == oids.KEY_USAGE:
            usage = _bytes(der, _node(der, value[1], value[2]))[1:2]
            fields["usage"] = usage
            fields["key_usage"] = [name for bit, name in enumerate(_USAGES) if usage and usage[0] & 0x80 >> bit]
        elif kind == oids.CONSTRAINTS:
            inside = list(_nodes(der, _node(der, value[1], value[2])))
            fields["authority"] = bool(inside and inside[0][0] == _BOOLEAN and any(_bytes(der, inside[0])))
    return fields


def _alternatives(der: bytes, node: Node) -> list[str]:
    names = list[str]()
    for kind, start, end in _nodes(der, node):
        if len(names) == MAX_NAMES:
            break
        raw, number = der[start:end], kind & 31
        if number in (1, 2, 6):
            names.append(raw[:_MAX_TEXT].decode("ascii", "backslashreplace"))
        elif number == 7 and len(raw) in (4, 16):
            names.append(str(ipaddress.ip_address(raw)))
        elif number == 4:
            names.append(distinguished(der, _node(der, start, end)))
    return names
