"""The console and the API as one application, and the server that carries it."""

from __future__ import annotations

import ipaddress
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from cryptography import x509
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request as PlainRequest
from starlette.routing import BaseRoute, Mount
from starlette.types import Scope

from cityguard import __version__
from cityguard.app import App
from cityguard.config import Settings
from cityguard.errors import CityguardError, ConflictError, ContentErrors, RefusedError, StoreError
from cityguard.jobs.jobs import Runner
from cityguard.web import (
    api,
    api_ot,
    pages_alerts,
    pages_assurance,
    pages_crypto,
    pages_ot,
    pages_rules,
    pages_running,
    pages_self,
)
from cityguard.web.accounts import Accounts
from cityguard.web.auth import PERMISSIONS, NeedLogin, NeedPassword, open_accounts
from cityguard.web.desk import json
from cityguard.web.memory import Memory
from cityguard.web.shield import Shield
from cityguard.web.view import HERE, View, here
from cityguard.web.wire import MAX_CONNECTIONS, Wire
from cityguard.web.work import Work

log = logging.getLogger(__name__)

DOORS = (
    pages_self.doors,
    pages_alerts.doors,
    pages_assurance.doors,
    pages_running.doors,
    pages_rules.doors,
    pages_crypto.doors,
    pages_ot.doors,
    api.doors,
    api_ot.doors,
)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TITLES = {400: "请求有误", 401: "请先登录", 403: "没有权限", 404: "没有找到", 405: "不支持的操作", 409: "已被他人修改"}


def create(app: App, accounts: Accounts | None = None, *, hosts: frozenset[str] = frozenset()) -> FastAPI:
    """Build the web application over an installation.

    Args:
        app: the installation; it stays the caller's to close.
        accounts: who may come in; opened from the data folder (and closed at shutdown) when not given.
        hosts: further names it answers to, besides loopback, the bound address and the certificate's names.

    Raises:
        RuntimeError: a route exists without a declared permission.
    """
    settings = app.settings
    owned = accounts is None
    people = accounts or open_accounts(settings)
    work, memory = Work(app), Memory()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        work.close()
        if owned:
            people.close()

    tls = bool(settings.web.tls_cert)
    site = FastAPI(
        title="cityguard", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, lifespan=life,
    )  # fmt: skip
    site.state.city, site.state.accounts, site.state.memory, site.state.work = app, people, memory, work
    site.state.view = View(settings, memory, app.clock)
    site.state.tls, site.state.cookie = tls, "__Host-cityguard" if tls else "cityguard"
    for door in DOORS:
        site.include_router(door.router)
    site.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    _handlers(site)
    site.state.routes = tuple(declared(site.routes))

    def problem(scope: Scope, status: int, text: str) -> Response:
        return _answer(PlainRequest(scope), status, text)

    site.add_middleware(Shield, hosts=LOOPBACK | hosts | _names(settings), tls=tls, problem=problem)
    return site


def serve(app: App, host: str | None = None, port: int | None = None, *, stop: threading.Event | None = None) -> None:
    """Serve until stopped by a signal or ``stop``. The first run prints the administrator's one-time password.

    Raises:
        RefusedError: another address than loopback without TLS and an account that has chosen its password.
    """
    settings = app.settings
    bind = settings.web.host if host is None else host
    accounts = open_accounts(settings)
    try:
        check_binding(settings, bind, accounts)
        announce(accounts)
        Runner(app, owner="console").load()
        site = create(app, accounts, hosts=frozenset() if bind in ("0.0.0.0", "::") else frozenset({bind}))  # noqa: S104
        at = settings.web.port if port is None else port
        server = uvicorn.Server(uvicorn.Config(site, host=bind, port=at, **tuning(settings)))
        if stop is not None:
            threading.Thread(target=_watch, args=(stop, server), daemon=True).start()
        server.run()
    finally:
        accounts.close()


def _watch(stop: threading.Event, server: uvicorn.Server) -> None:
    stop.wait()
    server.should_exit = True


def check_binding(settings: Settings, host: str, accounts: Accounts) -> None:
    """Refuse to be reachable before it is safe.

    Raises:
        RefusedError: with what to do about it.
    """
    if _is_loopback(host):
        return
    if not (settings.web.tls_cert and settings.web.tls_key):
        raise RefusedError(
            f"the console does not listen on {host} without TLS", place="web.host",
            remedy="set web.tls_cert and web.tls_key, or bind 127.0.0.1",
        )  # fmt: skip
    if all(user.must_change or user.disabled for user in accounts.users()):
        raise RefusedError(
            f"the console does not listen on {host} before an account has its own password", place="web.host",
            remedy="start it on 127.0.0.1 once, log in and choose a password",
        )  # fmt: skip


def announce(accounts: Accounts) -> None:
    """Make the first account if there is none, and print its one-time password to stderr."""
    first = accounts.first_run()
    if first is not None:
        sys.stderr.write(f"首次启动：账号 {first[0]}，一次性口令 {first[1]}（首次登录须修改）\n")
        sys.stderr.write(f"first run: user {first[0]}, one-time password {first[1]} (to be changed at first login)\n")
        sys.stderr.flush()


def tuning(settings: Settings) -> dict[str, Any]:
    """How the server itself is held: bounded headers and connections, no trust in proxies, TLS where configured."""
    web = settings.web
    return {
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # X-Forwarded-* of strangers says nothing
        "ws": "none",
        "http": Wire,  # deadlines, connections per address
        "h11_max_incomplete_event_size": 32 * 1024,
        "limit_concurrency": MAX_CONNECTIONS + 1,  # bounded by the wire, before anything is read
        "timeout_keep_alive": 15,
        "timeout_graceful_shutdown": 10,
        "ssl_certfile": str(settings.resolve(web.tls_cert)) if web.tls_cert else None,
        "ssl_keyfile": str(settings.resolve(web.tls_key)) if web.tls_key else None,
    }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(settings: Settings) -> frozenset[str]:
    """Names and addresses the certificate is for: exactly those the console may be asked by."""
    host = settings.web.host
    found = set() if host in ("0.0.0.0", "::") else {host}  # noqa: S104
    if settings.web.tls_cert:
        certificate = x509.load_pem_x509_certificate(Path(settings.resolve(settings.web.tls_cert)).read_bytes())
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset(found)
        found |= {name.lower() for name in names.get_values_for_type(x509.DNSName)}
        found |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return frozenset(found)


def declared(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, str]]:
    """(method, path, permission) of every route.

    Raises:
        RuntimeError: a route has no permission, or is of a kind that could hide one.
    """
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from declared(inner.routes)
        elif isinstance(route, APIRoute):
            permission = (route.openapi_extra or {}).get("x-permission")
            if permission != "public" and permission not in PERMISSIONS:
                raise RuntimeError(f"{route.path} has no permission")
            yield from ((method, route.path, str(permission)) for method in sorted(route.methods or ()))
        elif not (isinstance(route, Mount) and route.path == "/static"):
            raise RuntimeError(f"{route} may hide a route without a permission")


def _handlers(site: FastAPI) -> None:
    def login(request: Request, error: Exception) -> Response:
        if _is_api(request):
            return _answer(request, 401, "log in, or send a bearer token")
        to = here(request) if request.method == "GET" else "/"
        return RedirectResponse(f"/login?next={quote(to, safe='')}", 303)

    def password(request: Request, error: Exception) -> Response:
        return (
            _answer(request, 403, "change the one-time password first")
            if _is_api(request)
            else RedirectResponse("/password", 303)
        )

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        return _answer(request, error.status_code, str(error.detail))

    def body(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()[:20]]
        return _answer(request, 422, "; ".join(faults))

    def ours(request: Request, error: Exception) -> Response:
        if isinstance(error, StoreError):
            log.error("store: %s", error)
            return _answer(request, 503, "the store does not answer")
        if isinstance(error, ContentErrors):  # a file of ours has faults: nothing the reader did
            log.error("content: %s", error)
            return _answer(request, 503, error.brief)
        assert isinstance(error, CityguardError)
        status = 409 if isinstance(error, ConflictError) else 403 if isinstance(error, RefusedError) else 400
        return _answer(request, status, error.brief or "the request cannot be served")

    site.add_exception_handler(NeedLogin, login)
    site.add_exception_handler(NeedPassword, password)
    site.add_exception_handler(StarletteHTTPException, http)
    site.add_exception_handler(HTTPException, http)
    site.add_exception_handler(RequestValidationError, body)
    site.add_exception_handler(CityguardError, ours)


def _is_api(request: PlainRequest) -> bool:
    return request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", "")


def _answer(request: PlainRequest, status: int, text: str) -> Response:
    """An error: problem+json (RFC 9457) for programs, a page for people; never more than the text."""
    if not _is_api(request) and "app" in request.scope:
        try:
            view: View = request.app.state.view
            titles = {"title": TITLES.get(status, "请求无法完成"), "status_code": status, "text": text}
            return view.page(Request(request.scope), "error.html", status, **titles)
        except Exception:  # an error page that breaks must not hide the error
            log.exception("error page")
    response = json({"type": "about:blank", "title": text, "status": status}, status)
    response.headers["content-type"] = "application/problem+json"
    return response
