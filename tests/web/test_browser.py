"""The console in a real browser: no error, no request off the host, nothing clipped; pictures go to ``artifacts/``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from tests.web.town import EVIL, PASSWORD

from cityguard.audit import Actor
from cityguard.model import Query
from cityguard.otpolicy.desk import Signature

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
PICTURES = Path(__file__).parents[2] / "artifacts"
SHOWN = {
    "overview": "/",
    "chains": "/chains",
    "inbox": "/alerts",
    "register": "/register",
    "evidence": "/scans/portal",
    "assessment": "/assessments/as1",
    "drill": "/drills/d1",
    "jobs": "/jobs",
    "sources": "/sources",
    "coverage": "/coverage",
    "crypto": "/crypto",
    "crypto-certificates": "/crypto?view=certificates",
    "crypto-calendar": "/crypto?view=calendar",
    "crypto-posture": "/crypto?view=posture",
    "ot": "/ot?station=plc-01/1&master=10.0.0.7",
    "ot-sites": "/ot?view=sites",
    "ot-policy": "/ot?view=policy",
    "ot-proposal": "/ot?view=proposal",
    "ot-stations": "/ot?view=stations",
}


class Window:
    """One browser window, and everything that went wrong in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url, self.faults = url, []  # type: tuple[str, list[str]]
        self.page: Page = context.new_page()
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog {dialog.message}"))
        host = urlsplit(url).netloc
        context.on("request", lambda r: self.faults.append(r.url) if urlsplit(r.url).netloc != host else None)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def login(self) -> None:
        self.open("/login")
        self.page.fill("[name=name]", "all")
        self.page.fill("[name=password]", PASSWORD)
        self.page.press("[name=password]", "Enter")
        self.page.wait_for_url(self.url + "/")

    def picture(self, name: str) -> None:
        PICTURES.mkdir(exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def is_wider_than_the_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


TOO_WIDE = """(rows => { if (!rows) return 0; const box = getComputedStyle(rows.parentElement);
return rows.offsetWidth - rows.parentElement.clientWidth + parseFloat(box.paddingLeft) + parseFloat(box.paddingRight);
})(document.querySelector("#rows"))"""  # pixels by which the list is wider than the room it stands in


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserContext]:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing")
        pytest.skip("no /usr/bin/chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="zh-CN", reduced_motion="reduce")
        context.set_default_timeout(20_000)
        yield context
        browser.close()


@pytest.fixture
def window(chromium: BrowserContext) -> Iterator[BrowserContext]:
    chromium.clear_cookies()
    yield chromium
    for page in chromium.pages:
        page.close()


def test_pages_are_shown_without_error_or_foreign_request(window: BrowserContext, site: FastAPI) -> None:
    seen = Window(window, site.state.url)
    seen.open("/login")
    seen.picture("login")
    seen.login()
    alert = site.state.city.store.alerts.find(Query())[0]
    for name, path in {**SHOWN, "alert": f"/alerts/{alert.id}"}.items():
        seen.open(path)
        seen.picture(name)
        assert not seen.is_wider_than_the_screen(), name
    assert seen.faults == []


def test_the_views_of_the_ot_page_are_no_wider_than_the_screen_in_english_either(
    window: BrowserContext, fresh: FastAPI
) -> None:
    fresh.state.city.ot.decide(Actor("op"), Signature("Water works", "baseline"), places=("segment:ot",))
    seen = Window(window, fresh.state.url)
    seen.login()
    window.add_cookies([{"name": "lang", "value": "en", "url": fresh.state.url}])
    for view in ("matrix", "sites", "policy", "proposal", "violations", "stations"):
        seen.open(f"/ot?view={view}")
        assert not seen.is_wider_than_the_screen(), view
        over = seen.page.evaluate(TOO_WIDE)
        assert over <= 0, f"{view}: {over} px too wide"
    seen.open("/ot?view=sites")
    assert "enforced: violations are told" in seen.page.inner_text("#rows")
    assert seen.faults == []


def test_attackers_words_run_nothing_in_a_real_browser(window: BrowserContext, hostile: FastAPI) -> None:
    seen = Window(window, hostile.state.url)
    seen.login()
    alerts = hostile.state.city.store.alerts.find(Query())
    for path in [*SHOWN.values(), *(f"/alerts/{one.id}" for one in alerts), f"/alerts?q={EVIL[:40]}"]:
        seen.open(path)
        assert (
            seen.page.evaluate("document.querySelectorAll('main script, main img[src=x], main svg[onload]').length")
            == 0
        )
    assert [fault for fault in seen.faults if "400 (Bad Request)" not in fault] == []


def test_alerts_are_triaged_and_undone_with_the_keyboard_alone(window: BrowserContext, fresh: FastAPI) -> None:
    seen = Window(window, fresh.state.url)
    seen.login()
    seen.open("/alerts")
    keys = seen.page.keyboard
    keys.press("j")
    keys.press("j")
    keys.press("x")
    keys.press("j")
    keys.press("x")
    assert seen.page.inner_text("#picked").endswith("2")
    with seen.page.expect_navigation():
        keys.press("f")
    assert statuses(fresh).count("closed") == 2
    with seen.page.expect_navigation():
        keys.press("z")
    assert statuses(fresh).count("closed") == 0
    keys.press("?")
    assert seen.page.is_visible("#help")
    seen.picture("keys")
    keys.press("Escape")
    with seen.page.expect_navigation():
        keys.press("g")
        keys.press("d")
    assert urlsplit(seen.page.url).path == "/drills"
    assert seen.faults == []


def test_letters_typed_into_a_field_or_an_input_method_do_nothing(window: BrowserContext, fresh: FastAPI) -> None:
    seen = Window(window, fresh.state.url)
    seen.login()
    seen.open("/alerts")
    seen.page.keyboard.press("j")
    seen.page.fill("[name=note]", "")
    seen.page.type("[name=note]", "fbte")
    composing = (
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'f', isComposing: true, bubbles: true}))"
    )
    seen.page.evaluate(f"document.activeElement.blur(); {composing}")
    seen.page.wait_for_timeout(200)
    assert set(statuses(fresh)) == {"open"}
    assert seen.page.input_value("[name=note]") == "fbte"


def test_the_console_works_without_javascript(chromium: BrowserContext, fresh: FastAPI) -> None:
    assert chromium.browser is not None
    plain = chromium.browser.new_context(java_script_enabled=False, viewport={"width": 1366, "height": 768})
    try:
        page = plain.new_page()
        page.goto(fresh.state.url + "/login")
        page.fill("[name=name]", "an")
        page.fill("[name=password]", PASSWORD)
        page.click("button.primary")
        page.goto(fresh.state.url + "/alerts")
        page.check("#rows [name=pick] >> nth=0")
        page.click("button[value=close-benign]")
        assert "已处置告警 1" in page.inner_text(".flash")
        page.click(".flash button")
        assert set(statuses(fresh)) == {"open"}
    finally:
        plain.close()


def statuses(site: FastAPI) -> list[str]:
    return [one.status for one in site.state.city.store.alerts.find(Query())]


def test_arrow_keys_walk_the_matrix_of_masters_and_stations(window: BrowserContext, site: FastAPI) -> None:
    seen = Window(window, site.state.url)
    seen.login()
    seen.open("/ot")
    cells = seen.page.locator("[data-cell]")
    cells.first.focus()
    seen.page.keyboard.press("ArrowDown")
    where = seen.page.evaluate("document.activeElement.closest('tr').rowIndex")
    assert where == 2
    seen.page.keyboard.press("ArrowUp")
    assert seen.page.evaluate("document.activeElement.closest('tr').rowIndex") == 1
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_selector("#cell svg")
    assert seen.faults == []
