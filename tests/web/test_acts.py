"""What people do in the console: triage with undo, CSRF refused, downloads harmless, work started."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.web.town import NOW, Browser

from cityguard.model import Alert, Asset, Department, Query, System
from cityguard.otpolicy.matrix import Cell, Matrix
from cityguard.otpolicy.words import Names
from cityguard.register.register import Register
from cityguard.web import pages_ot


def find(site: FastAPI, rule: str) -> Alert:
    found: Alert = next(one for one in site.state.city.store.alerts.find(Query()) if one.rule_id == rule)
    return found


def test_an_alert_is_closed_with_a_verdict_and_the_act_is_audited(fresh: FastAPI) -> None:
    browser, one = Browser(fresh).login("an"), find(fresh, "rule-1")
    fields = {"do": "close-false", "version": str(one.version), "note": "授权扫描"}
    assert browser.post(f"/alerts/{one.id}", fields).status_code == 303
    closed = find(fresh, "rule-1")
    assert (closed.status, closed.verdict, closed.note, closed.owner) == ("closed", "false", "授权扫描", "an")
    entry = fresh.state.city.store.records.find_audit(1)[0]
    assert (entry.actor, entry.action, entry.object) == ("an", "alert.close", one.id)
    assert "授权扫描" in browser.get(f"/alerts/{one.id}").text


def test_a_stale_page_changes_nothing_and_says_so(fresh: FastAPI) -> None:
    browser, one = Browser(fresh).login("an"), find(fresh, "rule-1")
    for act in ("acknowledge", "escalate"):
        browser.post(f"/alerts/{one.id}", {"do": act, "version": str(one.version)})
    assert find(fresh, "rule-1").status == "acknowledged"
    assert "somebody changed" in browser.get("/alerts").text


def test_a_bulk_act_touches_exactly_the_picked_alerts_and_can_be_undone(fresh: FastAPI) -> None:
    browser = Browser(fresh).login("an")
    a, b = find(fresh, "rule-1"), find(fresh, "rule-2")
    pick = [f"{a.id}:{a.version},{b.id}:{b.version}"]
    browser.post("/alerts", {"do": "close-true", "pick": pick, "note": "确认入侵", "next": "/alerts"})
    assert {one.rule_id for one in fresh.state.city.store.alerts.find(Query()) if one.status == "closed"} == {
        "rule-1",
        "rule-2",
    }
    page = browser.get("/alerts").text
    assert 'id="undo"' in page
    assert "已处置告警 2" in page
    browser.post("/alerts/undo", {"next": "/alerts"})
    assert all(one.status == "open" and one.verdict is None for one in fresh.state.city.store.alerts.find(Query()))


def test_forms_without_the_token_or_from_elsewhere_are_refused(fresh: FastAPI) -> None:
    browser, one = Browser(fresh).login("an"), find(fresh, "rule-1")
    form = {"do": "close-false", "version": str(one.version)}
    path, csrf = f"/alerts/{one.id}", browser.csrf
    other = Browser(fresh).login("all").csrf
    assert browser.send("POST", path, data=form).status_code == 403
    assert browser.send("POST", path, data=form | {"csrf": other}).status_code == 403
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ):
        assert browser.send("POST", path, data=form | {"csrf": csrf}, headers=headers).status_code == 403
    del browser.client.headers["sec-fetch-site"]
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:81"):
        answer = browser.send("POST", path, data=form | {"csrf": csrf}, headers={"origin": origin})
        assert answer.status_code == 403, origin
    body: Any = {"version": one.version, "act": "close", "verdict": "false"}
    api = f"/api/v1{path}/triage"
    assert browser.send("POST", api, json=body).status_code == 403  # a session's cookie alone is not enough
    assert browser.send("POST", api, content="{}", headers={"content-type": "text/plain"}).status_code in (403, 422)
    assert find(fresh, "rule-1").status == "open"
    assert browser.send("POST", api, json=body, headers={"x-csrf-token": csrf}).status_code == 200


def test_unknown_hosts_long_bodies_and_odd_paths_are_refused(site: FastAPI) -> None:
    browser = Browser(site).login("an")
    for host in ("evil.example", "127.0.0.1@evil.example", "127.0.0.1.evil.example", ""):
        assert browser.get("/", headers={"host": host}).status_code == 400
    assert browser.get("/", headers={"x-forwarded-host": "evil.example"}).status_code == 200
    for path in ("/API/v1/alerts", "//api/v1/alerts", "/api/v1/alerts/", "/api/v1/alerts;x", "/.git/config", "/docs"):
        assert browser.get(path).status_code in (404, 405), path
    assert browser.get("/alerts?q=" + "a" * 9_000).status_code == 414
    assert browser.send("TRACE", "/").status_code in (403, 405)


@pytest.mark.parametrize("head", ["Content-Length: 1048577", "Transfer-Encoding: chunked", "Content-Length: -1"])
def test_a_body_above_its_bound_is_refused_before_it_is_kept(site: FastAPI, head: str) -> None:
    host, _, port = site.state.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        kind = "Content-Type: application/x-www-form-urlencoded"
        connection.sendall(f"POST /login HTTP/1.1\r\nHost: {host}\r\n{kind}\r\n{head}\r\n\r\n".encode())
        if "chunked" in head:
            for _ in range(17):
                connection.sendall(b"10000\r\n" + b"a" * 65_536 + b"\r\n")
        answer = connection.recv(64)
    assert answer.split()[1] in (b"413", b"400")


def test_an_internal_error_shows_a_reference_and_nothing_else(site: FastAPI, monkeypatch: Any) -> None:
    from cityguard.web import facts

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(facts, "sources", broken)
    answer = Browser(site).login("an").get("/api/v1/sources")
    assert answer.status_code == 500
    assert re.fullmatch(r"internal error, reference [0-9a-f]{8}", answer.json()["title"])
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_reports_download_as_attachments_without_rights(site: FastAPI) -> None:
    browser = Browser(site).login("an")
    for path in ("/assessments/as1/report.html", "/drills/d1/report.html", "/api/v1/assessments/as1/report.json"):
        answer = browser.get(path)
        assert answer.status_code == 200, answer.text[:300]
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.content) > 200
    assert browser.get("/assessments/as1/report.exe").status_code == 404
    assert browser.get("/assessments/..%2f..%2fetc/report.html").status_code == 404


def test_an_assessment_started_by_hand_is_recorded_as_a_run(fresh: FastAPI) -> None:
    browser = Browser(fresh).login("op")
    assert browser.post("/assessments", {"system": "portal"}).status_code == 303
    deadline = time.monotonic() + 20
    while fresh.state.work.waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    run = fresh.state.city.store.records.find_runs("assessment:portal")[0]
    assert run.outcome == "ok", run.detail
    assert run.by == "op"
    assert len(fresh.state.city.store.records.find_assessments("portal")) == 2
    assert browser.post("/assessments", {"system": "nowhere"}).status_code == 303
    assert "nowhere" in browser.get("/assessments").text


def test_a_drill_that_fails_and_a_target_that_is_dead_are_not_recorded_as_good(
    fresh: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    city, browser = fresh.state.city, Browser(fresh).login("op")
    monkeypatch.setattr("cityguard.scan.permission.USUAL", ())  # the registered port alone
    folder = tmp_path / "plans"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.txt").write_text("x")
    (folder / "sums").write_text(f"# taken: {NOW.isoformat()}\n{'0' * 64}  a.txt\n")
    (folder / "门户.yml").write_text(
        "id: p\ntitle: 演练\nsystem: portal\nbackup: {path: data, manifest: sums}\nrto: 1\nrpo: 24\n", encoding="utf-8"
    )
    city.settings = replace(city.settings, backups=str(folder))
    with socket.socket() as full:  # its queue of connections is full, so the kernel leaves new ones unanswered
        full.bind(("127.10.0.2", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        book, port = city.register, full.getsockname()[1]
        dead = replace(book.assets[0], addresses=("127.10.0.2",), ports=(f"{port}/tcp",))
        here = replace(book.segments[0], cidrs=("127.0.0.0/8",), scan="active")
        city._register = (None, replace(book, assets=(dead,), segments=(here,)))
        city.settings = replace(city.settings, scan=replace(city.settings.scan, timeout_s=0.3))
        for path, fields in (("/drills", {"plan": "门户"}), ("/scans", {"system": "portal"})):
            assert browser.post(path, fields).status_code == 303
        deadline = time.monotonic() + 40
        while fresh.state.work.waiting() and time.monotonic() < deadline:
            time.sleep(0.05)
        for filler in fillers:
            filler.close()
    records = city.store.records
    (run,) = records.find_runs("drill:门户")
    assert (run.outcome, run.by) == ("failed", "op"), run.detail
    assert "失败" in run.detail
    (run,) = records.find_runs("scan:portal")
    assert (run.outcome, run.targets) == ("partial", {"127.10.0.2": "no answer on any port"}), run.detail
    assert {"drill:门户", "scan:portal"} <= {one.object for one in records.find_audit(20) if one.action == "job.run"}
    assert "lock:" not in browser.get("/jobs").text + browser.get("/api/v1/runs").text


def test_unknown_form_fields_and_owners_are_refused(fresh: FastAPI) -> None:
    browser, one = Browser(fresh).login("an"), find(fresh, "rule-1")
    for fields in ({"do": "acknowledge", "case_id": "7"}, {"do": "assign", "owner": "nobody"}, {"do": "delete"}):
        browser.post(f"/alerts/{one.id}", {"version": str(one.version), **fields})
        assert find(fresh, "rule-1") == one


@pytest.mark.parametrize("moment", ["9999999999d", "0001-01-01T00:00%2B14:00", "9999-12-31T23:59:59Z", "²d", "never"])
def test_times_beyond_the_calendar_are_an_answer_and_no_error(site: FastAPI, moment: str) -> None:
    browser = Browser(site).login("an")
    for path in ("/alerts", "/events", "/api/v1/alerts", "/api/v1/events"):
        for name in ("since", "until"):
            assert browser.get(f"{path}?{name}={moment}").status_code in (200, 400), (path, name)


def test_a_register_with_faults_is_told_without_its_path_and_leaves_the_other_pages_up(
    fresh: FastAPI, tmp_path: Path
) -> None:
    file = tmp_path / "secluded" / "book.yml"
    file.parent.mkdir()
    file.write_text("systems:\n  - {id: a b, name: x}\n")
    city = fresh.state.city
    city.settings = replace(city.settings, register=str(file))
    browser = Browser(fresh).login("op")
    assert browser.get("/jobs").status_code == browser.get("/alerts").status_code == 200
    answers = [browser.get("/register"), browser.get("/api/v1/register/systems")]
    browser.post("/scans", {"system": "a"})
    told = browser.get("/jobs").text
    for answer in answers:
        assert answer.status_code == 503
    for text in (told, *(answer.text for answer in answers)):
        assert "book.yml:2" in text
        assert "secluded" not in text


def test_a_rule_is_switched_off_with_a_reason_and_on_again(fresh: FastAPI) -> None:
    city = fresh.state.city
    rule = next(one for one in city.ruleset.rules if one.id not in city.ruleset.silent)
    browser, path = Browser(fresh).login("op"), f"/coverage/{rule.id}"
    assert browser.post("/coverage", {"do": "disable", "rule": rule.id, "why": "", "next": path}).status_code == 303
    assert rule.id in {one.id for one in city.ruleset.rules}
    browser.post("/coverage", {"do": "disable", "rule": rule.id, "why": "扫描器误报", "next": path})
    assert rule.id not in {one.id for one in city.ruleset.rules}
    entry = city.store.records.find_audit(1)[0]
    assert (entry.actor, entry.action, entry.object) == ("op", "rules.disable", f"id:{rule.id}")
    page = browser.get(path).text
    assert "扫描器误报" in page
    assert 'value="enable"' in page
    assert "在下一个检查点采用" in page
    browser.client.cookies.set("lang", "en")
    assert "at their next checkpoint" in browser.get(path).text
    listed = browser.get("/api/v1/rules/coverage?state=off").json()
    assert rule.id in {one["id"] for one in listed["items"]}
    browser.post("/coverage", {"do": "enable", "rule": rule.id, "next": path})
    assert rule.id in {one.id for one in city.ruleset.rules}
    assert (
        Browser(fresh).login("an").post("/coverage", {"do": "disable", "rule": rule.id, "why": "x"}).status_code == 403
    )


def test_the_api_tells_coverage_noise_and_layers_and_switches_rules(fresh: FastAPI) -> None:
    browser = Browser(fresh).login("op")
    found = browser.get("/api/v1/rules/coverage?limit=3").json()
    assert len(found["items"]) == 3
    assert found["after"]
    assert sum(found["counts"].values()) == found["total"]
    assert all("/" not in one["place"] for one in found["items"])
    assert {one["id"] for one in found["places"]} >= {"data", "water"}
    assert {one["collector"] for one in found["sources"]} >= {"netflow"}
    noisy = browser.get("/api/v1/rules/noisy").json()
    assert {one["rule_id"] for one in noisy["items"]} >= {"rule-2", "rule-3"}
    for domain in ("enterprise", "ics"):
        layer = browser.get(f"/api/v1/rules/navigator/{domain}").json()
        assert layer["domain"] == f"{domain}-attack"
        kept = browser.get(f"/coverage/layer/{domain}.json")
        assert kept.headers["content-disposition"].startswith("attachment")
        assert {one["techniqueID"] for one in kept.json()["techniques"]} == {
            one["techniqueID"] for one in layer["techniques"]
        }
    assert browser.get("/api/v1/rules/navigator/mobile").status_code == 404
    body = {"act": "disable", "level": "critical", "why": "exercise"}
    done = browser.send("POST", "/api/v1/rules/switch", json=body, headers={"x-csrf-token": browser.csrf})
    assert done.status_code == 200, done.text
    assert done.json()["rules"] > 1
    assert all(one.head.level != "critical" for one in fresh.state.city.ruleset.rules)


def test_a_proposed_line_is_accepted_by_the_operator_and_the_act_is_audited(fresh: FastAPI) -> None:
    desk = fresh.state.city.ot
    line = next(change.line for change in desk.diff() if not change.held)
    fields = {"do": "accept", "pick": line.id, "owner": "王工", "why": "轮询", "expires": "2027-03-01", "next": "/ot"}
    assert Browser(fresh).login("an").post("/ot", fields).status_code == 403
    browser = Browser(fresh).login("op")
    assert browser.post("/ot", fields | {"why": ""}).status_code == 303
    assert desk.policy.line(line.id) is None
    assert browser.post("/ot", fields).status_code == 303
    accepted = desk.policy.line(line.id)
    assert (accepted.owner, accepted.by, str(accepted.expires)) == ("王工", "op", "2027-03-01")
    entry = fresh.state.city.store.records.find_audit(1)[0]
    assert (entry.actor, entry.action, entry.object) == ("op", "ot.accept", line.id)
    assert "王工" in entry.detail
    page = browser.get("/ot?view=policy").text
    assert line.id in page


def test_the_api_of_ot_policy_learns_decides_and_reads_back(fresh: FastAPI) -> None:
    browser = Browser(fresh).login("op")
    headers = {"accept": "application/json", "x-csrf-token": browser.csrf}
    made = browser.send("POST", "/api/v1/ot/proposal", json={"since": "24h"}, headers=headers)
    assert made.status_code == 200, made.text
    changes = browser.get("/api/v1/ot/proposal", headers=headers).json()["changes"]
    held = next(one["line"]["id"] for one in changes if one["held"])
    body = {"owner": "王工", "reason": "不需要", "reject": [held]}
    done = browser.send("POST", "/api/v1/ot/decisions", json=body, headers=headers)
    assert done.json()["rejected"] == [held]
    assert held in [one["id"] for one in browser.get("/api/v1/ot/policy", headers=headers).json()["rejected"]]
    assert browser.send("POST", "/api/v1/ot/decisions", json={"reason": "x"}, headers=headers).status_code == 400
    cells = browser.get("/api/v1/ot/matrix?since=24h", headers=headers).json()["cells"]
    assert {"read", "write"} <= {name for cell in cells for name in cell["counts"]}
    assert browser.get("/api/v1/ot/stations", headers=headers).json()["items"][0]["silent"] is True
    assert browser.get("/api/v1/ot/violations", headers=headers).json()["total"] == 0


def test_the_matrix_shows_strange_masters_first_and_every_master_on_some_page() -> None:
    asked = {"q": "", "segment": "", "only": ""}
    assets = tuple(Asset(f"m{n}", f"主机{n}", "s", (f"10.0.0.{n}",)) for n in range(1, 13))
    book = Register(departments=(Department("d", "局"),), systems=(System("s", "系统", "d"),), assets=assets)
    names, known = Names(book), [f"10.0.0.{n}" for n in range(1, 13)]
    cells = {("plc", one): Cell({"read": 1_000}) for one in known} | {("plc", "10.70.10.98"): Cell({"program": 2})}
    cells |= {("plc", "10.69.10.99"): Cell({"read": 1}), ("plc", "10.0.0.12"): Cell({"write": 1})}
    masters = (*known, "10.69.10.99", "10.70.10.98")
    seen = Matrix(NOW, NOW, 60, ("plc",), masters, cells, {"plc": {"protocol": "modbus", "segment": "", "ip": ""}})
    first = pages_ot._matrix(seen, asked, ("", ""), names)
    assert first["masters"][:3] == ["10.70.10.98", "10.0.0.12", "10.69.10.99"]
    assert set(first["unlisted"]) == {"10.70.10.98", "10.69.10.99"}
    start, every, more = first["columns"]
    assert (start, every) == (1, 14)
    second = pages_ot._matrix(seen, asked, ("", more), names)
    assert second["columns"] == (9, 14, None)
    assert sorted([*first["masters"], *second["masters"]]) == sorted(masters), "no master is out of reach"
    found = pages_ot._matrix(seen, asked | {"q": "10.70.10.98 plc"}, ("", ""), names)
    assert (found["rows"], found["masters"]) == (["plc"], ["10.70.10.98"])
    assert pages_ot._matrix(seen, asked | {"q": "10.70.10.97"}, ("", ""), names)["rows"] == []
    assert pages_ot._matrix(seen, asked | {"only": "changes"}, ("", ""), names)["masters"] == [
        "10.70.10.98", "10.0.0.12",
    ]  # fmt: skip


def test_a_search_finds_masters_and_says_truly_when_nothing_matches(site: FastAPI) -> None:
    browser = Browser(site).login("all")
    page = browser.get("/ot?since=24h&q=10.9.9.9").text
    assert 'title="10.9.9.9"' in page
    assert 'title="10.0.0.7"' not in page
    assert browser.get("/ot?since=2099-01-01").status_code == 200
    page = browser.get("/ot?since=24h&q=10.9.9.8").text
    assert "没有符合条件的站点或主站" in page
    assert "这段时间没有工控报文" not in page


def test_every_view_of_the_ot_page_is_shown(site: FastAPI, hostile: FastAPI) -> None:
    for town in (site, hostile):
        browser = Browser(town).login("all")
        for view in ("matrix", "sites", "policy", "proposal", "violations", "stations", "nothing"):
            answer = browser.get(f"/ot?view={view}&since=24h")
            assert answer.status_code == 200, view
            assert "data-figure" in answer.text
