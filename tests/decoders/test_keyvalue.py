"""key=value bodies: pairs come back, whatever the values hold."""

from __future__ import annotations

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import auditd, keyvalue
from cityguard.decoders.keyvalue import pairs
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)

key = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
value = st.from_regex(r"[a-z0-9/:.][a-z0-9/:. (]{0,10}[a-z0-9/:]", fullmatch=True)
bodies = st.lists(st.dictionaries(key, value, min_size=1, max_size=6), min_size=1, max_size=5)


@unhurried
@given(bodies)
def test_pairs_with_commas_come_back(rows: list[dict[str, str]]) -> None:
    text = [", ".join(f"{name}={one}" for name, one in row.items()) for row in rows]
    found = pairs(pl.Series(text))[0].to_dicts()
    assert [{name: one for name, one in row.items() if one is not None} for row in found] == rows


@unhurried
@given(bodies)
def test_quoted_pairs_come_back(rows: list[dict[str, str]]) -> None:
    text = [" ".join(f'{name}="{one}"' for name, one in row.items()) for row in rows]
    found = pairs(pl.Series(text), "space")[0].to_dicts()
    assert [{name: one for name, one in row.items() if one is not None} for row in found] == rows


@unhurried
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_text_gives_one_row_each(text: list[str]) -> None:
    assert pairs(pl.Series(text))[0].height in (0, len(text))


def test_values_with_separators_and_repeated_keys() -> None:
    table = pairs(pl.Series(['a="x, y", b=1, 2, c=(z), a=second, d=']))[0]
    assert table.to_dicts() == [{"a": "x, y", "b": "1, 2", "c": "(z)", "d": None}]


def test_many_keys_are_bounded() -> None:
    table = pairs(pl.Series([", ".join(f"k{n}=1" for n in range(5000))]))[0]
    assert table.width == keyvalue.MAX_KEYS


RECORDS = [
    b'type=SYSCALL msg=audit(1772691129.250:501): syscall=59 success=yes pid=812 uid=0 comm="cat" exe="/usr/bin/cat"',
    b'type=EXECVE msg=audit(1772691129.250:501): argc=2 a0="cat" a1=2F746D702F6120622020',
    b'type=SYSCALL msg=audit(1772691130.250:502): syscall=2 success=no pid=813 uid=0 a0=1000 comm="id"',
]


def commands(pieces: list[list[bytes]]) -> list[str]:
    decoder, done = auditd.decoder({}), []
    for index, piece in enumerate(pieces):
        done.append(decoder.decode(one_each(piece, first=index * 10)))
    done.append(decoder.flush())
    return [line for one in done for b in one.batches if b.logsource for line in b.table["CommandLine"].to_list()]


def test_records_of_one_command_are_joined_even_across_pieces() -> None:
    assert commands([RECORDS]) == ["cat /tmp/a b"]
    assert commands([RECORDS[:1], RECORDS[1:2], RECORDS[2:]]) == ["cat /tmp/a b"]
    assert commands([RECORDS[:2]]) == ["cat /tmp/a b"]


def test_plain_digits_are_not_taken_for_hex() -> None:
    table = (
        auditd.decoder({})
        .decode(one_each([b'type=EXECVE msg=audit(1.1:1): argc=2 a0="nc" a1="2020"']))
        .batches[0]
        .table
    )
    assert table["a1"].to_list() == ["2020"]


def test_junk_keys_push_no_wanted_one_out_and_are_kept_aside() -> None:
    junk = [" ".join(f"k{n}=1" for n in range(400)).encode() for _ in range(600)]
    good = [b"srcip=10.0.0.%d" % (n % 250) for n in range(400)]
    made = keyvalue.decoder({"style": "space", "wanted": frozenset({"srcip"})})
    table = made.decode(one_each([*junk, *good])).batches[0].table
    assert table["srcip"].to_list()[600:] == [f"10.0.0.{n % 250}" for n in range(400)]
    assert len([name for name in table.columns if name.startswith("k")]) == keyvalue.MAX_KEYS
    assert len(json.loads(table["event.fields"][0])) == 400 - keyvalue.MAX_KEYS
    assert table["event.fields"][600] is None


def test_keys_are_rewritten_before_they_are_sought_and_the_body_is_kept() -> None:
    made = keyvalue.decoder({"separator": ";", "rewrite": [[r"[A-Za-z]\w*\((\d{4})\)=", ";f${1}="]]})
    line = "SrcIPAddr(1003)=192.0.2.1;AttackName(1088)=a;b test; Event(1048)=(2)Aged;"
    (batch,) = made.decode(one_each([line.encode()])).batches
    row = batch.table.row(0, named=True)
    assert [row["f1003"], row["f1088"], row["f1048"], row["body"]] == ["192.0.2.1", "a;b test", "(2)Aged", line]


def test_lines_without_any_pair_are_rows_all_the_same() -> None:
    done = keyvalue.decoder({}).decode(one_each([b"nothing here", b" "]))
    assert done.batches[0].table["body"].to_list() == ["nothing here", " "]


def test_nothing_inside_quotes_begins_a_pair() -> None:
    lines = [b'msg="x, dst=1.2.3.4" dst=10.0.0.1 note=\'a src=6.6.6.6\' src=10.0.0.2 path="say \\"hi\\" dst=9"']
    (batch,) = keyvalue.decoder({"style": "space"}).decode(one_each(lines)).batches
    row = batch.table.row(0, named=True)
    assert (row["dst"], row["src"], row["msg"], row["path"]) == (
        "10.0.0.1",
        "10.0.0.2",
        "x, dst=1.2.3.4",
        'say "hi" dst=9',
    )


def test_any_separator_and_sign_between_key_and_value() -> None:
    options = {"separator": ";|^", "assign": ":=", "keys": r"[\w ]+"}
    (batch,) = keyvalue.decoder(options).decode(one_each(["a b:1;c=x y|日志:2^d:".encode()])).batches
    row = batch.table.row(0, named=True)
    assert (row["a b"], row["c"], row["日志"], row["d"]) == ("1", "x y", "2", None)


@unhurried
@given(
    st.lists(
        st.sampled_from(
            [
                *RECORDS,
                b'type=PATH msg=audit(1772691129.250:501): name="x" nametype=CREATE',
                b"type=SOCKADDR msg=audit(1772691129.250:501): saddr=0200",
                b"type=SOCKADDR msg=audit(1.1:1): saddr=0A0001BB",
            ]
        ),
        max_size=7,
    )
)
def test_audit_records_in_any_order_never_fail_and_all_stay(items: list[bytes]) -> None:
    decoder = auditd.decoder({})
    done = [decoder.decode(one_each(items)), decoder.flush()]
    plain = sum(len(batch) for one in done for batch in one.batches if batch.logsource is None)
    assert plain == len(items)
