"""tshark in a process of its own: bounded, and only for what is named."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.decoders import wire
from tests.decoders.app.test_dns import query

from cityguard.decoders import tshark
from cityguard.errors import InputError

HAS = shutil.which("tshark") is not None
needed = pytest.mark.skipif(not HAS and os.environ.get("CI") != "true", reason="tshark is not installed")


def packets(count: int) -> list[bytes]:
    payload = wire.udp(40_000, 53, query(1, b"\x04city\x02cn\0"))
    return [wire.ether(wire.ip4(wire.CLIENT, wire.SERVER, 17, payload)) for _ in range(count)]


@needed
def test_a_named_protocol_becomes_rows_with_its_fields() -> None:
    one = tshark.decoder({"protocols": ["dns"]})
    done = one.decode(wire.frames([*packets(2), b"\xff" * 60]))
    (batch,) = done.batches
    rows = batch.table.to_dicts()
    assert [row["log.offset"] for row in rows] == [1, 2]
    assert (rows[0]["source.ip"], rows[0]["destination.port"], rows[0]["ot.protocol"]) == (wire.CLIENT, 53, "dns")
    assert "city.cn" in json.dumps(json.loads(rows[0]["event.fields"]))
    assert done.ignored == 1


@pytest.mark.parametrize("names", [None, [], ["dns or tcp"], ["$(reboot)"], ["-z"], "dns"])
def test_what_is_no_name_of_a_protocol_is_refused(names: object) -> None:
    with pytest.raises(InputError):
        tshark.decoder({"protocols": names})


def test_a_missing_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="not installed"):
        tshark.decoder({"protocols": ["dns"]})


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in tshark's place."""

    def put(body: str) -> None:
        path = tmp_path / "tshark"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return put


LINE = '{"layers":{"frame":{"frame_frame_number":"1"},"ip":{},"dns":%s}}'


def test_one_that_hangs_is_stopped_and_what_it_printed_is_kept(program: Callable[[str], None]) -> None:
    program(f"echo '{LINE % '{}'}'; exec sleep 60")
    done = tshark.decoder({"protocols": ["dns"], "seconds": 1}).decode(wire.frames(packets(3)))
    assert done.batches[0].table.height == 1
    assert "stopped after 1 s" in done.notes[0]
    assert (done.rejected, done.ignored) == (2, 0)


def test_one_that_fails_or_prints_rubbish_costs_nothing_else(program: Callable[[str], None]) -> None:
    program("echo '{\"layers\": 7}'; echo '[[['; exit 9")
    done = tshark.decoder({"protocols": ["dns"]}).decode(wire.frames(packets(1)))
    assert (done.batches, done.rejected, done.ignored) == ((), 1, 0)
    assert "code 9" in done.notes[0]


def test_text_that_is_none_and_fields_without_end_are_bounded(program: Callable[[str], None]) -> None:
    program("printf '%s\n' '" + LINE % '{"a":"\\ud800"}' + "'")
    (batch,) = tshark.decoder({"protocols": ["dns"]}).decode(wire.frames(packets(1))).batches
    assert json.loads(batch.table["event.fields"][0])["a"] == "?"
    program("printf '%s\n' '" + LINE % ('{"a":"' + "x" * 40_000 + '"}') + "'")
    (batch,) = tshark.decoder({"protocols": ["dns"]}).decode(wire.frames(packets(1))).batches
    assert len(json.loads(batch.table["event.fields"][0])["cut"]) == tshark.MAX_FIELDS
    assert batch.table["event.flags"].to_list() == [["truncated"]]
