"""H3C user logs: every record of every datagram, nothing from what is none, whatever the bytes."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import userlog
from cityguard.sources.lines import one_each


def header(kind: int, count: int, second: int = 1772691129) -> bytes:
    return struct.pack(">BBHIIHBB", 3, kind, count, second, 7, 1, 2, 0)


def nat44(port: int, operator: int = 2) -> bytes:
    addresses = [int(ip_address(text)) for text in ("10.20.3.15", "203.0.113.7", "192.0.2.80", "192.0.2.80")]
    tail = (1772691100, 1772691129, 12, 1840, 10, 9216, 0, 0, 5, 77, 0)
    return struct.pack(">BBBB4I4H2I4IBBHII", 6, operator, 4, 0, *addresses, port, 2201, 443, 443, *tail)


def test_all_records_of_all_datagrams_are_rows_with_their_datagrams_number() -> None:
    datagrams = [header(4, 2) + nat44(1) + nat44(2), b"nothing", header(4, 1) + nat44(3)]
    made = userlog.decoder({}).decode(one_each(datagrams))
    table = made.batches[0].table
    assert table["sport"].to_list() == [1, 2, 3]
    assert table["log.offset"].to_list() == [0, 0, 2]
    assert table["vsystem"].to_list() == [5, 5, 5]
    assert table["src_nat"].unique().to_list() == ["203.0.113.7"]
    assert made.rejected == 1
    assert made.dead[0].place == 1


def test_a_datagram_that_says_more_or_less_than_it_holds_is_no_user_log() -> None:
    whole = header(4, 1) + nat44(1)
    assert userlog.is_export(whole)
    assert not userlog.is_export(whole[:-1])
    assert not userlog.is_export(whole + b"\0")
    assert not userlog.is_export(header(4, 0))
    assert not userlog.is_export(header(4, 1, second=5) + nat44(1))
    assert not userlog.is_export(header(9, 1) + nat44(1))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=4), st.integers(0, 255))
def test_any_bytes_are_rows_or_rejected(junk: list[bytes], kind: int) -> None:
    datagrams = [*junk, header(kind, 1) + bytes(64), header(kind, 1) + bytes(76)]
    made = userlog.decoder({}).decode(one_each(datagrams))
    assert sum(len(batch) for batch in made.batches) + made.rejected == len(datagrams)
