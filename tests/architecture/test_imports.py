"""Imports go one way; the contracts are in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
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


def test_every_room_says_what_it_is() -> None:
    """A package's docstring: what goes in, what comes out, what it may import."""
    for path in SOURCE.rglob("__init__.py"):
        assert ast.get_docstring(tree(path)), f"{path} has no docstring"
