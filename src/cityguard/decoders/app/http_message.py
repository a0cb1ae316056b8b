"""Heads of HTTP/1 messages (RFC 9110, 9112) to columns; bodies by their first bytes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any

from cityguard.decoders import secrets

MAX_HEADERS = 256
MAX_BODY_SHOWN = 4_096
"""Bytes of a body that are looked at."""
_MAX_VALUE = 4_096
_PROXY = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-from",
    "client-ip",
    "via",
    "xroxy-connection",
    "proxy-connection",
)
_KEPT = (
    *("origin", "x-forwarded-for", "location", "server", "content-encoding", "upgrade", "sec-websocket-protocol"),
    "x-requested-with",
)
_SCHEMES = frozenset(("basic", "bearer", "digest", "hoba", "mutual", "negotiate", "ntlm"))
_FILE = re.compile(rb"filename\*?=(?:[Uu][Tt][Ff]-8'')?\"?([^\";\r\n]{1,255})")
_USER = re.compile(r'username="([^"]{1,255})"')
_METHOD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")


@dataclass(slots=True)
class Message:
    """A request or response whose head is known."""

    start: str
    headers: dict[str, str]
    head: int  # bytes of the head
    body: int = 0  # bytes of the body so far
    shown: bytearray = field(default_factory=bytearray)  # its first ones

    @property
    def is_response(self) -> bool:
        return self.start.startswith("HTTP/")


def parse(raw: bytes, size: int) -> Message:
    """Read a head.

    Args:
        raw: its lines.
        size: its bytes on the wire.
    """
    lines = raw.replace(b"\r\n", b"\n").split(b"\n", MAX_HEADERS + 1)
    headers: dict[str, str] = {}
    for line in lines[1 : MAX_HEADERS + 1]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(text(name).strip().lower(), text(value).strip())
    return Message(text(lines[0]).rstrip(), headers, size)


def written(message: Message) -> bytes:
    """A head as it may have been sent: for the reader of what it opens."""
    lines = [message.start, *(f"{name}: {value}" for name, value in message.headers.items())]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n"


def text(raw: bytes) -> str:
    """Bytes of a head as text."""
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def is_request(start: str) -> bool:
    """Whether a line begins a request: a method and something asked for."""
    method, blank, rest = start.partition(" ")
    return bool(blank and rest.strip() and 2 < len(method) <= 24 and _METHOD.issuperset(method))


def code(start: str) -> int:
    """The status code of a status line; 0 where there is none."""
    part = start.split(" ", 2)[1:2]
    return int(part[0]) if part and len(part[0]) == 3 and part[0].isascii() and part[0].isdigit() else 0


def request_fields(message: Message) -> dict[str, Any]:
    """Columns of a request."""
    method, _, rest = message.start.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/"):  # HTTP/0.9 has no version
        target, version = rest, "HTTP/0.9"
    target, headers = secrets.url(target), message.headers
    host = secrets.url(headers.get("host", ""))
    path = target
    if "://" in target[:16]:
        authority, slash, path = target.split("://", 1)[1].partition("/")
        host, path = host or authority, slash + path or "/"
    elif method == "CONNECT":
        host = host or target
    path, _, query = path.partition("?")
    name, port = _split(host)
    return {
        "http.request.method": method,
        "http.version": version[5:] or None,
        "http.request.bytes": message.head + message.body,
        "http.request.body.bytes": message.body,
        "http.request.referrer": _cut(secrets.url(headers.get("referer", "")) or None),
        "http.request.mime_type": _cut(_kind(headers)),
        "url.original": _cut(target),
        "url.path": _cut(path),
        "url.query": _cut(query),
        "url.domain": _cut(name),
        "url.port": port,
        "user_agent.original": _cut(headers.get("user-agent")),
        "user.name": _user(headers),
        "http.proxied": [f"{one.upper()} -> {headers[one][:255]}" for one in _PROXY if one in headers] or None,
    }


def response_fields(message: Message) -> dict[str, Any]:
    """Columns of a response."""
    status = code(message.start)
    phrase = message.start.split(" ", 2)[2:]
    return {
        "http.response.status_code": status or None,
        "http.response.status_text": _cut(phrase[0].strip()) if phrase else None,
        "http.response.bytes": message.head + message.body,
        "http.response.body.bytes": message.body,
        "http.response.mime_type": _cut(_kind(message.headers)),
        "http.response.body.mime_type": sniff(bytes(message.shown)),
    }


def both_fields(request: Message | None, response: Message | None) -> dict[str, Any]:
    """Columns that either side may fill: file names, and the headers without a column."""
    names = [name for one in (request, response) if one is not None for name in _files(one)]
    extra: dict[str, Any] = {}
    for side, one in (("request", request), ("response", response)):
        kept = {name: secrets.url(one.headers[name])[:512] for name in _KEPT if name in one.headers} if one else {}
        if one is not None and side == "request" and (scheme := _scheme(one.headers)):
            kept["authorization"] = scheme
        if kept:
            extra[side] = kept
    if response is not None and response.start:
        version = response.start[5:8]
        if request is not None and not request.start.endswith(version):
            extra["response_version"] = version
    return {
        "http.file.names": names or None,
        "event.fields": json.dumps(extra, ensure_ascii=False, separators=(",", ":")) if extra else None,
    }


def _files(message: Message) -> list[str]:
    names = []
    disposition = message.headers.get("content-disposition", "")
    if "filename" in disposition:
        names = _FILE.findall(disposition[:1_024].encode())
    if message.headers.get("content-type", "")[:10].lower() == "multipart/":
        names += _FILE.findall(bytes(message.shown))
    return [text(name) for name in dict.fromkeys(names)][:16]


def _kind(headers: dict[str, str]) -> str:
    return headers.get("content-type", "").split(";")[0].strip().lower()


def _scheme(headers: dict[str, str]) -> str | None:
    """How a request authenticates (RFC 9110, 11.6.2): basic, digest, bearer, negotiate …; never with what."""
    scheme = headers.get("authorization", "").partition(" ")[0].lower()
    return scheme if scheme in _SCHEMES else None


def _user(headers: dict[str, str]) -> str | None:
    """The account of Basic or Digest (RFC 7617, 7616); never the password."""
    given = headers.get("authorization") or headers.get("proxy-authorization") or ""
    scheme, _, rest = given.partition(" ")
    if scheme.lower() == "basic":
        try:
            plain = base64.b64decode(rest.strip()[:1_024], validate=False)
        except (binascii.Error, ValueError):
            return None
        return text(plain.partition(b":")[0])[:255] or None
    found = _USER.search(rest[:2_048]) if scheme.lower() == "digest" else None
    return found.group(1) if found else None


def _split(host: str) -> tuple[str, int | None]:
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) < 6 and "]" not in port and int(port) < 65_536:
        return name, int(port)
    return host, None


def _cut(value: str | None) -> str | None:
    return value[:_MAX_VALUE] if value else None


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "application/x-riff"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/x-rar"),
    (b"MSCF\x00\x00\x00\x00", "application/vnd.ms-cab-compressed"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xca\xfe\xba\xbe", "application/x-java-applet"),
    (b"CWS", "application/x-shockwave-flash"),
    (b"FWS", "application/x-shockwave-flash"),
    (b"ZWS", "application/x-shockwave-flash"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"wOFF", "application/font-woff"),
    (b"#!", "text/x-shellscript"),
    (b"<?php", "text/x-php"),
    (b"<?xml", "application/xml"),
)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<title", b"<body", b"<script", b"<h1", b"<a href", b"<!--")
_BINARY = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


def sniff(raw: bytes) -> str | None:
    """What a body is by its first bytes; None for nothing known."""
    if not raw:
        return None
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            return kind
    if raw[:2] == b"MZ":
        return "application/x-dosexec"
    if raw[4:8] == b"ftyp":
        return "video/mp4"
    begin = raw[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = begin[:64].lower()
    if lower.startswith(_HTML):
        return "text/html"
    if _BINARY.intersection(raw[:512]):
        return None
    if begin[:1] in (b"{", b"["):
        return "text/json"
    return "text/plain"
