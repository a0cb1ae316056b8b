"""LDAP, Kerberos, NTLM, SMB, RDP: who logs in where."""

from __future__ import annotations

import json
import struct

from tests.decoders.ot.talk import said, sent

from cityguard.decoders.app import kerberos, ldap, ntlm, rdp, smb

LDAP, KERBEROS, SMB, RDP = (module.PROTOCOLS[0] for module in (ldap, kerberos, smb, rdp))


def tlv(tag: int, body: bytes) -> bytes:
    size = bytes((len(body),)) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes((tag,)) + size + body


def asked(number: int, tag: int, body: bytes) -> bytes:
    return tlv(0x30, tlv(2, bytes((number,))) + tlv(tag, body))


def answered(number: int, tag: int, code: int) -> bytes:
    return asked(number, tag, tlv(10, bytes((code,))) + tlv(4, b"") + tlv(4, b"why"))


BIND = asked(1, 0x60, tlv(2, b"\3") + tlv(4, b"cn=anna,dc=city") + tlv(0x80, b"geheim1"))


def test_a_bind_is_a_login_and_a_change_is_by_who_bound() -> None:
    change = asked(2, 0x66, tlv(4, b"cn=root,dc=city") + tlv(0x30, b""))
    rows = said(LDAP, (0, BIND), (1, answered(1, 0x61, 0)), (0, change), (1, answered(2, 0x67, 50)))
    login = next(row for row in rows if row["event.action"] == "login")
    modify = next(row for row in rows if row["event.action"] == "modify")
    assert (login["user.name"], login["event.outcome"]) == ("cn=anna,dc=city", "success")
    assert (modify["event.outcome"], modify["event.reason"]) == ("failure", "insufficientAccessRights")
    assert modify["user.name"] == "cn=anna,dc=city"
    assert "geheim1" not in str(rows)
    assert LDAP.starts(BIND, False)


def name(*parts: str) -> bytes:
    return tlv(
        0x30, tlv(0xA0, tlv(2, b"\1")) + tlv(0xA1, tlv(0x30, b"".join(tlv(0x1B, one.encode()) for one in parts)))
    )


def as_request(user: str) -> bytes:
    body = tlv(0xA1, name(user)) + tlv(0xA2, tlv(0x1B, b"CITY.CN")) + tlv(0xA3, name("krbtgt", "CITY.CN"))
    body += tlv(0xA8, tlv(0x30, tlv(2, b"\x12") + tlv(2, b"\x17")))
    return tlv(0x6A, tlv(0x30, tlv(0xA1, tlv(2, b"\5")) + tlv(0xA2, tlv(2, b"\x0a")) + tlv(0xA4, tlv(0x30, body))))


def error(code: int) -> bytes:
    body = tlv(0xA0, tlv(2, b"\5")) + tlv(0xA1, tlv(2, b"\x1e")) + tlv(0xA6, tlv(2, bytes((code,))))
    return tlv(0x7E, tlv(0x30, body + tlv(0xA9, tlv(0x1B, b"CITY.CN")) + tlv(0xAA, name("krbtgt"))))


def test_a_ticket_that_is_refused_says_why() -> None:
    (row,) = sent(KERBEROS, (0, as_request("anna")), (1, error(24)))
    assert (row["user.name"], row["user.domain"], row["event.outcome"]) == ("anna", "CITY.CN", "failure")
    assert (row["event.reason"], row["service.name"]) == ("KDC_ERR_PREAUTH_FAILED", "krbtgt/CITY.CN")
    assert json.loads(row["event.fields"])["kerberos"]["ciphers"] == ["aes256-cts-hmac-sha1-96", "rc4-hmac"]


def test_tickets_over_tcp_stand_behind_their_length() -> None:
    data = as_request("anna")
    framed = len(data).to_bytes(4, "big") + data
    (row,) = said(KERBEROS, *((0, bytes((byte,))) for byte in framed))
    assert (row["event.action"], row["event.outcome"]) == ("authentication-service", "unknown")


def authenticate(user: str, domain: str, host: str) -> bytes:
    fields, data, offset = b"", b"", 88
    for text in ("", "", domain, user, host, ""):
        raw = text.encode("utf-16-le")
        fields += struct.pack("<HHI", len(raw), len(raw), offset + len(data))
        data += raw
    return b"NTLMSSP\0\3\0\0\0" + fields + struct.pack("<I", 1) + bytes(24) + data


def test_an_ntlm_message_names_user_domain_and_host() -> None:
    found = ntlm.account(b"\x60\x30junk" + authenticate("anna", "CITY", "PC-1"))
    assert found == {"user.name": "anna", "user.domain": "CITY", "host.name": "PC-1"}
    assert ntlm.account(b"NTLMSSP\0\3\0\0\0") is None


def two(command: int, body: bytes, *, status: int = 0, answers: bool = False, number: int = 1, tree: int = 5) -> bytes:
    head = struct.pack(
        "<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 0, status, command, 1, int(answers), 0, number, 0, tree, 77, b""
    )
    return (len(head) + len(body)).to_bytes(4, "big") + head + body


def create(path: str) -> bytes:
    raw = path.encode("utf-16-le")
    body = struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 0, 0, 0, 0x120089, 0, 7, 1, 0x40, 120, len(raw), 0, 0)
    return body + raw


def test_a_session_a_share_and_a_file() -> None:
    secret = authenticate("anna", "CITY", "PC-1")
    setup = struct.pack("<HBBIIHHQ", 25, 0, 0, 0, 0, 88, len(secret), 0) + secret
    share = "\\\\srv\\plans".encode("utf-16-le")
    rows = said(
        SMB,
        (0, two(1, setup)),
        (1, two(1, bytes(9), answers=True)),
        (0, two(3, struct.pack("<HHHH", 9, 0, 72, len(share)) + share, number=2)),
        (1, two(3, bytes(16), answers=True, number=2)),
        (0, two(5, create("a\\plan.dwg"), number=3)),
        (1, two(5, struct.pack("<HBBI", 89, 0, 0, 1) + bytes(88), answers=True, number=3)),
        (0, two(5, create("secret.txt"), number=4)),
        (1, two(5, bytes(9), status=0xC0000022, answers=True, number=4)),
    )
    login = next(row for row in rows if row["event.action"] == "login")
    opened = next(row for row in rows if row["event.action"] == "opened")
    denied = next(row for row in rows if row["event.action"] == "open")
    assert (login["user.name"], login["user.domain"], login["event.outcome"]) == ("anna", "CITY", "success")
    assert (opened["file.path"], opened["file.name"], opened["user.name"]) == ("a\\plan.dwg", "plan.dwg", "anna")
    assert json.loads(opened["event.fields"])["smb"]["share"] == "\\\\srv\\plans"
    assert (denied["event.outcome"], denied["event.reason"]) == ("failure", "STATUS_ACCESS_DENIED")


def test_a_wrong_password_is_a_failure_and_frames_come_in_any_pieces() -> None:
    secret = authenticate("anna", "CITY", "PC-1")
    setup = two(1, struct.pack("<HBBIIHHQ", 25, 0, 0, 0, 0, 88, len(secret), 0) + secret)
    refused = two(1, bytes(9), status=0xC000006D, answers=True)
    (row,) = said(SMB, *((0, setup[at : at + 3]) for at in range(0, len(setup), 3)), (1, refused))
    assert (row["event.outcome"], row["event.reason"], row["user.name"]) == ("failure", "STATUS_LOGON_FAILURE", "anna")
    assert SMB.starts(setup, False)


def rdp_packet(kind: int, data: bytes) -> bytes:
    body = bytes((6 + len(data), kind)) + bytes(5) + data
    return b"\x03\0" + (4 + len(body)).to_bytes(2, "big") + body


def test_rdp_tells_the_cookie_and_the_security_that_is_agreed() -> None:
    ask = rdp_packet(0xE0, b"Cookie: mstshash=anna\r\n" + struct.pack("<BBHI", 1, 0, 8, 3))
    (row,) = said(RDP, (0, ask), (1, rdp_packet(0xD0, struct.pack("<BBHI", 2, 0, 8, 2))))
    more = json.loads(row["event.fields"])["rdp"]
    assert (row["user.name"], more["requested"], more["selected"]) == ("anna", ["TLS", "CredSSP"], "CredSSP")
    (row,) = said(RDP, (0, ask), (1, rdp_packet(0xD0, struct.pack("<BBHI", 3, 0, 8, 5))))
    assert (row["event.outcome"], row["event.reason"]) == ("failure", "HYBRID_REQUIRED_BY_SERVER")
    assert RDP.starts(ask, False)


def test_rdp_without_encryption_tells_the_client_s_name() -> None:
    core = b"\x01\xc0\xd8\0" + struct.pack("<IHHHHII", 0x80004, 1280, 720, 0xCA01, 0xAA03, 0x804, 19041)
    core += "PC-17".encode("utf-16-le").ljust(32, b"\0") + bytes(152)
    conference = b"\x7f\x65\x82\1\x94" + bytes(90) + b"\0\5\0\x14\x7c\0\1\x81\x2a\0\x08\0\x10\0\x01\xc0\0Duca\x81\x1c"
    connect = b"\x02\xf0\x80" + conference + core
    (row,) = said(
        RDP,
        (0, rdp_packet(0xE0, b"Cookie: mstshash=anna\r\n")),
        (1, rdp_packet(0xD0, b"")),
        (0, b"\x03\0" + (4 + len(connect)).to_bytes(2, "big") + connect),
    )
    more = json.loads(row["event.fields"])["rdp"]
    assert (row["host.name"], row["user.name"]) == ("PC-17", "anna")
    assert (more["keyboard"], more["client_build"], more["desktop"]) == ("0x00000804", 19041, "1280x720")


def test_an_interim_answer_of_smb_is_not_the_answer() -> None:
    rows = said(
        SMB,
        (0, two(5, create("evil.exe"), number=3)),
        (1, two(5, bytes(9), status=0x00000103, answers=True, number=3)),
        (1, two(5, struct.pack("<HBBI", 89, 0, 0, 2) + bytes(88), answers=True, number=3)),
    )
    assert [(row["event.action"], row["file.path"]) for row in rows] == [("created", "evil.exe")]


def test_asking_for_a_pac_is_no_preauthentication() -> None:
    def request(kind: int) -> bytes:
        proof = tlv(0xA3, tlv(0x30, tlv(0x30, tlv(0xA1, tlv(2, kind.to_bytes(2, "big"))) + tlv(0xA2, tlv(4, b"x")))))
        body = tlv(0xA4, tlv(0x30, tlv(0xA2, tlv(0x1B, b"CITY.CN"))))
        return tlv(0x6A, tlv(0x30, tlv(0xA1, tlv(2, b"\5")) + tlv(0xA2, tlv(2, b"\x0a")) + proof + body))

    for kind, proven in ((128, None), (2, True)):
        (row,) = sent(KERBEROS, (0, request(kind)))
        assert json.loads(row["event.fields"])["kerberos"].get("preauthenticated") is proven
