"""The scanner against real servers; and that not one packet leaves when the register forbids it."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checks import servers
from tests.checks.world import FAST, NOW, World, register, world

from cityguard.checks.base import CheckInfo, Found, discover
from cityguard.checks.facts import Host, Port
from cityguard.checks.ports import OT
from cityguard.config import ScanSettings
from cityguard.errors import DecodeError, InputError, RefusedError
from cityguard.model import Asset, Evidence, Text
from cityguard.register.asset_kinds import PROCESS
from cityguard.register.register import Register
from cityguard.scan import ssh as scan_ssh
from cityguard.scan import tls as scan_tls
from cityguard.scan.probe import Job, survey
from cityguard.scan.scan import ScanRun, plan, scan

ACTIVE = ["open_ports", "ssh_algorithms", "ssh_banner", "tls_certificate", "tls_cipher", "tls_version"]


@pytest.fixture
def city(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


@pytest.fixture
def only_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask only registered ports, so that what else this machine serves does not matter."""
    monkeypatch.setattr("cityguard.scan.permission.USUAL", ())


def with_ports(city: World, asset: str, *ports: int) -> None:
    told = tuple(f"{port}/tcp" for port in ports)
    assets = tuple(replace(one, ports=told) if one.id == asset else one for one in city.register.assets)
    city.register = register(assets=assets)


def probe(served: servers.Served, limits: ScanSettings = FAST) -> Port:
    host = survey([Job(served.address, "a", (served.port,))], limits, lambda job: None)[served.address]
    assert not host.failed
    return host.open[0]


def of(run: ScanRun, check: str, asset: str) -> Evidence:
    (found,) = [one for one in run.evidence if (one.check, one.object) == (check, asset)]
    return found


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("127.66.0.9", "in OT segment ot: never scanned actively"),
        ("127.66.0.200", "in OT segment ot: never scanned actively"),  # nobody registered it: the segment decides
        ("127.20.0.5", "segment office has scan: passive"),
        ("127.10.0.50", "not a registered address of system web"),  # it belongs to the plant
        ("127.10.0.99", "not a registered address of system web"),
        ("127.10.0.77", "asset web-plc is a controller (plc)"),
        ("127.99.0.1", "in no registered segment"),
        ("169.254.169.254", "not a registered address of system web"),
        *(
            (text, "not a plain IP address, or too large a range")
            for text in (
                "localhost", "127.1", "0x7f.1", "0x7f000001", "2130706433", "127.10.0.01", "::ffff:127.10.0.1",
                "::ffff:7f0a:1", "::127.10.0.1", "2002:7f0a:1::", "fe80::1%lo", "127.10.0.1:443", "127.10.0.0/24",
                "http://127.10.0.1/", "127.10.0.1\n", " 127.10.0.1", "-oN/tmp/x", "$(id)", "a;b", "", "0.0.0.0",
                "１２７.10.0.1", "255.255.255.255", "224.0.0.1", "x" * 300,
            )
        ),
    ],
)  # fmt: skip
def test_a_named_target_that_is_forbidden_is_refused_before_any_packet(
    city: World, only_registered: None, target: str, why: str
) -> None:
    forbidden = target if target.startswith("127.") and target.count(".") == 3 and target.isascii() else "127.66.0.9"
    try:
        socket.inet_aton(forbidden)
        address = socket.inet_ntoa(socket.inet_aton(forbidden.strip()))
    except OSError:
        address = "127.66.0.9"
    with servers.serve("127.10.0.1", servers.silent) as allowed, servers.serve(address, servers.silent) as other:
        assets = tuple(replace(one, ports=(f"{allowed.port}/tcp", f"{other.port}/tcp")) for one in city.register.assets)
        city.register = register(assets=assets)
        with pytest.raises(RefusedError, match="nothing was sent") as caught:
            scan(city, "web", targets=["127.10.0.1", target])
        assert caught.value.exit_code == 5
        assert why in str(caught.value)
        time.sleep(0.1)
        assert allowed.arrivals == [] and other.arrivals == []
    (told,) = plan(city, "web", targets=[target])
    assert told.why is not None and told.why.en == why and told.ports == ()


def test_a_whole_system_leaves_forbidden_assets_out_and_says_so(city: World, only_registered: None) -> None:
    with (
        servers.serve("127.10.0.1", servers.greeting) as allowed,
        servers.serve("127.66.0.9", servers.greeting, allowed.port) as forbidden,
        servers.serve("127.20.0.5", servers.greeting, allowed.port) as office,
    ):
        assets = tuple(replace(one, ports=(f"{allowed.port}/tcp",)) for one in city.register.assets)
        city.register = register(assets=assets)
        run = scan(city, "web", checks=["open_ports"])
        assert allowed.arrivals and not forbidden.arrivals and not office.arrivals
    assert of(run, "open_ports", "web-1").verdict == "符合"
    ot = of(run, "open_ports", "web-ot")
    assert ot.verdict == "未判定"
    assert ot.reason.zh == "按策略不探测：位于工控网段 ot，禁止主动扫描"
    assert ot.reason.en == "not probed by policy: in OT segment ot: never scanned actively"
    assert {target.asset: bool(target.why) for target in run.targets} == {
        "web-1": False, "web-2": False, "web-ot": True, "web-office": True, "web-plc": True, "web-nowhere": True,
    }  # fmt: skip
    assert run.exit_code == 0  # a refusal by policy is no failure


def test_an_ot_segment_forbids_even_where_a_narrower_segment_allows(city: World) -> None:
    inner = replace(city.register.segments[0], id="inner", cidrs=("127.66.0.8/30",))
    city.register = register(segments=(*city.register.segments, inner))
    found = city.register.segment_of("127.66.0.9")
    assert found is not None and found.scan == "active"
    with pytest.raises(RefusedError, match="in OT segment ot"):
        scan(city, "web", targets=["127.66.0.9"])


def why(city: World, address: str) -> str:
    (told,) = plan(city, "web", targets=[address])
    assert (told.why is None) == bool(told.ports)
    return told.why.en if told.why else ""


def seen(
    source: str, source_port: int, destination: str, port: int, answered: int | None, **more: object
) -> dict[str, object]:
    ends = {"source.ip": source, "source.port": source_port, "destination.ip": destination, "destination.port": port}
    return {**ends, "destination.packets": answered, "network.transport": "tcp", **more}


ME, PEER = "127.10.0.1", "127.10.0.9"


@pytest.mark.parametrize(
    "event",
    [
        {"source.ip": PEER, "destination.ip": ME, "ot.protocol": "modbus", "ot.is_request": True},
        {"source.ip": ME, "destination.ip": PEER, "ot.protocol": "modbus", "ot.is_request": False},  # only its answers
        {"source.ip": ME, "destination.ip": PEER, "ot.protocol": "opcua", "ot.is_request": True},  # it commands others
        {"source.ip": PEER, "destination.ip": ME, "ot.protocol": "gbt20999"},
        {"source.ip": PEER, "destination.ip": ME, "ot.protocol": "a protocol of next year"},
    ],
)
def test_an_address_in_industrial_events_is_never_probed(city: World, event: dict[str, object]) -> None:
    city.add("ot", [event])
    with pytest.raises(RefusedError, match="seen in industrial traffic"):
        scan(city, "web", targets=[ME])
    assert why(city, "127.10.0.2") == ""


@pytest.mark.parametrize(
    ("event", "refused"),
    [
        (seen(PEER, 50123, ME, 502, 5), True),
        (seen(PEER, 50123, ME, 502, 0), False),  # nobody answered
        (seen(PEER, 50123, ME, 502, None), True),  # one direction is all the exporter tells
        (seen(ME, 502, PEER, 50123, None), True),  # only the answers were exported
        (seen(PEER, 50123, ME, 44818, None), True),
        (seen(ME, 47808, PEER, 47808, None), True),
        (seen(ME, 44818, PEER, 443, None), False),  # its own port as a client, by chance
        (seen(PEER, 5236, ME, 44818, None), False),  # the answer to it
        (seen(ME, 44818, PEER, 443, 7), False),
        (seen(PEER, 50123, ME, 10502, 7, **{"network.protocol": "modbus"}), True),
        (seen(PEER, 50123, ME, 443, 7, **{"network.protocol": "tls"}), False),
    ],
)
def test_flows_to_industrial_services_forbid_a_probe(city: World, event: dict[str, object], refused: bool) -> None:
    city.add("flow", [event])
    assert why(city, ME) == ("seen in industrial traffic" if refused else "")


def test_what_one_address_of_an_asset_answers_forbids_all_of_them(city: World) -> None:
    city.register = register(assets=(Asset("web-1", "双网卡", "web", (ME, "127.30.0.1"), kind="server"),))
    city.add("flow", [seen(PEER, 50123, "127.30.0.1", 502, 5)])
    assert why(city, ME) == "seen in industrial traffic"


@pytest.mark.parametrize("addresses", [(ME, "127.66.0.77"), (ME, "127.66.0.16/28"), (ME, "127.66.0.0/16")])
def test_an_asset_with_one_foot_in_an_ot_segment_is_never_probed_on_the_other(
    city: World, addresses: tuple[str, ...]
) -> None:
    city.register = register(assets=(Asset("web-1", "双网卡", "web", addresses, kind="server"),))
    assert why(city, ME) == "asset web-1 has another address in OT segment ot"


@pytest.mark.parametrize("port", ["502/tcp", "102/tcp", "20000/tcp", "47808/udp", "4840/tcp", "2404/tcp", "44818/tcp"])
def test_an_asset_with_a_registered_industrial_port_is_never_probed(city: World, port: str) -> None:
    city.register = register(assets=(Asset("a", "甲", "web", (ME,), kind="server", ports=("443/tcp", port)),))
    assert why(city, ME).startswith(f"asset a has the industrial port {port.split('/')[0]} (")


@pytest.mark.parametrize("kind", sorted(PROCESS))
def test_no_kind_that_directs_a_process_is_ever_probed(city: World, kind: str) -> None:
    city.register = register(assets=(Asset("a", "甲", "web", (ME,), kind=kind),))
    assert why(city, ME) == f"asset a is a controller ({kind})"


def test_an_asset_of_unknown_kind_is_not_probed(city: World) -> None:
    city.register = register(assets=(Asset("a", "甲", "web", (ME,)),))
    assert why(city, ME) == "asset a has no registered kind"


def test_no_port_of_a_controller_or_a_printer_is_among_those_asked(city: World) -> None:
    city.register = register(assets=(Asset("a", "甲", "web", (ME,), kind="printer", ports=("9100/tcp", "443/tcp")),))
    (told,) = plan(city, "web", targets=[ME])
    assert 443 in told.ports and not set(told.ports) & {9100, *OT}


# ---------------------------------------------------------------- the register changes while a scan runs


class Turning(World):
    """An application whose register is the file as it stands at each moment, as the real one's is."""

    path: Path

    @property
    def register(self) -> Register:
        return Register.load(self.path)

    @register.setter
    def register(self, one: Register) -> None:
        one.save_yaml(self.path)


@pytest.fixture
def turning(tmp_path: Path) -> Iterator[Turning]:
    Turning.path = tmp_path / "register.yml"
    with world(tmp_path) as one:
        pace = replace(FAST, rate_per_s=10, timeout_s=0.3)
        yield Turning(one.store, one.register, replace(one.settings, scan=pace))


def while_it_runs(
    city: Turning, change: Callable[[], object], targets: list[str] | None = None
) -> tuple[ScanRun, int, int]:
    """Scan two hosts with ten connections a second; ``change`` happens as soon as the first one arrives."""

    def greet(connection: socket.socket) -> None:
        if len(first.arrivals) == 1:
            change()
        connection.sendall(b"220 hello\r\n")

    with servers.serve("127.10.0.1", greet) as first, servers.serve("127.10.0.2", servers.greeting) as second:
        ports = (f"{first.port}/tcp", f"{second.port}/tcp", "1/tcp", "2/tcp", "3/tcp")
        assets = (
            Asset("web-1", "甲", "web", ("127.10.0.1",), kind="server", ports=ports[:1]),
            Asset("web-2", "乙", "web", ("127.10.0.2",), kind="server", ports=(*ports[2:], ports[1])),
        )
        city.register = register(assets=assets)
        run = scan(city, "web", checks=["open_ports"], targets=targets)
        time.sleep(0.1)
        return run, len(first.arrivals), len(second.arrivals)


def test_a_segment_marked_ot_while_a_scan_runs_gets_no_more_packets(turning: Turning, only_registered: None) -> None:
    def mark() -> None:
        one = turning.register
        marked = tuple(replace(each, ot=True, scan="passive") for each in one.segments)
        turning.register = Register(one.departments, one.systems, one.assets, marked)

    run, before, after = while_it_runs(turning, mark)
    assert (before, after) == (1, 0)
    told = of(run, "open_ports", "web-2")
    assert told.verdict == "未判定"
    assert told.reason.zh == "按策略不探测：位于工控网段 cloud，禁止主动扫描"
    assert told.reason.en == "not probed by policy: in OT segment cloud: never scanned actively"
    assert {one.asset: (one.why and one.why.en, bool(one.ports)) for one in run.targets}["web-2"] == (
        "in OT segment cloud: never scanned actively",
        False,
    )


@pytest.mark.parametrize("text", ["assets: [", "segments: 7\n", None])
def test_a_register_that_cannot_be_read_any_more_ends_all_sending(
    turning: Turning, only_registered: None, text: str | None
) -> None:
    def spoil() -> None:
        turning.path.unlink() if text is None else turning.path.write_text(text, encoding="utf-8")

    run, before, after = while_it_runs(turning, spoil, ["127.10.0.1", "127.10.0.2"])
    assert (before, after) == (1, 0)
    assert "the register cannot be read" in of(run, "open_ports", "web-2").reason.en


def test_a_register_that_stays_lets_the_scan_finish(turning: Turning, only_registered: None) -> None:
    run, before, after = while_it_runs(turning, lambda: None)
    assert before and after and {one.verdict for one in run.evidence} == {"符合"}


def test_passive_checks_send_nothing(city: World, only_registered: None) -> None:
    with servers.serve("127.10.0.1", servers.silent) as server:
        with_ports(city, "web-1", server.port)
        run = scan(city, "web", checks=[name for name, check in discover().items() if not check.info.active])
        assert not server.arrivals and not run.hosts
        assert len(plan(city, "web")) == 6 and not server.arrivals


def test_a_range_is_probed_address_by_address_and_a_large_one_is_refused(city: World) -> None:
    assets = (
        Asset("r", "段", "web", ("127.10.0.128/30",), kind="server"),
        Asset("big", "大段", "web", ("127.10.0.0/8",)),
    )
    with pytest.raises(Exception, match="host bits"):
        register(assets=assets)
    city.register = register(assets=(assets[0], Asset("big", "大段", "web", ("127.0.0.0/8",), kind="server")))
    listed = {target.address: target.why and target.why.en for target in plan(city, "web")}
    assert listed == {
        "127.10.0.129": None,
        "127.10.0.130": None,
        "127.0.0.0/8": "not a plain IP address, or too large a range",
    }


def test_an_unknown_system_or_check_is_an_error(city: World) -> None:
    with pytest.raises(KeyError):
        scan(city, "nothing")
    with pytest.raises(InputError, match="no check 'tls'"):
        scan(city, "web", checks=["tls"])


# ---------------------------------------------------------------- what servers are


def test_an_old_tls_server_is_seen_with_its_versions_suites_and_certificate(tmp_path: Path) -> None:
    pem = servers.certificate(tmp_path, NOW - timedelta(days=400), 390)
    old = servers.context(pem, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2, "ALL:eNULL:@SECLEVEL=0")
    with servers.serve("127.10.0.1", servers.tls(old)) as server:
        port = probe(server)
    assert port.tls is not None and port.ssh is None
    assert port.tls.versions == ("1.0", "1.1", "1.2")
    groups = dict(port.tls.weak)
    assert {"static-rsa", "null"} <= set(groups) and not {"rc4", "des", "export"} & set(groups)
    assert groups["null"] in ("TLS_RSA_WITH_NULL_SHA", "TLS_RSA_WITH_NULL_SHA256", "TLS_ECDHE_RSA_WITH_NULL_SHA")
    made = port.tls.certificate
    assert made is not None
    assert (made.subject, made.key, made.key_bits, made.signature) == ("CN=web.example", "rsa", 2048, "sha256WithRSA")
    assert made.not_after == NOW - timedelta(days=10) and made.names == ("web.example",) and made.serial == "1267"


def test_a_tls13_server_shows_its_hidden_certificate(tmp_path: Path) -> None:
    pem = servers.certificate(tmp_path, NOW, 90, curve=True)
    new = servers.context(pem, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    with servers.serve("127.10.0.1", servers.tls(new)) as server:
        port = probe(server)
    assert port.tls is not None
    assert port.tls.versions == ("1.3",) and port.tls.weak == ()
    assert port.tls.suites == ("TLS_AES_256_GCM_SHA384",)
    assert port.tls.certificate is not None and port.tls.certificate.key == "ec"


def test_an_ssh_server_is_seen_with_banner_and_offers() -> None:
    with servers.serve("127.10.0.1", servers.ssh(servers.SSH_WEAK)) as server:
        port = probe(server)
    assert port.tls is None and port.ssh is not None
    assert port.ssh.banner == "SSH-2.0-OpenSSH_9.2p1"
    assert port.ssh.kex == ("curve25519-sha256", "diffie-hellman-group1-sha1")
    assert port.ssh.ciphers == ("aes256-gcm@openssh.com", "3des-cbc")
    assert port.ssh.host_keys == ("ssh-ed25519", "ssh-dss") and port.ssh.macs == ("hmac-sha2-256", "hmac-md5")


def test_hostile_servers_cost_little_and_say_nothing_to_a_terminal() -> None:
    def flood(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"\x1b]0;<script>alert(1)</script>\x07" * 1000)

    def liar(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"\x16\x03\x03\xff\xff" + os.urandom(65535))

    quick = replace(FAST, timeout_s=0.5)
    with servers.serve("127.10.0.1", flood) as first, servers.serve("127.10.0.1", liar) as second:
        began = time.monotonic()
        port = probe(first, quick)
        assert len(port.banner) <= 256 and port.banner.isprintable() and "\x1b" not in port.banner
        assert probe(second, quick).tls is None
        assert time.monotonic() - began < 8


def test_a_host_that_never_answers_is_failed_and_the_run_says_so(city: World, only_registered: None) -> None:
    with socket.socket() as full:  # its queue of connections is full, so the kernel leaves new ones unanswered
        full.bind(("127.10.0.2", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        time.sleep(0.1)
        with servers.serve("127.10.0.1", servers.silent) as fine:
            assets = (
                Asset("web-1", "门户一", "web", ("127.10.0.1",), kind="server", ports=(f"{fine.port}/tcp",)),
                Asset(
                    "web-2", "门户二", "web", ("127.10.0.2",), kind="server", ports=(f"{full.getsockname()[1]}/tcp",)
                ),
            )
            city.register = register(assets=assets)
            city.settings = replace(city.settings, scan=replace(FAST, timeout_s=0.3))
            run = scan(city, "web", checks=["open_ports"])
        for filler in fillers:
            filler.close()
    assert run.failed == ("127.10.0.2: no answer on any port",) and run.exit_code == 4
    assert of(run, "open_ports", "web-2").verdict == "未判定"
    assert of(run, "open_ports", "web-1").verdict == "符合"


# ---------------------------------------------------------------- limits


def test_the_rate_and_the_connections_per_host_are_kept() -> None:
    def slow(connection: socket.socket) -> None:
        time.sleep(0.05)
        connection.sendall(b"220 hello\r\n")

    with servers.serve("127.10.0.1", slow) as server:
        limits = ScanSettings(rate_per_s=20, per_host=2, timeout_s=1.0)
        jobs = [Job("127.10.0.1", "a", (server.port,) * 12)]
        began = time.monotonic()
        host = survey(jobs, limits, lambda job: None)["127.10.0.1"]
        spent = time.monotonic() - began
    assert len(host.open) == len(server.arrivals) == 12
    assert spent >= 11 / 20 and server.most_at_once <= 2


def test_a_stop_ends_all_probes_at_once() -> None:
    stop = threading.Event()
    with servers.serve("127.10.0.1", servers.silent) as server:
        limits = ScanSettings(rate_per_s=5, per_host=2, timeout_s=30.0)
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        began = time.monotonic()
        found = survey([Job("127.10.0.1", "a", (server.port,) * 50)], limits, lambda job: None, stop)
        assert time.monotonic() - began < 2
        seen = len(server.arrivals)
        time.sleep(0.3)
        assert len(server.arrivals) == seen
    assert found["127.10.0.1"].failed == "stopped"


# ---------------------------------------------------------------- runs


def test_one_scan_feeds_every_active_check(city: World, only_registered: None, tmp_path: Path) -> None:
    pem = servers.certificate(tmp_path, NOW - timedelta(days=400), 390)
    old = servers.context(pem, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2, "ALL:eNULL:@SECLEVEL=0")
    with (
        servers.serve("127.10.0.1", servers.tls(old)) as web,
        servers.serve("127.10.0.1", servers.ssh(servers.SSH_WEAK, b"SSH-1.99-old\r\n")) as shell,
    ):
        with_ports(city, "web-1", web.port, shell.port)
        run = scan(city, "web", checks=ACTIVE, targets=["127.10.0.1"])
        arrivals = len(web.arrivals)
    assert arrivals <= 16  # one knock, six versions, seven groups: shared by three checks
    verdicts = {one.check: one.verdict for one in run.evidence}
    assert verdicts == {
        "open_ports": "符合",
        "tls_version": "部分符合",
        "tls_cipher": "不符合",
        "tls_certificate": "不符合",
        "ssh_banner": "部分符合",
        "ssh_algorithms": "部分符合",
    }
    assert {one.object for one in run.evidence} == {"web-1"}  # the named target alone
    assert "expired" in of(run, "tls_certificate", "web-1").reason.en
    assert of(run, "tls_version", "web-1").valid_until == NOW + timedelta(days=30)


def test_a_broken_check_is_undecided_and_the_others_go_on(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(system: object, ctx: object) -> list[Evidence]:
        raise ZeroDivisionError("secret detail")

    info = CheckInfo("broken", Text("坏", "broken"), ("L3-CES1-01",), "核查", 7)
    monkeypatch.setitem(discover(), "broken", Found(info, burst))
    run = scan(city, "web", checks=["broken", "filing_valid"])
    assert run.failed == ("check:broken",) and run.exit_code == 4
    assert {one.check: one.verdict for one in run.evidence} == {"broken": "未判定", "filing_valid": "部分符合"}
    assert of(run, "broken", "web").reason.en == "the check broke: ZeroDivisionError"


def test_the_same_run_gives_the_same_evidence(city: World) -> None:
    checks = [name for name, check in discover().items() if not check.info.active]
    first, second = scan(city, "plant", checks=checks), scan(city, "plant", checks=checks)
    assert first.evidence == second.evidence and first.failed == ()
    assert len({one.id for one in first.evidence}) == len(first.evidence)
    assert city.store.records.put_evidence(first.evidence) == len(first.evidence)
    assert city.store.records.find_evidence(system="plant")


# ---------------------------------------------------------------- parsers


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400), st.sampled_from([b"", b"\x16\x03\x03\x00\x40\x02\x00\x00\x3c", b"\x15\x03\x01\x00\x02"])
)
def test_no_bytes_break_the_tls_parser(raw: bytes, head: bytes) -> None:
    with suppress(DecodeError):
        scan_tls.parse(head + raw)
    with suppress(DecodeError):
        scan_tls.certificate(raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"SSH-2.0-x\r\n", b"SSH-2.0-x\n\0\0\1\0\4\x14" + bytes(16)]))
def test_no_bytes_break_the_ssh_parser(raw: bytes, head: bytes) -> None:
    with suppress(DecodeError):
        scan_ssh.parse(head + raw)


def test_an_sm2_certificate_is_known_by_its_curve() -> None:
    der = bytes.fromhex(SM2)
    made = scan_tls.certificate(der)
    assert (made.key, made.key_bits, made.signature) == ("sm2", 256, "SM2WithSM3")


def test_every_hello_is_one_whole_record() -> None:
    for version in scan_tls.VERSIONS:
        hello = scan_tls.client_hello(version)
        assert hello[0] == 22 and len(hello) == 5 + int.from_bytes(hello[3:5], "big")
        assert int.from_bytes(hello[6:9], "big") == len(hello) - 9
    assert not Host("127.0.0.1", "a", failed="x").is_known


SM2 = (  # made with openssl: ecparam -name SM2, req -x509 -sm3
    "3082018130820127a003020102021419c54753c38659c6a9d3335b37d808f8767ab8cd300a06082a811ccf55018375301631"
    "14301206035504030c0b736d322e6578616d706c65301e170d3236313132313133333831365a170d33363131313831333338"
    "31365a30163114301206035504030c0b736d322e6578616d706c653059301306072a8648ce3d020106082a811ccf5501822d"
    "03420004679a5e04804b88d8e0c3b52880fd594ac050ad27ed759cd5a3fc3efcd85998005191ae72d6c09f28bf8ecdfe4c03"
    "204db3beada51a62e61303d516d77c410d05a3533051301d0603551d0e0416041485f9ba6bf964a8b6fb429644134cb0c1cc"
    "0a6815301f0603551d2304183016801485f9ba6bf964a8b6fb429644134cb0c1cc0a6815300f0603551d130101ff04053003"
    "0101ff300a06082a811ccf550183750348003045022100f3ed95b66d4486f4a2a6ebe54f9860f27c5965af35d7b7f1f9d679"
    "e6d3636a270220396def66a7d2892b6dcdac8ecdf19688d14a57876b72e422ff1fe5ab14d8d12d"
)
