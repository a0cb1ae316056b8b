"""Handshakes of TLS and TLCP in the words of the vectors: the records by our readers, the rest from the row."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.app import certificate, suites, tls_exchange
from cityguard.decoders.app.tls_hello import SNI, ClientHello, CutError, Reader, ServerHello, client_hello, server_hello
from cityguard.decoders.app.tls_session import pair

NAMES = {
    1: "client_hello",
    2: "server_hello",
    4: "new_session_ticket",
    11: "certificate",
    12: "server_key_exchange",
    13: "certificate_request",
    14: "server_hello_done",
    15: "certificate_verify",
    16: "client_key_exchange",
    20: "finished",
}
_HANDSHAKE, _CHANGE, _ALERT, _DATA = 22, 20, 21, 23


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """What the records and the row of a vector say."""
    said: dict[str, Any] = {}
    messages: list[str] = []
    dark = False
    place = 0
    while len(data) - place >= 5:
        kind, size = data[place], int.from_bytes(data[place + 3 : place + 5], "big")
        said.setdefault("record_version", _number(int.from_bytes(data[place + 1 : place + 3], "big")))
        body = data[place + 5 : place + 5 + size]
        place += 5 + size
        if kind == _CHANGE:
            messages.append("change_cipher_spec")
            dark = True
        elif kind == _HANDSHAKE and not dark:
            _messages(body, said, messages)
        else:
            messages.append("encrypted" if dark else "alert" if kind == _ALERT else "application_data")
            if kind == _ALERT and not dark and len(body) == 2:
                said |= {"level": body[0], "description": body[1], "alert": {"level": body[0], "description": body[1]}}
    said |= {"messages": messages, "message": messages[0] if messages else None}
    row = next((one for one in rows if one["dataset"] == "tls"), None)
    if row is not None:
        said["tls"] = _row(row)
        if "malformed" in row.get("event.flags", ()):
            said["error"] = "length"
    return said


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """The row's columns; 国密 that is but offered so far is told as offered."""
    plain = {name[4:]: value for name, value in row.items() if name.startswith("tls.")}
    offered = bool(row.get("tls.guomi_offered")) and "tls.cipher" not in row
    plain["guomi"] = bool(row.get("tls.guomi")) or offered
    plain["offered"] = bool(row.get("tls.guomi_offered"))
    plain["chosen"] = bool(row.get("tls.guomi")) and "tls.cipher" in row
    return plain


def _messages(body: bytes, said: dict[str, Any], messages: list[str]) -> None:
    place = 0
    while len(body) - place >= 4:
        kind, size = body[place], int.from_bytes(body[place + 1 : place + 4], "big")
        inside = body[place + 4 : place + 4 + size]
        place += 4 + size
        messages.append(NAMES.get(kind, str(kind)))
        try:
            if len(inside) < size:
                raise CutError
            said |= {name: value for name, value in _message(kind, inside).items() if name not in said}
        except CutError:
            said["error"] = "length"


def _message(kind: int, body: bytes) -> dict[str, Any]:
    if kind == 1:
        return _offer(client_hello(body))
    if kind == 2:
        return _choice(server_hello(body))
    if kind == 11:
        return _chain(body)
    if kind == 13:
        reader = Reader(body)
        types, authorities = list(reader.vector(1).data), reader.vector(2)
        names = list[bytes]()
        while authorities.more():
            names.append(authorities.vector(2).data)
        return {"certificate_types": types, "authorities": [_holder(one) for one in names]}
    if kind == 15:
        return {"signature_len": int.from_bytes(body[:2], "big")}
    shown = {12: tls_exchange.server, 16: tls_exchange.client}.get(kind)
    found = shown(body) if shown else None
    return _keys(found) if found else {}


def _offer(hello: ClientHello) -> dict[str, Any]:
    return {
        "hello_version": _number(hello.version),
        "random": hello.random.hex(),
        "session_id": hello.session.hex(),
        "suites": [_number(one) for one in hello.ciphers],
        "suite_names": [suites.name(one) for one in hello.ciphers],
        "compression": list(hello.compression),
        "extensions": hello.extensions if hello.extended else None,
        "supported_versions": [_number(one) for one in hello.versions],
        "groups": hello.groups,
        "signature_algorithms": [_number(one) for one in hello.signatures],
        "server_name": hello.server_name if SNI in hello.extensions else None,
    }


def _choice(hello: ServerHello) -> dict[str, Any]:
    return {
        "hello_version": _number(hello.legacy),
        "selected_version": _number(hello.version),
        "random": hello.random.hex(),
        "session_id": hello.session.hex(),
        "suite": _number(hello.cipher),
        "suite_name": suites.name(hello.cipher),
        "key_share_group": hello.group,
        "retry": hello.retry,
    }


def _chain(body: bytes) -> dict[str, Any]:
    chain, ders = Reader(body).vector(3), list[bytes]()
    while chain.more():
        ders.append(chain.vector(3).data)
    described = [certificate.describe(der) for der in ders]
    kind = pair(described) if described else "none"
    usages = [one.get("key_usage") for one in described]
    return {
        "count": len(ders),
        "certificates": len(ders),
        "double_certificate": kind not in ("none", "single"),
        "certificate_pair": kind,
        "swapped": kind == "swapped",
        "same_subject": len({one.get("subject") for one in described}) == 1,
        "same_issuer": len({one.get("issuer") for one in described}) == 1,
        "key_usage": usages,
        "key_usages": usages,
        "subjects": [one.get("subject") for one in described],
        "issuers": [one.get("issuer") for one in described],
        "signature_algorithms": [one.get("x509.signature_algorithm") for one in described],
        "key_algorithms": [one.get("x509.public_key_algorithm") for one in described],
    }


def _holder(der: bytes) -> str | None:
    try:
        node = certificate._node(der, 0, len(der))
        return certificate.distinguished(der, node)
    except certificate.DerError:
        return None


def _keys(found: tls_exchange.Exchange) -> dict[str, Any]:
    return {
        "kx": found.kind,
        "curve_type": tls_exchange.NAMED_CURVE if found.curve is not None else None,
        "named_curve": None if found.curve is None else _number(found.curve),
        "point_len": found.point,
        "signature_len": found.signature,
        "ciphertext_len": found.ciphertext,
        "asn1": found.shape,
        "pms_len": found.secret,
    }


def _number(value: int) -> str:
    return f"0x{value:04X}"
