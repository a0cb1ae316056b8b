"""CEF and LEEF: what a device wrote comes back, whatever header it stands behind and whatever the values hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import cef, leef
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)
value = st.text(st.sampled_from(list("ab=|\\ \n中.:/")), min_size=1, max_size=12).map(str.strip).filter(bool)


def rows(decoder: Any, lines: list[bytes]) -> list[dict[str, Any]]:
    done = decoder.decode(one_each(lines))
    found = [row for batch in done.batches for row in batch.table.to_dicts()]
    return sorted(found, key=lambda row: row["log.offset"])


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n")


@unhurried
@given(st.dictionaries(st.from_regex(r"[a-z][A-Za-z0-9]{0,6}", fullmatch=True), value, min_size=1, max_size=5))
def test_cef_extensions_come_back_through_their_escapes(given_: dict[str, str]) -> None:
    given_ = {name: one for name, one in given_.items() if name not in cef._NAMES}
    line = "CEF:0|v|p|1|id|n|5|" + " ".join(f"{name}={escaped(one)}" for name, one in given_.items())
    (row,) = rows(cef.decoder({}), [line.encode()])
    assert {name: row[name] for name in given_} == given_


@unhurried
@given(st.lists(st.binary(max_size=60) | st.just(b"CEF:0|a|b|c|d|e|f|x=1"), min_size=1, max_size=6))
def test_any_bytes_are_rows_or_rejected(items: list[bytes]) -> None:
    for decoder in (cef.decoder({}), leef.decoder({})):
        done = decoder.decode(one_each(items))
        assert sum(len(batch) for batch in done.batches) + done.rejected == len(items)


def test_cef_stands_behind_any_header_and_names_custom_fields_by_their_labels() -> None:
    lines = [
        rb"<134>Mar  5 14:12:09 fw01 CEF:0|Acme|W\|AF|1|100|a \| b|8|src=10.0.0.1 cs1=deny all cs1Label=Policy",
        b"Sep 10 16:06:37 10.1.1.5 <190>1 2026-03-05T14:12:09Z h app - - - CEF:1|v|p|1|2|n|High|act=x",
        b"CEF:0|v|p|1|2|n|3",
        b"CEF:0|v|p|1",
    ]
    first, second, third = rows(cef.decoder({}), lines)
    assert (first["deviceProduct"], first["name"], first["severity"]) == ("W|AF", "a | b", "8")
    assert (first["syslog.host"], first["Policy"], first["src"]) == ("fw01", "deny all", "10.0.0.1")
    assert (second["syslog.host"], second["syslog.relay"], second["act"]) == ("h", "10.1.1.5", "x")
    assert (third["syslog.host"], third["src"], third["severity"]) == (None, None, "3")


def test_an_extension_cannot_replace_the_prefix() -> None:
    (row,) = rows(cef.decoder({}), [b"CEF:0|v|p|1|2|n|3|deviceVendor=other log.offset=9"])
    assert (row["deviceVendor"], row["log.offset"]) == ("v", 0)


def test_leef_takes_the_delimiter_a_line_names() -> None:
    lines = [
        b"LEEF:1.0|M|P|1|15345|src=1.1.1.1\tmsg=a b=c",
        b"<13>Mar 5 14:12:09 h LEEF:2.0|L|S|1|e|^|src=2.2.2.2^url=x?a=b",
        b"LEEF:2.0|L|S|1|e|x7C|src=3.3.3.3|dst=2",
        b"LEEF:2.0|L|S|1|e|0x09|src=4.4.4.4\tdst=2",
        b"LEEF:2.0|L|S|1|e|src=5.5.5.5\tdst=2",
        b"LEEF:1.0|M|P|1|15345|src=6.6.6.6 msg=hello world",
    ]
    found = rows(leef.decoder({}), lines)
    assert [row["src"] for row in found] == [f"{n}.{n}.{n}.{n}" for n in range(1, 7)]
    assert (found[0]["msg"], found[1]["url"], found[1]["syslog.host"]) == ("a b=c", "x?a=b", "h")
    assert (found[2]["dst"], found[5]["msg"], found[0]["eventID"]) == ("2", "hello world", "15345")
