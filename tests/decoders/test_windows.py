"""Windows events: names as rules use them, classes as Sigma's taxonomy has them, strange shapes harmless."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard import fast
from cityguard.decoders import taxonomy, windows, winflat, winscan
from cityguard.model import EventBatch
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)
SYSMON = taxonomy.SYSMON


def decode(*events: dict[str, Any]) -> tuple[EventBatch, ...]:
    return windows.decoder({}).decode(one_each([json.dumps(event).encode() for event in events])).batches


def event(number: object, channel: str, **data: object) -> dict[str, Any]:
    return {"Event": {"System": {"EventID": number, "Channel": channel, "Computer": "PC"}, "EventData": data}}


@pytest.mark.parametrize(
    ("number", "channel", "kind", "category", "service", "dataset"),
    [
        (1, SYSMON, "", "process_creation", "sysmon", "process"),
        (3, SYSMON, "", "network_connection", "sysmon", "network"),
        (10, SYSMON, "", "process_access", "sysmon", "process"),
        (11, SYSMON, "", "file_event", "sysmon", "file"),
        (12, SYSMON, "DeleteValue", "registry_delete", "sysmon", "registry"),
        (12, SYSMON, "CreateKey", "registry_add", "sysmon", "registry"),
        (13, SYSMON, "", "registry_event", "sysmon", "registry"),
        (22, SYSMON, "", "dns_query", "sysmon", "network"),
        (26, SYSMON, "", "file_delete", "sysmon", "file"),
        (4688, "Security", "", "process_creation", "security", "process"),
        (4625, "security", "", None, "security", "auth"),
        (4104, "Microsoft-Windows-PowerShell/Operational", "", "ps_script", "powershell", "process"),
        (600, "Windows PowerShell", "", "ps_classic_provider_start", "powershell-classic", "process"),
        (7045, "System", "", None, "system", "host"),
    ],
)
def test_a_class_answers_to_its_log_source(
    number: int, channel: str, kind: str, category: str | None, service: str, dataset: str
) -> None:
    (batch,) = decode(event(number, channel, EventType=kind))
    assert batch.dataset == dataset
    assert batch.logsource is not None
    assert batch.logsource.covers(category, "windows", service)


def test_a_registry_deletion_is_not_an_addition() -> None:
    sources = [
        batch.logsource
        for batch in decode(event(12, SYSMON, EventType="DeleteKey"), event(12, SYSMON, EventType="CreateKey"))
    ]
    assert [one.category for one in sources if one] == [
        ("registry_add", "registry_event"),
        ("registry_delete", "registry_event"),
    ]


def test_payload_wins_over_header_and_values_are_text() -> None:
    given_ = event(
        {"#text": 1119, "#attributes": {"Qualifiers": 1}},
        "X",
        **{"Threat Name": "t", "Channel": "c", "Flag": True, "N": 5},
    )
    row = decode(given_)[0].table.to_dicts()[0]
    assert (row["EventID"], row["ThreatName"], row["Channel"], row["Flag"], row["N"]) == (1119, "t", "c", "true", "5")


def test_unnamed_data_user_data_and_named_lists() -> None:
    unnamed = {"Event": {"System": {"EventID": 1, "Channel": "A"}, "EventData": {"Data": {"#text": ["a", "b"]}}}}
    user = {
        "Event": {"System": {"EventID": 2, "Channel": "A"}, "UserData": {"Op": {"#attributes": {"x": 1}, "K": "v"}}}
    }
    named = {"Event": {"System": {"EventID": 3, "Channel": "A"}, "EventData": {"Data": [{"@Name": "K", "#text": "v"}]}}}
    rows = [batch.table.to_dicts()[0] for batch in decode(unnamed, user, named)]
    assert rows[0]["Data"] == ["a", "b"]
    assert (rows[1]["K"], rows[2]["K"]) == ("v", "v")


@pytest.mark.parametrize(
    "shape",
    [
        {
            "winlog": {
                "event_id": "4625",
                "channel": "Security",
                "computer_name": "PC",
                "event_data": {"IpAddress": "x"},
            }
        },
        {
            "winlog.event_id": 4625,
            "winlog.channel": "Security",
            "winlog.computer_name": "PC",
            "winlog.event_data.IpAddress": "x",
        },
        {"EventID": 4625, "Channel": "Security", "Hostname": "PC", "IpAddress": "x"},
        {"System": {"EventID": 4625, "Channel": "Security", "Computer": "PC"}, "EventData": {"IpAddress": "x"}},
    ],
)
def test_every_exporter_gives_the_same_names(shape: dict[str, Any]) -> None:
    (batch,) = decode(shape)
    row = batch.table.to_dicts()[0]
    assert (row["EventID"], row["Channel"], row["Computer"], row["IpAddress"]) == (4625, "Security", "PC", "x")


scalars = st.none() | st.booleans() | st.integers(-5, 5000) | st.sampled_from(["Security", "x", "#text", ""])
names = st.sampled_from(
    [
        "Event",
        "System",
        "EventID",
        "Channel",
        "EventData",
        "UserData",
        "Data",
        "#text",
        "#attributes",
        "winlog",
        "@Name",
        "Name",
    ]
)
shapes = st.dictionaries(
    names,
    st.recursive(scalars, lambda v: st.lists(v, max_size=2) | st.dictionaries(names, v, max_size=3), max_leaves=8),
)


@unhurried
@given(st.lists(shapes, max_size=5))
def test_any_shape_is_an_event_or_rejected(events: list[dict[str, Any]]) -> None:
    done = windows.decoder({}).decode(one_each([json.dumps(one).encode() for one in events]))
    assert sum(len(batch) for batch in done.batches) + done.rejected == len(events)


def test_junk_fields_push_no_wanted_one_out() -> None:
    junk = [{"EventID": 1, "Channel": "x", **{f"k{n}": "1" for n in range(1200)}}]
    good = [{"EventID": 1, "Channel": "x", "Image": "cmd.exe"}]
    made = windows.decoder({"wanted": frozenset({"Image"})})
    table = made.decode(one_each([json.dumps(one).encode() for one in junk + good])).batches[0].table
    assert table["Image"].to_list() == [None, "cmd.exe"]
    assert len(json.loads(table["event.fields"][0])) > 100


def xml(number: int, data: str) -> bytes:
    system = f"<System><EventID>{number}</EventID><Channel>A</Channel><Computer>PC</Computer></System>"
    return f"<Event xmlns='urn:x'>{system}{data}</Event>".encode()


def test_xml_gives_the_same_payload_as_json() -> None:
    items = [
        xml(1, "<EventData><Data>a</Data><Data>b</Data></EventData>"),
        xml(2, "<UserData><Op xmlns='y' x='1'><K>v</K></Op></UserData>"),
        xml(3, "<EventData><Data Name='Threat Name'>a &amp; &lt;b&gt; &#20013;</Data></EventData>"),
        xml(4, "<EventData><Data Name='K'><![CDATA[<c>]]></Data></EventData>")[:-9],
        b"<14>Mar  5 14:12:09 h sysmon: " + xml(5, ""),
    ]
    done = windows.decoder({}).decode(one_each(items))
    rows = {row["EventID"]: row for batch in done.batches for row in batch.table.to_dicts()}
    assert (rows[1]["Data"], rows[2]["K"], rows[3]["ThreatName"]) == (["a", "b"], "v", "a & <b> 中")
    assert (set(rows), done.rejected) == ({1, 2, 3, 5}, 1)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]><Event><System><EventID>1</EventID></System>&a;</Event>',
        "<Event>" * 5000 + "</Event>",
        "<Event><System><EventID>1</EventID></System><EventData>" + "<a>" * 100 + "</Event>",
        "<Event>\ud800</Event>".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    ],
)
def test_xml_that_is_no_plain_event_is_rejected(text: str) -> None:
    done = windows.decoder({}).decode(one_each([text.encode()]))
    assert (done.batches, done.rejected) == ((), 1)


names = st.sampled_from(
    ["Image", "Data", "EventType", "EventID", "Threat Name", "ThreatName", "Channel", "", " ", "@x"]
)
plain = st.one_of(st.none(), st.booleans(), st.integers(-5, 2**65), st.text(max_size=15), st.just(1.5))
inner = st.one_of(
    plain,
    st.lists(plain, max_size=3),
    st.fixed_dictionaries(
        {}, optional={"#text": plain | st.lists(plain, max_size=2), "#attributes": st.just({"a": 1}), "x": plain}
    ),
    st.just([{"#attributes": {"Name": "n"}, "#text": "v"}]),
)
payload = st.one_of(st.dictionaries(names, inner, max_size=4), plain, st.just([1]))
number = st.sampled_from(
    [1, 12, 4688, 4624, "7", " 12 ", None, -1, 2**40, {"#text": 800, "#attributes": {"Qualifiers": 0}}, {}]
)
system = st.fixed_dictionaries(
    {"EventID": number, "Channel": st.sampled_from([SYSMON, "Security", "A", None, {"#text": "C"}])},
    optional={
        "Provider": st.sampled_from(
            [
                {"#attributes": {"Name": "p", "Guid": "g"}},
                {"#attributes": {"Name": "", "EventSourceName": "s"}},
                {"Name": "q"},
                None,
            ]
        ),
        "Level": st.integers(0, 5) | st.text(max_size=2),
        "Computer": st.just("PC"),
        "Execution": st.sampled_from([{"#attributes": {"ProcessID": 4, "ThreadID": 8}}, {"@ProcessID": 5}]),
        "Correlation": st.sampled_from([None, {"#attributes": {"ActivityID": "a"}}]),
        "Security": st.sampled_from([None, {"#attributes": {"UserID": "S-1-5-18"}}]),
    },
)
events = st.fixed_dictionaries(
    {"Event": st.fixed_dictionaries({"System": system | plain}, optional={"EventData": payload, "UserData": payload})}
)


def rows(lines: list[bytes], compiled: bool) -> tuple[dict[int, Any], int]:
    """Values, dataset, log source and kinds of columns by place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "ON", compiled)
        made = windows.decoder({}).decode(one_each(lines))
    out: dict[int, Any] = {}
    for batch in made.batches:
        kinds = dict(zip(batch.table.columns, batch.table.dtypes, strict=True))
        for row in batch.table.iter_rows(named=True):
            held = {name: (value, kinds[name]) for name, value in row.items() if value is not None}
            out[row["log.offset"]] = (held, batch.dataset, batch.logsource)
    return out, made.rejected


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
@unhurried
@given(st.lists(events, min_size=1, max_size=6), st.lists(st.text(max_size=20) | st.just("[1]"), max_size=2))
def test_compiled_code_gives_what_objects_give(drawn: list[dict[str, Any]], odd: list[str]) -> None:
    usual = [event(1 + n % 3, SYSMON, Image=f"C:\\\\p{n}.exe", ProcessId=n, Flag=n % 2 == 0) for n in range(130)]
    lines = [json.dumps(one).encode() for one in (*usual, *drawn)] + [one.encode() for one in odd]
    assert rows(lines, compiled=True) == rows(lines, compiled=False)


keys = st.sampled_from(
    [
        *(name for known in winflat.NAMES.values() for name in known),
        *("Image", "Threat Name", "ThreatName", "EventType", "Data", "@other", "Event ID", "winlog.event_id"),
        *("System", "EventData", "winlog", "Event"),
    ]
)
flats = st.dictionaries(keys, plain | number | st.sampled_from([{"a": 1}, [], ["x", None], 1.5]), max_size=6).map(
    lambda drawn: {"EventID": 1, "Channel": SYSMON} | drawn
)


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
@unhurried
@given(st.lists(flats | events, min_size=1, max_size=6), st.booleans())
def test_compiled_code_gives_what_objects_give_of_flat_records(drawn: list[dict[str, Any]], mixed: bool) -> None:
    usual: list[dict[str, Any]] = [
        {"EventID": 1 + n % 3, "Channel": SYSMON, "Hostname": "PC", "RecordNumber": n, "Image": f"C:\\p{n}.exe"}
        for n in range(130)
    ]
    usual += [event(2, SYSMON, Image="x")] * mixed
    lines = [json.dumps(one).encode() for one in (*usual, *drawn)]
    assert texts(rows(lines, compiled=True)) == texts(rows(lines, compiled=False))


def texts(made: tuple[dict[int, Any], int]) -> Any:
    """Without the kinds of columns: events of two forms share a table only where objects are made of them."""
    return {
        row: ({k: plainly(v) for k, (v, _) in held.items()}, *told) for row, (held, *told) in made[0].items()
    }, made[1]


def plainly(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        return plainly(value[0])
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    try:
        return str(float(text))
    except ValueError:
        return text


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
def test_flat_records_are_read_by_compiled_code_beside_others() -> None:
    flat = [{"EventID": str(1 + n % 3), "Channel": SYSMON, "Image": f"C:\\p{n}.exe"} for n in range(130)]
    lines = [json.dumps(one) for one in (*flat, event(4, SYSMON, Image="x"))] + ['{"Channel": "Security"}', "{"]
    made = winscan.read(pl.Series(lines))
    assert made is not None
    assert sorted((part.key[1], len(part.rows)) for part in made[0]) == [(1, 44), (2, 43), (3, 43), (4, 1)]
    assert made[1].tolist() == [131, 132]


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
def test_events_of_the_usual_form_are_read_by_compiled_code() -> None:
    usual = [event({"#text": 1 + n % 3}, SYSMON, Image=f"C:\\p{n}.exe", Data={"#text": ["a"]}) for n in range(130)]
    made = winscan.read(pl.Series([json.dumps(one) for one in usual]))
    assert made is not None
    assert sorted((part.key[1], len(part.rows)) for part in made[0]) == [(1, 44), (2, 43), (3, 43)]
    assert not len(made[1])


@pytest.mark.parametrize("compiled", [True, False])
def test_event_ids_of_the_senders_choosing_do_not_make_a_table_each(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    monkeypatch.setattr(fast, "ON", compiled and fast.ON)
    flood = [event(number, channel, A="x") for number in range(300) for channel in ("Security", f"Own-{number}")]
    login = event(4625, "Security", TargetUserName="li01")
    started = event(4688, "Security", NewProcessName="a.exe")
    batches = decode(*flood, login, started)
    assert len(batches) <= 16
    assert sum(len(batch) for batch in batches) == len(flood) + 2
    (auth,) = (batch for batch in batches if batch.dataset == "auth")
    assert auth.table["TargetUserName"].to_list() == ["li01"]
    (process,) = (batch for batch in batches if batch.dataset == "process")
    assert process.logsource == taxonomy.logsource("Security", 4688)
    assert process.table["Image"].to_list() == ["a.exe"]
    for batch in batches:
        for channel, number in batch.table.select("Channel", "EventID").iter_rows():
            assert batch.logsource == taxonomy.logsource(channel, number)
            assert batch.dataset == taxonomy.dataset(channel, number)
