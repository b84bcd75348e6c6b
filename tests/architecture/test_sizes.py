"""Files with one idea, functions that fit on a screen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture.sources import C_FILES, MODULES, TESTS, named, tree

FILE_LINES = 500
FUNCTION_LINES = {"src": 50, "tests": 80}
POSITIONAL = 6
COLUMNS = {".py": 100, ".c": 112, ".h": 112}  # with the kernel's tabs of eight
#: What a checker is told at the end of a line does not count, and an address cannot be broken.
URL = re.compile(r"\w+://")
PRAGMA = re.compile(r"\s+# (?:type: ignore|noqa).*")
#: A document is data, not code: from so many lines on a literal counts as one.
DOCUMENT_LINES = 10
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    """Yield the functions of a module."""
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def code_lines(function: Function) -> int:
    """Return how many lines a function has, without its docstring and its documents."""
    lines = set(range(function.lineno, (function.end_lineno or 0) + 1))
    if ast.get_docstring(function):
        lines -= spanned(function.body[0])
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Dict | ast.List | ast.Tuple)
            and len(spanned(node)) > DOCUMENT_LINES
        ):
            lines -= spanned(node) - {node.lineno}
    return len(lines)


def spanned(node: ast.expr | ast.stmt) -> set[int]:
    """Return the lines of ``node``."""
    return set(range(node.lineno, (node.end_lineno or 0) + 1))


@pytest.mark.parametrize("path", [*MODULES, *TESTS, *C_FILES], ids=named)
def test_a_file_is_not_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= FILE_LINES
    widths = [len(PRAGMA.sub("", line).expandtabs()) * (not URL.search(line)) for line in lines]
    wide = [n for n, width in enumerate(widths, 1) if width > COLUMNS[path.suffix]]
    assert not wide, f"lines {wide} are too wide"


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=named)
def test_a_function_is_not_long(path: Path) -> None:
    most = FUNCTION_LINES["src" if path in MODULES else "tests"]
    lengths = {f.name: code_lines(f) for f in functions(path)}
    assert not {name: length for name, length in lengths.items() if length > most}


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=named)
def test_a_function_takes_few_things_by_position(path: Path) -> None:
    many = set()
    for function in functions(path):
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        if names[:1] in (["self"], ["cls"]):
            names = names[1:]
        if len(names) > POSITIONAL:
            many.add(f"{function.name} takes {len(names)}")
    assert not many


@pytest.mark.parametrize("path", C_FILES, ids=named)
def test_a_function_in_c_is_not_long(path: Path) -> None:
    """A function begins with a brace of its own in the first column, and so it ends."""
    begun, name = 0, ""
    long = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if line == "{":
            begun, name = number, lines[number - 2]
        elif line == "}" and begun:
            if number - begun > FUNCTION_LINES["src"]:
                long.append(f"{name}: {number - begun} lines")
            begun = 0
    assert not long


@pytest.mark.parametrize("path", C_FILES, ids=named)
def test_a_function_in_c_takes_few_things(path: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    many = [
        name
        for name, arguments in re.findall(r"^\w[\w \*]*?(\w+)\(([^()]*)\)\s*\{", text, re.M)
        if arguments.count(",") >= POSITIONAL
    ]
    assert not many
