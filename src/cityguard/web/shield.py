"""The outer wall, plain ASGI: security headers, known hosts, bounded bodies, same origin, errors without internals."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
MAX_TARGET = 8_192
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

Problem = Callable[[Scope, int, str], Response]


class TooLarge(Exception):
    """The body passed its bound while it was being read."""


class Shield:
    """Wraps the whole application. ``hosts`` may hold ``*.name`` patterns; ports are not compared."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], tls: bool, problem: Problem) -> None:
        self.app, self.hosts, self.tls, self.problem = app, hosts, tls, problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # there are none

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _dress(MutableHeaders(scope=message), self.tls, scope["path"].startswith("/static/"))
            await send(message)

        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal(scope, receive, dressed)
            return
        try:
            await self.app(scope, _bounded(receive), dressed)
        except TooLarge:
            if not started:
                await self.problem(scope, 413, "the body is larger than 1 MiB")(scope, receive, dressed)
        except Exception:  # the door of the house: whatever broke is logged, and nobody outside sees how
            reference = secrets.token_hex(4)
            log.exception("request failed, reference %s", reference)
            if not started:
                await self.problem(scope, 500, f"internal error, reference {reference}")(scope, receive, dressed)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._known(hosts[0]):
            return PlainTextResponse("unknown host\n", 400)
        if len(scope["raw_path"] or b"") + len(scope["query_string"]) > MAX_TARGET:
            return self.problem(scope, 414, "the address is too long")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return self.problem(scope, 413, "the body is larger than 1 MiB")
        if scope["method"] not in SAFE and not _same_origin(headers, hosts[0]):
            return self.problem(scope, 403, "the request came from another site")
        return None

    def _known(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "") if host.isascii() and "@" not in host else ""
        return name in self.hosts or f"*.{name.partition('.')[2]}" in self.hosts


def _same_origin(headers: Headers, host: str) -> bool:
    # Fetch Metadata decides where the browser sends it (with no-referrer, Origin is "null" even for our own forms);
    # else Origin; a program sends neither and has no cookie to abuse.
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _bounded(receive: Receive) -> Receive:
    total = 0

    async def inner() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY:
            raise TooLarge
        return message

    return inner


def _dress(headers: MutableHeaders, tls: bool, static: bool) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers["Cache-Control"] = "no-cache" if static else "no-store"
    if tls:
        headers["Strict-Transport-Security"] = "max-age=31536000"
