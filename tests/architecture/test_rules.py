"""What may not be written, and where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture.sources import MODULES, SOURCE, called, named, tree

#: Who may speak to a terminal and end the process.
EDGES = {"cli", "daemon.py", "doctor.py"}
#: Who acts in a user's name, in the user's own process.
USERS = {"client", "hosting.py"}
ENDS = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "os.abort"}


def room(path: Path) -> str:
    """Return the name of the room, or the module, that a file is in."""
    return path.relative_to(SOURCE).parts[0]


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield what a module calls."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield called(node), node


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_says_what_it_is(path: Path) -> None:
    module = tree(path)
    assert ast.get_docstring(module), "no docstring"
    if len(module.body) > 2:
        first = module.body[1]
        assert isinstance(first, ast.ImportFrom) and first.module == "__future__"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_compiles(path: Path) -> None:
    compile(path.read_bytes(), named(path), "exec", dont_inherit=True)


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) not in EDGES], ids=named)
def test_nothing_below_the_command_speaks_or_exits(path: Path) -> None:
    assert not {f"{name} in line {node.lineno}" for name, node in calls(path) if name in ENDS}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_what_is_caught_is_named(path: Path) -> None:
    """No bare except; and Exception only where a comment says why."""
    lines = path.read_text().splitlines()
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        assert node.type, f"line {node.lineno}: a bare except"
        broad = ast.unparse(node.type) in ("Exception", "BaseException")
        reraised = any(isinstance(n, ast.Raise) for n in ast.walk(node))
        explained = any("#" in line for line in lines[node.lineno - 1 : node.lineno + 2])
        assert not broad or reraised or explained, f"line {node.lineno}: too broad"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nothing_is_run_through_a_shell(path: Path) -> None:
    """A program has a list of arguments, and the names of others are never a command."""
    for name, node in calls(path):
        assert name not in ("os.system", "os.popen", "eval", "exec", "pickle.loads"), node.lineno
        shell = name.startswith("subprocess.") and any(k.arg == "shell" for k in node.keywords)
        assert not shell, f"line {node.lineno}: a shell"


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) not in EDGES], ids=named)
def test_the_environment_of_the_engine_decides_nothing(path: Path) -> None:
    """An engine takes its paths as values; what reads the environment is at the edges."""
    allowed = USERS | {"registry", "image"}  # proxies, credential helpers and decompressors
    names = {ast.unparse(n) for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute)}
    assert room(path) in allowed or not names & {"os.environ", "os.getenv"}
