"""The scanner against real servers; and that not one packet leaves when the register forbids it."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
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
from cityguard.config import ScanSettings
from cityguard.errors import DecodeError, InputError, RefusedError
from cityguard.model import Asset, Evidence, Text
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
    monkeypatch.setattr("cityguard.scan.scan.USUAL", ())


def with_ports(city: World, asset: str, *ports: int) -> None:
    told = tuple(f"{port}/tcp" for port in ports)
    assets = tuple(replace(one, ports=told) if one.id == asset else one for one in city.register.assets)
    city.register = register(assets=assets)


def probe(served: servers.Served, limits: ScanSettings = FAST) -> Port:
    host = survey([Job(served.address, "a", (served.port,))], limits)[served.address]
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
        ("127.10.0.77", "asset web-plc is a controller"),
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
    assert ot.reason.zh == "按策略不探测：位于工控网段 ot，禁止主动扫描 / in OT segment ot: never scanned actively"
    assert "in OT segment ot: never scanned actively" in ot.reason.en
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


def test_an_address_that_answers_industrial_requests_is_never_probed(city: World) -> None:
    row = {"source.ip": "127.10.0.9", "destination.ip": "127.10.0.1", "ot.protocol": "modbus", "ot.is_request": True}
    city.add("ot", [row])
    with pytest.raises(RefusedError, match="seen answering an industrial protocol"):
        scan(city, "web", targets=["127.10.0.1"])
    assert next(one for one in plan(city, "web") if one.address == "127.10.0.2").why is None


def test_passive_checks_send_nothing(city: World, only_registered: None) -> None:
    with servers.serve("127.10.0.1", servers.silent) as server:
        with_ports(city, "web-1", server.port)
        run = scan(city, "web", checks=[name for name, check in discover().items() if not check.info.active])
        assert not server.arrivals and not run.hosts
        assert len(plan(city, "web")) == 6 and not server.arrivals


def test_a_range_is_probed_address_by_address_and_a_large_one_is_refused(city: World) -> None:
    assets = (Asset("r", "段", "web", ("127.10.0.128/30",)), Asset("big", "大段", "web", ("127.10.0.0/8",)))
    with pytest.raises(Exception, match="host bits"):
        register(assets=assets)
    city.register = register(assets=(assets[0], Asset("big", "大段", "web", ("127.0.0.0/8",))))
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
                Asset("web-1", "门户一", "web", ("127.10.0.1",), ports=(f"{fine.port}/tcp",)),
                Asset("web-2", "门户二", "web", ("127.10.0.2",), ports=(f"{full.getsockname()[1]}/tcp",)),
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
        host = survey(jobs, limits)["127.10.0.1"]
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
        found = survey([Job("127.10.0.1", "a", (server.port,) * 50)], limits, stop)
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
