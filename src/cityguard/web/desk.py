"""What every route stands on: the request with the installation behind it, declared permissions, and plain answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from cityguard import audit
from cityguard.app import App, moment
from cityguard.errors import ContentErrors, InputError
from cityguard.model import Query
from cityguard.register.register import Register
from cityguard.store.fields import Subject
from cityguard.store.query import parse
from cityguard.web import words
from cityguard.web.accounts import Accounts
from cityguard.web.auth import Identity, allow, me
from cityguard.web.memory import Memory
from cityguard.web.view import View, language, local
from cityguard.web.work import Work

PAGE_ROWS = 50
MAX_ROWS = 500
MAX_QUERY = 2_000
TYPES = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """One request at work."""

    request: Request
    app: App
    accounts: Accounts
    view: View
    memory: Memory
    work: Work

    @property
    def me(self) -> Identity:
        return me(self.request)

    @property
    def lang(self) -> str:
        return language(self.request, self.app.settings)

    def text(self, zh: str) -> str:
        """A phrase in the reader's language."""
        return words.speaker(self.lang)(zh)

    def page(self, name: str, status: int = 200, **values: Any) -> Response:
        book = self.book
        names = {"book": book, "system_name": _namer(book.system), "department_name": _namer(book.department)}
        return self.view.page(self.request, name, status, **(names | values))

    @property
    def book(self) -> Register:
        """The register for names on a page; an empty one while its file has faults, which its own pages tell."""
        try:
            return self.app.register
        except (ContentErrors, InputError):
            return Register.empty(zone=self.app.settings.zone)

    def note(self, action: str, object: str, detail: str = "") -> None:
        """Audit an act of the person at this desk; must come before the act."""
        audit.note(self.app.store.records, self.app.clock, self.me.actor, action, object, detail)

    def back(self, path: str, say: str = "", kind: str = "good", *, undo: bool = False) -> Response:
        """See another page after a form, with a message."""
        if say:
            self.memory.say(self.me.csrf, say, kind, undo=undo)
        return RedirectResponse(local(path), 303)

    def ask(
        self, subject: Subject, text: str, *, since: str = "", until: str = "", limit: int = PAGE_ROWS, after: str = ""
    ) -> Query:
        """A typed query with the time range and the page of a list's address.

        Raises:
            InputError: the text or a time cannot be read.
        """
        if len(text) > MAX_QUERY:
            raise InputError(f"the query has {len(text)} characters", remedy=f"at most {MAX_QUERY}")
        now = self.app.clock()
        query = parse(text, now=now, zone=self.app.settings.zone, subject=subject)
        start = _time(since, now) or query.start
        return replace(query, start=start, end=_time(until, now) or query.end, limit=limit, after=after or None)


def _namer(find: Callable[[str], Any]) -> Callable[[str | None], str]:
    """The name behind an id of the register, or the id itself."""

    def name(key: str | None) -> str:
        entry = find(key) if key else None
        return str(entry.name) if entry else key or "—"

    return name


def _time(text: str, now: datetime) -> datetime | None:
    return moment(text, now) if text else None


def desk(request: Request) -> Desk:
    """The desk of a request (a FastAPI dependency)."""
    state = request.app.state
    return Desk(request, state.city, state.accounts, state.view, state.memory, state.work)


At = Annotated[Desk, Depends(desk)]
Handler = Callable[..., Any]


class Doors:
    """A router on which no route exists without a permission (default deny)."""

    def __init__(self, prefix: str = "", *, documented: bool) -> None:
        self.router = APIRouter(prefix=prefix)
        self.documented = documented

    def get(self, path: str, permission: str) -> Callable[[Handler], Handler]:
        return self._add("GET", path, permission)

    def post(self, path: str, permission: str) -> Callable[[Handler], Handler]:
        return self._add("POST", path, permission)

    def delete(self, path: str, permission: str) -> Callable[[Handler], Handler]:
        return self._add("DELETE", path, permission)

    def _add(self, method: str, path: str, permission: str) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.router.add_api_route(
                path,
                handler,
                methods=[method],
                dependencies=[Depends(allow(permission))],
                response_model=None,
                include_in_schema=self.documented,
                summary=(handler.__doc__ or "").strip().partition("\n")[0],
                openapi_extra={"x-permission": permission},
            )
            return handler

        return add


def json(value: Any, status: int = 200) -> Response:
    """Any of our values as JSON: dataclasses, times in UTC with Z, rows of a table."""
    body = orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
    return Response(body, status, media_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)


def download(name: str, kind: str, content: bytes) -> Response:
    """A file to keep: never shown inside the site, and without rights if somebody opens it anyway."""
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    }
    return Response(content, media_type=TYPES.get(kind, "application/octet-stream"), headers=headers)


def missing(what: str) -> HTTPException:
    """The error for a record that is not there."""
    return HTTPException(404, f"no such {what}")
