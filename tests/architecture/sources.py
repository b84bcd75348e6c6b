"""The files that the rules are about."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "casemate"

MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
C_FILES = sorted([*(ROOT / "shim").glob("*.[ch]"), *(ROOT / "tests").rglob("*.c")])


def named(path: Path) -> str:
    """Return the name of a file as it is shown."""
    return str(path.relative_to(ROOT))


@functools.cache
def tree(path: Path) -> ast.Module:
    """Return the parsed module."""
    return ast.parse(path.read_bytes(), named(path))


def called(node: ast.Call) -> str:
    """Return what a call calls, as it is written: ``os.path.join``."""
    return ast.unparse(node.func)


def tracked() -> list[Path]:
    """Return the files under version control; all that are there, in an unpacked archive."""
    if not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]
