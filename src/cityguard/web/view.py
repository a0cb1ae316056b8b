"""From values to pages: templates, languages, times in the city's zone, links that keep the state of a list."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import jinja2
import orjson
from fastapi import Request
from fastapi.responses import HTMLResponse

from cityguard import __version__
from cityguard.config import Settings
from cityguard.model import Text
from cityguard.web import charts, words
from cityguard.web.auth import identify
from cityguard.web.memory import Memory

HERE = Path(__file__).parent
LANGUAGES = ("zh-CN", "en")
GIST = (
    "event.action",
    "event.outcome",
    "user.name",
    "dns.question.name",
    "tls.client.server_name",
    "ot.protocol",
    "ot.function.name",
    "ot.address",
    "rule.name",
    "network.transport",
    "network.protocol",
    "network.bytes",
)
NAVIGATION: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "态势",
        (
            ("/", "总览", "read", "o"),
            ("/alerts", "告警", "read", "a"),
            ("/chains", "攻击链", "read", "k"),
            ("/events", "事件检索", "read", "e"),
        ),
    ),
    (
        "资产与合规",
        (
            ("/register", "资产台账", "read", "r"),
            ("/scans", "检查取证", "read", "s"),
            ("/assessments", "等保自查", "read", "c"),
            ("/drills", "备份演练", "read", "d"),
            ("/crypto", "密码应用", "read", "m"),
            ("/ot", "工控", "read", "t"),
        ),
    ),
    (
        "运行",
        (
            ("/jobs", "计划任务", "read", "j"),
            ("/sources", "数据源", "read", "i"),
            ("/rules", "检测规则", "read", "l"),
            ("/coverage", "规则覆盖", "read", "v"),
        ),
    ),
    ("管理", (("/users", "账号", "users", "u"), ("/audit", "审计日志", "audit", "h"))),
)
"""Group -> (path, label, permission, key after ``g``): the menu and the keyboard share this table."""


class View:
    """Renders templates for one installation."""

    def __init__(self, settings: Settings, memory: Memory, clock: Callable[[], datetime]) -> None:
        self.settings, self.memory, self.clock = settings, memory, clock
        self.zone: ZoneInfo = settings.zone
        self.env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=lambda value: visible(value) if type(value) is str else value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.env.filters |= {
            "spoken": lambda text, lang: Text.both(str(text)).get(lang),
            "time": self.time,
            "short": self.short,
            "day": self.day,
            "pretty": pretty,
            "gist": gist,
            "segment": lambda text: quote(str(text), safe=""),
        }
        self.env.globals |= {"charts": charts, "version": __version__}

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page as a response; ``values`` are the template's own."""
        lang = language(request, self.settings)
        identity = identify(request)
        key = identity.csrf if identity else ""
        common = {
            "lang": lang,
            "_": words.speaker(lang),
            "me": identity,
            "csrf": key,
            "path": request.url.path,
            "here": here(request),
            "link": linker(request),
            "city": self.settings.city,
            "zone": self.settings.timezone,
            "now": self.clock(),
            "navigation": NAVIGATION,
            "languages": LANGUAGES,
            "flash": self.memory.take(key) if key else None,
        }
        return HTMLResponse(self.env.get_template(name).render(common | values), status)

    def time(self, moment: datetime | None) -> str:
        """A moment in the city's own time, to the second."""
        return self._format(moment, "%Y-%m-%d %H:%M:%S")

    def short(self, moment: datetime | None) -> str:
        """A moment without its year, to the minute; for dense tables."""
        return self._format(moment, "%m-%d %H:%M")

    def day(self, moment: datetime | None) -> str:
        return self._format(moment, "%Y-%m-%d")

    def _format(self, moment: datetime | None, form: str) -> str:
        if moment is None:
            return "—"
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(self.zone).strftime(form)


def language(request: Request, settings: Settings) -> str:
    """The language of a request: the reader's choice, else the installation's."""
    chosen = request.cookies.get("lang", "")
    return chosen if chosen in LANGUAGES else settings.language


def here(request: Request) -> str:
    """Path and query of the page itself, for forms that come back to it."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def linker(request: Request) -> Callable[..., str]:
    """``link(q="x", after=None)``: this page with some parameters changed; None takes one away."""

    def link(**changes: str | None) -> str:
        values = {**dict(request.query_params), **changes}
        query = urlencode({name: value for name, value in values.items() if value not in (None, "")})
        return f"{request.url.path}?{query}" if query else request.url.path

    return link


def local(path: str, default: str = "/") -> str:
    """A path of this site, whatever was asked for: the guard of every ``next``."""
    plain = path.isascii() and path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else default


def pretty(value: Any) -> str:
    """Any value as indented JSON, for reading."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()


def gist(event: Mapping[str, Any]) -> str:
    """One line that tells an event from its neighbours."""
    for name in ("event.original", "message", "process.command_line", "url.original"):
        if event.get(name):
            return str(event[name])
    told = [f"{name.rpartition('.')[2]}={event[name]}" for name in GIST if event.get(name) is not None]
    return " ".join(told) or str(event.get("event.id", ""))


def visible(text: str) -> str:
    """Text with direction overrides and control characters shown as their code points, so that nothing hides."""
    return text if text.isprintable() else "".join(_shown(c) for c in text)


def _shown(c: str) -> str:
    if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"):
        return c
    return f"⟨U+{ord(c):04X}⟩"


def safe_rows(items: Iterable[Any], make: Callable[[Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """Make a row of each item; a malformed one becomes a row that says so instead of breaking the list."""
    return [_row(item, make) for item in items]


def _row(item: Any, make: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make(item)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
        return {"broken": f"{type(error).__name__}", "id": str(getattr(item, "id", "?"))}


def page_of(items: Sequence[Any], key: Callable[[Any], str], after: str, limit: int) -> tuple[list[Any], str | None]:
    """One page of a list already in order, from behind the item named by the cursor; and the next cursor."""
    start = next((index + 1 for index, item in enumerate(items) if key(item) == after), 0) if after else 0
    page = list(items[start : start + limit])
    return page, key(page[-1]) if page and start + limit < len(items) else None
