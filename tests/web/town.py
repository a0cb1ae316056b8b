"""A small town with a real store, and a browser that logs in to its console."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import uvicorn
from fastapi import FastAPI
from tests.cryptouse import handshakes as wires
from tests.store import make

from cityguard.app import App
from cityguard.audit import Actor
from cityguard.config import Settings
from cityguard.model import (
    Alert,
    Asset,
    Chunk,
    DeadLetter,
    Decoded,
    Department,
    DrillCheck,
    DrillStep,
    EventBatch,
    Explanation,
    LogSource,
    RateResult,
    Risk,
    Schedule,
    Segment,
    Station,
    System,
    Text,
    UnitResult,
)
from cityguard.otpolicy.desk import Signature
from cityguard.register.register import Register
from cityguard.rulebook.seen import sighted
from cityguard.web import server
from cityguard.web.accounts import Accounts

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
PASSWORD = "Correct-horse-9"
PEOPLE = {
    "an": ("analyst",),
    "op": ("operator",),
    "au": ("auditor",),
    "ad": ("admin",),
    "all": ("admin", "analyst", "operator"),
}
EVIL = (
    '<img src=x onerror=alert(1)><svg/onload=alert(1)>"><script>alert(1)</script>javascript:alert(1){{7*7}}'
    "' onmouseover='alert(1)</script></title></textarea>\u202eevil"
)


def clock() -> datetime:
    return NOW


def alert(name: str, **changes: Any) -> Alert:
    return make.alert(name, at=NOW - timedelta(minutes=30), **({"system": "portal", "department": "data"} | changes))


def register(text: str = "") -> Register:
    """Two departments, three systems, four assets; ``text`` goes into every free field."""
    return Register(
        departments=(
            Department("data", f"大数据管理中心{text}", f"分管{text}", f"专员{text}", "0000-1"),
            Department("water", f"水务局{text}"),
        ),
        systems=(
            System("portal", f"政务服务平台{text}", "data", 3, 3, owner=f"责任人{text}", operator=f"运维{text}"),
            System("scada", f"水厂调度{text}", "water", 2, 3, last_assessed=(NOW - timedelta(days=400)).date()),
            System("blog", f"内部站点{text}", "data"),
        ),
        assets=(
            Asset("web-01", f"门户前端{text}", "portal", ("10.0.0.7",), "server", f"Linux{text}"),
            Asset("plc-01", f"控制器{text}", "scada", ("10.66.10.12",), "plc"),
        ),
        segments=(
            Segment("cloud", f"政务云{text}", ("10.0.0.0/16",), "政务外网", scan="passive"),
            Segment("ot", f"水厂{text}", ("10.66.0.0/16",), "工业互联网", ot=True),
        ),
        stations=(Station("mn-1", f"排口{text}", "hj212", system="scada", platforms=("10.0.0.7",), period_s=600),),
    )


def town(home: Path, text: str = "") -> App:
    """An installation with something on every page; ``text`` is an attacker's word in every free field."""
    app = App(Settings(home=str(home), city=f"样例市{text}"), clock=clock)
    app._register = (None, register(text))  # no file: this is what stands
    records = app.store.records
    events = make.flows("p1", 5, NOW - timedelta(minutes=30), message=f"登录{text}", user__name=f"root{text}")
    app.store.events.append(EventBatch("auth", f"c{text}", events.table, part="p1"))
    flows = make.flows("p2", 40, NOW - timedelta(minutes=30), destination__department=["data", f"ghost{text}"] * 20)
    app.store.events.append(handshakes(text))
    controlled(app, text)
    source = LogSource(("network",), (), ("connection",))
    for seen in (
        EventBatch("auth", f"c{text}", events.table, logsource=LogSource((), ("linux", f"x{text}"), ("sshd",))),
        EventBatch("flow", "netflow", flows.table.with_columns(**{f"x{text}": 1}), "cloud", source),
    ):
        records.add_sightings(sighted(seen, (), NOW))
    ids = tuple(sorted(events.table["event.id"].to_list()))
    evil = Text(f"口令爆破{text}", f"guessing{text}")
    app.store.alerts.merge(
        [
            alert(
                "a1", title=evil, reason=evil, advice=evil, author=text, event_ids=ids, dataset="auth",
                tags=("attack.t1110", f"x{text}"), segment=text or None, rule_id=f"rule-1{text}",
                entities={"source.ip": "10.0.0.7", "destination.ip": "192.0.2.1", "user.name": f"root{text}"},
                explanation=(Explanation(f"user.name{text}", f"root{text}", f"li{text}", 0.5),),
            ),
            alert("a2", level="critical", title=evil, entities={"host.name": f"JUMP{text}"}, rule_id="rule-2"),
            alert("a3", level="low", title=evil, system=f"ghost{text}", department=f"ghost{text}", rule_id="rule-3"),
            alert("a4", rule_id="rule-4", entities={"source.ip": "10.9.9.9", "destination.ip": "10.0.0.7"}),
        ]
    )  # fmt: skip
    proof = replace(
        make.evidence("e1", "portal", "tls", NOW), object_name=f"前端{text}", reason=evil, record=f"notAfter{text}"
    )
    records.put_evidence([proof])
    unit = UnitResult(
        "L3-CES1-01",
        "8.1.4.1 a)",
        f"身份鉴别{text}",
        f"计算环境{text}",
        "",
        f"要求{text}",
        "不符合",
        (proof.id,),
        f"因{text}",
    )
    one = make.assessment("as1", "portal", NOW)
    records.put_assessment(
        replace(
            one, system_name=f"平台{text}", results=(unit,), conclusion=f"不符合{text}", notes=(evil,),
            counts={"不符合": 1}, evidence=(proof.id,), risks=(Risk("c1", evil, "L3-CES1-01", "8.1.4.1 a)"),),
            rates=(RateResult("r", evil, evil, 0, 1, 0.0, 0.0, 50.0),), manifest={f"m{text}": text},
        )
    )  # fmt: skip
    run = make.drill("d1", "portal", NOW)
    records.put_drill(
        replace(
            run, title=f"演练{text}", reason=evil, backup=f"b{text}", conclusion="失败", problems=(text,),
            steps=(DrillStep(evil, NOW, NOW, "failed", text),), checks=(DrillCheck(f"n{text}", text, text, False),),
        )
    )  # fmt: skip
    dead = DeadLetter("fw", 7, f"bad{text}", f"raw{text}".encode())
    records.add_dead([dead])
    records.account(Chunk(f"fw{text}", "p", "line", 3, Decoded((), (dead,), 1), 2))
    records.put_schedule(Schedule("nightly", "scan", evil, "0 2 * * *", {"system": "portal"}))
    records.append_audit(f"li{text}", "127.0.0.1", f"x.y{text}", text, text, NOW)
    return app


def handshakes(text: str) -> EventBatch:
    """A server of every state, with certificates that end soon, are over, shared, swapped."""
    evil = {"server__subject": f"CN=portal{text}", "server__issuer": f"CN=CA{text}"}
    rows = [
        wires.tlcp("10.0.0.7", "a", **evil),
        wires.tlcp("10.0.0.7", "b", server__not_after=wires.day(-3), server__certificate_pair="swapped"),
        wires.tlcp("10.66.10.12", "c", server__not_after=wires.day(12)),
        wires.ordinary("10.66.10.12", "d", offered=True),
        wires.ordinary("10.0.0.9", "e", offered=True),
        wires.ordinary("10.0.0.10", "f", version="1.0", cipher="TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
        wires.seen("10.0.0.11", version="tlcp1.1", guomi=True, guomi_offered=True),
    ]
    return wires.batch("tls", rows, NOW)


def controlled(app: App, text: str) -> None:
    """Messages to controllers, a policy in force for one master, and a proposal for the rest."""
    for nth, (source, unit, klass) in enumerate(
        [("10.0.0.7", "1", "read"), ("10.0.0.7", f"2{text}", "read"), ("10.9.9.9", f"2{text}", "write")]
    ):
        table = make.flows(f"ot{nth}", 8, NOW - timedelta(minutes=30)).table.select("@timestamp", "event.id")
        told = {"source.ip": source, "destination.ip": "10.66.10.12", "ot.unit_id": unit, "ot.function.class": klass}
        told |= {"ot.protocol": "modbus", "ot.function.name": f"Deed{text}", "ot.address": f"A{text}"}
        rows = table.with_columns(pl.lit(value).alias(name) for name, value in told.items())
        batch = EventBatch("ot", "pcap", rows.with_columns(pl.lit(value=True).alias("ot.is_request")), part=f"ot{nth}")
        app.store.events.append(app.register.enrich(batch))
    who, owner = Actor("li"), f"王工{text}"[:200]
    app.ot.learn(NOW - timedelta(days=1), NOW, who)
    chosen = next(line.id for line in app.ot.propose(who).lines if line.station == "plc-01/1")
    app.ot.decide(who, Signature(owner, owner, (NOW + timedelta(days=9)).date()), accept=(chosen,))
    app.ot.decide(who, Signature(owner, owner), places=("plc-01/1",))


def people(home: Path) -> Accounts:
    """One account per role, and ``all`` with three."""
    found = Accounts(home / "users.db", clock)
    for name, roles in PEOPLE.items():
        found.add(name, PASSWORD, roles, must_change=False)
    return found


@contextmanager
def serving(app: App, accounts: Accounts) -> Iterator[FastAPI]:
    """The console on a loopback port; ``state.url`` says where, ``state.clients`` are closed at the end."""
    site = server.create(app, accounts)
    site.state.clients = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        site.state.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        running = uvicorn.Server(uvicorn.Config(site, **server.tuning(app.settings)))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not running.started:
                time.sleep(0.01)
            yield site
        finally:
            for client in site.state.clients:
                client.close()
            running.should_exit = True
            thread.join()


class Browser:
    """A client that behaves as a browser does on our own pages; ``token`` makes it a program instead."""

    def __init__(self, site: FastAPI, token: str = "") -> None:
        self.url: str = site.state.url
        self.client = httpx.Client(timeout=30)
        site.state.clients.append(self.client)
        browser = {"accept": "text/html", "sec-fetch-site": "same-origin"}
        self.client.headers.update({"authorization": f"Bearer {token}"} if token else browser)

    def login(self, name: str, password: str = PASSWORD) -> Browser:
        answer = self.send("POST", "/login", data={"name": name, "password": password, "next": "/"})
        assert answer.status_code == 303, answer.text
        return self

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.send("GET", path, **options)

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get("/password").text)
        assert found
        return found[1]

    def post(self, path: str, fields: dict[str, Any]) -> httpx.Response:
        return self.send("POST", path, data={"csrf": self.csrf, **fields})


class Page(HTMLParser):
    """What a browser would make of a page: its elements with attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def faults(self) -> list[str]:
        """Everything a strict page may not hold."""
        found = []
        for tag, attributes in self.elements:
            found += [f"{tag} {name}" for name in attributes if name.startswith("on") or name == "style"]
            links = [attributes.get(name) or "" for name in ("href", "src", "action", "formaction")]
            found += [link for link in links if link and not link.startswith(("/", "#"))]
            if tag == "script" and attributes.get("src") != "/static/app.js":
                found.append("script")
            if tag in ("iframe", "object", "embed", "base", "style", "foreignobject"):
                found.append(tag)
        return found

    def count(self, attribute: str) -> int:
        return sum(attribute in attributes for _, attributes in self.elements)
