"""Every route of the API and every key of the console is in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import FastAPI
from tests.web.town import Browser

from cityguard.web.auth import PERMISSIONS
from cityguard.web.view import HERE

DOCS = Path(__file__).parents[2] / "docs"


def test_every_route_of_the_api_is_documented_with_its_permission_and_nothing_else_is(site: FastAPI) -> None:
    rows = re.findall(
        r"^\| `([A-Z]+) (/api/v1/\S+)` \| (\w+) \|", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    routes = {route for route in site.state.routes if route[1].startswith("/api/")}
    assert len(routes) > 35
    assert set(rows) == routes


def test_permissions_and_their_roles_are_documented() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for permission, roles in PERMISSIONS.items():
        told = "anyone with an account" if permission == "self" else ", ".join(sorted(roles))
        assert f"| `{permission}` | {told} |" in text


def test_every_key_of_the_console_is_documented() -> None:
    script = (HERE / "static" / "app.js").read_text(encoding="utf-8")
    keys = re.findall(r'^  \["([^"]+)", "', script, re.MULTILINE)
    assert len(keys) > 15
    text = (DOCS / "console.md").read_text(encoding="utf-8")
    assert [key for key in keys if f"`{key}`" not in text and key != "Escape"] == []


def test_the_openapi_document_is_for_people_who_are_logged_in(site: FastAPI) -> None:
    assert Browser(site).get("/api/v1/openapi.json").status_code == 401
    document = Browser(site).login("an").get("/api/v1/openapi.json").json()
    assert "/api/v1/alerts/{alert_id}/triage" in document["paths"]
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    body = document["components"]["schemas"]["TriageBody"]
    assert body["additionalProperties"] is False


def test_the_vendor_folder_is_not_needed_by_any_page() -> None:
    for path in [*(HERE / "templates").glob("*.html"), HERE / "static" / "app.js"]:
        assert "vendor" not in path.read_text(encoding="utf-8"), path.name
