"""The house: floors, no circles, and nothing that the rules of the house forbid."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "cityguard"

FLOORS: dict[str, int] = {
    **dict.fromkeys(("model", "columns", "ids", "crypto", "clock", "errors", "fast", "patternwords"), 1),
    **dict.fromkeys(
        ("sources", "decoders", "spool", "store", "register", "notify", "config", "content", "cryptouse"), 2
    ),
    **dict.fromkeys(("collect", "receive", "triage", "audit", "chain", "sigma", "checks", "compliance", "render"), 3),
    **dict.fromkeys(("detectors", "scan", "drill", "report", "rulebook", "otpolicy"), 4),
    "checkpoint": 3,
    **dict.fromkeys(("pipeline", "backtest", "matching"), 5),
    "app": 6,
    **dict.fromkeys(("jobs", "worker"), 7),
    "web": 8,
    "cli": 9,
}
# on one floor a room may look into these: content and settings, which everybody reads, and the audit of acts
SHARED = {"config", "content", "audit"}


def modules() -> list[Path]:
    return sorted(path for path in SRC.rglob("*.py") if "content" not in path.relative_to(SRC).parts[:-1])


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def name_of(path: Path) -> str:
    parts = ("cityguard", *path.relative_to(SRC).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, runtime_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skip: set[int] = set()
    if runtime_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skip |= {id(inner) for inner in ast.walk(node)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("cityguard")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cityguard"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                file = SRC.joinpath(*inner.split(".")[1:])
                found.add(inner if file.with_suffix(".py").is_file() or file.is_dir() else node.module)
    return found


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_downstairs_or_stay_in_the_room(path: Path) -> None:
    here = room(name_of(path))
    if not here:
        return
    assert here in FLOORS, f"{here} has no floor: add it to docs/architecture.md and to this test"
    for target in imports(path):
        there = room(target)
        if not there or there == here or (there in SHARED and FLOORS[there] == FLOORS[here]):
            continue
        assert FLOORS[there] < FLOORS[here], (
            f"{name_of(path)} (floor {FLOORS[here]}) imports {target} (floor {FLOORS[there]})"
        )


def test_there_is_no_circle_among_modules() -> None:
    graph = {name_of(path): imports(path, runtime_only=True) for path in modules()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for target in graph.get(name, ()):
            visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_says_what_it_is_and_package_files_stay_empty(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and path.parent != SRC:
        assert not text.strip()
    else:
        assert ast.get_docstring(ast.parse(text)), f"{path}: no docstring"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nothing_forbidden_is_called(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            top = {name.split(".")[0] for name in names}
            assert not top & {"pickle", "joblib", "marshal", "shelve", "scapy", "sslyze", "nmap"}, (
                f"{path}:{node.lineno}"
            )
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "os.system", "os.popen", "yaml.load", "time.sleep"), (
                f"{path}:{node.lineno}"
            )
            for keyword in node.keywords:
                told = (keyword.arg, getattr(keyword.value, "value", None))
                assert told not in (("shell", True), ("allow_pickle", True)), f"{path}:{node.lineno}"
