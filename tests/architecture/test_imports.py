"""Imports go one way; the contracts are in pyproject.toml."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture.sources import ROOT, SOURCE, tree


def test_imports_keep_the_contracts(tmp_path: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("needs import-linter")
    command = [str(linter), "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_package_imports_what_the_table_of_the_design_allows() -> None:
    allowed = _table((ROOT / "docs/design.md").read_text(encoding="utf-8"))
    assert allowed["walls"] == {"errors", "linux", "oci"}
    for path in SOURCE.rglob("*.py"):
        package = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if package != "__init__":
            wrong = set(_imported(path)) - allowed[package] - {package}
            assert not wrong, f"{path} imports {', '.join(sorted(wrong))}"


def _table(text: str) -> dict[str, set[str]]:
    """Read the rows: names in backticks, what lives there, what may be imported."""
    found: dict[str, set[str]] = {}
    for line in text.partition("## Packages")[2].partition("\n## ")[0].splitlines()[4:]:
        if not line.startswith("|"):
            break
        names, _, may = (cell.strip() for cell in line.strip("|").split("|"))
        allowed = set(found) if may.startswith("everything") else set(re.findall(r"\w+", may))
        for name in re.findall(r"`(\w+)/?`", names):
            found[name] = allowed
    return found


def _imported(path: Path) -> Iterator[str]:
    """Yield the packages of this one that a module imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("casemate."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (n.name.split(".")[1] for n in node.names if "casemate." in n.name)


def test_every_package_says_what_it_is() -> None:
    """A package's docstring: what goes in, what comes out, what it may import."""
    for path in SOURCE.rglob("__init__.py"):
        assert ast.get_docstring(tree(path)), f"{path} has no docstring"
