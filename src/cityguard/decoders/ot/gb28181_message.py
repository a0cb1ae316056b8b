"""One SIP message of GB/T 28181 (2011, 2016, 2022) as it is on the wire: ids, digest, XML, SDP, MANSRTSP, headers.

A pure reader: it keeps everything the message says, and leaves to ``gb28181`` what may stand in a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cityguard.decoders.app import sip_message
from cityguard.decoders.app.sip_message import Head
from cityguard.decoders.ot import gb28181_digest, gb28181_sdp, gb28181_xml
from cityguard.decoders.ot.gb28181_digest import Auth
from cityguard.decoders.ot.gb28181_sdp import Media, Subject

MAX_MESSAGE = 65_536
EDITIONS = {"1.0": "2011", "1.1": "2011", "2.0": "2016", "3.0": "2022"}
"""``X-GB-Ver`` -> edition (2022 annex I)."""
_ID = re.compile(r"sips?:([1-9][0-9]{19})(?=[@;>:]|$)")
_RTSP = re.compile(r"(PLAY|PAUSE|TEARDOWN|SETUP|DESCRIBE|OPTIONS|ANNOUNCE|RECORD)\s{1,4}(?:\S{1,256}\s{1,4})?RTSP/1\.0")
_NOTE = re.compile(r"(?i)\s{0,8}\(?\s{0,8}digest\b")


@dataclass(frozen=True, slots=True)
class Rtsp:
    """A MANSRTSP command of an INFO (annex B): its method, and the headers that say where playing goes on."""

    method: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Frame:
    """A message. ``method`` is that of the request, also in an answer (from ``CSeq``)."""

    head: Head
    method: str
    status: int | None
    sender: str
    """User of ``From``."""
    receiver: str
    """User of ``To``."""
    request_user: str
    call_id: str
    cseq: int | None
    expires: int | None
    auth: Auth | None
    challenge: Auth | None
    document: gb28181_xml.Document | None
    media: Media | None
    rtsp: Rtsp | None
    subject: Subject | None
    note: Auth | None
    """``Note``: the signature of annex H, or of GB 35114."""
    version: str | None
    identity: str | None
    """``Monitor-User-Identity``."""
    body: int
    """Octets of the body that are there."""
    faults: tuple[str, ...] = ()
    mark: int = 0
    """Of the body's octets, to know it again while this process runs."""

    @property
    def is_request(self) -> bool:
        return self.status is None


def is_video(head: Head) -> bool:
    """Whether a message is of GB/T 28181: by its body, its headers, or ids of 20 digits. Telephony has none of them."""
    kind = head.get("content-type").lower()
    if "manscdp" in kind or "mansrtsp" in kind or head.get("x-gb-ver") or head.get("monitor-user-identity"):
        return True
    return any(_ID.search(text[:512]) is not None for text in (head.get("from"), head.get("to")))


def read(data: bytes) -> Frame | None:
    """A message of any bytes; None where none begins, or it is not of GB/T 28181."""
    start = sip_message.begins(data[:MAX_MESSAGE])
    if start < 0:
        return None
    data = data[start : start + MAX_MESSAGE]
    head = sip_message.head(data) or sip_message.head(data[: sip_message.MAX_HEAD - 4].rstrip(b"\r\n") + b"\r\n\r\n")
    if head is None or not is_video(head):
        return None
    return framed(head, data[head.size :])


def framed(head: Head, body: bytes, *, cut: bool = False) -> Frame:
    """A message of its head and what followed it.

    Args:
        head: of a message that ``is_video``.
        body: to its end, or to the end of the datagram.
        cut: the rest of the body was given up.
    """
    faults = ["truncated"] if cut else []
    length = head.length
    if length is not None and length > len(body) and not cut:
        faults.append("length_error")
    if length is not None and body[length:].strip(b"\r\n\0 \t"):
        faults.append("length_error")
    body = body[: min(MAX_MESSAGE, len(body) if length is None else length)]
    document, media, rtsp = _content(head.get("content-type").lower(), body)
    if document is not None and document.fault:
        faults.append(document.fault)
    number, _, method = head.get("cseq").strip().partition(" ")
    return Frame(
        head,
        head.method or method.strip()[:16].upper(),
        head.code,
        _user(sip_message.uri(head.get("from"))),
        _user(sip_message.uri(head.get("to"))),
        _user(head.uri),
        head.get("call-id")[:256],
        gb28181_sdp.number(number),
        _expires(head),
        gb28181_digest.read(head.get("authorization") or head.get("proxy-authorization")),
        gb28181_digest.read(head.get("www-authenticate") or head.get("proxy-authenticate")),
        document,
        media,
        rtsp,
        gb28181_sdp.subject(head.get("subject")),
        _note(head.get("note")),
        head.get("x-gb-ver")[:16] or None,
        head.get("monitor-user-identity")[:256] or None,
        len(body),
        tuple(dict.fromkeys(faults)),
        hash(body),
    )


def _content(kind: str, body: bytes) -> tuple[gb28181_xml.Document | None, Media | None, Rtsp | None]:
    """The body by what it says it is; where it does not say, by how it begins."""
    if not body.strip():
        return None, None, None
    start = body[:64].lstrip(b"\xef\xbb\xbf \t\r\n\0")
    if "sdp" in kind or (not kind and start.startswith(b"v=")):
        return None, gb28181_sdp.read(body), None
    if "rtsp" in kind:
        return None, None, _rtsp(body)
    if "manscdp" in kind or "xml" in kind or start.startswith(b"<"):
        return gb28181_xml.read(body), None, None
    return None, None, None


def _rtsp(body: bytes) -> Rtsp | None:
    lines = body[:8_192].decode("utf-8", "replace").splitlines()[:32]
    found = _RTSP.match(lines[0].strip()[:512]) if lines else None
    if found is None:
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower()[:32], value.strip()[:128])
    return Rtsp(found[1], headers)


def _user(address: str) -> str:
    """The user of an address, without the password that may stand behind it."""
    return sip_message.person(address).partition(":")[0][:64]


def _expires(head: Head) -> int | None:
    found = gb28181_sdp.number(head.get("expires"))
    if found is None and ";expires=" in head.get("contact").lower():
        found = gb28181_sdp.number(re.split(r"(?i);expires=", head.get("contact"), maxsplit=1)[1].split(";")[0])
    return found


def _note(text: str) -> Auth | None:
    return gb28181_digest.read(text.strip().strip("()").strip()) if _NOTE.match(text) else None
