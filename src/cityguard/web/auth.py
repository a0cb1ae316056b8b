"""Who may use which route: permissions, a request's identity, the CSRF guard, and what ``cityguard user`` calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from cityguard import crypto
from cityguard.audit import Actor
from cityguard.config import Settings
from cityguard.errors import InputError
from cityguard.web.accounts import Accounts, User
from cityguard.web.passwords import one_time_password

if TYPE_CHECKING:
    from cityguard.app import App

PERMISSIONS: dict[str, frozenset[str]] = {
    "read": frozenset({"admin", "analyst", "auditor", "operator"}),
    "triage": frozenset({"analyst"}),
    "run": frozenset({"operator"}),
    "audit": frozenset({"auditor"}),
    "users": frozenset({"admin"}),
    "self": frozenset({"admin", "analyst", "auditor", "operator"}),
}
"""Permission -> the roles that hold it. ``public`` routes need none. There is no other way in."""

MAX_FIELDS = 1_200
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, and by which door: a browser's session or a bearer token."""

    name: str
    roles: frozenset[str]
    ip: str
    csrf: str = ""  # empty for tokens: they are never sent by a browser on its own
    must_change: bool = False

    def may(self, permission: str) -> bool:
        """Whether one of the roles holds the permission."""
        return bool(self.roles & PERMISSIONS[permission])

    @property
    def actor(self) -> Actor:
        return Actor(self.name, self.ip)


class NeedLogin(Exception):
    """Nobody is logged in: browsers go to the login page, programs get 401."""


class NeedPassword(Exception):
    """The one-time password has to be changed before anything else."""


def identify(request: Request) -> Identity | None:
    """The identity behind a request, looked up once."""
    state = request.state
    if not hasattr(state, "identity"):
        state.identity = _identify(request)
    found: Identity | None = state.identity
    return found


def _identify(request: Request) -> Identity | None:
    accounts: Accounts = request.app.state.accounts
    ip = request.client.host if request.client else ""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme:
        found = accounts.token(text) if scheme.lower() == "bearer" else None
        return Identity(found[0].name, found[1], ip) if found else None
    sid = request.cookies.get(request.app.state.cookie, "")
    user = accounts.session(sid) if sid else None
    if user is None:
        return None
    return Identity(user.name, user.roles, ip, csrf_token(sid), user.must_change)


def csrf_token(sid: str) -> str:
    """The token of a session's forms: derived, so nothing is stored and another session's does not fit."""
    return crypto.mac(sid.encode(), b"csrf")


def allow(permission: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets a request through, or answers 401, 403 or the password page."""

    async def check(request: Request) -> None:
        identity = await run_in_threadpool(identify, request)
        request.state.permission = permission
        if permission == "public":
            return
        if identity is None:
            raise NeedLogin
        if identity.must_change and permission != "self":
            raise NeedPassword
        if not identity.may(permission):
            roles = ", ".join(sorted(PERMISSIONS[permission]))
            raise HTTPException(403, f"this needs one of the roles: {roles}")
        if request.method not in ("GET", "HEAD") and identity.csrf:
            await _check_csrf(request, identity)

    return check


async def _check_csrf(request: Request, identity: Identity) -> None:
    sent = request.headers.get("x-csrf-token", "")
    if not sent and request.headers.get("content-type", "").partition(";")[0] == FORM:
        value = (await _form(request)).get("csrf")
        sent = value if isinstance(value, str) else ""
    if not crypto.same(sent, identity.csrf):
        raise HTTPException(403, "the form is out of date: reload the page and try again")


async def _form(request: Request) -> FormData:
    return await request.form(max_files=0, max_fields=MAX_FIELDS)


async def read_form(request: Request) -> dict[str, list[str]]:
    """The fields of an urlencoded form, every value as text.

    Raises:
        HTTPException: 415 for any other kind of body.
    """
    if request.headers.get("content-type", "").partition(";")[0] != FORM:
        raise HTTPException(415, "a form is expected")
    fields: dict[str, list[str]] = {}
    for name, value in (await _form(request)).multi_items():
        if isinstance(value, str) and name != "csrf":
            fields.setdefault(name, []).append(value)
    return fields


def me(request: Request) -> Identity:
    """The identity of a request that ``allow`` let through."""
    found = identify(request)
    if found is None:
        raise NeedLogin
    return found


Fields = Annotated[dict[str, list[str]], Depends(read_form)]
Me = Annotated[Identity, Depends(me)]


def sole(fields: dict[str, list[str]], name: str, default: str = "") -> str:
    """The one value of a form's field."""
    values = fields.get(name, [])
    return values[0].strip() if values else default


# -- for the command line -----------------------------------------------------


def open_accounts(settings: Settings) -> Accounts:
    """The accounts of an installation; close them after use."""
    return Accounts(
        settings.home_path / "users.db",
        idle=timedelta(minutes=settings.web.idle_minutes),
        absolute=timedelta(hours=settings.web.session_hours),
    )


def add_user(app: App, name: str, role: str) -> str:
    """Create an account with one or more roles ("analyst,operator"); returns the password for its first login."""
    password = one_time_password()
    with closing(open_accounts(app.settings)) as accounts:
        accounts.add(name, password, [part.strip() for part in role.split(",")], must_change=True)
    return password


def list_users(app: App) -> list[User]:
    """Every account, by name."""
    with closing(open_accounts(app.settings)) as accounts:
        return accounts.users()


def reset_password(app: App, name: str) -> str:
    """Give an account a new password for one login; its sessions and tokens die."""
    password = one_time_password()
    with closing(open_accounts(app.settings)) as accounts:
        accounts.set_password(name, password, must_change=True)
    return password


def disable(app: App, name: str, *, disabled: bool = True) -> None:
    """Close (or open again) an account."""
    with closing(open_accounts(app.settings)) as accounts:
        accounts.set_disabled(name, disabled)


def add_token(app: App, name: str, label: str, role: str, days: int = 90) -> str:
    """Make a bearer token for an account; returns its secret, shown this once."""
    with closing(open_accounts(app.settings)) as accounts:
        user = accounts.get(name)
        if user is None:
            raise InputError(f"no user '{name}'", remedy="cityguard user list")
        return accounts.add_token(user, label, [part.strip() for part in role.split(",")], days)[1]
