"""Names and record data of DNS messages as zone files write them (RFC 1035 and the RFCs named beside each type)."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from datetime import UTC, datetime

from cityguard.decoders import address
from cityguard.errors import DecodeError

_MAX_NAME = 255
_MAX_POINTERS = 64
_MAX_TEXT = 1024

_TYPE_NAMES = (
    "A NS MD MF CNAME SOA MB MG MR NULL WKS PTR HINFO MINFO MX TXT RP AFSDB X25 ISDN RT NSAP NSAP-PTR SIG KEY PX "
    "GPOS AAAA LOC NXT EID NIMLOC SRV ATMA NAPTR KX CERT A6 DNAME SINK OPT APL DS SSHFP IPSECKEY RRSIG NSEC "
    "DNSKEY DHCID NSEC3 NSEC3PARAM TLSA SMIMEA"
)
TYPES = dict(enumerate(_TYPE_NAMES.split(), 1)) | {
    55: "HIP",
    56: "NINFO",
    57: "RKEY",
    58: "TALINK",
    59: "CDS",
    60: "CDNSKEY",
    61: "OPENPGPKEY",
    62: "CSYNC",
    63: "ZONEMD",
    64: "SVCB",
    65: "HTTPS",
    66: "DSYNC",
    99: "SPF",
    104: "NID",
    105: "L32",
    106: "L64",
    107: "LP",
    108: "EUI48",
    109: "EUI64",
    249: "TKEY",
    250: "TSIG",
    251: "IXFR",
    252: "AXFR",
    253: "MAILB",
    254: "MAILA",
    255: "ANY",
    256: "URI",
    257: "CAA",
    258: "AVC",
    260: "AMTRELAY",
    261: "RESINFO",
    32768: "TA",
    32769: "DLV",
}
"""Type number -> its name (IANA)."""

_short = struct.Struct(">H").unpack_from


def kind_name(kind: int) -> str:
    """The name of a type."""
    return TYPES.get(kind) or f"TYPE{kind}"


def name(data: bytes, place: int) -> tuple[str, int]:
    """A name and where it ends; pointers may only go back, so that a loop ends.

    Raises:
        DecodeError: it is cut, too long or points forward.
    """
    labels: list[str] = []
    after, limit, total, length = -1, place, 0, len(data)
    for _ in range(_MAX_POINTERS + 128):
        if place >= length:
            raise DecodeError("DNS name cut short")
        size = data[place]
        if size == 0:
            return ".".join(labels), place + 1 if after < 0 else after
        if size >= 0xC0:
            if place + 2 > length:
                raise DecodeError("DNS name cut short")
            target = (size & 0x3F) << 8 | data[place + 1]
            after = place + 2 if after < 0 else after
            if target >= limit:
                raise DecodeError("DNS name points forward")
            place = limit = target
            continue
        place += 1
        end = place + size
        total += size + 1
        if size > 63 or total > _MAX_NAME or end > length:
            raise DecodeError("DNS name too long")
        label = data[place:end]
        labels.append(label.decode() if label.isalnum() else text(label).replace(".", "\\."))
        place = end
    raise DecodeError("DNS name with too many pointers")


def text(raw: bytes) -> str:
    """Printable ASCII and UTF-8 as they are, the rest as \\DDD (RFC 4343)."""
    try:
        plain = raw.decode()
    except UnicodeDecodeError:
        plain = ""
    if plain and plain.isprintable():
        return plain
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}" for octet in raw)


def value(data: bytes, kind: int, place: int, size: int) -> str:
    """RDATA as text; hex for types without a form here (RFC 3597).

    Args:
        data: the message, for names that point back.
        kind: the record's type.
        place: where RDATA begins.
        size: its bytes.
    """
    raw = data[place : place + size]
    if kind == 1 and size == 4:
        return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}"
    form = _FORMS.get(kind)
    if form is not None:
        try:
            return form(data, place, raw)[:_MAX_TEXT]
        except (DecodeError, struct.error, IndexError, ValueError, OverflowError):
            pass
    return "\\# " + raw[: _MAX_TEXT // 2].hex()


def _name_of(data: bytes, place: int, raw: bytes) -> str:
    return name(data, place)[0]


def _strings(data: bytes, place: int, raw: bytes) -> str:
    return " ".join(_parts(raw))


def _parts(raw: bytes) -> list[str]:
    out, place = [], 0
    while place < len(raw):
        size = raw[place]
        out.append(text(raw[place + 1 : place + 1 + size]))
        place += 1 + size
    return out


def _aaaa(data: bytes, place: int, raw: bytes) -> str:
    if len(raw) != 16:
        raise DecodeError("AAAA of another size")
    return address.one(raw)


def _preferred(data: bytes, place: int, raw: bytes) -> str:
    return f"{_short(raw)[0]} {name(data, place + 2)[0]}"


def _srv(data: bytes, place: int, raw: bytes) -> str:
    priority, weight, port = struct.unpack_from(">3H", raw)
    return f"{priority} {weight} {port} {name(data, place + 6)[0]}"


def _soa(data: bytes, place: int, raw: bytes) -> str:
    first, at = name(data, place)
    second, at = name(data, at)
    return " ".join((first, second, *map(str, struct.unpack_from(">5I", data, at))))


def _two_names(data: bytes, place: int, raw: bytes) -> str:
    first, at = name(data, place)
    return f"{first} {name(data, at)[0]}"


def _ds(data: bytes, place: int, raw: bytes) -> str:
    tag, algorithm, method = struct.unpack_from(">HBB", raw)
    return f"{tag} {algorithm} {method} {raw[4:].hex()}"


def _dnskey(data: bytes, place: int, raw: bytes) -> str:
    flags, protocol, algorithm = struct.unpack_from(">HBB", raw)
    return f"{flags} {protocol} {algorithm} {_base64(raw[4:])}"


def _rrsig(data: bytes, place: int, raw: bytes) -> str:
    kind, algorithm, labels, ttl, end, begin, tag = struct.unpack_from(">HBBIIIH", raw)
    signer, at = name(data, place + 18)
    signature = _base64(data[at : place + len(raw)])
    return f"{kind_name(kind)} {algorithm} {labels} {ttl} {_date(end)} {_date(begin)} {tag} {signer} {signature}"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S")


def _nsec(data: bytes, place: int, raw: bytes) -> str:
    following, at = name(data, place)
    return " ".join((following, *_bitmap(data[at : place + len(raw)])))


def _nsec3(data: bytes, place: int, raw: bytes) -> str:
    method, flags, rounds, size = struct.unpack_from(">BBHB", raw)
    salt, at = raw[5 : 5 + size], 5 + size
    hashed = base64.b32hexencode(raw[at + 1 : at + 1 + raw[at]]).decode().rstrip("=").lower()
    kinds = _bitmap(raw[at + 1 + raw[at] :])
    return " ".join((str(method), str(flags), str(rounds), salt.hex() or "-", hashed, *kinds))


def _nsec3param(data: bytes, place: int, raw: bytes) -> str:
    method, flags, rounds, size = struct.unpack_from(">BBHB", raw)
    return f"{method} {flags} {rounds} {raw[5 : 5 + size].hex() or '-'}"


def _bitmap(raw: bytes) -> list[str]:
    """Types of a window bitmap (RFC 4034, 4.1.2)."""
    kinds, place = list[str](), 0
    while place + 2 <= len(raw) and len(kinds) < 128:
        window, size = raw[place], raw[place + 1]
        for offset, octet in enumerate(raw[place + 2 : place + 2 + min(size, 32)]):
            kinds += [kind_name(window << 8 | offset << 3 | bit) for bit in range(8) if octet & 0x80 >> bit]
        place += 2 + size
    return kinds


def _tlsa(data: bytes, place: int, raw: bytes) -> str:
    return f"{raw[0]} {raw[1]} {raw[2]} {raw[3:].hex()}"


def _sshfp(data: bytes, place: int, raw: bytes) -> str:
    return f"{raw[0]} {raw[1]} {raw[2:].hex()}"


def _caa(data: bytes, place: int, raw: bytes) -> str:
    return f"{raw[0]} {text(raw[2 : 2 + raw[1]])} {text(raw[2 + raw[1] :])}"


def _uri(data: bytes, place: int, raw: bytes) -> str:
    priority, weight = struct.unpack_from(">HH", raw)
    return f"{priority} {weight} {text(raw[4:])}"


def _naptr(data: bytes, place: int, raw: bytes) -> str:
    order, preference = struct.unpack_from(">HH", raw)
    at, said = 4, []
    for _ in range(3):
        size = raw[at]
        said.append(f'"{text(raw[at + 1 : at + 1 + size])}"')
        at += 1 + size
    return f"{order} {preference} {' '.join(said)} {name(data, place + at)[0]}"


def _loc(data: bytes, place: int, raw: bytes) -> str:
    """Degrees, minutes and seconds, metres (RFC 1876)."""
    version, size, across, up, latitude, longitude, altitude = struct.unpack_from(">4B3I", raw)
    if version:
        raise DecodeError("LOC of another version")
    places = [_angle(latitude, "NS"), _angle(longitude, "EW")]
    sizes = [f"{(one >> 4) * 10 ** (one & 15) / 100:.2f}m" for one in (size, across, up)]
    return " ".join((*places, f"{(altitude - 10_000_000) / 100:.2f}m", *sizes))


def _angle(thousandths: int, letters: str) -> str:
    away = thousandths - 2**31
    seconds, rest = divmod(abs(away), 1000)
    return f"{seconds // 3600} {seconds // 60 % 60} {seconds % 60}.{rest:03d} {letters[away < 0]}"


def _svcb(data: bytes, place: int, raw: bytes) -> str:
    """Priority, target and parameters (RFC 9460)."""
    target, at = name(data, place + 2)
    said, end = [str(_short(raw)[0]), target or "."], place + len(raw)
    while at + 4 <= end and len(said) < 34:
        key, size = struct.unpack_from(">HH", data, at)
        said.append(_parameter(key, data[at + 4 : min(at + 4 + size, end)]))
        at += 4 + size
    return " ".join(said)


_PARAMETERS = ("mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp")


def _parameter(key: int, raw: bytes) -> str:
    known = _PARAMETERS[key] if key < len(_PARAMETERS) else f"key{key}"
    if key == 0:
        return f"{known}={','.join(_parameter(one, b'') for (one,) in struct.iter_unpack('>H', raw[: len(raw) & ~1]))}"
    if key == 1:
        return f"{known}={','.join(_parts(raw))}"
    if key == 3 and len(raw) == 2:
        return f"{known}={_short(raw)[0]}"
    if key in (4, 6):
        width = 4 if key == 4 else 16
        hints = [address.one(raw[at : at + width]) for at in range(0, len(raw) - width + 1, width)]
        return f"{known}={','.join(hints)}"
    if key == 5:
        return f"{known}={_base64(raw)}"
    return f"{known}={text(raw)}" if raw else known


def _cert(data: bytes, place: int, raw: bytes) -> str:
    kind, tag, algorithm = struct.unpack_from(">HHB", raw)
    return f"{kind} {tag} {algorithm} {_base64(raw[5:])}"


def _apl(data: bytes, place: int, raw: bytes) -> str:
    said, at = list[str](), 0
    while at + 4 <= len(raw) and len(said) < 32:
        family, prefix, size = struct.unpack_from(">HBB", raw, at)
        width = 4 if family == 1 else 16
        part = raw[at + 4 : at + 4 + (size & 0x7F)][:width].ljust(width, b"\0")
        said.append(f"{'!' if size & 0x80 else ''}{family}:{address.one(part)}/{prefix}")
        at += 4 + (size & 0x7F)
    return " ".join(said)


def _tsig(data: bytes, place: int, raw: bytes) -> str:
    algorithm, at = name(data, place)
    high, low, fudge, size = struct.unpack_from(">HIHH", data, at)
    return f"{algorithm} {high << 32 | low} {fudge} {data[at + 10 : at + 10 + min(size, 64)].hex()}"


def _hex_colons(data: bytes, place: int, raw: bytes) -> str:
    return "-".join(f"{octet:02x}" for octet in raw)


def _locator(data: bytes, place: int, raw: bytes) -> str:
    return f"{_short(raw)[0]} {raw[2:].hex(':', 2)}"


def _base64_of(data: bytes, place: int, raw: bytes) -> str:
    return _base64(raw)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw[:_MAX_TEXT]).decode()


_FORMS: dict[int, Callable[[bytes, int, bytes], str]] = (
    dict.fromkeys((2, 3, 4, 5, 7, 8, 9, 12, 23, 39), _name_of)
    | dict.fromkeys((13, 16, 19, 20, 56, 99, 258, 261), _strings)
    | dict.fromkeys((15, 18, 21, 36, 107), _preferred)
    | dict.fromkeys((43, 59, 32768, 32769), _ds)
    | dict.fromkeys((25, 48, 60), _dnskey)
    | dict.fromkeys((24, 46), _rrsig)
    | dict.fromkeys((52, 53), _tlsa)
    | dict.fromkeys((64, 65), _svcb)
    | dict.fromkeys((14, 17), _two_names)
    | dict.fromkeys((108, 109), _hex_colons)
    | dict.fromkeys((104, 106), _locator)
    | dict.fromkeys((49, 61), _base64_of)
    | {
        6: _soa,
        28: _aaaa,
        29: _loc,
        33: _srv,
        35: _naptr,
        37: _cert,
        42: _apl,
        44: _sshfp,
        47: _nsec,
        50: _nsec3,
        51: _nsec3param,
        105: lambda data, place, raw: f"{_short(raw)[0]} {address.one(raw[2:6])}",
        250: _tsig,
        256: _uri,
        257: _caa,
    }
)
