"""The page and API of cryptography in use: numbers equal their lists, filters narrow, both languages."""

from __future__ import annotations

import re

from fastapi import FastAPI
from tests.web.town import Browser, Page

from cityguard.cryptouse.posture import UNKNOWN


def test_each_figure_equals_the_list_behind_it(site: FastAPI) -> None:
    browser = Browser(site).login("op")
    page = browser.get("/crypto").text
    figures = re.findall(r'href="([^"]+)" data-figure="(\w+)"[^>]*><b>(\d+)</b>', page)
    assert len(figures) == 8
    for href, _, number in figures:
        assert browser.get(href.replace("&amp;", "&")).text.count("<tr data-row>") == int(number), href


def test_the_api_tells_the_same_and_refuses_what_it_does_not_know(site: FastAPI) -> None:
    browser = Browser(site).login("op")
    told = browser.get("/api/v1/crypto").json()
    assert told["states"] == {"national": 1, "mixed": 1, "turned_down": 1, "ordinary": 1, "unanswered": 1}
    portal = next(one for one in told["services"] if one["address"] == "10.0.0.7")
    assert portal["problems"] == ["expired", "swapped"] and portal["owner"]["department"] == "data"
    assert [one["key"] for one in told["systems"]] == ["portal", "scada", ""]
    assert told["problems"]["sometimes_turned_down"] == 1
    both = browser.get("/api/v1/crypto?problem=sometimes_turned_down").json()["services"]
    assert [(one["address"], one["state"]) for one in both] == [("10.66.10.12", "mixed")]
    assert told["clients_turned_down"] == {"10.0.9.9": 2}
    assert browser.get("/api/v1/crypto?system=scada").json()["clients_turned_down"] == {"10.0.9.9": 1}
    assert browser.get("/api/v1/crypto?system=portal").json()["clients_turned_down"] == {}
    assert browser.get("/api/v1/crypto/certificates?state=mixed&problem=expired").json()["certificates"] == []
    assert browser.get("/api/v1/crypto?days=0.5").json()["services"]
    assert browser.get("/api/v1/crypto?days=3660").status_code == 200
    assert "portal" in browser.get("/api/v1/crypto?system=portl").text
    certificates = browser.get("/api/v1/crypto/certificates?problem=expired").json()["certificates"]
    assert [one["sha256"] for one in certificates] == ["b"]
    months = browser.get("/api/v1/crypto/calendar").json()["months"]
    assert len(months) == 14 and len(months[0]["ending"]) == 1
    assert len(browser.get("/api/v1/crypto/posture?system=portal").json()["lines"]) == 6
    for query in (
        "state=good",
        "problem=bad",
        "days=0",
        "days=4000",
        "days=nan",
        "days=x",
        "system=nope",
        "department=nope",
    ):
        assert browser.get(f"/api/v1/crypto?{query}").status_code in (400, 422), query


def test_a_server_that_sometimes_turns_national_down_is_on_the_page_and_the_view_is_no_assessment(
    site: FastAPI,
) -> None:
    browser = Browser(site).login("op")
    for lang, problem, tab in (
        ("zh-CN", "有时未采用国密", "GB/T 39786 参考"),
        ("en", "National sometimes turned down", "GB/T 39786 view"),
    ):
        browser.client.cookies.set("lang", lang)
        page = browser.get("/crypto").text
        row = next(part for part in page.split("<tr data-row>") if "10.66.10.12:443</a>" in part)
        assert problem in row and tab in page and "密评参考" not in page


def test_what_cannot_be_known_is_on_the_page_in_both_languages(site: FastAPI) -> None:
    browser = Browser(site).login("op")
    for lang in ("zh-CN", "en"):
        browser.client.cookies.set("lang", lang)
        text = Page(browser.get("/crypto?view=posture").text).text
        assert all(one.get(lang) in text for one in UNKNOWN)
