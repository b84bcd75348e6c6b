"""Build hook: compile the static shim that ships inside the wheel.

A static executable is used, not an extension module, so one wheel per architecture serves every
Python version. musl makes it small (about 50 kB) and quick to start; gcc with a static glibc works too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShimBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compile shim/*.c into src/casemate/libexec/casemate-shim."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        target = root / "src" / "casemate" / "libexec" / "casemate-shim"
        build_shim(root / "shim", target)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform_tag()}"


def build_shim(source: Path, target: Path) -> None:
    """Compile the C files of ``source`` into the static executable ``target``, when out of date."""
    units = sorted(source.glob("*.c"))
    inputs = units + sorted(source.glob("*.h"))
    if target.exists() and all(p.stat().st_mtime <= target.stat().st_mtime for p in inputs):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    flags = ["-std=gnu11", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    compiler = _compiler()
    # A static binary needs no position independence of its own to be small; hardening flags cost nothing.
    flags += ["-fstack-protector-strong", "-fno-asynchronous-unwind-tables"]
    subprocess.run([*compiler, *flags, "-o", str(partial), *map(str, units)], check=True)
    os.replace(partial, target)


def _compiler() -> list[str]:
    musl = shutil.which("musl-gcc")
    if musl:
        # musl has no kernel headers of its own: search the system's after musl's own.
        machine = sysconfig.get_config_var("MULTIARCH") or f"{os.uname().machine}-linux-gnu"
        return [musl, "-idirafter", "/usr/include", "-idirafter", f"/usr/include/{machine}"]
    for name in (os.environ.get("CC"), "cc", "gcc"):
        if name and shutil.which(name):
            return [name]
    raise RuntimeError("no C compiler found: install musl-tools or gcc")


def _platform_tag() -> str:
    return f"linux_{os.uname().machine}"
