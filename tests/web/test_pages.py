"""Pages: attackers' words stay words, numbers equal their lists, a broken record breaks nothing else."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from fastapi import FastAPI
from tests.web.town import EVIL, Browser, Page

from cityguard.model import Query
from cityguard.store.base import Alerts
from cityguard.web import facts, words
from cityguard.web.view import HERE, local, safe_rows, visible

PATHS = (
    "/", "/alerts", "/alerts?view=list", "/alerts?q=", "/events?since=30d", "/register", "/register?tab=assets",
    "/register?tab=departments", "/register?tab=segments", "/register?tab=stations",
    "/register/systems/portal", "/scans", "/scans/portal",
    "/assessments", "/assessments?due=1", "/assessments/as1", "/assessments/as1?verdict=不符合", "/drills",
    "/drills?conclusion=失败", "/drills/d1", "/jobs", "/sources", "/rules", "/coverage",
    "/coverage?view=departments", "/coverage?view=segments", "/coverage?view=noisy", "/coverage?view=sources",
    "/crypto", "/crypto?view=systems", "/crypto?view=departments", "/crypto?view=certificates", "/crypto?view=calendar",
    "/crypto?view=posture", "/crypto?state=turned_down&days=7", "/crypto?view=certificates&problem=expired&q=a",
    "/ot", "/ot?only=changes&segment=ot&q=plc", "/ot?station=plc-01/1&master=10.0.0.7", "/ot?view=sites",
    "/ot?view=policy", "/ot?view=proposal", "/ot?view=violations", "/ot?view=stations",
    "/coverage?state=active&q=a", "/coverage?department=data", "/users", "/password",
)  # fmt: skip


def every_path(site: FastAPI) -> list[str]:
    found = site.state.city.store.alerts.find(Query())
    evidence = site.state.city.store.records.find_evidence(system="portal")
    rules = [one.id for one in (*site.state.city.ruleset.rules[:3], *site.state.city.ruleset.correlations[:2])]
    pages = [*PATHS, *(f"/coverage/{one}" for one in rules)]
    return [*pages, *(f"/alerts/{one.id}" for one in found), *(f"/evidence/{one.id}" for one in evidence)]


@pytest.mark.parametrize("lang", ["zh-CN", "en"])
def test_attackers_words_appear_as_text_on_every_page(hostile: FastAPI, lang: str) -> None:
    browser = Browser(hostile).login("all")
    browser.client.cookies.set("lang", lang)
    shown = 0
    for path in [
        *every_path(hostile),
        f"/alerts?q={EVIL[:60]}",
        f"/register?q={EVIL}",
        f"/events?q=message:{EVIL[:40]}",
    ]:
        answer = browser.get(path)
        assert answer.status_code in (200, 400), f"{path}: {answer.text[:500]}"
        page = Page(answer.text)
        assert page.faults() == [], path
        assert "\u202e" not in answer.text, path
        shown += "<img src=x onerror=alert(1)>" in page.text
    assert shown > 20


def test_the_auditor_reads_the_log_and_attackers_words_in_it_are_text(hostile: FastAPI) -> None:
    answer = Browser(hostile).login("au").get("/audit")
    assert answer.status_code == 200
    assert Page(answer.text).faults() == []
    assert "<script>alert(1)</script>" in Page(answer.text).text


def test_every_page_carries_the_strict_headers(site: FastAPI) -> None:
    browser = Browser(site).login("all")
    for path in (*PATHS, "/nothing", "/static/app.css", "/api/v1/alerts"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store"), path
        assert "server" not in headers, path


def test_each_figure_of_the_overview_equals_the_list_behind_it(site: FastAPI) -> None:
    browser = Browser(site).login("all")
    page = browser.get("/").text
    figures = re.findall(r'href="([^"]+)" data-figure="(\w+)"><b>(\d+)</b>', page)
    assert {key for _, key, _ in figures} == {one.key for one in facts.figures(site.state.city)}
    numbers = {}
    for href, key, number in figures:
        listed = browser.get(unescape(href) + ("&view=list" if href.startswith("/alerts") else ""))
        assert listed.status_code == 200
        attribute = "data-due" if key == "due" else "data-row"
        numbers[key] = int(number)
        if key not in ("silent", "unbalanced"):
            assert Page(listed.text).count(attribute) == int(number), key
    assert numbers == {"new": 4, "grave": 3, "escalated": 0, "due": 1, "failed_drills": 1, "silent": 0, "unbalanced": 0}


def test_a_group_opens_to_exactly_its_alerts(site: FastAPI) -> None:
    browser = Browser(site).login("an")
    groups = Page(browser.get("/alerts").text)
    picks = [a["value"] for tag, a in groups.elements if a.get("name") == "pick"]
    assert len(picks) == 4
    assert sorted(part.split(":")[0] for pick in picks if pick for part in pick.split(",")) == sorted(
        one.id for one in site.state.city.store.alerts.find(Query())
    )


def test_a_malformed_alert_shows_an_error_in_its_row_alone() -> None:
    class Broken:
        id = "<b>7</b>"

    def make(item: Any) -> dict[str, Any]:
        return {"id": item.id, "title": item.title}

    assert safe_rows([Broken()], make) == [{"broken": "AttributeError", "id": "<b>7</b>"}]


def test_a_list_with_a_malformed_row_still_renders(site: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    alerts: Alerts = site.state.city.store.alerts
    found = alerts.find(Query())
    bad: Any = replace(found[0], level="<catastrophe>", title=None)  # type: ignore[arg-type]
    monkeypatch.setattr(type(alerts), "find", lambda self, query: [bad, *found[1:]])
    answer = Browser(site).login("an").get("/alerts?view=list")
    assert answer.status_code == 200
    assert Page(answer.text).count("data-row") == len(found) - 1
    assert "此条记录损坏" in answer.text


def test_a_query_that_cannot_be_read_is_answered_in_place(site: FastAPI) -> None:
    browser = Browser(site).login("an")
    answer = browser.get("/alerts?q=nosuchfield:1")
    assert answer.status_code == 400
    assert "nosuchfield" in answer.text
    assert browser.get("/api/v1/alerts?q=nosuchfield:1", headers={"accept": "*/*"}).status_code == 400


def test_lists_page_by_cursor_and_keep_their_state_in_the_address(site: FastAPI) -> None:
    browser = Browser(site).login("an")
    first = browser.get("/api/v1/alerts?limit=3").json()
    second = browser.get(f"/api/v1/alerts?limit=3&after={first['after']}").json()
    assert first["total"] == 4
    ids = [one["id"] for one in (*first["items"], *second["items"])]
    assert len(ids) == len(set(ids)) == 4
    assert second["after"] is None


@pytest.mark.parametrize("path", ["//evil", "/\\evil", "https://evil", "javascript:x", "/a\nb", "\\\\evil", ""])
def test_next_never_leads_away(path: str) -> None:
    assert local(path) == "/"


def test_next_keeps_a_path_of_ours() -> None:
    assert local("/alerts?q=a") == "/alerts?q=a"


def test_hidden_characters_are_shown_as_code_points() -> None:
    assert visible("a\u202eb\x00") == "a⟨U+202E⟩b⟨U+0000⟩"


def test_every_phrase_of_the_templates_has_its_english() -> None:
    chinese = re.compile(r"""(["'])((?:(?!\1).)*[\u4e00-\u9fff](?:(?!\1).)*)\1""")
    missing = set()
    for path in sorted((HERE / "templates").glob("*.html")):
        for block in re.findall(r"{[{%].*?[}%]}", path.read_text(encoding="utf-8")):
            missing |= {f"{path.name}: {text}" for _, text in chinese.findall(block) if text not in words.EN}
    missing |= {text for text in words.LABELS.values() if text not in words.EN}
    missing -= {"alert.html: ", "base.html: 中文", "outside.html: 中文", "macros.html: 级"}
    assert missing == set()


def test_no_chinese_is_left_on_english_pages(site: FastAPI) -> None:
    browser = Browser(site).login("all")
    browser.client.cookies.set("lang", "en")
    for path in ("/password", "/rules", "/users", "/jobs"):
        main = browser.get(path).text.partition("<main")[2]
        text = re.sub(r"<[^>]+>", " ", main.partition("</main>")[0])
        left = set(re.findall(r"[\u4e00-\u9fff]+", text)) - {"样例市", "等保", "中文"}
        assert left <= {"口令爆破"} or path == "/rules", (path, left)


def test_every_route_has_a_permission_and_every_page_needs_a_login(site: FastAPI) -> None:
    anonymous = Browser(site)
    assert len(site.state.routes) > 70
    for method, path, permission in site.state.routes:
        if method != "GET":
            continue
        answer = anonymous.get(re.sub(r"\{\w+\}", "x", path))
        if permission == "public":
            assert answer.status_code == 200, path
        elif path.startswith("/api/"):
            assert answer.status_code == 401, path
        else:
            assert answer.headers["location"].startswith("/login?next="), path
