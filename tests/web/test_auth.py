"""Coming in: passwords, lockout, sessions, tokens, and the matrix of roles and routes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from tests.web.town import NOW, PASSWORD, PEOPLE, Browser, serving

from cityguard.app import App
from cityguard.config import Settings, WebSettings
from cityguard.errors import InputError, RefusedError
from cityguard.web import auth, server
from cityguard.web.accounts import ROLES, Accounts, LoginError
from cityguard.web.auth import PERMISSIONS
from cityguard.web.passwords import check_password, one_time_password


class Clock:
    """Time that a test moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    found = Accounts(tmp_path / "users.db", clock)
    found.add("li", PASSWORD, ["analyst"], must_change=False)
    yield found
    found.close()


def refusal(accounts: Accounts, name: str, password: str, ip: str = "10.0.0.1") -> str:
    try:
        accounts.login(name, password, ip)
    except LoginError as error:
        return error.reason
    return ""


def test_of_twenty_parallel_wrong_logins_at_most_five_are_looked_at(accounts: Accounts) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = Counter(pool.map(lambda _: refusal(accounts, "li", "wrong"), range(20)))
    assert answers["wrong"] <= 5
    assert answers["locked"] >= 15
    assert refusal(accounts, "li", PASSWORD) == "locked"


def test_a_locked_account_opens_after_fifteen_minutes_and_success_clears_the_count(
    accounts: Accounts, clock: Clock
) -> None:
    for _ in range(5):
        assert refusal(accounts, "li", "wrong") == "wrong"
    clock.now += timedelta(minutes=14, seconds=59)
    assert refusal(accounts, "li", PASSWORD) == "locked"
    clock.now += timedelta(seconds=2)
    assert refusal(accounts, "li", PASSWORD) == ""
    for _ in range(4):
        assert refusal(accounts, "li", "wrong") == "wrong"
    assert refusal(accounts, "li", PASSWORD) == ""


def test_an_address_that_tries_many_names_is_locked(accounts: Accounts) -> None:
    answers = [refusal(accounts, f"user-{n}", "wrong", "10.9.9.9") for n in range(25)]
    assert answers.count("wrong") == 20
    assert refusal(accounts, "li", PASSWORD, "10.9.9.9") == "locked"
    assert refusal(accounts, "li", PASSWORD, "10.1.1.1") == ""


def test_good_logins_use_up_no_budget(accounts: Accounts) -> None:
    for _ in range(21):
        assert refusal(accounts, "li", PASSWORD) == ""
    accounts.check("li", PASSWORD, "10.0.0.1", known=True)


def test_a_good_login_does_not_clear_what_its_address_did_to_others(accounts: Accounts) -> None:
    for n in range(19):
        assert refusal(accounts, f"user-{n}", "wrong") == "wrong"
    assert refusal(accounts, "li", PASSWORD) == ""
    assert refusal(accounts, "user-20", "wrong") == "wrong"
    assert refusal(accounts, "li", PASSWORD) == "locked"


def test_parallel_good_logins_from_one_address_lock_nobody(accounts: Accounts) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(lambda _: refusal(accounts, "li", PASSWORD), range(24)))
    assert refusal(accounts, "li", PASSWORD) == ""
    assert set(answers) <= {"", "busy", "locked"}
    assert answers[""] >= 5


def test_strangers_lock_an_account_for_strangers_and_not_where_its_owner_comes_from(
    accounts: Accounts, clock: Clock
) -> None:
    accounts.login("li", PASSWORD, "10.1.1.1")
    clock.now += timedelta(days=29)
    answers = [refusal(accounts, "li", "wrong", f"192.0.2.{n}") for n in range(8)]
    assert answers == ["wrong"] * 5 + ["locked"] * 3
    assert refusal(accounts, "li", PASSWORD, "192.0.2.99") == "locked"
    assert refusal(accounts, "li", PASSWORD, "10.1.1.1") == ""
    accounts.check("li", PASSWORD, "192.0.2.98", known=True)
    answers = [refusal(accounts, "li", "wrong", "10.1.1.1") for _ in range(6)]
    assert answers == ["wrong"] * 5 + ["locked"], "a known address has a budget, not a pass"
    clock.now += timedelta(days=31)
    answers = [refusal(accounts, "li", "wrong", f"192.0.2.{n}") for n in range(5)]
    assert refusal(accounts, "li", PASSWORD, "10.1.1.1") == "locked", "long not seen, a stranger again"


def test_an_unknown_name_costs_as_much_as_a_known_one(accounts: Accounts, clock: Clock) -> None:
    def cost(name: str) -> float:
        clock.now += timedelta(hours=1)
        began = time.perf_counter()
        assert refusal(accounts, name, "wrong") == "wrong"
        return time.perf_counter() - began

    known, unknown = min(cost("li") for _ in range(5)), min(cost("nobody") for _ in range(5))
    assert 0.4 < known / unknown < 2.5


def test_sessions_end_when_idle_when_old_and_at_logout(accounts: Accounts, clock: Clock) -> None:
    sid = accounts.login("li", PASSWORD, "")
    for _ in range(40):
        clock.now += timedelta(minutes=11, seconds=50)
        if accounts.session(sid) is None:
            break
    assert timedelta(hours=7, minutes=45) <= clock.now - NOW <= timedelta(hours=8, minutes=12)
    sid = accounts.login("li", PASSWORD, "")
    clock.now += timedelta(minutes=15, seconds=1)
    assert accounts.session(sid) is None
    sid = accounts.login("li", PASSWORD, "")
    accounts.logout(sid)
    assert accounts.session(sid) is None


@pytest.mark.parametrize("end", ["password", "disabled"])
def test_a_new_password_and_a_closed_account_end_every_session_and_token(accounts: Accounts, end: str) -> None:
    user = accounts.get("li")
    assert user
    sid = accounts.login("li", PASSWORD, "")
    _, secret = accounts.add_token(user, "script", ["analyst"], 1)
    assert accounts.session(sid)
    assert accounts.token(secret)
    if end == "password":
        accounts.set_password("li", "Another-horse-8", must_change=False)
    else:
        accounts.set_disabled("li", True)
        assert refusal(accounts, "li", PASSWORD) == "wrong"
        accounts.set_disabled("li", False)
    assert accounts.session(sid) is None
    assert accounts.token(secret) is None


def test_nothing_secret_is_stored(accounts: Accounts, tmp_path: Path) -> None:
    user = accounts.get("li")
    assert user
    sid = accounts.login("li", PASSWORD, "")
    _, secret = accounts.add_token(user, "script", ["analyst"], 90)
    accounts.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("users.db*"))
    for text in (sid, secret, secret.rpartition("_")[2], PASSWORD):
        assert text.encode() not in stored
    assert (tmp_path / "users.db").stat().st_mode & 0o077 == 0


def test_tokens_are_bounded_in_role_and_time(accounts: Accounts, clock: Clock) -> None:
    user = accounts.get("li")
    assert user
    for roles, days in ((["admin"], 1), (["analyst", "operator"], 1), (["analyst"], 91), (["analyst"], 0)):
        with pytest.raises(InputError):
            accounts.add_token(user, "x", roles, days)
    token, secret = accounts.add_token(user, "x", ["analyst"], 1)
    assert accounts.token(secret[:-1] + "x") is None
    assert accounts.token("cg_") is None
    clock.now += timedelta(days=1, seconds=1)
    assert accounts.token(secret) is None
    assert accounts.drop_token(token.id, "li")


@pytest.mark.parametrize(
    "password", ["short-A1", "aaaaaaaaaaaaA1", "alllowercaseonly", "Zhao-li-secret-1", "Admin@123456", "a" * 129]
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(InputError):
        check_password("zhao-li", password)


def test_one_time_passwords_pass_the_policy() -> None:
    for _ in range(50):
        check_password("admin", one_time_password())


def test_an_auditor_has_no_other_role_and_the_last_administrator_stays(accounts: Accounts) -> None:
    with pytest.raises(InputError):
        accounts.add("both", PASSWORD, ["auditor", "admin"])
    accounts.add("root", PASSWORD, ["admin"])
    with pytest.raises(InputError):
        accounts.set_disabled("root", True)
    with pytest.raises(InputError):
        accounts.add("li", PASSWORD, ["analyst"])


def test_the_first_run_makes_one_account_that_must_change_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(Settings(home=str(tmp_path)))
    people = auth.open_accounts(app.settings)
    server.announce(people)
    server.announce(people)
    password = re.findall(r"one-time password (\S+) ", capsys.readouterr().err)
    assert len(password) == 1
    with serving(app, people) as site:
        _first_login(site, people, password[0])
    people.close()
    app.close()


def _first_login(site: FastAPI, people: Accounts, password: str) -> None:
    browser = Browser(site).login("admin", password)
    assert browser.get("/alerts").headers["location"] == "/password"
    assert browser.get("/api/v1/alerts").status_code == 403
    page = browser.get("/password").text
    csrf = re.search(r'name="csrf" value="(\w+)"', page)
    assert csrf
    fields = {"csrf": csrf[1], "old": password, "new": "Fresh-horse-77", "again": "Fresh-horse-77"}
    old = browser.client.cookies["cityguard"]
    assert browser.send("POST", "/password", data=fields).headers["location"] == "/"
    assert people.session(old) is None
    assert browser.get("/").status_code == 200


def test_the_session_dies_on_logout_also_for_a_copied_cookie(fresh: FastAPI) -> None:
    browser = Browser(fresh).login("an")
    stolen = browser.client.cookies["cityguard"]
    answer = browser.post("/logout", {})
    assert answer.headers["location"] == "/login"
    assert 'cityguard=""' in answer.headers["set-cookie"]
    thief = Browser(fresh)
    thief.client.cookies.set("cityguard", stolen)
    assert thief.get("/").headers["location"].startswith("/login")


def test_the_session_cookie_is_out_of_reach(fresh: FastAPI) -> None:
    answer = Browser(fresh).send("POST", "/login", data={"name": "an", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    planted = Browser(fresh)
    planted.client.cookies.set("cityguard", "planted-by-attacker")
    answer = planted.send("POST", "/login", data={"name": "an", "password": PASSWORD})
    assert re.search(r"cityguard=(?!planted)[\w-]{43};", answer.headers["set-cookie"])


def test_wrong_logins_answer_the_same_and_are_audited(fresh: FastAPI) -> None:
    answers = [Browser(fresh).send("POST", "/login", data={"name": name, "password": "x"}) for name in ("an", "nobody")]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].text.replace("an", "") != ""
    shown = [re.sub(r"value=\"\w+\"|<time>.*?</time>", "", answer.text) for answer in answers]
    assert shown[0] == shown[1]
    actions = [entry.action for entry in fresh.state.city.store.records.find_audit(10)]
    assert actions.count("login.wrong") == 2


def test_a_public_address_needs_tls_and_an_account_of_its_own(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    people = auth.open_accounts(settings)
    try:
        server.check_binding(settings, "127.0.0.1", people)
        with pytest.raises(RefusedError, match="TLS"):
            server.check_binding(settings, "0.0.0.0", people)
        with_tls = replace(settings, web=WebSettings(tls_cert="c.pem", tls_key="k.pem"))
        people.first_run()
        with pytest.raises(RefusedError, match="own password"):
            server.check_binding(with_tls, "10.0.0.1", people)
        people.set_password("admin", PASSWORD, must_change=False)
        server.check_binding(with_tls, "10.0.0.1", people)
    finally:
        people.close()


def test_the_command_line_makes_lists_resets_and_closes_accounts(tmp_path: Path) -> None:
    app = App(Settings(home=str(tmp_path)))
    first = auth.add_user(app, "li", "analyst,operator")
    assert [(user.name, user.role, user.disabled) for user in auth.list_users(app)] == [
        ("li", "analyst,operator", False)
    ]
    assert auth.reset_password(app, "li") != first
    auth.add_user(app, "root", "admin")
    auth.disable(app, "li")
    assert auth.list_users(app)[0].disabled


def test_each_role_reaches_exactly_the_routes_its_permissions_name(fresh: FastAPI) -> None:
    people: Accounts = fresh.state.accounts
    clients: dict[str | None, Browser] = {None: Browser(fresh)}
    for name, roles in PEOPLE.items():
        user = people.get(name)
        assert user
        if len(roles) == 1:
            _, secret = people.add_token(user, "matrix", roles, 1)
            clients[roles[0]] = Browser(fresh, secret)
    assert set(clients) == {None, *ROLES}
    wrong = []
    for method, path, permission in fresh.state.routes:
        if (method, path) == ("POST", "/api/v1/tokens"):
            continue  # needs a session: tested alone
        for role, client in clients.items():
            url = re.sub(r"\{\w+\}", "x", path)
            body = {"json": {}} if path.startswith("/api") else {"data": {"x": "1"}}
            status = client.send(method, url, **({} if method == "GET" else body)).status_code
            may = permission == "public" or (role is not None and role in PERMISSIONS[permission])
            answered = status not in (303, 401, 403) if role is None else status not in (401, 403)
            if may and method == "POST" and path in ("/login", "/password", "/language"):
                continue  # open, but a wrong password is 401 too, and a chosen language redirects
            if answered != may:
                wrong.append((method, path, role, status))
    assert len(fresh.state.routes) > 70
    assert wrong == []


def test_a_route_without_a_permission_stops_the_start() -> None:
    bare, empty, nested = FastAPI(openapi_url=None), APIRouter(), FastAPI(openapi_url=None)
    bare.get("/x")(lambda: None)
    empty.get("/y", openapi_extra={"x-permission": "everybody"})(lambda: None)
    nested.include_router(empty)
    for site in (bare, nested, FastAPI()):
        with pytest.raises(RuntimeError):
            list(server.declared(site.routes))


def test_logging_in_again_ends_the_session_this_browser_had(fresh: FastAPI) -> None:
    browser = Browser(fresh).login("an")
    old = dict(browser.client.cookies)
    browser.login("an")
    assert dict(browser.client.cookies) != old
    assert browser.get("/alerts").status_code == 200
    browser.client.cookies.clear()
    browser.client.cookies.update(old)
    assert browser.get("/alerts").status_code == 303


def test_a_token_cannot_make_another_token(fresh: FastAPI) -> None:
    browser = Browser(fresh).login("an")
    body = {"label": "script", "roles": ["analyst"], "days": 1}
    made = browser.send("POST", "/api/v1/tokens", json=body, headers={"x-csrf-token": browser.csrf})
    assert made.status_code == 201
    secret = made.json()["secret"]
    program = Browser(fresh, secret)
    assert program.get("/api/v1/alerts").status_code == 200
    assert program.send("POST", "/api/v1/tokens", json=body).status_code == 403
    more = browser.send(
        "POST", "/api/v1/tokens", json=body | {"roles": ["admin"]}, headers={"x-csrf-token": browser.csrf}
    )
    assert more.status_code == 400
    assert secret not in browser.get("/api/v1/tokens").text
