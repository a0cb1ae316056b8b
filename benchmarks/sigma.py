"""Every public rule over a million events, beside the plain evaluator and the fastest engine known, in one run.

``python benchmarks/sigma.py [--events N] [--beside N] [--attacks N] [--rounds N] [--quick] [--data DIR] [--json OUT]``
prints one JSON object. ``--quick`` is a run of a minute. Rules are those of the archive ``sigmahq-rules-*.tar.xz`` in
DIR and our own; ``few`` are about 200 of the public ones, evenly chosen. Events are those of ``sigma_events``: written
once and kept in ``artifacts``. Every lane runs in a process of its own, bound to one processor, with polars on one
thread; rates are events per CPU second after the rules are loaded and a first look at the events, which is told apart
as ``set_up``; records of all hits are written on both sides. A peer that is not installed is named (``rsigma``: in
PATH, in ``~/.cargo/bin`` or in RSIGMA). Lanes:

columnar    events already in tables, with the engine alone
ndjson      a file of flat records to records of hits; on one and on two processes
beside      the same on a shorter file that rsigma reads in turn with us
latency     2,000 events of 5,000 a second each: from an event's arrival to the end of its batch
start       rules from the cache, rules parsed anew, every class of events compiled
plain       one event, one rule, by recursion over the rule's tree; half of the events are attacks, so rules hit
correlation hits a second
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
OUT = ROOT / "artifacts" / "sigma"
FEW = 200
WARM = 40_000
"""Events looked at before the clock runs: classes are compiled, literals weighed."""
BATCH, RATE = 2_000, 5_000
Found = dict[str, Any]

# ---------------------------------------------------------------- lanes, each in a process of its own


def _memory() -> Found:
    """MB at most, and what of the present is the process's own (the rest are libraries, shared by all workers)."""
    told = Path("/proc/self/status").read_text()
    kinds = {"peak_mb": "VmHWM", "own_mb": "RssAnon"}
    found = {name: re.search(rf"{key}:\s+(\d+)", told) for name, key in kinds.items()}
    return {name: round(int(one[1]) / 1024, 1) for name, one in found.items() if one}


def _ready(rules: list[str], cache: str | None) -> Any:
    import msgspec

    from cityguard.config import Limits
    from cityguard.matching import pool

    limits = msgspec.to_builtins(Limits()) | {"file_mb": 1 << 16}
    task = pool.Task(rules, None, limits, "Asia/Shanghai", datetime(2026, 11, 1, tzinfo=UTC), cache=cache)
    made = pool.ready(task)
    gc.collect()
    gc.freeze()
    gc.disable()
    return made, task


def ndjson(rules: list[str], file: str, warm: str, out: str, cache: str | None) -> Found:
    """A file to records on disk."""
    begun = time.process_time()
    matching, _ = _ready(rules, cache)
    for _ in matching.file(Path(warm)):
        pass
    set_up, wall, cpu = time.process_time() - begun, time.perf_counter(), time.process_time()
    events = hits = 0
    with Path(out).open("wb") as target:
        for records in matching.file(Path(file)):
            events, hits = events + records.events, hits + records.hits
            target.write(records.lines)
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return _told(events, hits, seconds, cpu) | {"set_up_cpu_s": round(set_up, 2), **_memory()}


def columnar(rules: list[str], file: str, warm: str, cache: str | None) -> Found:
    """Tables past the engine; making them is not counted."""
    from cityguard.decoders import windows
    from cityguard.sigma.engine.cache import load
    from cityguard.sigma.engine.engine import Engine
    from cityguard.sources import lines

    folder = Path(cache) if cache else None
    engine = Engine.compile(load([Path(one) for one in rules], folder=folder), cache=folder)
    engine.account.budget_ms = float("inf")
    gc.collect()
    gc.freeze()
    gc.disable()

    def pieces(path: str, size: int = 32 << 20) -> Iterator[bytes]:
        with Path(path).open("rb") as held:
            while piece := held.read(size):
                yield piece

    events = hits = 0
    wall = cpu = 0.0
    for path in (warm, file):
        events = hits = 0
        wall = cpu = 0.0
        decoder = windows.decoder({})
        for frames in lines.frames(pieces(path), line_bytes=64 << 10):
            batches = decoder.decode(frames).batches
            began, spent = time.perf_counter(), time.process_time()
            for batch in batches:
                events += len(batch)
                hits += sum(len(rows) for _, rows in engine.rows(batch))
            wall, cpu = wall + time.perf_counter() - began, cpu + time.process_time() - spent
    return _told(events, hits, wall, cpu) | _memory()


def latency(rules: list[str], file: str, warm: str, cache: str | None) -> Found:
    """Batches of ``BATCH`` lines that come at ``RATE`` a second; a batch waits for the one before it."""
    matching, _ = _ready(rules, cache)
    with Path(file).open("rb") as held, tempfile.TemporaryDirectory() as folder:
        piece = Path(folder) / "piece"
        for _ in matching.file(Path(warm)):
            pass
        waits: list[float] = []
        spent: list[float] = []
        worked: list[float] = []
        free = 0.0
        for number in range(100_000 // BATCH):
            lines = [line for _, line in zip(range(BATCH), held, strict=False)]
            if len(lines) < BATCH:
                break
            piece.write_bytes(b"".join(lines))
            began, cpu = time.perf_counter(), time.process_time()
            for _ in matching.file(piece, collector="windows-json"):
                pass
            spent.append(time.perf_counter() - began)
            worked.append(time.process_time() - cpu)
            full = (number + 1) * BATCH / RATE
            free = max(free, full) + spent[-1]
            waits += [free - (number * BATCH + one) / RATE for one in range(BATCH)]
    ranked = sorted(waits)
    return {
        "p50_s": round(ranked[len(ranked) // 2], 3),
        "p99_s": round(ranked[int(len(ranked) * 0.99)], 3),
        "batch_p99_s": round(sorted(spent)[int(len(spent) * 0.99)], 3),
        "batch_median_s": round(statistics.median(spent), 3),
        "batch_cpu_median_s": round(statistics.median(worked), 3),
    }


def start(rules: list[str], warm: str, cache: str | None) -> Found:
    """Seconds of CPU until rules are ready (without the imports before), and until every class has been compiled."""
    importlib.import_module("cityguard.matching.pool")
    load, engine = (importlib.import_module(f"cityguard.sigma.engine.{name}") for name in ("cache", "engine"))
    imported, begun = time.process_time(), time.process_time()
    folder = Path(cache) if cache else None
    engine.Engine.compile(load.load([Path(one) for one in rules], folder=folder), cache=folder)
    loaded = time.process_time() - begun
    matching, _ = _ready(rules, cache)
    spent: list[float] = []
    for _ in range(2):
        begun = time.process_time()
        for _ in matching.file(Path(warm)):
            pass
        spent.append(time.process_time() - begun)
    told = {"imports_s": imported, "rules_s": loaded, "classes_s": max(spent[0] - spent[1], 0.0)}
    return {name: round(value, 2) for name, value in told.items()} | _memory()


def plain(rules: list[str], files: list[str], events: int) -> Found:
    """The slow evaluator, on so many events from all over the files, and whether the engine finds the same."""
    import orjson

    from cityguard.decoders import windows
    from cityguard.sigma.engine.engine import Engine
    from cityguard.sigma.rule import load
    from cityguard.sources import lines

    spec = importlib.util.spec_from_file_location("plain", ROOT / "tests" / "sigma" / "plain.py")
    assert spec is not None and spec.loader is not None
    evaluator: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(evaluator)
    ruleset = load([Path(one) for one in rules])
    raw: list[bytes] = []
    for file in files:
        with Path(file).open("rb") as held:
            every = held.readlines()
        raw += every[:: max(len(every) * len(files) // events, 1)]
    batches = windows.decoder({}).decode(lines.one_each(raw)).batches
    sources = {row: batch.logsource for batch in batches for row in batch.table["log.offset"].to_list()}
    expected: set[tuple[int, str]] = set()
    began = time.process_time()
    for row, line in enumerate(raw):
        source, event = sources[row], orjson.loads(line)
        for rule in ruleset.rules:
            applies = source is not None and source.covers(rule.category, rule.product, rule.service)
            if applies and evaluator.holds(rule.node, event):
                expected.add((row, rule.id))
    cpu = time.process_time() - began
    engine = Engine.compile(ruleset)
    engine.account.budget_ms = float("inf")
    found = {
        (int(batch.table["log.offset"][int(row)]), rule.id)
        for batch in batches
        for rule, rows in engine.rows(batch)
        for row in rows
    }
    told = _told(len(raw), len(expected), cpu, cpu)
    return told | {"only_plain": len(expected - found), "only_engine": len(found - expected)}


def correlation(matches: int) -> Found:
    """Hits a second of CPU, by type of correlation."""
    spec = importlib.util.spec_from_file_location("correlation", ROOT / "benchmarks" / "correlation.py")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["correlation"] = module
    spec.loader.exec_module(module)
    return {kind: round(module.run(kind, matches=matches).per_second) for kind in module.KINDS}


LANES: dict[str, Callable[..., Found]] = {
    one.__name__: one for one in (ndjson, columnar, latency, start, plain, correlation)
}


def _told(events: int, hits: int, wall: float, cpu: float) -> Found:
    return {
        "events": events,
        "hits": hits,
        "seconds": round(wall, 3),
        "cpu_s": round(cpu, 3),
        "events_per_s": round(events / max(wall, 1e-9)),
        "events_per_cpu_s": round(events / max(cpu, 1e-9)),
    }


def lane(name: str, *arguments: Any) -> Found:
    """One lane in a process of its own on one processor."""
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--lane", json.dumps([name, *arguments])]
    began = time.perf_counter()
    done = subprocess.run([*_bound(), *command], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: Found = json.loads(done.stdout)
    return found | {"process_s": round(time.perf_counter() - began, 2)}


def _bound() -> list[str]:
    return ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if shutil.which("taskset") else []


# ---------------------------------------------------------------- several processes, and the peer


def processes(rules: list[str], file: Path, tiny: Path, count: int, cache: str | None) -> Found:
    """The command itself; its time for one event is its start and not counted."""
    script = Path(sys.executable).with_name("cityguard")
    names = [argument for rule in rules for argument in ("--rules", rule)]

    def once(path: Path) -> tuple[float, float]:
        environment = os.environ | {"CITYGUARD_LIMITS__FILE_MB": "65536"}
        command = [str(script), "rules", "match", *names, "--jsonl", "--processes", str(count), str(path)]
        began, spent = time.perf_counter(), _children()
        with (OUT / "records.jsonl").open("wb") as target:
            subprocess.run(command, check=True, stdout=target, stderr=subprocess.DEVNULL, env=environment)
        return time.perf_counter() - began, _children() - spent

    with file.open("rb") as held:
        events = sum(1 for _ in held)
    first, _ = once(tiny)
    wall, cpu = once(file)
    with (OUT / "records.jsonl").open("rb") as held:
        hits = sum(1 for _ in held)
    return _told(events, hits, max(wall - first, 1e-3), cpu) | {"start_s": round(first, 2), "whole_s": round(wall, 2)}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rsigma() -> str | None:
    """Where it is."""
    named = os.environ.get("RSIGMA") or shutil.which("rsigma") or str(Path.home() / ".cargo" / "bin" / "rsigma")
    return named if Path(named).is_file() else None


def peer(program: str, rules: str, file: Path, tiny: Path) -> Found:
    """rsigma over the same file, bound to one processor; its time for one event is its start and not counted."""
    fields = "product=_p,service=_s,category=_c"
    target = OUT / "rsigma.jsonl"

    def once(path: Path) -> tuple[float, float, float]:
        command = [program, "engine", "eval", "-r", rules, "--logsource-routing", "--logsource-field-map", fields]
        began = time.perf_counter()
        with target.open("wb") as out:
            child = subprocess.Popen(
                [*_bound(), *command, "-e", f"@{path}"], stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
            _, _, used = os.wait4(child.pid, 0)
        return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024

    _, first, _ = once(tiny)
    wall, cpu, peak = once(file)
    with file.open("rb") as held:
        events = sum(1 for _ in held)
    with target.open("rb") as held:
        hits = sum(1 for _ in held)
    told = _told(events, hits, wall, max(cpu - first, 1e-3))
    return told | {"set_up_cpu_s": round(first, 2), "peak_mb": round(peak, 1)}


def beside(program: str | None, ours: list[str], theirs: str, file: Path, warm: Path, tiny: Path, rounds: int) -> Found:
    """Both in turn, the medians, and how many times as fast we are."""
    mine: list[Found] = []
    other: list[Found] = []
    for _ in range(rounds):
        mine.append(lane("ndjson", ours, str(file), str(warm), str(OUT / "records.jsonl"), str(OUT / "cache")))
        if program is not None:
            other.append(peer(program, theirs, file, tiny))
    found: Found = {"cityguard": _median(mine), "rsigma": _median(other) if other else "not installed"}
    if other:
        found["times"] = round(found["cityguard"]["events_per_cpu_s"] / found["rsigma"]["events_per_cpu_s"], 2)
    return found


def _median(found: list[Found]) -> Found:
    """The run whose rate is in the middle."""
    return sorted(found, key=lambda one: one["events_per_cpu_s"])[len(found) // 2]


# ---------------------------------------------------------------- input


def unpacked(data: Path, folder: Path) -> tuple[Path, Path] | None:
    """All public rules, and a few of them."""
    archives = sorted(data.glob("sigmahq-rules-*.tar.xz"))
    if not archives:
        return None
    every, few = folder / "rules-all", folder / "rules-few"
    if not few.is_dir():
        with tarfile.open(archives[-1]) as archive:
            archive.extractall(every, filter="data")
        files = sorted(path for path in (every / "rules").rglob("*.yml"))
        few.mkdir(parents=True)
        for number, path in enumerate(files[:: max(len(files) // FEW, 1)]):
            shutil.copyfile(path, few / f"{number:03d}.yml")
    return every, few


def events(data: Path, mix: str, count: int) -> Path:
    """A file of so many events, written when it is not there."""
    path = OUT / f"{mix}-{count}.ndjson"
    if not path.is_file():
        command = [sys.executable, str(ROOT / "benchmarks" / "sigma_events.py"), str(path) + ".new"]
        subprocess.run([*command, "--events", str(count), "--mix", mix, "--data", str(data)], check=True)
        Path(str(path) + ".new").rename(path)
    return path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--beside", type=int, default=200_000)
    parser.add_argument("--attacks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", type=int, default=200)
    parser.add_argument("--matches", type=int, default=300_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--lane", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.lane:
        name, *arguments = json.loads(given.lane)
        print(json.dumps(LANES[name](*arguments)))
        return
    if given.quick:
        given.events, given.beside, given.attacks, given.rounds = 100_000, 40_000, 20_000, 1
        given.plain, given.matches = 50, 50_000
    text = json.dumps(_measured(given), indent=1, ensure_ascii=False)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


def _measured(given: argparse.Namespace) -> Found:
    OUT.mkdir(parents=True, exist_ok=True)
    cache = str(OUT / "cache")
    out: Found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": _versions(),
    }
    folders = unpacked(given.data, OUT)
    if folders is None:
        return out | {"skipped": f"no sigmahq-rules-*.tar.xz under {given.data}"}
    public, few = (str(one) for one in folders)
    every = [public, str(ROOT / "rules")]
    fleet, attack = events(given.data, "fleet", given.events), events(given.data, "attack", given.attacks)
    short, warm = events(given.data, "fleet", given.beside), events(given.data, "fleet", WARM)
    tiny, program = events(given.data, "fleet", 1), rsigma()
    shutil.rmtree(cache, ignore_errors=True)
    out["start, nothing kept"] = lane("start", every, str(warm), cache)
    out["start, from cache"] = lane("start", every, str(warm), cache)
    out["columnar, all rules"] = lane("columnar", every, str(fleet), str(warm), cache)
    out["columnar, few rules"] = lane("columnar", [few], str(fleet), str(warm), cache)
    records = str(OUT / "records.jsonl")
    out["ndjson, all rules"] = lane("ndjson", every, str(fleet), str(warm), records, cache)
    out["ndjson, two processes"] = processes(every, fleet, tiny, 2, cache)
    out["latency, all rules"] = lane("latency", every, str(short), str(warm), cache)
    out["plain"] = lane("plain", every, [str(short), str(attack)], given.plain)
    for name in ("columnar, all rules", "ndjson, all rules"):
        out[f"times plain, {name}"] = round(out[name]["events_per_cpu_s"] / out["plain"]["events_per_cpu_s"])
    rounds = given.rounds
    out["beside, all rules"] = beside(program, [public], public, short, warm, tiny, rounds)
    out["beside, few rules"] = beside(program, [few], few, short, warm, tiny, rounds)
    out["beside, attacks"] = beside(program, [public], public, attack, attack, tiny, rounds)
    with suppress(subprocess.CalledProcessError):
        out["correlation, hits per CPU second"] = lane("correlation", given.matches)
    return out


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("cityguard", "polars", "pyarrow", "numba", "hyperscan", "ahocorasick_rs", "msgspec"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    if (program := rsigma()) is not None:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        found["rsigma"] = said.partition("\n")[0].rpartition(" ")[2]
    return found


if __name__ == "__main__":
    main()
