"""Build a shim with sanitizers: ``python tests/support/sanitized_shim.py TARGET REPORTS``.

``CASEMATE_SHIM=TARGET pytest tests/system/shim`` then tests it; what the sanitizers find is written
to files whose names begin with REPORTS, since a shim has no standard error.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "shim"
_OPTIONS = """
const char *__asan_default_options(void) { return "log_path=%s:exitcode=99:detect_leaks=0"; }
const char *__ubsan_default_options(void) { return "log_path=%s:print_stacktrace=1"; }
"""
_FLAGS = [
    *("-std=gnu11", "-O1", "-g", "-D_GNU_SOURCE", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
]


def build(target: str, reports: str) -> None:
    """Compile the shim of this checkout into ``target``."""
    options = Path(f"{target}.options.c")
    options.write_text(_OPTIONS % (reports, reports))
    try:
        units = [*SOURCE.glob("*.c"), options]
        subprocess.run(["gcc", *_FLAGS, "-o", target, *map(str, units)], check=True)
    finally:
        options.unlink()


if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2])
