"""Pages about oneself: coming in, going out, the password, the language."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.responses import RedirectResponse, Response

from cityguard import audit
from cityguard.audit import Actor
from cityguard.errors import InputError
from cityguard.web.accounts import LoginError
from cityguard.web.auth import identify, read_form, sole
from cityguard.web.desk import At, Desk, Doors
from cityguard.web.view import LANGUAGES, local

doors = Doors(documented=False)
Fields = Annotated[dict[str, list[str]], Depends(read_form)]
MESSAGES = {
    "wrong": "用户名或口令不正确",
    "locked": "尝试次数过多，请 15 分钟后再试",
    "busy": "登录请求过多，请稍后再试",
}
STATUS = {"wrong": 401, "locked": 429, "busy": 429}


@doors.get("/login", "public")
def login_page(at: At, next: str = "/") -> Response:
    """The login form."""
    if identify(at.request) is not None:
        return RedirectResponse(local(next), 303)
    return at.page("login.html", next=local(next), fault=None, who="")


@doors.post("/login", "public")
def login(at: At, fields: Fields) -> Response:
    """Check a password and open a session."""
    name, to = sole(fields, "name")[:64], local(sole(fields, "next", "/"))
    password = fields.get("password", [""])[0]
    ip = at.request.client.host if at.request.client else ""
    try:
        sid = at.accounts.login(name, password, ip)
    except LoginError as error:
        _note(at, name, ip, f"login.{error.reason}")
        return at.page("login.html", STATUS[error.reason], next=to, fault=at.text(MESSAGES[error.reason]), who=name)
    at.accounts.logout(at.request.cookies.get(at.request.app.state.cookie, ""))  # the one this browser had before
    _note(at, name, ip, "login.ok")
    response = RedirectResponse(to, 303)
    set_session(at, response, sid)
    return response


@doors.post("/logout", "self")
def logout(at: At, fields: Fields) -> Response:
    """End the session on both sides."""
    at.note("logout", at.me.name)
    at.accounts.logout(at.request.cookies.get(at.request.app.state.cookie, ""))
    response = RedirectResponse("/login", 303, headers={"Clear-Site-Data": '"cache", "storage"'})
    response.delete_cookie(at.request.app.state.cookie, path="/", secure=at.request.app.state.tls, httponly=True)
    return response


@doors.get("/password", "self")
def password_page(at: At) -> Response:
    """The form for a new password."""
    return at.page("password.html", fault=None)


@doors.post("/password", "self")
def change_password(at: At, fields: Fields) -> Response:
    """Change the password; every session of the account ends, and a new one begins."""
    old, new, again = (fields.get(name, [""])[0] for name in ("old", "new", "again"))
    name, ip = at.me.name, at.me.ip
    try:
        if new != again:
            raise InputError(at.text("两次输入的新口令不一致"))
        at.accounts.check(name, old, ip, known=True)
        at.note("password.change", name)
        at.accounts.set_password(name, new, must_change=False)
        sid = at.accounts.open_session(name, ip)
    except LoginError as error:
        return at.page("password.html", STATUS[error.reason], fault=at.text(MESSAGES[error.reason]))
    except InputError as error:
        return at.page("password.html", 400, fault=error.brief)
    response = RedirectResponse("/", 303)
    set_session(at, response, sid)
    return response


@doors.post("/language", "public")
def choose_language(at: At, fields: Fields) -> Response:
    """Keep the reader's language in a cookie."""
    response = RedirectResponse(local(sole(fields, "next", "/")), 303)
    if (chosen := sole(fields, "lang")) in LANGUAGES:
        secure = at.request.app.state.tls
        response.set_cookie("lang", chosen, max_age=31_536_000, samesite="strict", httponly=True, secure=secure)
    return response


def set_session(at: Desk, response: Response, sid: str) -> None:
    """Give the browser its session id, out of reach of scripts and of other sites."""
    secure = at.request.app.state.tls
    response.set_cookie(at.request.app.state.cookie, sid, httponly=True, samesite="strict", secure=secure, path="/")


def _note(at: Desk, name: str, ip: str, action: str) -> None:
    audit.note(at.app.store.records, at.app.clock, Actor(name, ip), action, name)
