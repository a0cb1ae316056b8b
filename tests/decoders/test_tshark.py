"""tshark in a process of its own: bounded, and only for what is named."""

from __future__ import annotations

import json
import os
import shutil
import stat
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


def test_a_missing_program_is_told() -> None:
    with pytest.raises(InputError, match="not installed"):
        tshark.decoder({"protocols": ["dns"], "program": "no-such-program"})


def script(folder: Path, body: str) -> str:
    path = folder / "tshark"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_one_that_hangs_is_stopped_and_what_it_printed_is_kept(tmp_path: Path) -> None:
    line = '{"layers":{"frame":{"frame_frame_number":"1"},"ip":{},"dns":{"dns_id":"7"}}}'
    program = script(tmp_path, f"echo '{line}'; exec sleep 60")
    done = tshark.decoder({"protocols": ["dns"], "program": program, "seconds": 1}).decode(wire.frames(packets(1)))
    assert done.batches[0].table.height == 1
    assert "stopped after 1 s" in done.notes[0]


def test_one_that_fails_or_prints_rubbish_costs_nothing_else(tmp_path: Path) -> None:
    program = script(tmp_path, "echo '{\"layers\": 7}'; echo '[[['; exit 9")
    done = tshark.decoder({"protocols": ["dns"], "program": program}).decode(wire.frames(packets(1)))
    assert (done.batches, done.ignored) == ((), 1)
    assert "code 9" in done.notes[0]
