"""NetFlow v5, v9 and IPFIX datagrams."""

from __future__ import annotations

import json
import struct
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT, SERVER, ether, ip4, udp

from cityguard.decoders import netflow
from cityguard.decoders.exports import pending, sampling, state, store
from cityguard.errors import InputError
from cityguard.model import Decoded

EXPORTED = 1_700_000_000
UPTIME = 3_600_000
A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


def five(records: int = 1, *, count: int | None = None, sampling: int = 0, sequence: int = 0) -> bytes:
    head = struct.pack(
        ">HHIIIIBBH", 5, records if count is None else count, UPTIME, EXPORTED, 0, sequence, 0, 0, sampling
    )
    times = (UPTIME - 5000, UPTIME - 1000)
    body = struct.pack(
        ">4s4s4sHHIIIIHHBBBBHHBBH", A, B, bytes(4), 3, 4, 10, 1500, *times, 1234, 443, 0, 0x1B, 6, 8, 0, 0, 0, 0, 0
    )
    return head + body * records


def a_set(number: int, body: bytes) -> bytes:
    return struct.pack(">HH", number, len(body) + 4) + body


def template(number: int, fields: list[tuple[int, int]]) -> bytes:
    return struct.pack(">HH", number, len(fields)) + b"".join(struct.pack(">HH", *field) for field in fields)


def nine(*sets: bytes, sequence: int = 0, domain: int = 1) -> bytes:
    return struct.pack(">HHIIII", 9, len(sets), UPTIME, EXPORTED, sequence, domain) + b"".join(sets)


def ten(*sets: bytes, sequence: int = 0, domain: int = 1) -> bytes:
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), EXPORTED, sequence, domain) + body


FIELDS = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8), (2, 3), (152, 8), (153, 8)]
RECORD = A + B + struct.pack(">HHB", 1234, 443, 6) + struct.pack(">Q", 1500) + b"\x00\x00\x0a"
RECORD += struct.pack(">QQ", EXPORTED * 1000 - 5000, EXPORTED * 1000 - 1000)
LEARN, DATA = a_set(2, template(256, FIELDS)), a_set(256, RECORD)


def run(
    *datagrams: bytes, peers: list[str] | None = None, one: netflow.Exports | None = None, end: bool = True
) -> Decoded:
    one = one or netflow.Exports()
    found = one.decode_from(wire.frames(datagrams), peers or ["192.0.2.1"] * len(datagrams))
    return wire.merge([found, one.flush()]) if end else found


def rows(*datagrams: bytes, **options: Any) -> list[dict[str, Any]]:
    return wire.table(run(*datagrams, **options), "flow", "netflow").to_dicts()


NINE = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8), (2, 3), (22, 4), (21, 4)]
NINE_RECORD = RECORD[:-16] + struct.pack(">II", UPTIME - 5000, UPTIME - 1000)


@pytest.mark.parametrize(
    "datagram",
    [five(), nine(a_set(0, template(256, NINE)), a_set(256, NINE_RECORD)), ten(LEARN, DATA)],
    ids=["v5", "v9", "ipfix"],
)
def test_the_same_flow_in_three_formats_is_the_same_row(datagram: bytes) -> None:
    (row,) = rows(datagram)
    assert (row["source.ip"], row["source.port"]) == (CLIENT, 1234)
    assert (row["destination.ip"], row["destination.port"]) == (SERVER, 443)
    assert (row["network.transport"], row["source.bytes"], row["source.packets"]) == ("tcp", 1500, 10)
    assert (row["network.bytes"], row["network.packets"]) == (1500, 10)
    assert row["event.start"] == row["@timestamp"] == datetime.fromtimestamp(EXPORTED - 5, UTC)
    assert row["event.end"] == datetime.fromtimestamp(EXPORTED - 1, UTC)
    assert row["event.duration"] == 4 * 10**9
    assert row["observer.ip"] == "192.0.2.1"
    assert row["log.offset"] == 1
    assert row["network.community_id"] is not None


def test_v5_carries_flags_interfaces_and_sampling() -> None:
    (row,) = rows(five(sampling=0x4000 | 100))
    assert (row["tcp.flags"], row["flow.sampling"]) == (0x1B, 100)
    assert (row["observer.ingress.interface.id"], row["observer.egress.interface.id"]) == (3, 4)
    assert row["ipClassOfService"] == 8


@pytest.mark.parametrize("count", [2, 30, 55_582, 65_535])
def test_a_header_that_counts_more_records_than_there_are_is_not_believed(count: int) -> None:
    found = run(five(1, count=count))
    assert sum(map(len, found.batches)) == 1
    assert "more records" in found.notes[0]


def test_data_before_its_template_waits_for_it() -> None:
    assert [row["log.offset"] for row in rows(ten(DATA), ten(DATA, sequence=1), ten(LEARN, sequence=2))] == [1, 2]


def test_data_whose_template_never_comes_is_rejected_and_told() -> None:
    found = run(ten(DATA), ten(DATA, DATA, sequence=1))
    assert (found.rejected, len(found.dead)) == (2, 2)
    assert found.dead[0].reason == "its template never came"
    assert any("never came" in note for note in found.notes)


def test_what_waits_for_templates_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    early = ten(a_set(300, RECORD))
    monkeypatch.setattr(pending, "MAX_PENDING", 10 * (len(RECORD) + len(early) + pending.WAITING))
    found = run(*(ten(a_set(300 + at, RECORD)) for at in range(100)), end=False)
    assert found.rejected == 90


@pytest.mark.parametrize("body", [b"", b"\x01"], ids=["empty", "one byte"])
def test_tiny_sets_that_wait_count_with_all_they_hold(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MAX_PENDING", 100_000)
    one = netflow.Exports()
    run(*(ten(a_set(300 + at, body)) + bytes(60_000) for at in range(200)), one=one, end=False)
    run(*(ten(*(a_set(300 + at, body) for at in range(2000))) for _ in range(2)), one=one, end=False)
    waiting = [datagram for sets in one._streams.pending.sets.values() for _, datagram in sets]
    held = {id(datagram): len(datagram.raw) for datagram in waiting}
    assert 0 < sum(held.values()) + 512 * len(waiting) <= 100_000
    run(one=one)
    assert (one._streams.pending.size, len(one._streams.pending.sets)) == (0, 0)


def test_templates_belong_to_their_exporter_and_domain() -> None:
    found = run(ten(LEARN), ten(DATA), ten(DATA, domain=2), peers=["192.0.2.1", "192.0.2.2", "192.0.2.1"])
    assert (sum(map(len, found.batches)), found.rejected) == (0, 2)


def test_a_template_that_changes_does_not_touch_the_data_before() -> None:
    other = template(256, [(12, 4), (8, 4), *FIELDS[2:]])
    found = rows(ten(LEARN, DATA, a_set(2, other), DATA))
    assert sorted(row["source.ip"] for row in found) == [CLIENT, SERVER]


def test_a_withdrawn_template_is_forgotten() -> None:
    for number in (256, 2):
        assert run(ten(LEARN, a_set(2, struct.pack(">HH", number, 0)), DATA)).notes


def test_a_flood_of_templates_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_TEMPLATES", 10)
    monkeypatch.setattr(store, "MAX_ALL_TEMPLATES", 50)
    one = netflow.Exports()
    flood = [ten(a_set(2, template(256 + at % 200, FIELDS)), domain=at) for at in range(1000)]
    run(*flood, peers=[f"192.0.2.{at % 250}" for at in range(1000)], one=one)
    kept = one._streams.templates
    held = [len(mine) for mine in kept.by_peer.values()]
    assert max(held) <= 10
    assert sum(held) == kept.count <= 50
    assert kept.bytes == sum(each.cost for mine in kept.by_peer.values() for each in mine.values())


def test_large_templates_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_BYTES", 200_000)
    monkeypatch.setattr(store, "MAX_ALL_BYTES", 500_000)
    one = netflow.Exports()
    for at in range(60):
        wide = a_set(2, template(256 + at, [(8, 4), *((210, 1 + at % 7),) * 300]))
        run(ten(wide, domain=at), peers=[f"192.0.2.{at % 6}"], one=one, end=False)
    kept = one._streams.templates
    each = next(iter(kept.by_peer.values()))
    assert sum(template.cost for template in each.values()) <= 200_000
    assert kept.bytes == sum(one.cost for mine in kept.by_peer.values() for one in mine.values()) <= 500_000


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">HH", 256, 65_535),
        struct.pack(">HH", 256, 65_535) + bytes(40_000),
        template(256, [(8, 0), (12, 0)]),
        template(256, [(8, 65_535)] * 3)[:-2],
        template(255, FIELDS),
        template(256, [(8, 4)] * 600),
    ],
)
def test_templates_that_cannot_be_used_are_told_and_nothing_loops(body: bytes) -> None:
    assert run(ten(a_set(2, body)), ten(DATA)).notes


def test_fields_of_variable_length_are_skipped_to_the_next_record() -> None:
    fields = [(8, 4), (371, 65_535), (12, 4), (1, 4)]
    short = A + b"\x03bob" + B + struct.pack(">I", 100)
    long = A + b"\xff\x01\x2c" + bytes(300) + B + struct.pack(">I", 200)
    found = rows(ten(a_set(2, template(256, fields)), a_set(256, short + long + short)))
    assert [row["source.bytes"] for row in found] == [100, 200, 100]
    assert {row["destination.ip"] for row in found} == {SERVER}
    assert rows(ten(a_set(2, template(256, fields)), a_set(256, A + b"\xff\xff\xff"))) == []


def test_enterprise_fields_are_passed_over_and_the_reverse_direction_is_counted() -> None:
    fields = (
        b"".join(struct.pack(">HH", *field) for field in ((8, 4), (12, 4), (1, 4)))
        + struct.pack(">HHI", 0x8000 | 1, 4, 29305)
        + struct.pack(">HHI", 0x8000 | 8, 4, 9)
    )
    learn = a_set(2, struct.pack(">HH", 256, 5) + fields)
    (row,) = rows(ten(learn, a_set(256, A + B + struct.pack(">III", 100, 40, 7))))
    assert (row["source.bytes"], row["destination.bytes"], row["network.bytes"]) == (100, 40, 140)
    assert row["source.ip"] == CLIENT


def test_cookies_and_passwords_an_exporter_tells_are_not_kept() -> None:
    fields = b"".join(struct.pack(">HH", *field) for field in ((8, 4), (12, 4)))
    fields += b"".join(struct.pack(">HHI", 0x8000 | one, 8, 5951) for one in (131, 185, 188, 189))
    learn = a_set(2, struct.pack(">HH", 256, 6) + fields)
    (row,) = rows(ten(learn, a_set(256, A + B + b"s3cret-1" * 4)))
    assert row["destination.ip"] == SERVER
    assert "s3cret" not in str(row)
    assert b"s3cret".hex() not in str(row)


def test_ipv6_and_icmp_records() -> None:
    fields = [(27, 16), (28, 16), (4, 1), (139, 2), (6, 1)]
    record = bytes(15) + b"\x01" + bytes(15) + b"\x02" + b"\x3a" + bytes([128, 0]) + b"\x00"
    (row,) = rows(ten(a_set(2, template(256, fields)), a_set(256, record)))
    assert (row["source.ip"], row["destination.ip"], row["network.transport"]) == ("::1", "::2", "ipv6-icmp")
    assert (row["icmp.type"], row["icmp.code"], row["source.port"], row["tcp.flags"]) == (128, 0, None, None)


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ([(150, 4), (151, 4)], struct.pack(">II", EXPORTED - 5, EXPORTED - 1)),
        ([(154, 8), (155, 8)], struct.pack(">IIII", EXPORTED - 5 + 2_208_988_800, 0, EXPORTED - 1 + 2_208_988_800, 0)),
        ([(156, 8), (157, 8)], struct.pack(">IIII", EXPORTED - 5 + 2_208_988_800, 0, EXPORTED - 1 + 2_208_988_800, 0)),
        ([(158, 4), (159, 4)], struct.pack(">II", 5_000_000, 1_000_000)),
        ([(152, 8), (161, 4)], struct.pack(">QI", (EXPORTED - 5) * 1000, 4000)),
    ],
)
def test_every_form_of_time_means_the_same(fields: list[tuple[int, int]], value: bytes) -> None:
    (row,) = rows(ten(a_set(2, template(256, [(8, 4), *fields])), a_set(256, A + value)))
    assert row["event.start"] == datetime.fromtimestamp(EXPORTED - 5, UTC)
    assert row["event.duration"] == 4 * 10**9


def test_an_uptime_that_wrapped_is_read_right() -> None:
    head = struct.pack(">HHIIII", 9, 2, 1000, EXPORTED, 0, 1)
    learn, data = a_set(0, template(256, [(8, 4), (22, 4)])), a_set(256, A + struct.pack(">I", 2**32 - 4000))
    (row,) = rows(head + learn + data)
    assert row["event.start"] == datetime.fromtimestamp(EXPORTED - 5, UTC)


def test_absurd_times_fall_back_to_the_export() -> None:
    (row,) = rows(ten(a_set(2, template(256, [(8, 4), (152, 8)])), a_set(256, A + b"\xff" * 8)))
    assert row["event.start"] is None
    assert row["@timestamp"] == datetime.fromtimestamp(EXPORTED, UTC)


def test_options_tell_the_sampling_rate() -> None:
    nine_options = a_set(1, struct.pack(">HHHHHHHHH", 300, 4, 8, 1, 4, 48, 1, 50, 2) + bytes(2))
    learn = a_set(0, template(256, NINE))
    data = nine(
        nine_options, a_set(300, bytes(4) + b"\x01" + struct.pack(">H", 512) + bytes(1)), learn, a_set(256, NINE_RECORD)
    )
    assert rows(data)[0]["flow.sampling"] == 512
    ten_options = a_set(3, struct.pack(">HHHHHHHHH", 300, 3, 1, 302, 4, 305, 4, 306, 4))
    ten_data = a_set(300, struct.pack(">III", 1, 1, 99))
    assert rows(ten(ten_options, ten_data, LEARN, DATA))[0]["flow.sampling"] == 100


def test_a_domain_has_its_own_sampling_rate_and_many_samplers_cost_no_time() -> None:
    learn = a_set(3, struct.pack(">HHHHHHH", 300, 2, 1, 302, 4, 305, 4))
    one = netflow.Exports()
    for domain, rate in ((1, 100), (2, 200)):
        run(ten(learn, a_set(300, struct.pack(">II", 1, rate)), LEARN, domain=domain), one=one, end=False)
    assert [row["flow.sampling"] for row in rows(ten(DATA, domain=2), ten(DATA), one=one)] == [200, 100]
    assert rows(ten(LEARN, DATA, domain=3), one=one)[0]["flow.sampling"] is None
    flood = b"".join(struct.pack(">II", at, 10) for at in range(2, 8_000))
    run(*(ten(learn, a_set(300, flood), domain=domain) for domain in range(4, 12)), one=one, end=False)
    begin = time.process_time()
    assert len(rows(*[ten(DATA)] * 2_000, one=one)) == 2_000
    assert time.process_time() - begin < 2


def test_the_oldest_sampler_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_SAMPLERS", 2)
    known = sampling.Sampling()
    for sampler, rate in ((1, 10), (2, 20), (3, 20)):
        known.learn("192.0.2.1", 7, sampler, rate)
    assert (known.rate("192.0.2.1", 7), known.rate("192.0.2.1", 8), known.rate("192.0.2.2", 7)) == (20, 20, -1)


def test_a_restart_keeps_templates_and_sampling() -> None:
    before, after = netflow.Exports(), netflow.Exports()
    learn = a_set(3, struct.pack(">HHHHHHH", 300, 2, 1, 302, 4, 305, 4))
    loose = template(257, [(8, 4), (82, 65_535), (12, 4)])
    run(ten(learn, a_set(300, struct.pack(">II", 1, 100)), LEARN, a_set(2, loose)), one=before, end=False)
    after.restore(before.snapshot())
    data = ten(DATA, a_set(257, A + b"\x02hi" + B), a_set(300, struct.pack(">II", 1, 50)), sequence=1)
    assert rows(data, one=after) == rows(data, one=before) != []
    assert after.snapshot() == before.snapshot()
    assert netflow.Exports().snapshot() == b'{"version":2,"templates":[],"sampling":[]}'


def test_sets_that_wait_for_their_template_are_waited_for_over_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = netflow.Exports(), netflow.Exports()
    run(ten(DATA, DATA), nine(DATA), one=before, end=False)
    snapshot = before.snapshot()
    after.restore(snapshot)
    assert after.snapshot() == snapshot
    assert after._streams.pending.size == before._streams.pending.size
    later = ten(LEARN, sequence=1)
    found = rows(later, one=after, end=False)
    assert found == rows(later, one=before, end=False)
    assert [row["log.offset"] for row in found] == [1, 1]
    assert after.flush().rejected == 1  # version 9's
    monkeypatch.setattr(pending, "MAX_PENDING", 100)
    with pytest.raises(InputError):
        after.restore(snapshot)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=7)))
@settings(max_examples=100, deadline=None)
def test_no_state_that_makes_no_sense_is_taken(value: object) -> None:
    for waits in (value, {"datagrams": value, "sets": []}, {"datagrams": [], "sets": value}):
        raw = json.dumps({"version": 2, "templates": [], "sampling": [], "waiting": waits}).encode()
        one = netflow.Exports()
        try:
            one.restore(raw)
        except InputError:
            assert not one._streams.pending.sets


def test_a_snapshot_is_bounded_and_keeps_what_was_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_STATE", 20_000)
    one, after = netflow.Exports(), netflow.Exports()
    run(*(ten(LEARN, domain=at) for at in range(1_000)), one=one, end=False)
    for at in range(2_000):
        one._streams.sampling.learn("192.0.2.1", 1, at, 10)
    assert len(one.snapshot()) <= 20_000
    after.restore(one.snapshot())
    kept = [domain for _, domain, _ in after._streams.templates.by_peer["192.0.2.1"]]
    assert len(kept) > 50 and kept == list(range(1_000 - len(kept), 1_000))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"version":9,"templates":[],"sampling":[]}',
        b'{"version":2,"templates":7,"sampling":[]}',
        b'{"version":2,"templates":[["a",[[9,1,256,0,[]]]]],"sampling":[]}',
        b'{"version":2,"templates":[["a",[[9,1,256,0,[[0,8,0]]]]]],"sampling":[]}',
        b'{"version":2,"templates":[["a",[[9,1,255,0,[[0,8,4]]]]]],"sampling":[]}',
        b'{"version":2,"templates":[["a",[[9,1,256,0,[[0,8,70000]]]]]],"sampling":[]}',
        b'{"version":2,"templates":[["a",[[9,1,256,false,[[0,8,4]]]]]],"sampling":[]}',
        b'{"version":2,"templates":[[1,[]]],"sampling":[]}',
        b'{"version":2,"templates":[],"sampling":[["a",1,1,0]]}',
        b'{"version":2,"templates":[],"sampling":[["a",1,true,5]]}',
        b" " * (16 << 20) + b" ",
    ],
)
def test_a_state_that_makes_no_sense_is_refused_and_changes_nothing(broken: bytes) -> None:
    one = netflow.Exports()
    run(ten(LEARN), one=one, end=False)
    with pytest.raises(InputError, match="not a state"):
        one.restore(broken)
    assert len(rows(ten(DATA), one=one)) == 1


def test_lost_datagrams_are_told_and_records_counted_right() -> None:
    assert run(five(2), five(1, sequence=2), five(1, sequence=9)).notes == ("6 flows lost from exporter 192.0.2.1",)
    assert run(ten(LEARN, DATA), ten(DATA, sequence=1), ten(DATA, sequence=2)).notes == ()
    learn = a_set(0, template(256, NINE))
    assert run(nine(learn), nine(learn, sequence=1)).notes == ()
    assert run(nine(learn), nine(learn, sequence=3)).notes


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\x00\x05", five(0), b"\x00\x07" + bytes(50), nine(), ten(), bytes(1400)]
)
def test_what_is_no_export_is_rejected_alone(raw: bytes) -> None:
    found = run(raw, five())
    assert (found.rejected, sum(map(len, found.batches))) == (1, 1)


def test_a_set_filled_up_with_zeros_ends_the_datagram() -> None:
    assert len(rows(ten(LEARN, DATA) + bytes(1000))) == 1
    assert len(rows(nine(a_set(0, template(256, NINE)), a_set(256, NINE_RECORD), bytes(1000)))) == 1


def test_exports_inside_a_capture_are_decoded_with_their_sender() -> None:
    packets = [
        ether(ip4("192.0.2.9", SERVER, 17, udp(5000, 2055, five()))),
        ether(ip4("192.0.2.8", SERVER, 17, udp(5000, 777, ten(LEARN, DATA)))),
        ether(ip4(CLIENT, SERVER, 17, udp(5000, 777, b"something else"))),
    ]
    found = wire.decode(packets)
    assert wire.table(found, "flow", "netflow")["observer.ip"].to_list() == ["192.0.2.9", "192.0.2.8"]
    assert wire.table(found, "flow").height == 3
    alone = wire.decode(packets, only="netflow")
    assert [batch.collector for batch in alone.batches] == ["netflow"]
    assert alone.rejected == 1


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError, match="no options"):
        netflow.decoder({"port": 1})


SEEDS = [
    five(2),
    nine(a_set(0, template(256, NINE)), a_set(256, NINE_RECORD)),
    ten(LEARN, DATA),
    ten(a_set(3, struct.pack(">HHHHHHHHH", 300, 3, 1, 302, 4, 305, 4, 306, 4)), a_set(300, bytes(12))),
    ten(a_set(2, template(256, [(8, 4), (371, 65_535), (156, 8)])), a_set(256, A + b"\x03bob" + bytes(8))),
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)),
        max_size=4,
    )
)
def test_no_bytes_raise_anything(damaged: list[tuple[bytes, list[tuple[int, int]]]]) -> None:
    datagrams = []
    for seed, changes in damaged:
        raw = bytearray(seed)
        for at, value in changes:
            raw[at % len(raw)] = value
        datagrams.append(bytes(raw))
    found = run(*datagrams)
    assert found.rejected <= len(datagrams)
